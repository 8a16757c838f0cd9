"""What is done to rows one by one."""

from __future__ import annotations

import numpy as np

from ..jit.decorators import block
from ..llvm.bits import magnitude_bits

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
    infinite = magnitude_bits(v.dtype.type(np.inf))
    largest = infinite - infinite
    for n in range(v.shape[0]):
        bits = magnitude_bits(v[n])
        largest = bits if bits > largest else largest
    return largest < infinite
