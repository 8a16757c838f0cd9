"""Two layers at a time, as the course has them."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike

from . import layers
from .layers import *  # noqa: F403 (the course's has them, too)
from .layers import Array, affine_backward, affine_forward, relu_backward, relu_forward

__all__ = ["affine_relu_backward", "affine_relu_forward", *layers.__all__]


def affine_relu_forward(x: ArrayLike, w: ArrayLike, b: ArrayLike) -> tuple[Array, tuple[Any, Any]]:
    """Return max(0, x w + b), and the caches of both layers; arguments are those of `layers.affine_forward`."""
    a, fc_cache = affine_forward(x, w, b)
    out, relu_cache = relu_forward(a)
    return out, (fc_cache, relu_cache)


def affine_relu_backward(dout: ArrayLike, cache: tuple[Any, Any]) -> tuple[Array, Array, Array]:
    """Return the gradients of x, w and b, given that of the output."""
    fc_cache, relu_cache = cache
    return affine_backward(relu_backward(dout, relu_cache), fc_cache)
