"""The command line: ``fastnet demo``, ``train``, ``predict`` and ``info``.

Whatever a user can mend ends in one line on standard error and exit status 2. What is imported here at the top is
light, so that ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import csv
import math
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any, NoReturn

from ..progress import tell

if TYPE_CHECKING:
    from ..files.models import StoredModel
    from .tables import Table

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments, by default those of the process.

    Returns
    -------
    int
        The exit status: 0, 2 after an error that the user can mend, 130 after Ctrl-C, 141 when nobody reads the output.
    """
    try:
        _fill_gaps()
        status = _run(argv)
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except BrokenPipeError:
        _discard_output()
        return 141  # as a shell reports a process that SIGPIPE ended
    except (ValueError, OSError) as error:
        tell(f"fastnet: error: {_one_line(error)}")
        return 2
    except ImportError as error:
        if error.name != "safetensors":
            raise
        tell(f"fastnet: error: {_one_line(error)}")
        return 2
    except MemoryError:
        tell("fastnet: error: there is not enough memory; lower --hidden or use less data")
        return 2
    except KeyboardInterrupt:
        tell("\nfastnet: interrupted")
        return 130


def _run(argv: Sequence[str] | None) -> int:
    parser = _parser()
    args = parser.parse_args(argv)
    if args.command is None:
        parser.print_help()
        return 2
    if getattr(args, "threads", None) is not None:  # not every command has it
        from .. import set_num_threads
        set_num_threads(args.threads)
    args.command(args)
    return 0


def _fill_gaps() -> None:
    """Open the null device in the place of each standard stream that is closed.

    Else the next file that is opened has its number: the model could get what a library writes to standard error.
    """
    with suppress(OSError):
        descriptor = os.open(os.devnull, os.O_RDWR)
        while descriptor <= 2:
            descriptor = os.open(os.devnull, os.O_RDWR)
        os.close(descriptor)


def _one_line(error: Exception) -> str:
    text = str(error)
    if isinstance(error, OSError) and error.strerror:  # without the number
        text = error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    return " ".join(text.split()) or type(error).__name__


def _discard_output() -> None:
    """Send what is still buffered nowhere: the interpreter flushes standard output once more as it ends."""
    with suppress(AttributeError, OSError, ValueError):  # where standard output is no file, or not there
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


# Arguments


class _Parser(argparse.ArgumentParser):
    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message} (see {self.prog} --help)")


def _number(kind: Callable[[str], Any], what: str, accept: Callable[[Any], bool]) -> Callable[[str], Any]:
    """Return an argument type: `kind`, if `accept` says so; `what` tells users which values are right."""
    def convert(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"must be {what}, got {text!r}") from None
        if not accept(value):
            raise argparse.ArgumentTypeError(f"must be {what}, got {text}")
        return value
    return convert

_COUNT = _number(int, "a whole number from 1 to 2147483647", lambda value: 1 <= value < 2**31)
_SEED = _number(int, "a whole number from 0 to 4294967295", lambda value: 0 <= value < 2**32)
_ABOVE_0 = _number(float, "a number above 0", lambda value: 0 < value < math.inf)
_NOT_BELOW_0 = _number(float, "a number of 0 or more", lambda value: 0 <= value < math.inf)
_FRACTION = _number(float, "a number above 0 and below 1", lambda value: 0 < value < 1)
_DECAY = _number(float, "a number above 0 and not above 1", lambda value: 0 < value <= 1)


def _parser() -> _Parser:
    from .. import __version__

    parser = _Parser(prog="fastnet", description="Train and run a two-layer neural network on the CPU.")
    parser.add_argument("--version", action="version", version=f"fastnet {__version__}")
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    demo = commands.add_parser("demo", help="train on handwritten digits, in NumPy and in fastnet, and compare",
                               description="Train the plain NumPy network and fastnet on the same handwritten digits "
                                           "from the same seed, and show how they compare.")
    _option(demo, "--iterations", 1000, "number of minibatches", _COUNT, "N")
    _training_options(demo, "float64")
    _option(demo, "--out", "fastnet-demo", "folder for the pictures", str, "DIR")
    demo.set_defaults(command=_demo)

    train = commands.add_parser("train", help="train a network on your data",
                                description="Train a network on a .csv file (a header, numbers, and a column of "
                                            "labels) or an .npz file (arrays X and y), and write it to a model file.")
    train.add_argument("data", metavar="DATA", help="a .csv or an .npz file")
    train.add_argument("--label", metavar="COLUMN", help='column of the labels in a .csv (default: "label")')
    _option(train, "--hidden", 100, "number of hidden units", _COUNT, "N")
    _option(train, "--epochs", 50, "passes over the training part", _COUNT, "N")
    _option(train, "--batch", 100, "samples in a minibatch", _COUNT, "N")
    _option(train, "--rate", 0.1, "learning rate", _ABOVE_0, "X")
    _option(train, "--decay", 0.98, "the learning rate is multiplied by this after each epoch", _DECAY, "X")
    _option(train, "--reg", 1e-4, "L2 regularization", _NOT_BELOW_0, "X")
    _option(train, "--std", 0.1, "standard deviation of the initial weights", _ABOVE_0, "X")
    _option(train, "--val-fraction", 0.2, "share of the samples held back for validation", _FRACTION, "X")
    train.add_argument("--standardize", action="store_true",
                       help="bring each feature to mean 0 and standard deviation 1; predict then does the same")
    _training_options(train, "float32")
    train.add_argument("--checkpoint", metavar="FILE",
                       help="write to this file every ten seconds, after an epoch, how far the training has come")
    train.add_argument("--resume", metavar="FILE",
                       help="go on from such a file, with the same data and options (but for --epochs): the result is "
                            "that of a training that was never interrupted")
    _option(train, "--out", "model.npz", "the model file to write", str, "MODEL")
    train.set_defaults(command=_train)

    predict = commands.add_parser("predict", help="label data with a trained network",
                                  description="Label the samples of a .csv or .npz file; print a CSV with a header and "
                                              "a line for each sample.")
    predict.add_argument("model", metavar="MODEL", help="a file that fastnet train wrote")
    predict.add_argument("data", metavar="DATA", help="a .csv or an .npz file")
    predict.add_argument("--label", metavar="COLUMN",
                         help='column of a .csv to pass over (default: "label", if there is one)')
    predict.add_argument("--proba", action="store_true", help="print the probability of each class instead")
    predict.add_argument("--threads", type=_COUNT, metavar="N", help="number of threads (default: all cores)")
    predict.add_argument("--out", metavar="FILE", help="write to this file (default: standard output)")
    predict.set_defaults(command=_predict)

    info = commands.add_parser("info", help="show versions, the processor and how it is used",
                               description="Show versions, the processor and how it is used.")
    info.set_defaults(command=_info)
    return parser


def _option(parser: argparse.ArgumentParser, flag: str, default: Any, text: str, kind: Callable[[str], Any],
            metavar: str) -> None:
    parser.add_argument(flag, type=kind, default=default, metavar=metavar, help=f"{text} (default: {default})")


def _training_options(parser: argparse.ArgumentParser, dtype: str) -> None:
    _option(parser, "--seed", 0, "the same seed gives the same network", _SEED, "N")
    parser.add_argument("--dtype", choices=("float32", "float64"), default=dtype,
                        help=f"type of the network's numbers (default: {dtype})")
    parser.add_argument("--threads", type=_COUNT, metavar="N", help="number of threads (default: all cores)")
    parser.add_argument("--no-progress", dest="progress", action="store_false", help="show no progress")


# Commands

_CHECKPOINT_SECONDS = 10.0


def _demo(args: argparse.Namespace) -> None:
    from .demo import run_demo

    run_demo(args.iterations, args.seed, args.dtype, args.out, args.progress)


def _train(args: argparse.Namespace) -> None:
    from ..files.atomic import check_writable
    from ..files.containers import check_format
    from ..files.models import save_model
    from .tables import read_table

    check_writable(args.out)
    check_format(args.out)
    resumed = {} if args.resume is None else {"checkpoint": args.resume}
    _refuse_overwriting(args.out, "the model", data=args.data, **resumed)
    table = read_table(args.data, args.label)
    if args.checkpoint is not None:
        check_writable(args.checkpoint)
        check_format(args.checkpoint)
        _refuse_overwriting(args.checkpoint, "the checkpoint", "--checkpoint", data=args.data)
        if os.path.realpath(args.checkpoint) == os.path.realpath(args.out):
            raise ValueError(f"{args.out}: model and checkpoint need files of their own")
    if len(table.classes) < 2:
        raise ValueError(f"{args.data}: every sample has the label {table.classes[0]}; at least two classes are needed")

    model, lines = _fit(table, args)
    save_model(args.out, model)
    for name, text in [*lines, ("model", args.out)]:
        print(f"{name:10}{text}")


def _refuse_overwriting(out: str, what: str, option: str = "--out", **inputs: str) -> None:
    for kind, path in inputs.items():
        if os.path.exists(out) and os.path.exists(path) and os.path.samefile(out, path):
            raise ValueError(f"{out}: {what} would overwrite the {kind}; choose another {option}")


def _fit(table: Table, args: argparse.Namespace) -> tuple[StoredModel, list[tuple[str, str]]]:
    """Train a network; return it with the lines of the summary."""
    import numpy as np

    from .. import TwoLayerNet, checks
    from ..files.models import StoredModel
    from ..progress import progress_bar
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
    X = _cast(X, dtype, args.data)
    X_train, y_train, X_val, y_val = X[used], table.y[used], X[held_back], table.y[held_back]
    batch = min(args.batch, len(used))
    net = TwoLayerNet(D, args.hidden, len(table.classes), args.std, dtype=dtype, rng=rng)
    if args.progress:
        tell(f"compiling for {dtype}, or loading what was compiled before")
    compile_seconds = loop.prepare(dtype)

    options = ("rate", "decay", "reg", "std", "hidden", "seed", "dtype", "standardize", "val_fraction")
    run = {name: getattr(args, name) for name in options} | {"batch": batch, "data": data_checksum(X, table.y)}
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
    # A call for each epoch: `train` lowers the rate and checks the accuracy only where the number of iterations in
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
    import numpy as np

    with np.errstate(over="ignore", invalid="ignore"):
        mean, scale = X.mean(axis=0), X.std(axis=0)
    if not (np.isfinite(mean).all() and np.isfinite(scale).all()):
        raise ValueError("the features are too large to standardize")
    # Compared directly, as rounding leaves a constant column with a tiny deviation. One can also underflow to 0.
    constant = (X.min(axis=0) == X.max(axis=0)) | (scale == 0)
    scale[constant] = 1
    return mean, scale


def _cast(X: Any, dtype: Any, path: str) -> Any:
    """Convert features to the network's type; refuse those that are beyond it."""
    import numpy as np

    with np.errstate(over="ignore"):
        X = np.ascontiguousarray(X, dtype=dtype)
    if not np.isfinite(X).all():
        raise ValueError(f"{path}: the features are too large for {np.dtype(dtype)}")
    return X


def _predict(args: argparse.Namespace) -> None:
    from .. import TwoLayerNet
    from ..files.atomic import atomic_write, check_writable
    from ..files.models import load_model
    from .tables import read_features

    if args.out is None:
        if sys.stdout is None:
            raise ValueError("there is no standard output to write the predictions to; name a file with --out")
    else:
        check_writable(args.out)
        _refuse_overwriting(args.out, "the predictions", model=args.model, data=args.data)
    model = load_model(args.model)
    D, H, C = model.sizes
    X = read_features(args.data, args.label,
                      None if model.features is None else model.features.tolist())
    if X.shape[1] != D:
        raise ValueError(f"{args.data} has {X.shape[1]} features, and the model was trained on {D}")

    dtype = model.params["W1"].dtype
    net = TwoLayerNet(D, H, C, dtype=dtype, l2=model.l2, rng=0)
    for name, array in model.params.items():
        net.params[name][...] = array
    X = _cast(model.transform(X), dtype, args.data)
    rows: Iterable[Sequence[Any]]
    if args.proba:
        header, rows = model.classes.tolist(), net.predict_proba(X)
    else:
        names = model.classes.tolist()  # an array of strings would take as much for each as for the longest
        header, rows = ["label"], ([names[number]] for number in net.predict(X).tolist())

    if args.out is None:
        _write_csv(sys.stdout, header, rows)
    else:
        with atomic_write(args.out, "w", encoding="utf-8", newline="") as file:
            _write_csv(file, header, rows)


def _write_csv(file: IO[str], header: Sequence[Any], rows: Iterable[Sequence[Any]]) -> None:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)


def _info(args: argparse.Namespace) -> None:  # noqa: ARG001
    import platform

    import llvmlite
    import numba
    import numpy as np
    from llvmlite.binding import get_host_cpu_name
    from numba.core import config

    from .. import __version__
    from ..jit import decorators
    from ..llvm import target
    from ..parallel import threads

    settings: Any = config  # its attributes come from the environment, where type checkers do not see them
    isa = target.ISA
    lanes = {name: target.lanes(np.dtype(name).itemsize) for name in ("float32", "float64")}
    tiles = ", ".join(f"{isa.max_rows} x {isa.max_vectors * count} {name}" for name, count in lanes.items())
    cache = decorators.cache_directory()
    for name, text in (
        ("fastnet", __version__),
        ("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        ("numpy", np.__version__),
        ("numba", numba.__version__ + (", compiling nothing (NUMBA_DISABLE_JIT)" if settings.DISABLE_JIT else "")),
        ("llvmlite", llvmlite.__version__),
        ("processor", get_host_cpu_name()),
        ("vectors", f"{isa.name}, {isa.registers} registers of {isa.vector_bytes} bytes: "
                    + ", ".join(f"{count} {name}" for name, count in lanes.items())),
        ("tiles", f"up to {isa.max_rows} rows x {isa.max_vectors} vectors: {tiles}"),
        ("threads", f"{threads.get_num_threads()} of {settings.NUMBA_NUM_THREADS}, "
                    f"layer {threads.threading_layer()}"),
        ("cache", cache or "none: no folder that only this user can write to, so each process compiles anew"),
    ):
        print(f"{name:10}{text}")
