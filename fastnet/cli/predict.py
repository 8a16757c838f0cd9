"""``fastnet predict``: labels for the samples in a file, or the probability of each class."""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterable, Sequence
from typing import IO, Any

from .. import TwoLayerNet
from ..files.atomic import atomic_write, check_writable
from ..files.models import load_model
from .output import refuse_overwriting
from .tables import cast, read_features

__all__ = ["run_predict"]


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
    X = cast(model.transform(X), dtype, args.data)
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
