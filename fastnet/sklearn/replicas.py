"""Replicas of an estimator: each is trained on a shard of the data for a round, then they are averaged.

What is here knows nothing of a cluster: a round is a pure function of what the model is and of a shard, so whoever has
lost a result computes it once more, to the same bits (:mod:`fastnet.dask` does all this on Dask).
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.base import is_classifier
from sklearn.model_selection import train_test_split

from ..aliases import Layer
from ..blocks.optimizers import Optimizer
from ..blocks.sparse import NonZeros
from ..training.session import Session
from . import private
from .estimators import MLPClassifier, MLPRegressor
from .stochastic import HEADS, _epochs, _Run, _split, native, non_zeros, own, trained_layers

__all__ = ["AUTO_AT_LEAST", "Model", "Partial", "Shard", "State", "average", "begun", "fit_replicas", "generators",
           "judged", "model_of", "of_validation", "shard_of", "tally", "train"]


AUTO_AT_LEAST = 25
"""With ``batch_size="auto"`` replicas share the 200 samples of a local minibatch, so that an epoch has as many steps as
that of a local fit: so many each, at least, as eight replicas have. More have not been measured (docs/howto/dask.md).
"""


class _Beginning:
    """An estimator whose `fit` validates and initializes as scikit-learn's does, and then trains nothing."""

    given_score = np.nan
    """What the validation data of all shards say of the epoch that is judged."""

    def _fit_stochastic(self, X: Any, y: Any, *rest: Any) -> None:
        """Leave it at the beginning."""

    def _score(self, *_data: Any, **_weights: Any) -> float:
        return self.given_score


class _BeginningClassifier(_Beginning, MLPClassifier):
    """See `_Beginning`."""


class _BeginningRegressor(_Beginning, MLPRegressor):
    """See `_Beginning`."""


def begun(estimator: Any, X: Any, y: Any) -> Any:
    """Return a copy of a local estimator, fitted or not, at the beginning of a fit.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
        Its parameters are validated; with ``warm_start`` the copy goes on from what it has learned.
    X, y
        A few samples of the shape, dtype and names of the data, which have all labels. Their values do not matter.
    """
    result: Any = (_BeginningClassifier if is_classifier(estimator) else _BeginningRegressor)()
    vars(result).update(copy.deepcopy({name: value for name, value in vars(estimator).items()
                                       if name not in ("_optimizer", "random_state")}))
    result.random_state = estimator.random_state  # a generator goes on for its owner, as it does in any fit
    return result.fit(X, y)


def generators(estimator: Any, count: int) -> list[np.random.RandomState]:
    """Return a generator for each of so many shards, from that of an estimator that has `begun`.

    A single shard has what the local fit would go on with, so that both draw the same.
    """
    source = estimator._random_state
    if count == 1:
        alone = np.random.RandomState()
        alone.set_state(source.get_state())
        source.randint(2)  # what comes after this fit draws something else
        return [alone]
    return [np.random.RandomState(seed) for seed in source.randint(2**32, size=count, dtype=np.uint64)]


@dataclasses.dataclass(frozen=True)
class Model:
    """What all shards of a fit have in common."""

    estimator: Any
    """The one that has `begun`, without its parameters."""
    method: Optimizer
    head: str
    sizes: tuple[int, ...]
    """Of all layers: (D, H, ..., C)."""
    dtype: np.dtype[Any]


def model_of(estimator: Any) -> Model:
    """Return what the shards need to know of an estimator that has `begun`."""
    layers = trained_layers(estimator)
    if layers is None:
        raise ValueError("coefs_ and intercepts_ must be as a fit has left them, to go on with warm_start")
    method = private.method_of(private.make_optimizer(estimator, []))
    assert method is not None, "make_optimizer makes those only that are known"
    bare = copy.copy(estimator)
    for name in ("coefs_", "intercepts_", "_best_coefs", "_best_intercepts", "_random_state", "random_state"):
        vars(bare).pop(name, None)
    bare.loss_curve_, bare.validation_scores_ = [], []
    sizes = (len(layers[0][0]), *(W.shape[1] for W, _ in layers))
    return Model(bare, method, HEADS[estimator.loss, estimator.out_activation_], sizes, layers[0][0].dtype)


@dataclasses.dataclass
class Shard:
    """The samples of a partition as the engine takes them."""

    part: int
    """The number of the partition."""
    model: Model
    X: Any
    y: NDArray[Any]
    weights: NDArray[Any] | None
    used: NDArray[np.intp]
    """The samples to train with."""
    validation: tuple[Any, Any, Any] | None
    """Those set aside for early stopping: X, y and weights."""
    generator: np.random.RandomState
    """Draws the orders; never used itself, only copied."""
    batch_size: int
    latest: tuple[int, NDArray[np.intp], np.random.RandomState] | None = None
    """An epoch, its order, and the generator after it: not a part of the shard's value, and not pickled."""

    @property
    def steps(self) -> int:
        """How many steps an epoch has."""
        return -(-len(self.used) // self.batch_size)

    def order(self, epoch: int) -> NDArray[np.intp]:
        """Return the samples in the order of an epoch, which is the shuffled one of the epoch before.

        Drawn anew from the first epoch on, where the one before is not known: on another worker, that is.
        """
        latest = self.latest
        done, order, generator = latest if latest and latest[0] <= epoch else (-1, self.used, self.generator)
        if done < epoch and self.model.estimator.shuffle:
            generator = copy.deepcopy(generator)
            for _ in range(epoch - done):
                order = order[generator.permutation(len(order))]  # as sklearn.utils.shuffle draws
        self.latest = epoch, order, generator
        return order

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "latest": None}

    def __sizeof__(self) -> int:
        """The bytes of all arrays: a scheduler decides by them what to move."""
        X = [self.X.data, self.X.indices, self.X.indptr] if isinstance(self.X, NonZeros) else [self.X]
        arrays = [*X, self.y, self.used, *([] if self.weights is None else [self.weights])]
        return object.__sizeof__(self) + sum(array.nbytes for array in arrays) + len(self.used) * 8


def shard_of(model: Model, part: int, X: Any, y: NDArray[Any], weights: NDArray[Any] | None,
             generator: np.random.RandomState, count: int) -> Shard:
    """Return the shard of validated samples.

    Parameters
    ----------
    X : ndarray or sparse matrix of shape (n_samples, n_features)
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
    weights : ndarray of shape (n_samples,) or None
    count : int
        How many shards there are. A single one is split and cut into minibatches as in a local fit.
    """
    estimator, X = model.estimator, own(X)
    if is_classifier(estimator):
        if y.ndim == 1 and not np.isin(y, estimator.classes_).all():
            raise ValueError(f"y has labels that are not among the classes: "
                             f"{np.setdiff1d(y, estimator.classes_).tolist()}")
        y = estimator._label_binarizer.transform(y).astype(bool)
    y = y.reshape(len(y), -1)
    generator = copy.deepcopy(generator)
    estimator = copy.copy(estimator)
    estimator._random_state = generator
    split = _split if count == 1 else _split_some
    used, validation = split(estimator, X, y, weights)
    size = max(200 // count, AUTO_AT_LEAST) if estimator.batch_size == "auto" else estimator.batch_size
    engine_y = y.argmax(axis=1) if model.head == "softmax" else native(y, model.dtype)
    if engine_y.dtype.kind == "f" and not np.isfinite(engine_y).all():
        raise ValueError(f"y must be finite in {model.dtype}, as X is")
    return Shard(part, model, non_zeros(X, model.dtype) if issparse(X) else native(X, model.dtype), engine_y,
                 None if weights is None else native(weights, model.dtype), used, validation, generator,
                 int(np.clip(size, 1, max(len(used), 1))))


def _split_some(estimator: Any, X: Any, y: Any, weights: Any) -> tuple[NDArray[np.intp], tuple[Any, Any, Any] | None]:
    """As `_split`, where other shards have validation data too: with few samples of a class, or few at all.

    Then the split is not stratified, or there is nothing aside.
    """
    before = estimator._random_state.get_state()
    try:
        return _split(estimator, X, y, weights)
    except ValueError:
        estimator._random_state.set_state(before)
    samples = np.arange(X.shape[0])
    aside = int(estimator.validation_fraction * len(samples))
    if not aside:
        return samples, None
    used, held = train_test_split(samples, random_state=estimator._random_state, test_size=aside)
    truth = y[held]
    if is_classifier(estimator):
        truth = estimator._label_binarizer.inverse_transform(truth)
    return used, (X[held], truth, None if weights is None else weights[held])


@dataclasses.dataclass(frozen=True)
class State:
    """What a round begins with."""

    buffer: NDArray[Any]
    """Parameters, then the moments of the optimizer, one behind the other."""
    counters: dict[str, Any]
    """What the optimizer knows besides: its rate, its count of steps."""
    epoch: int
    first: int
    last: int | None
    """The steps of the epoch that are taken; None for all from the first on."""


@dataclasses.dataclass
class Partial:
    """What a round has made of a state: of one shard, or the average of some."""

    buffer: NDArray[Any]
    samples: int
    loss: float
    """Sum of the losses of the samples."""
    steps: int
    """What the optimizer has counted."""

    def __sizeof__(self) -> int:
        return object.__sizeof__(self) + self.buffer.nbytes


class _Replica(_Run):
    """The session of a round, on a shard that is the engine's already."""

    def __init__(self, shard: Shard, optimizer: Any, counts: NDArray[np.intp], layers: list[Layer],
                 moments: list[list[Layer]]) -> None:
        model = shard.model
        self._estimator, self._optimizer, self._method = model.estimator, optimizer, model.method
        self._X, self._y, self._weights = shard.X, shard.y, shard.weights
        self._counts = counts
        self._session = Session(shard.batch_size, model.estimator.activation, model.head, model.method,
                                isinstance(shard.X, NonZeros))
        self._session.pack(layers, moments)

    def steps(self, batches: NDArray[np.intp]) -> tuple[list[float], list[list[Layer]]]:
        """Take a step for each minibatch; return the loss of each, times its samples, and the moments."""
        losses = self._take_steps(batches, self._counts, self._rates(1))
        return (losses * self._counts).tolist(), self._session.release()


def train(state: State, shard: Shard) -> Partial:
    """Take the steps of a round on a shard."""
    size = shard.batch_size
    samples = shard.order(state.epoch)[state.first * size:None if state.last is None else state.last * size]
    batches = np.zeros((-(-len(samples) // size), size), np.intp)
    batches.reshape(-1)[:len(samples)] = samples
    counts = np.full(len(batches), size, np.intp)  # the last minibatch of an epoch may be smaller
    counts[-1] = len(samples) - (len(batches) - 1) * size
    optimizer = private.make_optimizer(shard.model.estimator, [])
    vars(optimizer).update(state.counters)
    buffer = state.buffer.copy()
    layers, *moments = _layers_of(buffer, shard.model.sizes)
    losses, new = _Replica(shard, optimizer, counts, layers, moments).steps(batches)
    for target, source in zip(_arrays(moments), _arrays(new), strict=True):
        target[...] = source
    return Partial(buffer, len(samples), sum(losses), getattr(optimizer, "t", 0))


def average(one: Partial, other: Partial) -> Partial:
    """Return the average of two, weighted by their samples. Equal ones stay what they are, to the last bit."""
    samples = one.samples + other.samples
    buffer = other.buffer - one.buffer
    buffer *= other.samples / samples
    buffer += one.buffer
    return Partial(buffer, samples, one.loss + other.loss, max(one.steps, other.steps))


def _layers_of(buffer: NDArray[Any], sizes: Sequence[int]) -> list[list[Layer]]:
    """The parameters in a buffer, then the moments, as layers: views of it."""
    found, start = [], 0
    while start < len(buffer):
        layers = []
        for rows, columns in itertools.pairwise(sizes):
            end = start + rows * columns
            layers.append((buffer[start:end].reshape(rows, columns), buffer[end:end + columns]))
            start = end + columns
        found.append(layers)
    return found


def _arrays(stacks: Sequence[Sequence[Layer]]) -> list[NDArray[Any]]:
    return [array for layers in stacks for layer in layers for array in layer]


def tally(estimator: Any, X: Any, y: NDArray[Any], weights: NDArray[Any] | None) -> NDArray[np.float64]:
    """Return what a score is made of: of some samples, whose truth is known.

    Returns
    -------
    tally : ndarray of shape (2,) or (4, n_outputs)
        Of a classifier: the weight of those that are right, and of all. Of a regressor: the weight, the mean of y, the
        sum of squares around it, and that of the residuals.
    """
    predicted, w = estimator.predict(X), np.ones(len(y)) if weights is None else np.asarray(weights, np.float64)
    if is_classifier(estimator):
        hits = (y == predicted) if y.ndim == 1 else (y == predicted).all(axis=1)
        return np.array([(hits * w).sum(), w.sum()])
    # Sums have an order: that of rows, in whatever layout y has come.
    truth, predicted, w = np.ascontiguousarray(y.reshape(len(y), -1)), predicted.reshape(len(y), -1), w[:, np.newaxis]
    mean = np.average(truth, axis=0, weights=None if weights is None else w[:, 0])
    return np.array([np.full(len(mean), w.sum()), mean, (w * (truth - mean) ** 2).sum(axis=0),
                     (w * (truth - predicted) ** 2).sum(axis=0)])


def of_validation(state: State, shard: Shard) -> NDArray[np.float64] | None:
    """Return the `tally` of a shard's validation data with the parameters of a state; None if it has none."""
    if shard.validation is None:
        return None
    estimator = copy.copy(shard.model.estimator)
    layers, *_ = _layers_of(state.buffer, shard.model.sizes)
    estimator.coefs_, estimator.intercepts_ = map(list, zip(*layers, strict=True))
    return tally(estimator, *shard.validation)


def judged(tallies: Sequence[NDArray[np.float64]]) -> float:
    """Return the accuracy, or the coefficient of determination, that the tallies of all samples make, in their order.

    The latter is the mean over the outputs, as scikit-learn's `r2_score` has it.
    """
    total, *others = tallies
    if total.ndim == 1:
        hits, weight = np.sum(tallies, axis=0)
        return float(hits / weight)
    for other in others:  # sums of squares around a common mean (Chan, Golub, LeVeque)
        weight = total[0] + other[0]
        apart, part = other[1] - total[1], other[0] / weight
        squares = total[2] + other[2] + apart**2 * total[0] * part
        total = np.array([weight, total[1] + apart * part, squares, total[3] + other[3]])
    _, _, squares, residuals = total
    known = squares != 0
    scores = np.where(known, 1 - residuals / np.where(known, squares, 1), np.where(residuals == 0, 1.0, 0.0))
    return float(scores.mean())


class _AveragedRun:
    """What `_epochs` has of a fit by replicas: the averaged model, and rounds that somebody else takes."""

    may_fail = False

    def __init__(self, estimator: Any, optimizer: Any, moments: int, shards: Sequence[tuple[int, int]],
                 sync: int | None, outer_momentum: float, take_round: Callable[[State, list[int]], Partial],
                 score: Callable[[State], float]) -> None:
        self._estimator, self._optimizer = estimator, optimizer
        self._take_round, self._score = take_round, score
        self._steps, self.samples = [steps for _, steps in shards], sum(samples for samples, _ in shards)
        self._sync = max(self._steps) if sync is None else sync
        self._momentum, self._velocity = outer_momentum, None
        self._sizes = (len(estimator.coefs_[0]), *(len(b) for b in estimator.intercepts_))
        parameters = np.concatenate([array.ravel() for array in _arrays([self._layers()])])
        self._buffer = np.concatenate([parameters, np.zeros(moments * len(parameters), parameters.dtype)])
        self._parameters = len(parameters)
        self._epoch = 0

    def _layers(self) -> list[Layer]:
        return list(zip(self._estimator.coefs_, self._estimator.intercepts_, strict=True))

    def epochs(self, _most: int, check: Callable[[], None]) -> list[float]:
        """Train for an epoch; return its mean loss."""
        loss = 0.0
        for first in range(0, max(self._steps), self._sync):
            last = first + self._sync
            # A shard that has no samples left in this epoch waits for the others.
            busy = [place for place, steps in enumerate(self._steps) if steps > first]
            partial = self._take_round(self._state(first, last), busy)
            loss += partial.loss
            self._step(partial)
            check()
        self._epoch += 1
        return [np.float64(loss / self.samples)]

    def _state(self, first: int, last: int) -> State:
        return State(self._buffer, private.counters(self._optimizer), self._epoch, first,
                     None if last >= max(self._steps) else last)

    def _step(self, partial: Partial) -> None:
        """Go to the average; with momentum, further on in the direction of the rounds before."""
        buffer = partial.buffer
        if self._momentum:
            ours, new = self._buffer[:self._parameters], buffer[:self._parameters]
            step = new - ours
            self._velocity = step if self._velocity is None else self._momentum * self._velocity + step
            buffer = np.concatenate([ours + self._velocity, buffer[self._parameters:]])
        self._buffer = buffer
        if hasattr(self._optimizer, "t"):
            self._optimizer.t = partial.steps

    def judge(self, validation: Any) -> None:
        """Have the estimator judge an epoch, by the validation data of all shards where there are any."""
        if validation is not None:
            self._estimator.given_score = self._score(self._state(0, 0))
        private.update_no_improvement(self._estimator, validation)

    def store(self) -> None:
        """Bring `coefs_` and `intercepts_` up to date."""
        layers, *_ = _layers_of(self._buffer.copy(), self._sizes)
        self._estimator.coefs_, self._estimator.intercepts_ = map(list, zip(*layers, strict=True))

    def release(self) -> None:
        """`store`, and give the moments to the optimizer."""
        self.store()
        private.set_moments(self._optimizer, _layers_of(self._buffer.copy(), self._sizes)[1:])


def fit_replicas(estimator: Any, shards: Sequence[tuple[int, int]], sync: int | None, outer_momentum: float,
                 take_round: Callable[[State, list[int]], Partial], score: Callable[[State], float]) -> Any:
    """Train an estimator that has `begun`, and return it as one of the local classes.

    Parameters
    ----------
    estimator : object
        The result of `begun`.
    shards : sequence of (int, int)
        How many samples each shard trains with, and how many steps that is.
    sync : int or None
        After how many steps replicas are averaged; None for an epoch.
    outer_momentum : float
        How much of the step from one average to the next is taken once more with the next one.
    take_round : callable
        Given a state and the places of the shards to train, returns the average of what `train` makes of them.
    score : callable
        Given a state, returns what `judged` makes of the validation data.
    """
    optimizer = private.make_optimizer(estimator, [])
    method = private.method_of(optimizer)
    assert method is not None, "make_optimizer makes those only that are known"
    estimator._optimizer = optimizer
    batch_size, samples = estimator.batch_size, sum(count for count, _ in shards)
    if batch_size != "auto" and batch_size > samples:
        warnings.warn("Got `batch_size` less than 1 or larger than sample size. It is going to be clipped",
                      stacklevel=4)
    run: Any = _AveragedRun(estimator, optimizer, method.moments, shards, sync, outer_momentum, take_round, score)
    validation = (None, None, None) if estimator.early_stopping else None
    _epochs(estimator, run, validation, incremental=False, stepwise=False, check=lambda: None)
    run.release()
    if validation is not None and estimator._best_coefs is not None:
        estimator.coefs_, estimator.intercepts_ = estimator._best_coefs, estimator._best_intercepts
    if not all(np.isfinite(array).all() for array in (*estimator.coefs_, *estimator.intercepts_)):
        raise ValueError("Solver produced non-finite parameter weights. The input data may contain large values and "
                         "need to be preprocessed.")
    cls = MLPClassifier if is_classifier(estimator) else MLPRegressor
    local: Any = cls.__new__(cls)
    vars(local).update({name: value for name, value in vars(estimator).items() if name != "given_score"})
    return local
