"""Loss and gradients of all samples by the engine, for the solver lbfgs: its iterations are SciPy's.

SciPy asks for them at parameters of the dtype that the first ones had. Samples of another dtype become floats of it by
the part: nothing is converted as a whole, and a part of the samples is copied at a time.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from threadpoolctl import ThreadpoolController

from ..aliases import Layer
from ..blocks.optimizers import MOMENTUM, Optimizer
from ..checks import writable
from ..engine.packed import Parameters
from ..engine.workspace import Workspace
from ..stored import StoredSamples
from ..tuning import BLOCK_ROWS, PART_BYTES
from . import private
from .stochastic import HEADS, in_steps, native, trainable

__all__ = ["WholeBatch", "one_blas_thread", "whole_batch"]


@functools.cache
def _libraries() -> ThreadpoolController:
    """What has threads of its own in this process, SciPy's BLAS among it: to look for it takes some milliseconds."""
    return ThreadpoolController()


_limiting = threading.Lock()
"""Held by who has set the number of BLAS's threads."""


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """A context in which BLAS uses one thread, in all threads of the process; not for fits beside another one.

    SciPy asks it for products of vectors between our gradients, and its threads then wait for more by spinning, on the
    cores that the gradients are made on: with two threads the digits took 1.4 times as long.

    Of fits that overlap only the first one sets the number. If another one did, and were the last to end, it would
    bring back what it has found: one thread.
    """
    if not _limiting.acquire(blocking=False):
        yield
        return
    try:
        with _libraries().limit(limits=1, user_api="blas"):
            yield
    finally:
        _limiting.release()


def whole_batch(estimator: Any, X: Any, y: NDArray[Any], rest: tuple[Any, ...]) -> WholeBatch | None:
    """Return what an estimator's gradients are made with, or None if that is left to scikit-learn.

    `rest` is what follows X and y in a call of its method of the solver.
    """
    sample_weight, sizes = private.lbfgs_arguments(rest)
    layers = trainable(estimator, X, y, sizes)
    if layers is None or (sample_weight is not None and not sample_weight.sum()):
        return None
    return WholeBatch(estimator, layers, X, y, sample_weight)


class WholeBatch:
    """The samples of a fit, and what the gradients of an estimator's network are made with.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
    layers : list of (W, b)
        Its own, looked at.
    X, y, sample_weight
        As scikit-learn's method of the solver has them.
    """

    def __init__(self, estimator: Any, layers: list[Layer], X: Any, y: NDArray[Any], sample_weight: Any) -> None:
        dtype, head, samples = layers[0][0].dtype, HEADS[estimator.loss, estimator.out_activation_], X.shape[0]
        self._X: Any = (
            in_steps(X, dtype) if issparse(X) or isinstance(X, StoredSamples) else writable(X.view()))
        self._y = y.argmax(axis=1) if head == "softmax" else np.array(y, dtype, order="C")
        self._weights = None if sample_weight is None else np.array(sample_weight, dtype)
        self._total = float(samples if sample_weight is None else sample_weight.sum())
        self._parameters = Parameters(layers, Optimizer(MOMENTUM, 0.0))  # whose moments are never touched
        widest = max(self._parameters.sizes)
        rows = min(samples, max(BLOCK_ROWS, PART_BYTES // (widest * dtype.itemsize)))
        starts = np.arange(0, samples, rows)
        self._counts = np.minimum(rows, samples - starts)
        # The last part may be smaller: any index will do where it has no sample.
        self._batches = np.minimum(starts[:, np.newaxis] + np.arange(rows), samples - 1)
        self._workspace = Workspace(self._parameters, rows, estimator.activation, head, issparse(X))
        self._estimator, self._dtype = estimator, dtype

    def backprop(self, *given: Any) -> tuple[float, list[NDArray[Any]], list[NDArray[Any]]]:
        """Return loss and gradients of the estimator's parameters as they are now, as scikit-learn's `_backprop` does.

        The gradients go into its last two arguments, which are lists.

        Raises
        ------
        ValueError
            If the parameters are of other shapes than they were.
        """
        coef_grads, intercept_grads = given[-2:]
        layers: list[Layer] = [(native(W, self._dtype), native(b, self._dtype)) for W, b in zip(
            self._estimator.coefs_, self._estimator.intercepts_, strict=True)]
        loss, penalty = 0.0, self._estimator.alpha / self._total
        for part, count in enumerate(self._counts):
            self._parameters.replace(layers)
            X, y, weights, batch = self._X, self._y, self._weights, self._batches[part:part + 1]
            if isinstance(X, StoredSamples):
                ((chosen, X, batch),) = X.portions([batch])
                y, weights = y[chosen], None if weights is None else weights[chosen]
            losses, _ = self._workspace.run(X, y, batch, 0.0, penalty, weights, np.array([self._total]),
                                            np.array([count]), only_gradients=True)
            loss += float(losses[0])
            grads = [(np.empty_like(W), np.empty_like(b)) for W, b in layers]
            self._parameters.store(grads)
            for number, (dW, db) in enumerate(grads):
                coef_grads[number] = coef_grads[number] + dW if part else dW
                intercept_grads[number] = intercept_grads[number] + db if part else db
            penalty = 0.0  # it is in the first part
        return loss, coef_grads, intercept_grads
