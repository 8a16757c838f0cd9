"""A session of training: packed parameters, their workspace and pace, for whoever trains.

The course's class (:mod:`fastnet.training.loop`) and the estimators (:mod:`fastnet.sklearn.stochastic`) both train by
this: arrays of the user go in, runs of compiled steps are taken, and what was learned is written back.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..aliases import Array, Layer
from ..blocks.optimizers import Optimizer
from ..blocks.sparse import NonZeros
from ..engine.idle import Idle
from ..engine.packed import Parameters
from ..engine.plan import affine_work
from ..engine.workspace import Accuracies, Results, Workspace
from ..parallel.threads import most_threads
from ..stored import PORTION_BYTES, StoredSamples
from ..tuning import IDLE_BYTES
from .pace import Pace
from .reading import read_ahead

__all__ = ["Session"]


_idle: Idle[tuple[Parameters, Workspace]] = Idle()
"""For the next `partial_fit`."""

_PORTIONS = 4
"""So many portions of stored samples are read for one run: the first is waited for, the others are read meanwhile."""


class Session:
    """What a run of training needs beside its data.

    Parameters
    ----------
    batch_size : int
        Samples in a minibatch.
    activation, head, optimizer, sparse, threads
        As for :class:`fastnet.engine.workspace.Workspace`.
    other_work : float, default 0
        Multiply-adds a step, on average, beside those of its products: of accuracy checks.
    """

    def __init__(self, batch_size: int, activation: str | None = None, head: str | None = None,
                 optimizer: Optimizer | None = None, sparse: bool = False, threads: int | None = None,
                 other_work: float = 0.0) -> None:
        self._batch_size, self._threads = batch_size, threads
        self._activation, self._head, self._optimizer, self._sparse = activation, head, optimizer, sparse
        self._other_work = other_work
        self._pace: Pace | None = None
        self._layers: Sequence[Layer] = ()
        self._parameters: Parameters | None = None
        self._workspace: Workspace | None = None
        self._unstored = False
        self._kind: tuple[Any, ...] = ()  # all that buffers depend on

    def pack(self, layers: Sequence[Layer], moments: Sequence[Sequence[Layer]] = ()) -> None:
        """Begin with these parameters and moments, which are copied; until then there are none.

        Parameters
        ----------
        layers : sequence of (W, b)
            The user's own arrays, or views of them: :meth:`store` writes into these.
        moments : sequence of sequence of (array, array), optional
            As for :class:`fastnet.engine.packed.Parameters`.
        """
        self._layers, self._unstored = layers, False
        self._kind = (layers[0][0].dtype, *[W.shape for W, _ in layers], self._optimizer, self._batch_size,
                      self._activation, self._head, self._sparse, most_threads(self._threads))
        idle = _idle.take(self._kind)
        if idle is None:
            self._parameters = Parameters(layers, self._optimizer, moments)
            self._workspace = Workspace(self._parameters, self._batch_size, self._activation, self._head, self._sparse,
                                        self._threads)
        else:
            idle[0].begin_again(layers, moments)
            self._parameters, self._workspace = idle
        if self._pace is None:  # forward, deltas and gradients: three products a layer
            self._pace = Pace(self._batch_size,
                              3 * affine_work(self._parameters.sizes, self._batch_size) + self._other_work)

    @property
    def is_packed(self) -> bool:
        """Whether there are parameters."""
        return self._workspace is not None

    @property
    def steps(self) -> int:
        """How many steps had better be taken at a time."""
        assert self._pace is not None, "nothing has been packed"
        return self._pace.steps

    def steps_with(self, X: Array | NonZeros | StoredSamples) -> int:
        """Return how many steps had better be taken at a time with these samples."""
        return _PORTIONS * self._steps_of_portion(X) if isinstance(X, StoredSamples) else self.steps

    def _steps_of_portion(self, X: StoredSamples) -> int:
        return max(1, min(self.steps, PORTION_BYTES // (self._batch_size * X.sample_bytes)))

    @property
    def losses(self) -> NDArray[np.float64]:
        """Those of the last run that was begun; -inf for a step that was not taken."""
        return np.empty(0) if self._workspace is None else self._workspace.losses

    def has_run_since(self, losses: NDArray[np.float64]) -> bool:
        """Whether the steps of a run have been taken since these were :attr:`losses`."""
        return self.losses is not losses and not np.isneginf(self.losses).any()

    def leaves_a_core(self) -> bool:
        """Whether one thread is at work where there may be several, as far as is known."""
        return self._workspace is not None and self._workspace.workers == 1 < most_threads(self._threads)

    def run(self, X: Array | NonZeros | StoredSamples, y: Array, batches: NDArray[np.intp],
            rates: float | NDArray[np.float64], penalty: float | NDArray[np.float64], weights: Array | None = None,
            weight_sums: NDArray[np.float64] | None = None,
            counts: NDArray[np.intp] | None = None,
            accuracies: Accuracies | None = None, epsilons: NDArray[np.float64] | None = None) -> Results:
        """Take a step for each minibatch in one compiled call; or, of stored samples, in one for each portion of them.

        Parameters are those of :meth:`fastnet.engine.workspace.Workspace.run`. What is wrong with stored samples is
        found when they are read: the steps before have been taken then.
        """
        assert self._workspace is not None, "nothing has been packed"
        assert self._pace is not None
        if isinstance(X, StoredSamples):
            assert accuracies is None, "accuracies of stored samples are taken by themselves"
            return self._run_portions(X, y, batches, rates, penalty, weights, weight_sums, counts)
        start = time.perf_counter()
        self._unstored = True  # before the steps: an exception may come right after them
        results = self._workspace.run(X, y, batches, rates, penalty, weights, weight_sums, counts, accuracies,
                                      epsilons=epsilons)
        self._pace.learn(time.perf_counter() - start, len(batches))
        return results

    def _run_portions(self, X: StoredSamples, y: Array, batches: NDArray[np.intp],
                      rates: float | NDArray[np.float64], penalty: float | NDArray[np.float64], weights: Array | None,
                      weight_sums: NDArray[np.float64] | None, counts: NDArray[np.intp] | None) -> Results:
        """`run`, portion by portion; the next one is read while the steps of one are taken."""
        steps = self._steps_of_portion(X)
        parts = [slice(start, start + steps) for start in range(0, len(batches), steps)]
        losses = np.empty(len(batches))
        rates, penalty = np.broadcast_to(rates, len(batches)), np.broadcast_to(penalty, len(batches))
        items = X.portions(batches[part] for part in parts)
        with contextlib.closing(read_ahead(items) if len(parts) > 1 else items) as portions:
            for part, (chosen, samples, places) in zip(parts, portions, strict=True):
                losses[part] = self.run(
                    samples, y[chosen], places, rates[part], penalty[part],
                    None if weights is None else weights[chosen],
                    None if weight_sums is None else weight_sums[part],
                    None if counts is None else counts[part]).losses
        return Results(losses, np.empty((0, 2)))

    def store(self) -> None:
        """Bring the user's arrays up to date.

        An exception that comes in here may leave them as they were: they hold an earlier whole step then.
        """
        if self._parameters is not None and self._unstored:
            self._parameters.store(self._layers)
            self._unstored = False

    def store_best(self, layers: Sequence[Layer]) -> None:
        """Write the parameters of the best check that has been kept into these layers."""
        assert self._parameters is not None, "nothing has been packed"
        self._parameters.store_best(layers)

    def release(self) -> list[list[Layer]]:
        """`store`, and return the moments in new arrays; then there are no parameters any more."""
        assert self._parameters is not None, "nothing has been packed"
        assert self._workspace is not None
        parameters, workspace = self._parameters, self._workspace
        self._parameters = self._workspace = None
        numbers = (self._batch_size + max(parameters.sizes)) * sum(parameters.sizes)
        if numbers * parameters.dtype.itemsize > IDLE_BYTES:
            del workspace  # which is memory
            return parameters.release(self._layers)
        moments = parameters.stored(self._layers)
        workspace.forget_data()
        _idle.give(self._kind, (parameters, workspace))
        return moments

    def forget(self) -> None:
        """Let go of the parameters: the user's arrays may have been changed since."""
        self._parameters = self._workspace = None

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.store()
