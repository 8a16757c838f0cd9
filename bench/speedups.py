"""Measure how many times faster than NumPy fastnet is, and print it as Markdown tables.

    python bench/speedups.py [--repeats N] [--json FILE]

Each side runs in processes of its own, in turn, with its own default number of threads: in one process their thread
pools would take the processor from each other. Every figure is the median over the processes. A training step is the
difference between a long and a short call of `train`, so that checking the data and making the model do not count.
Before anything is printed, the loss histories of both sides from one seed have to agree.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numba
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import fastnet
from bench.registry import CASES, COMPARISONS, DTYPES, IMPLEMENTATIONS, STEPS

LOOK = 0.12
"""Seconds that one measurement takes, about."""


def seconds_per_call(call: Callable[[], Any]) -> float:
    """Median duration of a call, after a first one that does not count."""
    call()
    times = []
    end = time.perf_counter() + LOOK
    while len(times) < 3 or times[-1] < end:
        times.append(time.perf_counter())
        call()
    return median(np.diff([*times, time.perf_counter()]))


def seconds_per_step(side: str, case: str, dtype: str) -> float:
    """Duration of one training step, without what a call of `train` takes beside its steps."""
    train = COMPARISONS["train"]

    def seconds(steps: int) -> float:
        net, *arguments = train.make(side, CASES[case], dtype)
        arguments[-2] = steps
        start = time.perf_counter()
        net.train(*arguments)
        return time.perf_counter() - start

    few, more = 1, 1 + STEPS
    seconds(few)
    estimate = max(seconds(more) - seconds(few), 1e-6) / (more - few)
    steps = max(STEPS, min(round(LOOK / estimate), 20_000))
    return (seconds(few + steps) - seconds(few)) / steps


def measure(side: str) -> dict[str, Any]:
    """Everything about one side, in this process: for each case and dtype the loss history and three durations."""
    results = {}
    for case, sizes in CASES.items():
        for dtype in DTYPES:
            history, _ = COMPARISONS["train"].run(side, sizes, dtype)
            result = {"history": history.tolist(), "train": seconds_per_step(side, case, dtype)}
            for name in ("loss", "predict"):
                comparison = COMPARISONS[name]
                function, arguments = comparison.functions[side], comparison.make(side, sizes, dtype)
                result[name] = seconds_per_call(lambda: function(*arguments))  # noqa: B023
            results[f"{case} {dtype}"] = result
    return results


def collect(repeats: int) -> dict[str, list[dict[str, Any]]]:
    """Run both sides in turn, each time in a new process; return what each run measured."""
    runs: dict[str, list[dict[str, Any]]] = {side: [] for side in IMPLEMENTATIONS}
    for repeat in range(repeats):
        for side in IMPLEMENTATIONS:
            print(f"run {repeat + 1} of {repeats}: {side}", file=sys.stderr)
            command = [sys.executable, __file__, "--side", side]
            runs[side].append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))
    return runs


def compare_histories(runs: dict[str, list[dict[str, Any]]]) -> None:
    """End the program unless every run has seen the same losses, within the registry's bound."""
    for case, sizes in CASES.items():
        for dtype in DTYPES:
            arguments = COMPARISONS["train"].make("numpy", sizes, dtype)
            expected, params = COMPARISONS["train"].run("numpy", sizes, dtype)
            for side in runs:
                for run in runs[side]:
                    try:
                        COMPARISONS["train"].check(
                            (np.array(run[f"{case} {dtype}"]["history"]), params), (expected, params), *arguments)
                    except AssertionError as error:
                        sys.exit(f"no table: {side} differs from NumPy on {case}, {dtype}: {error}")


def cpu_name() -> str:
    """Name of the processor, as far as the system tells."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def microseconds(seconds: float) -> str:
    """Three significant digits, in microseconds."""
    value = seconds * 1e6
    return f"{value:.{max(0, 2 - int(np.floor(np.log10(value))))}f}"


def tables(medians: dict[str, dict[str, dict[str, float]]]) -> str:
    """Two Markdown tables: microseconds of a training step, and how many times faster `loss` and `predict` are."""
    steps = ["| case | D-H-C | batch | dtype | NumPy, µs/step | fastnet, µs/step | times faster |",
             "|---|---|--:|---|--:|--:|--:|"]
    calls = ["| case | dtype | `loss`, NumPy, µs | fastnet, µs | times faster | `predict`, NumPy, µs | fastnet, µs "
             "| times faster |", "|---|---|--:|--:|--:|--:|--:|--:|"]

    def cells(key: str, name: str) -> str:
        numpy, ours = medians["numpy"][key][name], medians["fastnet"][key][name]
        return f"{microseconds(numpy)} | {microseconds(ours)} | {numpy / ours:.1f}"

    for case, sizes in CASES.items():
        shape = f"{sizes.inputs}-{sizes.hidden}-{sizes.classes} | {sizes.batch}"
        for dtype in DTYPES:
            key = f"{case} {dtype}"
            steps.append(f"| {case} | {shape} | {dtype} | {cells(key, 'train')} |")
            calls.append(f"| {case} | {dtype} | {cells(key, 'loss')} | {cells(key, 'predict')} |")
    return "\n".join([*steps, "", *calls])


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="How many times faster than NumPy fastnet is, as Markdown tables.")
    parser.add_argument("--repeats", type=int, default=5, help="processes for each side (default: 5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the medians and every run to FILE")
    parser.add_argument("--side", choices=IMPLEMENTATIONS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        json.dump(measure(options.side), sys.stdout)
        return
    if options.repeats < 1:
        parser.error("--repeats must be at least 1")
    if hasattr(os, "getloadavg") and os.getloadavg()[0] > 1:
        print("This machine has been busy in the last minute. While other programs run, threads wait for one another "
              "and the figures are worth nothing.", file=sys.stderr)
    for dtype in DTYPES:
        fastnet.warmup(dtype)  # compiles once for all processes, where a cache can be written
    runs = collect(options.repeats)
    compare_histories(runs)
    medians = {side: {key: {name: median(run[key][name] for run in runs[side]) for name in ("train", "loss", "predict")}
                      for key in runs[side][0]} for side in runs}
    machine = f"{cpu_name()}, {cores()} cores, {platform.system()}"
    versions = (f"fastnet {fastnet.__version__}, Python {platform.python_version()}, NumPy {np.__version__}, "
                f"Numba {numba.__version__}")
    print(f"{machine}; {versions}; medians of {options.repeats} runs.\n\n{tables(medians)}")
    if options.json:
        options.json.write_text(json.dumps(
            {"machine": machine, "versions": versions, "medians": medians, "runs": runs}, indent=1) + "\n")


if __name__ == "__main__":
    main()
