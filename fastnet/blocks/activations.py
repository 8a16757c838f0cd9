"""What a hidden layer does to its affine map, and how the gradient comes back through it: block functions, in place.

They work on vectors: what lies in a row is taken at once, however many rows of a matrix that is.

Formulas: :data:`fastnet.reference.ACTIVATIONS`. An activation is its index in ACTIVATIONS, or None for ReLU: what asks
for None is compiled without the others.
"""

from __future__ import annotations

from ..jit.decorators import block, inline
from ..llvm.arrays import flat, runs
from ..llvm.exponential import exp_nonpositive

__all__ = ["ACTIVATIONS", "activate_block", "activate_rows_block", "activation_mask_block", "logistic_block",
           "relu_block", "relu_into_block", "relu_mask_block", "relu_mask_into_block"]

ACTIVATIONS = ("relu", "tanh", "logistic", "identity")

_RELU, _TANH, _LOGISTIC = 0, 1, 2


@inline
def relu_element(z, zero):
    """max(0, z), a NaN for a NaN, never -0; `zero` is 0 in the type of z.

    As a condition LLVM would make it one store in place for each element that is not above 0, and no vectors.
    """
    return max(z, zero) + zero


@inline
def relu_mask_element(dz, a, zero, one):
    """dz * (a > 0); a product, so that a NaN in dz stays one."""
    return dz * (one if a > zero else zero)


# Each twice: in place, and into another array. LLVM makes vectors of a loop over two arrays only where they are apart.


@block
def relu_block(z):
    """z = max(0, z)."""
    zero = z.dtype.type(0)
    for h in range(z.shape[0]):
        z[h] = relu_element(z[h], zero)


@block
def relu_into_block(z, a):
    """a = max(0, z)."""
    zero = z.dtype.type(0)
    for h in range(z.shape[0]):
        a[h] = relu_element(z[h], zero)


@block
def relu_mask_block(dz, a):
    """dz *= a > 0."""
    zero, one = dz.dtype.type(0), dz.dtype.type(1)
    for h in range(dz.shape[0]):
        dz[h] = relu_mask_element(dz[h], a[h], zero, one)


@block
def relu_mask_into_block(da, a, dz):
    """dz = da * (a > 0)."""
    zero, one = dz.dtype.type(0), dz.dtype.type(1)
    for h in range(dz.shape[0]):
        dz[h] = relu_mask_element(da[h], a[h], zero, one)


@inline
def logistic_element(z, one):
    """1 / (1 + exp(-z)) by exponentials of nothing positive; `one` is 1 in the type of z."""
    e = exp_nonpositive(-abs(z))
    return (e if z < 0 else one) / (one + e)


@block
def logistic_block(z):
    """z = 1 / (1 + exp(-z))."""
    one = z.dtype.type(1)
    for h in range(z.shape[0]):
        z[h] = logistic_element(z[h], one)


# tanh(x) = x + x^3 P(x^2) / Q(x^2) for |x| < 0.625, where (1 - e) / (1 + e) would lose digits: the rational function of
# Moshier's Cephes library, good for both dtypes.
_P = (-9.64399179425052238628e-1, -9.92877231001918586564e1, -1.61468768441708447952e3)
_Q = (1.12811678491632931402e2, 2.23548839060100448583e3, 4.84406305325125486048e3)
_NEAR = 0.625


@block
def tanh_block(z):
    """z = tanh(z)."""
    one, near = z.dtype.type(1), z.dtype.type(_NEAR)
    p0, p1, p2 = z.dtype.type(_P[0]), z.dtype.type(_P[1]), z.dtype.type(_P[2])
    q0, q1, q2 = z.dtype.type(_Q[0]), z.dtype.type(_Q[1]), z.dtype.type(_Q[2])
    for h in range(z.shape[0]):
        x = z[h]
        size = abs(x)
        e = exp_nonpositive(-(size + size))
        far = (one - e) / (one + e)
        square = x * x
        close = x + x * square * ((p0 * square + p1) * square + p2) / (((square + q0) * square + q1) * square + q2)
        z[h] = close if size < near else (-far if x < 0 else far)


@block
def activate_block(z, activation):
    """z = activation(z)."""
    if activation is None or activation == _RELU:
        relu_block(z)
    elif activation == _TANH:
        tanh_block(z)
    elif activation == _LOGISTIC:
        logistic_block(z)


@block
def activate_rows_block(Z, rows, n, activation):
    """Z[:rows, :n] = activation(Z[:rows, :n])."""
    width = Z.shape[1]
    lines, count = runs(rows, n, width)
    for i in range(lines):
        activate_block(flat(Z, i * width, count), activation)


@block
def activation_mask_block(dz, a, activation):
    """dz *= the derivative of the activation, from its values a."""
    if activation is None or activation == _RELU:
        relu_mask_block(dz, a)
    elif activation == _TANH:
        one = dz.dtype.type(1)
        for h in range(dz.shape[0]):
            dz[h] *= one - a[h] * a[h]
    elif activation == _LOGISTIC:
        one = dz.dtype.type(1)
        for h in range(dz.shape[0]):
            dz[h] *= a[h] * (one - a[h])
