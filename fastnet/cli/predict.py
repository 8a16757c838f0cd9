"""``fastnet predict``: labels for the samples in a file, or the probability of each class; or numbers."""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterable, Sequence
from typing import IO, Any

from ..files.atomic import atomic_write, check_writable
from ..progress import tell
from ..saving import load
from ..tables.model import TableModel
from .inputs.examples import read_samples, without_column
from .inputs.tables import DEFAULT_LABEL
from .output import refuse_overwriting

__all__ = ["run_predict", "told_of_file"]


def run_predict(args: argparse.Namespace) -> None:
    """Label samples, and write a CSV with a header and a line for each of them.

    Parameters
    ----------
    args : argparse.Namespace
        The options of ``fastnet predict``.
    """
    if args.out is None:
        if sys.stdout is None:
            raise ValueError("there is no standard output to write the predictions to; name a file with --out")
    else:
        check_writable(args.out)
        refuse_overwriting(args.out, "the predictions", model=args.model, data=args.data)
    model = TableModel.of(load(args.model))
    if args.proba and model.classes is None:
        raise ValueError(f"{args.model} predicts numbers, which have no probabilities: leave out --proba")
    X = read_samples(args, model)
    X = without_column(X, args.label or model.target or DEFAULT_LABEL, model) if hasattr(X, "columns") else X
    rows: Iterable[Sequence[Any]]
    try:
        if args.proba:
            header, rows = _names(model), model.predict_proba(X)
        elif model.classes is not None:
            # By their places: an array of strings would take as much for each as for the longest.
            names = _names(model)
            header, rows = ["label"], ([names[place]] for place in model.places(X).tolist())
        else:
            values = model.predict(X)
            header = [model.target or "prediction"]
            rows = ([value] for value in values.tolist()) if values.ndim == 1 else values.tolist()
            if values.ndim > 1:
                header = [f"{header[0]}{number}" for number in range(1, values.shape[1] + 1)]
        told_of_file(X, model)
    except ValueError as error:
        raise ValueError(f"{args.data}: {error}") from None

    if args.out is None:
        _write_csv(sys.stdout, header, rows)
    else:
        with atomic_write(args.out, "w", encoding="utf-8", newline="") as file:
            _write_csv(file, header, rows)


def told_of_file(X: Any, model: TableModel) -> None:
    """Tell of categories that the training has not seen."""
    for column, new in model.columns.unknown(X).items():
        shown = ", ".join(map(repr, new[:5])) + (f" and {len(new) - 5} more" if len(new) > 5 else "")
        tell(f"fastnet: note: column {column} holds categories that the training has not seen, or left out: {shown}")


def _names(model: TableModel) -> list[Any]:
    return [] if model.classes is None else model.classes.tolist()


def _write_csv(file: IO[str], header: Sequence[Any], rows: Iterable[Sequence[Any]]) -> None:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
