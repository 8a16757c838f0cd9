"""What the commands learn from and predict for: tables as data frames, or arrays of an .npz, with the truth taken out.

Where pandas is not installed, a .csv of numbers is read by :mod:`fastnet.cli.tables`.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...files.npz import read_npz
from ...progress import tell
from ...tables.columns import Columns
from ...tables.learning import Target, class_target, learn, number_target
from .frames import has_pandas, is_table, pandas, read_frame
from .tables import DEFAULT_LABEL, read_features, read_labelled_npz

if TYPE_CHECKING:
    from ...tables.model import TableModel

__all__ = ["Examples", "read_examples", "read_samples", "read_truth"]

Array = NDArray[Any]


class Examples(NamedTuple):
    """Samples with their truth."""

    samples: Any
    """A data frame, or an array (N, D)."""
    target: Target
    columns: Columns
    name: str | None
    """Of the column with the truth."""

    def rows(self, places: NDArray[np.intp]) -> Any:
        """The samples at these places."""
        return self.samples[places] if isinstance(self.samples, np.ndarray) else self.samples.iloc[places]


def read_examples(args: argparse.Namespace) -> Examples:
    """Read what ``fastnet train`` learns from, and tell what is remarkable about it.

    Parameters
    ----------
    args : argparse.Namespace
        The options of ``fastnet train``.
    """
    if args.data.lower().endswith(".npz"):
        return _read_npz(args)
    _check_kind(args.data)
    pandas(f"--optimizer adam with {args.data}")
    name = args.target if args.target is not None else DEFAULT_LABEL if args.label is None else args.label
    frame = read_frame(args.data, None if args.target is not None else name, args.separator, args.decimal, args.missing)
    if name not in frame.columns:
        only = "; is --separator right?" if len(frame.columns) == 1 else ""
        raise ValueError(f"{args.data}: there is no column {name!r}; name the column of the labels with --label, or "
                         f"the one of the numbers to predict with --target (the columns are "
                         f"{_listed(frame.columns)}{only})")
    try:
        target, notices = (class_target if args.target is None else number_target)(frame[name], name)
        samples = frame.drop(columns=name)[target.known]
        if not len(samples.columns):
            raise ValueError(f"there are no features, only the column {name!r}")
        columns, more = learn(samples, args.drop, args.category)
    except ValueError as error:
        raise ValueError(f"{args.data}: {error}") from None
    for notice in [*notices, *more]:
        tell(f"fastnet: note: {notice}")
    return Examples(samples, target, columns, name)


def _read_npz(args: argparse.Namespace) -> Examples:
    for option in ("drop", "category", "separator", "missing"):
        if getattr(args, option):
            raise ValueError(f"{args.data}: --{option} is for tables; an .npz has no columns with names")
    if args.target is not None:
        if args.target != "y":
            raise ValueError(f"{args.data}: an .npz has its numbers in the member y: --target y")
        X, arrays = read_features(args.data), read_npz(args.data, ("y",))
        y = arrays.get("y")
        if y is None or y.shape != (len(X),) or y.dtype.kind not in "biuf":
            raise ValueError(f"{args.data}: y must be numbers of the shape {(len(X),)}, one for each row of X, got "
                             + ("nothing" if y is None else f"{y.dtype} of the shape {y.shape}"))
        try:
            target, notices = number_target(y, "y")
        except ValueError as error:
            raise ValueError(f"{args.data}: {error}") from None
        for notice in notices:
            tell(f"fastnet: note: {notice}")
        X = X[target.known]
    else:
        X, y, classes = read_labelled_npz(args.data, args.label)
        if len(classes) < 2:
            raise ValueError(f"{args.data}: every sample has the label {classes[0]}; at least two classes are needed")
        target = Target(y, classes, np.ones(len(y), bool))
    return Examples(X, target, Columns.of_numbers(X.shape[1]), None)


def read_samples(args: argparse.Namespace, model: TableModel) -> Any:
    """Read samples for a model: a data frame, or an array; their truth may be among the columns of a frame.

    Parameters
    ----------
    args : argparse.Namespace
        The options of ``fastnet predict`` or ``fastnet evaluate``.
    model : TableModel
    """
    columns = model.columns
    names = None if columns.names is None else list(columns.names)
    if args.data.lower().endswith(".npz"):
        X: Any = read_features(args.data)
        width = X.shape[1]
    elif not has_pandas() and args.data.lower().endswith(".csv"):
        if columns.booleans or columns.categories:
            pandas("a model of categories or booleans")
        X = read_features(args.data, args.label, names)
        width = X.shape[1]
    else:
        _check_kind(args.data)
        label = args.label if args.label is not None else model.target or DEFAULT_LABEL
        X = read_frame(args.data, label if model.classes is not None else None, args.separator, args.decimal,
                       args.missing)
        if args.label is not None and args.label not in X.columns:
            raise ValueError(f"{args.data}: there is no column {args.label!r} (the columns are {_listed(X.columns)})")
        width = columns.count if names is not None else len(X.columns) - (label in X.columns)
    if width != columns.count:
        raise ValueError(f"{args.data} has {width} features, and the model was trained on {columns.count}")
    return X


def read_truth(args: argparse.Namespace, model: TableModel) -> tuple[Any, Array]:
    """Read samples with their truth: the places of their classes, -1 for one that the model does not know; or numbers.

    Parameters
    ----------
    args : argparse.Namespace
        The options of ``fastnet evaluate``.
    model : TableModel
    """
    if args.data.lower().endswith(".npz"):
        if args.label is not None:
            raise ValueError(f"{args.data}: an .npz file has its labels in the member y; --label is for tables")
        if model.classes is not None:
            X, y, classes = read_labelled_npz(args.data)
            truth = model.class_indices(classes[y])
            model.refuse_unknown(truth, classes[y])
            return X, truth
        args.target, args.drop, args.category = "y", [], []
        examples = _read_npz(args)
        return examples.samples, examples.target.values
    pandas(f"evaluating on {args.data}")
    X = read_samples(args, model)
    name = args.label if args.label is not None else model.target or DEFAULT_LABEL
    if name not in X.columns:
        raise ValueError(f"{args.data}: there is no column {name!r} with the truth; name it with --label (the columns "
                         f"are {_listed(X.columns)})")
    try:
        if model.classes is None:
            target, notices = number_target(X[name], name)
            X, truth = X[target.known], target.values
        else:
            known = ~X[name].isna().to_numpy(bool)
            notices = [] if known.all() else [f"{int((~known).sum())} rows have no label: they are left out"]
            X = X[known]
            truth = model.class_indices(X[name])
            if not len(X):
                raise ValueError(f"the label {name!r} has no value in any row")
            model.refuse_unknown(truth, X[name])
    except ValueError as error:
        raise ValueError(f"{args.data}: {error}") from None
    for notice in notices:
        tell(f"fastnet: note: {notice}")
    return without_column(X, name, model), truth


def without_column(X: Any, name: str, model: TableModel) -> Any:
    """A data frame without a column, where the model goes by the order of the columns."""
    return X.drop(columns=name) if model.columns.names is None and name in X.columns else X


def _check_kind(path: str) -> None:
    if not is_table(path):
        raise ValueError(f"{path}: data must be a table (.csv, .tsv or .txt, also with .gz, or .parquet), in an .npz "
                         f"file, or - for standard input")


def _listed(names: Any) -> str:
    shown = ", ".join(map(repr, list(names)[:8]))
    return shown if len(names) <= 8 else f"{shown} and {len(names) - 8} more"
