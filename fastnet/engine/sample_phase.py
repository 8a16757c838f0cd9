"""The sample phase: a share takes some samples of the minibatch through the layers, forward and backward.

Where `split_gradients` says so, it also sums its part of the gradients, while deltas and activations are in its cache:
the sums travel to the other core then, not they.
"""

from __future__ import annotations

from ..blocks.heads import losses_block, transpose_in_block, transpose_out_block
from ..blocks.operands import one_row, packed_columns, panel_columns
from ..blocks.partition import FIRST, K_SLICES, gradient_splits, panel_span, tile_share
from ..blocks.products import product_block
from ..blocks.sparse import has_non_zeros
from ..blocks.sums import add_squares_block, ordered_sum, total_of_squares
from ..jit.decorators import block, inline
from ..llvm.arrays import item_size
from ..llvm.stacks import layer_of
from ..tuning import BLOCK_ROWS
from .arguments import NO_LAYER
from .layers import activate_layer, affine_layer, finish_affine_layer, gather_block, propagate_layer, unit_span

__all__ = ["loss_of_step", "sample_phase"]


@inline
def sample_phase(method, plan, parameters, samples, schedule, buffers, scratch, step, share):
    """Do one share of the sample phase of a step."""
    count, rows = plan.sample_shares, schedule.counts[step]
    first, last = tile_share(share, count, rows), tile_share(share + 1, count, rows)
    chunks = max((last - first + plan.chunk_rows - 1) // plan.chunk_rows, 1)  # a sum of no samples is 0
    summed = first
    for chunk in range(chunks):
        start, stop = first, last
        if chunks > 1:
            start = first + tile_share(chunk, chunks, last - first)
            stop = first + tile_share(chunk + 1, chunks, last - first)
        forward_rows(method, plan, parameters, samples, schedule.batches[step], buffers, scratch, share, start, stop)
        head_rows(method, plan, parameters, samples, schedule, buffers, scratch, step, share, start, stop)
        backward_rows(method, plan, parameters, buffers, scratch, start, stop)
        if plan.split_gradients and (stop == last or stop + plan.chunk_rows - summed > BLOCK_ROWS):
            add_to_gradients(plan, parameters, samples, buffers, scratch, share, first, summed, stop)
            summed = stop


@inline
def forward_rows(method, plan, parameters, samples, batch, buffers, scratch, share, start, stop):
    """Take the rows start to stop forward through the layers, from `forward_layer` on if its k-slices are there."""
    features, depth = buffers.X0[0], parameters.sizes.shape[0] - 1
    begun = plan.forward_layer != NO_LAYER
    if begun:
        finish_affine_layer(plan, buffers, start, stop)
    elif not has_non_zeros(samples.non_zeros):
        gather_block(samples.X, batch, features, FIRST, features.shape[0], start, stop)
    for layer in range(max(plan.forward_layer, 0), depth):
        for panel in range(layer_of(buffers.A, layer + 1).shape[0]):
            if layer != plan.forward_layer:
                affine_layer(plan, parameters, samples, batch, features, buffers, scratch, share, layer, panel, start,
                             stop)
            activate_layer(method, parameters, buffers, layer, panel, start, stop)


@inline
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


@inline
def backward_rows(method, plan, parameters, buffers, scratch, start, stop):
    """Take the deltas of the rows start to stop backward, as far down as these rows came from."""
    for layer in range(parameters.sizes.shape[0] - 2, max(plan.forward_layer, 0), -1):
        propagate_layer(method, plan, parameters, buffers, scratch, layer, FIRST,
                        layer_of(buffers.delta, layer - 1).shape[0], start, stop)


@inline
def add_to_gradients(plan, parameters, samples, buffers, scratch, part, first, start, stop):
    """Add what the samples start to stop give to sum number `part` of the gradients that are made of two sums.

    Not to that of the weights of layer `forward_layer`. `first` is the first sample of that part. Weights of layers but
    the first have their gradients transposed, as in :func:`fastnet.engine.feature_phase.update_upper_layer`.
    """
    sizes, zeros, features, begins = parameters.sizes, scratch.zeros, buffers.X0[0], start == first
    itemsize = item_size(zeros)
    for layer in range(sizes.shape[0] - 1):
        dZ, below = layer_of(buffers.delta, layer), layer_of(buffers.A, layer)
        sums = layer_of(buffers.gradient_sums, layer)
        inputs, panels, others = sizes[layer], dZ.shape[0], below.shape[0]
        split = gradient_splits(dZ.shape[1], inputs, sizes[layer + 1]) == 2
        for panel in range(panels):
            j0, n = unit_span(plan, sizes, layer + 1, panel, panels, itemsize)
            db = layer_of(buffers.db, layer)[panel]
            product_block(scratch.ones, one_row(), dZ[panel], FIRST, zeros if begins else db, db, part, part + 1, start,
                          stop, FIRST, n)
            if layer == plan.forward_layer or (layer == 0 and has_non_zeros(samples.non_zeros)):
                continue
            if split and layer == 0:
                target = sums[part * panels + panel]
                product_block(features, packed_columns(features, FIRST), dZ[panel], FIRST, zeros if begins else target,
                              target, FIRST, target.shape[0], start, stop, FIRST, n)
            elif split:
                for other in range(others):
                    _, width = unit_span(plan, sizes, layer, other, others, itemsize)
                    target = sums[part * others + other, j0:j0 + n]
                    product_block(dZ, panel_columns(dZ, panel), below[other], FIRST, zeros if begins else target,
                                  target, FIRST, n, start, stop, FIRST, width)


@inline
def loss_of_step(plan, parameters, schedule, buffers, step):
    """The loss of a step from what its samples and the feature phase after it have left; the squares are used up."""
    row_losses = buffers.row_losses[step % 2, :schedule.counts[step]]
    return loss_block(parameters.sizes, row_losses, schedule.weight_sums[step], buffers.square_sums,
                      plan.forward_layer != NO_LAYER, plan.panels_halved, schedule.penalties[step])


@block
def loss_block(sizes, row_losses, weight_sum, square_sums, first_added, halved, penalty):
    """Mean of the losses, and penalty. `first_added`: whether k-slices of the first layer's squares are added up."""
    loss = ordered_sum(row_losses) / weight_sum
    if penalty != 0:
        for layer in range(sizes.shape[0] - 2, -1, -1):
            sums, columns = layer_of(square_sums, layer), sizes[layer + 1]
            if layer > 0 or not first_added:
                for panel in range(sums.shape[0]):
                    _, n = panel_span(panel, sums.shape[0], columns, halved and layer == 0, item_size(sums))
                    add_squares_block(sums[panel], n, FIRST, K_SLICES)
            loss += 0.5 * penalty * total_of_squares(sums, columns, halved and layer == 0)
    return loss
