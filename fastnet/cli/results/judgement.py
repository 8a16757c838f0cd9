"""How good a model is on samples whose truth is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...tables.model import TableModel
from .measures import class_lines, confusion, number_lines

__all__ = ["Verdict", "judge"]

Array = NDArray[Any]


@dataclass
class Verdict:
    """What was found."""

    numbers: list[tuple[str, str]]
    """Names and figures of a regression."""
    lines: list[str]
    """Accuracy per class, and confusion matrix, as text."""
    accuracy: float | None
    names: list[Any]
    """Of the classes."""
    table: NDArray[np.int64] | None
    """Confusion matrix: a row for each class, a column for what it was taken for."""
    truth: Array
    predicted: Array
    """Places of classes, or numbers."""
    confidence: Array | None
    """Probability of the class that was predicted."""


def judge(model: TableModel, samples: Any, truth: Array) -> Verdict:
    """Return how good a model is.

    Parameters
    ----------
    model : TableModel
    samples : data frame or array
        As its `predict` takes them.
    truth : (N,)
        The places of their classes among those of the model, -1 for others; or numbers.
    """
    if model.classes is None:
        predicted = model.predict(samples)
        return Verdict(number_lines(truth, predicted), [], None, [], None, truth, predicted, None)
    probabilities = model.predict_proba(samples)
    predicted = model.places(samples)
    names = model.classes.tolist()
    table = confusion(truth, predicted, len(names))
    return Verdict([], class_lines(table, names), float((truth == predicted).mean()), names, table, truth, predicted,
                   probabilities[np.arange(len(predicted)), predicted])
