"""Replicas of an estimator: each is trained on a shard of the data for a round, then they are averaged.

A round is a pure function of what the model is and of a shard, so whoever has lost a result computes it once more, to
the same bits. Who asks for rounds is in :mod:`fastnet.sklearn.averaging`, where they are computed in
:mod:`fastnet.dask`.
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
from collections.abc import Sequence
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
from .stochastic import HEADS, Run, native, non_zeros, own, split, trained_layers

__all__ = ["AUTO_AT_LEAST", "Model", "Partial", "Shard", "State", "arrays_of", "average", "judged", "layers_of",
           "model_of", "of_validation", "shard_of", "tally", "train", "usable"]


AUTO_AT_LEAST = 25
"""With ``batch_size="auto"`` replicas share the 200 samples of a local minibatch, so that an epoch has as many steps as
that of a local fit: so many each, at least, as eight replicas have. More have not been measured (docs/howto/dask.md).
"""


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
    cut = split if count == 1 else _split_some
    used, validation = cut(estimator, X, y, weights)
    size = max(200 // count, AUTO_AT_LEAST) if estimator.batch_size == "auto" else estimator.batch_size
    engine_y = y.argmax(axis=1) if model.head == "softmax" else native(y, model.dtype)
    if engine_y.dtype.kind == "f" and not np.isfinite(engine_y).all():
        raise ValueError(f"y must be finite in {model.dtype}, as X is")
    return Shard(part, model, non_zeros(X, model.dtype) if issparse(X) else native(X, model.dtype), engine_y,
                 None if weights is None else native(weights, model.dtype), used, validation, generator,
                 int(np.clip(size, 1, max(len(used), 1))))


def _split_some(estimator: Any, X: Any, y: Any, weights: Any) -> tuple[NDArray[np.intp], tuple[Any, Any, Any] | None]:
    """As `split`, where other shards have validation data too: with few samples of a class, or few at all.

    Then the split is not stratified, or there is nothing aside.
    """
    before = estimator._random_state.get_state()
    try:
        return split(estimator, X, y, weights)
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


class _Replica(Run):
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
    layers, *moments = layers_of(buffer, shard.model.sizes)
    losses, new = _Replica(shard, optimizer, counts, layers, moments).steps(batches)
    for target, source in zip(arrays_of(moments), arrays_of(new), strict=True):
        target[...] = source
    return Partial(buffer, len(samples), sum(losses), getattr(optimizer, "t", 0))


def average(one: Partial, other: Partial) -> Partial:
    """Return the average of two, weighted by their samples. Equal ones stay what they are, to the last bit."""
    samples = one.samples + other.samples
    buffer = other.buffer - one.buffer
    buffer *= other.samples / samples
    buffer += one.buffer
    return Partial(buffer, samples, one.loss + other.loss, max(one.steps, other.steps))


def layers_of(buffer: NDArray[Any], sizes: Sequence[int]) -> list[list[Layer]]:
    """Return the parameters in a buffer, then the moments, as layers: views of it."""
    found, start = [], 0
    while start < len(buffer):
        layers = []
        for rows, columns in itertools.pairwise(sizes):
            end = start + rows * columns
            layers.append((buffer[start:end].reshape(rows, columns), buffer[end:end + columns]))
            start = end + columns
        found.append(layers)
    return found


def arrays_of(stacks: Sequence[Sequence[Layer]]) -> list[NDArray[Any]]:
    """Return the arrays of all layers, in their order."""
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
    layers, *_ = layers_of(state.buffer, shard.model.sizes)
    estimator.coefs_, estimator.intercepts_ = map(list, zip(*layers, strict=True))
    return tally(usable(estimator), *shard.validation)


def usable(estimator: Any) -> Any:
    """Return a fitted estimator whose parameters the engine takes as they are.

    What has come from another process may be read-only, or not aligned: scikit-learn's own code would predict then, and
    round otherwise than where the parameters have been made.
    """
    result = copy.copy(estimator)
    result.coefs_, result.intercepts_ = (
        [np.require(array, requirements=["C", "A", "W"]) for array in arrays]
        for arrays in (estimator.coefs_, estimator.intercepts_))
    return result


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
