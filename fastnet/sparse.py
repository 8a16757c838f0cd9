"""The first layer on samples of which only the non-zeros are stored: block functions.

Samples are a :class:`NonZeros` (the arrays of a CSR matrix), or None where they are an array: what asks for None is
compiled without these.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .blocks import clear_block, panel_span
from .compiling import block

__all__ = ["NonZeros", "ascending", "has_non_zeros", "sparse_affine_block", "sparse_gradient_block"]


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
def sparse_gradient_block(non_zeros, samples, delta, gradient, columns, d0, d1):
    """gradient[:, d0:d1] = X^T delta for these samples, in panels of so many columns in all.

    Each element is summed in the order of the samples, whoever does it.
    """
    if non_zeros is not None:
        panels = delta.shape[0]
        for panel in range(panels):
            _, n = panel_span(panel, panels, columns, gradient.itemsize)
            for d in range(d0, d1):
                clear_block(gradient[panel, d, :n])
        for i in range(samples.shape[0]):
            end = np.intp(non_zeros.indptr[samples[i] + 1])
            at = first_at_least(non_zeros.indices, np.intp(non_zeros.indptr[samples[i]]), end, d0)
            while at < end and non_zeros.indices[at] < d1:
                x, column = non_zeros.data[at], np.intp(non_zeros.indices[at])
                for panel in range(panels):
                    _, n = panel_span(panel, panels, columns, gradient.itemsize)
                    g, row = gradient[panel, column, :n], delta[panel, i, :n]
                    for h in range(g.shape[0]):
                        g[h] += x * row[h]
                at += 1
