"""What was seen of a user's class and of fastnet's, and how far two results lie apart.

Nothing here runs a class of either: :mod:`fastnet.verification.comparison` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["ACCURACIES", "NAMES", "Answers", "Arrays", "Deviation", "Probe", "Run", "accuracies", "deviation",
           "same_state"]

Arrays = dict[str, NDArray[Any]]

NAMES = ("W1", "b1", "W2", "b2")
ACCURACIES = ("train_acc_history", "val_acc_history")


class Deviation(NamedTuple):
    """How far two results lie apart: the largest difference of two elements, by itself and in relation to their size.

    ``relative`` is ``absolute`` divided by the largest magnitude among the elements of the user's result. Both are
    infinite where one of the two has a NaN or an infinite number and the other has not the same, or their sizes differ.
    """

    relative: float
    absolute: float


def deviation(theirs: Any, ours: Any) -> Deviation:
    """Return how far two arrays, or two numbers, lie apart; shapes such as (1, H) and (H,) are the same."""
    a, b = (np.asarray(values, np.float64).reshape(-1) for values in (theirs, ours))
    if a.shape != b.shape:
        return Deviation(np.inf, np.inf)
    finite = np.isfinite(a) & np.isfinite(b)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return Deviation(np.inf, np.inf)
    absolute = float(np.abs(a[finite] - b[finite]).max(initial=0))
    size = float(np.abs(a[finite]).max(initial=0))
    return Deviation(absolute / size if size else np.inf if absolute else 0.0, absolute)


class Run(NamedTuple):
    """What a training from the seed has left."""

    initial: Arrays
    """The parameters before it."""
    drawn: Any
    """State of NumPy's global generator after the constructor."""
    history: Mapping[str, Any]
    params: Arrays
    state: Any
    """State of the generator after the training."""
    seconds: float
    """What `train` took."""
    data_changed: bool
    """Whether `train` changed the arrays that it was given."""

    @property
    def losses(self) -> NDArray[np.float64]:
        """The loss of each iteration."""
        return np.asarray(self.history["loss_history"], np.float64)


class Answers(NamedTuple):
    """What a user's class gives for a batch, at parameters that were made for it, without a penalty."""

    X: NDArray[Any]
    y: NDArray[np.int64]
    params: Arrays
    seen: Arrays
    """By the names that :mod:`fastnet.verification.anatomy` has for them: "loss", "dW1", ..., "scores", "labels"."""


class Probe(NamedTuple):
    """What was asked of a user's class besides a training."""

    plain: Answers
    """At parameters where all parts of a network are at work; one hidden unit is at exactly 0 for all samples."""
    penalized: Arrays
    """The loss and the gradients of the same batch with a penalty, named as in `Answers.seen`."""
    reg: float
    """Strength of that penalty."""
    extreme: Answers | None
    """With scores so large that they overflow an exponential; None if it could not be asked, or with one class."""


def accuracies(run: Run) -> list[list[float]] | None:
    """Return both histories of accuracies, or None where there are none."""
    if not all(name in run.history for name in ACCURACIES):
        return None
    return [[float(value) for value in run.history[name]] for name in ACCURACIES]


def same_state(first: Any, second: Any) -> bool:
    """Whether two states, as `np.random.get_state` returns them, are the same."""
    return all(map(np.array_equal, first, second))
