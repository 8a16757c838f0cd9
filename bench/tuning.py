"""Measure the numbers of fastnet/tuning.py: for each the curve around today's value, on the machine at hand.

    python bench/tuning.py [--numbers NAME ...] [--repeats N] [--markdown FILE]

Each value of a number is measured in processes of its own, in turn with the others, today's among them. A process first
sets the number and then imports the rest of fastnet, so that every module, and all that is compiled, has it from the
beginning; it says afterwards what the modules have. A value in compiled code has a cache of compiled functions of its
own, in a temporary folder, and has to be compiled first: seconds for a kernel, a minute for a training step. Where
several sizes are measured, the figure is the geometric mean. Every figure is the median over the processes.

What a number costs in memory, or in the wait for Ctrl-C, is not in these figures: fastnet/tuning.py says where it is.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import importlib.util
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import geometric_mean, median
from typing import Any, NamedTuple

# At the top nothing of fastnet: a number has to be set before the rest of it is imported.

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.timing import answer, seconds_per_call

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "fastnet"
FACTORS = (0.25, 0.5, 1, 2, 4)
"""The values that are tried, in today's, unless a measurement has values of its own."""


# ---- what is measured: each function is called in a process that has the number set, and returns seconds -------------


def step(*cases: tuple[int, int, int, int]) -> float:
    """A training step in one long run, without the drawing of minibatches: inputs, hidden units, classes, batch."""
    from bench.registry import Case
    from bench.scaling import seconds_per_step

    return geometric_mean(median(seconds_per_step(Case(*case), "float32") for _ in range(3)) for case in cases)


def single_steps(*case: int) -> float:
    """A training step in a run of its own, with the calling of a team."""
    import numpy as np

    from bench.peers import problem_of
    from bench.registry import Case
    from fastnet.engine.packed import Parameters
    from fastnet.engine.workspace import Workspace

    problem = problem_of(Case(*case), "float32")
    W1, b1, W2, b2 = problem.weights
    workspace = Workspace(Parameters([(W1, b1), (W2, b2)]), problem.batch)
    batches = np.arange(problem.batch).reshape(1, -1)
    return seconds_per_call(lambda X: workspace.run(X, problem.y, batches, 1e-3, 1e-3), problem.X)


def training(*case: int) -> float:
    """A training step as users take it, through `TwoLayerNet.train`, which draws minibatches."""
    from bench.peers import problem_of, seconds_per_step
    from bench.registry import Case
    from bench.sides import SIDES

    return seconds_per_step(SIDES["fastnet"](), problem_of(Case(*case), "float32"))


def short_training() -> float:
    """A whole call of `train` with few steps of a small network, and accuracies after each of them."""
    from bench.peers import problem_of
    from bench.registry import Case
    from fastnet import TwoLayerNet

    problem = problem_of(Case(4, 10, 3, 200), "float64", samples=5)
    net = TwoLayerNet(4, 10, 3, rng=0)
    return seconds_per_call(lambda X: net.train(X, problem.y, X, problem.y, num_iters=100), problem.X)


def kernel(name: str, *cases: tuple[int, int, int, int]) -> float:
    """A call of a kernel, on arrays of a network of these sizes."""
    from bench.registry import COMPARISONS, Case

    function = COMPARISONS[name].functions["fastnet"]
    times = []
    for case in cases:
        arguments = COMPARISONS[name].make("fastnet", Case(*case), "float32")
        times.append(seconds_per_call(function, *arguments))
    return geometric_mean(times)


def scores(inputs: int, hidden: int, *rows: int) -> float:
    """Scores and labels of so many samples, by a network with 10 classes."""
    import numpy as np

    from fastnet.network import passes

    layers = [(np.full(shape, 1 / shape[0], np.float32), np.zeros(shape[1], np.float32))
              for shape in ((inputs, hidden), (hidden, 10))]
    X = np.random.default_rng(0).random((max(rows), inputs), np.float32)
    return geometric_mean(seconds_per_call(lambda part: passes.infer(layers, part), X[:count]) for count in rows)


def losses(inputs: int, hidden: int, *rows: int) -> float:
    """Loss and gradients of so many samples, one number of them after the other, by a network with 10 classes."""
    import numpy as np

    from fastnet.network import passes

    layers = [(np.full(shape, 1 / shape[0], np.float32), np.zeros(shape[1], np.float32))
              for shape in ((inputs, hidden), (hidden, 10))]
    X, y = np.random.default_rng(0).random((max(rows), inputs), np.float32), np.zeros(max(rows), np.int64)
    return seconds_per_call(
        lambda: [passes.loss_and_grads(layers, X[:count], y[:count], 0.1) for count in rows]) / len(rows)


def drawing(samples: int, *counts: int) -> float:
    """The drawing of so many indices."""
    import numpy as np

    from fastnet.training.minibatches import draw

    rng = np.random.RandomState(0)
    return geometric_mean(seconds_per_call(draw, rng, samples, count) for count in counts)


def estimator() -> float:
    """An epoch of a classifier on a hundred samples."""
    import warnings

    import numpy as np

    from fastnet.sklearn import MLPClassifier

    random = np.random.RandomState(0)
    X, y = random.standard_normal((100, 8)), random.randint(3, size=100)
    classifier = MLPClassifier((8,), max_iter=500, tol=0.0, n_iter_no_change=500, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return seconds_per_call(classifier.fit, X, y) / 500


def lbfgs() -> float:
    """An iteration of a classifier with the solver lbfgs."""
    import warnings

    import numpy as np

    from fastnet.sklearn import MLPClassifier

    random = np.random.RandomState(0)
    X, y = random.standard_normal((20_000, 256)), random.randint(10, size=20_000)
    classifier = MLPClassifier((64,), solver="lbfgs", max_iter=5, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return seconds_per_call(classifier.fit, X, y) / 5


def partial_fit() -> float:
    """A further `partial_fit` of two networks, each by itself."""
    import numpy as np

    from fastnet.sklearn import MLPClassifier

    random, times = np.random.RandomState(0), []
    for inputs, hidden in ((64, 100), (256, 256)):
        X, y = random.standard_normal((32, inputs)), np.arange(32) % 10
        classifier = MLPClassifier((hidden,), random_state=0).partial_fit(X, y)
        times.append(seconds_per_call(classifier.partial_fit, X, y))
    return geometric_mean(times)


def finite() -> float:
    """A look through 16 MiB for NaN and inf."""
    import numpy as np

    from fastnet.checks import features

    dtype = np.dtype(np.float32)
    return seconds_per_call(lambda X: features(X, "X", columns=1024, dtype=dtype), np.ones((4096, 1024), dtype))


def checksum() -> float:
    """The checksum of 64 MiB."""
    import numpy as np

    from fastnet.training.checkpoints import data_checksum

    return seconds_per_call(lambda X: data_checksum([X]), np.ones(1 << 26, np.uint8))


class Measurement(NamedTuple):
    """What is timed for a number, and with which values."""

    what: str
    """For people."""
    seconds: Callable[[], float]
    values: tuple[Any, ...] = ()
    """Instead of today's value times `FACTORS`, where a number cannot have all of these."""
    cores: int = 1
    """How many there have to be for the number to matter."""
    environment: dict[str, str] = {}  # noqa: RUF012
    package: str = "fastnet"
    """What has to be installed."""


def _step(*cases: tuple[int, int, int, int], **options: Any) -> Measurement:
    sizes = ", ".join(f"{'-'.join(map(str, case[:3]))} x {case[3]}" for case in cases)
    return Measurement(f"step: {sizes}", lambda: step(*cases), **options)


def _kernel(name: str, *cases: tuple[int, int, int, int], **options: Any) -> Measurement:
    sizes = ", ".join(f"{'-'.join(map(str, case[:3]))} x {case[3]}" for case in cases)
    return Measurement(f"{name}: {sizes}", lambda: kernel(name, *cases), **options)


def _scores(inputs: int, hidden: int, *rows: int, **options: Any) -> Measurement:
    return Measurement(f"scores: {inputs}-{hidden}-10 x {', '.join(map(str, rows))}",
                       lambda: scores(inputs, hidden, *rows), **options)


def _losses(inputs: int, hidden: int, *rows: int, **options: Any) -> Measurement:
    return Measurement(f"loss: {inputs}-{hidden}-10 x {', '.join(map(str, rows))}",
                       lambda: losses(inputs, hidden, *rows), **options)


def _training(*case: int, **options: Any) -> Measurement:
    return Measurement(f"train: {'-'.join(map(str, case[:3]))} x {case[3]}", lambda: training(*case), **options)


def _drawing(samples: int, *counts: int) -> Measurement:
    return Measurement(f"{', '.join(map(str, counts))} of {samples} samples", lambda: drawing(samples, *counts))


def _block_products() -> float:
    return geometric_mean([kernel("affine_forward", (2000, 128, 10, 128)), kernel("weight_gradient",
                                                                                  (256, 128, 10, 1000))])


_RUNS_OF_A_STEP = Measurement("runs of a step: 64-100-10 x 200", lambda: single_steps(64, 100, 10, 200), cores=2)

MEASUREMENTS = {
    "SOME_TERMS": _step((48, 128, 10, 128), (96, 128, 10, 128), (192, 128, 10, 128)),
    "MANY_TERMS": _step((256, 128, 10, 128), (512, 128, 10, 128), (1024, 128, 10, 128)),
    "SPLIT_SAMPLES": _step((64, 64, 10, 32), (64, 64, 10, 64), (64, 64, 10, 128)),
    "K_BLOCK": Measurement("affine_forward: 2000-128 x 128, weight_gradient: 256-128 x 1000", _block_products),
    "PRODUCT_ROWS": _kernel("affine_forward", (784, 128, 10, 1000), (3072, 50, 10, 200), (784, 1024, 10, 1024)),
    "BLOCK_PANELS": _kernel("affine_forward", (1500, 260, 10, 150), (784, 1024, 10, 1024)),
    "GRADIENT_ROWS": _kernel("weight_gradient", (784, 128, 10, 200), (3072, 50, 10, 200), (784, 1024, 10, 1024)),
    "PANEL_ROWS": _kernel("affine_forward", *((256, 128, 10, rows) for rows in (4, 8, 16, 32, 64))),
    "BLOCK_ROWS": _step((784, 128, 10, 500), values=(64, 128, 256, 512)),
    "FEW_ROWS": _step((64, 64, 10, 256), values=(16, 32, 64, 128)),
    "FEW_WEIGHTS": _step((64, 128, 10, 256), (128, 256, 10, 256), (256, 256, 10, 256), (512, 256, 10, 256)),
    "GATHERED_SAMPLES": _step((784, 32, 10, 128)),
    "FAR_BYTES": _kernel("affine_forward", (128, 128, 10, 256), (256, 128, 10, 256), (512, 128, 10, 256),
                         (1024, 128, 10, 256)),
    "PACKS_AHEAD": _step((784, 128, 10, 128), (3072, 50, 10, 200), values=(1, 2, 3, 4, 8)),
    "PACKS_APART": _step((64, 100, 10, 100), (64, 100, 10, 200), values=(0, 2, 8, 16, 32, 64), cores=2),
    "CACHE_LINE": _step((784, 128, 10, 128), values=(16, 32, 64, 128, 256)),
    "COUNTER_SPACING": _step((64, 100, 10, 200), values=(1, 4, 8, 16, 32), cores=2),
    "ROW_VECTORS": _scores(784, 128, 1, values=(4, 6, 8, 12)),
    "WORK_PER_THREAD": _kernel("affine_forward", *((128, 128, 10, rows) for rows in (32, 64, 128, 256)), cores=2),
    "TEAM_WORK_PER_THREAD": _step(*((64, 64, 10, batch) for batch in (16, 32, 64, 128, 256)), cores=2),
    "ELEMENT_WORK": _kernel("relu", *((1, 256, 10, rows) for rows in (128, 256, 512, 1024, 2048)), cores=2),
    "EXP_WORK": _kernel("softmax", *((1, 1, 10, rows) for rows in (1000, 2000, 4000, 8000, 16_000)), cores=2),
    "REGION_WORK": _scores(784, 128, 500, 1000, 2000, 4000, 8000, cores=2),
    "SLOW_REGION_WORK": _scores(784, 128, 25, 50, 100, 200, 400, cores=2,
                                environment={"NUMBA_THREADING_LAYER": "workqueue"}),
    "SPINS": _step((64, 100, 10, 200), cores=2),
    "LINGERS": _RUNS_OF_A_STEP,
    "OTHERS_NANOSECONDS": _RUNS_OF_A_STEP,
    "KNOCKS": _RUNS_OF_A_STEP,
    "KNOCK_SECONDS": _RUNS_OF_A_STEP,
    "PACKED_ROWS": _scores(784, 128, 256, 512, 1024, 2048, 4096),
    "WIDE_ROWS": _scores(784, 1024, 32, 64, 128, 256, 512),
    "WIDE_BYTES": Measurement("scores of 256: 784-256-10, 784-512-10, 784-1024-10",
                              lambda: geometric_mean(scores(784, hidden, 256) for hidden in (256, 512, 1024))),
    "CHUNK_WORK": _scores(256, 256, 100_000),
    "CHUNK_ROWS": _scores(4000, 16_000, 256),
    "LOSS_BYTES": _losses(784, 50, 100, 300, 1000),
    "PART_BYTES": Measurement("an iteration of MLPClassifier with lbfgs: 256-64-10, 20 000 samples", lbfgs,
                              package="sklearn"),
    "IDLE_WORKSPACES": _losses(8, 8, 10, 20, 30, values=(1, 2, 3, 4)),
    "IDLE_BYTES": Measurement("partial_fit of 32: 64-100-10, 256-256-10", partial_fit, package="sklearn"),
    "SHARES_PER_THREAD": _scores(784, 128, 3000, 10_000, values=(1, 2, 4, 8, 16), cores=2),
    "FEW_INDICES": _drawing(1437, 200, 500, 1000, 2000),
    "MANY_WORDS": _drawing(1437, 200_000),
    "AHEAD_INDICES": _training(8, 8, 3, 32, cores=2),
    "AHEAD_PARTS": _training(8, 8, 3, 32, values=((4, 16), (1, 16), (1, 6, 16), (1, 4, 10, 16), (1, 3, 6, 11, 16)),
                             cores=2),
    "RUN_SECONDS": _training(64, 32, 10, 100),
    "FIRST_WORK": Measurement("train: 4-10-3 x 200, 100 steps with checks", short_training),
    "CHECK_WORK": Measurement("train: 4-10-3 x 200, 100 steps with checks", short_training),
    "RUN_INDICES": _training(4, 4, 3, 10_000),
    "EPOCHS_INDICES": Measurement("an epoch of MLPClassifier: 8-8-3, 100 samples", estimator, package="sklearn"),
    "FINITE_PIECE": Measurement("a look through 16 MiB", finite),
    "CHECKSUM_PIECE": Measurement("checksum of 64 MiB", checksum),
}
"""For each number a small measurement that it matters for."""


# ---- the numbers -----------------------------------------------------------------------------------------------------


class Number(NamedTuple):
    """A number of fastnet/tuning.py."""

    value: Any
    text: str
    """Its docstring."""

    @property
    def unit(self) -> str:
        """What its docstring says first."""
        label, _, rest = self.text.partition("\n\n")[0].partition(": ")
        return rest.partition(";")[0].rstrip(".") if label == "Unit" else ""  # what comes after it are the bounds


def numbers() -> dict[str, Number]:
    """All of them, from the source of fastnet/tuning.py, in its order."""
    tree, found = ast.parse((PACKAGE / "tuning.py").read_text()), {}
    for node, following in zip(tree.body, [*tree.body[1:], None], strict=True):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            text = following.value.value if isinstance(following, ast.Expr) else ""  # type: ignore[attr-defined]
            value = eval(compile(ast.Expression(node.value), "tuning.py", "eval"), {"__builtins__": {}})
            found[node.targets[0].id] = Number(value, text)
    return found


def values_of(name: str) -> list[Any]:
    """The values to try, today's among them."""
    today, own = numbers()[name].value, MEASUREMENTS[name].values
    kind = type(today)
    return sorted({*(own or (max(kind(today * factor), 1 if kind is int else 0) for factor in FACTORS)), today})


PLAIN = {"without_gil", "property", "staticmethod", "classmethod"}
"""Decorators of functions that stay Python."""


def _uses(node: ast.AST, name: str, plain: bool) -> Iterable[bool]:
    """For each use of a name below a node: whether it is in the body of a function that stays Python."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Name) and child.id == name:
            yield plain
        stays = plain
        if isinstance(child, ast.FunctionDef):
            stays = all(isinstance(mark, ast.Name) and mark.id in PLAIN for mark in child.decorator_list)
        yield from _uses(child, name, stays)


def in_compiled_code(name: str) -> bool:
    """Whether a number may be in machine code, which then has to be compiled again for each value.

    It is not where it is used in nothing but functions that stay Python, in folders that emit no machine code.
    """
    for path in PACKAGE.rglob("*.py"):
        source = path.read_text()
        if name in source and path != PACKAGE / "tuning.py":
            uses = list(_uses(ast.parse(source), name, False))
            if not all(uses) or (uses and path.parent.name == "llvm"):
                return True
    return False


# ---- a process with a number changed ---------------------------------------------------------------------------------


def change(name: str, value: Any, cache: str) -> None:
    """Set a number in this process, before anything is imported that may have it in itself.

    Compiled functions are kept in, and loaded from, the folder `cache` alone. This matters: the disk cache is keyed by
    the sources, and they are the same whatever is set here. A folder that serves another value too would give that
    value's machine code, and the user's own folder would keep this one's for all that runs after us.
    """
    loaded = {module for module in sys.modules if module.split(".")[0] in ("fastnet", "numba", "llvmlite")}
    if loaded - {"fastnet", "fastnet.tuning"}:
        raise RuntimeError(f"{name} has to be set before {min(loaded - {'fastnet', 'fastnet.tuning'})} is imported")
    os.environ["NUMBA_CACHE_DIR"] = cache
    tuning = importlib.import_module("fastnet.tuning")
    setattr(tuning, name, tuple(value) if isinstance(getattr(tuning, name), tuple) else value)


def seen(name: str) -> dict[str, Any]:
    """What each module of fastnet that has been imported has under the name of a number."""
    return {key: vars(module)[name] for key, module in list(sys.modules.items())
            if key.split(".")[0] == "fastnet" and key != "fastnet.tuning" and name in vars(module)}


def child(name: str, value: Any, cache: str) -> None:
    """Measure with a number changed, in a process of its own; print seconds, and who has seen which value."""
    change(name, value, cache)
    seconds = MEASUREMENTS[name].seconds()
    print(json.dumps({"seconds": seconds, "seen": seen(name)}))


def measured(name: str, value: Any, cache: Path) -> float:
    """Seconds that a child has measured; it has to have used the value."""
    command = [__file__, "--child", name, "--value", json.dumps(value), "--cache", cache]
    result = answer(command, f"{name} = {value}", **MEASUREMENTS[name].environment)
    used = list(result["seen"].values())
    if not used or any(other != json.loads(json.dumps(value)) for other in used):
        sys.exit(f"{name} = {value}: modules have other values: {result['seen']}")
    return result["seconds"]


# ---- the table -------------------------------------------------------------------------------------------------------


def curve(name: str, repeats: int, folder: Path) -> dict[Any, list[float]]:
    """Seconds of each process, for each value of a number; the values take turns."""
    values, today, compiled = values_of(name), numbers()[name].value, in_compiled_code(name)
    times: dict[Any, list[float]] = {value: [] for value in values}
    # Where no machine code has the number in it, that of today serves for all values.
    caches = {value: folder / (f"{name}-{place}" if compiled and value != today else "today")
              for place, value in enumerate(values)}
    for repeat in range(repeats):
        for value in values:
            fresh = not caches[value].exists()
            start = time.perf_counter()
            times[value].append(measured(name, value, caches[value]))
            print(f"run {repeat + 1} of {repeats}: {name} = {value}, {time.perf_counter() - start:.0f} s"
                  f"{', its cache was empty' if fresh else ''}", file=sys.stderr, flush=True)
    for value in values:
        if caches[value].name != "today":
            shutil.rmtree(caches[value], ignore_errors=True)
    return times


def unmeasurable(name: str, cores: int) -> str:
    """Why a number cannot be measured here; empty where it can."""
    measurement = MEASUREMENTS[name]
    if cores < measurement.cores:
        return f"not measured: needs {measurement.cores} cores, and here is {cores}"
    if importlib.util.find_spec(measurement.package) is None:
        return f"not measured: {measurement.package} is not installed"
    return ""


def microseconds(seconds: float) -> str:
    """Three significant digits, in microseconds."""
    value = seconds * 1e6
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def row(name: str, times: dict[Any, list[float]]) -> str:
    """A line of the table."""
    number = numbers()[name]
    medians = {value: median(looks) for value, looks in times.items()}
    today, best = medians[number.value], min(medians, key=medians.__getitem__)
    cells = [f"**{value}: {microseconds(took)}**" if value == number.value else f"{value}: {microseconds(took)}"
             for value, took in medians.items()]
    looks = times[number.value]
    spread = f"{(max(looks) - min(looks)) / today:.2f}" if len(looks) > 1 else ""
    return (f"| {name} | {number.unit} | {MEASUREMENTS[name].what} | {' · '.join(cells)} | {best} | "
            f"{medians[best] / today:.2f} | {spread} |")


HEADER = ("| number | unit | what is timed | value: µs (**today's**) | best | best / today's | spread of today's |\n"
          "|---|---|---|---|--:|--:|--:|")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="The numbers of fastnet/tuning.py on the machine at hand.")
    parser.add_argument("--numbers", nargs="+", choices=MEASUREMENTS, default=list(MEASUREMENTS), metavar="NAME",
                        help=f"which numbers, of: {', '.join(MEASUREMENTS)} (default: all)")
    parser.add_argument("--repeats", type=int, default=3, help="processes for each value (default: 3)")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table to FILE as well")
    for option in ("--child", "--value", "--cache"):
        parser.add_argument(option, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child, json.loads(options.value), options.cache)
        return
    if options.repeats < 1:
        parser.error("--repeats must be at least 1")

    from numba.core import config

    from bench.machine import cores, description, warn_if_busy

    if config.DISABLE_JIT:
        sys.exit("nothing is compiled (NUMBA_DISABLE_JIT): the figures would say nothing")
    warn_if_busy()
    lines = [HEADER]
    print(HEADER, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in options.numbers:
            reason = unmeasurable(name, min(cores(), config.NUMBA_NUM_THREADS))
            lines.append(f"| {name} | {numbers()[name].unit} | {MEASUREMENTS[name].what} | {reason} | | | |" if reason
                         else row(name, curve(name, options.repeats, Path(folder))))
            print(lines[-1], flush=True)
    lines.append(f"\n{description()}; medians of {options.repeats} processes for each value. A gain below the spread "
                 "says nothing.")
    print(lines[-1])
    if options.markdown:
        options.markdown.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
