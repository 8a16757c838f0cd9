"""The sample phase: a share takes some samples of the minibatch through the layers, forward and backward.

Where `split_gradients` says so, it also sums its part of the gradients, while deltas and activations are in its cache:
the other core then reads the sums, not the deltas and activations.
"""

from __future__ import annotations

from ..blocks.heads import losses_block, transpose_in_block, transpose_out_block
from ..blocks.operands import one_row, packed_columns, panel_columns
from ..blocks.partition import K_SLICES, ZERO, panel_span, tile_share_start
from ..blocks.products import product_block
from ..blocks.sparse import has_non_zeros
from ..blocks.sums import add_squares_block, ordered_sum, total_of_squares
from ..jit.decorators import block
from ..llvm.arrays import item_size
from ..llvm.stacks import layer_of
from ..tuning import BLOCK_ROWS
from .arguments import NO_LAYER
from .layers import activate_layer, affine_layer, finish_affine_layer, gather, propagate_layer, unit_span
from .plan import gradient_is_split

__all__ = ["loss_of_step", "sample_phase"]


@block
def sample_phase(method, plan, parameters, samples, schedule, buffers, scratch, step, share):
    """Do one share of the sample phase of a step."""
    count, rows = plan.sample_shares, schedule.counts[step]
    first, last = tile_share_start(share, count, rows), tile_share_start(share + 1, count, rows)
    chunks = max((last - first + plan.chunk_rows - 1) // plan.chunk_rows, 1)  # a sum of no samples is 0
    summed = first
    for chunk in range(chunks):
        start, stop = first, last
        if chunks > 1:
            start = first + tile_share_start(chunk, chunks, last - first)
            stop = first + tile_share_start(chunk + 1, chunks, last - first)
        forward_rows(method, plan, parameters, samples, schedule.batches[step], buffers, scratch, share, start, stop)
        head_rows(method, plan, parameters, samples, schedule, buffers, scratch, step, share, start, stop)
        backward_rows(method, plan, parameters, buffers, scratch, start, stop)
        if plan.split_gradients and (stop == last or stop + plan.chunk_rows - summed > BLOCK_ROWS):
            add_to_gradients(plan, parameters, samples, buffers, scratch, share, first, summed, stop)
            summed = stop


@block
def forward_rows(method, plan, parameters, samples, batch, buffers, scratch, share, start, stop):
    """Take the rows start to stop forward through the layers, from `forward_layer` on if its k-slices are there."""
    features, depth = buffers.X0[0], parameters.sizes.shape[0] - 1
    if plan.forward_layer != NO_LAYER:
        finish_affine_layer(plan, buffers, start, stop)
    else:
        gather(samples, batch, features, ZERO, features.shape[0], start, stop)
    for layer in range(max(plan.forward_layer, 0), depth):
        for panel in range(layer_of(buffers.A, layer + 1).shape[0]):
            if layer != plan.forward_layer:
                affine_layer(plan, parameters, samples, batch, features, buffers.A, scratch, share, layer, panel, start,
                             stop)
            activate_layer(method, parameters, buffers.A, layer, panel, start, stop)


@block
def head_rows(method, plan, parameters, samples, schedule, buffers, scratch, step, share, start, stop):
    """Losses of the rows start to stop, and the gradient with respect to their scores in `delta` of the last layer."""
    depth, itemsize, m = parameters.sizes.shape[0] - 1, item_size(scratch.zeros), stop - start
    scores, Z, delta = scratch.scores[share], layer_of(buffers.A, depth), layer_of(buffers.delta, depth - 1)
    for panel in range(Z.shape[0]):
        j0, n = unit_span(plan, parameters.sizes, depth, panel, Z.shape[0], itemsize)
        transpose_in_block(Z[panel, start:stop], scores, j0, n, m)
    losses_block(method.head, scores, samples.labels, samples.targets, samples.weights,
                 schedule.batches[step, start:stop], schedule.weight_sums[step],
                 buffers.row_losses[step % 2, start:stop], scratch.labels[share], scratch.maxima[share],
                 scratch.totals[share])
    for panel in range(delta.shape[0]):
        j0, n = unit_span(plan, parameters.sizes, depth, panel, delta.shape[0], itemsize)
        transpose_out_block(scores, delta[panel, start:stop], j0, n, m)


@block
def backward_rows(method, plan, parameters, buffers, scratch, start, stop):
    """Take the deltas of the rows start to stop down to the first layer.

    For SECOND_LAYER down to the second: the feature phase makes the deltas of the first.
    """
    for layer in range(parameters.sizes.shape[0] - 2, max(plan.forward_layer, 0), -1):
        propagate_layer(method, plan, parameters, buffers, scratch, layer, ZERO,
                        layer_of(buffers.delta, layer - 1).shape[0], start, stop)


@block
def add_to_gradients(plan, parameters, samples, buffers, scratch, part, first, start, stop):
    """Add the products of the samples start to stop to sum number `part` of each gradient that is split.

    The sums begin at 0 where `start` is `first`, the first sample of that part. Weights of layers but the first have
    their gradients transposed, as in :func:`fastnet.engine.feature_phase.update_upper_layer`.
    """
    sizes, zeros, features, begins = parameters.sizes, scratch.zeros, buffers.X0[0], start == first
    itemsize = item_size(zeros)
    for layer in range(sizes.shape[0] - 1):
        dZ, below = layer_of(buffers.delta, layer), layer_of(buffers.A, layer)
        sums = layer_of(buffers.gradient_sums, layer)
        inputs, panels, others = sizes[layer], dZ.shape[0], below.shape[0]
        split = gradient_is_split(plan, layer, dZ.shape[1], inputs, sizes[layer + 1])
        for panel in range(panels):
            j0, n = unit_span(plan, sizes, layer + 1, panel, panels, itemsize)
            db = layer_of(buffers.db, layer)[panel]
            product_block(scratch.ones, one_row(), dZ[panel], ZERO, zeros if begins else db, db, part, part + 1, start,
                          stop, ZERO, n)
            if layer == 0 and has_non_zeros(samples.non_zeros):
                continue
            if split and layer == 0:
                target = sums[part * panels + panel]
                product_block(features, packed_columns(features, ZERO), dZ[panel], ZERO, zeros if begins else target,
                              target, ZERO, target.shape[0], start, stop, ZERO, n)
            elif split:
                for other in range(others):
                    _, width = unit_span(plan, sizes, layer, other, others, itemsize)
                    target = sums[part * others + other, j0:j0 + n]
                    product_block(dZ, panel_columns(dZ, panel), below[other], ZERO, zeros if begins else target,
                                  target, ZERO, n, start, stop, ZERO, width)


@block
def loss_of_step(plan, parameters, schedule, buffers, step):
    """The loss of a step from what its samples and the feature phase after it have left; overwrites `square_sums`."""
    row_losses = buffers.row_losses[step % 2, :schedule.counts[step]]
    return loss_block(parameters.sizes, row_losses, schedule.weight_sums[step], buffers.square_sums,
                      plan.forward_layer != NO_LAYER, plan.panels_halved, schedule.penalties[step])


@block
def loss_block(sizes, row_losses, weight_sum, square_sums, first_added, halved, penalty):
    """Mean of the losses, and penalty. `first_added`: layer 0's rows of squares are added up in each k-slice."""
    loss = ordered_sum(row_losses) / weight_sum
    if penalty != 0:
        for layer in range(sizes.shape[0] - 2, -1, -1):
            sums, columns = layer_of(square_sums, layer), sizes[layer + 1]
            if layer > 0 or not first_added:
                for panel in range(sums.shape[0]):
                    _, n = panel_span(panel, sums.shape[0], columns, halved and layer == 0, item_size(sums))
                    add_squares_block(sums[panel], n, ZERO, ZERO + K_SLICES)
            loss += 0.5 * penalty * total_of_squares(sums, columns, halved and layer == 0)
    return loss
