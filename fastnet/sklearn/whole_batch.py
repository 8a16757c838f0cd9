"""Loss and gradients of all samples by the engine, for the solver lbfgs: its iterations are SciPy's.

SciPy asks for them at parameters of the dtype that the first ones had. Samples of another dtype become floats of it by
the part: nothing is converted as a whole, and a part of the samples is copied at a time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from ..aliases import Layer
from ..checks import writable
from ..engine.gradients import Gradients
from ..tuning import PACKED_ROWS, PART_BYTES
from .stochastic import HEADS, non_zeros, trainable

__all__ = ["WholeBatch"]


class WholeBatch:
    """The samples of a fit, and what the gradients of an estimator's network are made with.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
    X, y, sample_weight
        As scikit-learn's own method of the solver has them.
    sizes : list of int
        (D, H, ..., C).

    Raises
    ------
    ValueError
        If the estimator or the data are of a kind that is left to scikit-learn.
    """

    def __init__(self, estimator: Any, X: Any, y: NDArray[Any], sample_weight: Any, sizes: list[int]) -> None:
        layers = trainable(estimator, X, y, sizes)
        if layers is None or (sample_weight is not None and not sample_weight.sum()):
            raise ValueError("this is left to scikit-learn")
        dtype, head = layers[0][0].dtype, HEADS[estimator.loss, estimator.out_activation_]
        self._X: Any = non_zeros(X, dtype) if issparse(X) else writable(X.view())
        self._y = y.argmax(axis=1) if head == "softmax" else np.array(y, dtype, order="C")
        self._weights = None if sample_weight is None else np.array(sample_weight, dtype)
        self._total = float(X.shape[0] if sample_weight is None else sample_weight.sum())
        self._estimator, self._samples = estimator, X.shape[0]
        self._rows = min(self._samples, max(PACKED_ROWS, PART_BYTES // (max(sizes) * dtype.itemsize)))
        self._gradients, self._dtype = Gradients(layers, self._rows, estimator.activation, head, issparse(X)), dtype

    def backprop(self, *given: Any) -> tuple[float, list[NDArray[Any]], list[NDArray[Any]]]:
        """Return loss and gradients of the estimator's parameters as they are now, as scikit-learn's `_backprop` does.

        The gradients go into its last two arguments, which are lists.
        """
        coef_grads, intercept_grads = given[-2:]
        layers: list[Layer] = [(self._native(W), self._native(b)) for W, b in zip(
            self._estimator.coefs_, self._estimator.intercepts_, strict=True)]
        loss, penalty = 0.0, self._estimator.alpha / self._total
        for start in range(0, self._samples, self._rows):
            count = min(self._rows, self._samples - start)
            batch = np.zeros((1, self._rows), np.intp)
            batch[0, :count] = np.arange(start, start + count)
            part, grads = self._gradients.take(layers, self._X, self._y, batch, count, penalty, self._weights,
                                               self._total)
            loss += part
            for number, (dW, db) in enumerate(grads):
                coef_grads[number] = coef_grads[number] + dW if start else dW
                intercept_grads[number] = intercept_grads[number] + db if start else db
            penalty = 0.0  # it is in the first part
        return loss, coef_grads, intercept_grads

    def _native(self, parameter: NDArray[Any]) -> NDArray[Any]:
        """A parameter as compiled code wants it."""
        return writable(np.require(parameter, self._dtype, ["C", "A"]))
