"""Whole steps of training in one compiled call, on the same block functions as the kernels.

A step is two phases. In the *sample phase* each share takes some samples of the minibatch through the layers, forward
and backward. In the *feature phase* each share takes some rows of the weights: gradient, penalty and update while they
are in the cache. A team of workers goes through both (:mod:`fastnet.parallel.team`): no thread is started and none
waits in Python between the steps. The numbers are those of the kernels one after the other, to the bit.

What one core has written and another reads costs more than the work on it, so as little as can be travels. Where there
are many features, the first affine map is made in the feature phase too: each core has its part of the features, of
the weights and of their gradient, and only sums of the map travel, not weights and samples. Where there are many hidden
units, that is done with the second map: each core has its part of the units, with all that is below them, and takes the
whole minibatch through. (`joined` is the layer whose map it is.) Where the gradient of another layer is two sums
(:func:`fastnet.blocks.partition.gradient_sums`), each of two shares makes one of them in the sample phase, of its own
samples (`own`): the sums travel, not deltas and activations.

Everything lies so that tiles read memory in a row:

- *packed features*, (D / PACK, N, PACK): the minibatch. A tile of the forward pass and one of the weight gradient both
  read it in a row.
- *panels*, (panels, rows, width): weights, activations and deltas. A panel is at most as wide as a tile.

Rows of weights that are padded stay 0, which adds nothing to the sum of their squares. Whatever else is padded is never
read by what is not. Shape letters: N samples, D inputs, H hidden units, C classes. `sizes` is
(D, H, ..., C). What there is for each layer comes as a stack (:mod:`fastnet.llvm.stacks`).
:class:`fastnet.engine.workspace.Workspace` makes it all.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..blocks.activations import activate_block, activation_mask_block
from ..blocks.heads import losses_block, turn_in_block, turn_out_block
from ..blocks.operands import one_row, packed_columns, packed_rows, panel_columns, panel_rows
from ..blocks.optimizers import Optimizer, update_block
from ..blocks.partition import (
    BLOCK_ROWS,
    FIRST,
    LEAVES,
    column_share,
    gradient_sums,
    half_panels,
    leaf_count,
    leaf_start,
    panel_span,
    rows_in_tiles,
    sample_sums,
    share_start,
    tile_share,
    whole,
)
from ..blocks.products import affine_block, bias_sums_block, gradient_block, product_block
from ..blocks.sparse import NonZeros, begin_block, has_non_zeros, sparse_affine_block, sparse_gradient_block
from ..blocks.sums import add_block, join_squares_block, ordered_sum, square_sums_block, total_of_squares
from ..jit.decorators import block, inline, worker
from ..llvm.arrays import item, item_size, shaped, span
from ..llvm.stacks import Stack, at
from ..llvm.subnormals import flush_subnormals, restore_control
from ..llvm.target import PACK
from ..llvm.tile import move
from ..parallel.phases import complete, enter, leave, take, wait_until

__all__ = ["training_steps"]

Array = NDArray[Any]

_FEW_ROWS, _FEW_WEIGHTS = 64, 1 << 15
"""How many samples go through the layers at a time where the first layer has so few weights at most: their activations
stay in the first-level cache. Else it is BLOCK_ROWS, since for each piece the weights come from further away."""

_GATHERED = 8
"""Samples that are gathered side by side: what they write lies in a row, and is some cache lines then."""


@block
def gather_block(X, batch, A, p0, p1, i0, i1):
    """A[p0:p1] = X[batch], packed, for the rows i0 to i1 of the minibatch and the packs p0 to p1 of features.

    What the last pack has too many may be anything: the features of the next sample, mostly.
    """
    D, N = X.shape[1], A.shape[1]
    full = min(p1, D // PACK)
    for start in range(i0, i1, _GATHERED):
        stop = min(start + _GATHERED, i1)
        for p in range(p0, full):
            for i in range(start, stop):
                move(A, (p * N + i) * PACK, X, batch[i] * D + p * PACK)
        if full < p1:
            for i in range(start, stop):
                place = batch[i] * D + full * PACK
                if place + PACK <= X.size:
                    move(A, (full * N + i) * PACK, X, place)
                else:
                    source, target = span(X, place, D - full * PACK), A[full, i]
                    for d in range(source.shape[0]):
                        target[d] = source[d]


@inline
def partial_sums_block(A, left, W, b, zeros, partial, D, columns, leaf0, leaf1, pairs, start, stop):
    """The leaves leaf0 to leaf1 of an affine map for the rows start to stop, added pairwise with `pairs`.

    `left` says how A lies from row `start` on.
    """
    panels, leaves = W.shape[0], leaf_count(D)
    for panel in range(panels):
        _, n = panel_span(panel, panels, columns, item_size(W))
        for leaf in range(leaf0, leaf1):
            product_block(A, left, W[panel], FIRST, b[panel] if leaf == 0 else zeros, partial[leaf, panel, start:stop],
                          FIRST, stop - start, leaf_start(leaf, leaves, D), leaf_start(leaf + 1, leaves, D), FIRST, n)
            if pairs and leaf % 2 == 1:
                add_block(partial[leaf, panel], partial[leaf - 1, panel], start, stop, FIRST, W.shape[2])


@block
def begin_flushing(optimizer):
    """Count numbers below the smallest normal one as 0 from now on, where there are moments; return what was before.

    Moments of weights that nothing pulls at become ever smaller, and the processor takes a hundred times as long for
    subnormal numbers.
    """
    if optimizer is None:
        return np.int64(0)
    return flush_subnormals()


@block
def end_flushing(optimizer, control):
    """Undo `begin_flushing`."""
    if optimizer is not None:
        restore_control(control)


@inline
def join_block(partial, Z, pairs, start, stop):
    """Z[:, start:stop] = the leaves of `partial_sums_block` added up."""
    leaves, panels, width = partial.shape[0], Z.shape[0], Z.shape[2]  # with what is padded: all at once
    for panel in range(panels):
        if leaves == LEAVES and not pairs:
            add_block(partial[1, panel], partial[0, panel], start, stop, FIRST, width)
            add_block(partial[3, panel], partial[2, panel], start, stop, FIRST, width)
        place, count = start * width, (stop - start) * width
        first, other = span(partial[0, panel], place, count), span(partial[leaves // 2, panel], place, count)
        target = span(Z[panel], place, count)
        for h in range(count):
            target[h] = first[h] + other[h]


@inline
def layer_block(activation, layer, done, sizes, W, b, non_zeros, X0, batch, A, scratch, zeros, panel, start, stop):
    """A panel of what a layer puts out for the rows start to stop; `done` if its affine map is there already."""
    output = at(A, layer + 1)
    _, n = panel_span(panel, output.shape[0], sizes[layer + 1], item_size(zeros))
    weights, biases, Z = at(W, layer)[panel], at(b, layer)[panel], output[panel, start:stop]
    if not done:
        if layer > 0:
            below = at(A, layer)
            left = panel_rows(below, start, sizes[layer], below.shape[0])
            affine_block(below, left, weights, FIRST, biases, zeros, Z, scratch, stop - start, sizes[layer], FIRST, n)
        elif has_non_zeros(non_zeros):
            sparse_affine_block(non_zeros, batch[start:stop], weights, biases, Z, n)
        else:
            affine_block(X0, packed_rows(X0, start), weights, FIRST, biases, zeros, Z, scratch, stop - start, sizes[0],
                         FIRST, n)
    if layer < sizes.shape[0] - 2:  # with what is padded: all at once
        activate_block(span(Z, FIRST, Z.size), activation)


@inline
def backward_block(activation, layer, sizes, WT, A, delta, zeros, panel0, panel1, start, stop):
    """The deltas of the layer below for the rows start to stop, in the panels panel0 to panel1 of what it puts out."""
    above, below, activations, transposed = at(delta, layer), at(delta, layer - 1), at(A, layer), at(WT, layer)
    left = panel_rows(above, start, sizes[layer + 1], above.shape[0])
    for panel in range(panel0, panel1):
        _, n = panel_span(panel, below.shape[0], sizes[layer], item_size(zeros))
        dZ = below[panel, start:stop]
        product_block(above, left, transposed[panel], FIRST, zeros, dZ, FIRST, stop - start, FIRST, sizes[layer + 1],
                      FIRST, n)
        activation_mask_block(span(dZ, FIRST, dZ.size), span(activations[panel, start:stop], FIRST, dZ.size),
                              activation)


@inline
def share_of_units(sizes, index, joined, share, count, itemsize):
    """From which to which of the sizes[index] units a share of the feature phase goes that has `count`."""
    if joined == 1 and index == 1:
        return leaf_start(share, count, sizes[1]), leaf_start(share + 1, count, sizes[1])
    first, units = column_share(share, count, sizes[index], itemsize)
    return first, first + units


@inline
def samples_block(activation, head, sizes, W, b, WT, joined, non_zeros, X0, y, targets, weights, weight_sum,
                  batch, A, delta, scores, scratch, zeros, labels, losses, maxima, totals, start, stop):
    """Layers forward and backward for the rows start to stop of a minibatch.

    All of them, or those from number `joined` on, if that is not -1; its affine map is there already. X0 is the packed
    minibatch, if there are no `non_zeros`; `scores`, `scratch`, `labels`, `maxima` and `totals` belong to the caller
    alone.
    """
    depth, step, m, lowest = sizes.shape[0] - 1, item_size(zeros), stop - start, max(joined, 0)
    for layer in range(lowest, depth):
        for panel in range(at(A, layer + 1).shape[0]):
            layer_block(activation, layer, layer == joined, sizes, W, b, non_zeros, X0, batch, A, scratch, zeros, panel,
                        start, stop)
    last = at(A, depth)
    for panel in range(last.shape[0]):
        j0, n = panel_span(panel, last.shape[0], sizes[depth], step)
        turn_in_block(last[panel, start:stop], scores, j0, n, m)
    losses_block(head, scores, y, targets, weights, batch[start:stop], weight_sum, losses[start:stop], labels, maxima,
                 totals)
    last = at(delta, depth - 1)
    for panel in range(last.shape[0]):
        j0, n = panel_span(panel, last.shape[0], sizes[depth], step)
        turn_out_block(scores, last[panel, start:stop], j0, n, m)
    for layer in range(depth - 1, lowest, -1):
        backward_block(activation, layer, sizes, WT, A, delta, zeros, FIRST, at(delta, layer - 1).shape[0], start, stop)


@inline
def own_gradients_block(sizes, joined, A, delta, non_zeros, X0, sums, db, zeros, ones, part, first, start, stop):
    """Add what the samples start to stop give to part number `part` of the gradients that are made of two sums.

    Not to that of layer `joined`. `first` is the first sample of that part. Weights of layers but the first have their
    gradients transposed, as in `upper_update_block`.
    """
    step, begins = item_size(zeros), start == first
    for layer in range(sizes.shape[0] - 1):
        dZ, below, parts = at(delta, layer), at(A, layer), at(sums, layer)
        inputs, outputs = sizes[layer], sizes[layer + 1]
        panels, others = dZ.shape[0], below.shape[0]
        split = gradient_sums(dZ.shape[1], inputs, outputs) == 2
        for panel in range(panels):
            j0, n = panel_span(panel, panels, outputs, step)
            biases = at(db, layer)[panel]
            product_block(ones, one_row(), dZ[panel], FIRST, zeros if begins else biases, biases, part, part + 1, start,
                          stop, FIRST, n)
            if layer == joined or (layer == 0 and has_non_zeros(non_zeros)):
                continue
            if split and layer == 0:
                target = parts[part * panels + panel]
                product_block(X0, packed_columns(X0, FIRST), dZ[panel], FIRST, zeros if begins else target, target,
                              FIRST, target.shape[0], start, stop, FIRST, n)
            elif split:
                for other in range(others):
                    _, width = panel_span(other, others, inputs, step)
                    target = parts[part * others + other, j0:j0 + n]
                    product_block(dZ, panel_columns(dZ, panel), below[other], FIRST, zeros if begins else target,
                                  target, FIRST, n, start, stop, FIRST, width)


@inline
def first_update_block(sizes, batch, W, first_moment, second_moment, non_zeros, cursors, X0, delta, sums, own, gradient,
                       squares, squared, zeros, learning_rate, l2, optimizer, panel0, panel1, p0, p1):
    """Gradient and step of the first layer's weights from a minibatch, in the panels panel0 to panel1, packs p0 to p1.

    If `own`, and the gradient is made of two sums, they are there already: each share of samples has made its own.
    `squared`: whether the squares of the weights are wanted. `gradient` and `cursors` are scratch.
    """
    panels, N, columns, width, step = W.shape[0], delta.shape[1], sizes[1], W.shape[2], item_size(zeros)
    parts, sparse = gradient_sums(N, sizes[0], columns), has_non_zeros(non_zeros)
    gradient = shaped(gradient, gradient.shape[0], gradient.shape[1], width)
    for panel in range(panel0, panel1):
        _, n = panel_span(panel, panels, columns, step)
        weights = W[panel]
        begin_block(non_zeros, batch, cursors, p0 * PACK)
        for first in range(p0, p1, BLOCK_ROWS // PACK):
            last = min(first + BLOCK_ROWS // PACK, p1)
            i0, i1 = first * PACK, min(last * PACK, sizes[0])
            total, t0, used = gradient[0], FIRST, whole(n, step)
            if sparse:
                sparse_gradient_block(non_zeros, batch, delta[panel], total, cursors, i0, i1, n)
            elif own and parts == 2:
                total, t0, used = sums[panel], i0, width  # with what is padded, which is 0 there: all at once
                add_block(sums[panels + panel], total, i0, i1, FIRST, used)
            else:
                gradient_block(X0, packed_columns(X0, first), delta[panel], zeros, gradient, parts, batch.shape[0],
                               FIRST, (last - first) * PACK, FIRST, n)
            if squared:
                square_sums_block(weights, squares[panel], weights.shape[0], used, first, last)
            update_block(total, t0, weights, item(first_moment, panel), item(second_moment, panel), i0, i1, FIRST, used,
                         learning_rate, l2, optimizer)


@inline
def upper_update_block(sizes, samples, layer, W, WT, first_moment, second_moment, A, delta, sums, own, gradient,
                       squares, squared, zeros, learning_rate, l2, optimizer, h0, h1):
    """Gradient and step of the weights of a layer but the first from so many samples, for the rows h0 to h1 of W.

    The gradient is made transposed, delta^T A: layers mostly narrow towards the top, and few rows waste less than few
    columns. W and WT are the same weights. `own`, `squared` and `gradient` as in `first_update_block`.
    """
    N, step = delta.shape[1], item_size(zeros)
    inputs, outputs = sizes[layer], sizes[layer + 1]
    parts = gradient_sums(N, inputs, outputs)
    gradient = shaped(gradient, gradient.shape[0], gradient.shape[1], WT.shape[2])
    if squared:
        for panel in range(W.shape[0]):
            _, n = panel_span(panel, W.shape[0], outputs, step)
            square_sums_block(W[panel], squares[panel], W.shape[1], whole(n, step), h0 // PACK, (h1 + PACK - 1) // PACK)
    for panel in range(WT.shape[0]):
        j0, n = panel_span(panel, WT.shape[0], inputs, step)
        first, last = max(h0 - j0, 0), min(h1 - j0, n)
        if first >= last:
            continue
        for other in range(W.shape[0]):
            k0, m = panel_span(other, W.shape[0], outputs, step)
            total, t0 = gradient[0], FIRST
            if own and parts == 2:
                total, t0 = sums[panel], k0
                add_block(sums[WT.shape[0] + panel], total, k0, k0 + m, first, whole(last - first, step))
            else:
                gradient_block(delta, panel_columns(delta, other), A[panel], zeros, gradient, parts, samples, FIRST,
                               rows_in_tiles(m), first, last - first)
            update_block(total, t0, WT[panel], item(first_moment, panel), item(second_moment, panel), k0, k0 + m, first,
                         whole(last - first, step), learning_rate, l2, optimizer)
            for k in range(m):
                weights = WT[panel, k0 + k, first:last]
                for j in range(last - first):
                    W[other, j0 + first + j, k] = weights[j]


@block
def bias_update_block(b, first_moment, second_moment, samples, delta, own, db, zeros, ones, columns, learning_rate,
                      optimizer, h0, h1):
    """Gradient and step of the biases h0 to h1 of a layer; `own` as in `first_update_block`."""
    panels, step = b.shape[0], item_size(b)
    for panel in range(panels):
        j0, n = panel_span(panel, panels, columns, step)
        first, last = max(h0 - j0, 0), min(h1 - j0, n)
        if first >= last:
            continue
        sums = db[panel]
        if own:
            add_block(sums[1:], sums, FIRST, FIRST + 1, first, whole(last - first, step))
        else:
            bias_sums_block(ones, delta[panel], zeros, sums, sample_sums(delta.shape[1]), samples, first, last - first)
        update_block(sums, FIRST, b[panel], item(first_moment, panel), item(second_moment, panel), FIRST, FIRST + 1,
                     first, whole(last - first, step), learning_rate, b.dtype.type(0), optimizer)


@block
def loss_block(sizes, row_losses, weight_sum, squares, first_joined, l2):
    """The loss of a minibatch from what its samples and the weights have left, whose squares are used up.

    `first_joined`: whether those of the first layer are joined already.
    """
    loss = ordered_sum(row_losses) / weight_sum
    if l2 != 0:
        for layer in range(sizes.shape[0] - 2, -1, -1):
            parts, columns = at(squares, layer), sizes[layer + 1]
            if layer > 0 or not first_joined:
                for panel in range(parts.shape[0]):
                    _, n = panel_span(panel, parts.shape[0], columns, item_size(parts))
                    join_squares_block(parts[panel], n, FIRST, LEAVES)
            loss += 0.5 * l2 * total_of_squares(parts, columns)
    return loss


@worker
def training_steps(number: int, counters: Array, activation: int | None, head: int | None, optimizer: Optimizer | None,
                   sample_count: int, feature_count: int, joined: int, own: bool, sizes: Array,
                   W: Stack, b: Stack, WT: Stack, first_moments: Stack | None, second_moments: Stack | None,
                   first_moments_b: Stack | None, second_moments_b: Stack | None, X: Array,
                   non_zeros: NonZeros | None, y: Array, targets: Array, weights: Array, batches: Array, counts: Array,
                   rates: Array, penalties: Array, weight_sums: Array, losses: Array, X0: Array, A: Stack,
                   delta: Stack, partial: Array, scores: Array, scratch: Array, sums: Stack, db: Stack,
                   squares: Stack, zeros: Array, ones: Array, labels: Array, cursors: Array, maxima: Array,
                   totals: Array, row_losses: Array) -> None:
    """Do the shares of one worker of a team that takes a step for each minibatch.

    Phase 2 s is the feature phase after step s - 1, with the beginning of step s; phase 2 s + 1 is the sample phase of
    s. Parameters and moments are changed in place. Nothing is checked: :class:`fastnet.engine.workspace.Workspace` has
    done that.

    Parameters
    ----------
    number : int
        Number of this worker.
    counters : int64 array
        From :func:`fastnet.parallel.phases.counters`, not yet begun.
    activation, head, optimizer : int or None, int or None, Optimizer or None
        As in the modules of these names in :mod:`fastnet.blocks`. None three times is the course's network, compiled by
        itself: what is never asked for would cost seconds.
    sample_count, feature_count : int
        How many shares to cut the two phases into; `feature_count` divides the number of leaves if `joined` is 0, and
        is 2 if it is 1.
    joined : int
        The layer whose affine map belongs to the feature phase, 0 or 1; -1 if none does. Changes no result.
    own : bool
        Whether each of two shares of samples makes one of the two sums of those gradients that are made of two. Changes
        no result. Not where `joined` is 1: the deltas of the first layer come later there.
    sizes : intp array (D, H, ..., C)
    W, b : stack of array (panels, D padded, width), stack of array (panels, 1, width)
        Weights and biases of each layer.
    WT : stack of array (panels of the layer's input, H, width)
        The weights transposed; that of the first layer is not used.
    first_moments, second_moments : None or stack
        The optimizer's, of the weights: of the shape of W in the first layer, and of WT in the others.
    first_moments_b, second_moments_b : None or stack of array (panels, 1, width)
        The same of the biases.
    X : array (M, D), C-contiguous
        All samples.
    non_zeros : NonZeros or None
        Samples whose non-zeros alone are stored, instead of `X`, which is not used then.
    y, targets, weights : int64 array (M,), array (M, C), array (M,) or empty
        As for :func:`fastnet.blocks.heads.losses_block`.
    batches : intp array (steps, N)
        Indices of the samples of each minibatch.
    counts : intp array (steps,)
        How many samples each minibatch really has, at most N: the first of its row.
    rates, penalties, weight_sums : float64 array (steps,)
        For each step the learning rate, l2 (the penalty is 0.5 * l2 * sum(W^2)), and the sum of the samples' weights,
        which is N where there are none.
    losses : float64 array (steps,)
        Receives the loss of each minibatch before its update.
    X0 : array (copies, D padded / PACK, N, PACK)
        The minibatch, packed; if `joined` is 1, a copy for each share of the feature phase. Not used for `non_zeros`.
    A, delta : stacks of array (panels, N, width)
        What goes into each layer (that of the first is not used) and at last what comes out; the gradient of the loss
        with respect to each affine map. The last of both may be one array.
    partial : array (leaves, panels, N, width)
        The sums that the map of layer `joined` is made of; not used if that is -1.
    scores : array (shares, C, BLOCK_ROWS)
    scratch : array (shares, parts, rows, tile width)
        As many parts as there are sums in a gradient that is not in `sums`, and at most BLOCK_ROWS rows: of features,
        or as a tile is wide. Where an affine map is made of leaves, BLOCK_ROWS rows and at least as many parts as there
        are leaves but one.
    sums : stack of array (2 panels, D padded, width)
        The two sums that the gradient of a layer's weights is made of, first all panels of the one;
        (2 panels of the layer's input, H, width) but in the first. Used for layers for which there are two, and two
        shares of samples.
    db, squares : stack of array (panels, 2, width), stack of array (panels, D padded / PACK, width)
    zeros, ones : array (1, width) of zeros, array (1, 1, 1) of 1
    labels, cursors : intp array (shares, BLOCK_ROWS), intp array (shares, N)
        Scratch, as what follows; cursors are used for `non_zeros`. Each share has cache lines of its own.
    maxima, totals : two arrays (shares, BLOCK_ROWS)
    row_losses : float64 array (2, N)
    """
    if not enter(counters, number):
        return
    control = begin_flushing(optimizer)
    steps, depth = batches.shape[0], sizes.shape[0] - 1
    packs, leaves = (sizes[0] + PACK - 1) // PACK, partial.shape[0]
    pairs = leaves == LEAVES and feature_count <= LEAVES // 2
    alone = sample_count == 1 and feature_count == 1  # one worker: atomic operations cost a small step much
    piece_rows = _FEW_ROWS if sizes[0] * sizes[1] <= _FEW_WEIGHTS else BLOCK_ROWS
    for phase in range(2 * steps + 2):
        step, by_samples = phase // 2, phase % 2
        count = sample_count if by_samples else feature_count
        if not alone:
            wait_until(counters, step * (sample_count + feature_count) + by_samples * feature_count)
        for turn in range(count):
            share = (number + turn) % count if count > 1 else 0
            if not (alone or take(counters, share, phase)):
                continue
            if by_samples:
                if share == 0 and step > 0:  # what the last step has left; its losses have rows of their own
                    losses[step - 1] = loss_block(sizes, row_losses[(step - 1) % 2, :counts[step - 1]],
                                                  weight_sums[step - 1], squares, joined >= 0, penalties[step - 1])
                first, last, rounds = FIRST, FIRST, 0
                if step < steps:
                    first, last = tile_share(share, count, counts[step]), tile_share(share + 1, count, counts[step])
                    rounds = max((last - first + piece_rows - 1) // piece_rows, 1)  # a sum of no samples is 0
                summed = first
                for piece in range(rounds):
                    start, stop = first, last
                    if rounds > 1:
                        start = first + tile_share(piece, rounds, last - first)
                        stop = first + tile_share(piece + 1, rounds, last - first)
                    if joined >= 0:
                        join_block(partial, at(A, joined + 1), pairs, start, stop)
                    elif not has_non_zeros(non_zeros):
                        gather_block(X, batches[step], X0[0], FIRST, packs, start, stop)
                    samples_block(activation, head, sizes, W, b, WT, joined, non_zeros, X0[0], y, targets, weights,
                                  weight_sums[step], batches[step], A, delta, scores[share], scratch[share], zeros,
                                  labels[share], row_losses[step % 2], maxima[share], totals[share], start, stop)
                    if own and (stop == last or stop + piece_rows - summed > BLOCK_ROWS):
                        own_gradients_block(sizes, joined, A, delta, non_zeros, X0[0], sums, db, zeros, ones, share,
                                            first, summed, stop)
                        summed = stop
            else:
                leaf0, leaf1 = share_start(share, count, leaves), share_start(share + 1, count, leaves)
                square0, square1 = share_start(share, count, LEAVES), share_start(share + 1, count, LEAVES)
                panel0, panel1, features = FIRST, at(W, 0).shape[0], X0[0]
                if joined == 1:
                    middle = half_panels(sizes[1], item_size(zeros))
                    panel0, panel1 = (middle, panel1) if share else (panel0, middle)
                    p0, p1, square0, square1, features = FIRST, packs, FIRST, LEAVES, X0[share]
                elif joined == 0:
                    p0 = leaf_start(leaf0, leaves, sizes[0]) // PACK
                    p1 = (leaf_start(leaf1, leaves, sizes[0]) + PACK - 1) // PACK
                else:
                    p0, p1 = share_start(share, count, packs), share_start(share + 1, count, packs)
                if step > 0:
                    rate, penalty = zeros.dtype.type(rates[step - 1]), zeros.dtype.type(penalties[step - 1])
                    squared, samples = penalties[step - 1] != 0, counts[step - 1]
                    if joined == 1:
                        for start in range(0, samples, BLOCK_ROWS):
                            backward_block(activation, 1, sizes, WT, A, delta, zeros, panel0, panel1, start,
                                           min(start + BLOCK_ROWS, samples))
                    first_update_block(sizes, batches[step - 1, :samples], at(W, 0), at(first_moments, 0),
                                       at(second_moments, 0), non_zeros, cursors[share], features, at(delta, 0),
                                       at(sums, 0), own and joined != 0, scratch[share], at(squares, 0), squared, zeros,
                                       rate, penalty, optimizer, panel0, panel1, p0, p1)
                    if squared and joined >= 0:
                        for panel in range(panel0, panel1):
                            join_squares_block(at(squares, 0)[panel], at(squares, 0).shape[2], square0, square1)
                    for layer in range(1, depth):
                        h0, h1 = share_of_units(sizes, layer, joined, share, count, item_size(zeros))
                        upper_update_block(sizes, samples, layer, at(W, layer), at(WT, layer),
                                           at(first_moments, layer), at(second_moments, layer), at(A, layer),
                                           at(delta, layer), at(sums, layer), own, scratch[share], at(squares, layer),
                                           squared, zeros, rate, penalty, optimizer, h0, h1)
                    for layer in range(depth):
                        h0, h1 = share_of_units(sizes, layer + 1, joined, share, count, item_size(zeros))
                        if layer == joined:  # all by the first share: it needs it below and must not wait
                            h0, h1 = FIRST, sizes[layer + 1] if share == 0 else FIRST
                        bias_update_block(at(b, layer), at(first_moments_b, layer), at(second_moments_b, layer),
                                          samples, at(delta, layer), own, at(db, layer), zeros, ones, sizes[layer + 1],
                                          rate, optimizer, h0, h1)
                if joined >= 0 and step < steps:
                    for start in range(0, counts[step], BLOCK_ROWS):
                        stop = min(start + BLOCK_ROWS, counts[step])
                        gather_block(X, batches[step], features, p0, p1, start, stop)
                        below, left = features, packed_rows(features, start)
                        if joined == 1:
                            below = at(A, 1)
                            left = panel_rows(below, start, sizes[1], below.shape[0])
                            for panel in range(panel0, panel1):
                                layer_block(activation, FIRST, False, sizes, W, b, non_zeros, features, batches[step],
                                            A, scratch[share], zeros, panel, start, stop)
                        partial_sums_block(below, left, at(W, joined), at(b, joined), zeros, partial, sizes[joined],
                                           sizes[joined + 1], leaf0, leaf1, pairs, start, stop)
            if not alone:
                complete(counters)
    end_flushing(optimizer, control)
    leave(counters, number)
