"""The class of the course's editions until 2020, by its own module name."""

from __future__ import annotations

from ...model import TwoLayerNet

__all__ = ["TwoLayerNet"]
