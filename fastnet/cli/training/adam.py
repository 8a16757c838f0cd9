"""Training with Adam: scikit-learn's estimators an epoch at a time, so that each can be measured, kept and interrupted.

`partial_fit` takes one epoch and keeps moments and generator: a run that goes on from a checkpoint ends with the bits
of one that was never interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import time
import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...aliases import Layer
from ...progress import progress_bar, tell
from ...sklearn import MLPClassifier, MLPRegressor, private
from ...tables.model import outputs
from ...training.checkpoints import data_checksum
from ...training.interrupts import DeferredInterrupt
from ..output import Interrupted
from ..results.measures import losses, r2
from .run_file import HISTORIES, read_run, write_run

__all__ = ["Fit", "fit"]

Array = NDArray[Any]

CHECKPOINT_SECONDS = 10.0
_MOST_BATCH, _LEAST_BATCH, _STEPS = 200, 32, 20
"""Samples in a minibatch: scikit-learn's 200, and on small tables, where that is one step an epoch, fewer."""
TOLERANCE = 1e-4
"""An epoch whose loss is not lower than the best by this much is one without improvement, as in scikit-learn."""


@dataclass
class Fit:
    """A network that was trained, and how that went."""

    layers: list[Layer]
    output: str
    history: dict[str, list[float]]
    epochs: int
    best: int
    """The epoch that the layers are of, counted from 1."""
    settled: bool
    """Whether the training ended because nothing improved any more."""
    compile_seconds: float
    seconds: float


@dataclass
class _State:
    """How far a run has come."""

    estimator: Any
    history: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in HISTORIES})
    best: list[Layer] | None = None
    written: float = field(default_factory=time.monotonic)


def fit(args: argparse.Namespace, X: Array, y: Array, X_val: Array, y_val: Array, classes: int | None) -> Fit:
    """Train a network.

    Parameters
    ----------
    args : argparse.Namespace
        The options of ``fastnet train``.
    X, X_val : (N, D), (M, D)
        What the network sees of the samples to train with, and of those held back, in the dtype of the network.
    y, y_val : (N,), (M,)
        Their classes as int64, or numbers as float64.
    classes : int or None
        How many classes there are; None for regression.
    """
    estimator, output = _estimator(args, len(X), classes)
    shift, scale = (0.0, 1.0) if output != "identity" else _scale(y)
    if classes is None:
        # Adam's steps are of a size of their own: targets far from 1 would take it very long to reach.
        y, y_val = ((values - shift) / scale for values in (y, y_val))
        y = y.astype(X.dtype)
    weights = _sample_weight(args, y, classes)
    state = _State(estimator)
    run = {name: getattr(args, name) for name in (
        "rate", "reg", "seed", "dtype", "standardize", "val_fraction", "loss", "class_weight", "early_stopping")} | {
        "hidden": list(args.hidden), "batch": estimator.batch_size, "data": data_checksum(
            np.ascontiguousarray(array) for array in (X, y, X_val, y_val))}
    if args.resume is not None:
        state.history, state.best = read_run(args.resume, run, estimator)
        if len(state.history["loss"]) > args.epochs:
            raise ValueError(f"--epochs must be at least {len(state.history['loss'])}, the number of epochs in "
                             f"{args.resume}")
    if args.progress:
        tell(f"compiling for {X.dtype}, or loading what was compiled before")
    compile_seconds = _prepare(args, X, classes, output)
    start = time.perf_counter()

    def step() -> None:
        """Take an epoch, and measure."""
        _epoch(estimator, X, y, weights, classes)
        layers = list(zip(estimator.coefs_, estimator.intercepts_, strict=True))
        if not math.isfinite(estimator.loss_) or not all(np.isfinite(part).all() for layer in layers for part in layer):
            raise ValueError(f"training diverged in epoch {len(state.history['loss']) + 1}: lower --rate"
                             f"{'' if args.standardize else ' or leave out --no-standardize'}")
        with np.errstate(all="ignore"):
            scores, largest = outputs(layers, X_val, "relu", output)
        state.history["loss"].append(float(estimator.loss_))
        state.history["validation_loss"].append(float(losses(output, scores, y_val).mean()))
        state.history["validation_score"].append(_score(output, scores, largest, y_val))
        if args.early_stopping and state.history["validation_loss"][-1] <= min(state.history["validation_loss"]):
            state.best = [(W.copy(), b.copy()) for W, b in layers]

    def write() -> None:
        write_run(args.checkpoint, run, estimator, state.history, state.best)
        state.written = time.monotonic()

    settled = _run(args, state, step, write)
    judged = "validation_loss" if args.early_stopping else "loss"
    layers = state.best if state.best is not None else list(zip(estimator.coefs_, estimator.intercepts_, strict=True))
    epochs = len(state.history["loss"])
    best = 1 + int(np.argmin(state.history[judged])) if state.best is not None else epochs
    if (shift, scale) != (0, 1):
        (W, b) = layers[-1]
        layers = [*layers[:-1], (W * W.dtype.type(scale), (b * scale + shift).astype(b.dtype))]
    return Fit(layers, output, state.history, epochs, best, settled, compile_seconds, time.perf_counter() - start)


def _scale(y: Array) -> tuple[float, float]:
    """Mean and standard deviation of targets; 1 where all are the same."""
    with np.errstate(over="ignore", invalid="ignore"):
        mean, deviation = float(y.mean()), float(y.std())
    if not (math.isfinite(mean) and math.isfinite(deviation)):
        raise ValueError("the targets are too large to learn from")
    return mean, deviation if y.min() < y.max() and deviation else 1.0


def _run(args: argparse.Namespace, state: _State, step: Any, write: Any) -> bool:
    """Take epochs until they are enough; return whether nothing improved any more."""
    judged = state.history["validation_loss" if args.early_stopping else "loss"]
    epochs = range(len(judged), args.epochs)
    bar = progress_bar(epochs, description="epochs") if args.progress else epochs
    settled = _settled(judged, args.patience)
    with DeferredInterrupt() if args.checkpoint is not None else contextlib.nullcontext() as interrupt:
        for epoch in bar if not settled else ():
            step()
            settled = _settled(judged, args.patience)
            pressed = interrupt is not None and interrupt.pending
            if args.checkpoint is not None and (
                    pressed or settled or epoch + 1 == args.epochs
                    or time.monotonic() - state.written >= CHECKPOINT_SECONDS):
                write()
            if pressed and not settled and epoch + 1 < args.epochs:
                raise Interrupted(epoch + 1, args.checkpoint)
            if settled:
                break
        if interrupt is not None and interrupt.pending:
            with contextlib.suppress(KeyboardInterrupt):  # it came in the last epoch: the training is done
                interrupt.check()
    close = getattr(bar, "close", None)
    if close is not None:
        close()
    return settled


def _settled(curve: list[float], patience: int) -> bool:
    """Whether the last epochs were without improvement, more of them than `patience`, as scikit-learn counts."""
    best, count = math.inf, 0
    for loss in curve:
        count = count + 1 if loss > best - TOLERANCE else 0
        best = min(best, loss)
    return count > patience


def _estimator(args: argparse.Namespace, samples: int, classes: int | None) -> tuple[Any, str]:
    """A new estimator, and what becomes of its last affine map."""
    batch = args.batch or max(_LEAST_BATCH, min(_MOST_BATCH, samples // _STEPS))
    options: dict[str, Any] = {
        "hidden_layer_sizes": tuple(args.hidden), "alpha": args.reg, "batch_size": min(batch, samples),
        "learning_rate_init": args.rate, "random_state": args.seed}
    if classes is not None:
        return MLPClassifier(**options), "softmax" if classes > 2 else "logistic"
    if args.loss == "poisson":
        if "loss" not in MLPRegressor().get_params():
            raise ValueError("--loss poisson needs scikit-learn 1.7 or newer")
        return MLPRegressor(loss="poisson", **options), "exp"
    return MLPRegressor(**options), "identity"


def _sample_weight(args: argparse.Namespace, y: Array, classes: int | None) -> Array | None:
    """A weight for each sample, so that all classes weigh the same."""
    if args.class_weight is None or classes is None:
        return None
    if not private.has_sample_weight:
        raise ValueError("--class-weight needs scikit-learn 1.7 or newer")
    counts = np.bincount(y, minlength=classes)
    weights: Array = (len(y) / (classes * np.maximum(counts, 1)))[y]
    return weights


def _epoch(estimator: Any, X: Array, y: Array, weights: Array | None, classes: int | None) -> None:
    """Take one epoch. Where Ctrl-C is not waited with, it ends here: scikit-learn's estimators only warn of it."""
    options: dict[str, Any] = {} if classes is None else {"classes": np.arange(classes)}
    if weights is not None:
        options["sample_weight"] = weights
    with warnings.catch_warnings(record=True) as caught, np.errstate(all="ignore"):
        warnings.simplefilter("always")
        try:
            estimator.partial_fit(X, y, **options)
        except ValueError as error:
            if "non-finite" not in str(error):
                raise
            estimator.loss_ = math.nan
    if any("interrupted" in str(warning.message) for warning in caught):
        raise KeyboardInterrupt


def _prepare(args: argparse.Namespace, X: Array, classes: int | None, output: str) -> float:
    """Compile what a training needs, or load it; return how long that took."""
    start = time.perf_counter()
    small, _ = _estimator(args, 2, classes)
    small.set_params(hidden_layer_sizes=(2,) * len(args.hidden), batch_size=2)
    rows = np.zeros((2, X.shape[1]), X.dtype)
    truth = np.arange(2) if classes is not None else np.ones(2, X.dtype)
    weights = None if args.class_weight is None or classes is None else np.ones(2)
    _epoch(small, rows, truth, weights, classes)
    outputs(list(zip(small.coefs_, small.intercepts_, strict=True)), rows, "relu", output)
    return time.perf_counter() - start


def _score(output: str, scores: Array, largest: Array, y: Array) -> float:
    if output == "softmax":
        return float((largest == y).mean())
    if output == "logistic":
        return float(((scores[:, 0] > 0) == y).mean())
    with np.errstate(all="ignore"):
        value = r2(y, scores[:, 0])
    return value if math.isfinite(value) else 0.0
