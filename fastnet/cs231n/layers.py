"""The layers of the course, forward and backward: each forward function returns its output and what backward needs.

Affine maps, ReLU and softmax are the public kernels; the rest is NumPy, a few passes over the data, as these cost far
less than a product. Arrays are float32 where all of a call are, else float64. Formulas: the course's notes, and for
batch and layer normalization Ioffe and Szegedy (arXiv 1502.03167) and Ba, Kiros and Hinton (arXiv 1607.06450).

Shape letters: N samples, D features of a sample (its own shape may have several dimensions), M outputs, C classes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import checks, kernels

__all__ = ["affine_backward", "affine_forward", "batchnorm_backward", "batchnorm_backward_alt", "batchnorm_forward",
           "dropout_backward", "dropout_forward", "layernorm_backward", "layernorm_forward", "relu_backward",
           "relu_forward", "softmax_loss", "svm_loss"]

Array = NDArray[Any]
Config = dict[str, Any]


def _floats(**named: ArrayLike) -> list[Array]:
    """Return arrays as kernels take them, in views that nobody else has: float32 if all are, else float64."""
    arrays = []
    for name, value in named.items():
        array = np.asarray(value)
        if array.dtype.kind not in "buif":
            raise TypeError(f"{name} must be an array of real numbers, got {checks.shortened(value)}")
        arrays.append(array.view())
    dtype = np.dtype(np.float32 if all(array.dtype == np.float32 for array in arrays) else np.float64)
    return [checks.writable(checks.computable(array, dtype)) for array in arrays]


def _rows(name: str, array: Array) -> Array:
    """An array of samples as a matrix, a sample a row."""
    if array.ndim < 2 or array.size == 0:
        raise ValueError(f"{name} must have at least one sample and one feature, (samples, features), got shape "
                         f"{array.shape}")
    return array.reshape(len(array), math.prod(array.shape[1:]))


def _expect(name: str, array: Array, shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}")


def affine_forward(x: ArrayLike, w: ArrayLike, b: ArrayLike) -> tuple[Array, tuple[Any, Any, Any]]:
    """Return x w + b, each sample of x as a row of D numbers.

    Parameters
    ----------
    x : array_like (N, d_1, ..., d_k)
    w : array_like (D, M)
        D is the product of d_1 to d_k.
    b : array_like (M,)

    Returns
    -------
    out : array (N, M)
    cache : (x, w, b)

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.
    """
    X, W, B = _floats(x=x, w=w, b=b)
    X = _rows("x", X)
    if W.ndim != 2 or W.shape[0] != X.shape[1]:
        raise ValueError(f"w must be a matrix with a row for each of the {X.shape[1]} features of x, got shape "
                         f"{W.shape}")
    _expect("b", B, W.shape[1:])
    return kernels.affine_forward(X, W, B), (x, w, b)


def affine_backward(dout: ArrayLike, cache: tuple[Any, Any, Any]) -> tuple[Array, Array, Array]:
    """Return the gradients of x, w and b, given that of the output, (N, M).

    Returns
    -------
    dx : array (N, d_1, ..., d_k)
    dw : array (D, M)
    db : array (M,)
    """
    x, w, b = cache
    delta, X, W = _floats(dout=dout, x=x, w=w)
    shape, X = X.shape, _rows("x", X)
    _expect("dout", delta, (len(X), W.shape[1]))
    dx = kernels.affine_forward(delta, np.ascontiguousarray(W.T), np.zeros(len(W), W.dtype))
    return dx.reshape(shape), kernels.weight_gradient(X, delta), kernels.bias_gradient(delta).reshape(np.shape(b))


def relu_forward(x: ArrayLike) -> tuple[Array, Any]:
    """Return max(0, x), elementwise, for an array of any shape; the cache is x."""
    (X,) = _floats(x=x)
    return (kernels.relu(X.reshape(1, -1)).reshape(X.shape) if X.size else X.copy()), x


def relu_backward(dout: ArrayLike, cache: Any) -> Array:
    """Return dout where x > 0, and 0 elsewhere."""
    delta, X = _floats(dout=dout, x=cache)
    _expect("dout", delta, X.shape)
    return kernels.relu_mask(delta.reshape(1, -1), X.reshape(1, -1)).reshape(X.shape) if X.size else delta.copy()


def softmax_loss(x: ArrayLike, y: ArrayLike) -> tuple[Any, Array]:
    """Return the mean cross-entropy of softmax(x) with the labels y, and its gradient.

    Parameters
    ----------
    x : array_like (N, C)
        Scores.
    y : array_like of int (N,)
        Labels from 0 to C - 1.

    Returns
    -------
    loss : NumPy scalar
    dx : array (N, C)
        (softmax(x) - onehot(y)) / N.
    """
    scores, labels = _scores_and_labels(x, y)
    loss, dx = kernels.softmax_cross_entropy(scores, labels)
    return scores.dtype.type(loss), dx


def svm_loss(x: ArrayLike, y: ArrayLike) -> tuple[Any, Array]:
    """Return the multiclass hinge loss, the mean over samples of sum_{c != y} max(0, x_c - x_y + 1), and its gradient.

    Parameters and results are those of `softmax_loss`.
    """
    scores, labels = _scores_and_labels(x, y)
    rows = np.arange(len(scores))
    margins = np.maximum(0, scores - scores[rows, labels, np.newaxis] + 1)
    margins[rows, labels] = 0
    dx = (margins > 0).astype(scores.dtype)
    dx[rows, labels] -= dx.sum(axis=1)
    return margins.sum() / len(scores), dx / len(scores)


def _scores_and_labels(x: ArrayLike, y: ArrayLike) -> tuple[Array, NDArray[np.int64]]:
    (scores,) = _floats(x=x)
    if scores.ndim != 2 or scores.size == 0:
        raise ValueError(f"x must be a matrix of scores, (samples, classes), got shape {scores.shape}")
    return scores, checks.labels(y, "y", samples=len(scores), classes=scores.shape[1])


def dropout_forward(x: ArrayLike, dropout_param: Config) -> tuple[Array, tuple[Config, Array | None]]:
    """Keep each element with probability p, divided by p; in test mode all as they are (inverted dropout).

    Parameters
    ----------
    x : array_like of any shape
    dropout_param : dict
        ``p``: the probability to keep; ``mode``: "train" or "test"; ``seed``, optional: NumPy's global generator is
        seeded with it in each call, in both modes, as the course's does it.

    Returns
    -------
    out : array of the shape of x
    cache : (dropout_param, mask)
        The mask is None in test mode.
    """
    p, mode = checks.number(dropout_param["p"], "dropout_param['p']"), _mode(dropout_param, "dropout")
    if not 0 < p <= 1:
        raise ValueError(f"dropout_param['p'] is the probability to keep, above 0 and at most 1, got {p:g}")
    (X,) = _floats(x=x)
    if "seed" in dropout_param:
        np.random.seed(dropout_param["seed"])
    if mode == "test":
        return np.asarray(x), (dropout_param, None)
    mask = (np.random.rand(*X.shape) < p) / p
    return (X * mask).astype(X.dtype, copy=False), (dropout_param, mask)


def dropout_backward(dout: ArrayLike, cache: tuple[Config, Array | None]) -> Array:
    """Return the gradient of x: dout times the mask, in the dtype of dout; in test mode dout itself."""
    mask = cache[1]
    if mask is None:
        return np.asarray(dout)
    (delta,) = _floats(dout=dout)
    return (delta * mask).astype(delta.dtype, copy=False)


def _mode(config: Config, layer: str) -> str:
    mode = config.get("mode")
    if mode not in ("train", "test"):
        raise ValueError(f"{layer}_param['mode'] must be 'train' or 'test', got {checks.shortened(mode)}")
    return str(mode)


def _normal_arguments(x: ArrayLike, gamma: ArrayLike, beta: ArrayLike) -> list[Array]:
    X, scale, shift = _floats(x=x, gamma=gamma, beta=beta)
    if X.ndim != 2 or X.size == 0:
        raise ValueError(f"x must be a matrix, (samples, features), got shape {X.shape}")
    _expect("gamma", scale, X.shape[1:])
    _expect("beta", shift, X.shape[1:])
    return [X, scale, shift]


def batchnorm_forward(x: ArrayLike, gamma: ArrayLike, beta: ArrayLike, bn_param: Config) -> tuple[Array, Any]:
    """Normalize each feature over the samples (mode "train"), or by its running mean and variance (mode "test").

    Parameters
    ----------
    x : array_like (N, D)
    gamma, beta : array_like (D,)
        Scale and shift.
    bn_param : dict
        ``mode``: "train" or "test"; ``eps``, default 1e-5; ``momentum``, default 0.9. ``running_mean`` and
        ``running_var``, (D,), begin as zeros and are kept here: running = momentum * running + (1 - momentum) * value.

    Returns
    -------
    out : array (N, D)
    cache
        For `batchnorm_backward`, in train mode; else None.
    """
    mode = _mode(bn_param, "bn")
    eps = checks.number(bn_param.get("eps", 1e-5), "bn_param['eps']", minimum=0)
    momentum = checks.number(bn_param.get("momentum", 0.9), "bn_param['momentum']")
    X, scale, shift = _normal_arguments(x, gamma, beta)
    running = []
    for name in ("running_mean", "running_var"):
        running.append(np.asarray(bn_param.get(name, np.zeros(X.shape[1], X.dtype))))
        _expect(f"bn_param[{name!r}]", running[-1], X.shape[1:])
    if mode == "test":
        mean, variance = running
        out, cache = scale * ((X - mean) / np.sqrt(variance + eps)) + shift, None
        out = out.astype(X.dtype, copy=False)
    else:
        mean = X.mean(axis=0)
        centered = X - mean
        variance = np.square(centered).mean(axis=0)
        root = np.sqrt(variance + X.dtype.type(eps))
        normal = np.divide(centered, root, out=centered)
        out, cache = scale * normal + shift, (normal, scale, root)
        running = [momentum * old + (1 - momentum) * new for old, new in zip(running, (mean, variance), strict=True)]
    bn_param["running_mean"], bn_param["running_var"] = running
    return out, cache


def batchnorm_backward(dout: ArrayLike, cache: Any) -> tuple[Array, Array, Array]:
    """Return the gradients of x (N, D), gamma (D,) and beta (D,), given that of the output."""
    if cache is None:
        raise ValueError("cache must be that of batchnorm_forward in train mode, got that of test mode")
    delta, dx, dgamma, dbeta = _normal_gradients(dout, cache)
    _, scale, root = cache
    # The mean and the variance are of all samples, so each gets a part of what the others' gradients are.
    dx = delta - (dbeta + dx * dgamma) / len(delta)
    dx *= scale / root
    return dx, dgamma, dbeta


batchnorm_backward_alt = batchnorm_backward
"""The course asks for this formula twice: once step by step, once simplified."""


def layernorm_forward(x: ArrayLike, gamma: ArrayLike, beta: ArrayLike, ln_param: Config) -> tuple[Array, Any]:
    """Normalize each sample over its features, in training as in tests.

    Parameters
    ----------
    x : array_like (N, D)
    gamma, beta : array_like (D,)
        Scale and shift.
    ln_param : dict
        ``eps``, default 1e-5.

    Returns
    -------
    out : array (N, D)
    cache
        For `layernorm_backward`.
    """
    eps = checks.number(ln_param.get("eps", 1e-5), "ln_param['eps']", minimum=0)
    X, scale, shift = _normal_arguments(x, gamma, beta)
    centered = X - X.mean(axis=1, keepdims=True)
    root = np.sqrt(np.square(centered).mean(axis=1, keepdims=True) + X.dtype.type(eps))
    normal = np.divide(centered, root, out=centered)
    return scale * normal + shift, (normal, scale, root)


def layernorm_backward(dout: ArrayLike, cache: Any) -> tuple[Array, Array, Array]:
    """Return the gradients of x (N, D), gamma (D,) and beta (D,), given that of the output."""
    delta, normal, dgamma, dbeta = _normal_gradients(dout, cache)
    _, scale, root = cache
    slope = delta * scale
    dx = slope - slope.mean(axis=1, keepdims=True) - normal * (slope * normal).mean(axis=1, keepdims=True)
    dx /= root
    return dx, dgamma, dbeta


def _normal_gradients(dout: ArrayLike, cache: Any) -> tuple[Array, Array, Array, Array]:
    """The gradient of the output, what has been normalized, and the gradients of scale and shift."""
    normal = cache[0]
    delta = np.asarray(dout, normal.dtype)
    _expect("dout", delta, normal.shape)
    return delta, normal, (delta * normal).sum(axis=0), delta.sum(axis=0)
