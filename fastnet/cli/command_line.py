"""The command line: its arguments, and how a command ends.

Whatever a user can mend ends in one line on standard error and exit status 2. What is imported here at the top is
light, so that ``--help`` answers at once: a command is looked up when it is called.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from ..progress import tell
from .output import fill_gaps, let_go_of_output

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
        fill_gaps()
        status = _run(argv)
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except BrokenPipeError:
        return 141  # as a shell reports a process that SIGPIPE ended
    except (ValueError, OSError) as error:
        tell(f"fastnet: error: {_one_line(error)}")
        return 2
    except ImportError as error:
        if error.name not in _EXTRAS:
            raise
        tell(f"fastnet: error: {_one_line(error)}")
        return 2
    except MemoryError:
        tell("fastnet: error: there is not enough memory; lower --hidden or use less data")
        return 2
    except KeyboardInterrupt as interrupt:
        tell(f"\nfastnet: interrupted{f' {interrupt}' if str(interrupt) else ''}")
        return 130
    finally:
        let_go_of_output()


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


def _one_line(error: Exception) -> str:
    text = str(error)
    if isinstance(error, OSError) and error.strerror:  # without the number
        text = error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    return " ".join(text.split()) or type(error).__name__


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

_EXTRAS = ("matplotlib", "pandas", "pyarrow", "safetensors", "sklearn")
"""Packages that an option may need, and that whoever lacks one can install."""


def _sizes(text: str) -> list[int]:
    """The numbers of units of the hidden layers."""
    return [_COUNT(part) for part in text.split(",")]


def _separator(text: str) -> str:
    if text in ("tab", "space", "comma", "semicolon", "\\t") or len(text) == 1:
        return text
    raise argparse.ArgumentTypeError(f"must be one character, tab or space, got {text!r}")


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
                                description="Train a network on a table (text with any separator, a header and a "
                                            "column of labels or numbers to predict; also .gz, or .parquet) or an .npz "
                                            "file (arrays X and y), and write it to a model file.")
    train.add_argument("data", metavar="DATA", help="a .csv, .tsv, .csv.gz, .parquet or .npz file; - is standard input")
    train.add_argument("--label", metavar="COLUMN", help='column of the classes (default: "label")')
    train.add_argument("--target", metavar="COLUMN",
                       help="predict the numbers in this column instead of classes (of an .npz: y)")
    train.add_argument("--drop", metavar="COLUMN", action="append", default=[],
                       help="leave a column out (again for each further one)")
    train.add_argument("--category", metavar="COLUMN", action="append", default=[],
                       help="a column of numbers that stand for categories, as postal codes do (again for each)")
    _reading_options(train)
    train.add_argument("--optimizer", choices=("adam", "sgd"),
                       help="sgd is that of fastnet.TwoLayerNet, on a .csv of numbers or an .npz, without extras "
                            "(default: adam, where the extra table is installed)")
    _option(train, "--hidden", [100], "number of hidden units; 100,50 for two layers", _sizes, "N[,N]", "100")
    _two_defaults(train, "--epochs", 200, 50, "passes over the training part at most", _COUNT, "N")
    train.add_argument("--batch", type=_COUNT, metavar="N",
                       help="samples in a minibatch (default: 200, fewer where an epoch would have fewer than 20 of "
                            "them, but 32; of sgd: 100)")
    _two_defaults(train, "--rate", 0.001, 0.1, "learning rate", _ABOVE_0, "X")
    train.add_argument("--decay", type=_DECAY, metavar="X",
                       help="the learning rate is multiplied by this after each epoch (sgd only; default: 0.98)")
    _option(train, "--reg", 1e-4, "L2 regularization", _NOT_BELOW_0, "X")
    train.add_argument("--std", type=_ABOVE_0, metavar="X",
                       help="standard deviation of the initial weights (sgd only; default: 0.1)")
    train.add_argument("--loss", choices=("log_loss", "squared_error", "poisson"),
                       help="log_loss is for classes, the others for --target: poisson for counts (default: log_loss "
                            "or squared_error)")
    train.add_argument("--class-weight", choices=("balanced",),
                       help="have all classes weigh the same, however many samples they have")
    train.add_argument("--early-stopping", action="store_true",
                       help="stop when the loss on the validation part no longer improves, and keep the best epoch "
                            "(default: stop when the loss in training no longer does)")
    _option(train, "--patience", 10, "epochs without improvement to wait for", _COUNT, "N")
    _two_defaults(train, "--val-fraction", 0.1, 0.2, "share of the samples held back for validation, by adam the same "
                                                     "of each class", _FRACTION, "X")
    train.add_argument("--standardize", action=argparse.BooleanOptionalAction, default=True,
                       help="bring each column of numbers to mean 0 and standard deviation 1, now and in predictions "
                            "(default: yes)")
    _training_options(train, "float32")
    train.add_argument("--checkpoint", metavar="FILE",
                       help="write to this file every ten seconds, after an epoch, and at Ctrl-C, how far the training "
                            "has come")
    train.add_argument("--resume", metavar="FILE",
                       help="go on from such a file, with the same data and options (but for --epochs): the result is "
                            "that of a training that was never interrupted; without such a file, start anew")
    _option(train, "--out", "model.npz", "the model file to write", str, "MODEL")
    train.add_argument("--force", action="store_true", help="replace a model file that is there")
    _report_option(train)
    train.set_defaults(command=_train)

    evaluate = commands.add_parser("evaluate", help="say how good a model is on data whose classes are known",
                                   description="Say how good a model is on a table or an .npz file: accuracy of each "
                                               "class and confusion matrix, or R2 and errors.")
    _model_and_data(evaluate)
    evaluate.add_argument("--label", "--target", metavar="COLUMN", dest="label",
                          help="column with the truth (default: the one of the training)")
    _reading_options(evaluate)
    evaluate.add_argument("--threads", type=_COUNT, metavar="N", help="number of threads (default: all cores)")
    _report_option(evaluate)
    evaluate.set_defaults(command=_evaluate)

    predict = commands.add_parser("predict", help="label data with a trained network",
                                  description="Label the samples of a table or an .npz file, or predict their numbers; "
                                              "print a CSV with a header and a line for each sample.")
    _model_and_data(predict)
    predict.add_argument("--label", metavar="COLUMN",
                         help="column to pass over (default: that of the training, if there is one)")
    _reading_options(predict)
    predict.add_argument("--proba", action="store_true", help="print the probability of each class instead")
    predict.add_argument("--threads", type=_COUNT, metavar="N", help="number of threads (default: all cores)")
    predict.add_argument("--out", metavar="FILE", help="write to this file (default: standard output)")
    predict.set_defaults(command=_predict)

    warmup = commands.add_parser("warmup", help="compile ahead of the first call, for a container's image say",
                                 description="Compile what models need, or load it where it is there, and show what "
                                             "was done, how long it took and where it is kept.")
    warmup.add_argument("--dtype", choices=("float32", "float64", "both"), default="both",
                        help="type of the models' numbers (default: both)")
    warmup.add_argument("--layers", type=_COUNT, nargs="+", metavar="N",
                        help="what fastnet.sklearn's estimators with N hidden layers need, too")
    warmup.set_defaults(command=_warmup)

    info = commands.add_parser("info", help="show versions, the processor and how it is used",
                               description="Show versions, the processor and how it is used.")
    info.set_defaults(command=_info)
    return parser


def _option(parser: argparse.ArgumentParser, flag: str, default: Any, text: str, kind: Callable[[str], Any],
            metavar: str, shown: str | None = None) -> None:
    parser.add_argument(flag, type=kind, default=default, metavar=metavar, help=f"{text} (default: {shown or default})")


def _two_defaults(parser: argparse.ArgumentParser, flag: str, adam: Any, sgd: Any, text: str,
                  kind: Callable[[str], Any], metavar: str) -> None:
    parser.add_argument(flag, type=kind, metavar=metavar, help=f"{text} (default: {adam}; of sgd: {sgd})")


def _model_and_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a file that fastnet train, or the save of a model, wrote")
    parser.add_argument("data", metavar="DATA",
                        help="a .csv, .tsv, .csv.gz, .parquet or .npz file; - is standard input")


def _reading_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--separator", type=_separator, metavar="X",
                        help="what is between two columns: a character, tab or space (default: what the first line has "
                             "the most of)")
    parser.add_argument("--decimal", choices=(".", ","), default=".", metavar="X",
                        help="the decimal point (default: .)")
    parser.add_argument("--missing", metavar="TEXT", action="append", default=[],
                        help="what stands for a missing value, besides nothing, NA, NaN, null and ? (again for each)")


def _report_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--report", metavar="DIR",
                        help="write pictures, and a page that shows all, into this folder (extra plot)")


def _training_options(parser: argparse.ArgumentParser, dtype: str) -> None:
    _option(parser, "--seed", 0, "the same seed gives the same network", _SEED, "N")
    parser.add_argument("--dtype", choices=("float32", "float64"), default=dtype,
                        help=f"type of the network's numbers (default: {dtype})")
    parser.add_argument("--threads", type=_COUNT, metavar="N", help="number of threads (default: all cores)")
    parser.add_argument("--no-progress", dest="progress", action="store_false", help="show no progress")


# Commands


def _demo(args: argparse.Namespace) -> None:
    from .demo import run_demo

    run_demo(args.iterations, args.seed, args.dtype, args.out, args.progress, args.threads)


def _train(args: argparse.Namespace) -> None:
    from .train import run_train

    run_train(args)


def _predict(args: argparse.Namespace) -> None:
    from .predict import run_predict

    run_predict(args)


def _warmup(args: argparse.Namespace) -> None:
    from .warmup import run_warmup

    run_warmup(args.dtype, args.layers)


def _evaluate(args: argparse.Namespace) -> None:
    from .evaluate import run_evaluate

    run_evaluate(args)


def _info(args: argparse.Namespace) -> None:  # noqa: ARG001
    from .info import run_info

    run_info()
