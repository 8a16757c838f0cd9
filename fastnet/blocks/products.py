"""The block functions: each formula once, compiled, serial, on a range of rows, columns or elements.

The public kernels and the training step are both made of these. They check nothing, allocate nothing and never raise:
whoever calls keeps the indices inside the arrays.

Shape letters: N samples, D inputs, H hidden units, C classes. A loop from `start` to `stop` runs over a slice from 0
instead: where numba cannot see that an index is not negative it tests each one, and the loop stays scalar.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..jit.decorators import block, inline, shared
from ..llvm.arrays import runs, span
from ..llvm.tile import PACK, item_size, lanes, row_tile, tile, tile_rows, tile_width
from ..parallel.threads import share_start

__all__ = [
    "BLOCK_ROWS",
    "FIRST",
    "LEAVES",
    "Left",
    "add_block",
    "affine_block",
    "affine_row_block",
    "argmax_block",
    "bias_sums_block",
    "clear_block",
    "column_share",
    "finite_block",
    "gradient_block",
    "gradient_sums",
    "half_panels",
    "halved_panels",
    "join_squares_block",
    "leaf_count",
    "leaf_start",
    "one_row",
    "ordered_sum",
    "packed_columns",
    "packed_rows",
    "panel_columns",
    "panel_count",
    "panel_rows",
    "panel_span",
    "panel_width",
    "plain_columns",
    "plain_rows",
    "product_block",
    "rows_in_tiles",
    "sample_sums",
    "square_sums_block",
    "tile_share",
    "total_of_squares",
    "whole",
]

K_BLOCK = 224
"""Terms of a sum that a tile takes at a time at most, so that what it needs of B stays in the first-level cache."""

BLOCK_ROWS = 128
"""Rows that are worked on at a time where what is made of them should still be in the cache when it is used."""

FIRST: Any = np.intp(0)
"""Where a serial run starts. A literal 0 would make numba compile each block function once more, for that literal."""


# ---- matrix products -------------------------------------------------------------------------------------------------
# The columns of a product are cut into panels, each at most a tile wide.


class Left(NamedTuple):
    """Where the left factor of a product lies, in bytes from the start of its array.

    Element (i, k) is at base + i * row + k * term, plus `jump` after each PACK terms. Tiles begin at rows that may be
    further apart than that (`tile` bytes a row), and blocks of terms (`block` bytes a term) begin a multiple of PACK
    after the first, which is one itself where there is a jump.
    If `columns` is not 0, the terms are that many columns in so many `panels`, `panel` bytes apart.
    """

    base: int
    tile: int
    row: int
    term: int
    block: int
    jump: int
    panel: int
    columns: int
    panels: int


@block
def plain_rows(A, start):
    """A (1, N, at least K), from row `start` on, as left factor."""
    step, K = item_size(A), A.shape[2]
    return Left(start * K * step, K * step, K * step, step, step, FIRST, FIRST, FIRST, FIRST)


@block
def plain_columns(A):
    """A^T as left factor, A (1, K, N)."""
    step, N = item_size(A), A.shape[2]
    return Left(FIRST, step, step, N * step, N * step, FIRST, FIRST, FIRST, FIRST)


@block
def packed_rows(A, start):
    """Packed features (D / PACK, N, PACK), from sample `start` on, as left factor: samples by features."""
    step, N = item_size(A), A.shape[1]
    return Left(start * PACK * step, PACK * step, PACK * step, step, N * step, (N - 1) * PACK * step, FIRST, FIRST,
                FIRST)


@block
def packed_columns(A, first):
    """Packed features (D / PACK, N, PACK), from pack `first` on, transposed, as left factor: features by samples.

    Its rows come in whole tiles only.
    """
    step, N = item_size(A), A.shape[1]
    return Left(first * N * PACK * step, N * step, step, PACK * step, PACK * step, FIRST, FIRST, FIRST, FIRST)


@block
def panel_rows(A, start, columns, panels):
    """Panels (at least `panels`, N, width) of `columns` columns, from row `start` on, as left factor."""
    step, N, width = item_size(A), A.shape[1], A.shape[2]
    return Left(start * width * step, width * step, width * step, step, step, FIRST, N * width * step, columns, panels)


@block
def panel_columns(A, panel):
    """One of the panels (panels, N, width), transposed, as left factor."""
    step, N, width = item_size(A), A.shape[1], A.shape[2]
    return Left(panel * N * width * step, step, step, width * step, width * step, FIRST, FIRST, FIRST, FIRST)


@block
def one_row():
    """A row of ones as left factor, as often as there are terms, from an array whose first element is 1."""
    return Left(FIRST, FIRST, FIRST, FIRST, FIRST, FIRST, FIRST, FIRST, FIRST)


LEAVES = 4
_SOME_TERMS, _MANY_TERMS = 96, 512
"""A sum over at least so many terms is made of two sums, or of LEAVES, added pairwise: each thread can then have its
part of the features and of the weights, and only sums travel between the cores. Rounding errors are smaller, too."""


@shared
def leaf_count(K: int) -> int:
    """How many sums an affine map of K features is made of."""
    if K >= _MANY_TERMS:
        return LEAVES
    return 2 if K >= _SOME_TERMS else 1


@shared
def leaf_start(leaf: int, leaves: int, K: int) -> int:
    """First feature of a leaf, at the edge of a pack, and of a unit of panels (`panel_unit`)."""
    unit = 2 * PACK
    return min(share_start(leaf, leaves, (K + unit - 1) // unit) * unit, K)


@shared
def panel_unit(itemsize: int) -> int:
    """Columns that a panel is a multiple of: whole vectors, and whole packs of what is made from it."""
    return max(lanes(itemsize), PACK)


@shared
def panel_count(columns: int, itemsize: int) -> int:
    """How many panels to cut `columns` columns into."""
    width = tile_width(itemsize)
    return (columns + width - 1) // width


@shared
def half_panels(columns: int, itemsize: int) -> int:
    """How many panels to cut the first half of so many columns into, where `halved_panels` is asked for."""
    return panel_count(leaf_start(1, 2, columns), itemsize)


@shared
def halved_panels(columns: int, itemsize: int) -> int:
    """How many panels to cut `columns` columns into, if none shall lie across the middle of their leaves."""
    return half_panels(columns, itemsize) + panel_count(columns - leaf_start(1, 2, columns), itemsize)


@inline
def whole(columns, itemsize):
    """So many columns with what is padded to whole units: loops over them end with a vector, not one by one."""
    unit = panel_unit(itemsize)
    return (columns + unit - 1) // unit * unit


@shared
def panel_width(panels: int, columns: int, itemsize: int) -> int:
    """Columns that the widest of so many panels of `columns` columns needs: whole units."""
    unit, widest = panel_unit(itemsize), 0
    for panel in range(panels):
        widest = max(widest, panel_span(panel, panels, columns, itemsize)[1])
    return (widest + unit - 1) // unit * unit


@shared
def column_share(share: int, count: int, columns: int, itemsize: int) -> tuple[int, int]:
    """First column of share number `share` of `count`, and how many columns it has: whole units, as even as can be.

    What comes after the last one has no columns.
    """
    unit = panel_unit(itemsize)
    units = (columns + unit - 1) // unit
    start = min(share_start(share, count, units) * unit, columns)
    return start, min(share_start(share + 1, count, units) * unit, columns) - start


@shared
def panel_span(panel: int, panels: int, columns: int, itemsize: int) -> tuple[int, int]:
    """First column of a panel, and how many columns it has: as even as can be, since narrow tiles are slow.

    Where there are leaves of the columns and as many panels as in `halved_panels`, none lies across their middle. What
    comes after the last panel has no columns.
    """
    if panels == 1 and panel == 0:  # without the divisions, which small networks would notice
        return 0, columns
    if leaf_count(columns) == 1 or panels != halved_panels(columns, itemsize):
        return column_share(panel, panels, columns, itemsize)
    half, first = leaf_start(1, 2, columns), half_panels(columns, itemsize)
    if panel < first:
        return column_share(panel, first, half, itemsize)
    start, count = column_share(panel - first, panels - first, columns - half, itemsize)
    return half + start, count


@block
def product_block(A, left, B, b, start, C, i0, i1, k0, k1, j, n):
    """C[i0:i1, j:j + n] = start[i0:i1, j:j + n] + A[:, k0:k1] B[k0:k1, b:b + n]; `left` says how A lies.

    `start` may have one row, which then serves for all, and may be C. n is at most the width of a tile.
    """
    panels, least = 1, 1  # an empty sum is its start
    if left.columns != 0:
        panels, least = left.panels, 0
    for panel in range(panels):
        first, last, base = k0, k1, left.base
        if left.columns != 0:
            begin, terms = panel_span(panel, panels, left.columns, item_size(C))
            first, last = max(k0, begin), min(k1, begin + terms)
            base += panel * left.panel - begin * left.block
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
                tile(A, base + i * left.tile + begin * left.block, left.row, left.term, left.jump, B, b,
                     start if begin == k0 else C, C, i, m, begin, end, j, n)
                i += m


SPLIT_SAMPLES = 64
"""A sum over at least so many samples is two sums, added up: each thread can then sum over samples of its own, and only
sums travel between the cores."""


@shared
def sample_sums(N: int) -> int:
    """How many sums the gradient of a bias is made of: 1 or 2."""
    return 2 if N >= SPLIT_SAMPLES else 1


@shared
def gradient_sums(N: int, K: int, J: int) -> int:
    """How many sums the gradient of weights (K, J) is made of: as many as that of a bias, where that pays.

    It pays where two sums are fewer numbers than the activations and deltas that would travel instead. Where the
    features have LEAVES leaves, threads have features of their own, not samples.
    """
    return sample_sums(N) if leaf_count(K) < LEAVES and 2 * K * J <= N * (K + J) else 1


@block
def add_block(X, Y, i0, i1, j, n):
    """Y += X on the rows from i0 to i1 and the columns from j to j + n."""
    width, columns = X.shape[1], Y.shape[1]
    rows, count = runs(i1 - i0, n, max(width, columns))
    for i in range(i0, i0 + rows):
        source, target = span(X, i * width + j, count), span(Y, i * columns + j, count)
        for h in range(count):
            target[h] += source[h]


@inline
def gradient_block(A, left, B, zeros, parts, sums, N, i0, i1, j, n):
    """parts[0, i0:i1, j:j + n] = A B[:N, j:j + n], made of `sums` sums over these rows; another part is scratch."""
    for part in range(sums):
        product_block(A, left, B, j, zeros, parts[part], i0, i1, tile_share(part, sums, N),
                      tile_share(part + 1, sums, N), j, n)
    if sums == 2:
        add_block(parts[1], parts[0], i0, i1, j, n)


@inline
def affine_block(A, left, W, w, b, zeros, Z, scratch, rows, K, j, n):
    """Z[:rows, j:j + n] = A W[:, w:w + n] + b[:, j:j + n]; `left` says how A lies.

    zeros is a row of them; scratch is as many arrays of the shape of Z as there are leaves but one.
    """
    leaves = leaf_count(K)
    for leaf in range(leaves):
        product_block(A, left, W, w, zeros if leaf else b, scratch[leaf - 1] if leaf else Z, FIRST, rows,
                      leaf_start(leaf, leaves, K), leaf_start(leaf + 1, leaves, K), j, n)
    if leaves > 1:
        join_leaves_block(Z, scratch, leaves, rows, j, n)


@block
def affine_row_block(A, W, b, zeros, Z, scratch, K, j, n):
    """`affine_block` for one row, A (1, 1, K), in a tile that is wider: n is at most `row_width`."""
    leaves, step = leaf_count(K), item_size(A)
    for leaf in range(leaves):
        k0 = leaf_start(leaf, leaves, K)
        row_tile(A, k0 * step, FIRST, step, FIRST, W, j, zeros if leaf else b, scratch[leaf - 1] if leaf else Z, FIRST,
                 FIRST + 1, k0, leaf_start(leaf + 1, leaves, K), j, n)
    if leaves > 1:
        join_leaves_block(Z, scratch, leaves, FIRST + 1, j, n)


@block
def join_leaves_block(Z, scratch, leaves, rows, j, n):
    """Z += the other sums of an affine map, pairwise."""
    if leaves == 2:
        add_block(scratch[0], Z, FIRST, rows, j, n)
        return
    second, third, fourth = scratch[0], scratch[1], scratch[2]
    for i in range(rows):
        z, x, u, v = Z[i, j:j + n], second[i, j:j + n], third[i, j:j + n], fourth[i, j:j + n]
        for h in range(z.shape[0]):
            z[h] = (z[h] + x[h]) + (u[h] + v[h])


@block
def clear_block(v):
    """v = 0. In a parallel kernel `np.zeros` would be a parallel region of its own."""
    for n in range(v.shape[0]):
        v[n] = 0


@block
def argmax_block(Z, labels, start, stop):
    """labels_i = index of the first of the largest elements of row i, or of the first NaN, as NumPy has it."""
    for i in range(start, stop):
        best, at = Z[i, 0], 0
        for c in range(1, Z.shape[1]):
            z = Z[i, c]
            better = (not z <= best) and best == best
            best, at = z if better else best, c if better else at
        labels[i] = at


@shared
def tile_share(share: Any, count: Any, rows: Any) -> Any:
    """First row of share number `share` of `count`, at the edge of a tile, or of half a tile, which is as fast."""
    unit = (tile_rows(rows) + 1) // 2
    return min(share_start(share, count, (rows + unit - 1) // unit) * unit, rows)


@shared
def rows_in_tiles(rows: Any) -> Any:
    """So many rows, or a few more where one tile takes them all instead of several that are lower."""
    rest, height = rows % PACK, 1
    while height < rest:
        height *= 2
    return rows if rest == 0 else rows - rest + height


@block
def finite_block(v):
    """Whether no element is NaN or infinite: of these all bits of the exponent are set.

    The largest of integers is what the compiler finds in vectors.
    """
    if item_size(v) == 4:
        bits32, largest32 = v.view(np.int32), np.int32(0)
        for n in range(bits32.shape[0]):
            largest32 = max(largest32, np.int32(bits32[n] & np.int32(0x7FFFFFFF)))  # else numba makes it an int64
        return largest32 < np.int32(0x7F800000)
    bits64, largest64 = v.view(np.int64), np.int64(0)
    for n in range(bits64.shape[0]):
        largest64 = max(largest64, bits64[n] & np.int64(0x7FFFFFFFFFFFFFFF))
    return largest64 < np.int64(0x7FF0000000000000)


# ---- sums ------------------------------------------------------------------------------------------------------------


@inline
def bias_sums_block(ones, delta, zeros, parts, sums, N, j, n):
    """parts[0, j:j + n] = sum of delta[:N, j:j + n], made of `sums` sums over these rows; another part is scratch.

    Products with 1 in a tile, `one_row`: its sums stay in registers.
    """
    for part in range(sums):
        product_block(ones, one_row(), delta, j, zeros, parts, part, part + 1, tile_share(part, sums, N),
                      tile_share(part + 1, sums, N), j, n)
    if sums == 2:
        add_block(parts[1:], parts, FIRST, FIRST + 1, j, n)


@inline
def add_in_fours(v, n, first, second, third, fourth):
    """Add the elements of v[:n] to four sums of every fourth; return these."""
    whole_fours = n // 4 * 4
    for h in range(0, whole_fours, 4):
        first, second, third, fourth = first + v[h], second + v[h + 1], third + v[h + 2], fourth + v[h + 3]
    for h in range(whole_fours, n):
        first += v[h]
    return first, second, third, fourth


@block
def ordered_sum(v):
    """Sum of v in float64, in an order that depends on nothing but its length: four sums of every fourth element.

    In a parallel kernel `v.sum()` would be a parallel sum, whose order depends on the threads.
    """
    zero = np.float64(0)
    first, second, third, fourth = add_in_fours(v, v.shape[0], zero, zero, zero, zero)
    return (first + second) + (third + fourth)


@block
def square_sums_block(W, sums, rows, n, p0, p1):
    """sums[p, :n] = sums of the squares of W[p * PACK:(p + 1) * PACK, :n] over those of the rows that are below `rows`.

    With `join_squares_block` and `total_of_squares` the order of the whole sum depends on nothing but its shape.
    """
    for p in range(p0, p1):
        group, target = W[p * PACK:min((p + 1) * PACK, rows)], sums[p]
        if group.shape[0] == PACK:
            for h in range(n):
                total = W.dtype.type(0)
                for j in range(PACK):  # unrolled
                    total += group[j, h] * group[j, h]
                target[h] = total
        else:
            for h in range(n):
                target[h] = 0
            for j in range(group.shape[0]):
                for h in range(n):
                    target[h] += group[j, h] * group[j, h]


@inline
def leaf_packs(leaf, packs):
    """First pack in one of LEAVES leaves of so many packs of features, and first pack in the next leaf."""
    K = packs * PACK
    return leaf_start(leaf, LEAVES, K) // PACK, leaf_start(leaf + 1, LEAVES, K) // PACK


@block
def join_squares_block(sums, n, leaf0, leaf1):
    """Add to the first row of each of the leaves leaf0 to leaf1 of sums[:, :n] its other rows.

    The edges of the leaves of an affine map are edges of these: who has updated some weights can join their squares
    while they are in the cache.
    """
    if sums.shape[0] == 1:  # small networks would notice the divisions
        return
    for leaf in range(leaf0, leaf1):
        first, last = leaf_packs(leaf, sums.shape[0])
        for p in range(first + 1, last):
            add_block(sums[p:], sums[first:], FIRST, FIRST + 1, FIRST, n)


@block
def total_of_squares(parts, columns):
    """Sum of the sums of squares of `columns` columns in panels, (panels, packs, width), whose leaves are joined.

    Down the columns first, then along them in float64, in the order of `ordered_sum`, however they are cut into panels:
    each begins at a multiple of four columns.
    """
    zero = np.float64(0)
    first, second, third, fourth = zero, zero, zero, zero
    for panel in range(parts.shape[0]):
        sums, (_, n) = parts[panel], panel_span(panel, parts.shape[0], columns, item_size(parts))
        for leaf in range(1, LEAVES if sums.shape[0] > 1 else 1):
            begin, end = leaf_packs(leaf, sums.shape[0])
            if 0 < begin < end:
                add_block(sums[begin:], sums, FIRST, FIRST + 1, FIRST, n)
        first, second, third, fourth = add_in_fours(sums[0], n, first, second, third, fourth)
    return (first + second) + (third + fourth)
