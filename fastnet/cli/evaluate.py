"""``fastnet evaluate``: how good a model is on data whose truth is known."""

from __future__ import annotations

import argparse
import os

from ..saving import load
from ..tables.model import TableModel
from .inputs.examples import read_truth
from .output import print_lines
from .predict import told_of_file
from .results.judgement import judge
from .results.report import check_report, write_report

__all__ = ["run_evaluate"]


def run_evaluate(args: argparse.Namespace) -> None:
    """Print how good a model is, and write a report where one is asked for.

    Parameters
    ----------
    args : argparse.Namespace
        The options of ``fastnet evaluate``.
    """
    if args.report is not None:
        check_report(args.report)
    model = TableModel.of(load(args.model))
    X, truth = read_truth(args, model)
    try:
        verdict = judge(model, X, truth)
        told_of_file(X, model)
    except ValueError as error:
        raise ValueError(f"{args.data}: {error}") from None
    lines = [("samples", str(len(truth)))]
    if model.classes is not None:
        unknown = int((truth < 0).sum())
        if unknown:
            lines.append(("unknown", f"{unknown} samples are of classes that the model does not know: they count as "
                                     f"wrong"))
        lines.append(("accuracy", f"{verdict.accuracy:.4f}"))
    lines += verdict.numbers
    print_lines(lines)
    if verdict.lines:
        print()
        print("\n".join(verdict.lines))
    if args.report is not None:
        data = "standard input" if args.data == "-" else os.path.basename(args.data)
        page = write_report(args.report, f"{os.path.basename(args.model)}, judged on {data}", lines, verdict, {})
        print_lines([("report", page)])
