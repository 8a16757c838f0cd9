"""What an iteration of `train` is made of, part by part, and what is often done otherwise in each part.

The loop is judged by the user's own losses, gradients and predictions: so what is at fault in these is not charged to
it, and the other way round. A mistake is recognized by a training with it that gives the same numbers as his.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import reference
from . import anatomy
from .anatomy import Mistake, Parts, evaluate
from .evidence import ACCURACIES, NAMES, Arrays, Run, accuracies, deviation, same_state

__all__ = ["MISTAKES", "PARTS", "Training", "agrees", "fault", "replay", "same_losses"]


class Training(NamedTuple):
    """What is to be trained, and how."""

    make: Callable[[], Any]
    """Makes a network; its parameters are overwritten."""
    data: Sequence[NDArray[Any]]
    """X, y, X_val, y_val."""
    options: Mapping[str, Any]
    """Of `train`."""


PARTS: Parts = {
    "rows": lambda s: np.random.choice(s.N, s.B),
    "label_rows": lambda s: s.rows,
    "batch": lambda s: (s.X[s.rows], s.y[s.label_rows]),
    "rate": lambda s: s.rate,
    "due": lambda s: s.it % max(s.N / s.B, 1) == 0,
    "loss_and_grads": lambda s: s.net.loss(*s.batch, s.reg),
    "accuracy_before": lambda _: None,
    "recorded": lambda s: s.loss_and_grads[0],
    "step": lambda s: _step(s, dict.fromkeys(NAMES, 1.0)),
    "recorded_after": lambda s: s.recorded,
    "train_accuracy": lambda s: s.accuracy(*s.batch) if s.due else None,
    "val_accuracy": lambda s: s.accuracy(s.X_val, s.y_val) if s.due else None,
    "decays": lambda s: s.due,
    "factor": lambda s: s.decay,
}
"""The course's, of data X, y, X_val and y_val with N samples, B in a minibatch, the number `it` of the iteration."""


def _step(s: Any, factors: Mapping[str, float]) -> None:
    """Subtract the gradient of each parameter, so many times as large."""
    for name, factor in factors.items():
        array = s.net.params[name]
        change = factor * s.rate * np.asarray(s.loss_and_grads[1][name])
        array -= change.reshape(array.shape) if change.size == array.size else change


def _second_layer_first(s: Any) -> None:
    """Update W2 and b2, and then take the delta of the first layer back through the new W2."""
    old = {name: np.array(s.net.params[name], np.float64) for name in NAMES}
    old = {name: array.reshape(-1) if name[0] == "b" else array for name, array in old.items()}
    _step(s, {"W2": 1.0, "b2": 1.0})
    v = evaluate(anatomy.PARTS, X=s.batch[0], y=s.batch[1], **old)
    delta = reference.relu_mask(v.delta2 @ np.asarray(s.net.params["W2"]).T, v.A1) - v.delta1
    loss, grads = s.loss_and_grads
    s.loss_and_grads = loss, {**grads, "W1": grads["W1"] + v.X.T @ delta,
                              "b1": grads["b1"] + delta.sum(axis=0).reshape(grads["b1"].shape)}
    _step(s, {"W1": 1.0, "b1": 1.0})


def _epoch_order(s: Any) -> NDArray[np.intp]:
    """The next rows of a permutation, of which a new one is drawn when too few are left."""
    left = getattr(s, "order", np.empty(0, np.intp))
    if len(left) < s.B:
        left = np.random.permutation(s.N)
    s.order = left[s.B:]
    return np.asarray(left[:s.B])


def _not_updated(name: str) -> Mistake:
    return Mistake(f"the step: {name} is not updated",
                   {"step": lambda s: _step(s, {other: 1.0 for other in NAMES if other != name})})


def _rounded(text: str, rounded: Callable[[float], int]) -> Mistake:
    return Mistake(f"accuracies and decay: they come at iterations that are multiples of a rounded number of "
                   f"iterations in an epoch ({text}), fastnet's at those of max(N / batch_size, 1), not rounded, as "
                   f"the course's. With a batch_size that divides N there is no difference",
                   {"due": lambda s: s.it % max(rounded(s.N / s.B), 1) == 0})


MISTAKES: tuple[Mistake, ...] = (
    # the minibatches
    Mistake("the generator: train draws minibatches without replacement (or a permutation for each)",
            {"rows": lambda s: np.random.choice(s.N, s.B, replace=False)}),
    Mistake("the generator: train draws a permutation for each epoch, and takes its rows one after the other",
            {"rows": _epoch_order}),
    Mistake("the minibatches: nothing is drawn, they are the rows of X one after the other",
            {"rows": lambda s: np.arange(s.it * s.B, (s.it + 1) * s.B) % s.N}),
    Mistake("the minibatches: nothing is drawn, they are all the first rows of X",
            {"rows": lambda s: np.arange(s.B) % s.N}),
    Mistake("the minibatches: nothing is drawn, each is the whole of X", {"rows": lambda s: np.arange(s.N)}),
    Mistake("the minibatches: samples and labels are drawn apart, so that they do not belong together",
            {"label_rows": lambda s: np.random.choice(s.N, s.B)}),
    Mistake("the minibatches: the labels are the first of y, not those of the samples that are drawn",
            {"label_rows": lambda s: np.arange(s.B) % s.N}),
    # the loss and the step
    Mistake("the penalty: train does not give reg to the loss",
            {"loss_and_grads": lambda s: s.net.loss(*s.batch, 0.0)}),
    Mistake("loss_history: it has the losses without the penalty",
            {"recorded": lambda s: s.net.loss(*s.batch, 0.0)[0]}),
    Mistake("loss_history: it has the losses after the update, and has to have those before",
            {"recorded_after": lambda s: s.net.loss(*s.batch, s.reg)[0]}),
    Mistake("the step: W2 is updated before the gradient of the scores is propagated back through it",
            {"step": _second_layer_first}),
    Mistake("the step: the gradient is added, and has to be subtracted",
            {"step": lambda s: _step(s, dict.fromkeys(NAMES, -1.0))}),
    Mistake("the step: the biases are not updated", {"step": lambda s: _step(s, {"W1": 1.0, "W2": 1.0})}),
    *map(_not_updated, NAMES),
    Mistake("the step: nothing is updated", {"step": lambda _: None}),
    Mistake("the step: the gradient is divided by the size of the minibatch once more",
            {"step": lambda s: _step(s, dict.fromkeys(NAMES, 1 / s.B))}),
    Mistake("the step: the gradient is multiplied by the size of the minibatch",
            {"step": lambda s: _step(s, dict.fromkeys(NAMES, float(s.B)))}),
    Mistake("the step: it is taken twice", {"step": lambda s: _step(s, dict.fromkeys(NAMES, 2.0))}),
    Mistake("the step: the learning rate is not that which train is given, but 1e-3",
            {"rate": lambda s: 1e-3 if s.it == 0 else s.rate}),
    # the learning rate
    Mistake("the learning rate: it never decays; fastnet's is multiplied by learning_rate_decay after each check of "
            "accuracies", {"decays": lambda _: False}),
    Mistake("the learning rate: it decays after each iteration; fastnet's does after each check of accuracies, once an "
            "epoch", {"decays": lambda _: True}),
    Mistake("the learning rate: it does not decay after the first check of accuracies, that of iteration 0; fastnet's "
            "does, as the course's", {"decays": lambda s: s.due and s.it > 0}),
    Mistake("the learning rate: it is divided by learning_rate_decay, and has to be multiplied by it",
            {"factor": lambda s: 1 / s.decay}),
    # the accuracies
    _rounded("N // batch_size", math.floor), _rounded("ceil(N / batch_size)", math.ceil),
    _rounded("round(N / batch_size)", round),
    Mistake("accuracies and decay: they come at the end of each epoch, where it + 1 is a multiple of its iterations; "
            "fastnet's where it is, from iteration 0 on, as the course's",
            {"due": lambda s: (s.it + 1) % max(s.N / s.B, 1) == 0}),
    Mistake("accuracies and decay: they come at the end of each epoch, where it + 1 is a multiple of N // batch_size; "
            "fastnet's where it is one of N / batch_size, from iteration 0 on, as the course's",
            {"due": lambda s: (s.it + 1) % max(s.N // s.B, 1) == 0}),
    Mistake("accuracies and decay: they come at each iteration; fastnet's once an epoch", {"due": lambda _: True}),
    Mistake("train_acc_history: the accuracy is taken before the update, and has to be taken after it",
            {"accuracy_before": lambda s: s.accuracy(*s.batch) if s.due else None,
             "train_accuracy": lambda s: s.accuracy_before}),
    Mistake("train_acc_history: the accuracy is that of all training samples; fastnet's is that of the minibatch",
            {"train_accuracy": lambda s: s.accuracy(s.X, s.y) if s.due else None}),
    Mistake("train_acc_history: the accuracy is that of the validation samples",
            {"train_accuracy": lambda s: s.accuracy(s.X_val, s.y_val) if s.due else None}),
    Mistake("val_acc_history: the accuracy is that of the minibatch, and has to be that of the validation samples",
            {"val_accuracy": lambda s: s.train_accuracy}),
    Mistake("val_acc_history: the accuracy is that of the training samples, not that of the validation samples",
            {"val_accuracy": lambda s: s.accuracy(s.X, s.y) if s.due else None}),
    Mistake("the histories of accuracies: they have changed places",
            {"train_accuracy": lambda s: s.accuracy(s.X_val, s.y_val) if s.due else None,
             "val_accuracy": lambda s: s.accuracy(*s.batch) if s.due else None}),
    Mistake("the histories of accuracies: they are in percent",
            {"train_accuracy": lambda s: 100 * s.accuracy(*s.batch) if s.due else None,
             "val_accuracy": lambda s: 100 * s.accuracy(s.X_val, s.y_val) if s.due else None}),
)
"""The usual ones, the likelier first."""


def _accuracy(net: Any) -> Callable[[NDArray[Any], NDArray[Any]], float]:
    """What a network's own predictions are worth."""
    own = getattr(net, "predict", None)
    return lambda X, y: float(np.mean((own(X) if callable(own) else net.loss(X).argmax(axis=1)) == y))


def replay(training: Training, start: Run, mistakes: Parts, until: Run | None = None, tolerance: float = 0.0) -> Run:
    """Train with a loop that is made of these parts, from where another run began; leaves the generator in any state.

    With `until`, it ends where its losses are no longer those of that run.
    """
    net = training.make()
    for name, array in start.initial.items():
        net.params[name][...] = array.reshape(net.params[name].shape)
    np.random.set_state(start.drawn)
    options, parts = training.options, {**PARTS, **mistakes}
    X, y, X_val, y_val = (array.copy() for array in training.data)
    s = SimpleNamespace(net=net, X=X, y=y, X_val=X_val, y_val=y_val, N=len(X), B=options["batch_size"],
                        reg=options["reg"], rate=options["learning_rate"], decay=options["learning_rate_decay"],
                        accuracy=_accuracy(net))
    history: dict[str, list[float]] = {name: [] for name in ("loss_history", *ACCURACIES)}
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the user's code warns of, it has warned of before
        for s.it in range(options["num_iters"]):
            for name, formula in parts.items():
                setattr(s, name, formula(s))
            history["loss_history"].append(float(s.recorded_after))
            for name, value in zip(ACCURACIES, (s.train_accuracy, s.val_accuracy), strict=True):
                history[name] += [] if value is None else [value]
            s.rate *= s.factor if s.decays else 1
            if until is not None and not _begins_alike(until, history["loss_history"][-1:], s.it, tolerance):
                break
    params: Arrays = {name: np.array(net.params[name]) for name in NAMES}
    return Run(start.initial, start.drawn, history, params, np.random.get_state(), 0.0, False)


def _begins_alike(run: Run, losses: Sequence[float], first: int, tolerance: float) -> bool:
    theirs = run.losses[first:first + len(losses)]
    size = np.abs(run.losses[np.isfinite(run.losses)]).max(initial=0)
    return len(theirs) == len(losses) and np.allclose(theirs, losses, rtol=0, atol=tolerance * size, equal_nan=True)


def same_losses(theirs: Run, other: Run, tolerance: float) -> bool:
    """Whether two runs have the same losses."""
    return len(theirs.losses) == len(other.losses) and _begins_alike(theirs, list(other.losses), 0, tolerance)


def agrees(theirs: Run, other: Run, tolerance: float) -> bool:
    """Whether a run has left the same as the user's."""
    known = accuracies(theirs)
    rounds = theirs.params["W1"].dtype == np.float32
    return (same_losses(theirs, other, tolerance) and same_state(theirs.state, other.state)
            and (known is None or rounds or known == accuracies(other))
            and all(deviation(theirs.params[name], other.params[name]).relative <= tolerance for name in NAMES))


def fault(trainings: Sequence[Training], theirs: Run, tolerance: float) -> tuple[str | None, Run]:
    """Say what is at fault in the loop; None if nothing is, or nothing that is known.

    Parameters
    ----------
    trainings : sequence of Training
        By the user's losses and gradients, and by others, where his `train` may not use them.
    theirs : Run
    tolerance : float

    Returns
    -------
    words : str or None
    right : Run
        What a loop without a mistake leaves; it agrees with `theirs` if nothing is at fault.
    """
    runs = []
    for training in trainings:
        runs.append(replay(training, theirs, {}))
        if agrees(theirs, runs[-1], tolerance):
            return None, runs[-1]
    for training in trainings:
        for mistake in MISTAKES:
            try:
                run = replay(training, theirs, mistake.parts, theirs, tolerance)
            except (ValueError, IndexError):  # it does not fit the shapes
                continue
            if agrees(theirs, run, tolerance):
                return mistake.words, runs[0]
    return None, runs[0]
