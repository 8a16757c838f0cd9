"""Sums whose order depends on nothing but their shape: of rows, of elements, of squares."""

from __future__ import annotations

import numpy as np

from ..jit.decorators import block, inline
from ..llvm.arrays import flat, item_size, runs
from ..llvm.target import PACK
from .partition import K_SLICES, ZERO, k_slice_packs, panel_span

__all__ = ["add_block", "add_in_fours", "add_squares_block", "column_sums_block", "ordered_sum", "square_sums_block",
           "total_of_squares"]


@block
def add_block(X, Y, i0, i1, j, n):
    """Y += X on the rows from i0 to i1 and the columns from j to j + n."""
    width, columns = X.shape[1], Y.shape[1]
    rows, count = runs(i1 - i0, n, max(width, columns))
    for i in range(i0, i0 + rows):
        source, target = flat(X, i * width + j, count), flat(Y, i * columns + j, count)
        for h in range(count):
            target[h] += source[h]


@block
def column_sums_block(X, sums, i0, i1, j, n):
    """sums[j:j + n] = the sum over the rows i0 to i1 of X, row after row.

    X is C-contiguous and read as it lies, four rows at a time.
    """
    columns = X.shape[1]
    target = sums[j:j + n]
    for h in range(n):
        target[h] = 0
    fours = i0 + (i1 - i0) // 4 * 4
    for i in range(i0, fours, 4):
        place = i * columns + j
        first, second = flat(X, place, n), flat(X, place + columns, n)
        third, fourth = flat(X, place + 2 * columns, n), flat(X, place + 3 * columns, n)
        for h in range(n):
            target[h] = (((target[h] + first[h]) + second[h]) + third[h]) + fourth[h]
    for i in range(fours, i1):
        row = flat(X, i * columns + j, n)
        for h in range(n):
            target[h] += row[h]


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

    With `add_squares_block` and `total_of_squares` the order of the whole sum depends on nothing but its shape.
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


@block
def add_squares_block(sums, n, slice0, slice1):
    """Add to the first row of each of the slices slice0 to slice1 of sums[:, :n] its other rows.

    The edges of the slices of an affine map are edges of these, so a share that has updated some weights can add their
    squares while they are in the cache.
    """
    if sums.shape[0] == 1:  # small networks would notice the divisions
        return
    for k_slice in range(slice0, slice1):
        first, last = k_slice_packs(k_slice, sums.shape[0])
        for p in range(first + 1, last):
            add_block(sums[p:], sums[first:], ZERO, ZERO + 1, ZERO, n)


@block
def total_of_squares(parts, columns, halved):
    """Sum of the sums of squares of `columns` columns in panels, (panels, packs, width), whose slices are added up.

    Down the columns first, then along them in float64, in the order of `ordered_sum`, however they are cut into panels:
    each begins at a multiple of four columns.
    """
    zero = np.float64(0)
    first, second, third, fourth = zero, zero, zero, zero
    for panel in range(parts.shape[0]):
        sums, (_, n) = parts[panel], panel_span(panel, parts.shape[0], columns, halved, item_size(parts))
        for k_slice in range(1, K_SLICES if sums.shape[0] > 1 else 1):
            begin, end = k_slice_packs(k_slice, sums.shape[0])
            if 0 < begin < end:
                add_block(sums[begin:], sums, ZERO, ZERO + 1, ZERO, n)
        first, second, third, fourth = add_in_fours(sums[0], n, first, second, third, fourth)
    return (first + second) + (third + fourth)
