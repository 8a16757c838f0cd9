"""The minibatch loop: order of samples, steps, histories, schedule, progress, callback and Ctrl-C."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import checks, network
from .checks import Layer
from .interrupts import DeferredInterrupt, Pace
from .progress import progress_bar
from .workspace import Parameters, Workspace

__all__ = ["Callback", "History", "accuracy", "prepare", "train"]

History = dict[str, list[float]]
"""``loss_history`` (an entry each iteration), ``train_acc_history`` and ``val_acc_history`` (one each check)."""

Callback = Callable[[int, History], Any]


def accuracy(layers: Sequence[Layer], X: NDArray[Any], y: NDArray[np.int64],
             checkpoint: Callable[[], None] | None = None) -> float:
    """Return the fraction of samples whose largest score is at their label."""
    _, labels = network.infer(layers, X, checkpoint=checkpoint, region=False)
    return float((labels == y).mean())


def train(trainable: Callable[[], tuple[list[Layer], bool]], update: Callable[[Sequence[Layer], float], None],
          draw_batch: Callable[[int, int], NDArray[np.intp]], X: NDArray[Any], y: NDArray[np.int64],
          X_val: NDArray[Any], y_val: NDArray[np.int64], *, learning_rate: float, learning_rate_decay: float,
          l2: float, num_iters: int, batch_size: int, verbose: bool, progress: bool | str,
          callback: Callback | None) -> History:
    """Run `num_iters` steps of minibatch SGD in the course's order of events; return the histories.

    Parameters
    ----------
    trainable
        Returns the layers, and whether a step may change them in place: they are views of the user's own arrays then.
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
        prepare(X.dtype)  # here, where Ctrl-C still works at once
    engine = _Engine(batch_size)
    pace = Pace(batch_size)
    with DeferredInterrupt() as interrupt, engine:
        bar = iter(progress_bar(range(num_iters), description=progress if isinstance(progress, str) else "")
                   if progress else ())
        it, stopped = 0, False
        while it < num_iters and not stopped:
            next(bar, None)  # the bar is at iteration `it`
            done = _next_stop(it, min(it + pace.steps if in_place else it + 1, num_iters), iterations_per_epoch)
            batches = draw_batch(samples, (done - it) * batch_size).reshape(done - it, batch_size)
            if in_place:
                losses = pace(functools.partial(engine.run, layers, X, y, batches, learning_rate, l2), done - it)
            else:
                loss, grads = network.loss_and_grads(layers, X[batches[0]], y[batches[0]], l2)
                update(grads, learning_rate)
                layers, in_place = trainable()
                losses = [loss]
            history["loss_history"] += losses
            if verbose:
                for printed in range(-(-it // 100) * 100, done, 100):
                    print(f"iteration {printed} / {num_iters}: loss {history['loss_history'][printed]:f}")
            if progress:
                for _ in range(done - it - 1):
                    next(bar)
            last = done - 1
            if last % iterations_per_epoch == 0:
                engine.store()
                batch = batches[-1]
                history["train_acc_history"].append(accuracy(layers, X[batch], y[batch]))
                history["val_acc_history"].append(accuracy(layers, X_val, y_val, interrupt.check))
                learning_rate *= learning_rate_decay
                if callback is not None:
                    stopped = callback(last, history) is True
                    if not stopped:
                        layers, in_place = trainable()
                        engine.forget()
            it = done
            interrupt.check()
        if not stopped:
            next(bar, None)  # past the end, where the bar is closed
    return history


class _Engine:
    """The workspace of a training run, and whether the user's arrays are behind it; on leaving they no longer are."""

    def __init__(self, batch_size: int) -> None:
        self._batch_size = batch_size
        self._layers: Sequence[Layer] = ()
        self._parameters: Parameters | None = None
        self._ahead = False

    def __enter__(self) -> _Engine:
        return self

    def __exit__(self, *exception: object) -> None:
        self.store()

    def run(self, layers: Sequence[Layer], X: NDArray[Any], y: NDArray[np.int64], batches: NDArray[np.intp],
            learning_rate: float, l2: float) -> list[float]:
        """Take the steps; return their losses."""
        if self._parameters is None:
            self._layers, self._parameters = layers, Parameters(layers)
            self._workspace = Workspace(self._parameters, self._batch_size)
        losses = self._workspace.run(X, y, batches, learning_rate, l2)
        self._ahead = True
        return losses.tolist()

    def store(self) -> None:
        """Bring the user's arrays up to date."""
        if self._parameters is not None and self._ahead:
            self._parameters.store(self._layers)
            self._ahead = False

    def forget(self) -> None:
        """Begin anew from the user's arrays, which somebody may have changed."""
        self._parameters = None


def _next_stop(start: int, stop: int, iterations_per_epoch: float) -> int:
    """Return where a run of steps from `start` has to stop for Python: after the next accuracy check, or at `stop`."""
    due = np.flatnonzero(np.arange(start, stop) % iterations_per_epoch == 0)
    return start + int(due[0]) + 1 if due.size else stop


def prepare(dtype: np.dtype[Any]) -> float:
    """Compile what training needs, or load it, by a step of a network of one unit; return how many seconds it took."""
    start = time.perf_counter()
    layers = [(np.zeros((1, 1), dtype), np.zeros(1, dtype)) for _ in range(2)]
    X, y = np.zeros((1, 1), dtype), np.zeros(1, np.int64)
    Workspace(Parameters(layers), 1).run(X, y, np.zeros((1, 1), np.intp), 0.0, 1.0)
    network.infer(layers, X, region=False)
    checks.features(X, "X", columns=1, dtype=dtype)
    return time.perf_counter() - start
