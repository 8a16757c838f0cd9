"""What is done to rows one by one."""

from __future__ import annotations

import numpy as np

from ..jit.decorators import block
from ..llvm.arrays import item_size

__all__ = ["argmax_block", "clear_block", "exceeds", "finite_block"]


@block
def clear_block(v):
    """v = 0. In a parallel kernel `np.zeros` would be a parallel region of its own."""
    for n in range(v.shape[0]):
        v[n] = 0


@block
def exceeds(z, best):
    """Whether z is the largest so far: no number exceeds a NaN, and a NaN exceeds every number, as NumPy has it."""
    return (not z <= best) and best == best


@block
def argmax_block(Z, labels, start, stop):
    """labels_i = index of the first of the largest elements of row i, or of the first NaN, as NumPy has it."""
    for i in range(start, stop):
        best, at = Z[i, 0], 0
        for c in range(1, Z.shape[1]):
            z = Z[i, c]
            better = exceeds(z, best)
            best, at = z if better else best, c if better else at
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
