"""What a hidden layer does to its affine map, and how the gradient comes back through it: block functions, in place.

Formulas: :data:`fastnet.reference.ACTIVATIONS`. An activation is its index in ACTIVATIONS, or None for ReLU: what asks
for None is compiled without the others.
"""

from __future__ import annotations

from .compiling import block, inline
from .exponential import exp_nonpositive

__all__ = ["ACTIVATIONS", "activate_block", "activation_mask_block", "logistic_block", "relu_block", "relu_mask_block"]

ACTIVATIONS = ("relu", "tanh", "logistic", "identity")

_RELU, _TANH, _LOGISTIC = 0, 1, 2


@block
def relu_block(Z, rows, n):
    """Z[:rows, :n] = max(0, Z[:rows, :n]), written so that a NaN stays one."""
    zero = Z.dtype.type(0)
    for i in range(rows):
        row = Z[i, :n]
        for h in range(row.shape[0]):
            row[h] = zero if row[h] <= zero else row[h]


@block
def relu_mask_block(dZ, A, rows, n):
    """dZ[:rows, :n] *= A[:rows, :n] > 0; a product, so that a NaN in dZ stays one."""
    zero, one = dZ.dtype.type(0), dZ.dtype.type(1)
    for i in range(rows):
        row, mask = dZ[i, :n], A[i, :n]
        for j in range(row.shape[0]):
            row[j] *= one if mask[j] > zero else zero


@inline
def logistic_element(z, one):
    """1 / (1 + exp(-z)) by exponentials of nothing positive; `one` is 1 in the type of z."""
    e = exp_nonpositive(-abs(z))
    return (e if z < 0 else one) / (one + e)


@block
def logistic_block(Z, rows, n):
    """Z[:rows, :n] = 1 / (1 + exp(-Z[:rows, :n]))."""
    one = Z.dtype.type(1)
    for i in range(rows):
        row = Z[i, :n]
        for h in range(row.shape[0]):
            row[h] = logistic_element(row[h], one)


# tanh(x) = x + x^3 P(x^2) / Q(x^2) for |x| < 0.625, where (1 - e) / (1 + e) would lose digits: the rational function of
# Moshier's Cephes library, good for both dtypes.
_P = (-9.64399179425052238628e-1, -9.92877231001918586564e1, -1.61468768441708447952e3)
_Q = (1.12811678491632931402e2, 2.23548839060100448583e3, 4.84406305325125486048e3)
_NEAR = 0.625


@block
def tanh_block(Z, rows, n):
    """Z[:rows, :n] = tanh(Z[:rows, :n])."""
    one, near = Z.dtype.type(1), Z.dtype.type(_NEAR)
    p0, p1, p2 = Z.dtype.type(_P[0]), Z.dtype.type(_P[1]), Z.dtype.type(_P[2])
    q0, q1, q2 = Z.dtype.type(_Q[0]), Z.dtype.type(_Q[1]), Z.dtype.type(_Q[2])
    for i in range(rows):
        row = Z[i, :n]
        for h in range(row.shape[0]):
            x = row[h]
            size = abs(x)
            e = exp_nonpositive(-(size + size))
            far = (one - e) / (one + e)
            square = x * x
            close = x + x * square * ((p0 * square + p1) * square + p2) / (((square + q0) * square + q1) * square + q2)
            row[h] = close if size < near else (-far if x < 0 else far)


@block
def activate_block(Z, rows, n, activation):
    """Z[:rows, :n] = activation(Z[:rows, :n])."""
    if activation is None or activation == _RELU:
        relu_block(Z, rows, n)
    elif activation == _TANH:
        tanh_block(Z, rows, n)
    elif activation == _LOGISTIC:
        logistic_block(Z, rows, n)


@block
def activation_mask_block(dZ, A, rows, n, activation):
    """dZ[:rows, :n] *= the derivative of the activation, from its values A[:rows, :n]."""
    if activation is None or activation == _RELU:
        relu_mask_block(dZ, A, rows, n)
    elif activation == _TANH:
        one = dZ.dtype.type(1)
        for i in range(rows):
            row, values = dZ[i, :n], A[i, :n]
            for j in range(row.shape[0]):
                row[j] *= one - values[j] * values[j]
    elif activation == _LOGISTIC:
        one = dZ.dtype.type(1)
        for i in range(rows):
            row, values = dZ[i, :n], A[i, :n]
            for j in range(row.shape[0]):
                row[j] *= values[j] * (one - values[j])
