"""What is done to rows one by one."""

from __future__ import annotations

import numpy as np

from ..jit.decorators import block
from ..llvm.arrays import item_size

__all__ = ["argmax_block", "clear_block", "finite_block"]


@block
def clear_block(v):
    """v = 0. In a parallel kernel `np.zeros` would be a parallel region of its own."""
    for n in range(v.shape[0]):
        v[n] = 0


@block
def argmax_block(Z, labels, start, stop):
    """labels_i = index of the first of the largest elements of row i, or of the first NaN, as NumPy has it.

    Twice along the row, without branches: where the next larger element comes no processor can foretell, and what it
    does in vain takes longer than the second time.
    """
    columns = Z.shape[1]
    for i in range(start, stop):
        best, at, numbers = Z[i, 0], 0, True
        for c in range(columns):
            z = Z[i, c]
            best = z if z > best else best
            numbers = numbers & (z == z)
        for c in range(columns - 1, -1, -1):
            at = c if Z[i, c] == best else at
        if not numbers:
            at = 0
            while Z[i, at] == Z[i, at]:
                at += 1
        labels[i] = at


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
