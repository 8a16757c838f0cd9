"""A fit by replicas: its beginning, and the average that goes from one round to the next.

Where and how rounds are computed is somebody else's (:mod:`fastnet.dask`); when a fit ends, what it keeps and what it
shows is that of a local fit, by the same code.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn.base import is_classifier

from ..aliases import Layer
from . import private
from .estimators import MLPClassifier, MLPRegressor
from .replicas import Partial, State, arrays_of, layers_of
from .stochastic import train_epochs

__all__ = ["AveragedRun", "begun", "fit_replicas", "generators"]


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


class AveragedRun:
    """What `train_epochs` has of a fit by replicas: the averaged model, and rounds that somebody else takes."""

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
        parameters = np.concatenate([array.ravel() for array in arrays_of([self._layers()])])
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
        layers, *_ = layers_of(self._buffer.copy(), self._sizes)
        self._estimator.coefs_, self._estimator.intercepts_ = map(list, zip(*layers, strict=True))

    def release(self) -> None:
        """`store`, and give the moments to the optimizer."""
        self.store()
        private.set_moments(self._optimizer, layers_of(self._buffer.copy(), self._sizes)[1:])


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
    run: Any = AveragedRun(estimator, optimizer, method.moments, shards, sync, outer_momentum, take_round, score)
    validation = (None, None, None) if estimator.early_stopping else None
    train_epochs(estimator, run, validation, incremental=False, stepwise=False, check=lambda: None)
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
