"""The scores and labels of many samples, or of one, in one compiled call.

Samples are taken some at a time through all layers, so that what a layer makes is still in the cache when the next one
reads it. For many samples all weights are first copied into panels (see :mod:`fastnet.engine.steps`), whose rows lie
one below the other; for fewer, where tiles are low, panel by panel where it is used. The numbers are those of the
kernels one after the other, to the bit.

Shape letters: N samples, D inputs, H hidden units, C classes.
"""

from __future__ import annotations

from math import isfinite
from typing import NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ..aliases import Array, Arrays
from ..blocks.activations import activate_block, activate_rows_block
from ..blocks.heads import output_rows_block
from ..blocks.operands import panel_rows, plain_rows
from ..blocks.packed_products import copy_panel_block
from ..blocks.partition import K_SLICES, NOT_HALVED, ZERO, panel_count, panel_span, tile_share_start
from ..blocks.products import affine_block, affine_row_block
from ..blocks.rows import argmax_block, clear_block, finite_block
from ..jit.decorators import block, inline, kernel, shared, task, worker
from ..kernels import softmax_rows_block
from ..llvm.arrays import flat, item_size, part_of
from ..llvm.target import row_width, tile_rows, tile_width
from ..parallel.phases import SHUT, claim, complete, enter, leave, wait_until
from ..parallel.regions import enter_region, leave_region
from ..parallel.threads import shares
from ..tuning import BLOCK_ROWS, PACKED_ROWS, PANEL_ROWS, WIDE_BYTES, WIDE_ROWS

__all__ = ["ALL_FINITE", "NO_REGION", "Network", "Outputs", "few_probabilities", "few_scores", "few_scores_in_region",
           "network_scores", "one_row_scores", "panel_lines", "scratch_lines"]

ALL_FINITE, MISFIT, NO_REGION = -1, -2, -3
"""What `few_scores` finds in samples that are right, where the shapes of its arrays do not fit together, and where
several threads are not to be had."""


class Network(NamedTuple):
    """What is computed; constant."""

    activation: int | None
    """Index in :data:`fastnet.blocks.activations.ACTIVATIONS`; None for ReLU."""
    head: int | None
    """Index in :data:`fastnet.blocks.heads.HEADS`; None for the scores as they are."""
    Ws: Arrays
    """Weights of each layer, (D, H), C-contiguous."""
    bs: Arrays
    """Biases of each layer, (H,), C-contiguous."""


class Outputs(NamedTuple):
    """What is made; each share writes rows of its own."""

    Z: Array
    """Scores, or what the head makes of them, (N, C)."""
    labels: NDArray[np.intp]
    """Index of the largest of each sample, (N,)."""
    finite: NDArray[np.bool_]
    """Whether all features of a sample are finite, (N,)."""


class RowScratch(NamedTuple):
    """What one share uses alone."""

    zeros: Array
    """A row of zeros, (1, tile width)."""
    bias: Array
    """The part of the biases that belongs to a panel, (1, tile width)."""
    products: Array
    """K-slices of an affine map but the first, (K_SLICES - 1, rows, tile width)."""
    activations: Array
    """What one layer makes and the next reads, (2, panels, rows, tile width)."""
    panel: Array
    """A panel of the weights, (most inputs of a layer, tile width); empty where none is copied here."""


def panel_lines(samples: int, Ws: Arrays) -> int:
    """Return how many rows the panels of all weights have together, or 0 where copying them would not pay."""
    itemsize = Ws[0].itemsize
    if samples < PACKED_ROWS and (samples < WIDE_ROWS or max(W.shape[1] for W in Ws) * itemsize < WIDE_BYTES):
        return 0
    return sum(len(W) * panel_count(W.shape[1], itemsize) for W in Ws)


@shared
def own_panel_lines(rows: int, inputs: int) -> int:
    """Return how many lines a share of so many rows needs to copy a panel of weights of so many inputs into.

    None where a copy would not pay: for few rows, and where tiles are 8 rows high. Such a one multiplies so long with a
    line of weights that the next one may come from the second-level cache (without copies 5 to 25 % faster, AVX-512).
    """
    return inputs if rows >= PANEL_ROWS and tile_rows(rows) < 8 else 0


@shared
def scratch_lines(share_rows: int, Ws: Arrays, packed: bool) -> tuple[int, int]:
    """Return how many lines of scratch a share needs, and how many of them are for a panel of the weights.

    The others are zeros, a bias, sums of slices, and what two layers make. `packed`: whether all weights are in panels.
    """
    panels, inputs = 1, 1
    for layer in range(len(Ws)):
        panels = max(panels, panel_count(Ws[layer].shape[1], Ws[layer].itemsize))
        inputs = max(inputs, Ws[layer].shape[0])
    own = 0 if packed else own_panel_lines(share_rows, inputs)
    return 2 + (K_SLICES - 1 + 2 * panels) * share_rows + own, own


@inline
def scratch_of(lines, rows, own):
    """Scratch for so many rows in as many lines as `scratch_lines` says."""
    width, products = lines.shape[1], (2 + own) * lines.shape[1]
    activations = products + (K_SLICES - 1) * rows * width
    clear_block(lines[0])
    return RowScratch(part_of(lines, ZERO, (1, width)), part_of(lines, width, (1, width)),
                      part_of(lines, products, (K_SLICES - 1, rows, width)),
                      part_of(lines, activations, (2, (lines.size - activations) // (2 * rows * width), rows, width)),
                      part_of(lines, 2 * width, (own, width)))


@inline
def pack_panels_block(Ws, panels_of_W, share, count):
    """Write every `count`-th panel of the weights, which lie one below the other."""
    offset, number = ZERO, 0
    for layer in range(len(Ws)):
        K, columns = Ws[layer].shape
        panels = panel_count(columns, item_size(panels_of_W))
        for panel in range(panels):
            if number % count == share:
                j0, n = panel_span(panel, panels, columns, NOT_HALVED, item_size(panels_of_W))
                copy_panel_block(Ws[layer], ZERO, K, j0, n, panels_of_W[offset:offset + K])
            offset += K
            number += 1


@block
def row_is_finite(x, z):
    """Whether the features x of a sample are finite, given one element of what the first affine map makes of them.

    One feature that is not makes all of these NaN or infinite, whatever the weight: so most samples need no look.
    """
    return isfinite(z) or finite_block(x)


@block
def scores_block(network, X, panels_of_W, outputs, scratch, start, stop):
    """Outputs for the rows start to stop of X (1, N, D): scores, or what the head makes of them, and their argmax."""
    depth, itemsize, m, offset = len(network.Ws), item_size(X), stop - start, ZERO
    for layer in range(depth):
        weights, biases = network.Ws[layer], network.bs[layer]
        K, columns = weights.shape
        panels = panel_count(columns, itemsize)
        for panel in range(panels):
            j0, n = panel_span(panel, panels, columns, NOT_HALVED, itemsize)
            for j in range(n):
                scratch.bias[0, j] = biases[j0 + j]
            W, w = weights, j0
            if panels_of_W.size:
                W, w = panels_of_W[offset:offset + K], ZERO
                offset += K
            elif scratch.panel.size:
                copy_panel_block(weights, ZERO, K, j0, n, scratch.panel)
                W, w = scratch.panel, ZERO
            A, left = X, plain_rows(X, start, ZERO)
            if layer > 0:
                A = scratch.activations[(layer - 1) % 2]
                left = panel_rows(A, ZERO, K, panel_count(K, itemsize), NOT_HALVED)
            target = scratch.activations[layer % 2, panel]
            affine_block(A, left, W, w, scratch.bias, scratch.zeros, target, scratch.products, m, K, ZERO, n)
            if layer == 0 and panel == 0:
                for i in range(m):
                    outputs.finite[start + i] = row_is_finite(X[0, start + i], target[i, 0])
            if layer < depth - 1:
                activate_rows_block(target, m, n, network.activation)
            else:
                for i in range(m):
                    for j in range(n):
                        outputs.Z[start + i, j0 + j] = target[i, j]
    output_rows_block(network.head, outputs.Z, start, stop)
    argmax_block(outputs.Z, outputs.labels, start, stop)


@block
def share_of_scores(network, samples, outputs, lines, rows, own, i0, i1):
    """`scores_block` for the rows i0 to i1 of samples (N, D), so many at a time, with scratch in `scratch_lines`."""
    X, scratch = part_of(samples, ZERO, (1, samples.shape[0], samples.shape[1])), scratch_of(lines, rows, own)
    for start in range(i0, i1, rows):
        scores_block(network, X, lines[:0], outputs, scratch, start, min(start + rows, i1))


@worker
def network_scores(number: int, counters: Array, network: Network, packers: int, share_rows: int, X: Array,
                   panels_of_W: Array, memory: Array, own_lines: int, outputs: Outputs) -> None:
    """Do the shares of one worker of a team that computes the scores of a network, or what a head makes of them.

    Nothing is checked: :func:`fastnet.network.passes.infer` has done that.

    Parameters
    ----------
    number, counters
        As for :func:`fastnet.engine.steps.training_steps`.
    network : Network
    packers : int
        How many shares to cut the copying of the weights into.
    share_rows : int
        Samples in a share, at most BLOCK_ROWS.
    X : array (1, N, D), C-contiguous
    panels_of_W : array (panel_lines, tile width)
        Scratch for the weights, empty where they are not copied.
    memory : array (workers, lines, tile width)
        Scratch of each worker.
    own_lines : int
        How many of these lines are for a panel of the weights; with the lines from `scratch_lines`.
    outputs : Outputs
    """
    opened = enter(counters, number)
    if opened == SHUT:
        return
    N, phase = X.shape[1], 0
    if panels_of_W.size:
        for attempt in range(packers):
            share = (number + attempt) % packers
            if claim(counters, share, 0):
                pack_panels_block(network.Ws, panels_of_W, share, packers)
                complete(counters)
        wait_until(counters, packers)
        phase = 1
    scratch = scratch_of(memory[number], min(share_rows, N), own_lines)
    count = (N + share_rows - 1) // share_rows
    for attempt in range(count):
        share = (number + attempt) % count
        if claim(counters, share, phase):
            scores_block(network, X, panels_of_W, outputs, scratch, share * share_rows,
                         min((share + 1) * share_rows, N))
            complete(counters)
    leave(counters, number, opened)


@block
def one_row_block(activation, head, samples, Ws, bs, Z, labels, lines):
    """`scores_block` for a single row (1, D), in wider tiles; return whether it is finite.

    Scratch: 2 + K_SLICES lines as wide as the widest layer.
    """
    depth, width, widest = len(Ws), row_width(item_size(samples)), lines.shape[1]
    A, zeros = part_of(samples, ZERO, (1, 1, samples.shape[1])), part_of(lines, ZERO, (1, widest))
    scratch = part_of(lines, 3 * widest, (K_SLICES - 1, 1, widest))
    clear_block(lines[0])
    for layer in range(depth):
        K, columns = Ws[layer].shape
        bias, place = part_of(bs[layer], ZERO, (1, columns)), (1 + layer % 2) * widest
        target = part_of(lines, place, (1, widest)) if layer < depth - 1 else Z
        for j0 in range(0, columns, width):
            affine_row_block(A, Ws[layer], bias, zeros, target, scratch, K, j0, min(width, columns - j0))
        if layer == 0:
            finite = row_is_finite(samples[0], target[0, 0])
        if layer < depth - 1:
            activate_block(flat(target, ZERO, columns), activation)
        A = part_of(lines, place, (1, 1, widest))
    output_rows_block(head, Z, ZERO, ZERO + 1)
    argmax_block(Z, labels, ZERO, ZERO + 1)
    return finite


@block
def shapes_fit(samples, Ws, bs, Z, labels):
    """Whether the arrays of `few_scores` have the shapes that it says, and are not empty."""
    rows, columns = samples.shape
    fit = rows > 0 and columns > 0 and labels.shape[0] == rows and Z.shape[0] == rows
    for layer in range(len(Ws)):
        fit = fit and Ws[layer].shape[0] == columns and bs[layer].shape[0] == Ws[layer].shape[1]
        columns = Ws[layer].shape[1]
        fit = fit and columns > 0
    return fit and Z.shape[1] == columns


@block
def first_that_is_not(finite):
    """Index of the first row that is not finite, or ALL_FINITE."""
    for i in range(finite.shape[0]):
        if not finite[i]:
            return i
    return ALL_FINITE


@task
def few_scores(activation: int | None, head: int | None, samples: Array, Ws: Arrays, bs: Arrays, Z: Array,
               labels: NDArray[np.intp]) -> int:
    """The same in one thread, for little work.

    Results are written to arrays of the caller's: new ones that compiled code hands over take longer to make. Shapes
    are checked here, where nobody can change them any more, and whether samples are finite.

    Parameters
    ----------
    activation, head, Ws, bs
        As in `Network`: the call of a single sample would notice a struct.
    samples : array (N, D), C-contiguous
        Of the dtype of the weights, as `Z` is.
    Z, labels : array (N, C), intp array (N,)
        As in `Outputs`.

    Returns
    -------
    bad : int
        Index of the first sample with a NaN or an inf among its features; ALL_FINITE if there is none. MISFIT if
        shapes are not those above, or there is nothing to do: then nothing has been done.
    """
    if not shapes_fit(samples, Ws, bs, Z, labels):
        return MISFIT
    N, tile = samples.shape[0], tile_width(item_size(samples))
    rows = min(BLOCK_ROWS, N)
    count, own = scratch_lines(rows, Ws, False)
    lines, finite = np.empty((count, tile), samples.dtype), np.empty(N, np.bool_)
    share_of_scores(Network(activation, head, Ws, bs), samples, Outputs(Z, labels, finite), lines, rows, own, ZERO, N)
    return first_that_is_not(finite)


@task
def one_row_scores(activation: int | None, head: int | None, samples: Array, Ws: Arrays, bs: Arrays, Z: Array,
                   labels: NDArray[np.intp]) -> int:
    """`few_scores` of a single sample, to the bit, by what is made for one row; else MISFIT."""
    if not shapes_fit(samples, Ws, bs, Z, labels) or samples.shape[0] > 1:
        return MISFIT
    widest = 1
    for layer in range(len(Ws)):
        widest = max(widest, Ws[layer].shape[1])
    lines = np.empty((2 + K_SLICES, widest), samples.dtype)
    return ALL_FINITE if one_row_block(activation, head, samples, Ws, bs, Z, labels, lines) else 0


@kernel
def few_scores_in_region(activation: int | None, head: int | None, threads: int, samples: Array, Ws: Arrays,
                         bs: Arrays, Z: Array, labels: NDArray[np.intp]) -> int:
    """`few_scores` in at most so many threads, for work that pays for a parallel region.

    It is apart because it takes as long again to compile, and small networks never call it.

    Returns
    -------
    bad : int
        As of `few_scores`; NO_REGION if there is no work for several threads, or no region to be had: then nothing has
        been done.
    """
    if not shapes_fit(samples, Ws, bs, Z, labels):
        return MISFIT
    N, tile, work, bad = samples.shape[0], tile_width(item_size(samples)), 0, ALL_FINITE
    for layer in range(len(Ws)):
        work += N * Ws[layer].size
    height = tile_rows(N)
    tiles = (N + height - 1) // height
    count = min(shares(tiles, work), threads)
    rows = min(BLOCK_ROWS, (tiles + count - 1) // count * height)  # no share has more, or it takes blocks of BLOCK_ROWS
    share_lines, own = scratch_lines(rows, Ws, False)
    lines, finite = np.empty((count, share_lines, tile), samples.dtype), np.empty(N, np.bool_)
    if count == 1 or not enter_region():
        bad = NO_REGION
    else:
        for t in prange(count):
            share = np.intp(t)
            share_of_scores(Network(activation, head, Ws, bs), samples, Outputs(Z, labels, finite), lines[share], rows,
                            own, tile_share_start(share, count, N), tile_share_start(share + 1, count, N))
        leave_region()
    return bad if bad == NO_REGION else first_that_is_not(finite)


@task
def few_probabilities(Z: Array) -> Array:
    """:func:`fastnet.kernels.softmax` in one thread, for few rows: that kernel takes twice as long to compile.

    Parameters
    ----------
    Z : array (N, C), C-contiguous
        Neither side is 0.
    """
    N, C = Z.shape
    P, S = np.empty((N, C), Z.dtype), np.empty((C, BLOCK_ROWS), Z.dtype)
    softmax_rows_block(Z, P, S, np.empty(N, Z.dtype), np.empty(N, Z.dtype), ZERO, N)
    return P
