"""The book's functions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ... import checks, kernels

__all__ = ["cross_entropy_error", "labels_of", "sigmoid", "softmax"]

Array = NDArray[Any]


def sigmoid(x: ArrayLike) -> Array:
    """Return 1 / (1 + exp(-x)), elementwise."""
    X = np.asarray(x, np.float64)
    # exp(-|x|) never overflows: for x < 0 the fraction is extended by exp(x).
    small = np.exp(-np.abs(X))
    return np.where(X < 0, small, 1) / (1 + small)


def softmax(x: ArrayLike) -> Array:
    """Return exp(x - max) / sum(exp(x - max)) of each row, or of a single one."""
    X = np.asarray(x, np.float64)
    rows = checks.writable(checks.computable(np.atleast_2d(X).view(), np.dtype(np.float64)))
    return kernels.softmax(rows).reshape(X.shape)


def cross_entropy_error(y: ArrayLike, t: ArrayLike) -> Any:
    """Return the mean of -log(y + 1e-7) at the labels.

    Parameters
    ----------
    y : array_like (N, C) or (C,)
        Probabilities.
    t : array_like
        One-hot, of the shape of y, or labels (N,).

    Returns
    -------
    loss : numpy.float64
    """
    P, T = np.atleast_2d(np.asarray(y)), np.asarray(t)
    labels = T.reshape(P.shape).argmax(axis=1) if T.size == P.size else checks.labels(
        T.reshape(-1), "t", samples=len(P), classes=P.shape[1])
    return -np.sum(np.log(P[np.arange(len(P)), labels] + 1e-7)) / len(P)


def labels_of(t: ArrayLike, samples: int, classes: int) -> NDArray[np.int64] | None:
    """Return the labels (N,) that `t` stands for, labels or one-hot rows; None where rows are something else."""
    T = np.asarray(t)
    if T.shape != (samples, classes):
        return checks.labels(T, "t", samples=samples, classes=classes)
    labels = np.asarray(T.argmax(axis=1), np.int64)
    one_hot = np.count_nonzero(T) == samples and bool((T[np.arange(samples), labels] == 1).all())
    return labels if one_hot else None
