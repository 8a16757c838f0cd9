"""Training with plain SGD: `TwoLayerNet` on columns of numbers, without any extra."""

from __future__ import annotations

import argparse
import contextlib
import math
import time
import warnings
from typing import Any

import numpy as np

from ...files.models import StoredModel
from ...progress import progress_bar, tell
from ..inputs.tables import Table, cast, read_table
from ..output import Interrupted
from .trained import Trained

__all__ = ["read_numbers", "train_sgd"]

CHECKPOINT_SECONDS = 10.0
"""How long after a checkpoint the next one is due, as ``--help`` says."""


def read_numbers(args: argparse.Namespace) -> Table:
    """Read what ``--optimizer sgd`` trains with."""
    table = read_table(args.data, args.label)
    if len(table.classes) < 2:
        raise ValueError(f"{args.data}: every sample has the label {table.classes[0]}; at least two classes are needed")
    return table


def train_sgd(table: Table, args: argparse.Namespace) -> Trained:
    """Train a network on a table of numbers.

    Parameters
    ----------
    table : Table
    args : argparse.Namespace
        The options of ``fastnet train``.
    """
    # Not at the top: a fault in the data or the options is told before numba is loaded, which takes half a second.
    from ... import TwoLayerNet, checks
    from ...training import loop
    from ...training.checkpoints import Checkpoints, Progress, data_checksum, read_checkpoint
    from ...training.interrupts import DeferredInterrupt

    N, D = table.X.shape
    rng = np.random.RandomState(args.seed)
    order = rng.permutation(N)
    n_val = max(1, round(args.val_fraction * N))
    if n_val >= N:
        raise ValueError(f"{args.data}: {N} samples are too few for a training and a validation part")
    held_back, used = order[:n_val], order[n_val:]
    mean, scale = _standardization(table.X[used]) if args.standardize else (None, None)

    dtype = np.dtype(args.dtype)
    X = table.X if mean is None else (table.X - mean) / scale
    X = cast(X, dtype, args.data)
    X_train, y_train, X_val, y_val = X[used], table.y[used], X[held_back], table.y[held_back]
    batch = min(args.batch, len(used))
    (hidden,) = args.hidden
    net = TwoLayerNet(D, hidden, len(table.classes), args.std, dtype=dtype, rng=rng)
    if args.progress:
        tell(f"compiling for {dtype}, or loading what was compiled before")
    compile_seconds = loop.prepare(dtype, scores=True)

    options = ("rate", "decay", "reg", "std", "seed", "dtype", "standardize", "val_fraction")
    run = {name: getattr(args, name) for name in options} | {
        "hidden": hidden, "batch": batch, "data": data_checksum([X, table.y])}
    so_far = Progress(0, args.rate, {"loss_history": [], "train_acc_history": [], "val_acc_history": []})  # in epochs
    if args.resume is not None:
        so_far, restore = read_checkpoint(args.resume, run, net.params, rng)
        if so_far.iteration > args.epochs:
            raise ValueError(f"--epochs must be at least {so_far.iteration}, the number of epochs in {args.resume}")
        restore()
    checkpoints = None if args.checkpoint is None else Checkpoints(args.checkpoint, CHECKPOINT_SECONDS, run,
                                                                   lambda: net.params, rng)
    losses = so_far.history["loss_history"]

    start = time.perf_counter()
    # A call for each epoch, as `train` lowers the rate and checks the accuracy only where the number of iterations in
    # an epoch is whole.
    epochs = range(so_far.iteration, args.epochs)
    # With a checkpoint Ctrl-C waits for the end of an epoch, so that what is written is a whole one.
    with DeferredInterrupt() if checkpoints is not None else contextlib.nullcontext() as interrupt:
        for epoch in progress_bar(epochs, description="epochs") if args.progress else epochs:
            with np.errstate(all="ignore"), warnings.catch_warnings():  # what overflows is found below
                warnings.simplefilter("ignore", loop.DivergenceWarning)
                history = net.train(X_train, y_train, X_val, y_val, learning_rate=args.rate * args.decay**epoch,
                                    learning_rate_decay=1.0, reg=args.reg, num_iters=-(-len(used) // batch),
                                    batch_size=batch)
            losses.append(history["loss_history"][-1])
            so_far.iteration = epoch + 1
            if not math.isfinite(losses[-1]) or not all(np.isfinite(array).all() for array in net.params.values()):
                raise ValueError(f"training diverged in epoch {epoch + 1}: lower --rate"
                                 f"{'' if args.standardize else ' or leave out --no-standardize'}")
            if checkpoints is not None:
                pressed = interrupt is not None and interrupt.pending
                if pressed or checkpoints.due(epoch + 1) or epoch + 1 == args.epochs:
                    checkpoints.write(so_far)
                if pressed:
                    raise Interrupted(epoch + 1, args.checkpoint)
    seconds = time.perf_counter() - start

    layers = checks.layers(net.params, 2, dtype)  # not by `predict`, which would have to be compiled
    train_accuracy, val_accuracy = loop.accuracy(layers, X_train, y_train), loop.accuracy(layers, X_val, y_val)
    params = {name: np.array(array) for name, array in net.params.items()}
    model = StoredModel(params, table.classes, mean, scale, "full", table.features)
    lines = [
        ("samples", f"{len(used)} for training, {n_val} for validation, {D} features each"),
        ("classes", str(len(table.classes))),
        ("loss", f"{losses[-1]:.6g} in the last minibatch"),
        ("accuracy", f"{train_accuracy:.4f} in training, {val_accuracy:.4f} in validation"),
        ("time", f"{compile_seconds:.2f} s compiling or loading, {seconds:.2f} s training"),
    ]
    return Trained(model, lines, {"loss": list(losses)}, y_val, table.X[held_back])


def _standardization(X: Any) -> tuple[Any, Any]:
    """Return mean and standard deviation of each feature; a constant feature has 1 in its place."""
    with np.errstate(over="ignore", invalid="ignore"):
        mean, scale = X.mean(axis=0), X.std(axis=0)
    if not (np.isfinite(mean).all() and np.isfinite(scale).all()):
        raise ValueError("the features are too large to standardize")
    # Compared directly, as rounding leaves a constant column with a tiny deviation. One can also underflow to 0.
    constant = (X.min(axis=0) == X.max(axis=0)) | (scale == 0)
    scale[constant] = 1
    return mean, scale
