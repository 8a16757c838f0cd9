"""The minibatch loop: order of samples, steps, histories, schedule, progress, callback and Ctrl-C."""

from __future__ import annotations

import contextlib
import itertools
import math
import operator
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .. import checks
from ..aliases import Layer
from ..blocks.optimizers import Optimizer
from ..engine.plan import affine_work
from ..engine.workspace import Accuracies
from ..network import passes
from ..parallel.threads import most_threads, share_count
from ..progress import Bar, latest
from ..stored import AnySamples, StoredSamples
from ..tuning import CHECK_WORK, ELEMENT_WORK
from .checkpoints import Checkpoints, Progress
from .interrupts import DeferredInterrupt
from .minibatches import Minibatches, keep
from .session import Session

__all__ = ["Callback", "DivergenceWarning", "History", "Trainee", "accuracy", "checks_of_a_run", "decayed_rates",
           "due_mask", "prepare", "step_by_copies", "train", "warn_of_divergence", "work_of_check"]


class DivergenceWarning(RuntimeWarning):
    """Training has diverged: losses or parameters are no longer finite numbers."""


History = dict[str, list[float]]
"""``loss_history`` (an entry each iteration), ``train_acc_history`` and ``val_acc_history`` (one each check).

The numbers are NumPy's, of float64, as in the course.
"""

Callback = Callable[[int, History], Any]


def accuracy(layers: Sequence[Layer], X: AnySamples, y: NDArray[np.int64],
             check: Callable[[], None] | None = None, threads: int | None = None) -> np.float64:
    """Return the fraction of samples whose largest score is at their label."""
    _, labels = passes.infer(layers, X, check=check, region=False, threads=threads, scores=False)
    return np.float64((labels == y).mean())


class Trainee(Protocol):
    """Whose parameters are trained: the model, as :func:`train` sees it."""

    def layers(self) -> tuple[list[Layer], bool]:
        """Return the layers, and whether a step may change them in place: they are views of the user's arrays then.

        Asked for again after each callback, which may have replaced arrays.
        """

    def update(self, grads: Sequence[Layer], learning_rate: float) -> None:
        """Change the user's own arrays by a step, where the layers are copies of them."""

    def minibatches(self, samples: int, batch_size: int, steps: int, ahead: bool) -> Minibatches:
        """Draw, as :func:`fastnet.training.minibatches.minibatches` does, from where the model draws."""


def train(trainee: Trainee, X: AnySamples, y: NDArray[np.int64],
          X_val: AnySamples, y_val: NDArray[np.int64], *, learning_rate: float, learning_rate_decay: float,
          penalty: float, num_iters: int, batch_size: int, verbose: bool, progress: bool | str,
          callback: Callback | None, checkpoints: Checkpoints | None, progress_so_far: Progress | None,
          threads: int | None) -> History:
    """Run `num_iters` steps of minibatch SGD in the course's order of events; return the histories.

    Parameters
    ----------
    trainee
        Whose parameters are trained.
    X, y, X_val, y_val
        Checked data; samples of any dtype and layout that steps can convert.
    learning_rate, learning_rate_decay, penalty, num_iters, batch_size, verbose, progress, callback
        As in :meth:`fastnet.TwoLayerNet.train`, with the L2 penalty as 0.5 * penalty * sum(W^2).
    checkpoints
        Where and when the run is written down; None for never.
    progress_so_far
        How far the run has come already; None for a new one.
    threads
        How many there may be at work; None for as many as the calling thread may have.
    """
    samples = len(X)
    # A float, and the check comes after the update: so the accuracies are taken at iteration 0 and then at multiples
    # of it, which a quotient that is no integer seldom has. That is the course's behaviour, and histories depend on it.
    iterations_per_epoch = max(samples / batch_size, 1)
    empty: History = {"loss_history": [], "train_acc_history": [], "val_acc_history": []}
    now = progress_so_far or Progress(0, learning_rate, empty)
    history = now.history
    layers, in_place = trainee.layers()
    check_work = work_of_check(layers, X_val)
    in_memory = not isinstance(X, StoredSamples) and not isinstance(X_val, StoredSamples)
    most_checks = checks_of_a_run(layers, check_work, batch_size, threads) if in_memory else 0
    if num_iters:  # here, where Ctrl-C still works at once
        prepare(layers[0][0].dtype, scores=not (in_place and most_checks) or callback is not None)
    with (Bar(num_iters, description=progress if isinstance(progress, str) else "", initial=now.iteration,
              figures=lambda: latest(history), shown=bool(progress)) as bar,
          DeferredInterrupt() as interrupt,
          Session(batch_size, threads=threads, other_work=check_work / iterations_per_epoch) as session):
        diverged = False
        while now.iteration < num_iters and not now.stopped:
            it = now.iteration
            if in_place and not session.is_packed:
                session.pack(layers)
            done = min(it + session.steps_with(X) if in_place else it + 1, num_iters,
                       num_iters if checkpoints is None else checkpoints.next_stop(it))
            due = _due(it, done, iterations_per_epoch)
            inside = in_place and most_checks > 0
            alone = not inside or callback is not None  # Python has to be there right after a check
            most = 1 if alone else most_checks
            due = due[:most]
            if due.size == most:
                done = int(due[-1]) + 1
            if in_place:
                drawn = trainee.minibatches(samples, batch_size, done - it, session.leaves_a_core())
                rates = decayed_rates(now.learning_rate, learning_rate_decay, due - it, done - it)
                mask = due_mask(due - it, done - it) if inside else None
                losses, accuracies, batch = _take_steps(session, X, y, drawn, rates, penalty, mask, X_val, y_val)
            else:
                (batch,), = trainee.minibatches(samples, batch_size, 1, False)
                losses = step_by_copies(trainee, layers, X[batch], y[batch], penalty, now.learning_rate, threads)
                layers, in_place = trainee.layers()
                accuracies = []
            history["loss_history"].extend(losses)
            if not diverged and not np.isfinite(losses).all():
                diverged = warn_of_divergence(losses, it)
            if verbose:
                for printed in range(-(-it // 100) * 100, done, 100):
                    print(f"iteration {printed} / {num_iters}: loss {history['loss_history'][printed]:f}")
            if due.size and not inside:
                session.store()
                accuracies = [[accuracy(layers, X[batch], y[batch], threads=threads),
                               accuracy(layers, X_val, y_val, interrupt.check, threads)]]
            for of_batch, of_validation in accuracies:
                history["train_acc_history"].append(of_batch)
                history["val_acc_history"].append(of_validation)
                now.learning_rate *= learning_rate_decay
            bar.update(done)
            if due.size and callback is not None:
                session.store()
                now.stopped = callback(done - 1, history) is True
                if not now.stopped:
                    layers, in_place = trainee.layers()
                    if in_memory:
                        most_checks = checks_of_a_run(layers, work_of_check(layers, X_val), batch_size, threads)
                    session.forget()
            now.iteration = done
            ending = now.stopped or done == num_iters
            if checkpoints is not None and (ending or interrupt.pending or checkpoints.due(done)):
                session.store()
                checkpoints.write(now)
            interrupt.check()
    finite = all(np.isfinite(array).all() for layer in layers for array in layer)
    if history["loss_history"] and not diverged and not finite:
        warnings.warn("training diverged in its last step: parameters are not finite; lower learning_rate",
                      DivergenceWarning, stacklevel=3)
    return history


def step_by_copies(trainee: Trainee, layers: Sequence[Layer], X: NDArray[Any], y: NDArray[np.int64], penalty: float,
                   learning_rate: float, threads: int | None) -> NDArray[np.float64]:
    """Take a step with a minibatch where the layers are copies of the user's arrays; return its loss, (1,)."""
    loss, grads = passes.loss_and_grads(layers, checks.computable(X, layers[0][0].dtype), y, penalty, threads)
    trainee.update(grads, learning_rate)
    return np.array([loss])


def warn_of_divergence(losses: Iterable[float], first: int) -> bool:
    """Warn that a loss is not finite, if one is; the first of these is that of iteration `first`."""
    for iteration, loss in enumerate(losses, first):
        if not math.isfinite(loss):
            warnings.warn(f"training diverged: the loss is {loss} at iteration {iteration}; lower learning_rate, or "
                          f"scale the features", DivergenceWarning, stacklevel=4)
            return True
    return False


def _take_steps(session: Session, X: AnySamples, y: NDArray[np.int64], drawn: Minibatches,
                rates: NDArray[np.float64], penalty: float, due: NDArray[np.bool_] | None, X_val: AnySamples,
                y_val: NDArray[np.int64]) -> tuple[NDArray[np.float64], list[Sequence[float]], NDArray[np.intp]]:
    """Take a step for each of the minibatches; return losses, accuracies where `due` says so, and the last of them."""
    losses: list[NDArray[np.float64]] = []
    accuracies: list[Sequence[float]] = []
    done = 0
    with contextlib.closing(drawn):  # after an error, too, nobody draws any more
        for batches in drawn:
            part = slice(done, done + len(batches))
            inside = None if due is None or isinstance(X_val, StoredSamples) else Accuracies(due[part], X_val, y_val)
            results = session.run(X, y, batches, rates[part], penalty, accuracies=inside)
            losses.append(results.losses)
            accuracies += map(list, results.accuracies)
            done = part.stop
    return losses[0] if len(losses) == 1 else np.concatenate(losses), accuracies, batches[-1]


def _due(start: int, stop: int, iterations_per_epoch: float) -> NDArray[np.intp]:
    """Return the iterations from `start` to `stop` after which accuracies are taken."""
    # Only what is nearest to a multiple can be one.
    epochs = np.arange(start // iterations_per_epoch, stop // iterations_per_epoch + 2)
    due = np.rint(epochs * iterations_per_epoch)
    return due[(due >= start) & (due < stop) & (due % iterations_per_epoch == 0)].astype(np.intp)


def work_of_check(layers: Sequence[Layer], X: AnySamples, count: int | None = None) -> int:
    """What the accuracy of `count` samples of X, by default of all, takes, in multiply-adds.

    Gathering a feature takes as long as some of them, and as more where each feature lies by itself.
    """
    apart = not isinstance(X, StoredSamples) and X.strides[1] != X.itemsize
    a_sample = sum(W.size for W, _ in layers) + (8 if apart else 1) * ELEMENT_WORK * X.shape[1]
    return (len(X) if count is None else count) * a_sample


def checks_of_a_run(layers: Sequence[Layer], check_work: int, batch_size: int, threads: int | None) -> int:
    """How many checks there may be between the steps of one run; 0 if each has to be a call of its own.

    That is where Ctrl-C would have to wait for it, or more threads would be at work on it than on a step.
    """
    sizes = (*(len(W) for W, _ in layers), layers[-1][0].shape[1])
    team = share_count(batch_size * max(sizes), affine_work(sizes, batch_size), threads)
    return CHECK_WORK * team // most_threads(threads) // check_work


def due_mask(due: Sequence[int] | NDArray[np.intp], steps: int) -> NDArray[np.bool_]:
    """Whether each of so many steps is among those that are due."""
    mask = np.zeros(steps, np.bool_)
    mask[due] = True
    return mask


def decayed_rates(rate: float, decay: float, due: Sequence[int] | NDArray[np.intp], steps: int) -> NDArray[np.float64]:
    """Return the learning rate of each of so many steps: after each that is due it is multiplied by `decay`."""
    # One multiplication after the other, as in the course: the same bits.
    after = np.array(list(itertools.accumulate([decay] * len(due), operator.mul, initial=rate)))
    rates: NDArray[np.float64] = after[np.searchsorted(np.asarray(due, np.intp), np.arange(steps))]
    return rates


_prepared: set[tuple[np.dtype[Any], bool, bool]] = set()
"""What `prepare` has been called for, in this process or the one that it was forked from."""


def prepare(dtype: np.dtype[Any], scores: bool, method: tuple[str, str, Optimizer] | None = None) -> float:
    """Compile what training needs, or load it, by a step of a network of one unit; return how many seconds it took.

    `scores`: whether there will be accuracies that are not taken between the steps. `method`: activation, head and
    optimizer, where they are not the course's; one compiled code is for all of these.
    """
    if (dtype, scores, method is None) in _prepared:
        return 0.0
    start = time.perf_counter()
    layers = [(np.zeros((1, 1), dtype), np.zeros(1, dtype)) for _ in range(2)]
    X, y = np.zeros((1, 1), dtype), np.zeros(1, np.int64)
    session = Session(1, *(method or ()))
    session.pack(layers)
    session.run(X, y, np.zeros((1, 1), np.intp), 0.0, 1.0)
    if scores:
        passes.infer(layers, X, region=False)
    checks.features(X, "X", columns=1, dtype=dtype)
    keep(np.zeros(1, np.uint32), 0, 1, np.zeros(1, np.intp))
    _prepared.add((dtype, scores, method is None))
    return time.perf_counter() - start
