"""The rows of calls.py: whole calls, each behind the same few lines, and how it is known that two sides do the same.

calls.py runs this program in processes of their own. PYTHONPATH says which checkout of fastnet is measured: it is
imported before this folder's parent is on the path, so two checkouts are measured by the same benchmark.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import json
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import fastnet

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.registry import COMPARISONS, DTYPES, IMPLEMENTATIONS, Case
from bench.timing import seconds_per_call
from fastnet import kernels, reference
from fastnet.datasets import load_digits

# Of fastnet nothing but what users have: another checkout may have other folders.

Array = np.ndarray[Any, Any]
Data = tuple[Array, Array, Array, Array]
Call = Callable[[], Any]

SEED = 1
SPAN = 0.5
"""Seconds for which a call is repeated that needs a new model each time."""

SAMPLES = 10_000
"""How many of CIFAR-10's 49 000 training samples, unless calls.py is told otherwise: these take 250 MB."""

CLOSE = {"float32": 1e-4, "float64": 1e-9}
"""How far two losses of a training may lie apart, relatively: a hundred times what rounding makes of it, and more."""

LABELS = {"float32": 0.01, "float64": 0.0}
"""Fraction of labels that rounding may turn."""

MODULES = {"scikit-learn": "sklearn.neural_network", "fastnet": "fastnet.sklearn"}


@dataclass(frozen=True)
class Row:
    """A call that is timed from its beginning to its return."""

    what: str
    """For people."""
    make: Callable[[str, str, bool], Call]
    """Given a side, a dtype and whether it is to warm up only: a call that is ready to be made, on a model of its own.

    To warm up, that is a shorter call of the same kind.
    """
    check: Callable[[Any, Any, str], None]
    """Called with fastnet's result, the peer's and the dtype; raises AssertionError unless they agree."""
    peer: str = "NumPy"
    dtypes: tuple[str, ...] = ("float64",)
    fresh: bool = False
    """The call changes its model, so each has a new one."""
    once: bool = False
    """Only the first in a process is timed."""
    calls: int = 1
    """So many of the user's calls are one of `make`'s."""
    one_thread: bool = False
    """Timed with one thread only."""
    process: str = ""
    """Rows with the same one are timed in the same process, one after the other."""

    def threads(self, counts: list[int]) -> list[int]:
        """With how many threads it is timed, of these."""
        return [1] if self.one_thread else counts

    def verify(self, dtype: str) -> float:
        """Raise AssertionError unless both sides do the same; return the size of what the peer has found."""
        actual, expected = (self.make(side, dtype, False)() for side in ("fastnet", self.peer))
        self.check(actual, expected, dtype)
        return size(expected)

    def seconds(self, side: str, dtype: str) -> float:
        """Duration of a call in this process, warm."""
        if not self.fresh:
            return seconds_per_call(self.make(side, dtype, False))
        self.make(side, dtype, True)()
        times: list[float] = []
        while not times or (not self.once and sum(times) < SPAN):
            call = self.make(side, dtype, False)
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
        return median(times) / self.calls


def size(result: Any) -> float:
    """The sum of all numbers of a result, without their signs: two checkouts that do the same have the same."""
    if isinstance(result, dict):
        return sum(map(size, result.values()))
    if isinstance(result, tuple | list):
        return sum(map(size, result))
    return float(np.abs(np.asarray(getattr(result, "loss_", result), np.float64)).sum())


# ---- training --------------------------------------------------------------------------------------------------------


@functools.cache
def _toy(_: str) -> Data:
    """The course's toy problem."""
    X, y = 10 * np.random.RandomState(SEED).standard_normal((5, 4)), np.array([0, 1, 2, 2, 1])
    return X, y, X, y


@functools.cache
def _clusters(_: str) -> Data:
    """Three clusters in four dimensions: 1000 samples, and 200 to validate."""
    random = np.random.RandomState(SEED)
    centers, y = random.standard_normal((3, 4)), random.randint(3, size=1200)
    X = centers[y] + random.standard_normal((1200, 4))
    return X[:1000], y[:1000], X[1000:], y[1000:]


@functools.cache
def _digits(dtype: str) -> Data:
    X, y = load_digits()
    X = X.astype(dtype)
    return X[:1400], y[:1400], X[1400:], y[1400:]


@functools.cache
def _pixels(samples: int, convert: Callable[[Array], Array]) -> Data:
    """Images of CIFAR-10's size, brighter from class to class, and 1000 to validate."""
    random = np.random.RandomState(SEED)
    y = random.randint(10, size=samples + 1000)
    X = random.randint(156, size=(len(y), 3072), dtype=np.uint8)
    X += (10 * y[:, None]).astype(np.uint8)
    return convert(X[:samples]), y[:samples], convert(X[samples:]), y[samples:]


def _floats(X: Array) -> Array:
    return X / 255


def _same_history(actual: Any, expected: Any, dtype: str) -> None:
    for name, rtol, atol in (("loss_history", CLOSE[dtype], 0.0), ("train_acc_history", 0.0, LABELS[dtype]),
                             ("val_acc_history", 0.0, LABELS[dtype])):
        np.testing.assert_allclose(actual[name], expected[name], rtol, atol, err_msg=name)


def _training(what: str, data: Callable[[str], Data], sizes: tuple[int, int, int], *, std: float, batch: int,
              steps: int, rate: float, reg: float, **options: Any) -> Row:
    """A whole `train`, which draws from NumPy's global generator, as it does by default."""
    def make(side: str, dtype: str, warming: bool) -> Call:
        X, y, X_val, y_val = data(dtype)
        if warming:  # in memory of its own and the same layout
            X, y = X[:2 * batch].copy("K"), y[:2 * batch]
        np.random.seed(SEED)
        net = IMPLEMENTATIONS[side.lower()](*sizes, std=std, dtype=np.dtype(dtype))
        return functools.partial(net.train, X, y, X_val[:batch] if warming else X_val,
                                 y_val[:batch] if warming else y_val, learning_rate=rate, reg=reg,
                                 num_iters=min(steps, 10) if warming else steps, batch_size=batch)

    return Row(what, make, _same_history, fresh=True, **options)


def _cifar(samples: int, what: str, convert: Callable[[Array], Array] = _floats, rate: float = 1e-3, steps: int = 300,
           **options: Any) -> Row:
    return _training(f"`train`, {samples} x 3072-50-10, {what}, batch 200, {steps} iterations",
                     lambda _: _pixels(samples, convert), (3072, 50, 10), std=1e-2, batch=200, steps=steps, rate=rate,
                     reg=1e-3, once=True, **options)


def _training_rows(samples: int) -> dict[str, Row]:
    digits = {f"digits-{batch}": _training(
        f"`train`, digits, H 100, batch {batch}, 1000 iterations", _digits, (64, 100, 10), std=1e-2, batch=batch,
        steps=1000, rate=0.5, reg=1e-3, dtypes=DTYPES) for batch in (200, 100)}
    return {
        "toy": _training("`train`, the course's toy problem: 5 x 4-10-3, batch 200, 100 iterations", _toy, (4, 10, 3),
                         std=1e-1, batch=200, steps=100, rate=1e-1, reg=5e-6),
        "clusters": _training("`train`, 1000 x 4-10-3, batch 50, 1000 iterations", _clusters, (4, 10, 3), std=1e-1,
                              batch=50, steps=1000, rate=1e-1, reg=1e-3),
        **digits,
        "cifar-default": _cifar(samples, "X in float64"),
        "cifar-one-thread": _cifar(samples, "one thread", steps=100, one_thread=True),
        "cifar-float32": _cifar(samples, "X in float32", lambda X: np.divide(X, 255, dtype=np.float32)),
        "cifar-uint8": _cifar(samples, "X in uint8", np.copy, rate=1e-8),
        "cifar-fortran": _cifar(samples, "X in Fortran order", lambda X: np.asfortranarray(X / 255)),
    }


# ---- the course's Solver, and the book's network ---------------------------------------------------------------------


class _SolverNet(reference.TwoLayerNet):
    """The course's network for a Solver in NumPy; a Solver takes its steps in Python, as the course's does."""

    def __init__(self, inputs: int, hidden: int, classes: int, scale: float, reg: float) -> None:
        super().__init__(inputs, hidden, classes, scale, l2="half")
        self.reg = reg

    def loss(self, X: Array, y: Array | None = None) -> Any:
        """Scores, or loss and gradients."""
        return super().loss(X, y, self.reg)


def _trained(solver: Any) -> dict[str, list[float]]:
    solver.train()
    return {name: getattr(solver, name) for name in ("loss_history", "train_acc_history", "val_acc_history")}


def _solver(what: str, data: Callable[[str], Data], sizes: tuple[int, int, int], *, scale: float, rule: str,
            rate: float, batch: int, epochs: int, **options: Any) -> Row:
    """A whole `Solver.train`."""
    def make(side: str, dtype: str, warming: bool) -> Call:
        from fastnet.cs231n.classifiers.fc_net import TwoLayerNet
        from fastnet.cs231n.solver import Solver

        X, y, X_val, y_val = data(dtype)
        most = slice(2 * batch if warming else None)
        np.random.seed(SEED)
        net = (TwoLayerNet if side == "fastnet" else _SolverNet)(*sizes, scale, 1e-3)
        solver = Solver(net, {"X_train": X[most], "y_train": y[most], "X_val": X_val[most], "y_val": y_val[most]},
                        update_rule=rule, optim_config={"learning_rate": rate}, lr_decay=0.95, batch_size=batch,
                        num_epochs=1 if warming else epochs, verbose=False)
        return functools.partial(_trained, solver)

    return Row(f"`Solver.train`, {what}, {rule}, batch {batch}, {epochs} epochs", make, _same_history, fresh=True,
               **options)


class _BookNet:
    """The book's network of chapter 5 in NumPy, with what its layers do, one after the other.

    `gradient` asks for the loss first, and takes the delta through all layers, down to that of the samples.
    """

    def __init__(self, inputs: int, hidden: int, classes: int) -> None:
        W1, W2 = 0.01 * np.random.randn(inputs, hidden), 0.01 * np.random.randn(hidden, classes)
        self.params = {"W1": W1, "b1": np.zeros(hidden), "W2": W2, "b2": np.zeros(classes)}

    def _scores(self, x: Array) -> Array:
        W1, b1, W2, b2 = self.params.values()
        below = np.dot(x, W1) + b1
        self._mask = below <= 0
        self._A = below.copy()
        self._A[self._mask] = 0
        return np.dot(self._A, W2) + b2

    def gradient(self, x: Array, t: Array) -> dict[str, Array]:
        """The gradient of each parameter, given one-hot rows."""
        self.loss(x, t)
        W1, _, W2, _ = self.params.values()
        delta = (self._P - t) / len(x)
        below, dW2, db2 = np.dot(delta, W2.T), np.dot(self._A.T, delta), np.sum(delta, axis=0)
        below[self._mask] = 0
        self._dx, dW1, db1 = np.dot(below, W1.T), np.dot(x.T, below), np.sum(below, axis=0)
        return {"W1": dW1, "b1": db1, "W2": dW2, "b2": db2}

    def loss(self, x: Array, t: Array) -> float:
        """The loss with 1e-7 in the logarithm."""
        Z = self._scores(x).T
        Z = Z - np.max(Z, axis=0)
        self._P = (np.exp(Z) / np.sum(np.exp(Z), axis=0)).T
        return float(-np.sum(np.log(self._P[np.arange(len(x)), t.argmax(axis=1)] + 1e-7)) / len(x))

    def accuracy(self, x: Array, t: Array) -> float:
        """The fraction of right labels."""
        return float(np.sum(self._scores(x).argmax(axis=1) == t.argmax(axis=1)) / float(len(x)))


def _book(name: str, rows: int) -> Row:
    """A call of the book's network, 784-50-10."""
    def make(side: str, dtype: str, warming: bool) -> Call:
        from fastnet.dlfs.ch05.two_layer_net import TwoLayerNet

        random = np.random.RandomState(SEED)
        x, t = random.random_sample((rows, 784)), np.eye(10)[random.randint(10, size=rows)]
        np.random.seed(SEED)
        net = (TwoLayerNet if side == "fastnet" else _BookNet)(784, 50, 10)
        return functools.partial(getattr(net, name), x, t)

    def check(actual: Any, expected: Any, dtype: str) -> None:
        for key in expected if isinstance(expected, dict) else [...]:
            one, other = (result[key] if isinstance(result, dict) else result for result in (actual, expected))
            np.testing.assert_allclose(one, other, rtol=CLOSE[dtype], atol=1e-12)

    return Row(f"`{name}(x, t)` of the book's network, {rows} x 784-50-10", make, check)


def _course_rows(samples: int) -> dict[str, Row]:
    return {
        **{f"solver-digits-{rule}": _solver("digits, 64-100-10", _digits, (64, 100, 10), scale=1e-1, rule=rule,
                                            rate=rate, batch=100, epochs=10)
           for rule, rate in (("sgd", 0.3), ("adam", 1e-3))},
        "solver-cifar": _solver(f"{samples} x 3072-100-10", lambda _: _pixels(samples, _floats), (3072, 100, 10),
                                scale=1e-3, rule="sgd", rate=1e-3, batch=200, epochs=6, once=True),
        **{f"book-{name}": _book(name, rows) for name, rows in (("gradient", 100), ("loss", 100), ("accuracy", 10000))},
    }


# ---- estimators ------------------------------------------------------------------------------------------------------


def _classifier(side: str, **parameters: Any) -> Any:
    return importlib.import_module(MODULES[side]).MLPClassifier(random_state=0, **parameters)


def _same_fit(actual: Any, expected: Any, dtype: str) -> None:
    X, _ = load_digits()
    np.testing.assert_array_equal(actual.predict(X), expected.predict(X))
    np.testing.assert_allclose(actual.loss_curve_, expected.loss_curve_, rtol=CLOSE[dtype], atol=0)


def _same_minimum(actual: Any, expected: Any, dtype: str) -> None:
    # A search for the minimum may take another path where a number is rounded otherwise, to a place as good.
    X, _ = load_digits()
    assert np.mean(actual.predict(X) != expected.predict(X)) <= 0.01, "other labels"
    assert abs(actual.n_iter_ - expected.n_iter_) <= 0.1 * expected.n_iter_, "another number of iterations"
    np.testing.assert_allclose(actual.loss_, expected.loss_, rtol=0.2, atol=0)


def _fit(what: str, check: Callable[[Any, Any, str], None], **parameters: Any) -> Row:
    def make(side: str, dtype: str, warming: bool) -> Call:
        X, y = load_digits()
        if warming:
            return functools.partial(_classifier(side, **parameters, max_iter=2).fit, X[:400], y[:400])
        return functools.partial(_classifier(side, **parameters).fit, X, y)

    return Row(what, make, check, "scikit-learn", fresh=True)


def _partial_fit(rows: int) -> Row:
    """`partial_fit` call by call, on one part of the digits after the other."""
    calls = 50

    def make(side: str, dtype: str, warming: bool) -> Call:
        X, y = load_digits()
        estimator = _classifier(side)
        parts = [slice(start, start + rows) for start in np.arange(calls + 1) * rows % (len(X) - rows)]
        estimator.partial_fit(X[parts[0]], y[parts[0]], classes=np.arange(10))

        def call() -> Any:
            for part in parts[1:]:
                estimator.partial_fit(X[part], y[part])
            return estimator

        return call

    return Row(f"`partial_fit` of {rows} rows, digits", make, _same_fit, "scikit-learn", fresh=True, calls=calls)


def _estimator_rows() -> dict[str, Row]:
    return {
        "early-stopping": _fit("`MLPClassifier(early_stopping=True).fit`, digits", _same_fit, early_stopping=True),
        **{f"partial-fit-{rows}": _partial_fit(rows) for rows in (1, 32, 200)},
        "lbfgs": _fit('`MLPClassifier(solver="lbfgs").fit`, digits', _same_minimum, solver="lbfgs"),
    }


# ---- short calls -----------------------------------------------------------------------------------------------------


def _compared(what: str, name: str, case: Case, **options: Any) -> Row:
    """A comparison of the registry."""
    comparison = COMPARISONS[name]

    def make(side: str, dtype: str, warming: bool) -> Call:
        implementation = side.lower()
        return functools.partial(comparison.functions[implementation], *comparison.make(implementation, case, dtype))

    def check(actual: Any, expected: Any, dtype: str) -> None:
        comparison.check(actual, expected, *comparison.make("numpy", case, dtype))

    return Row(what, make, check, dtypes=DTYPES, **options)


SIZES = {"toy": Case(4, 10, 3, 5), "digits": Case(64, 100, 10, 200), "cifar": Case(3072, 50, 10, 200)}


def _shape(case: Case) -> str:
    return f"{case.batch} x {case.inputs}-{case.hidden}-{case.classes}"


def _short_rows() -> dict[str, Row]:
    digits = SIZES["digits"]
    return {
        **{f"loss-{size}": _compared(f"`loss(X, y)`, {_shape(case)}", "loss", case) for size, case in SIZES.items()},
        "scores-toy": _compared(f"`loss(X)`, {_shape(SIZES['toy'])}", "scores", SIZES["toy"]),
        **{f"predict-{rows}": _compared(f"`predict`, {_shape(digits._replace(batch=rows))}", "predict",
                                        digits._replace(batch=rows)) for rows in (1, 100, 397)},
    }


KERNEL_SHAPES = ((5, 4, 10), (50, 4, 10), (200, 64, 100), (128, 784, 128), (200, 3072, 50), (150, 1500, 260),
                 (1024, 784, 1024))
"""Samples, inputs and hidden units."""

KERNELS = [name for name in COMPARISONS if name in kernels.__all__]


def _kernel_rows() -> dict[str, Row]:
    rows = {}
    for N, D, H in KERNEL_SHAPES:
        shape = f"{N}x{D}x{H}"
        for name in KERNELS:
            case = Case(D, H, 3 if D == 4 else 10, N)
            rows[f"kernels-{shape}-{name}"] = _compared(f"`{name}`, {shape}", name, case, process=f"kernels-{shape}")
    return rows


def all_rows(samples: int = SAMPLES) -> dict[str, Row]:
    """Each row by its name."""
    return {**_training_rows(samples), **_course_rows(samples), **_estimator_rows(), **_short_rows(),
            **_kernel_rows()}


# ---- a process of calls.py -------------------------------------------------------------------------------------------


def main() -> None:
    """Compare the sides of some rows, or time one; print where fastnet is from, and sizes of results or seconds."""
    parser = argparse.ArgumentParser(description="A process of bench/calls.py.")
    parser.add_argument("--verify", action="store_true")
    parser.add_argument("--side", default="fastnet")
    parser.add_argument("--rows", nargs="+", required=True)
    parser.add_argument("--dtypes", nargs="+", required=True)
    parser.add_argument("--samples", type=int, required=True)
    options = parser.parse_args()
    rows = all_rows(options.samples)
    figures = {}
    warnings.filterwarnings("ignore", "Stochastic Optimizer|lbfgs failed to converge")  # scikit-learn's, of few epochs
    for name in options.rows:
        for dtype in rows[name].dtypes:
            if dtype in options.dtypes:
                figures[f"{name} {dtype}"] = (rows[name].verify(dtype) if options.verify
                                              else rows[name].seconds(options.side, dtype))
    print(json.dumps({"checkout": str(Path(fastnet.__file__).resolve().parent.parent), "figures": figures}))


if __name__ == "__main__":
    main()
