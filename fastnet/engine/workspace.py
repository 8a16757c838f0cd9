"""What a run of training steps works on: buffers that are made once, for a plan, and the checks of what comes in.

Nothing here computes: :mod:`fastnet.engine.steps` does. Shape letters: N samples, D inputs, H hidden units, C classes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..aliases import Array
from ..blocks.heads import method_indices
from ..blocks.partition import gradient_splits, k_slice_count
from ..blocks.sparse import NonZeros, ascending
from ..llvm.conversion import source_kind
from ..llvm.memory import address_of, aligned
from ..llvm.stacks import Stack, stack
from ..llvm.structs import Table, table
from ..llvm.target import PACK, tile_width
from ..parallel.phases import new_counters
from ..parallel.team import run as run_team
from ..parallel.threads import share_count
from ..tuning import BLOCK_ROWS, FEW_ROWS, PACKS_APART
from .arguments import (
    NO_LAYER,
    NO_SOURCE,
    SECOND_LAYER,
    Buffers,
    CheckBuffers,
    Checks,
    Lasting,
    Method,
    Passing,
    Samples,
    Schedule,
    Scratch,
    Source,
)
from .packed import Parameters
from .plan import affine_work, gradient_is_split, plan
from .steps import training_steps

__all__ = ["Accuracies", "Results", "Workspace"]


class Accuracies(NamedTuple):
    """When to take accuracies, and of what beside the minibatch."""

    due: NDArray[np.bool_]
    """Whether after the update of a step, (steps,)."""
    X: NDArray[Any]
    """Validation samples (M, D), as those to train with."""
    y: NDArray[np.int64]
    """Their labels, (M,); those that are none are never right."""
    chosen: NDArray[np.intp] | None = None
    """Indices of training samples for each check, (checks, .); by default those of the minibatch."""
    hits_to_beat: int | None = None
    """The parameters of the check with the most hits of validation samples are kept, if these are more than so many
    (:meth:`fastnet.engine.packed.Parameters.store_best`); None for no keeping."""


class Results(NamedTuple):
    """What a run of steps tells."""

    losses: NDArray[np.float64]
    """The loss of each minibatch before its update, (steps,)."""
    accuracies: NDArray[np.float64]
    """Fractions of the chosen samples and of the validation data whose largest score is at their label, (checks, 2)."""


class Workspace:
    """Every buffer for steps with minibatches of one size, and how their work is cut. Several may share parameters.

    Parameters
    ----------
    parameters : Parameters
    batch_size : int
        Samples in a minibatch, N.
    sparse : bool
        Whether the samples are given by their non-zeros.
    activation, head : str or None
        Names from :data:`fastnet.blocks.activations.ACTIVATIONS` and :data:`fastnet.blocks.heads.HEADS`. None for both
        (and for the optimizer of the parameters): the course's network, which is compiled by itself.
    threads : int or None
        How many there may be at work; None for as many as the calling thread may have.

    Attributes
    ----------
    plan : Plan
        How its work is cut.
    workers : int
        How many threads there may be at work on a step.
    method : Method
        What kind of network it is.
    lasting : Lasting
        All that the runs have in common.
    table : Table
        The same for compiled code.
    losses : array (steps,)
        Those of the last run that was begun; -inf for a step that was not taken. Who is interrupted right after a run
        sees by them that it was.
    """

    def __init__(self, parameters: Parameters, batch_size: int, activation: str | None = None, head: str | None = None,
                 sparse: bool = False, threads: int | None = None) -> None:
        self._parameters = parameters
        self._head = head
        self.method = Method(*method_indices(activation, head), parameters.optimizer)
        if (head is None) != (parameters.optimizer is None):
            raise ValueError(f"activation, head and optimizer must all be given, or none, got {tuple(self.method)}")
        sizes = parameters.sizes
        threads = share_count(batch_size * max(sizes), affine_work(sizes, batch_size), threads)
        self.plan = plan(sizes, batch_size, threads, sparse)
        self.workers = max(self.plan.sample_shares, self.plan.feature_shares)
        self._sparse = sparse
        self._batch_size = batch_size
        self._checked_labels: NDArray[np.int64] | None = None
        self._checked_non_zeros: NonZeros | None = None
        self._arrays: list[list[Array]] = []  # stacks keep nothing alive
        buffers, scratch, check_buffers = self._make_buffers(), self._make_scratch(), self._make_check_buffers()
        self.losses = np.empty(0)
        self.lasting = Lasting(self.plan, parameters.packed, buffers, check_buffers, scratch)
        self.table = table(*self.lasting)

    def forget_data(self) -> None:
        """Hold nothing of what was worked on any more."""
        self._checked_labels = self._checked_non_zeros = None

    def _zeros(self, *shape: int) -> Array:
        return aligned(shape, self._parameters.dtype, clear=True)

    def _stack(self, arrays: list[Array]) -> Stack:
        self._arrays.append(arrays)
        return stack(arrays)

    def _split(self, layer: int) -> bool:
        """Whether shares of samples make the two sums of the gradient of a layer's weights."""
        sizes = self._parameters.sizes
        return not (self._sparse and layer == 0) and gradient_is_split(
            self.plan, layer, self._batch_size, sizes[layer], sizes[layer + 1])

    def _make_buffers(self) -> Buffers:
        N, parameters, forward_layer = self._batch_size, self._parameters, self.plan.forward_layer
        sizes, width = parameters.sizes, tile_width(parameters.dtype.itemsize)
        layers, packs = range(len(sizes) - 1), [-(-size // PACK) for size in sizes]
        deltas = [parameters.zeros(layer + 1, N) for layer in layers]
        outputs = [parameters.zeros(1, 1), *(self._zeros(*delta.shape) for delta in deltas[:-1]), deltas[-1]]
        sums = []
        for layer in layers:
            if not self._split(layer):
                sums.append(self._zeros(2, 1, width))
            elif layer:
                sums.append(parameters.zeros(layer, sizes[layer + 1], 2))
            else:
                sums.append(parameters.zeros(1, packs[0] * PACK, 2))
        return Buffers(
            X0=self._zeros(*((1, 1, 1, PACK) if self._sparse else
                             (2, packs[0] + PACKS_APART, N, PACK) if forward_layer == SECOND_LAYER else
                             (1, packs[0], N, PACK))),
            A=self._stack(outputs), delta=self._stack(deltas),
            slices=(self._zeros(1, 1, 1, width) if forward_layer == NO_LAYER else
                    self._zeros(k_slice_count(sizes[forward_layer]), *deltas[forward_layer].shape)),
            gradient_sums=self._stack(sums), db=self._stack([parameters.zeros(layer + 1, 2) for layer in layers]),
            square_sums=self._stack([parameters.zeros(layer + 1, packs[layer]) for layer in layers]),
            row_losses=np.zeros((2, N)))

    def _make_scratch(self) -> Scratch:
        N, shares, sizes, dtype = self._batch_size, self.workers, self._parameters.sizes, self._parameters.dtype
        width, layers = tile_width(dtype.itemsize), range(len(sizes) - 1)
        slices = max(k_slice_count(sizes[layer]) for layer in layers)
        splits = max(1 if self._split(layer) else gradient_splits(N, sizes[layer], sizes[layer + 1])
                     for layer in layers)
        # Rows of samples, where an affine map is made of k-slices; of features, or of a transposed gradient's units.
        rows = BLOCK_ROWS if slices > 1 else min(BLOCK_ROWS, max(-(-sizes[0] // PACK) * PACK, width))
        return Scratch(
            scores=self._zeros(shares, sizes[-1], BLOCK_ROWS),
            products=self._zeros(shares, max(slices - 1, splits), rows, width),
            labels=aligned((shares, BLOCK_ROWS), np.dtype(np.intp)),
            cursors=aligned((shares, N if self._sparse else 1), np.dtype(np.intp)),
            maxima=self._zeros(shares, BLOCK_ROWS), totals=self._zeros(shares, BLOCK_ROWS),
            zeros=self._zeros(1, width), ones=np.ones((1, 1, 1), dtype))

    def _make_check_buffers(self) -> CheckBuffers:
        rows, parameters = self.workers * FEW_ROWS, self._parameters
        if self._head is not None:
            return CheckBuffers(np.empty(0, np.intp), self._zeros(1, 1, PACK), self._stack([self._zeros(1, 1, 1)]))
        return CheckBuffers(
            rows=np.empty(rows, np.intp), X0=self._zeros(-(-parameters.sizes[0] // PACK), rows, PACK),
            A=self._stack([parameters.zeros(layer, rows if layer else 1) for layer in range(len(parameters.sizes))]))

    def run(self, X: NDArray[Any] | NonZeros, y: NDArray[Any], batches: NDArray[np.intp],
            rates: float | NDArray[np.float64], penalty: float | NDArray[np.float64],
            weights: NDArray[Any] | None = None, weight_sums: NDArray[np.float64] | None = None,
            counts: NDArray[np.intp] | None = None,
            accuracies: Accuracies | None = None, only_gradients: bool = False,
            epsilons: NDArray[np.float64] | None = None) -> Results:
        """Take a step for each minibatch in one compiled call.

        All arrays are views that nobody else has: nobody sets their shape between the check and the use. The integers
        among them lie in memory that nobody else has: they are addresses.

        Parameters
        ----------
        X : array (M, D), or NonZeros
            An array may be of any dtype of :data:`fastnet.llvm.conversion.SOURCE_DTYPES` and lie in any way: samples
            become floats when they are gathered. Those that are C-contiguous and of the dtype of the parameters take
            the least time.
        y : int64 array (M,), or array (M, C)
            Labels for a softmax; else what the outputs should be, in the dtype of the parameters.
        batches : intp array (steps, N)
            Indices of the samples of each minibatch.
        rates, penalty : float, or float64 array (steps,)
            Learning rate, and strength of the penalty 0.5 * penalty * sum(W^2).
        weights, weight_sums : array (M,), float64 array (steps,), optional
            Weights of the samples, and their sum for each minibatch. By default each sample counts 1.
        counts : intp array (steps,), optional
            How many samples each minibatch really has, at most N: the first of its row in `batches`. Default N.
        accuracies : Accuracies, optional
            For the course's network.
        only_gradients : bool
            Whether gradients take the place of the parameters, instead of a step along them; for one step.
        epsilons : float64 array (steps,), optional
            What Adam adds to the root of its second moment. By default that of the optimizer.

        Raises
        ------
        ValueError
            If an index, a label or a shape is wrong; nothing has been changed then.
        """
        dtype, classes = self._parameters.dtype, self._parameters.sizes[-1]
        given, source, non_zeros, M = self._given(X)
        labels, targets = y, np.empty((1, 1), dtype)
        if batches.shape[1:] != (self._batch_size,) or batches.dtype != np.intp or not batches.flags.c_contiguous:
            raise ValueError(f"batches must be a C-contiguous array of {np.dtype(np.intp)} with {self._batch_size} "
                             f"columns, got {batches.dtype} {batches.shape}")
        # Read as unsigned numbers, negative ones are the largest.
        if batches.size and not batches.view(np.uintp).max() < min(M, len(y)):
            raise ValueError("indices in batches must be from 0 to the number of samples - 1")
        if self._head not in (None, "softmax"):
            labels, targets = np.empty(1, np.int64), y
            if y.shape[1:] != (classes,) or y.dtype != dtype:
                raise ValueError(f"y must be a {dtype} array with {classes} columns, got {y.dtype} {y.shape}")
        elif y is not self._checked_labels:
            if y.ndim != 1 or not (y.min() >= 0 and y.max() < classes):
                raise ValueError("labels in y must be integers from 0 to the number of classes - 1")
            self._checked_labels = y
        if weights is None:
            weights = np.empty(0, dtype)
        elif weights.shape != (M,) or weights.dtype != dtype:
            raise ValueError(f"weights must be a {dtype} array of shape {(M,)}, got {weights.dtype} {weights.shape}")
        steps_count, N = batches.shape
        if counts is None:
            counts = np.full(steps_count, N, np.intp)
        elif counts.shape != (steps_count,) or (counts.size and not 0 < counts.min() <= counts.max() <= N):
            raise ValueError(f"counts must be {steps_count} numbers from 1 to {N}, got {counts}")
        by_step: list[NDArray[np.float64]] = []
        epsilon = 0.0 if self.method.optimizer is None else self.method.optimizer.epsilon
        for values in (rates, epsilon if epsilons is None else epsilons, penalty,
                       counts if weight_sums is None else weight_sums):
            by_step.append(np.empty(steps_count))
            by_step[-1][:] = values
        losses = np.full(steps_count, -np.inf)  # no loss is that
        labels, targets, weights = map(np.ascontiguousarray, (labels, targets, weights))
        samples = Samples(given, labels, source, non_zeros, targets, weights)
        rates, epsilons, penalties, weight_sums = by_step
        schedule = Schedule(batches, counts, rates, epsilons, penalties, weight_sums, losses, only_gradients)
        checks = self._checks(accuracies, samples, batches, min(M, len(y)))
        self.losses = losses
        self.take(table(*Passing(samples, schedule, checks)), given, non_zeros)
        return Results(losses, checks.hits.sum(axis=2) /
                       (max(checks.chosen.shape[1], 1), max(len(checks.validation.labels), 1)))

    def take(self, passing: Table, X: NDArray[Any], non_zeros: NonZeros | None) -> None:
        """Take the steps of a run, given a table of its `Passing` and what is in its `Samples`; nothing is checked."""
        run_team(training_steps, self.workers, new_counters(self.workers), self.method, self.table, passing, X,
                 non_zeros)

    def _checks(self, accuracies: Accuracies | None, samples: Samples, batches: NDArray[np.intp], M: int) -> Checks:
        """The checks of a run with these minibatches, of M samples."""
        steps, parameters = len(batches), self._parameters
        if accuracies is None:
            return Checks(np.zeros(steps, np.bool_), np.zeros((0, 1), np.intp), samples,
                          np.zeros((0, 2, self.workers), np.intp), 0, parameters.no_best())
        due, X, y, chosen, hits_to_beat = accuracies
        given, source, _, count = self._given(X)
        if self._head is not None or due.shape != (steps,) or y.shape != (count,):
            raise ValueError(f"accuracies must be of the course's network, of {steps} steps and {count} labels, got "
                             f"{self._head}, {due.shape} and {y.shape}")
        if chosen is None:
            chosen = batches[due]
        elif chosen.shape != (np.count_nonzero(due), chosen.shape[-1]) or chosen.dtype != np.intp or (
                chosen.size and not chosen.view(np.uintp).max() < M):
            raise ValueError(f"chosen must be {np.dtype(np.intp)} indices below {M} for each of "
                             f"{np.count_nonzero(due)} checks, got {chosen.dtype} {chosen.shape}")
        return Checks(due, np.ascontiguousarray(chosen), samples._replace(X=given, source=source, labels=y),
                      np.zeros((len(chosen), 2, self.workers), np.intp),
                      *((count, parameters.no_best()) if hits_to_beat is None else (hits_to_beat, parameters.best())))

    def _given(self, X: NDArray[Any] | NonZeros) -> tuple[NDArray[Any], Source, NonZeros | None, int]:
        """`X`, `source` and `non_zeros` of `Samples`, and how many samples there are."""
        D, dtype = self._parameters.sizes[0], self._parameters.dtype
        if not self._sparse:
            if isinstance(X, NonZeros) or X.shape[1:] != (D,) or not source_kind(X.dtype):
                raise ValueError(f"X must be an array of real numbers with {D} columns, got "
                                 f"{'NonZeros' if isinstance(X, NonZeros) else f'{X.dtype} {X.shape}'}")
            if X.dtype == dtype and X.flags.c_contiguous:
                return X, NO_SOURCE, None, len(X)
            sample_stride, feature_stride = X.strides
            source = Source(address_of(X), sample_stride, feature_stride, source_kind(X.dtype))
            return np.empty((0, D), dtype), source, None, len(X)
        if not isinstance(X, NonZeros) or X.data.dtype != dtype:
            raise ValueError(f"X must be NonZeros of {dtype}, got {type(X).__name__} of {getattr(X[0], 'dtype', None)}")
        if X is not self._checked_non_zeros:
            ends = X.indptr
            if (ends.size == 0 or ends[0] < 0 or ends[-1] > min(len(X.data), len(X.indices))
                    or (ends[1:] < ends[:-1]).any()):
                raise ValueError("rows in X must begin and end within its data, one after the other")
            used = X.indices[ends[0]:ends[-1]]
            if used.size and not (used.min() >= 0 and used.max() < D):
                raise ValueError("columns in X must be from 0 to the number of features - 1")
            if not ascending(X):
                raise ValueError("columns in X must ascend in each row")
            self._checked_non_zeros = X
        return np.empty((1, 1), dtype), NO_SOURCE, X, len(X.indptr) - 1
