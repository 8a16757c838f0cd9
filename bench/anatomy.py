"""Where the time of a training step goes: each part by itself, beside what its products and its bytes would take.

    python bench/anatomy.py [CASE ...] [--dtype float32] [--repeats N] [--markdown FILE]

A part is the engine's own function, compiled into a loop here, on the structs of a real run, on one thread: so what it
works on is in the cache that holds it. Beside its time is that of its multiply-adds at the peak of the core, and that
of copying as many bytes as it has to read and write, from one array to another of that size. "Not in a part" is what
the whole step takes more (or less) than its parts: the loss, the phases, and what the next part finds in another cache.
The last lines say how much of the time of several threads is not work: they wait, or the work takes longer.

Every figure is the median of the repeats, each of which goes through all parts once.
"""

from __future__ import annotations

import argparse
import functools
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple
from unittest import mock

import numba
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import fastnet
from bench.machine import cores, description, fma_peak
from bench.registry import CASES, DTYPES, Case, step_products
from bench.scaling import Run
from bench.timing import publish
from fastnet.blocks.partition import ZERO
from fastnet.engine import feature_phase, layers, sample_phase, workspace
from fastnet.engine.arguments import Method, lasting_structs, passing_structs
from fastnet.jit.decorators import block
from fastnet.llvm.stacks import layer_of
from fastnet.llvm.structs import table

METHOD = Method(None, None, None)
"""The course's network."""

LOOK = 0.05
"""Seconds that one look at the clock takes, about."""

jit = numba.njit(error_model="numpy")

# Each part takes how often, and what `training_steps` is given for a run.


def of_rows(rows):
    """A part of the sample phase: what `rows` does to some rows of the minibatch, for all of them as a step has it."""

    @jit
    def part(times, method, lasting, passing, like, non_zeros):
        plan, parameters, buffers, _, scratch = lasting_structs(lasting, method, like)
        samples, schedule, _ = passing_structs(passing, non_zeros, like)
        N = schedule.batches.shape[1]
        for _ in range(times):
            for start in range(0, N, plan.chunk_rows):
                rows(method, plan, parameters, samples, schedule, buffers, scratch, start,
                     min(start + plan.chunk_rows, N))

    return part


@of_rows
@block
def gather(method, plan, parameters, samples, schedule, buffers, scratch, start, stop):
    """The samples of a minibatch, packed."""
    layers.gather(samples, schedule.batches[0], buffers.X0[0], ZERO, buffers.X0.shape[1], start, stop)


def affine(layer):
    """The affine map of a layer."""

    @of_rows
    @block
    def part(method, plan, parameters, samples, schedule, buffers, scratch, start, stop):
        for panel in range(layer_of(buffers.A, layer + 1).shape[0]):
            layers.affine_layer(plan, parameters, samples, schedule.batches[0], buffers.X0[0], buffers.A, scratch, ZERO,
                                layer, panel, start, stop)

    return part


@of_rows
@block
def activation(method, plan, parameters, samples, schedule, buffers, scratch, start, stop):
    """ReLU, in place."""
    for panel in range(layer_of(buffers.A, 1).shape[0]):
        layers.activate_layer(method, parameters, buffers.A, ZERO, panel, start, stop)


@of_rows
@block
def head(method, plan, parameters, samples, schedule, buffers, scratch, start, stop):
    """Losses, and the gradient with respect to the scores."""
    sample_phase.head_rows(method, plan, parameters, samples, schedule, buffers, scratch, ZERO, ZERO, start, stop)


@of_rows
@block
def deltas(method, plan, parameters, samples, schedule, buffers, scratch, start, stop):
    """The deltas of the hidden layer, with ReLU's mask."""
    sample_phase.backward_rows(method, plan, parameters, buffers, scratch, start, stop)


@jit
def first_weights(times, method, lasting, passing, like, non_zeros):
    """Gradient, penalty and update of the first layer's weights."""
    plan, parameters, buffers, _, scratch = lasting_structs(lasting, method, like)
    samples, schedule, _ = passing_structs(passing, non_zeros, like)
    owned = feature_phase.owned_by(plan, parameters.sizes, layer_of(parameters.W, 0).shape[0],
                                   buffers.slices.shape[0], ZERO, scratch.zeros.itemsize)
    for _ in range(times):
        feature_phase.update_first_layer(method, plan, parameters, samples, schedule, buffers, scratch, buffers.X0[0],
                                         owned, ZERO, ZERO)


@jit
def second_weights(times, method, lasting, passing, like, non_zeros):
    """The same of the second layer's."""
    plan, parameters, buffers, _, scratch = lasting_structs(lasting, method, like)
    _, schedule, _ = passing_structs(passing, non_zeros, like)
    for _ in range(times):
        feature_phase.update_upper_layer(method, plan, parameters, schedule, buffers, scratch, ZERO, ZERO, 1, ZERO,
                                         parameters.sizes[1])


@jit
def biases(times, method, lasting, passing, like, non_zeros):
    """Gradients and updates of the biases."""
    plan, parameters, buffers, _, scratch = lasting_structs(lasting, method, like)
    _, schedule, _ = passing_structs(passing, non_zeros, like)
    for _ in range(times):
        for layer in range(2):
            feature_phase.update_biases(method, plan, parameters, schedule, buffers, scratch, ZERO, layer, ZERO,
                                        parameters.sizes[layer + 1])


class Part(NamedTuple):
    """A part of a step."""

    name: str
    function: Callable[..., None]
    numbers: Callable[[Case], int]
    """How many numbers it has to read and write."""
    products: Callable[[Case], int] | None = None
    """Multiply-adds of its matrix products, if it has any."""


def first_products(case: Case) -> int:
    """Multiply-adds of one product with the first layer's weights, or of their gradient."""
    return case.batch * case.inputs * case.hidden


def second_products(case: Case) -> int:
    """The same of the second layer."""
    return case.batch * case.hidden * case.classes


PARTS = (
    Part("gather", gather, lambda c: 2 * c.batch * c.inputs),
    Part("first affine map", affine(0), lambda c: c.batch * (c.inputs + c.hidden) + c.inputs * c.hidden,
         first_products),
    Part("ReLU", activation, lambda c: 2 * c.batch * c.hidden),
    Part("second affine map", affine(1), lambda c: c.batch * (c.hidden + c.classes) + c.hidden * c.classes,
         second_products),
    Part("softmax and losses", head, lambda c: 2 * c.batch * c.classes),
    Part("deltas of the hidden layer", deltas, lambda c: c.batch * (2 * c.hidden + c.classes) + c.hidden * c.classes,
         second_products),
    Part("first weights: gradient, update", first_weights,
         lambda c: c.batch * (c.inputs + c.hidden) + 2 * c.inputs * c.hidden, first_products),
    Part("second weights: gradient, update", second_weights,
         lambda c: c.batch * (c.hidden + c.classes) + 4 * c.hidden * c.classes, second_products),
    Part("biases", biases, lambda c: (c.batch + 2) * (c.hidden + c.classes)),
)
"""In the order in which a step with one thread has them."""


def arguments_of(run: Run, rate: float = 0.0) -> tuple[tuple[Any, ...], Any]:
    """What a run of one step is given, and what holds the arrays of its table; it is not taken."""
    taken: list[tuple[Any, ...]] = []
    held: list[Any] = []

    def noted(*structs: Any) -> Any:
        held.append(structs)
        return table(*structs)

    def take(owner: workspace.Workspace, passing: Any, X: Any, non_zeros: Any) -> None:
        taken.append((METHOD, owner.table, passing, X, non_zeros))

    with mock.patch.object(workspace, "table", noted), mock.patch.object(workspace.Workspace, "take", take):
        run.steps(1, rate)
    return taken[0], held


def timed(function: Callable[[int], Any]) -> Callable[[], float]:
    """Return what looks at the clock: seconds for one of as many as `function` takes for a number."""
    def seconds(count: int) -> float:
        start = time.perf_counter()
        function(count)
        return time.perf_counter() - start

    seconds(1)
    count = max(1, min(round(LOOK / (seconds(2) / 2)), 50_000))
    return lambda: seconds(count) / count


def copying(size: int) -> Callable[[int], None]:
    """Return what moves so many bytes, read and written together, so often."""
    source = np.ones(max(size // 2, 1), np.uint8)
    target = source.copy()

    def copy(count: int) -> None:
        for _ in range(count):
            np.copyto(target, source)

    return copy


def looks(case: Case, dtype: str, threads: int) -> Iterator[tuple[str, Callable[[], float]]]:
    """Name and clock of all that is measured."""
    fastnet.set_num_threads(1)
    run = Run(case, dtype)
    run.steps(1)
    arguments, held = arguments_of(run)

    def call(part: Part, count: int, held: Any = held) -> None:  # which lives as long as this function
        part.function(count, *arguments)

    for part in PARTS:
        yield part.name, timed(functools.partial(call, part))
        yield f"bytes of {part.name}", timed(copying(part.numbers(case) * np.dtype(dtype).itemsize))
    yield "1", timed(lambda count: run.steps(count, 0.0))  # a rate of 0: all steps are the same work
    if threads > 1:
        fastnet.set_num_threads(threads)
        several = Run(case, dtype)
        yield str(threads), timed(lambda count: several.steps(count, 0.0))


def anatomy(case: Case, dtype: str, threads: int, repeats: int) -> dict[str, float]:
    """Seconds of each part, of copying its bytes, and of a step with one thread and with several."""
    clocks = dict(looks(case, dtype, threads))
    found: dict[str, list[float]] = {name: [] for name in clocks}
    for _ in range(repeats):
        for name, look in clocks.items():
            found[name].append(look())
    return {name: median(seconds) for name, seconds in found.items()}


def report(name: str, case: Case, dtype: str, seconds: dict[str, float], threads: int, peak: float) -> str:
    """Return the table of a case; `peak` is that of one core, in operations per second."""
    step = seconds["1"]
    lines = [f"{name}, {case.inputs}-{case.hidden}-{case.classes}, batch {case.batch}, {dtype}, one thread:", "",
             "| part | us | of the step | products at the peak, us | of the peak | bytes, KiB | copying them, us |",
             "|---|--:|--:|--:|--:|--:|--:|"]
    for part in PARTS:
        took = seconds[part.name]
        size = part.numbers(case) * np.dtype(dtype).itemsize / 1024
        at_peak = " | "
        if part.products:
            products = 2 * part.products(case) / peak
            at_peak = f"{products * 1e6:.2f} | {products / took:.2f}"
        lines.append(f"| {part.name} | {took * 1e6:.2f} | {took / step:.0%} | {at_peak} | {size:.1f} | "
                     f"{seconds[f'bytes of {part.name}'] * 1e6:.2f} |")
    parts = sum(seconds[part.name] for part in PARTS)
    products = 2 * step_products(case) / peak
    lines += [f"| not in a part | {(step - parts) * 1e6:.2f} | {(step - parts) / step:.0%} | | | | |",
              f"| the step | {step * 1e6:.2f} | | {products * 1e6:.2f} | {products / step:.2f} | | |", ""]
    if threads > 1:
        several = seconds[str(threads)]
        lines += [f"With {threads} threads a step takes {several * 1e6:.2f} us: {step / several:.2f} times as fast; "
                  f"{1 - step / several / threads:.0%} of the threads' time is waiting, or work that takes longer.", ""]
    return "\n".join(lines)


def main() -> None:
    """Measure, and print a table for each case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}; default: all")
    parser.add_argument("--dtype", choices=DTYPES, default="float32")
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    if unknown := set(options.cases) - set(CASES):
        parser.error(f"no such case: {', '.join(sorted(unknown))}")
    peak = fma_peak(options.dtype, 1) * 1e9
    found, tables = {}, []
    for name in options.cases or CASES:
        found[name] = anatomy(CASES[name], options.dtype, options.threads, options.repeats)
        tables.append(report(name, CASES[name], options.dtype, found[name], options.threads, peak))
    tables.append(f"{description()}; FMA peak of one core in the same run: {peak / 1e9:.1f} GFLOP/s.")
    publish("\n".join(tables), {"machine": description(), "dtype": options.dtype, "threads": options.threads,
                                "peak_of_one_core": peak, "cases": found}, options)


if __name__ == "__main__":
    main()
