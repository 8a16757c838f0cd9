"""The book's layers: objects with `forward` and `backward`, which keep what backward needs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ... import checks, kernels
from .functions import cross_entropy_error, sigmoid, softmax

__all__ = ["Affine", "Layer", "Relu", "Sigmoid", "SoftmaxWithLoss"]

Array = NDArray[Any]


def _matrix(array: ArrayLike) -> Array:
    """A matrix as kernels take it."""
    return checks.writable(checks.computable(np.asarray(array).view(), np.dtype(np.float64)))


class Layer:
    """What all layers share: what forward keeps for backward may be made when somebody asks for it.

    A network that has its scores from compiled code calls no layer. It has `forward_again` in each, which takes the
    same samples through all of them.
    """

    kept: ClassVar[tuple[str, ...]] = ()
    """Names of what forward keeps."""
    forward_again: Callable[[], Any] | None = None

    def forget(self, forward_again: Callable[[], Any]) -> None:
        """Keep nothing; what is asked for is made then."""
        for name in self.kept:
            vars(self).pop(name, None)
        self.forward_again = forward_again

    def __getattr__(self, name: str) -> Any:
        forward_again = vars(self).get("forward_again")
        if name in type(self).kept and forward_again is not None:
            forward_again()
            if name in vars(self):
                return vars(self)[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


class Relu(Layer):
    """max(0, x)."""

    kept = ("mask",)

    def __init__(self) -> None:
        self.mask: Any = None

    def forward(self, x: Array) -> Array:
        """Return max(0, x)."""
        self.mask = x <= 0
        return np.where(self.mask, 0, x)

    def backward(self, dout: Array) -> Array:
        """Return dout where x was above 0."""
        return np.where(self.mask, 0, dout)


class Sigmoid(Layer):
    """1 / (1 + exp(-x))."""

    kept = ("out",)

    def __init__(self) -> None:
        self.out: Any = None

    def forward(self, x: Array) -> Array:
        """Return 1 / (1 + exp(-x))."""
        self.out = sigmoid(x)
        return self.out

    def backward(self, dout: Array) -> Array:
        """Return dout (1 - out) out."""
        return dout * (1.0 - self.out) * self.out


class Affine(Layer):
    """x W + b, each sample of x as a row.

    Parameters
    ----------
    W : array (D, M)
    b : array (M,)
        Both are kept as they are: changes in place are seen.
    """

    kept = ("x", "original_x_shape")

    def __init__(self, W: Array, b: Array) -> None:
        self.W, self.b = W, b
        self.x: Any = None
        self.original_x_shape: Any = None
        self.dW: Any = None
        self.db: Any = None

    def forward(self, x: Array) -> Array:
        """Return x W + b, (N, M)."""
        self.original_x_shape = x.shape
        self.x = _matrix(x.reshape(len(x), math.prod(x.shape[1:])))
        return kernels.affine_forward(self.x, _matrix(self.W), _matrix(self.b))

    def backward(self, dout: Array) -> Array:
        """Return the gradient of x; those of W and b are kept in `dW` and `db`."""
        delta, W = _matrix(dout), _matrix(self.W)
        self.dW, self.db = kernels.weight_gradient(self.x, delta), kernels.bias_gradient(delta)
        dx = kernels.affine_forward(delta, np.ascontiguousarray(W.T), np.zeros(len(W)))
        return dx.reshape(self.original_x_shape)


class SoftmaxWithLoss(Layer):
    """Softmax, and the mean of -log(p + 1e-7) at the labels; its gradient is that without 1e-7."""

    kept = ("loss", "y", "t")

    def __init__(self) -> None:
        self.loss: Any = None
        self.y: Any = None
        self.t: Any = None

    def forward(self, x: Array, t: ArrayLike) -> Any:
        """Return the loss of scores (N, C), given labels (N,) or one-hot rows (N, C)."""
        self.t, self.y = np.asarray(t), softmax(x)
        self.loss = cross_entropy_error(self.y, self.t)
        return self.loss

    def backward(self, dout: float = 1) -> Array:  # noqa: ARG002 (the book's has it, and does not use it either)
        """Return (p - onehot) / N."""
        samples = len(self.t)
        if self.t.size == self.y.size:
            return (self.y - self.t) / samples
        dx = self.y.copy()
        dx[np.arange(samples), self.t] -= 1
        return dx / samples
