"""One layer forward and one layer backward, for some rows of a minibatch, in panels.

The formulas are blocks; here is where their operands lie. Shape letters: N samples, D inputs, H units, C classes.
"""

from __future__ import annotations

from ..blocks.activations import activate_block, activation_mask_block
from ..blocks.operands import packed_rows, panel_rows
from ..blocks.partition import K_SLICES, NOT_HALVED, ZERO, k_slice_count, k_slice_start, panel_span
from ..blocks.products import affine_block, product_block
from ..blocks.sparse import has_non_zeros, sparse_affine_block
from ..blocks.sums import add_block
from ..jit.decorators import block
from ..llvm.arrays import flat, item_size
from ..llvm.conversion import convert, convert_pack
from ..llvm.stacks import layer_of
from ..llvm.target import PACK
from ..llvm.tile import move
from ..tuning import GATHERED_SAMPLES
from .arguments import FIRST_LAYER

__all__ = ["activate_layer", "affine_layer", "affine_slices", "finish_affine_layer", "gather", "propagate_layer",
           "unit_span"]


@block
def unit_span(plan, sizes, index, panel, panels, itemsize):
    """First column, and number of columns, of a panel of the sizes[index] units."""
    return panel_span(panel, panels, sizes[index], plan.panels_halved and index == 1, itemsize)


@block
def gather_block(X, batch, A, p0, p1, i0, i1):
    """A[p0:p1] = X[batch], packed, for the rows i0 to i1 of the minibatch and the packs p0 to p1 of features.

    Where D is no multiple of PACK, the last places of the last pack hold any numbers, mostly features of the next
    sample: sums over the features end before them, and the rows of a gradient that come of them are not used.
    """
    D, N = X.shape[1], A.shape[1]
    full = min(p1, D // PACK)
    for start in range(i0, i1, GATHERED_SAMPLES):
        stop = min(start + GATHERED_SAMPLES, i1)
        for p in range(p0, full):
            for i in range(start, stop):
                move(A, (p * N + i) * PACK, X, batch[i] * D + p * PACK)
        if full < p1:
            for i in range(start, stop):
                place = batch[i] * D + full * PACK
                if place + PACK <= X.size:
                    move(A, (full * N + i) * PACK, X, place)
                else:
                    source, target = flat(X, place, D - full * PACK), A[full, i]
                    for d in range(source.shape[0]):
                        target[d] = source[d]


@block
def convert_block(source, D, batch, A, p0, p1, i0, i1):
    """`gather_block` for samples of D features that lie in memory as `Samples.source` says: they become floats here."""
    N, column, full = A.shape[1], source.feature_stride, min(p1, D // PACK)
    for start in range(i0, i1, GATHERED_SAMPLES):
        stop = min(start + GATHERED_SAMPLES, i1)
        for p in range(p0, full):
            for i in range(start, stop):
                convert_pack(A, (p * N + i) * PACK,
                             source.address + batch[i] * source.sample_stride + p * PACK * column, column, source.kind)
        if full < p1:
            for i in range(start, stop):
                for d in range(full * PACK, D):
                    convert(A, (full * N + i) * PACK + d - full * PACK,
                            source.address + batch[i] * source.sample_stride + d * column, column, source.kind)


@block
def gather(samples, batch, features, p0, p1, start, stop):
    """The packs p0 to p1 of features[:, start:stop] = the samples batch[start:stop]; nothing of non-zeros."""
    if not has_non_zeros(samples.non_zeros):
        if samples.source.kind == 0:
            gather_block(samples.X, batch, features, p0, p1, start, stop)
        else:
            convert_block(samples.source, samples.X.shape[1], batch, features, p0, p1, start, stop)


@block
def affine_layer(plan, parameters, samples, batch, features, A, scratch, share, layer, panel, start, stop):
    """A panel of a layer's affine map, for the rows start to stop of the minibatch `batch`, packed in `features`.

    `A` is that of `Buffers` or of `CheckBuffers`.
    """
    sizes, target = parameters.sizes, layer_of(A, layer + 1)
    _, n = unit_span(plan, sizes, layer + 1, panel, target.shape[0], item_size(scratch.zeros))
    W, b, Z = layer_of(parameters.W, layer)[panel], layer_of(parameters.b, layer)[panel], target[panel, start:stop]
    products, zeros, rows = scratch.products[share], scratch.zeros, stop - start
    if layer > 0:
        below = layer_of(A, layer)
        left = panel_rows(below, start, sizes[layer], below.shape[0], plan.panels_halved and layer == 1)
        affine_block(below, left, W, ZERO, b, zeros, Z, products, rows, sizes[layer], ZERO, n)
    elif has_non_zeros(samples.non_zeros):
        sparse_affine_block(samples.non_zeros, batch[start:stop], W, b, Z, n)
    else:
        affine_block(features, packed_rows(features, start), W, ZERO, b, zeros, Z, products, rows, sizes[0], ZERO, n)


@block
def affine_slices(plan, parameters, features, buffers, scratch, slice0, slice1, start, stop):
    """The k-slices slice0 to slice1 of the affine map of layer `forward_layer`, for the rows start to stop."""
    layer, itemsize = plan.forward_layer, item_size(scratch.zeros)
    K, slices = parameters.sizes[layer], buffers.slices
    W, b, below = layer_of(parameters.W, layer), layer_of(parameters.b, layer), features
    left = packed_rows(features, start)
    if layer > FIRST_LAYER:
        below = layer_of(buffers.A, layer)
        left = panel_rows(below, start, K, below.shape[0], plan.panels_halved)
    count = k_slice_count(K)
    for panel in range(W.shape[0]):
        _, n = unit_span(plan, parameters.sizes, layer + 1, panel, W.shape[0], itemsize)
        for number in range(slice0, slice1):
            product_block(below, left, W[panel], ZERO, b[panel] if number == 0 else scratch.zeros,
                          slices[number, panel, start:stop], ZERO, stop - start, k_slice_start(number, count, K),
                          k_slice_start(number + 1, count, K), ZERO, n)
            if plan.slices_in_pairs and number % 2 == 1:
                add_block(slices[number, panel], slices[number - 1, panel], start, stop, ZERO, W.shape[2])


@block
def finish_affine_layer(plan, buffers, start, stop):
    """The affine map of layer `forward_layer` for the rows start to stop: its k-slices, added up pairwise."""
    slices, Z = buffers.slices, layer_of(buffers.A, plan.forward_layer + 1)
    count, panels, width = slices.shape[0], Z.shape[0], Z.shape[2]
    for panel in range(panels):  # with what is padded: all at once
        if count == K_SLICES and not plan.slices_in_pairs:
            add_block(slices[1, panel], slices[0, panel], start, stop, ZERO, width)
            add_block(slices[3, panel], slices[2, panel], start, stop, ZERO, width)
        place, size = start * width, (stop - start) * width
        first, other = flat(slices[0, panel], place, size), flat(slices[count // 2, panel], place, size)
        target = flat(Z[panel], place, size)
        for h in range(size):
            target[h] = first[h] + other[h]


@block
def activate_layer(method, parameters, A, layer, panel, start, stop):
    """What a layer puts out, in the place of its affine map; the last layer is left as it is.

    `A` as for `affine_layer`.
    """
    if layer < parameters.sizes.shape[0] - 2:
        Z = layer_of(A, layer + 1)[panel, start:stop]
        activate_block(flat(Z, ZERO, Z.size), method.activation)  # with what is padded: all at once


@block
def propagate_layer(method, plan, parameters, buffers, scratch, layer, panel0, panel1, start, stop):
    """The deltas of the layer below for the rows start to stop, in the panels panel0 to panel1 of what it puts out."""
    sizes, WT, zeros = parameters.sizes, layer_of(parameters.WT, layer), scratch.zeros
    above, below, A = layer_of(buffers.delta, layer), layer_of(buffers.delta, layer - 1), layer_of(buffers.A, layer)
    left = panel_rows(above, start, sizes[layer + 1], above.shape[0], NOT_HALVED)
    for panel in range(panel0, panel1):
        _, n = unit_span(plan, sizes, layer, panel, below.shape[0], item_size(zeros))
        dZ = below[panel, start:stop]
        product_block(above, left, WT[panel], ZERO, zeros, dZ, ZERO, stop - start, ZERO, sizes[layer + 1], ZERO, n)
        activation_mask_block(flat(dZ, ZERO, dZ.size), flat(A[panel, start:stop], ZERO, dZ.size), method.activation)
