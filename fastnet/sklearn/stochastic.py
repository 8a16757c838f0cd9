"""The stochastic fit of scikit-learn's estimators in compiled steps.

The order of events, what is drawn from the random state, and every number that is kept are scikit-learn's.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.base import is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from ..checks import Layer
from ..interrupts import DeferredInterrupt, Pace
from ..optimizers import ADAM, MOMENTUM, NESTEROV, Optimizer
from ..progress import progress_bar
from ..sparse import NonZeros
from ..workspace import Parameters, Workspace
from . import private

__all__ = ["HEADS", "fit_stochastic", "trained_layers"]

_RUN_INDICES = 1_000_000
"""The most indices of samples in one run of compiled steps."""

HEADS = {"softmax": "softmax", "logistic": "logistic", "identity": "squared_error", "exp": "poisson"}
"""The head of the engine for each `out_activation_`."""


def trained_layers(estimator: Any) -> list[Layer] | None:
    """Return the layers of a fitted estimator, or None if the engine cannot take them as they are.

    They are attributes that anybody can change: all that the engine relies on is looked at.
    """
    if not isinstance(estimator.coefs_, list) or not isinstance(estimator.intercepts_, list):
        return None
    layers = list(zip(estimator.coefs_, estimator.intercepts_, strict=False))
    if not len(estimator.coefs_) == len(estimator.intercepts_) == len(layers) > 0:
        return None
    dtype, rows = getattr(layers[0][0], "dtype", None), None
    for W, b in layers:
        for array in (W, b):
            if type(array) is not np.ndarray or array.dtype != dtype or not array.flags.carray:
                return None
        if W.ndim != 2 or not W.size or b.shape != W.shape[1:] or rows not in (None, len(W)):
            return None
        rows = W.shape[1]
    return layers if dtype in (np.float32, np.float64) and rows == estimator.n_outputs_ else None


def fit_stochastic(estimator: Any, X: Any, y: Any, rest: tuple[Any, ...]) -> bool:
    """Train an estimator; return False, with nothing changed, if that is left to scikit-learn."""
    sample_weight, incremental = private.sample_weight_of(rest)
    layers = trained_layers(estimator)
    if layers is None or X.shape[1] != len(layers[0][0]):
        return False
    if not incremental or not hasattr(estimator, "_optimizer"):
        estimator._optimizer = private.make_optimizer(estimator, [*estimator.coefs_, *estimator.intercepts_])
    if estimator.early_stopping and incremental:
        raise ValueError("partial_fit does not support early_stopping=True")
    validation = None
    if estimator.early_stopping:
        X, y, sample_weight, validation = _split(estimator, X, y, sample_weight)
    run = _Run(estimator, layers, X, y, sample_weight, _batch_size(estimator, X.shape[0]))
    try:
        with DeferredInterrupt() as interrupt, run.stored():
            _epochs(estimator, run, validation, incremental, interrupt.check)
    except KeyboardInterrupt:
        warnings.warn("Training interrupted by user.", stacklevel=4)
    if validation is not None:
        estimator.coefs_, estimator.intercepts_ = estimator._best_coefs, estimator._best_intercepts
    return True


def _split(estimator: Any, X: Any, y: Any, sample_weight: Any) -> tuple[Any, Any, Any, tuple[Any, Any, Any]]:
    """Set validation data aside for early stopping: X, y and weights of the rest, and these three of what is aside."""
    arrays = [X, y] if sample_weight is None else [X, y, sample_weight]
    parts = train_test_split(
        *arrays, random_state=estimator._random_state, test_size=estimator.validation_fraction,
        stratify=y if is_classifier(estimator) and estimator.n_outputs_ == 1 else None)
    X_val, y_val = parts[1], parts[3]
    if X_val.shape[0] < 2:
        raise ValueError("The validation set is too small. Increase 'validation_fraction' or the size of your dataset.")
    if is_classifier(estimator):
        y_val = estimator._label_binarizer.inverse_transform(y_val)
    weights = (None, None) if sample_weight is None else (parts[4], parts[5])
    return parts[0], parts[2], weights[0], (X_val, y_val, weights[1])


def _batch_size(estimator: Any, samples: int) -> int:
    if estimator.batch_size == "auto":
        return min(200, samples)
    if estimator.batch_size > samples:
        warnings.warn("Got `batch_size` less than 1 or larger than sample size. It is going to be clipped",
                      stacklevel=6)
    return int(np.clip(estimator.batch_size, 1, samples))


def _method(estimator: Any) -> Optimizer:
    if estimator.solver == "adam":
        return Optimizer(ADAM, float(estimator.beta_1), float(estimator.beta_2), float(estimator.epsilon))
    return Optimizer(NESTEROV if estimator.nesterovs_momentum else MOMENTUM, float(estimator.momentum))


def _non_zeros(X: Any, dtype: np.dtype[Any]) -> NonZeros:
    """The non-zeros of a CSR or CSC matrix, row after row, in ascending columns; they are copied only where need be."""
    X = X.tocsr()
    if not X.has_sorted_indices:
        X = X.sorted_indices()
    return NonZeros(np.ascontiguousarray(X.data, dtype), X.indices, X.indptr)


class _Run:
    """The data, packed parameters and workspace of one fit."""

    def __init__(self, estimator: Any, layers: list[Layer], X: Any, y: NDArray[Any], sample_weight: Any,
                 batch_size: int) -> None:
        dtype = layers[0][0].dtype
        self._estimator, self._optimizer = estimator, estimator._optimizer
        self._X = _non_zeros(X, dtype) if issparse(X) else np.ascontiguousarray(X, dtype)
        head = HEADS[estimator.out_activation_]
        self._y = y.argmax(axis=1) if head == "softmax" else np.ascontiguousarray(y, dtype)
        self._weights = None if sample_weight is None else np.ascontiguousarray(sample_weight, dtype)
        self._layers = layers
        self._moments = [[(np.array(W, dtype), np.array(b, dtype)) for W, b in moment]
                         for moment in private.moments(self._optimizer)]
        self._parameters = Parameters(layers, _method(estimator), self._moments)
        self._workspace = Workspace(self._parameters, batch_size, estimator.activation, head, issparse(X))
        self._pace = Pace(max(1, _RUN_INDICES // batch_size))
        self.samples, self._order = X.shape[0], np.arange(X.shape[0])
        # The last minibatch of an epoch may be smaller.
        self._counts = np.full(-(-self.samples // batch_size), batch_size, np.intp)
        self._counts[-1] = self.samples - (len(self._counts) - 1) * batch_size

    @contextlib.contextmanager
    def stored(self) -> Iterator[None]:
        """Leave, however it ends, with what was learned in the estimator's own arrays."""
        try:
            yield
        finally:
            self._parameters.store(self._layers, self._moments)
            private.set_moments(self._optimizer, self._moments)

    def store(self) -> None:
        """Bring `coefs_` and `intercepts_` up to date."""
        self._parameters.store(self._layers)

    def epochs(self, most: int, check: Callable[[], None]) -> list[float]:
        """Train for one epoch or, if they are short, for several, `most` at most; return the mean loss of each.

        `check` is called after some steps where an epoch is long, and may raise.
        """
        steps = len(self._counts)
        epochs = max(1, min(most, self._pace.steps // steps))
        batches = np.concatenate([self._batches() for _ in range(epochs)])
        counts, rates = np.tile(self._counts, epochs), self._rates(epochs)
        losses, done = np.empty(len(batches)), 0
        while done < len(batches):
            part = slice(done, max(done + self._pace.steps, len(batches) if epochs > 1 else 0))
            losses[part] = self._pace(functools.partial(self._steps, batches[part], counts[part], rates[part]),
                                      len(batches[part]))
            done = part.stop
            if done < len(batches):
                check()
        return [sum(epoch) / self.samples for epoch in (losses * counts).reshape(epochs, steps).tolist()]

    def _batches(self) -> NDArray[np.intp]:
        """The samples of each minibatch of the next epoch, with zeros at the end where the last one is smaller."""
        if self._estimator.shuffle:  # as sklearn.utils.shuffle draws
            self._order = self._order[self._estimator._random_state.permutation(self.samples)]
        batches = np.zeros((len(self._counts), self._counts[0]), np.intp)
        batches.reshape(-1)[:self.samples] = self._order
        return batches

    def _rates(self, epochs: int) -> NDArray[np.float64]:
        """The learning rate of each of the next steps, which Adam counts."""
        optimizer, steps = self._optimizer, len(self._counts)
        if self._estimator.solver == "sgd":
            ahead, rates = copy.copy(optimizer), []
            for epoch in range(1, epochs + 1):
                rates.append(ahead.learning_rate)
                ahead.iteration_ends(self._estimator.t_ + epoch * self.samples)
            return np.repeat(rates, steps)
        t = np.arange(optimizer.t + 1, optimizer.t + epochs * steps + 1)
        result: NDArray[np.float64] = (optimizer.learning_rate_init * np.sqrt(1 - optimizer.beta_2**t)
                                       / (1 - optimizer.beta_1**t))
        return result

    def _steps(self, batches: NDArray[np.intp], counts: NDArray[np.intp],
               rates: NDArray[np.float64]) -> NDArray[np.float64]:
        sums, divisors = None, counts.astype(np.float64)
        if self._weights is not None:
            real = np.arange(batches.shape[1]) < counts[:, np.newaxis]
            divisors = sums = (self._weights[batches] * real).sum(axis=1, dtype=np.float64)
            if not sums.all():
                raise ZeroDivisionError("Weights sum to zero, can't be normalized")
        # The penalty of scikit-learn is 0.5 * alpha * sum(W^2) / (sum of weights).
        losses = self._workspace.run(self._X, self._y, batches, rates, self._estimator.alpha / divisors, self._weights,
                                     sums, counts)
        if self._estimator.solver == "adam":
            self._optimizer.t += len(batches)
            self._optimizer.learning_rate = rates[-1]
        return losses


def _epochs(estimator: Any, run: _Run, validation: tuple[Any, Any, Any] | None, incremental: bool,
            check: Callable[[], None]) -> None:
    """Train for as many epochs as it takes, one if `incremental`."""
    verbose = estimator.verbose and estimator.verbose != "progress"
    epochs = range(estimator.max_iter)
    bar = iter(progress_bar(epochs, description=type(estimator).__name__) if estimator.verbose == "progress" else ())
    estimator.n_iter_ = 0
    stopped = False
    while estimator.n_iter_ < estimator.max_iter and not stopped:
        # Nothing happens between two epochs but counting until there can have been too many without improvement.
        most = min(estimator.n_iter_no_change - estimator._no_improvement_count + 1,
                   estimator.max_iter - estimator.n_iter_)
        for loss in run.epochs(1 if incremental or validation is not None else int(most), check):
            next(bar, None)
            stopped = _epoch_ends(estimator, run, loss, validation, verbose)
        stopped |= incremental
        check()
    if not stopped:
        next(bar, None)  # past the end, where the bar is closed
        warnings.warn(f"Stochastic Optimizer: Maximum iterations ({estimator.max_iter}) reached and the optimization "
                      f"hasn't converged yet.", ConvergenceWarning, stacklevel=5)


def _epoch_ends(estimator: Any, run: _Run, loss: float, validation: tuple[Any, Any, Any] | None,
                verbose: Any) -> bool:
    """Keep, print and judge what an epoch gave; return whether it was the last."""
    estimator.loss_ = loss
    estimator.n_iter_ += 1
    estimator.t_ += run.samples
    estimator.loss_curve_.append(loss)
    if verbose:
        print(f"Iteration {estimator.n_iter_}, loss = {loss:.8f}")
    if validation is not None:
        run.store()
    private.update_no_improvement(estimator, validation)
    estimator._optimizer.iteration_ends(estimator.t_)
    if estimator._no_improvement_count > estimator.n_iter_no_change:
        what = "Validation score" if validation is not None else "Training loss"
        message = (f"{what} did not improve more than tol={estimator.tol:f} for {estimator.n_iter_no_change} "
                   f"consecutive epochs.")
        if estimator._optimizer.trigger_stopping(message, verbose):
            return True
        estimator._no_improvement_count = 0
    return False
