"""The stochastic fit of scikit-learn's estimators in compiled steps.

The order of events, what is drawn from the random state, and every number that is kept are scikit-learn's.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_matrix, csr_matrix, issparse
from sklearn.base import is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from ..aliases import Layer
from ..blocks.optimizers import ADAM, Optimizer
from ..blocks.sparse import NonZeros, ascending
from ..checks import LARGEST, writable
from ..llvm.memory import overlap
from ..progress import Bar
from ..stored import StoredSamples
from ..training.interrupts import DeferredInterrupt
from ..training.session import Session
from ..tuning import EPOCHS_INDICES
from . import private

__all__ = ["FLOATS", "HEADS", "OUTPUT_HEADS", "Run", "fit_stochastic", "native", "non_zeros", "own", "split",
           "train_epochs", "trained_layers"]

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
"""What the engine computes in. To compare a dtype with a dtype takes less time than with its type."""

OUTPUT_HEADS = {"softmax": "softmax", "logistic": "logistic", "identity": "squared_error", "exp": "poisson"}
"""The head of the engine whose outputs are those of each `out_activation_`."""

HEADS = {("log_loss", "softmax"): "softmax", ("log_loss", "logistic"): "logistic",
          ("squared_error", "identity"): "squared_error", ("poisson", "exp"): "poisson"}
"""The head for each loss with each `out_activation_`; the attribute may be set to something else."""


def trained_layers(estimator: Any) -> list[Layer] | None:
    """Return the layers of a fitted estimator, or None if the engine cannot take them as they are.

    They are attributes that anybody can change: all that the engine relies on is looked at, in views that nobody else
    has, of the same memory.
    """
    weights, biases = estimator.coefs_, estimator.intercepts_
    if not isinstance(weights, list) or not isinstance(biases, list) or not 0 < len(weights) == len(biases):
        return None
    layers: list[Layer] = []
    dtype, rows = getattr(weights[0], "dtype", None), None
    for W, b in zip(weights, biases, strict=False):
        if type(W) is not np.ndarray or type(b) is not np.ndarray:
            return None
        W, b = W.view(), b.view()
        if W.dtype != dtype or b.dtype != dtype or not W.flags.carray or not b.flags.carray:
            return None
        if W.ndim != 2 or not W.size or b.shape != W.shape[1:] or rows not in (None, len(W)):
            return None
        rows = W.shape[1]
        layers.append((W, b))
    known = vars(estimator)
    fits = rows == known.get("n_outputs_") and len(layers) + 1 == known.get("n_layers_")
    return layers if dtype in FLOATS and fits else None


def trainable(estimator: Any, X: Any, y: Any, sizes: list[int]) -> list[Layer] | None:
    """Return the layers of an estimator, or None if they or the data are of a kind that is left to scikit-learn."""
    layers = trained_layers(estimator)
    if layers is None or len(sizes) != len(layers) + 1 or X.shape[1] != len(layers[0][0]):
        return None
    if (estimator.loss, estimator.out_activation_) not in HEADS or y.dtype.kind not in "buif" or y.itemsize > 8:
        return None
    if overlap(array for layer in layers for array in layer):
        return None
    # Where scikit-learn goes on in float64, numbers may come that float32 does not have.
    if isinstance(X, StoredSamples):  # what has to be read is looked at then
        X = np.empty(0, layers[0][0].dtype) if X.array is None else X.array
    values = [X.data if issparse(X) else X, *([] if is_classifier(estimator) else [y])]
    dtype = layers[0][0].dtype
    if any(part.size and part.dtype != dtype and max(-float(part.min()), float(part.max())) > LARGEST[dtype]
           for part in values):
        return None
    return layers


def fit_stochastic(estimator: Any, X: Any, y: Any, rest: tuple[Any, ...], stepwise: bool) -> bool:
    """Train an estimator; return False, with nothing changed, if that is left to scikit-learn.

    `stepwise`: whether somebody may look at the estimator after each epoch.
    """
    sample_weight, incremental = private.sample_weight_of(rest)
    layers = trainable(estimator, X, y, private.layer_sizes_of(rest))
    if layers is None:
        return False
    optimizer = getattr(estimator, "_optimizer", None) if incremental else None
    fresh = optimizer is None
    if fresh:
        optimizer = private.make_optimizer(estimator, [])  # its moments are zeros, which need no memory twice
    method = private.method_of(optimizer)
    if method is None:
        return False
    if estimator.early_stopping and incremental:
        raise ValueError("partial_fit does not support early_stopping=True")
    used, validation = split(estimator, X, y, sample_weight)
    batch_size = _batch_size(estimator, len(used))
    if fresh:
        vars(estimator).pop("_optimizer", None)  # the one of another fit has moments, which are memory
    run = Run(estimator, optimizer, layers, X, y, sample_weight, used, method, batch_size, fresh)
    try:
        with DeferredInterrupt() as interrupt, run:
            train_epochs(estimator, run, validation, incremental, stepwise, interrupt.check)
    except KeyboardInterrupt:
        warnings.warn("Training interrupted by user.", stacklevel=4)
    if validation is not None and None not in run.best:
        estimator._best_coefs, estimator._best_intercepts = run.best
        estimator.coefs_, estimator.intercepts_ = run.best
    return True


def split(estimator: Any, X: Any, y: Any, sample_weight: Any) -> tuple[NDArray[np.intp], tuple[Any, Any, Any] | None]:
    """Set validation data aside for early stopping: indices of the rest, and X, y and weights of what is aside.

    The rest is not copied: it is most of the data; nor are stored samples. Without early stopping it is all, and
    nothing is aside.
    """
    samples = np.arange(X.shape[0])
    if not estimator.early_stopping:
        return samples, None
    used, aside = train_test_split(
        samples, random_state=estimator._random_state, test_size=estimator.validation_fraction,
        stratify=y if is_classifier(estimator) and estimator.n_outputs_ == 1 else None)
    if len(aside) < 2:
        raise ValueError("The validation set is too small. Increase 'validation_fraction' or the size of your dataset.")
    y_val = y[aside]
    if is_classifier(estimator):
        y_val = estimator._label_binarizer.inverse_transform(y_val)
    X_val = X.take(aside) if isinstance(X, StoredSamples) else X[aside]
    return used, (X_val, y_val, None if sample_weight is None else sample_weight[aside])


def _batch_size(estimator: Any, samples: int) -> int:
    if estimator.batch_size == "auto":
        return min(200, samples)
    if estimator.batch_size > samples:
        warnings.warn("Got `batch_size` less than 1 or larger than sample size. It is going to be clipped",
                      stacklevel=5)
    return int(np.clip(estimator.batch_size, 1, samples))


def own(data: Any) -> Any:
    """Return data as nobody else has it, so that what is checked is what is used: arrays and matrices of SciPy.

    Another thread may set a shape, or change an index of a sparse matrix, at any time. An array becomes a view. A CSR
    or CSC matrix becomes one that shares the values; its indices, which to SciPy and to the engine are addresses, are
    copied, and then looked at.

    Raises
    ------
    ValueError
        If an index is out of range.
    """
    if type(data) is np.ndarray:
        return data.view()
    if not issparse(data) or data.format not in ("csr", "csc") or data.ndim != 2:
        return data
    kind = csc_matrix if data.format == "csc" else csr_matrix
    try:
        owned = kind((data.data[:], np.array(data.indices), np.array(data.indptr)), data.shape)
        owned.check_format(full_check=True)
    except ValueError as error:
        raise ValueError(f"X must be an intact sparse matrix: {error}") from None
    return owned


def in_steps(X: Any, dtype: np.dtype[Any]) -> Any:
    """Return samples of any kind as steps take them that compute in `dtype`: copied only where need be, in memory."""
    if issparse(X):
        return non_zeros(X, dtype)
    if isinstance(X, StoredSamples):
        return X.astype(dtype) if X.array is None else writable(X.array)
    return native(X, dtype)


def non_zeros(X: Any, dtype: np.dtype[Any]) -> NonZeros:
    """Return the non-zeros of a matrix that `own` has returned, row after row, in ascending columns."""
    X = X.tocsr()
    result = NonZeros(native(X.data, dtype), _indices(X.indices), _indices(X.indptr))
    if not ascending(result):
        X = csr_matrix((X.data.copy(), X.indices, X.indptr), X.shape)
        X.sort_indices()
        result = NonZeros(native(X.data, dtype), _indices(X.indices), _indices(X.indptr))
    return result


def _indices(array: NDArray[Any]) -> NDArray[Any]:
    """Indices as compiled code wants them: int32, or int64 where that does not have them."""
    return native(array, np.int64 if array.size and array.max() > np.iinfo(np.int32).max else np.int32)


def native(array: Any, dtype: Any) -> NDArray[Any]:
    """Return an array as compiled code wants it, in a view that nobody else has; it is copied only where need be."""
    return writable(np.require(array, dtype, ["C", "A"]).view())


def _moment(moment: Any, parameter: NDArray[Any]) -> NDArray[Any]:
    """A moment of the optimizer in the shape of its parameter, whatever somebody may have put there."""
    moment = np.asarray(moment, parameter.dtype).view()  # which nobody else has
    return moment if moment.shape == parameter.shape else np.broadcast_to(moment, parameter.shape)


class Run:
    """The data and the session of one fit; `used` are the indices of the samples to train with."""

    def __init__(self, estimator: Any, optimizer: Any, layers: list[Layer], X: Any, y: NDArray[Any], sample_weight: Any,
                 used: NDArray[np.intp], method: Optimizer, batch_size: int, fresh: bool) -> None:
        dtype = layers[0][0].dtype
        self._estimator, self._optimizer = estimator, optimizer
        self._X = in_steps(X, dtype)
        head = HEADS[estimator.loss, estimator.out_activation_]
        self._y = y.argmax(axis=1) if head == "softmax" else native(y, dtype)
        self._weights = None if sample_weight is None else native(sample_weight, dtype)
        # A minibatch may have no weight.
        self.may_fail = sample_weight is not None and sample_weight[used].min() <= 0
        self._method = method
        self._layers = layers
        self.best = self._best()
        known = [] if fresh else private.moments(self._optimizer)
        known = known if all(known) else []  # a fit that two exceptions have ended may have left it without moments
        moments = [[(_moment(m, W), _moment(n, b)) for (m, n), (W, b) in zip(moment, layers, strict=True)]
                   for moment in known]
        self._session = Session(batch_size, estimator.activation, head, method, issparse(X))
        self._session.pack(layers, moments)
        self.samples, self._order = len(used), used
        # The last minibatch of an epoch may be smaller.
        self._counts = np.full(-(-self.samples // batch_size), batch_size, np.intp)
        self._counts[-1] = self.samples - (len(self._counts) - 1) * batch_size

    def __enter__(self) -> None:
        """Begin. Until the end the optimizer has no moments: those that are packed take memory enough."""
        self._estimator._optimizer = self._optimizer
        private.set_moments(self._optimizer, [[] for _ in range(self._method.moments)])

    def __exit__(self, *exception: object) -> None:
        """Leave, however it ends, with what was learned in the estimator's own arrays.

        An exception that comes in here leaves parameters of an earlier whole step, or an optimizer without moments.
        """
        private.set_moments(self._optimizer, self._session.release())

    def _best(self) -> tuple[Any, Any]:
        known = vars(self._estimator)
        return known.get("_best_coefs"), known.get("_best_intercepts")

    def judge(self, validation: tuple[Any, Any, Any] | None) -> None:
        """Have the estimator judge an epoch, by its validation data where there are any.

        It keeps the best weights, then the best biases. An exception in between leaves `best`, which belong together.
        """
        private.update_no_improvement(self._estimator, validation)
        self.best = self._best()

    def store(self) -> None:
        """Bring `coefs_` and `intercepts_` up to date."""
        self._session.store()

    def epochs(self, most: int, check: Callable[[], None]) -> list[float]:
        """Train for one epoch or, if they are short, for several, `most` at most; return the mean loss of each.

        `check` is called after some steps where an epoch is long, and may raise.
        """
        steps = len(self._counts)
        epochs = max(1, min(most, self._session.steps // steps, EPOCHS_INDICES // self.samples))
        batches = self._batches(epochs)
        counts, rates = np.tile(self._counts, epochs), self._rates(epochs)
        losses, done = np.empty(len(batches)), 0
        while done < len(batches):
            part = slice(done, max(done + self._session.steps_with(self._X), len(batches) if epochs > 1 else 0))
            losses[part] = self._take_steps(batches[part], counts[part], rates[part])
            done = part.stop
            if done < len(batches):
                check()
        return [np.float64(sum(epoch) / self.samples) for epoch in (losses * counts).reshape(epochs, steps).tolist()]

    def _batches(self, epochs: int) -> NDArray[np.intp]:
        """The samples of each minibatch of the next epochs, with zeros where the last one of an epoch is smaller."""
        batches = np.zeros((epochs, len(self._counts) * self._counts[0]), np.intp)
        for row in batches:
            if self._estimator.shuffle:  # as sklearn.utils.shuffle draws
                self._order = self._order[self._estimator._random_state.permutation(self.samples)]
            row[:self.samples] = self._order
        return batches.reshape(-1, self._counts[0])

    def _rates(self, epochs: int) -> NDArray[np.float64]:
        """The learning rate of each of the next steps, which Adam counts."""
        optimizer, steps = self._optimizer, len(self._counts)
        if self._method.kind != ADAM:
            ahead, rates = copy.copy(optimizer), [optimizer.learning_rate]
            for epoch in range(1, epochs):
                ahead.iteration_ends(self._estimator.t_ + epoch * self.samples)
                rates.append(ahead.learning_rate)
            return np.repeat(rates, steps)
        t = np.arange(optimizer.t + 1, optimizer.t + epochs * steps + 1)
        result: NDArray[np.float64] = (optimizer.learning_rate_init * np.sqrt(1 - optimizer.beta_2**t)
                                       / (1 - optimizer.beta_1**t))
        return result

    def _take_steps(self, batches: NDArray[np.intp], counts: NDArray[np.intp],
                    rates: NDArray[np.float64]) -> NDArray[np.float64]:
        sums, divisors = None, counts.astype(np.float64)
        if self._weights is not None:
            real = np.arange(batches.shape[1]) < counts[:, np.newaxis]
            divisors = sums = (self._weights[batches] * real).sum(axis=1, dtype=np.float64)
            if not sums.all():
                before = int(np.flatnonzero(sums == 0)[0])
                if before:
                    self._take_steps(batches[:before], counts[:before], rates[:before])
                raise ZeroDivisionError("Weights sum to zero, can't be normalized")
        # The penalty of scikit-learn is 0.5 * alpha * sum(W^2) / (sum of weights).
        losses, _ = self._session.run(self._X, self._y, batches, rates, self._estimator.alpha / divisors, self._weights,
                                   sums, counts)
        if self._method.kind == ADAM:
            self._optimizer.t += len(batches)
            self._optimizer.learning_rate = rates[-1]
        return losses


def train_epochs(estimator: Any, run: Run, validation: tuple[Any, Any, Any] | None, incremental: bool,
            stepwise: bool, check: Callable[[], None]) -> None:
    """Train for as many epochs as it takes, or one if `incremental`."""
    verbose = estimator.verbose and estimator.verbose != "progress"
    # An epoch at a time where something may happen between two of them.
    alone = stepwise or incremental or validation is not None or bool(verbose) or run.may_fail
    estimator.n_iter_ = 0
    stopped = False
    with Bar(1 if incremental else estimator.max_iter, description=type(estimator).__name__, unit="epoch",
             figures=lambda: _figures(estimator), shown=estimator.verbose == "progress") as bar:
        while estimator.n_iter_ < estimator.max_iter and not stopped:
            # Nothing happens between two epochs but counting until there can have been too many without improvement.
            most = min(estimator.n_iter_no_change - getattr(estimator, "_no_improvement_count", 0) + 1,
                       estimator.max_iter - estimator.n_iter_)
            for loss in run.epochs(1 if alone else int(most), check):
                if stepwise or validation is not None:
                    run.store()
                stopped = _epoch_ends(estimator, run, loss, validation, verbose)
                bar.update(estimator.n_iter_)
            stopped |= incremental
            check()
    if not stopped and estimator.max_iter:
        warnings.warn(f"Stochastic Optimizer: Maximum iterations ({estimator.max_iter}) reached and the optimization "
                      f"hasn't converged yet.", ConvergenceWarning, stacklevel=5)


def _figures(estimator: Any) -> dict[str, float]:
    """What a progress bar shows of an estimator."""
    figures = {"loss": estimator.loss_} if estimator.loss_curve_ else {}
    scores = getattr(estimator, "validation_scores_", None)
    return {**figures, "val_score": scores[-1]} if scores else figures


def _epoch_ends(estimator: Any, run: Run, loss: float, validation: tuple[Any, Any, Any] | None,
                verbose: Any) -> bool:
    """Keep, print and judge what an epoch gave; return whether it was the last."""
    estimator.loss_ = loss
    estimator.n_iter_ += 1
    estimator.t_ += run.samples
    estimator.loss_curve_.append(loss)
    if verbose:
        print(f"Iteration {estimator.n_iter_}, loss = {loss:.8f}")
    run.judge(validation)
    estimator._optimizer.iteration_ends(estimator.t_)
    if estimator._no_improvement_count > estimator.n_iter_no_change:
        what = "Validation score" if validation is not None else "Training loss"
        message = (f"{what} did not improve more than tol={estimator.tol:f} for {estimator.n_iter_no_change} "
                   f"consecutive epochs.")
        if estimator._optimizer.trigger_stopping(message, verbose):
            return True
        estimator._no_improvement_count = 0
    return False
