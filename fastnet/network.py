"""The network as a list of layers, and its two passes: a kernel a line.

Two layers are the flagship; nothing here depends on their number. Input is trusted: :mod:`fastnet.checks` has seen it.

Shape letters: N samples, D inputs, H hidden units, C classes. A layer is (W, b), of shapes (D, H) and (H,).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import kernels
from .checks import Layer, writable
from .threads import get_num_threads

__all__ = ["forward", "loss_and_grads", "run_steps", "scores", "sgd_step"]

_CHUNK_WORK = 400_000_000
"""Multiply-adds of one chunk of rows in `scores`: some milliseconds: little memory, and a short wait for Ctrl-C."""


def forward(layers: Sequence[Layer], X: NDArray[Any]) -> list[NDArray[Any]]:
    """Return the input, the activation of each hidden layer, and the scores: A_0 = X, A_1, ..., Z_L."""
    A = [X]
    for W, b in layers[:-1]:
        A.append(kernels.relu(kernels.affine_forward(A[-1], W, b)))
    W, b = layers[-1]
    A.append(kernels.affine_forward(A[-1], W, b))
    return A


def loss_and_grads(layers: Sequence[Layer], X: NDArray[Any], y: NDArray[np.int64],
                   l2: float) -> tuple[float, list[Layer]]:
    """Return the mean cross-entropy plus 0.5 * l2 * sum(W^2), and its gradient for each layer.

    Parameters
    ----------
    layers : sequence of (W, b)
    X : array (N, D)
    y : int64 array (N,)
    l2 : float
        Strength of the L2 penalty on the weights; biases have none.
    """
    *A, Z = forward(layers, X)
    loss, delta = kernels.softmax_cross_entropy(Z, y)
    grads: list[Layer] = []
    for index in reversed(range(len(layers))):
        W, _ = layers[index]
        dW, db = kernels.weight_gradient(A[index], delta), kernels.bias_gradient(delta)
        if l2:
            loss += 0.5 * l2 * kernels.sum_of_squares(W.reshape(-1))
            kernels.axpy(l2, W.reshape(-1), dW.reshape(-1))
        grads.append((dW, db))
        if index:
            delta = kernels.propagate_delta(delta, W, A[index])
    return float(loss), grads[::-1]


def sgd_step(layers: Sequence[Layer], grads: Sequence[Layer], learning_rate: float) -> None:
    """W -= learning_rate * dW and b -= learning_rate * db, in place."""
    for layer, gradient in zip(layers, grads, strict=True):
        for parameter, slope in zip(layer, gradient, strict=True):
            kernels.axpy(-learning_rate, slope.reshape(-1), parameter.reshape(-1))


def run_steps(layers: Sequence[Layer], X: NDArray[Any], y: NDArray[np.int64], batches: NDArray[np.intp],
              learning_rate: float, l2: float) -> NDArray[np.float64]:
    """Take a step of SGD for each minibatch in one compiled call; return the loss of each before its update.

    The same numbers, to the bit, as `loss_and_grads` and `sgd_step` in turn.

    Parameters
    ----------
    layers : sequence of (W, b)
        Changed in place.
    X : array (M, D)
    y : int64 array (M,)
    batches : intp array (steps, N)
        Indices of the samples of each minibatch.
    learning_rate, l2 : float
    """
    Ws, bs = (tuple(arrays) for arrays in zip(*layers, strict=True))
    N, dtype, threads = batches.shape[1], X.dtype, get_num_threads()
    widths = [W.shape for W in Ws]
    losses = np.empty(len(batches))
    kernels.sgd_steps(
        Ws, bs, tuple(np.empty((H, D) if layer else (0, 0), dtype) for layer, (D, H) in enumerate(widths)),
        X, y, batches, learning_rate, l2, losses,
        tuple(np.empty((N, D), dtype) for D, _ in widths), tuple(np.empty((N, H), dtype) for _, H in widths),
        tuple(np.empty((threads, kernels.SWEEP_ROWS, H), dtype) for _, H in widths),
        tuple(np.empty(H, dtype) for _, H in widths), np.empty((N, widths[-1][1]), dtype))
    return losses


def scores(layers: Sequence[Layer], X: NDArray[Any], checkpoint: Callable[[], None] | None = None) -> NDArray[Any]:
    """Return the scores Z_L, (N, C), in chunks of rows: the activations of all samples never exist at once.

    `checkpoint` is called after each chunk; what it raises ends the work.
    """
    rows = max(64, _CHUNK_WORK // sum(W.size for W, _ in layers))
    if rows >= len(X):
        result = forward(layers, writable(X))[-1]
        if checkpoint is not None:
            checkpoint()
        return result
    result = np.empty((len(X), layers[-1][0].shape[1]), X.dtype)
    for start in range(0, len(X), rows):
        result[start:start + rows] = forward(layers, writable(X[start:start + rows]))[-1]
        if checkpoint is not None:
            checkpoint()
    return result
