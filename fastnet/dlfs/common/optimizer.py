"""The book's optimizers: ``update(params, grads)`` changes the arrays in the dict `params` in place.

The Trainer takes these steps in compiled code where it can (:mod:`fastnet.dlfs.common.trainer`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["SGD", "AdaGrad", "Adam", "Momentum", "Nesterov", "RMSprop"]

Arrays = dict[str, NDArray[Any]]


def _zeros(params: Arrays) -> Arrays:
    return {name: np.zeros_like(array) for name, array in params.items()}


class SGD:
    """w -= lr * g."""

    def __init__(self, lr: float = 0.01) -> None:
        self.lr = lr

    def update(self, params: Arrays, grads: Arrays) -> None:
        """Take a step."""
        for name, w in params.items():
            w -= self.lr * grads[name]


class Momentum:
    """v = momentum * v - lr * g, w += v."""

    def __init__(self, lr: float = 0.01, momentum: float = 0.9) -> None:
        self.lr, self.momentum = lr, momentum
        self.v: Arrays | None = None

    def update(self, params: Arrays, grads: Arrays) -> None:
        """Take a step."""
        if self.v is None:
            self.v = _zeros(params)
        for name, w in params.items():
            self.v[name] = self.momentum * self.v[name] - self.lr * grads[name]
            w += self.v[name]


class Nesterov(Momentum):
    """w += momentum^2 * v - (1 + momentum) * lr * g, then v = momentum * v - lr * g."""

    def update(self, params: Arrays, grads: Arrays) -> None:
        """Take a step."""
        if self.v is None:
            self.v = _zeros(params)
        for name, w in params.items():
            v = self.v[name]
            w += self.momentum * self.momentum * v - (1 + self.momentum) * self.lr * grads[name]
            self.v[name] = self.momentum * v - self.lr * grads[name]


class AdaGrad:
    """h += g^2, w -= lr * g / (sqrt(h) + 1e-7)."""

    def __init__(self, lr: float = 0.01) -> None:
        self.lr = lr
        self.h: Arrays | None = None

    def update(self, params: Arrays, grads: Arrays) -> None:
        """Take a step."""
        if self.h is None:
            self.h = _zeros(params)
        for name, w in params.items():
            self.h[name] += np.square(grads[name])
            w -= self.lr * grads[name] / (np.sqrt(self.h[name]) + 1e-7)


class RMSprop:
    """h = decay_rate * h + (1 - decay_rate) * g^2, w -= lr * g / (sqrt(h) + 1e-7)."""

    def __init__(self, lr: float = 0.01, decay_rate: float = 0.99) -> None:
        self.lr, self.decay_rate = lr, decay_rate
        self.h: Arrays | None = None

    def update(self, params: Arrays, grads: Arrays) -> None:
        """Take a step."""
        if self.h is None:
            self.h = _zeros(params)
        for name, w in params.items():
            self.h[name] *= self.decay_rate
            self.h[name] += (1 - self.decay_rate) * np.square(grads[name])
            w -= self.lr * grads[name] / (np.sqrt(self.h[name]) + 1e-7)


class Adam:
    """m += (1 - beta1) (g - m), v += (1 - beta2) (g^2 - v), w -= lr_t * m / (sqrt(v) + 1e-7).

    lr_t = lr * sqrt(1 - beta2^iter) / (1 - beta1^iter), with iter counted from 1 (Kingma and Ba, arXiv 1412.6980).
    """

    def __init__(self, lr: float = 0.001, beta1: float = 0.9, beta2: float = 0.999) -> None:
        self.lr, self.beta1, self.beta2, self.iter = lr, beta1, beta2, 0
        self.m: Arrays | None = None
        self.v: Arrays | None = None

    def update(self, params: Arrays, grads: Arrays) -> None:
        """Take a step."""
        if self.m is None or self.v is None:
            self.m, self.v = _zeros(params), _zeros(params)
        self.iter += 1
        rate = self.lr * np.sqrt(1.0 - self.beta2**self.iter) / (1.0 - self.beta1**self.iter)
        for name, w in params.items():
            self.m[name] += (1 - self.beta1) * (grads[name] - self.m[name])
            self.v[name] += (1 - self.beta2) * (np.square(grads[name]) - self.v[name])
            w -= rate * self.m[name] / (np.sqrt(self.v[name]) + 1e-7)
