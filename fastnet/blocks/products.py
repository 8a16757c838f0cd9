"""Matrix products, made of tiles: affine maps, gradients, sums of biases. Each block works on a range of rows.

Shape letters: N samples, D inputs, H hidden units, C classes, K terms of a sum.
"""

from __future__ import annotations

from ..jit.decorators import block, inline
from ..llvm.arrays import flat, item_size, runs
from ..llvm.target import PACK, tile_rows
from ..llvm.tile import row_tile, tile
from ..tuning import K_BLOCK
from .operands import one_row
from .partition import ZERO, k_slice_count, k_slice_start, panel_span, share_start, tile_share_start
from .sums import add_block

__all__ = ["affine_block", "affine_row_block", "bias_sums_block", "gradient_block", "product_block"]

# ---- matrix products -------------------------------------------------------------------------------------------------
# The columns of a product are cut into panels, each at most a tile wide.


@block
def product_block(A, left, B, b, start, C, i0, i1, k0, k1, j, n):
    """C[i0:i1, j:j + n] = start[i0:i1, j:j + n] + A[i0:i1, k0:k1] B[k0:k1, b:b + n]; `left` says how A lies.

    `start` may have one row, which then serves for all, and may be C. n is at most the width of a tile.
    """
    panels, least = 1, 1  # an empty sum is its start
    if left.columns != 0:
        panels, least = left.panels, 0
    for panel in range(panels):
        first, last, base = k0, k1, left.base
        if left.columns != 0:
            begin, terms = panel_span(panel, panels, left.columns, left.halved, item_size(C))
            first, last = max(k0, begin), min(k1, begin + terms)
            base += panel * left.panel_stride - begin * left.block_stride
        blocks = max((last - first + K_BLOCK - 1) // K_BLOCK, least)
        packs = (last - first + PACK - 1) // PACK
        for number in range(blocks):
            begin, end = first, last
            if blocks > 1:
                begin = first + share_start(number, blocks, packs) * PACK
                end = min(first + share_start(number + 1, blocks, packs) * PACK, last)
            i = i0
            while i < i1:
                m = tile_rows(i1 - i)
                tile(A, base + i * left.tile_stride + begin * left.block_stride, left.row_stride, left.term_stride,
                     left.jump, B, b, start if begin == k0 else C, C, i, m, begin, end, j, n)
                i += m


@inline
def gradient_block(A, left, B, zeros, parts, sums, N, i0, i1, j, n):
    """parts[0, i0:i1, j:j + n] = A[i0:i1, :N] B[:N, j:j + n], as `sums` sums over N; another part is scratch."""
    for part in range(sums):
        product_block(A, left, B, j, zeros, parts[part], i0, i1, tile_share_start(part, sums, N),
                      tile_share_start(part + 1, sums, N), j, n)
    if sums == 2:
        add_block(parts[1], parts[0], i0, i1, j, n)


@inline
def affine_block(A, left, W, w, b, zeros, Z, scratch, rows, K, j, n):
    """Z[:rows, j:j + n] = A W[:, w:w + n] + b[:, j:j + n]; `left` says how A lies.

    zeros is a row of them; scratch is as many arrays of the shape of Z as there are slices but one.
    """
    slices = k_slice_count(K)
    for k_slice in range(slices):
        product_block(A, left, W, w, zeros if k_slice else b, scratch[k_slice - 1] if k_slice else Z, ZERO, rows,
                      k_slice_start(k_slice, slices, K), k_slice_start(k_slice + 1, slices, K), j, n)
    if slices > 1:
        add_slices_block(Z, scratch, slices, rows, j, j, n)


@block
def affine_row_block(A, W, b, zeros, Z, scratch, K, j, n):
    """`affine_block` for one row, A (1, 1, K), in a tile that is wider: n is at most `row_width`."""
    slices, itemsize = k_slice_count(K), item_size(A)
    for k_slice in range(slices):
        k0 = k_slice_start(k_slice, slices, K)
        row_tile(A, k0 * itemsize, ZERO, itemsize, ZERO, W, j, zeros if k_slice else b,
                 scratch[k_slice - 1] if k_slice else Z, ZERO, ZERO + 1, k0, k_slice_start(k_slice + 1, slices, K), j,
                 n)
    if slices > 1:
        add_slices_block(Z, scratch, slices, ZERO + 1, j, j, n)


@block
def add_slices_block(Z, scratch, slices, rows, j, s, n):
    """Z[:rows, j:j + n] += the other sums of an affine map, pairwise, which lie in the columns from s on."""
    columns, width = Z.shape[1], scratch.shape[2]
    lines, count = runs(rows, n, max(columns, width))
    for i in range(lines):
        z, x = flat(Z, i * columns + j, count), flat(scratch[0], i * width + s, count)
        if slices == 2:
            for h in range(count):
                z[h] += x[h]
        else:
            u, v = flat(scratch[1], i * width + s, count), flat(scratch[2], i * width + s, count)
            for h in range(count):
                z[h] = (z[h] + x[h]) + (u[h] + v[h])


# ---- sums ------------------------------------------------------------------------------------------------------------


@inline
def bias_sums_block(ones, delta, zeros, parts, sums, N, j, n):
    """parts[0, j:j + n] = sum of delta[:N, j:j + n], made of `sums` sums over these rows; another part is scratch.

    Products with 1 in a tile, `one_row`: its sums stay in registers.
    """
    for part in range(sums):
        product_block(ones, one_row(), delta, j, zeros, parts, part, part + 1, tile_share_start(part, sums, N),
                      tile_share_start(part + 1, sums, N), j, n)
    if sums == 2:
        add_block(parts[1:], parts, ZERO, ZERO + 1, j, n)

