"""Every compiled function of the network.

First the block functions: serial, on a range of rows (or columns), each formula once. They check nothing. Then the
kernels, ``@njit(parallel=True)``, each the namesake of a function in :mod:`fastnet.reference`: they check shapes and
labels (whatever calls them, Python or other compiled code), make the result, and run the block function over shares of
the rows, in parallel where the work pays for it. Any layout and any size from 1 up is taken; results are C-contiguous.

Shape letters: N samples, D inputs, H hidden units, C classes. Arrays are float32 or float64, all of one dtype, aligned
and of native byte order; in `axpy` they must not overlap. What kernels make of other types is not defined:
:class:`fastnet.TwoLayerNet` is the door that converts and checks everything.
"""

from __future__ import annotations

from math import log
from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from .compiling import block, inline, kernel
from .exponential import exp_nonpositive
from .simd import ISA, tile, tile_rows, tile_width
from .threads import share_start, shares

__all__ = [
    "affine_forward",
    "all_finite",
    "axpy",
    "bias_gradient",
    "propagate_delta",
    "relu",
    "relu_mask",
    "sgd_steps",
    "softmax",
    "softmax_cross_entropy",
    "sum_of_squares",
    "weight_gradient",
]

Array = NDArray[Any]
Arrays = tuple[Array, ...]

K_BLOCK = 224
"""Terms of a sum that a tile takes at a time at most, so that what it needs of B stays in the first-level cache."""

SUM_BLOCK = 4096
SUM_LANES = 64
"""A long sum is cut into blocks of so many elements, and each block into so many interleaved sums, which fill the
vector registers. Fixed numbers, so that the order of the sum depends on its length only."""

MAX_VECTORS = ISA.max_vectors

SWEEP_ROWS = 64
"""Samples, and rows of weights, that a sweep of `sgd_steps` takes at a time, so that they stay in the cache."""

FIRST = np.intp(0)
"""Where a serial run starts. A literal 0 would make numba compile each block function once more, for that literal."""

# Costs of elementwise work, in multiply-adds of a matrix product, which is what `shares` counts in.
ELEMENT_WORK = 16
EXP_WORK = 64


# ---- block functions -------------------------------------------------------------------------------------------------
# A loop from `start` to `stop` runs over a slice from 0 instead: where numba cannot see that an index is not negative
# it tests each one, and the loop stays scalar.


@block
def matmul_block(A, B, C, i0, i1):
    """C[i0:i1] += A[i0:i1] B; A is (N, K) of any strides, B (K, H), C (N, H)."""
    K, H = B.shape
    width = tile_width(C.itemsize)
    vector = width // MAX_VECTORS
    vectors = (H + vector - 1) // vector
    panels = (H + width - 1) // width
    blocks = (K + K_BLOCK - 1) // K_BLOCK
    for panel in range(panels):  # as even as can be: narrow tiles are slow
        j0 = share_start(panel, panels, vectors) * vector
        j1 = min(share_start(panel + 1, panels, vectors) * vector, H)
        result = C[:, j0:j1]
        for block_ in range(blocks):
            k0, k1 = share_start(block_, blocks, K), share_start(block_ + 1, blocks, K)
            left, right = A[:, k0:k1], B[k0:k1, j0:j1]
            i = i0
            while i < i1:
                m = tile_rows(i1 - i)
                tile(left, right, result, i, m)
                i += m


@block
def affine_block(X, W, b, Z, i0, i1):
    """Z[i0:i1] = X[i0:i1] W + b."""
    for i in range(i0, i1):
        for j in range(Z.shape[1]):
            Z[i, j] = b[j]
    matmul_block(X, W, Z, i0, i1)


@block
def relu_block(Z, A, i0, i1):
    """A[i0:i1] = max(0, Z[i0:i1]); written so that a NaN stays one."""
    zero = Z.dtype.type(0)
    for i in range(i0, i1):
        for j in range(Z.shape[1]):
            z = Z[i, j]
            A[i, j] = zero if z <= zero else z


@block
def relu_mask_block(dA, A, dZ, i0, i1):
    """dZ[i0:i1] = dA[i0:i1] * (A[i0:i1] > 0); a product, so that a NaN in dA stays one."""
    zero, one = dA.dtype.type(0), dA.dtype.type(1)
    for i in range(i0, i1):
        for j in range(A.shape[1]):
            dZ[i, j] = dA[i, j] * (one if A[i, j] > zero else zero)


@block
def propagate_delta_block(delta, WT, A, dZ, i0, i1):
    """dZ[i0:i1] = (delta[i0:i1] WT) * (A[i0:i1] > 0); WT is (C, H)."""
    for i in range(i0, i1):
        for j in range(dZ.shape[1]):
            dZ[i, j] = 0
    matmul_block(delta, WT, dZ, i0, i1)
    relu_mask_block(dZ, A, dZ, i0, i1)


@block
def weight_gradient_block(A, delta, dW, j0, j1):
    """dW[j0:j1] = A[:, j0:j1]^T delta."""
    for j in range(j0, j1):
        for h in range(dW.shape[1]):
            dW[j, h] = 0
    matmul_block(A.T, delta, dW, j0, j1)


@block
def bias_gradient_block(delta, db, j0, j1):
    """db[j0:j1] = sum over the rows of delta[:, j0:j1]."""
    total = db[j0:j1]
    for j in range(total.shape[0]):
        total[j] = 0
    for i in range(delta.shape[0]):
        row = delta[i, j0:j1]
        for j in range(total.shape[0]):
            total[j] += row[j]


@block
def row_max(row):
    """Largest element, or a number or a NaN if a NaN is among them."""
    m = row[0]
    for c in range(1, row.shape[0]):
        m = row[c] if row[c] > m else m
    return m


@block
def ordered_sum(v):
    """Sum of v from the first element to the last, in float64.

    In a parallel kernel `v.sum()` would be a parallel sum, whose order depends on the threads.
    """
    total = np.float64(0)
    for n in range(v.shape[0]):
        total += v[n]
    return total


@block
def shifted_exp_block(Z, E, maxima, totals, i0, i1):
    """E_ic = exp(Z_ic - m_i), maxima_i = m_i = max_c Z_ic and totals_i = sum_c E_ic for the rows i0 to i1."""
    C = Z.shape[1]
    for i in range(i0, i1):
        m = row_max(Z[i])
        maxima[i] = m
        for c in range(C):
            E[i, c] = Z[i, c] - m
    flat = E.reshape(E.size)[i0 * C:i1 * C]  # one long loop: rows of ten classes would leave vectors half empty
    for n in range(flat.shape[0]):
        flat[n] = exp_nonpositive(flat[n])
    for i in range(i0, i1):
        total = Z.dtype.type(0)
        for c in range(C):
            total += E[i, c]
        totals[i] = total


@block
def softmax_block(Z, P, maxima, totals, i0, i1):
    """P[i0:i1] = softmax of the rows Z[i0:i1]."""
    shifted_exp_block(Z, P, maxima, totals, i0, i1)
    for i in range(i0, i1):
        for c in range(P.shape[1]):
            P[i, c] /= totals[i]


@block
def softmax_cross_entropy_block(Z, y, delta, losses, maxima, totals, i0, i1):
    """losses_i = log(sum_c exp(Z_ic - m_i)) + m_i - Z_iy and delta = (P - onehot(y)) / N for the rows i0 to i1."""
    softmax_block(Z, delta, maxima, totals, i0, i1)
    N = Z.dtype.type(Z.shape[0])
    one = Z.dtype.type(1)
    for i in range(i0, i1):
        losses[i] = log(totals[i]) - (Z[i, y[i]] - maxima[i])
        delta[i, y[i]] -= one
        for c in range(Z.shape[1]):
            delta[i, c] /= N


@block
def finite_block(v, start, stop):
    """How many elements of v[start:stop] are NaN or infinite."""
    part = v[start:stop]
    count = 0
    for n in range(part.shape[0]):
        count += 0 if np.isfinite(part[n]) else 1
    return count


# ---- kernels ---------------------------------------------------------------------------------------------------------
# Each share of a parallel loop writes rows (or columns) of its own, whole tiles high, so nothing is summed twice.


@block
def tile_share(share, count, rows):
    """First row of share number `share` of `count`, at the edge of a tile."""
    height = tile_rows(rows)
    return min(share_start(share, count, (rows + height - 1) // height) * height, rows)


@inline
def tile_shares(rows, work):
    """How many shares to cut `rows` rows into along the edges of tiles."""
    height = tile_rows(rows)
    return shares((rows + height - 1) // height, work)


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
    Z = np.empty((N, H), X.dtype)
    count = tile_shares(N, N * D * H)
    if count == 1:
        affine_block(X, W, b, Z, FIRST, N)
    else:
        for t in prange(count):
            share = np.intp(t)  # the index of a prange is unsigned
            affine_block(X, W, b, Z, tile_share(share, count, N), tile_share(share + 1, count, N))
    return Z


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
    A = np.empty((N, H), Z.dtype)
    count = shares(N, ELEMENT_WORK * N * H)
    if count == 1:
        relu_block(Z, A, FIRST, N)
    else:
        for t in prange(count):
            share = np.intp(t)
            relu_block(Z, A, share_start(share, count, N), share_start(share + 1, count, N))
    return A


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
    dZ = np.empty((N, H), dA.dtype)
    count = shares(N, ELEMENT_WORK * N * H)
    if count == 1:
        relu_mask_block(dA, A, dZ, FIRST, N)
    else:
        for t in prange(count):
            share = np.intp(t)
            relu_mask_block(dA, A, dZ, share_start(share, count, N), share_start(share + 1, count, N))
    return dZ


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
    if count == 1:
        softmax_block(Z, P, maxima, totals, FIRST, N)
    else:
        for t in prange(count):
            share = np.intp(t)
            softmax_block(Z, P, maxima, totals, share_start(share, count, N), share_start(share + 1, count, N))
    return P


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
    if count == 1:
        softmax_cross_entropy_block(Z, labels, delta, losses, maxima, totals, FIRST, N)
    else:
        for t in prange(count):
            share = np.intp(t)
            softmax_cross_entropy_block(Z, labels, delta, losses, maxima, totals,
                                        share_start(share, count, N), share_start(share + 1, count, N))
    return ordered_sum(losses) / N, delta


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
    WT = np.ascontiguousarray(W.T)
    dZ = np.empty((N, H), delta.dtype)
    count = tile_shares(N, N * C * H)
    if count == 1:
        propagate_delta_block(delta, WT, A, dZ, FIRST, N)
    else:
        for t in prange(count):
            share = np.intp(t)
            propagate_delta_block(delta, WT, A, dZ, tile_share(share, count, N), tile_share(share + 1, count, N))
    return dZ


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
    dW = np.empty((D, H), A.dtype)
    count = tile_shares(D, N * D * H)
    if count == 1:
        weight_gradient_block(A, delta, dW, FIRST, D)
    else:
        for t in prange(count):
            share = np.intp(t)
            weight_gradient_block(A, delta, dW, tile_share(share, count, D), tile_share(share + 1, count, D))
    return dW


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
    db = np.empty(H, delta.dtype)
    count = shares(H // 64, ELEMENT_WORK * N * H)
    if count <= 1:
        bias_gradient_block(delta, db, FIRST, H)
    else:
        for t in prange(count):
            share = np.intp(t)
            bias_gradient_block(delta, db, share_start(share, count, H), share_start(share + 1, count, H))
    return db


@block
def square_sums_block(v, sums, b0, b1):
    """sums[b] = sums of the squares of block b of v, lane by lane, for the blocks b0 to b1."""
    for b in range(b0, b1):
        lane = sums[b]
        for n in range(lane.shape[0]):
            lane[n] = 0
        for start in range(b * SUM_BLOCK, min((b + 1) * SUM_BLOCK, v.shape[0]), lane.shape[0]):
            part = v[start:start + lane.shape[0]]  # shorter at the very end
            for n in range(part.shape[0]):
                lane[n] += part[n] * part[n]


@kernel
def sum_of_squares(v: Array) -> float:
    """Sum of v^2.

    Parameters
    ----------
    v : array (n,)

    Returns
    -------
    total : float

    Raises
    ------
    ValueError
        If v is empty.
    """
    n = v.shape[0]
    if n == 0:
        raise ValueError("sum_of_squares: v must have at least one element")
    blocks = (n + SUM_BLOCK - 1) // SUM_BLOCK
    sums = np.empty((blocks, SUM_LANES), v.dtype)
    count = shares(blocks, ELEMENT_WORK * n)
    if count == 1:
        square_sums_block(v, sums, FIRST, blocks)
    else:
        for t in prange(count):
            share = np.intp(t)
            square_sums_block(v, sums, share_start(share, count, blocks), share_start(share + 1, count, blocks))
    return ordered_sum(sums.reshape(sums.size))


@block
def axpy_block(alpha, X, Y, start, stop):
    """Y[start:stop] += alpha * X[start:stop]."""
    x, y = X[start:stop], Y[start:stop]
    for n in range(y.shape[0]):
        y[n] += alpha * x[n]


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
    if count == 1:
        axpy_block(factor, X, Y, FIRST, n)
    else:
        for t in prange(count):
            share = np.intp(t)
            axpy_block(factor, X, Y, share_start(share, count, n), share_start(share + 1, count, n))


@kernel
def all_finite(v: Array) -> bool:
    """Whether no element is NaN or infinite.

    Parameters
    ----------
    v : array (n,)

    Returns
    -------
    finite : bool
    """
    n = v.shape[0]
    count = shares(n, ELEMENT_WORK * n)
    if count == 1:
        return finite_block(v, FIRST, n) == 0
    bad = np.empty(count, np.intp)
    for t in prange(count):
        share = np.intp(t)
        bad[share] = finite_block(v, share_start(share, count, n), share_start(share + 1, count, n))
    return ordered_sum(bad) == 0


# ---- whole steps of training -----------------------------------------------------------------------------------------
# A step is two sweeps over the same block functions, so it gives the same bits as the kernels above one by one. Ws, bs
# and the rest are tuples with an array for each layer; A[l] is what goes into layer l, delta[l] the gradient with
# respect to its affine output, WT[l] its weights transposed.


@block
def row_sweep_block(Ws, bs, WT, X, y, batch, A, delta, Z, labels, losses, maxima, totals, i0, i1):
    """Forward and backward pass for the rows i0 to i1 of a minibatch: all that a sample needs while it is in cache."""
    depth = len(Ws)
    for start in range(i0, i1, SWEEP_ROWS):
        stop = min(start + SWEEP_ROWS, i1)
        for i in range(start, stop):
            source, target = X[batch[i]], A[0][i]
            for j in range(target.shape[0]):
                target[j] = source[j]
            labels[i] = y[batch[i]]
        for layer in range(depth - 1):
            affine_block(A[layer], Ws[layer], bs[layer], A[layer + 1], start, stop)
            relu_block(A[layer + 1], A[layer + 1], start, stop)
        affine_block(A[depth - 1], Ws[depth - 1], bs[depth - 1], Z, start, stop)
        softmax_cross_entropy_block(Z, labels, delta[depth - 1], losses, maxima, totals, start, stop)
        for layer in range(depth - 1, 0, -1):
            propagate_delta_block(delta[layer], WT[layer], A[layer], delta[layer - 1], start, stop)


@block
def weight_step_block(A, delta, W, WT, dW, learning_rate, l2, j0, j1):
    """W[j0:j1] -= learning_rate * (A[:, j0:j1]^T delta + l2 * W[j0:j1]); WT follows if it is in use; dW is scratch."""
    for start in range(j0, j1, dW.shape[0]):
        stop = min(start + dW.shape[0], j1)
        weight_gradient_block(A[:, start:stop], delta, dW, FIRST, stop - start)
        for j in range(start, stop):
            w, gradient = W[j], dW[j - start]
            if l2 != 0:
                axpy_block(l2, w, gradient, FIRST, w.shape[0])
            axpy_block(-learning_rate, gradient, w, FIRST, w.shape[0])
            for h in range(WT.shape[0]):
                WT[h, j] = w[h]


@block
def feature_sweep_block(Ws, bs, WT, A, delta, dW, db, learning_rate, l2, share, count):
    """Share number `share` of `count` of the update of every layer: its gradients are used while they are in cache."""
    for layer in range(len(Ws)):
        rows, columns = Ws[layer].shape
        weight_step_block(A[layer], delta[layer], Ws[layer], WT[layer], dW[layer][share], learning_rate, l2,
                          tile_share(share, count, rows), tile_share(share + 1, count, rows))
        h0, h1 = share_start(share, count, columns), share_start(share + 1, count, columns)
        bias_gradient_block(delta[layer], db[layer], h0, h1)
        axpy_block(-learning_rate, db[layer], bs[layer], h0, h1)


@kernel
def sgd_steps(Ws: Arrays, bs: Arrays, WT: Arrays, X: Array, y: Array, batches: Array, learning_rate: float, l2: float,
              losses: Array, A: Arrays, delta: Arrays, dW: Arrays, db: Arrays, Z: Array) -> None:
    """Take a step of SGD for each minibatch, changing the weights and biases in place.

    Parameters
    ----------
    Ws, bs : tuple of array (D_l, H_l), tuple of array (H_l,)
        Weights and biases of each layer, C-contiguous.
    WT : tuple of array (H_l, D_l)
        Scratch for the weights transposed; (0, 0) for the first layer, which needs none.
    X : array (M, D)
    y : int64 array (M,)
        All samples, and their labels.
    batches : intp array (steps, N)
        Indices of the samples of each minibatch.
    learning_rate, l2 : float
        The penalty is 0.5 * l2 * sum(W^2).
    losses : float64 array (steps,)
        Receives the loss of each minibatch before its update.
    A, delta, dW, db, Z
        Scratch: tuples of (N, D_l), (N, H_l), (threads, SWEEP_ROWS, H_l), (H_l,), and an array (N, C).

    Raises
    ------
    ValueError
        If an index or a label is out of range; nothing has been changed then. Shapes are not checked: see
        :func:`fastnet.network.run_steps`.
    """
    steps, N = batches.shape
    depth = len(Ws)
    C = Z.shape[1]
    if y.shape[0] != X.shape[0]:
        raise ValueError("sgd_steps: y must have one label for each row of X")
    for n in range(y.shape[0]):
        if y[n] < 0 or y[n] >= C:
            raise ValueError("sgd_steps: labels in y must be integers from 0 to C - 1")
    for step in range(steps):
        for i in range(N):
            if batches[step, i] < 0 or batches[step, i] >= X.shape[0]:
                raise ValueError("sgd_steps: indices in batches must be from 0 to the number of samples - 1")
    labels = np.empty(N, np.intp)
    row_losses = np.empty(N, np.float64)
    maxima = np.empty(N, X.dtype)
    totals = np.empty(N, X.dtype)
    work = 0
    widest = 0
    for layer in range(depth):
        work += N * Ws[layer].size
        widest = max(widest, Ws[layer].shape[0])
    row_count = tile_shares(N, work)
    feature_count = min(tile_shares(widest, work), dW[0].shape[0])
    rate = X.dtype.type(learning_rate)
    penalty = X.dtype.type(l2)
    for layer in range(1, depth):
        for j in range(Ws[layer].shape[0]):
            for h in range(Ws[layer].shape[1]):
                WT[layer][h, j] = Ws[layer][j, h]
    for step in range(steps):
        batch = batches[step]
        if row_count == 1:
            row_sweep_block(Ws, bs, WT, X, y, batch, A, delta, Z, labels, row_losses, maxima, totals, FIRST, N)
        else:
            for t in prange(row_count):
                share = np.intp(t)
                row_sweep_block(Ws, bs, WT, X, y, batch, A, delta, Z, labels, row_losses, maxima, totals,
                                tile_share(share, row_count, N), tile_share(share + 1, row_count, N))
        loss = ordered_sum(row_losses) / N
        if l2 != 0:
            for layer in range(depth - 1, -1, -1):
                loss += 0.5 * l2 * sum_of_squares(Ws[layer].reshape(Ws[layer].size))
        losses[step] = loss
        if feature_count == 1:
            feature_sweep_block(Ws, bs, WT, A, delta, dW, db, rate, penalty, FIRST, FIRST + 1)
        else:
            for t in prange(feature_count):
                feature_sweep_block(Ws, bs, WT, A, delta, dW, db, rate, penalty, np.intp(t), feature_count)
