"""The words that signatures share."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

__all__ = ["Array", "Arrays", "Layer"]

Array = NDArray[Any]

Arrays = tuple[Array, ...]

Layer = tuple[Array, Array]
"""Weights (inputs, units) and biases (units,)."""
