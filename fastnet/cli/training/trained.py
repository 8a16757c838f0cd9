"""What a training gives, whatever the optimizer."""

from __future__ import annotations

from typing import Any, NamedTuple

from numpy.typing import NDArray

__all__ = ["Trained"]


class Trained(NamedTuple):
    """What a training gives."""

    model: Any
    """A TableModel, or for plain SGD a StoredModel."""
    lines: list[tuple[str, str]]
    """Of the summary."""
    history: dict[str, list[float]]
    """Numbers of each epoch."""
    truth: NDArray[Any]
    """Of the validation part: the places of the classes, or numbers."""
    samples: Any
    """Of the validation part, as a TableModel takes them."""
