"""Products of matrices as users have them, in rows: what a tile would read from many places is copied first.

Two things make a tile wait. Rows of the right factor are further apart than a tile is wide, and where their distance is
near a power of two they share a few places of the first-level cache: a panel of K_BLOCK of them is copied, row below
row. The left factor is read again for each panel: what the next panels need is copied as well, into rows or packs that
lie together. A copy pays where it is read several times; otherwise the factors are read where they lie.

The engine's operands lie in panels and packs already (:mod:`fastnet.engine.packed`); it needs none of this. Sums are
the same, in the same order. Shape letters: N samples, D inputs, H units, K terms of a sum.
"""

from __future__ import annotations

import numpy as np

from ..jit.decorators import block, inline
from ..llvm.arrays import item_size
from ..llvm.target import PACK, tile_width
from ..llvm.tile import move, move_line
from ..tuning import BLOCK_ROWS, GRADIENT_ROWS, K_BLOCK, PANEL_ROWS
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

__all__ = ["affine_rows_block", "copy_panel_block", "gradient_rows_block", "gradient_scratch", "product_rows_block",
           "product_scratch"]

LEFT_LINE = K_BLOCK + 16
"""Elements from one copied row of the left factor to the next: no power of two."""


@inline
def left_copied(K, panels):
    """Whether rows of K terms of the left factor are copied: several panels read them, some terms at a time."""
    return K > K_BLOCK and panels > 1


@inline
def right_copied(rows):
    """Whether panels of the right factor are copied for so many rows of the left one."""
    return rows >= PANEL_ROWS


@inline
def product_scratch(shares, rows, K, C):
    """`left` and `right` of `product_rows_block` for each share of a product C of so many rows of K terms."""
    width, itemsize = C.shape[1], item_size(C)
    left_rows = min(rows, BLOCK_ROWS) if left_copied(K, panel_count(width, itemsize)) else 0
    return (np.empty((shares, 1, left_rows, LEFT_LINE), C.dtype),
            np.empty((shares, min(K, K_BLOCK), tile_width(itemsize)), C.dtype))


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
def copy_rows_block(A, i0, i1, k0, k1, target):
    """target[:i1 - i0, :k1 - k0] = A[i0:i1, k0:k1]."""
    for i in range(i0, i1):
        source, line = A[i, k0:k1], target[i - i0]
        for k in range(source.shape[0]):
            line[k] = source[k]


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


@block
def product_rows_block(A, start, B, transposed, first, C, rows, k0, k1, left, right):
    """C[:rows] = first + A[start:start + rows, k0:k1] B[k0:k1], or B[:, k0:k1]^T; A is (1, N, K), C-contiguous as B is.

    `first` is one row. Scratch, of `product_scratch`: left (1, rows, LEFT_LINE), right (rows, tile width).
    """
    itemsize, columns = item_size(C), C.shape[1]
    panels, blocks = panel_count(columns, itemsize), max((k1 - k0 + K_BLOCK - 1) // K_BLOCK, 1)
    copies_left, copies_right = left_copied(A.shape[2], panels), transposed or right_copied(rows)
    for number in range(blocks):
        begin, end = k_block_start(number, blocks, k0, k1), k_block_start(number + 1, blocks, k0, k1)
        source, operand = A, plain_rows(A, start, begin)
        if copies_left:
            copy_rows_block(A[0], start, start + rows, begin, end, left[0])
            source, operand = left, plain_rows(left, ZERO, ZERO)
        for panel in range(panels):
            j0, n = panel_span(panel, panels, columns, NOT_HALVED, itemsize)
            if copies_right:
                factor, j = right, ZERO
                if transposed:
                    copy_transposed_panel_block(B, begin, end, j0, n, right)
                else:
                    copy_panel_block(B, begin, end, j0, n, right)
            else:
                factor, j = B[begin:end], j0
            product_block(source, operand, factor, j, C if number else first, C, ZERO, rows, ZERO, end - begin, j0, n)


@block
def affine_rows_block(A, W, b, zeros, Z, sums, left, right, i0, i1):
    """Z[i0:i1] = A[i0:i1] W + b; A is (1, N, D), b and zeros are (1, H).

    Scratch: sums (K_SLICES - 1, BLOCK_ROWS, H), and the rest as in `product_rows_block`.
    """
    K = W.shape[0]
    slices = k_slice_count(K)
    for start in range(i0, i1, BLOCK_ROWS):
        rows = min(i1 - start, BLOCK_ROWS)
        target = Z[start:start + rows]
        for k_slice in range(slices):
            product_rows_block(A, start, W, False, zeros if k_slice else b, sums[k_slice - 1] if k_slice else target,
                               rows, k_slice_start(k_slice, slices, K), k_slice_start(k_slice + 1, slices, K), left,
                               right)
        if slices > 1:
            add_slices_block(target, sums, slices, rows, ZERO, W.shape[1])


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
