"""Compilation ahead of the first fit."""

from __future__ import annotations

import time
import warnings

import numpy as np
from numpy.typing import DTypeLike
from sklearn.exceptions import ConvergenceWarning

from ..checks import floating_dtype, integer
from ..network.passes import prepare_regions
from .estimators import MLPClassifier

__all__ = ["warmup"]


def warmup(dtype: DTypeLike = np.float64, hidden_layers: int = 1) -> float:
    """Compile what the estimators need for data of `dtype`, or load it from the disk cache.

    Without it, the first calls of `fit` and `predict` do that. It serves all activations, outputs and solvers; sparse
    data have code of their own.

    Parameters
    ----------
    dtype : {float64, float32}
    hidden_layers : int, default 1
        How many hidden layers the networks will have, which makes a difference for predictions only.

    Returns
    -------
    seconds : float
        How long it took.

    Raises
    ------
    TypeError, ValueError
        If an argument is something else.
    """
    start = time.perf_counter()
    X, sizes = np.eye(4, dtype=floating_dtype(dtype)), (2,) * integer(hidden_layers, "hidden_layers", minimum=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        estimator = MLPClassifier(sizes, max_iter=1, random_state=0).fit(X, np.arange(4) % 3)
    estimator.predict(X)
    estimator.predict(X[:1])
    prepare_regions(X.dtype, len(sizes) + 1, estimator.activation, "softmax")
    return time.perf_counter() - start
