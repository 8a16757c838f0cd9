"""How the training step scales: with threads, batch size, hidden units and inputs, and how near it is to the roofline.

    python bench/scaling.py [--dtype float32] [--repeats N] [--json FILE] [--png FILE]

One quantity varies at a time, from the middle of the range; `random` are shapes drawn in between, which have to lie on
the same curves: nothing is made for particular sizes. Every figure is the median of the repeats, each of which goes
through all sizes once.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import numba
import numpy as np
from numba import prange

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import fastnet
from bench.machine import cores, description, fma_peak
from bench.registry import DTYPES, Case, step_products
from fastnet.engine.packed import Parameters
from fastnet.engine.workspace import Workspace

MIDDLE = Case(784, 128, 10, 128)
BATCHES = (1, 4, 16, 32, 64, 100, 128, 200, 256, 500, 1000, 2000)
HIDDEN = (10, 16, 32, 50, 64, 95, 96, 128, 200, 256, 400, 512, 1000)
INPUTS = (4, 16, 64, 95, 96, 200, 400, 511, 512, 784, 1500, 3072, 6000)
SAMPLES = 2000
LOOK = 0.1
"""Seconds that one look at the clock takes, about."""


class Run:
    """A network of random weights in a workspace, and steps of it on random samples."""

    def __init__(self, case: Case, dtype: str) -> None:
        random = np.random.RandomState(0)
        self._X = random.standard_normal((SAMPLES, case.inputs)).astype(dtype)
        self._y = random.randint(case.classes, size=SAMPLES)
        shapes = [(case.inputs, case.hidden), (case.hidden, case.classes)]
        self._layers = [((random.standard_normal(shape) / np.sqrt(shape[0])).astype(dtype), np.zeros(shape[1], dtype))
                        for shape in shapes]
        self._batch, self._random = case.batch, random
        self._parameters = Parameters(self._layers)
        self._workspace = Workspace(self._parameters, case.batch)

    def steps(self, count: int, rate: float = 1e-3) -> float:
        """Take so many steps; return how many seconds they took, without the drawing."""
        batches = self._random.randint(SAMPLES, size=(count, self._batch))
        start = time.perf_counter()
        self._workspace.run(self._X, self._y, batches, rate, 1e-3)
        return time.perf_counter() - start

    def weights(self) -> list[np.ndarray]:
        """The parameters as they are now, (W, b) of each layer."""
        self._parameters.store(self._layers)
        return [array.copy() for layer in self._layers for array in layer]


def seconds_per_step(case: Case, dtype: str) -> float:
    """Duration of a training step, in one run of many."""
    run = Run(case, dtype)
    run.steps(2)
    steps = max(2, min(round(LOOK / (run.steps(4) / 4)), 20_000))
    return run.steps(steps) / steps


def moved(case: Case, dtype: str) -> int:
    """Bytes that a step has to move at least: its samples are read, its weights read and written."""
    weights = case.hidden * (case.inputs + case.classes)
    return np.dtype(dtype).itemsize * (case.batch * case.inputs + 2 * weights)


@numba.njit(parallel=True)
def _triad(a, b, c):
    for i in prange(a.size):
        a[i] = b[i] + 0.5 * c[i]


def bandwidth() -> float:
    """Bytes per second that all cores read and write together: the triad of STREAM on 64 MiB arrays."""
    a, b, c = np.zeros((3, 8 << 20))
    _triad(a, b, c)
    looks = []
    for _ in range(5):
        start = time.perf_counter()
        _triad(a, b, c)
        looks.append(3 * a.nbytes / (time.perf_counter() - start))
    return median(looks)


def sizes() -> dict[str, list[tuple[Any, Case, int]]]:
    """For each curve: what varies, the case, and the number of threads."""
    threads = sorted({count for count in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, cores()) if count <= cores()})
    random = np.random.RandomState(1)
    drawn = [Case(*(int(np.exp(random.uniform(np.log(low), np.log(high)))) for low, high in
                    ((8, 4000), (8, 600), (2, 30), (16, 800)))) for _ in range(16)]
    return {
        "threads": [(count, MIDDLE._replace(hidden=hidden, batch=batch), count) for hidden, batch in
                    ((128, 128), (1024, 1024)) for count in threads],
        "batch": [(batch, MIDDLE._replace(batch=batch), cores()) for batch in BATCHES],
        "hidden": [(hidden, MIDDLE._replace(hidden=hidden), cores()) for hidden in HIDDEN],
        "inputs": [(inputs, MIDDLE._replace(inputs=inputs), cores()) for inputs in INPUTS],
        "random": [("-".join(map(str, case)), case, cores()) for case in drawn],
    }


def measure(dtype: str, repeats: int) -> dict[str, list[dict[str, Any]]]:
    """The median duration of a step at every size."""
    curves = sizes()
    looks: dict[tuple[str, int], list[float]] = {}
    for repeat in range(repeats):
        for curve, points in curves.items():
            for number, (_, case, threads) in enumerate(points):
                fastnet.set_num_threads(threads)
                looks.setdefault((curve, number), []).append(seconds_per_step(case, dtype))
        print(f"repeat {repeat + 1} of {repeats}", file=sys.stderr)
    return {curve: [{"value": value, "case": case._asdict(), "threads": threads,
                     "seconds": (took := median(looks[curve, number])), "gflops": 2 * step_products(case) / took / 1e9,
                     "intensity": 2 * step_products(case) / moved(case, dtype)}
                    for number, (value, case, threads) in enumerate(points)]
            for curve, points in curves.items()}


def draw(curves: dict[str, list[dict[str, Any]]], peak: float, stream: float, path: Path) -> None:
    """A picture of each curve, and of all points under the roofline."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 5, figsize=(22, 4.2), layout="constrained")
    for axis, curve in zip(axes, ("threads", "batch", "hidden", "inputs"), strict=False):
        points = curves[curve]
        for hidden in sorted({point["case"]["hidden"] for point in points}) if curve == "threads" else [None]:
            chosen = [point for point in points if hidden in (None, point["case"]["hidden"])]
            axis.plot([point["value"] for point in chosen], [1 / point["seconds"] for point in chosen], "o-",
                      label=None if hidden is None else f"784-{hidden}-10, batch {chosen[0]['case']['batch']}")
        axis.set(xscale="linear" if curve == "threads" else "log", yscale="log", xlabel=curve,
                 ylabel="steps per second")
        if curve == "threads":
            axis.legend(fontsize="small")
    roof = axes[-1]
    everything = [point["intensity"] for points in curves.values() for point in points]
    x = np.geomspace(min(everything) / 2, max(everything) * 2)
    roof.plot(x, np.minimum(peak, stream / 1e9 * x), color="black", label="roofline (all cores)")
    for curve in ("batch", "hidden", "inputs", "random"):
        roof.plot([point["intensity"] for point in curves[curve]], [point["gflops"] for point in curves[curve]], "o",
                  markersize=4, label=curve)
    roof.set(xscale="log", yscale="log", xlabel="FLOP per byte from memory", ylabel="GFLOP/s")
    roof.legend(fontsize="small")
    figure.savefig(path, dpi=110)


def main() -> None:
    """Print the curves."""
    parser = argparse.ArgumentParser(description="How the training step scales.")
    parser.add_argument("--dtype", choices=DTYPES, default="float32")
    parser.add_argument("--repeats", type=int, default=3, help="times through all sizes (default: 3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every point to FILE")
    parser.add_argument("--png", type=Path, metavar="FILE", help="draw the curves and the roofline")
    options = parser.parse_args()
    if options.repeats < 1:
        parser.error("--repeats must be at least 1")
    fastnet.warmup(options.dtype)
    fastnet.set_num_threads(cores())
    stream = bandwidth()
    before = fma_peak(options.dtype, cores())
    curves = measure(options.dtype, options.repeats)
    fastnet.set_num_threads(cores())
    peak = max(before, fma_peak(options.dtype, cores()))  # a limit: a neighbour can only make it look lower
    print(f"{description()}; {options.dtype}; FMA peak {peak:.0f} GFLOP/s, memory {stream / 1e9:.0f} GB/s\n")
    print("| curve | value | D-H-C | batch | threads | µs/step | GFLOP/s | of FMA peak |\n"
          "|---|--:|---|--:|--:|--:|--:|--:|")
    for curve, points in curves.items():
        for point in points:
            case = Case(**point["case"])
            print(f"| {curve} | {point['value']} | {case.inputs}-{case.hidden}-{case.classes} | {case.batch} | "
                  f"{point['threads']} | {point['seconds'] * 1e6:.1f} | {point['gflops']:.1f} | "
                  f"{point['gflops'] / (peak * point['threads'] / cores()):.2f} |")
    if options.json:
        options.json.write_text(json.dumps({"machine": description(), "dtype": options.dtype, "peak_gflops": peak,
                                            "bandwidth": stream, "curves": curves}, indent=1) + "\n")
    if options.png:
        draw(curves, peak, stream, options.png)


if __name__ == "__main__":
    main()
