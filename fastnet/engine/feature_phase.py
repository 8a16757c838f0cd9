"""The feature phase: a share takes some rows of the weights through gradient, penalty and update, in its cache.

It ends the step before and begins the next: where the plan has a `forward_layer`, the share then makes its k-slices of
that layer's affine map, from the weights that it has just updated.
"""

from __future__ import annotations

from typing import NamedTuple

from ..blocks.operands import packed_columns, panel_columns
from ..blocks.optimizers import update_block
from ..blocks.partition import (
    K_SLICES,
    ZERO,
    column_share,
    first_half_panel_count,
    gradient_splits,
    k_slice_start,
    padded,
    rows_in_tiles,
    sample_splits,
    share_start,
)
from ..blocks.products import bias_sums_block, gradient_block
from ..blocks.sparse import has_non_zeros, set_cursors_block, sparse_gradient_block
from ..blocks.sums import add_block, add_squares_block, square_sums_block
from ..jit.decorators import block
from ..llvm.arrays import item_size, panel_of, part_of
from ..llvm.stacks import layer_of
from ..llvm.target import PACK
from ..tuning import BLOCK_ROWS
from .arguments import FIRST_LAYER, NO_LAYER, SECOND_LAYER
from .layers import activate_layer, affine_layer, affine_slices, gather, propagate_layer, unit_span
from .plan import gradient_is_split

__all__ = ["feature_phase"]


class Owned(NamedTuple):
    """What a share of the feature phase owns of the first layer, and of the map of `forward_layer`: from, to."""

    panel0: int
    """First panel of hidden units. Only for SECOND_LAYER do the two shares own different panels; else each has all."""
    panel1: int
    pack0: int
    """First pack of features."""
    pack1: int
    slice0: int
    """First k-slice of the map of layer `forward_layer`."""
    slice1: int
    square0: int
    """First k-slice of the sum of the first layer's squares; used where `forward_layer` is not NO_LAYER."""
    square1: int


@block
def owned_by(plan, sizes, panels, slices, share, itemsize):
    """What a share of the feature phase owns, of so many panels of hidden units and k-slices of `forward_layer`."""
    count, packs = plan.feature_shares, (sizes[0] + PACK - 1) // PACK
    slice0, slice1 = share_start(share, count, slices), share_start(share + 1, count, slices)
    square0, square1 = share_start(share, count, K_SLICES), share_start(share + 1, count, K_SLICES)
    panel0, panel1 = ZERO, panels
    if plan.forward_layer == SECOND_LAYER:
        middle = first_half_panel_count(sizes[1], itemsize)
        panel0, panel1 = (middle, panels) if share else (ZERO, middle)
        pack0, pack1, square0, square1 = ZERO, packs, ZERO, ZERO + K_SLICES
    elif plan.forward_layer == FIRST_LAYER:
        pack0 = k_slice_start(slice0, slices, sizes[0]) // PACK
        pack1 = (k_slice_start(slice1, slices, sizes[0]) + PACK - 1) // PACK
    else:
        pack0, pack1 = share_start(share, count, packs), share_start(share + 1, count, packs)
    return Owned(panel0, panel1, pack0, pack1, slice0, slice1, square0, square1)


@block
def owned_units(plan, sizes, index, share, itemsize):
    """From which to which of the sizes[index] units a share of the feature phase goes."""
    count = plan.feature_shares
    if plan.forward_layer == SECOND_LAYER and index == 1:
        return k_slice_start(share, count, sizes[1]), k_slice_start(share + 1, count, sizes[1])
    first, units = column_share(share, count, sizes[index], itemsize)
    return first, first + units


@block
def feature_phase(method, plan, parameters, samples, schedule, buffers, scratch, step, share):
    """Do one share of the feature phase: updates after step `step` - 1, and the beginning of `step`."""
    owned = owned_by(plan, parameters.sizes, layer_of(parameters.W, 0).shape[0], buffers.slices.shape[0], share,
                     item_size(scratch.zeros))
    features = buffers.X0[share if plan.forward_layer == SECOND_LAYER else 0]
    if step > 0:
        update(method, plan, parameters, samples, schedule, buffers, scratch, features, owned, step - 1, share)
    if plan.forward_layer != NO_LAYER and step < schedule.batches.shape[0]:
        begin_forward(method, plan, parameters, samples, schedule, buffers, scratch, features, owned, step, share)


@block
def update(method, plan, parameters, samples, schedule, buffers, scratch, features, owned, step, share):
    """Gradients and updates of what the share owns, after the sample phase of `step`."""
    sizes, itemsize, count = parameters.sizes, item_size(scratch.zeros), schedule.counts[step]
    if plan.forward_layer == SECOND_LAYER:
        for start in range(0, count, BLOCK_ROWS):
            propagate_layer(method, plan, parameters, buffers, scratch, plan.forward_layer, owned.panel0, owned.panel1,
                            start, min(start + BLOCK_ROWS, count))
    update_first_layer(method, plan, parameters, samples, schedule, buffers, scratch, features, owned, step, share)
    if schedule.penalties[step] != 0 and plan.forward_layer != NO_LAYER:
        sums = layer_of(buffers.square_sums, 0)
        for panel in range(owned.panel0, owned.panel1):
            add_squares_block(sums[panel], sums.shape[2], owned.square0, owned.square1)
    for layer in range(1, sizes.shape[0] - 1):
        h0, h1 = owned_units(plan, sizes, layer, share, itemsize)
        update_upper_layer(method, plan, parameters, schedule, buffers, scratch, step, share, layer, h0, h1)
    for layer in range(sizes.shape[0] - 1):
        h0, h1 = owned_units(plan, sizes, layer + 1, share, itemsize)
        if layer == plan.forward_layer:  # by share 0: its k-slice of the map, made right after, begins with them
            h0, h1 = ZERO, sizes[layer + 1] if share == 0 else ZERO
        update_biases(method, plan, parameters, schedule, buffers, scratch, step, layer, h0, h1)


@block
def update_first_layer(method, plan, parameters, samples, schedule, buffers, scratch, features, owned, step, share):
    """Gradient and step of the first layer's weights, in the panels and packs that the share owns.

    Where `sums_are_there`, the sample phase has written two sums to `gradient_sums`, and here they are only added.
    """
    W, delta, zeros = layer_of(parameters.W, 0), layer_of(buffers.delta, 0), scratch.zeros
    first_moments, second_moments = layer_of(parameters.first_moments, 0), layer_of(parameters.second_moments, 0)
    sums, squares = layer_of(buffers.gradient_sums, 0), layer_of(buffers.square_sums, 0)
    rate, penalty = zeros.dtype.type(schedule.rates[step]), zeros.dtype.type(schedule.penalties[step])
    epsilon = zeros.dtype.type(schedule.epsilons[step])
    batch, penalized = schedule.batches[step, :schedule.counts[step]], schedule.penalties[step] != 0
    sizes, panels, width, itemsize = parameters.sizes, W.shape[0], W.shape[2], item_size(zeros)
    splits, sparse = gradient_splits(delta.shape[1], sizes[0], sizes[1]), has_non_zeros(samples.non_zeros)
    sums_are_there = gradient_is_split(plan, 0, delta.shape[1], sizes[0], sizes[1])
    products = scratch.products[share]
    products = part_of(products, ZERO, (products.shape[0], products.shape[1], width))
    blocks = (owned.pack1 - owned.pack0 + BLOCK_ROWS // PACK - 1) // (BLOCK_ROWS // PACK)
    own_panels = owned.panel1 - owned.panel0
    for number in range(blocks * own_panels):
        # All panels of a block of features, which is in the cache then; of non-zeros all blocks of a panel, one after
        # the other.
        panel, block_number = owned.panel0 + number % own_panels, number // own_panels
        if sparse:
            panel, block_number = owned.panel0 + number // blocks, number % blocks
            if block_number == 0:
                set_cursors_block(samples.non_zeros, batch, scratch.cursors[share], owned.pack0 * PACK)
        _, n = unit_span(plan, sizes, ZERO + 1, panel, panels, itemsize)
        pack0 = owned.pack0 + block_number * (BLOCK_ROWS // PACK)
        pack1 = min(pack0 + BLOCK_ROWS // PACK, owned.pack1)
        i0, i1 = pack0 * PACK, min(pack1 * PACK, sizes[0])
        gradient, row, used = products[0], ZERO, padded(n, itemsize)
        if sparse:
            sparse_gradient_block(samples.non_zeros, batch, delta[panel], gradient, scratch.cursors[share], i0, i1, n)
        elif sums_are_there:
            gradient, row, used = sums[panel], i0, width  # with what is padded, which is 0 there: all at once
            add_block(sums[panels + panel], gradient, i0, i1, ZERO, used)
        else:
            gradient_block(features, packed_columns(features, pack0), delta[panel], zeros, products, splits,
                           batch.shape[0], ZERO, (pack1 - pack0) * PACK, ZERO, n)
        if penalized:
            square_sums_block(W[panel], squares[panel], W.shape[1], used, pack0, pack1)
        update_block(gradient, row, W[panel], panel_of(first_moments, panel), panel_of(second_moments, panel), i0, i1,
                     ZERO, used, rate, epsilon, penalty, method.optimizer, schedule.only_gradients)


@block
def update_upper_layer(method, plan, parameters, schedule, buffers, scratch, step, share, layer, h0, h1):
    """Gradient and step of the weights of a layer but the first, for the rows h0 to h1 of W.

    The gradient is made transposed, delta^T A: upper layers have few outputs, and a tile may be one row high but is
    whole vectors wide. W and WT are the same weights.
    """
    W, WT, zeros = layer_of(parameters.W, layer), layer_of(parameters.WT, layer), scratch.zeros
    first_moments = layer_of(parameters.first_moments, layer)
    second_moments = layer_of(parameters.second_moments, layer)
    A, delta, sums = layer_of(buffers.A, layer), layer_of(buffers.delta, layer), layer_of(buffers.gradient_sums, layer)
    rate, penalty = zeros.dtype.type(schedule.rates[step]), zeros.dtype.type(schedule.penalties[step])
    epsilon = zeros.dtype.type(schedule.epsilons[step])
    sizes, itemsize = parameters.sizes, item_size(zeros)
    splits = gradient_splits(delta.shape[1], sizes[layer], sizes[layer + 1])
    sums_are_there = gradient_is_split(plan, layer, delta.shape[1], sizes[layer], sizes[layer + 1])
    products = scratch.products[share]
    products = part_of(products, ZERO, (products.shape[0], products.shape[1], WT.shape[2]))
    if schedule.penalties[step] != 0:
        squares = layer_of(buffers.square_sums, layer)
        for panel in range(W.shape[0]):
            _, n = unit_span(plan, sizes, layer + 1, panel, W.shape[0], itemsize)
            square_sums_block(W[panel], squares[panel], W.shape[1], padded(n, itemsize), h0 // PACK,
                              (h1 + PACK - 1) // PACK)
    for panel in range(WT.shape[0]):
        j0, n = unit_span(plan, sizes, layer, panel, WT.shape[0], itemsize)
        first, last = max(h0 - j0, 0), min(h1 - j0, n)
        if first >= last:
            continue
        for other in range(W.shape[0]):
            k0, m = unit_span(plan, sizes, layer + 1, other, W.shape[0], itemsize)
            gradient, row, columns = products[0], ZERO, padded(last - first, itemsize)
            if sums_are_there:
                gradient, row = sums[panel], k0
                add_block(sums[WT.shape[0] + panel], gradient, k0, k0 + m, first, columns)
            else:
                gradient_block(delta, panel_columns(delta, other), A[panel], zeros, products, splits,
                               schedule.counts[step], ZERO, rows_in_tiles(m), first, last - first)
            update_block(gradient, row, WT[panel], panel_of(first_moments, panel), panel_of(second_moments, panel), k0,
                         k0 + m, first, columns, rate, epsilon, penalty, method.optimizer, schedule.only_gradients)
            for k in range(m):
                weights = WT[panel, k0 + k, first:last]
                for j in range(last - first):
                    W[other, j0 + first + j, k] = weights[j]


@block
def update_biases(method, plan, parameters, schedule, buffers, scratch, step, layer, h0, h1):
    """Gradient and step of the biases h0 to h1 of a layer; they have no penalty."""
    b, delta, zeros = layer_of(parameters.b, layer), layer_of(buffers.delta, layer), scratch.zeros
    first_moments = layer_of(parameters.first_moments_b, layer)
    second_moments = layer_of(parameters.second_moments_b, layer)
    itemsize, rate, none = item_size(zeros), zeros.dtype.type(schedule.rates[step]), zeros.dtype.type(0)
    epsilon = zeros.dtype.type(schedule.epsilons[step])
    for panel in range(b.shape[0]):
        j0, n = unit_span(plan, parameters.sizes, layer + 1, panel, b.shape[0], itemsize)
        first, last = max(h0 - j0, 0), min(h1 - j0, n)
        if first >= last:
            continue
        db, columns = layer_of(buffers.db, layer)[panel], padded(last - first, itemsize)
        if plan.split_gradients:
            add_block(db[1:], db, ZERO, ZERO + 1, first, columns)
        else:
            bias_sums_block(scratch.ones, delta[panel], zeros, db, sample_splits(delta.shape[1]), schedule.counts[step],
                            first, last - first)
        update_block(db, ZERO, b[panel], panel_of(first_moments, panel), panel_of(second_moments, panel), ZERO,
                     ZERO + 1, first, columns, rate, epsilon, none, method.optimizer, schedule.only_gradients)


@block
def begin_forward(method, plan, parameters, samples, schedule, buffers, scratch, features, owned, step, share):
    """Begin the forward pass of a step: the share's k-slices of the affine map of layer `forward_layer`."""
    batch, count = schedule.batches[step], schedule.counts[step]
    for start in range(0, count, BLOCK_ROWS):
        stop = min(start + BLOCK_ROWS, count)
        gather(samples, batch, features, owned.pack0, owned.pack1, start, stop)
        if plan.forward_layer == SECOND_LAYER:
            for panel in range(owned.panel0, owned.panel1):
                affine_layer(plan, parameters, samples, batch, features, buffers.A, scratch, share, ZERO, panel, start,
                             stop)
                activate_layer(method, parameters, buffers.A, ZERO, panel, start, stop)
        affine_slices(plan, parameters, features, buffers, scratch, owned.slice0, owned.slice1, start, stop)
