"""What a run of training steps works on: one struct for each lifetime, a line and a shape for each field.

:class:`fastnet.engine.packed.Parameters` and :class:`fastnet.engine.workspace.Workspace` make them,
:func:`fastnet.engine.steps.training_steps` takes them. Shape letters: N samples in a minibatch, M samples in all,
D inputs, H units of a layer, C classes; `width` is that of a panel (docs/vocabulary.md has the words, with drawings).
What there is for each layer is a stack of arrays (:mod:`fastnet.llvm.stacks`).

A compiled function is given tables (:mod:`fastnet.llvm.structs`), `Lasting` and `Passing`, in which they stay: it gets
the addresses of the structs with `lasting_structs` and `passing_structs`, and hands these to others. `Method` alone is
an argument by itself, a tuple, as numba sees by its types what to compile.

Numba removes the branch of an ``x is None`` that is not taken only where x is an argument of a compiled function, so
optional fields are handed to block functions, which ask.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import types
from numpy.typing import NDArray

from ..aliases import Array
from ..blocks.optimizers import Optimizer
from ..blocks.sparse import NonZeros
from ..llvm.stacks import Stack
from ..llvm.structs import in_table, reader

__all__ = ["FIRST_LAYER", "NO_LAYER", "NO_SOURCE", "SECOND_LAYER", "BestParameters", "Buffers", "CheckBuffers",
           "Checks", "Lasting", "Method", "PackedParameters", "Passing", "Plan", "Samples", "Schedule", "Scratch",
           "Source", "lasting_structs", "passing_structs"]

NO_LAYER, FIRST_LAYER, SECOND_LAYER = -1, 0, 1
"""Values of `Plan.forward_layer`."""


class Method(NamedTuple):
    """What kind of network it is; for the life of a workspace.

    None three times is the course's network, compiled by itself: what is never asked for would cost seconds.
    """

    activation: int | None
    """Index in :data:`fastnet.blocks.activations.ACTIVATIONS`; None for ReLU."""
    head: int | None
    """Index in :data:`fastnet.blocks.heads.HEADS`; None for the course's softmax."""
    optimizer: Optimizer | None
    """None for plain SGD."""


class Plan(NamedTuple):
    """How a step is cut; for the life of a workspace. None of it changes a result.

    :func:`fastnet.engine.plan.plan` decides.
    """

    sample_shares: int
    """How many shares the sample phase has."""
    feature_shares: int
    """How many shares the feature phase has; it divides the number of k-slices of the layer `forward_layer`."""
    forward_layer: int
    """The layer whose affine map is made in the feature phase: FIRST_LAYER, SECOND_LAYER, or NO_LAYER."""
    split_gradients: bool
    """Whether each of two shares of samples makes one of the two sums of those gradients that are made of two."""
    slices_in_pairs: bool
    """Whether a share of the feature phase adds its k-slices of the map two by two: it has an even number of them."""
    panels_halved: bool
    """Whether no panel of the first hidden layer lies across the middle of its units."""
    chunk_rows: int
    """How many samples a share takes through the layers at a time, at most."""


class PackedParameters(NamedTuple):
    """Weights, biases and moments in panels; as long as the parameters stay packed. Changed in place by each step."""

    sizes: NDArray[np.intp]
    """(D, H, ..., C)."""
    W: Stack
    """Weights of each layer, (panels, D padded, width)."""
    b: Stack
    """Biases of each layer, (panels, 1, width)."""
    WT: Stack
    """Weights transposed, (panels of the layer's input, H, width); that of the first layer is not used."""
    first_moments: Stack | None
    """The optimizer's, of the weights: of the shape of W in the first layer, and of WT in the others."""
    second_moments: Stack | None
    """As `first_moments`; the same arrays where the optimizer has one moment."""
    first_moments_b: Stack | None
    """The same of the biases, (panels, 1, width)."""
    second_moments_b: Stack | None
    """As `first_moments_b`."""


class Source(NamedTuple):
    """Where samples lie that are not C-contiguous, or of another dtype than the parameters; who made it holds them."""

    address: int
    sample_stride: int
    """Bytes from sample to sample."""
    feature_stride: int
    """Bytes from feature to feature."""
    kind: int
    """The number of their dtype (:func:`fastnet.llvm.conversion.source_kind`); 0 where they are not here."""


NO_SOURCE = Source(0, 0, 0, 0)


class Samples(NamedTuple):
    """All samples; for one run.

    `X` and `labels` come first, where :func:`fastnet.llvm.structs.set_arrays` puts others.
    """

    X: Array
    """(M, D), C-contiguous; (0, D) where they lie in memory otherwise; in name only where `non_zeros` are given."""
    labels: NDArray[np.int64]
    """(M,), for a softmax; in name only for other heads."""
    source: Source
    """Where and how they lie if not as `X`."""
    non_zeros: NonZeros | None
    """The same samples by their non-zeros, instead of `X`."""
    targets: Array
    """What the outputs should be, (M, C), for heads other than a softmax; in name only for that."""
    weights: Array
    """Weights of the samples, (M,); (0,) where all are 1."""


class Schedule(NamedTuple):
    """What each step of one run does; `steps` of them."""

    batches: NDArray[np.intp]
    """Indices of the samples of each minibatch, (steps, N)."""
    counts: NDArray[np.intp]
    """How many samples each minibatch really has, (steps,): the first of its row in `batches`, 1 to N."""
    rates: NDArray[np.float64]
    """Learning rates, (steps,)."""
    epsilons: NDArray[np.float64]
    """What Adam adds to the root of its second moment, (steps,); not used by others."""
    penalties: NDArray[np.float64]
    """Strength p of the L2 penalty 0.5 * p * sum(W^2), (steps,)."""
    weight_sums: NDArray[np.float64]
    """Sum of the weights of the samples of each minibatch, (steps,); its size where all are 1."""
    losses: NDArray[np.float64]
    """Receives the loss of each minibatch before its update, (steps,)."""
    only_gradients: bool
    """Whether gradients, with what the penalty adds, take the place of the parameters, instead of a step along them:
    for a run of one step."""


class BestParameters(NamedTuple):
    """Copies of parameters, in panels."""

    W: Stack
    """As `PackedParameters.W`."""
    b: Stack
    """As `PackedParameters.b`."""


class Checks(NamedTuple):
    """Accuracy checks between the steps of one run."""

    due: NDArray[np.bool_]
    """Whether accuracies are taken after the update of a step, (steps,)."""
    chosen: NDArray[np.intp]
    """Indices of the training samples of each check, (checks, M)."""
    validation: Samples
    """Validation data: `X`, or `non_zeros`, and `labels`."""
    hits: NDArray[np.intp]
    """Receives how many samples have their largest score at their label, (checks, 2, shares): of the chosen ones, and
    of the validation data; each share of the phase writes its own."""
    hits_to_beat: int
    """Parameters are kept where a check has more hits of the validation data than so many, and than those before it."""
    best: BestParameters
    """Receives what is kept; in name only where no check can have so many hits."""


class Buffers(NamedTuple):
    """What all shares of a step read and write; for the life of a workspace."""

    X0: Array
    """The packed minibatch, (copies, D padded / PACK, N, PACK): one for each share of the feature phase where
    `forward_layer` is SECOND_LAYER, with `PACKS_APART` unused packs behind it; else one. In name only for non-zeros."""
    A: Stack
    """A[i] goes into layer i, (panels, N, width); A[0] is in name only; the last one is the scores."""
    delta: Stack
    """Gradient of the loss with respect to each affine map, (panels, N, width); the last replaces the scores, in the
    same memory."""
    slices: Array
    """The k-slices of the affine map of layer `forward_layer`, (slices, panels, N, width); else in name only."""
    gradient_sums: Stack
    """The two sums of each gradient that is split, sum 0 in the first half of the panels: (2 panels, D padded, width)
    for the first layer, (2 panels of the layer's input, H, width) for others; in name only where nothing is split."""
    db: Stack
    """Gradients of the biases, as two sums, (panels, 2, width)."""
    square_sums: Stack
    """Sums of squares of the weights down the columns, one for each pack of rows, (panels, D padded / PACK, width)."""
    row_losses: NDArray[np.float64]
    """Losses of the samples of one step and of the next, (2, N)."""


class CheckBuffers(NamedTuple):
    """What accuracy checks work on: some rows for each share. In name only where there are none."""

    rows: NDArray[np.intp]
    """Indices of the samples that are at work, (shares * FEW_ROWS,)."""
    X0: Array
    """These samples, packed, (D padded / PACK, shares * FEW_ROWS, PACK)."""
    A: Stack
    """As in `Buffers`, (panels, shares * FEW_ROWS, width)."""


class Scratch(NamedTuple):
    """What one share uses alone, with cache lines of its own; and constants. For the life of a workspace."""

    scores: Array
    """(shares, C, BLOCK_ROWS), a column for each sample."""
    products: Array
    """(shares, parts, rows, tile width): sums that are added up at once, of an affine map or of a gradient."""
    labels: NDArray[np.intp]
    """(shares, BLOCK_ROWS)."""
    cursors: NDArray[np.intp]
    """Where each sample has arrived in its non-zeros, (shares, N); in name only without."""
    maxima: Array
    """(shares, BLOCK_ROWS): the largest score of each sample, and then what its delta is multiplied by."""
    totals: Array
    """(shares, BLOCK_ROWS): the sum of the exponentials of each sample."""
    zeros: Array
    """A row of zeros, (1, tile width)."""
    ones: Array
    """(1, 1, 1), of 1."""


class Lasting(NamedTuple):
    """What the runs of a workspace have in common."""

    plan: Plan
    parameters: PackedParameters
    buffers: Buffers
    check_buffers: CheckBuffers
    scratch: Scratch


class Passing(NamedTuple):
    """What one run has; `samples` come first, as their arrays are what a further loss changes."""

    samples: Samples
    schedule: Schedule
    checks: Checks


def _lasting_example(method: types.Type, dtype: np.dtype[Any]) -> Lasting:
    """What is of the types of `Lasting`, for a method of these types."""
    whole, (_, _, optimizer) = np.empty(0, np.intp), method
    two, three, four = (np.empty((0,) * dimensions, dtype) for dimensions in (2, 3, 4))
    stack = np.empty((0, 0), np.intp), three
    moments = None if isinstance(optimizer, types.NoneType) else stack
    return Lasting(*map(in_table, (
        Plan(0, 0, 0, False, False, False, 0), PackedParameters(whole, stack, stack, stack, *4 * [moments]),
        Buffers(four, stack, stack, four, stack, stack, stack, np.empty((0, 0))), CheckBuffers(whole, three, stack),
        Scratch(three, four, whole[:, np.newaxis], whole[:, np.newaxis], two, two, two, three))))


def _passing_example(non_zeros: types.Type, dtype: np.dtype[Any]) -> Passing:
    """What is of the types of `Passing`, for non-zeros of this type."""
    two, weights, rates = np.empty((0, 0), dtype), np.empty(0, dtype), np.empty(0)
    stack = np.empty((0, 0), np.intp), np.empty((0, 0, 0), dtype)
    samples = in_table(Samples(two, np.empty(0, np.int64), NO_SOURCE, non_zeros, two, weights))
    schedule = Schedule(np.empty((0, 0), np.intp), np.empty(0, np.intp), rates, rates, rates, rates, rates,
                        False)
    checks = Checks(np.empty(0, np.bool_), np.empty((0, 0), np.intp), samples, np.empty((0, 0, 0), np.intp), 0,
                    BestParameters(stack, stack))
    return Passing(samples, in_table(schedule), in_table(checks))


lasting_structs = reader(_lasting_example, "lasting_structs")
"""``lasting_structs(table, method, like)`` is a `Lasting`, for compiled code; `like` is an array of its dtype."""

passing_structs = reader(_passing_example, "passing_structs")
"""``passing_structs(table, non_zeros, like)`` is a `Passing`; `non_zeros` is None, or of the type of the samples'."""
