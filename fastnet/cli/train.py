"""``fastnet train``: a network for the data in a file, written to a model file."""

from __future__ import annotations

import argparse
import math
import os
import time
import warnings
from typing import Any

import numpy as np

from ..files.atomic import check_writable
from ..files.containers import check_format
from ..files.models import StoredModel, save_model
from ..progress import progress_bar, tell
from .output import print_lines, refuse_overwriting
from .tables import Table, cast, read_table

__all__ = ["run_train"]

_CHECKPOINT_SECONDS = 10.0
"""How long after a checkpoint the next one is due, as ``--help`` says."""


def run_train(args: argparse.Namespace) -> None:
    """Train a network, write it to a file, and print a summary.

    Parameters
    ----------
    args : argparse.Namespace
        The options of ``fastnet train``.
    """
    check_writable(args.out)
    check_format(args.out)
    resumed = {} if args.resume is None else {"checkpoint": args.resume}
    refuse_overwriting(args.out, "the model", data=args.data, **resumed)
    table = read_table(args.data, args.label)
    if args.checkpoint is not None:
        check_writable(args.checkpoint)
        check_format(args.checkpoint)
        refuse_overwriting(args.checkpoint, "the checkpoint", "--checkpoint", data=args.data)
        if os.path.realpath(args.checkpoint) == os.path.realpath(args.out):
            raise ValueError(f"{args.out}: model and checkpoint need files of their own")
    if len(table.classes) < 2:
        raise ValueError(f"{args.data}: every sample has the label {table.classes[0]}; at least two classes are needed")

    model, lines = _fit(table, args)
    save_model(args.out, model)
    print_lines([*lines, ("model", args.out)])


def _fit(table: Table, args: argparse.Namespace) -> tuple[StoredModel, list[tuple[str, str]]]:
    """Train a network; return it with the lines of the summary."""
    # Not at the top: a fault in the data or the options is told before numba is loaded, which takes half a second.
    from .. import TwoLayerNet, checks
    from ..training import loop
    from ..training.checkpoints import Checkpoints, Progress, data_checksum, read_checkpoint

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
    net = TwoLayerNet(D, args.hidden, len(table.classes), args.std, dtype=dtype, rng=rng)
    if args.progress:
        tell(f"compiling for {dtype}, or loading what was compiled before")
    compile_seconds = loop.prepare(dtype, scores=True)

    options = ("rate", "decay", "reg", "std", "hidden", "seed", "dtype", "standardize", "val_fraction")
    run = {name: getattr(args, name) for name in options} | {"batch": batch, "data": data_checksum([X, table.y])}
    so_far = Progress(0, args.rate, {"loss_history": [], "train_acc_history": [], "val_acc_history": []})  # in epochs
    if args.resume is not None:
        so_far, restore = read_checkpoint(args.resume, run, net.params, rng)
        if so_far.iteration > args.epochs:
            raise ValueError(f"--epochs must be at least {so_far.iteration}, the number of epochs in {args.resume}")
        restore()
    checkpoints = None if args.checkpoint is None else Checkpoints(args.checkpoint, _CHECKPOINT_SECONDS, run,
                                                                   lambda: net.params, rng)
    losses = so_far.history["loss_history"]

    start = time.perf_counter()
    # A call for each epoch, as `train` lowers the rate and checks the accuracy only where the number of iterations in
    # an epoch is whole.
    epochs = range(so_far.iteration, args.epochs)
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
                             f"{'' if args.standardize else ' or use --standardize'}")
        if checkpoints is not None and (checkpoints.due(epoch + 1) or epoch + 1 == args.epochs):
            checkpoints.write(so_far)
    seconds = time.perf_counter() - start

    layers = checks.layers(net.params, 2, dtype)  # not by `predict`, which would have to be compiled
    train_accuracy, val_accuracy = loop.accuracy(layers, X_train, y_train), loop.accuracy(layers, X_val, y_val)
    params = {name: np.array(array) for name, array in net.params.items()}
    model = StoredModel(params, table.classes, mean, scale, "full", table.features)
    return model, [
        ("samples", f"{len(used)} for training, {n_val} for validation, {D} features each"),
        ("classes", str(len(table.classes))),
        ("loss", f"{losses[-1]:.6g} in the last minibatch"),
        ("accuracy", f"{train_accuracy:.4f} in training, {val_accuracy:.4f} in validation"),
        ("time", f"{compile_seconds:.2f} s compiling or loading, {seconds:.2f} s training"),
    ]


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
