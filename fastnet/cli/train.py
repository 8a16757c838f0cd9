"""``fastnet train``: a network for the data in a file, written to a model file."""

from __future__ import annotations

import argparse
import contextlib
import os

import numpy as np

from ..files.atomic import check_writable
from ..files.containers import check_format
from ..progress import tell
from .inputs.examples import Examples, read_examples
from .inputs.frames import has_pandas
from .output import print_lines, refuse_existing, refuse_overwriting
from .training.trained import Trained

__all__ = ["run_train"]

_DEFAULTS = {"adam": {"epochs": 200, "rate": 0.001, "val_fraction": 0.1},
             "sgd": {"epochs": 50, "batch": 100, "rate": 0.1, "val_fraction": 0.2, "decay": 0.98, "std": 0.1}}
_ONLY = {"adam": ("target", "drop", "category", "separator", "missing", "loss", "class_weight", "early_stopping"),
         "sgd": ("decay", "std")}
"""Options that one of the two optimizers has; none of them has another default than nothing."""


def run_train(args: argparse.Namespace) -> None:
    """Train a network, write it to a file, and print a summary.

    Parameters
    ----------
    args : argparse.Namespace
        The options of ``fastnet train``.
    """
    _settle(args)
    check_writable(args.out)
    check_format(args.out)
    if args.resume is not None and not os.path.lexists(args.resume):
        tell(f"fastnet: there is no {args.resume} to go on from: the training starts anew")
        args.resume = None
    resumed = {} if args.resume is None else {"checkpoint": args.resume}
    refuse_overwriting(args.out, "the model", data=args.data, **resumed)
    if not args.force:
        refuse_existing(args.out, "a file")
    if args.report is not None:
        from .results.report import check_report

        check_report(args.report)
    if args.optimizer == "sgd":
        from .training.sgd import read_numbers, train_sgd

        table = read_numbers(args)
        _check_checkpoint(args)
        trained = train_sgd(table, args)
    else:
        examples = read_examples(args)
        _check_checkpoint(args)
        trained = _train_adam(examples, args)
    _finish(trained, args)


def _settle(args: argparse.Namespace) -> None:
    """Choose the optimizer and its defaults; refuse options that are the other one's."""
    if args.label is not None and args.target is not None:
        raise ValueError("--label is for classes and --target for numbers: give one of them")
    if args.optimizer is None:
        args.optimizer = "adam" if _has_table(args.data) else "sgd"
        if args.optimizer == "sgd":
            tell('fastnet: the extra table is not installed (pip install pandas pyarrow scikit-learn): plain SGD, on '
                 'numbers only')
    for name in _ONLY["sgd" if args.optimizer == "adam" else "adam"]:
        if getattr(args, name) not in (None, False, []):
            raise ValueError(f"--{name.replace('_', '-')} is not an option of --optimizer {args.optimizer}")
    for name, value in _DEFAULTS[args.optimizer].items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    if args.optimizer == "sgd" and len(args.hidden) > 1:
        raise ValueError("--optimizer sgd trains one hidden layer; several are for --optimizer adam")
    regression = args.target is not None
    if args.optimizer == "adam":
        args.loss = args.loss or ("squared_error" if regression else "log_loss")
        if (args.loss == "log_loss") == regression:
            raise ValueError(f"--loss {args.loss} is for {'classes' if regression else 'numbers, with --target'}")
        if regression and args.class_weight is not None:
            raise ValueError("--class-weight is for classes, and --target names a column of numbers")


def _has_table(data: str) -> bool:
    with contextlib.suppress(ImportError):
        import sklearn  # noqa: F401

        return has_pandas() or data.lower().endswith(".npz")
    return False


def _check_checkpoint(args: argparse.Namespace) -> None:
    if args.checkpoint is not None:
        check_writable(args.checkpoint)
        check_format(args.checkpoint)
        refuse_overwriting(args.checkpoint, "the checkpoint", "--checkpoint", data=args.data)
        if os.path.realpath(args.checkpoint) == os.path.realpath(args.out):
            raise ValueError(f"{args.out}: model and checkpoint need files of their own")


def _train_adam(examples: Examples, args: argparse.Namespace) -> Trained:
    from ..tables.learning import stratified
    from ..tables.model import TableModel
    from .inputs.tables import cast

    target, columns = examples.target, examples.columns
    N = len(target.values)
    if N < 2 or round(args.val_fraction * N) >= N:
        raise ValueError(f"{args.data}: {N} samples are too few for a training and a validation part")
    groups = target.values if target.classes is not None else np.zeros(N, int)
    used, held = stratified(groups, args.val_fraction, np.random.RandomState(args.seed))
    if not len(held):
        raise ValueError(f"{args.data}: {N} samples of {len(np.unique(groups))} classes are too few for a training and "
                         f"a validation part")
    samples = [examples.rows(part) for part in (used, held)]
    columns = columns.filled_from(samples[0])
    if args.standardize:
        columns = columns.standardized_from(samples[0])
    dtype = np.dtype(args.dtype)
    X, X_val = (cast(columns.transform(part), dtype, args.data) for part in samples)
    y, y_val = target.values[used], target.values[held]
    if args.loss == "poisson" and target.values.min() < 0:
        raise ValueError(f"{args.data}: --loss poisson is for targets of 0 or more, got {target.values.min():g}")
    # Not at the top: a fault in the data or the options is told before numba is loaded, which takes half a second.
    try:
        from .training.adam import fit
    except ImportError as error:
        if error.name != "sklearn":
            raise
        raise ImportError('--optimizer adam needs scikit-learn, and it is not installed: pip install scikit-learn',
                          name="sklearn") from None
    classes = None if target.classes is None else len(target.classes)
    done = fit(args, X, y, X_val, y_val, classes)
    model = TableModel(columns, tuple(done.layers), "relu", done.output, target.classes, examples.name)
    history = done.history
    at = done.best - 1
    ended = "then there was no more progress" if done.settled else "as many as --epochs allows"
    lines = [
        ("samples", f"{len(used)} for training, {len(held)} for validation, {columns.count} features each"
                    + (f", {columns.width} inputs" if columns.width != columns.count else "")),
        *([("classes", str(classes))] if classes is not None else []),
        ("epochs", f"{done.epochs} ({ended})" + (f", the best is {done.best}" if args.early_stopping else "")),
        ("loss", f"{history['loss'][at]:.6g} in training, {history['validation_loss'][at]:.6g} in validation"),
    ]
    if classes is not None:
        train_accuracy = float((model.places(samples[0]) == y).mean())
        lines.append(("accuracy", f"{train_accuracy:.4f} in training, {history['validation_score'][at]:.4f} in "
                                  f"validation"))
    lines.append(("time", f"{done.compile_seconds:.2f} s compiling or loading, {done.seconds:.2f} s training"))
    return Trained(model, lines, history, y_val, samples[1])


def _finish(trained: Trained, args: argparse.Namespace) -> None:
    """Write the model, print the summary, and write the report."""
    from .. import save
    from ..tables.model import TableModel
    from .results.judgement import judge

    save(trained.model, args.out)
    verdict = judge(TableModel.of(trained.model), trained.samples, trained.truth)
    print_lines([*trained.lines, *verdict.numbers, ("model", args.out)])
    if verdict.lines:
        print("\nin validation")
        print("\n".join(verdict.lines))
    if args.report is not None:
        from .results.report import write_report

        page = write_report(args.report, f"{os.path.basename(args.out)}, trained on {os.path.basename(args.data)}",
                            [*trained.lines, *verdict.numbers], verdict, trained.history)
        print_lines([("report", page)])
