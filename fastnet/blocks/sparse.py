"""The first layer on samples of which only the non-zeros are stored: block functions.

Samples are a :class:`NonZeros` (the arrays of a CSR matrix), or None where they are an array: what asks for None is
compiled without these.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..jit.decorators import block
from .rows import clear_block

__all__ = ["NonZeros", "ascending", "has_non_zeros", "set_cursors_block", "sparse_affine_block",
           "sparse_gradient_block"]


class NonZeros(NamedTuple):
    """Values, their columns (ascending in each row), where each row begins and ends: arrays (n,), (n,), (M + 1,)."""

    data: NDArray[Any]
    indices: NDArray[Any]
    indptr: NDArray[Any]


def ascending(non_zeros: NonZeros) -> bool:
    """Whether the columns of each row ascend; the same one may come twice."""
    steps_back = np.flatnonzero(non_zeros.indices[1:] < non_zeros.indices[:-1]) + 1
    return bool(np.isin(steps_back, non_zeros.indptr).all())


@block
def has_non_zeros(non_zeros):
    """Whether samples are given by their non-zeros."""
    return non_zeros is not None


@block
def sparse_affine_block(non_zeros, samples, W, b, Z, n):
    """Z[i, :n] = X_i W[:, :n] + b[0, :n] for each of the samples; W is one panel of the weights."""
    if non_zeros is not None:
        for i in range(samples.shape[0]):
            z = Z[i, :n]
            for h in range(n):
                z[h] = b[0, h]
            for at in range(non_zeros.indptr[samples[i]], non_zeros.indptr[samples[i] + 1]):
                x, w = non_zeros.data[at], W[np.intp(non_zeros.indices[at]), :n]
                for h in range(z.shape[0]):
                    z[h] += x * w[h]


@block
def first_at_least(indices, start, stop, column):
    """Where the first of indices[start:stop], which ascend, is that is at least `column`; `stop` if none is."""
    while start < stop:
        middle = (start + stop) // 2
        if indices[middle] < column:
            start = middle + 1
        else:
            stop = middle
    return start


@block
def set_cursors_block(non_zeros, samples, cursors, d0):
    """cursors[i] = where the first non-zero of sample i is whose column is at least d0."""
    if non_zeros is not None:
        for i in range(samples.shape[0]):
            begin, end = np.intp(non_zeros.indptr[samples[i]]), np.intp(non_zeros.indptr[samples[i] + 1])
            cursors[i] = first_at_least(non_zeros.indices, begin, end, d0)


@block
def sparse_gradient_block(non_zeros, samples, delta, gradient, cursors, d0, d1, n):
    """gradient[:d1 - d0, :n] = (X^T delta[:, :n])[d0:d1] for these samples; the cursors are at d0, and d1 in the end.

    Each element is summed in the order of the samples, whoever does it.
    """
    if non_zeros is not None:
        for d in range(d1 - d0):
            clear_block(gradient[d, :n])
        for i in range(samples.shape[0]):
            at, end = cursors[i], np.intp(non_zeros.indptr[samples[i] + 1])
            row = delta[i, :n]
            while at < end and non_zeros.indices[at] < d1:
                x, g = non_zeros.data[at], gradient[np.intp(non_zeros.indices[at]) - d0, :n]
                for h in range(g.shape[0]):
                    g[h] += x * row[h]
                at += 1
            cursors[i] = at
