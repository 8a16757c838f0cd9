"""The compiled functions of the network, each the namesake of a function in :mod:`fastnet.reference`.

Each is ``@njit(parallel=True)``: it checks shapes and labels (whatever calls it, Python or other compiled code), makes
the result, and runs a block function (:mod:`fastnet.blocks`) over shares of the rows, in parallel where the work pays
for it and a region is to be had (:mod:`fastnet.parallel.regions`). Any layout and any size from 1 up is taken; results
are C-contiguous. Only `all_finite` is serial, and has no namesake.

Shape letters: N samples, D inputs, H hidden units, C classes. Arrays are float32 or float64, all of one dtype, aligned
and of native byte order; in `axpy` they must not overlap. What kernels make of other types is not defined:
:class:`fastnet.TwoLayerNet` is the door that converts and checks everything.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from .aliases import Array
from .blocks.activations import relu_into_block, relu_mask_into_block
from .blocks.heads import cross_entropy_block, softmax_block, transpose_in_block, transpose_out_block
from .blocks.optimizers import axpy_block
from .blocks.packed_products import (
    affine_rows_block,
    affine_scratch,
    gradient_rows_block,
    gradient_scratch,
    panel_scratch,
    propagate_rows_block,
)
from .blocks.partition import (
    K_SLICES,
    NOT_HALVED,
    ZERO,
    gradient_splits,
    panel_count,
    sample_splits,
    share_start,
    tile_share_start,
)
from .blocks.rows import clear_block, finite_block
from .blocks.sums import (
    add_block,
    add_squares_block,
    column_sums_block,
    ordered_sum,
    square_sums_block,
    total_of_squares,
)
from .jit.argument_types import takes
from .jit.decorators import block, inline, kernel, task
from .llvm.arrays import flat, item_size
from .llvm.target import PACK, tile_rows
from .parallel.regions import enter_region, leave_region
from .parallel.threads import shares
from .tuning import BLOCK_ROWS, ELEMENT_WORK, EXP_WORK

__all__ = [
    "affine_forward",
    "all_finite",
    "axpy",
    "bias_gradient",
    "propagate_delta",
    "relu",
    "relu_mask",
    "softmax",
    "softmax_cross_entropy",
    "sum_of_squares",
    "weight_gradient",
]

# Each share of a parallel loop writes rows (or columns) of its own, a multiple of half a tile high, so nothing is
# summed twice.
# Between `enter_region` and `leave_region` nothing allocates or raises: who does not leave shuts all others out.


@block
def bias_columns_block(delta, parts, u0, u1):
    """parts[0] = sum over the rows of delta, made of as many sums as `parts` has, in the packs u0 to u1."""
    N, H = delta.shape
    j, count = u0 * PACK, parts.shape[0]
    n = min(u1 * PACK, H) - j
    for part in range(count):
        start, stop = tile_share_start(part, count, N), tile_share_start(part + 1, count, N)
        column_sums_block(delta, parts[part], start, stop, j, n)
    if count == 2:
        add_block(parts[1:], parts, ZERO, ZERO + 1, j, n)


@block
def softmax_rows_block(Z, P, S, maxima, totals, i0, i1):
    """P[i0:i1] = softmax of the rows of Z; S (C, BLOCK_ROWS) is scratch."""
    for start in range(i0, i1, BLOCK_ROWS):
        m = min(i1 - start, BLOCK_ROWS)
        transpose_in_block(Z[start:start + m], S, ZERO, Z.shape[1], m)
        softmax_block(S, m, maxima[start:start + m], totals[start:start + m])
        transpose_out_block(S, P[start:start + m], ZERO, P.shape[1], m)


@block
def cross_entropy_rows_block(Z, y, delta, S, losses, maxima, totals, i0, i1):
    """Losses and delta of the rows i0 to i1; S (C, BLOCK_ROWS) is scratch."""
    for start in range(i0, i1, BLOCK_ROWS):
        m = min(i1 - start, BLOCK_ROWS)
        rows = slice(start, start + m)
        transpose_in_block(Z[start:start + m], S, ZERO, Z.shape[1], m)
        cross_entropy_block(S, y[rows], Z.shape[0], losses[rows], maxima[rows], totals[rows])
        transpose_out_block(S, delta[start:start + m], ZERO, delta.shape[1], m)


@inline
def tile_shares(rows, work):
    """How many shares to cut `rows` rows into along the edges of tiles."""
    height = tile_rows(rows)
    return shares((rows + height - 1) // height, work)


@block
def relu_rows_block(Z, A, i0, i1):
    """A[i0:i1] = max(0, Z[i0:i1])."""
    place, size = i0 * A.shape[1], (i1 - i0) * A.shape[1]
    relu_into_block(flat(Z, place, size), flat(A, place, size))


@block
def relu_mask_rows_block(dA, A, dZ, i0, i1):
    """dZ[i0:i1] = dA[i0:i1] * (A[i0:i1] > 0)."""
    place, size = i0 * A.shape[1], (i1 - i0) * A.shape[1]
    relu_mask_into_block(flat(dA, place, size), flat(A, place, size), flat(dZ, place, size))


@takes(X=2, W=2, b=1)
@kernel
def affine_forward(X: Array, W: Array, b: Array) -> Array:
    """Z = X W + b.

    Parameters
    ----------
    X : array (N, D)
    W : array (D, H)
    b : array (H,)

    Returns
    -------
    Z : array (N, H)

    Raises
    ------
    ValueError
        If there are no rows or the shapes do not agree.
    """
    N, D = X.shape
    H = W.shape[1]
    if N == 0 or H == 0:
        raise ValueError("affine_forward: X must have at least one row and W at least one column")
    if W.shape[0] != D:
        raise ValueError("affine_forward: W must have as many rows as X has columns")
    if b.shape[0] != H:
        raise ValueError("affine_forward: b must have as many elements as W has columns")
    W = np.ascontiguousarray(W)
    bias = np.ascontiguousarray(b).reshape(1, H)
    zeros = np.empty((1, H), X.dtype)
    clear_block(zeros[0])
    Z = np.empty((N, H), X.dtype)
    count = tile_shares(N, N * D * H)
    sums, panel = affine_scratch(count, D, Z), panel_scratch(count, D, Z)
    A = np.ascontiguousarray(X).reshape(1, N, D)
    if count == 1 or not enter_region():
        affine_rows_block(A, W, bias, zeros, Z, sums[0], panel[0], ZERO, N)
    else:
        for t in prange(count):
            share = np.intp(t)  # the index of a prange is unsigned
            affine_rows_block(A, W, bias, zeros, Z, sums[share], panel[share], tile_share_start(share, count, N),
                              tile_share_start(share + 1, count, N))
        leave_region()
    return Z


@takes(Z=2)
@kernel
def relu(Z: Array) -> Array:
    """A = max(0, Z), elementwise.

    Parameters
    ----------
    Z : array (N, H)

    Returns
    -------
    A : array (N, H)

    Raises
    ------
    ValueError
        If there are no rows.
    """
    N, H = Z.shape
    if N == 0:
        raise ValueError("relu: Z must have at least one row")
    Z = np.ascontiguousarray(Z)
    A = np.empty((N, H), Z.dtype)
    count = shares(N, ELEMENT_WORK * N * H)
    if count == 1 or not enter_region():
        relu_rows_block(Z, A, ZERO, N)
    else:
        for t in prange(count):
            share = np.intp(t)
            relu_rows_block(Z, A, share_start(share, count, N), share_start(share + 1, count, N))
        leave_region()
    return A


@takes(dA=2, A=2)
@kernel
def relu_mask(dA: Array, A: Array) -> Array:
    """dZ = dA * (A > 0): the derivative of ReLU, which is 0 at exactly 0.

    Parameters
    ----------
    dA : array (N, H)
        Gradient of the loss with respect to the activation.
    A : array (N, H)
        The activation (or what it was made from: the sign is the same). As in NumPy, a NaN is not above 0.

    Returns
    -------
    dZ : array (N, H)

    Raises
    ------
    ValueError
        If there are no rows or the shapes differ.
    """
    N, H = A.shape
    if N == 0:
        raise ValueError("relu_mask: A must have at least one row")
    if dA.shape[0] != N or dA.shape[1] != H:
        raise ValueError("relu_mask: dA and A must have the same shape")
    dA, A = np.ascontiguousarray(dA), np.ascontiguousarray(A)
    dZ = np.empty((N, H), dA.dtype)
    count = shares(N, ELEMENT_WORK * N * H)
    if count == 1 or not enter_region():
        relu_mask_rows_block(dA, A, dZ, ZERO, N)
    else:
        for t in prange(count):
            share = np.intp(t)
            relu_mask_rows_block(dA, A, dZ, share_start(share, count, N), share_start(share + 1, count, N))
        leave_region()
    return dZ


@takes(Z=2)
@kernel
def softmax(Z: Array) -> Array:
    """P_ic = exp(Z_ic - m_i) / sum_c exp(Z_ic - m_i) with m_i = max_c Z_ic.

    Parameters
    ----------
    Z : array (N, C)

    Returns
    -------
    P : array (N, C)
        Its rows sum to 1.

    Raises
    ------
    ValueError
        If there are no rows or no columns.
    """
    N, C = Z.shape
    if N == 0 or C == 0:
        raise ValueError("softmax: Z must have at least one row and one column")
    P = np.empty((N, C), Z.dtype)
    maxima = np.empty(N, Z.dtype)
    totals = np.empty(N, Z.dtype)
    count = shares(N, EXP_WORK * N * C)
    S = np.empty((count, C, BLOCK_ROWS), Z.dtype)
    if count == 1 or not enter_region():
        softmax_rows_block(Z, P, S[0], maxima, totals, ZERO, N)
    else:
        for t in prange(count):
            share = np.intp(t)
            softmax_rows_block(Z, P, S[share], maxima, totals, share_start(share, count, N),
                               share_start(share + 1, count, N))
        leave_region()
    return P


@takes(Z=2, y="labels")
@kernel
def softmax_cross_entropy(Z: Array, y: Array) -> tuple[float, Array]:
    """Mean cross-entropy of softmax(Z) with the labels y, and its gradient with respect to Z.

    The loss is the mean of log(sum_c exp(Z_ic - m_i)) + m_i - Z_iy, which stays finite where log(P) does not.

    Parameters
    ----------
    Z : array (N, C)
    y : array (N,) of integers in 0..C-1
        Copied before they are checked, so that nothing changes between the check and the use.

    Returns
    -------
    loss : float
    delta : array (N, C)
        (softmax(Z) - onehot(y)) / N.

    Raises
    ------
    ValueError
        If there are no rows or no columns, y has another length, or a label is out of range.
    """
    N, C = Z.shape
    if N == 0 or C == 0:
        raise ValueError("softmax_cross_entropy: Z must have at least one row and one column")
    if y.shape[0] != N:
        raise ValueError("softmax_cross_entropy: y must have one label for each row of Z")
    labels = np.empty(N, np.intp)
    for i in range(N):
        label = np.intp(y[i])
        if label != y[i] or label < 0 or label >= C:
            raise ValueError("softmax_cross_entropy: labels in y must be integers from 0 to C - 1")
        labels[i] = label
    delta = np.empty((N, C), Z.dtype)
    losses = np.empty(N, np.float64)
    maxima = np.empty(N, Z.dtype)
    totals = np.empty(N, Z.dtype)
    count = shares(N, EXP_WORK * N * C)
    S = np.empty((count, C, BLOCK_ROWS), Z.dtype)
    if count == 1 or not enter_region():
        cross_entropy_rows_block(Z, labels, delta, S[0], losses, maxima, totals, ZERO, N)
    else:
        for t in prange(count):
            share = np.intp(t)
            cross_entropy_rows_block(Z, labels, delta, S[share], losses, maxima, totals,
                                     share_start(share, count, N), share_start(share + 1, count, N))
        leave_region()
    return ordered_sum(losses) / N, delta


@takes(delta=2, W=2, A=2)
@kernel
def propagate_delta(delta: Array, W: Array, A: Array) -> Array:
    """Delta of the layer below: (delta W^T) * (A > 0).

    Parameters
    ----------
    delta : array (N, C)
        Gradient of the loss with respect to the affine output A W + b.
    W : array (H, C)
    A : array (N, H)
        The activation that went into the layer.

    Returns
    -------
    dZ : array (N, H)

    Raises
    ------
    ValueError
        If there are no rows or the shapes do not agree.
    """
    N, C = delta.shape
    H = W.shape[0]
    if N == 0 or H == 0:
        raise ValueError("propagate_delta: delta and W must have at least one row")
    if W.shape[1] != C:
        raise ValueError("propagate_delta: W must have as many columns as delta")
    if A.shape[0] != N or A.shape[1] != H:
        raise ValueError("propagate_delta: A must have the rows of delta and a column for each row of W")
    W, A = np.ascontiguousarray(W), np.ascontiguousarray(A)
    zeros = np.empty((1, H), delta.dtype)
    clear_block(zeros[0])
    D = np.ascontiguousarray(delta).reshape(1, N, C)
    dZ = np.empty((N, H), delta.dtype)
    count = tile_shares(N, N * C * H)
    panel = panel_scratch(count, C, dZ)
    if count == 1 or not enter_region():
        propagate_rows_block(D, W, zeros, A, dZ, panel[0], ZERO, N)
    else:
        for t in prange(count):
            share = np.intp(t)
            propagate_rows_block(D, W, zeros, A, dZ, panel[share], tile_share_start(share, count, N),
                                 tile_share_start(share + 1, count, N))
        leave_region()
    return dZ


@takes(A=2, delta=2)
@kernel
def weight_gradient(A: Array, delta: Array) -> Array:
    """dW = A^T delta.

    Parameters
    ----------
    A : array (N, D)
        What went into the layer.
    delta : array (N, H)
        Gradient of the loss with respect to the affine output A W + b.

    Returns
    -------
    dW : array (D, H)

    Raises
    ------
    ValueError
        If there are no rows or the numbers of rows differ.
    """
    N, D = A.shape
    H = delta.shape[1]
    if N == 0 or D == 0:
        raise ValueError("weight_gradient: A must have at least one row and one column")
    if delta.shape[0] != N:
        raise ValueError("weight_gradient: A and delta must have the same number of rows")
    delta = np.ascontiguousarray(delta)
    zeros = np.empty((1, H), A.dtype)
    clear_block(zeros[0])
    rows = np.ascontiguousarray(A).reshape(1, N, D)
    parts = np.empty((gradient_splits(N, D, H), D, H), A.dtype)  # there are two only where they are small
    count = tile_shares(D, N * D * H)
    left, right = gradient_scratch(count, N, parts)
    if count == 1 or not enter_region():
        gradient_rows_block(rows, delta, zeros, parts, left[0], right[0], ZERO, D)
    else:
        for t in prange(count):
            share = np.intp(t)
            gradient_rows_block(rows, delta, zeros, parts, left[share], right[share],
                                tile_share_start(share, count, D), tile_share_start(share + 1, count, D))
        leave_region()
    return parts[0]


@takes(delta=2)
@kernel
def bias_gradient(delta: Array) -> Array:
    """db = the sum of delta over its rows.

    Parameters
    ----------
    delta : array (N, H)

    Returns
    -------
    db : array (H,)

    Raises
    ------
    ValueError
        If there are no rows.
    """
    N, H = delta.shape
    if N == 0:
        raise ValueError("bias_gradient: delta must have at least one row")
    delta = np.ascontiguousarray(delta)
    parts = np.empty((sample_splits(N), H), delta.dtype)
    packs = (H + PACK - 1) // PACK
    # Narrow shares would write to the same cache lines, and read all lines of delta each.
    count = shares(panel_count(H, item_size(delta)), ELEMENT_WORK * N * H)
    if count == 1 or not enter_region():
        bias_columns_block(delta, parts, ZERO, packs)
    else:
        for t in prange(count):
            share = np.intp(t)
            bias_columns_block(delta, parts, share_start(share, count, packs), share_start(share + 1, count, packs))
        leave_region()
    return parts[0]


@takes(W=2)
@kernel
def sum_of_squares(W: Array) -> float:
    """Sum of W^2.

    Parameters
    ----------
    W : array (D, H)

    Returns
    -------
    total : float

    Raises
    ------
    ValueError
        If W is empty.
    """
    D, H = W.shape
    if D == 0 or H == 0:
        raise ValueError("sum_of_squares: W must have at least one element")
    packs = (D + PACK - 1) // PACK
    sums = np.empty((packs, H), W.dtype)
    count = shares(packs, ELEMENT_WORK * W.size)
    if count == 1 or not enter_region():
        square_sums_block(W, sums, D, H, ZERO, packs)
    else:
        for t in prange(count):
            share = np.intp(t)
            square_sums_block(W, sums, D, H, share_start(share, count, packs), share_start(share + 1, count, packs))
        leave_region()
    add_squares_block(sums, H, ZERO, ZERO + K_SLICES)
    return total_of_squares(sums.reshape(1, packs, H), H, NOT_HALVED)


@takes(alpha=0, X=1, Y=1)
@kernel
def axpy(alpha: float, X: Array, Y: Array) -> None:
    """Y += alpha * X, in place.

    Parameters
    ----------
    alpha : float
        Rounded to the dtype of the arrays first, as NumPy does it.
    X, Y : array (n,)

    Raises
    ------
    ValueError
        If the lengths differ.
    """
    n = Y.shape[0]
    if X.shape[0] != n:
        raise ValueError("axpy: X and Y must have the same length")
    factor = Y.dtype.type(alpha)
    count = shares(n, ELEMENT_WORK * n)
    if count == 1 or not enter_region():
        axpy_block(factor, X, Y, ZERO, n)
    else:
        for t in prange(count):
            share = np.intp(t)
            axpy_block(factor, X, Y, share_start(share, count, n), share_start(share + 1, count, n))
        leave_region()


@takes(v=1)
@task
def all_finite(v: Array) -> bool:
    """Whether no element is NaN or infinite. In one thread: it is as fast as memory.

    Parameters
    ----------
    v : array (n,)

    Returns
    -------
    finite : bool
    """
    return finite_block(v)
