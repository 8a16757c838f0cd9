"""The minibatch loop: order of samples, steps, histories, schedule, progress, callback and Ctrl-C."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import network
from .checks import Layer
from .interrupts import DeferredInterrupt
from .progress import progress_bar

__all__ = ["Callback", "History", "accuracy", "train"]

History = dict[str, list[float]]
"""``loss_history`` (an entry each iteration), ``train_acc_history`` and ``val_acc_history`` (one each check)."""

Callback = Callable[[int, History], Any]


def accuracy(layers: Sequence[Layer], X: NDArray[Any], y: NDArray[np.int64],
             checkpoint: Callable[[], None] | None = None) -> float:
    """Return the fraction of samples whose largest score is at their label."""
    return float((network.scores(layers, X, checkpoint).argmax(axis=1) == y).mean())


def train(trainable: Callable[[], tuple[list[Layer], bool]], update: Callable[[Sequence[Layer], float], None],
          draw_batch: Callable[[int, int], NDArray[np.intp]], X: NDArray[Any], y: NDArray[np.int64],
          X_val: NDArray[Any], y_val: NDArray[np.int64], *, learning_rate: float, learning_rate_decay: float,
          l2: float, num_iters: int, batch_size: int, verbose: bool, progress: bool | str,
          callback: Callback | None) -> History:
    """Run `num_iters` steps of minibatch SGD in the course's order of events; return the histories.

    Parameters
    ----------
    trainable
        Returns the layers, and whether they are views of the user's own arrays, so that changing them in place is all.
        Called again after each callback, which may have replaced arrays.
    update
        Called with gradients and learning rate to change the user's own arrays where the layers are copies of them.
    draw_batch
        Returns the indices of a minibatch, given the number of samples and the size of the batch.
    X, y, X_val, y_val
        Checked data, of the layers' dtype.
    learning_rate, learning_rate_decay, l2, num_iters, batch_size, verbose, progress, callback
        As in :meth:`fastnet.TwoLayerNet.train`, with the L2 penalty as 0.5 * l2 * sum(W^2).
    """
    samples = len(X)
    # A float, and the check comes after the update: so the accuracies are taken at iteration 0 and then at multiples
    # of it, which a quotient that is no integer seldom has. That is the course's behaviour, and histories depend on it.
    iterations_per_epoch = max(samples / batch_size, 1)
    history: History = {"loss_history": [], "train_acc_history": [], "val_acc_history": []}
    layers, in_place = trainable()
    if num_iters:
        _compile(X.dtype)  # here, where Ctrl-C still works at once
    with DeferredInterrupt() as interrupt:
        iterations: Iterable[int] = range(num_iters)
        if progress:
            iterations = progress_bar(iterations, description=progress if isinstance(progress, str) else "")
        for it in iterations:
            batch = draw_batch(samples, batch_size)
            X_batch, y_batch = X[batch], y[batch]
            loss, grads = network.loss_and_grads(layers, X_batch, y_batch, l2)
            if in_place:
                network.sgd_step(layers, grads, learning_rate)
            else:
                update(grads, learning_rate)
                layers, in_place = trainable()
            history["loss_history"].append(loss)
            if verbose and it % 100 == 0:
                print(f"iteration {it} / {num_iters}: loss {loss:f}")
            if it % iterations_per_epoch == 0:
                history["train_acc_history"].append(accuracy(layers, X_batch, y_batch))
                history["val_acc_history"].append(accuracy(layers, X_val, y_val, interrupt.check))
                learning_rate *= learning_rate_decay
                if callback is not None:
                    if callback(it, history) is True:
                        break
                    layers, in_place = trainable()
            interrupt.check()
    return history


def _compile(dtype: np.dtype[Any]) -> None:
    """Take a step with a network of one unit, so that every kernel that a step needs is compiled."""
    layers = [(np.zeros((1, 1), dtype), np.zeros(1, dtype)) for _ in range(2)]
    _, grads = network.loss_and_grads(layers, np.zeros((1, 1), dtype), np.zeros(1, np.int64), 1.0)
    network.sgd_step(layers, grads, 0.0)
