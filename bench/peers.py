"""Measure fastnet and its peers side by side: training, inference, and the limit that the processor sets.

    python bench/peers.py [--repeats N] [--sides NAME ...] [--cases NAME ...] [--json FILE] [--markdown FILE]
                          [--png FILE] [--also SIDE INTERPRETER ...]

Every side that is installed (extra `bench`) runs in processes of its own, in turn. A library has several sides, one for
each setting that may be its best (see sides/): the tables have a column for each library, with the fastest of them.
`--also JAX ~/newer/bin/python` measures a side once more by another interpreter, which has numba and another version of
the library. Before anything is timed each side takes a few steps, and its losses have to be those of NumPy. A training
step is the difference between a long and a short run, so that compiling, checking the data and making the model do not
count. Every figure is the median over the processes.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import fastnet
from bench.machine import cores, description, fma_peak, warn_if_busy
from bench.registry import CASES, DTYPES, Case, step_products
from bench.sides import SIDES, Problem
from bench.timing import LOOK, microseconds, publish, seconds_per_call

SAMPLES = 5003
"""A prime number: no batch size divides it."""

INFERENCE = Case(784, 128, 10, 128)
ROWS = (1, 100, 10_000)
CHECKED_STEPS = 4
AGREE = {"float32": 1e-4, "float64": 1e-9}
"""How far the first losses of two sides may lie apart, relatively."""


def problem_of(case: Case, dtype: str, samples: int = SAMPLES) -> Problem:
    """The same data and weights in every process."""
    random = np.random.RandomState(0)
    X = random.standard_normal((samples, case.inputs)).astype(dtype)
    y = random.randint(case.classes, size=samples).astype(np.int64)
    W1 = random.standard_normal((case.inputs, case.hidden)) / np.sqrt(case.inputs)
    W2 = random.standard_normal((case.hidden, case.classes)) / np.sqrt(case.hidden)
    weights = [W1, np.zeros(case.hidden), W2, np.zeros(case.classes)]
    return Problem(X, y, tuple(array.astype(dtype) for array in weights), case.batch)  # type: ignore[arg-type]


def seconds_per_step(side: Any, problem: Problem) -> float:
    """Duration of a step, without what a run takes beside its steps; median of three looks."""
    few = 4
    side.seconds(problem, few)
    estimate = max((side.seconds(problem, 5 * few) - side.seconds(problem, few)) / (4 * few), 1e-6)
    more = max(few, min(round(LOOK / estimate), 20_000))
    looks: list[float] = []
    while len(looks) < 3:
        long, short = side.seconds(problem, few + more), side.seconds(problem, few)
        if long > short:
            looks.append((long - short) / more)
        else:  # something else had the cores for longer than the steps took
            more *= 2
    return median(looks)


def measure(name: str, cases: list[str]) -> dict[str, Any]:
    """Everything about one side, in this process."""
    side = SIDES[name]()
    results: dict[str, Any] = {"losses": {}, "train": {}, "predict": {}, "labels": {}}
    for dtype in DTYPES:
        if dtype not in getattr(side, "dtypes", DTYPES):
            continue
        for case in cases if hasattr(side, "losses") else []:
            problem = problem_of(CASES[case], dtype)
            results["losses"][f"{case} {dtype}"] = [float(loss) for loss in side.losses(problem, CHECKED_STEPS)]
            results["train"][f"{case} {dtype}"] = seconds_per_step(side, problem)
        problem = problem_of(INFERENCE, dtype, max(ROWS))
        predict = side.predictor(problem)
        results["labels"][dtype] = np.asarray(predict(problem.X[:100])).tolist()
        for rows in ROWS:
            results["predict"][f"{rows} {dtype}"] = seconds_per_call(predict, problem.X[:rows].copy())
    if name == "fastnet":
        results["peak"] = {dtype: fma_peak(dtype, cores()) for dtype in DTYPES}
    return results


def begins(python: str, name: str) -> str:
    """Return the version of a side's library as an interpreter has it; nothing if it cannot be started there."""
    package = PACKAGES.get(library(name), "numpy")
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).resolve().parent.parent)!r}); " \
           f"from bench.sides import SIDES; SIDES[{name!r}](); import importlib.metadata as m; " \
           f"print(m.version({package!r}))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True)
    return done.stdout.split()[-1] if done.returncode == 0 else ""


def library(name: str) -> str:
    """The library that a side is of."""
    return name.split(",")[0]


def collect(sides: dict[str, tuple[str, str]], cases: list[str], repeats: int) -> dict[str, list[dict[str, Any]]]:
    """Run the sides in turn, each time in a new process; return what each run measured.

    `sides` has, for each name in the tables, the side and the interpreter that runs it.
    """
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}
    for repeat in range(repeats):
        for name, (side, python) in sides.items():
            start = time.perf_counter()
            done = subprocess.run([python, __file__, "--side", side, "--cases", *cases], capture_output=True, text=True)
            took = time.perf_counter() - start
            if done.returncode:
                print(f"{name}: left out, its process failed:\n{done.stderr[-2000:]}", file=sys.stderr)
                continue
            runs[name].append(json.loads(done.stdout.splitlines()[-1]))
            print(f"run {repeat + 1} of {repeats}: {name}, {took:.0f} s", file=sys.stderr)
    return {name: results for name, results in runs.items() if results}


def check(runs: dict[str, list[dict[str, Any]]], cases: list[str]) -> None:
    """End the program unless every side has seen NumPy's losses and given NumPy's labels."""
    expected = SIDES["NumPy"]()
    for dtype in DTYPES:
        problem = problem_of(INFERENCE, dtype, max(ROWS))
        labels = expected.predictor(problem)(problem.X[:100])
        for name, results in runs.items():
            for result in results:
                if result["labels"].get(dtype, labels.tolist()) != labels.tolist():
                    sys.exit(f"no table: {name} predicts other labels than NumPy, {dtype}")
        for case in cases:
            losses = np.array(expected.losses(problem_of(CASES[case], dtype), CHECKED_STEPS))
            for name, results in runs.items():
                for result in results:
                    seen = result["losses"].get(f"{case} {dtype}")
                    if seen is not None and not np.allclose(seen, losses, rtol=AGREE[dtype], atol=0):
                        sys.exit(f"no table: losses of {name} on {case}, {dtype}: {seen}; of NumPy: {losses.tolist()}")


def medians_of(runs: dict[str, list[dict[str, Any]]]) -> dict[str, dict[str, dict[str, float]]]:
    """The median over the processes of each figure of each side."""
    return {kind: {name: {key: median(run[kind][key] for run in results) for key in results[0][kind]}
                   for name, results in runs.items()}
            for kind in ("train", "predict")}


def best_settings(figures: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """The figures of each library: of its sides, the fastest in each."""
    best: dict[str, dict[str, float]] = {}
    for name, seconds in figures.items():
        mine = best.setdefault(library(name), {})
        for key, value in seconds.items():
            mine[key] = min(value, mine.get(key, value))
    return best


def table(first: list[str], keys: list[tuple[str, list[str]]], figures: dict[str, dict[str, float]],
          last: dict[str, str]) -> str:
    """A Markdown table: a row for each key, a column of microseconds for each library, ratios to the best peer."""
    figures = best_settings(figures)
    names = [name for name in figures if any(key in figures[name] for key, _ in keys)]
    peers = [name for name in names if name != "fastnet"]
    header = [*first, *names, "best peer / fastnet", *(["of FMA peak"] if last else [])]
    lines = ["| " + " | ".join(header) + " |",
             "|" + len(first) * "---|" + (len(header) - len(first)) * "--:|"]
    for key, cells in keys:
        ours = figures.get("fastnet", {}).get(key)
        best = min((figures[name][key] for name in peers if key in figures[name]), default=None)
        row = [*cells, *(microseconds(figures[name][key]) if key in figures[name] else "" for name in names),
               f"**{best / ours:.2f}**" if ours and best else "", *([last.get(key, "")] if last else [])]
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def report(medians: dict[str, Any], cases: list[str], peak: dict[str, float]) -> str:
    """Both tables."""
    train, ours = medians["train"], medians["train"].get("fastnet", {})
    keys = [(f"{case} {dtype}", [case, f"{CASES[case].inputs}-{CASES[case].hidden}-{CASES[case].classes}",
                                 str(CASES[case].batch), dtype])
            for dtype in DTYPES for case in cases]
    fractions = {key: f"{2 * step_products(CASES[key.split()[0]]) / ours[key] / 1e9 / peak[key.split()[1]]:.2f}"
                 for key, _ in keys if key in ours and peak}
    steps = table(["case", "D-H-C", "batch", "dtype"], keys, train, fractions)
    calls = table(["rows", "dtype"], [(f"{rows} {dtype}", [str(rows), dtype]) for dtype in DTYPES for rows in ROWS],
                  medians["predict"], {})
    return f"Microseconds per training step:\n\n{steps}\n\nMicroseconds per `predict`, {INFERENCE.inputs}-" \
           f"{INFERENCE.hidden}-{INFERENCE.classes}:\n\n{calls}"


PACKAGES = {"NumPy": "numpy", "scikit-learn": "scikit-learn", "PyTorch": "torch", "JAX": "jax",
            "ONNX Runtime": "onnxruntime", "OpenVINO": "openvino", "LiteRT": "ai-edge-litert"}
"""The distribution of each library."""


def versions(names: list[str]) -> str:
    """The versions of everything that was measured in this interpreter."""
    libraries = {library(name) for name in names}
    found = [f"{label} {importlib.metadata.version(package)}" for label, package in PACKAGES.items()
             if label in libraries]
    return ", ".join([f"fastnet {fastnet.__version__}", f"Python {platform.python_version()}",
                      f"Numba {importlib.metadata.version('numba')}", *found])


def draw(medians: dict[str, Any], cases: list[str], path: Path) -> None:
    """A bar chart: how many times as long as fastnet each peer takes for a step."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    train = best_settings(medians["train"])
    peers = [name for name in train if name != "fastnet" and train[name]]
    figure, axes = plt.subplots(1, len(DTYPES), figsize=(12, 4.5), sharey=True, layout="constrained")
    for axis, dtype in zip(axes, DTYPES, strict=True):
        width = 0.8 / len(peers)
        for number, name in enumerate(peers):
            ratios = [train[name][f"{case} {dtype}"] / train["fastnet"][f"{case} {dtype}"] for case in cases]
            axis.bar(np.arange(len(cases)) + number * width - 0.4 + width / 2, ratios, width, label=name)
        axis.axhline(1, color="black", linewidth=1)
        axis.set(yscale="log", xticks=range(len(cases)), xticklabels=cases, title=dtype)
    axes[0].set_ylabel("time of a training step / fastnet's")
    axes[0].legend(fontsize="small")
    figure.savefig(path, dpi=120)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="fastnet and its peers: training, inference, fraction of the peak.")
    parser.add_argument("--repeats", type=int, default=3, help="processes for each side (default: 3)")
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES), metavar="NAME",
                        help=f"which sides, of: {', '.join(SIDES)} (default: all that are installed)")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES), help="which cases (default: all)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the medians and every run to FILE")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables to FILE as well")
    parser.add_argument("--png", type=Path, metavar="FILE", help="draw a bar chart")
    parser.add_argument("--also", nargs=2, action="append", default=[], metavar=("SIDE", "INTERPRETER"),
                        help="measure a side once more, with the library that another Python has (again for each)")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        print(json.dumps(measure(options.side, options.cases)))
        return
    if options.repeats < 1:
        parser.error("--repeats must be at least 1")
    warn_if_busy()
    wanted = [(name, sys.executable) for name in options.sides]
    wanted += [(side, python) for side, python in options.also]
    sides: dict[str, tuple[str, str]] = {}
    for side, python in wanted:
        found = begins(python, side)
        label = side if python == sys.executable else f"{library(side)} {found}{side.removeprefix(library(side))}"
        if found:
            sides[label] = side, python
        else:
            print(f"{side}: not installed in {python}, left out", file=sys.stderr)
    if "fastnet" in sides:
        measure_once = [sys.executable, "-c", "import fastnet; [fastnet.warmup(d) for d in ('float32', 'float64')]"]
        subprocess.run(measure_once, check=True, cwd=Path(__file__).resolve().parent.parent)  # compiles, into the cache
    runs = collect(sides, options.cases, options.repeats)
    check(runs, options.cases)
    medians = medians_of(runs)
    seen = versions([side for side, python in sides.values() if python == sys.executable])
    peak = {dtype: median(run["peak"][dtype] for run in runs["fastnet"]) for dtype in DTYPES if "fastnet" in runs}
    text = (f"{report(medians, options.cases, peak)}\n\n{description()}; FMA peak of these cores in the same run: "
            f"{', '.join(f'{value:.0f} GFLOP/s in {dtype}' for dtype, value in peak.items())}; {seen}; "
            f"medians of {options.repeats} processes each.")
    publish(text, {"machine": description(), "versions": seen, "peak": peak, "medians": medians,
                   "runs": runs}, options)
    if options.png:
        draw(medians, options.cases, options.png)


if __name__ == "__main__":
    main()
