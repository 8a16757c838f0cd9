"""How a step changes parameters: block functions, in place, on a tile that is still in the cache.

Formulas: :mod:`fastnet.reference`. An optimizer is an :class:`Optimizer`, or None for plain SGD: what asks for None is
compiled without the others.
"""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple

from ..jit.decorators import block, inline
from ..llvm.arrays import flat, runs

__all__ = ["ADAM", "MOMENTUM", "NESTEROV", "Optimizer", "axpy_block", "update_block"]

MOMENTUM, NESTEROV, ADAM = 0, 1, 2


class Optimizer(NamedTuple):
    """A kind of optimizer and its constants; RMSprop is Adam with beta_1 = 0 and a rate without corrections.

    `beta_1` is the momentum, where there is but one; 0 is plain SGD. `epsilon` is that of steps that have none of their
    own.
    """

    kind: int
    beta_1: float
    beta_2: float = 0.0
    epsilon: float = 0.0

    @property
    def moments(self) -> int:
        """How many numbers it keeps for each parameter."""
        return 2 if self.kind == ADAM else 1


@inline
def axpy_element(alpha, x, y):
    """y + alpha x, rounded twice as NumPy does it."""
    return y + alpha * x


@block
def axpy_block(alpha, X, Y, start, stop):
    """Y[start:stop] += alpha * X[start:stop]."""
    x, y = X[start:stop], Y[start:stop]
    for n in range(y.shape[0]):
        y[n] = axpy_element(alpha, x[n], y[n])


@block
def sgd_block(g, w, learning_rate, penalty):
    """w -= learning_rate * (g + penalty * w). What of penalty = 0 is left out."""
    rate = -learning_rate
    if penalty != 0:
        for h in range(w.shape[0]):
            w[h] = axpy_element(rate, axpy_element(penalty, w[h], g[h]), w[h])
    else:
        for h in range(w.shape[0]):
            w[h] = axpy_element(rate, g[h], w[h])


@block
def gradient_of_penalty_block(g, w, penalty):
    """w = g + penalty * w: the gradient of loss and penalty, in the place of the weights."""
    if penalty != 0:
        for h in range(w.shape[0]):
            w[h] = axpy_element(penalty, w[h], g[h])
    else:
        for h in range(w.shape[0]):
            w[h] = g[h]


@block
def momentum_block(g, w, v, learning_rate, penalty, momentum, nesterov):
    """v = momentum * v - learning_rate * (g + penalty * w), w += v or what Nesterov adds."""
    for h in range(w.shape[0]):
        step = learning_rate * axpy_element(penalty, w[h], g[h])
        velocity = momentum * v[h] - step
        v[h] = velocity
        w[h] += momentum * velocity - step if nesterov else velocity


@block
def adam_block(g, w, m, v, rate, epsilon, penalty, optimizer):
    """A step of Adam with the gradient g + penalty * w, whose moments are m and v."""
    beta_1, rest_1 = w.dtype.type(optimizer.beta_1), w.dtype.type(1 - optimizer.beta_1)
    beta_2, rest_2 = w.dtype.type(optimizer.beta_2), w.dtype.type(1 - optimizer.beta_2)
    for h in range(w.shape[0]):
        slope = axpy_element(penalty, w[h], g[h])
        first = beta_1 * m[h] + rest_1 * slope
        second = beta_2 * v[h] + rest_2 * (slope * slope)
        m[h] = first
        v[h] = second
        w[h] -= rate * first / (sqrt(second) + epsilon)


@block
def update_block(gradient, g0, W, first, second, i0, i1, j, n, rate, epsilon, penalty, optimizer,
                 only_gradients):
    """Change W by a step on the rows i0 to i1 and the columns from j to j + n, or to the gradient if `only_gradients`.

    Row i0 of W belongs to row g0 of the gradient, to which penalty * W is added. `first` and `second` are the moments
    of the optimizer, where it has them, of the shape of W.
    """
    width, columns = gradient.shape[1], W.shape[1]
    rows, count = runs(i1 - i0, n, max(width, columns))
    for i in range(rows):
        at = (i0 + i) * columns + j
        g, w = flat(gradient, (g0 + i) * width + j, count), flat(W, at, count)
        if only_gradients:
            gradient_of_penalty_block(g, w, penalty)
        elif optimizer is None:
            sgd_block(g, w, rate, penalty)
        elif optimizer.kind == ADAM:
            adam_block(g, w, flat(first, at, count), flat(second, at, count), rate, epsilon, penalty, optimizer)
        else:
            momentum_block(g, w, flat(first, at, count), rate, penalty, W.dtype.type(optimizer.beta_1),
                           optimizer.kind == NESTEROV)
