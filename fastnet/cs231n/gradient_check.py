"""Gradients by central differences, to check formulas with; the course's names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["eval_numerical_gradient", "eval_numerical_gradient_array", "grad_check_sparse", "rel_error"]

Array = NDArray[Any]


def rel_error(x: Any, y: Any) -> Any:
    """Return ``max |x - y| / max(1e-8, |x| + |y|)``, as the course's notebooks define it."""
    return np.max(np.abs(x - y) / np.maximum(1e-8, np.abs(x) + np.abs(y)))


def eval_numerical_gradient(f: Callable[[Array], Any], x: Array, verbose: bool = True, h: float = 1e-5) -> Array:
    """Return the gradient of a function of an array that returns a number.

    Parameters
    ----------
    f : callable
        Called with `x`, an element of which is changed, in place, for each call.
    x : float array
        Where; it is as it was afterwards.
    verbose : bool, default True
        Whether to print each element's index and slope.
    h : float, default 1e-5
        Half the distance between the two points.
    """
    grad = np.zeros_like(x)
    for index in np.ndindex(*x.shape):
        upper, lower = _both_sides(f, x, index, h)
        grad[index] = (upper - lower) / (2 * h)
        if verbose:
            print(index, grad[index])
    return grad


def eval_numerical_gradient_array(f: Callable[[Array], Any], x: Array, df: Array, h: float = 1e-5) -> Array:
    """Return the gradient of sum(f(x) * df), where f returns an array.

    Parameters
    ----------
    f, x, h
        As for `eval_numerical_gradient`.
    df : array of the shape of f(x)
        The gradient with respect to f(x).
    """
    grad = np.zeros_like(x)
    for index in np.ndindex(*x.shape):
        upper, lower = _both_sides(lambda value: np.array(f(value)), x, index, h)
        grad[index] = np.sum((upper - lower) * df) / (2 * h)
    return grad


def grad_check_sparse(f: Callable[[Array], Any], x: Array, analytic_grad: Array, num_checks: int = 10,
                      h: float = 1e-5) -> None:
    """Print how far a gradient is from the numerical one at some elements, drawn by Python's `random`.

    Parameters
    ----------
    f, x, h
        As for `eval_numerical_gradient`.
    analytic_grad : array of the shape of x
    num_checks : int, default 10
    """
    from random import randrange

    for _ in range(num_checks):
        index = tuple(randrange(size) for size in x.shape)
        upper, lower = _both_sides(f, x, index, h)
        numerical, analytic = (upper - lower) / (2 * h), analytic_grad[index]
        error = abs(numerical - analytic) / (abs(numerical) + abs(analytic))
        print(f"numerical: {numerical:f} analytic: {analytic:f}, relative error: {error:e}")


def _both_sides(f: Callable[[Array], Any], x: Array, index: tuple[int, ...], h: float) -> tuple[Any, Any]:
    """Return f a step above and a step below, in one element."""
    old = x[index]
    try:
        x[index] = old + h
        upper = f(x)
        x[index] = old - h
        return upper, f(x)
    finally:
        x[index] = old
