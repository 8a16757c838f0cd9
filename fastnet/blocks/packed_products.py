"""Products of matrices as users have them, in rows: in blocks that the caches hold, with the right factor in panels.

Rows of the right factor are further apart than a tile is wide, and where their distance is near a power of two they
share a few places of the first-level cache: a panel of K_BLOCK of them is copied, row below row, unless few rows of the
left factor read it. (A transposed one is always copied.) A left factor in rows is read where it lies, as tiles fetch
ahead there, and copying it would take longer. Where its columns are read, as a gradient does, each term is a cache line
in another page: these are copied into packs, if several panels read them.

Affine maps and deltas are made in blocks of PRODUCT_ROWS rows and BLOCK_PANELS panels, so that what is made of all
k-slices is still in the second-level cache when it is added up, or masked.

The engine's operands lie in panels and packs already (:mod:`fastnet.engine.packed`); it needs none of this. Sums are
the same, in the same order. Shape letters: N samples, D inputs, H units, K terms of a sum.
"""

from __future__ import annotations

import numpy as np

from ..jit.decorators import block, inline
from ..llvm.arrays import flat, item_size, runs
from ..llvm.target import PACK, tile_width
from ..llvm.tile import move, move_line
from ..tuning import BLOCK_PANELS, GRADIENT_ROWS, K_BLOCK, PANEL_ROWS, PRODUCT_ROWS
from .activations import relu_mask_block
from .operands import packed_columns, plain_columns, plain_rows
from .partition import (
    NOT_HALVED,
    ZERO,
    k_slice_count,
    k_slice_start,
    panel_count,
    panel_span,
    share_start,
    tile_share_start,
)
from .products import add_slices_block, product_block
from .sums import add_block

__all__ = ["affine_rows_block", "affine_scratch", "copy_panel_block", "gradient_rows_block", "gradient_scratch",
           "panel_scratch", "propagate_rows_block"]


@inline
def right_copied(rows):
    """Whether panels of the right factor are copied for so many rows of the left one."""
    return rows >= PANEL_ROWS


@inline
def panel_scratch(shares, K, C):
    """The panel of `product_rows_block` for each share of a product C of K terms."""
    return np.empty((shares, min(K, K_BLOCK), tile_width(item_size(C))), C.dtype)


@inline
def affine_scratch(shares, K, Z):
    """The sums of `affine_rows_block` for each share of an affine map Z of K terms."""
    rows, columns = min(Z.shape[0], PRODUCT_ROWS), min(Z.shape[1], BLOCK_PANELS * tile_width(item_size(Z)))
    return np.empty((shares, k_slice_count(K) - 1, rows, columns), Z.dtype)


@inline
def gradient_scratch(shares, N, parts):
    """`left` and `right` of `gradient_rows_block` for each share of a gradient, (parts, D, H), over N samples."""
    D, itemsize = parts.shape[1], item_size(parts)
    panels = panel_count(parts.shape[2], itemsize)
    packs, right_rows = GRADIENT_ROWS // PACK if panels > 1 else 0, panels * min(N, K_BLOCK) if right_copied(D) else 0
    return (np.empty((shares, packs, K_BLOCK, PACK), parts.dtype),
            np.empty((shares, right_rows, tile_width(itemsize)), parts.dtype))


@block
def copy_panel_block(B, k0, k1, j0, n, target):
    """target[:k1 - k0, :n] = B[k0:k1, j0:j0 + n]; what lies beside it in `target` becomes whatever."""
    columns, width = B.shape[1], tile_width(item_size(target))
    whole = min(max((B.size - j0 - width) // columns + 1, k0), k1)  # a line from there on would end outside of B
    for k in range(k0, whole):
        move_line(target, (k - k0) * width, B, k * columns + j0)
    for k in range(whole, k1):
        source, line = B[k, j0:j0 + n], target[k - k0]
        for j in range(source.shape[0]):
            line[j] = source[j]


@block
def copy_transposed_panel_block(W, k0, k1, j0, n, target):
    """target[:k1 - k0, :n] = W[j0:j0 + n, k0:k1]^T."""
    for j in range(n):
        source = W[j0 + j, k0:k1]
        for k in range(source.shape[0]):
            target[k, j] = source[k]


@block
def copy_packs_block(A, n0, n1, d0, packs, target):
    """target[p, :n1 - n0] = A[n0:n1, d0 + p PACK:][:PACK] for so many packs of columns."""
    D, lines = A.shape[1], target.shape[1]
    for n in range(n0, n1):
        for p in range(packs):
            move(target, (p * lines + n - n0) * PACK, A, n * D + d0 + p * PACK)


@inline
def k_block_start(number, blocks, k0, k1):
    """First term of a block of the terms k0 to k1."""
    return k0 + share_start(number, blocks, k1 - k0)


@inline
def columns_of_panels(p0, p1, panels, columns, itemsize):
    """First column of the panels p0 to p1, and how many columns they have."""
    first, _ = panel_span(p0, panels, columns, NOT_HALVED, itemsize)
    last, n = panel_span(p1 - 1, panels, columns, NOT_HALVED, itemsize)
    return first, last + n - first


@block
def product_rows_block(A, start, B, transposed, first, C, c, k0, k1, p0, p1, panel):
    """C = first + A[start:, k0:k1] B[k0:k1], or B[:, k0:k1]^T, in the panels p0 to p1, for as many rows as C has.

    A is (1, N, K), C-contiguous as B is. `first` is one row; it and C begin with column c of the product. Scratch: see
    `panel_scratch`.
    """
    rows, columns, itemsize = C.shape[0], B.shape[0] if transposed else B.shape[1], item_size(C)
    panels, blocks = panel_count(columns, itemsize), max((k1 - k0 + K_BLOCK - 1) // K_BLOCK, 1)
    for number in range(blocks):
        begin, end = k_block_start(number, blocks, k0, k1), k_block_start(number + 1, blocks, k0, k1)
        for p in range(p0, p1):
            j0, n = panel_span(p, panels, columns, NOT_HALVED, itemsize)
            if transposed or right_copied(rows):
                factor, j = panel, ZERO
                if transposed:
                    copy_transposed_panel_block(B, begin, end, j0, n, panel)
                else:
                    copy_panel_block(B, begin, end, j0, n, panel)
            else:
                factor, j = B[begin:end], j0
            product_block(A, plain_rows(A, start, begin), factor, j, C if number else first, C, ZERO, rows, ZERO,
                          end - begin, j0 - c, n)


@block
def affine_rows_block(A, W, b, zeros, Z, sums, panel, i0, i1):
    """Z[i0:i1] = A[i0:i1] W + b; A is (1, N, D), b and zeros are (1, H).

    Scratch: sums, see `affine_scratch`, and the panel, see `panel_scratch`.
    """
    K, columns = W.shape
    slices, itemsize = k_slice_count(K), item_size(Z)
    panels = panel_count(columns, itemsize)
    for start in range(i0, i1, PRODUCT_ROWS):
        rows = min(i1 - start, PRODUCT_ROWS)
        target = Z[start:start + rows]
        for p0 in range(ZERO, panels, BLOCK_PANELS):
            p1 = min(p0 + BLOCK_PANELS, panels)
            j0, n = columns_of_panels(p0, p1, panels, columns, itemsize)
            for k_slice in range(slices):
                product_rows_block(A, start, W, False, zeros if k_slice else b,
                                   sums[k_slice - 1][:rows] if k_slice else target, j0 if k_slice else ZERO,
                                   k_slice_start(k_slice, slices, K), k_slice_start(k_slice + 1, slices, K), p0, p1,
                                   panel)
            if slices > 1:
                add_slices_block(target, sums, slices, rows, j0, ZERO, n)


@block
def propagate_rows_block(delta, W, zeros, A, dZ, panel, i0, i1):
    """dZ[i0:i1] = (delta[i0:i1] W^T) * (A[i0:i1] > 0); delta is (1, N, C). Scratch: see `panel_scratch`."""
    columns, itemsize = W.shape[0], item_size(dZ)
    panels = panel_count(columns, itemsize)
    for start in range(i0, i1, PRODUCT_ROWS):
        rows = min(i1 - start, PRODUCT_ROWS)
        for p0 in range(ZERO, panels, BLOCK_PANELS):
            p1 = min(p0 + BLOCK_PANELS, panels)
            product_rows_block(delta, start, W, True, zeros, dZ[start:start + rows], ZERO, ZERO, W.shape[1], p0, p1,
                               panel)
            j0, n = columns_of_panels(p0, p1, panels, columns, itemsize)
            lines, count = runs(rows, n, columns)
            for line in range(lines):
                place = (start + line) * columns + j0
                relu_mask_block(flat(dZ, place, count), flat(A, place, count))


@block
def gradient_rows_block(A, delta, zeros, parts, left, right, i0, i1):
    """parts[0, i0:i1] = A[:, i0:i1]^T delta, as a sum of as many parts as there are; A is (1, N, D).

    Scratch, of `gradient_scratch`: left (packs, K_BLOCK, PACK), right (rows, tile width).
    """
    for part in range(parts.shape[0]):
        gradient_part_block(A, delta, zeros, parts[part], left, right, i0, i1,
                            tile_share_start(part, parts.shape[0], delta.shape[0]),
                            tile_share_start(part + 1, parts.shape[0], delta.shape[0]))
    if parts.shape[0] == 2:
        add_block(parts[1], parts[0], i0, i1, ZERO, delta.shape[1])


@block
def gradient_part_block(A, delta, zeros, sums, left, right, i0, i1, n0, n1):
    """sums[i0:i1] = A[n0:n1, i0:i1]^T delta[n0:n1]; scratch as in `gradient_rows_block`."""
    itemsize, columns = item_size(sums), delta.shape[1]
    panels, blocks = panel_count(columns, itemsize), (n1 - n0 + K_BLOCK - 1) // K_BLOCK
    copies_left, copies_right = panels > 1, right_copied(i1 - i0)
    for number in range(blocks):
        begin, end = k_block_start(number, blocks, n0, n1), k_block_start(number + 1, blocks, n0, n1)
        lines = end - begin
        if copies_right:
            for panel in range(panels):
                j0, n = panel_span(panel, panels, columns, NOT_HALVED, itemsize)
                copy_panel_block(delta, begin, end, j0, n, right[panel * lines:(panel + 1) * lines])
        for start in range(i0, i1, GRADIENT_ROWS):
            rows = min(i1 - start, GRADIENT_ROWS)
            copied = rows // PACK * PACK if copies_left else ZERO
            copy_packs_block(A[0], begin, end, start, copied // PACK, left)
            target = sums[start:start + rows]
            for panel in range(panels):
                j0, n = panel_span(panel, panels, columns, NOT_HALVED, itemsize)
                if copies_right:
                    factor, j = right[panel * lines:(panel + 1) * lines], ZERO
                else:
                    factor, j = delta[begin:end], j0
                first = target if number else zeros
                product_block(left, packed_columns(left, ZERO), factor, j, first, target, ZERO, copied, ZERO, lines,
                              j0, n)
                product_block(A, plain_columns(A, start, begin), factor, j, first, target, copied, rows, ZERO, lines,
                              j0, n)
