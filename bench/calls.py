"""Measure whole calls, what a user waits for: from the call to its return, with the checking of data and all else.

    python bench/calls.py [--repeats N] [--rows NAME ...] [--sides NAME ...] [--threads N ...] [--dtypes NAME ...]
                          [--samples N] [--against FOLDER] [--json FILE] [--markdown FILE]

fastnet stands beside `fastnet.reference` in NumPy and beside scikit-learn's estimators; with --against beside another
checkout of fastnet, measured by these same programs. There are three tables: calls, kernels by shape (both of rows.py),
and processes from their start to their end (starts.py).

Before anything is timed, both sides of every row have to give the same losses, accuracies, gradients and labels. Then
each row runs in processes of its own, the sides in turn, with one thread and with all. A call is warm: compiled,
loaded, and made before on something small. Where it changes its model, each has a new one. The rows of CIFAR-10's shape
are timed once in a process, the others many times. Every figure is the median over the processes.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from numba.core import config

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.machine import cores, description, warn_if_busy
from bench.peers import versions
from bench.registry import DTYPES
from bench.rows import CLOSE, SAMPLES, Row, all_rows
from bench.starts import STARTS, STATES, install, measure, read
from bench.timing import answer, publish, three_digits, with_path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {"NumPy": "numpy", "scikit-learn": "sklearn"}
LIMITS = ("NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
"""Variables that say how many threads a process uses: numba's, and those of NumPy's matrix products."""

Figures = dict[str, dict[str, dict[int, list[float]]]]
"""For a row and dtype, a role in the comparison and a number of threads: seconds in each process."""

Starts = dict[str, dict[str, list[dict[str, dict[str, float]]]]]
"""For a program and a role: what each run has measured."""


class Side(NamedTuple):
    """Who makes a call."""

    kind: str
    """fastnet, NumPy or scikit-learn."""
    checkout: Path
    """Where fastnet is, or its reference in NumPy."""


class Contest(NamedTuple):
    """Who is compared: fastnet as it is here, whose role is "ours", with an "other"."""

    against: Path | None
    chosen: list[str]

    def sides(self, peer: str) -> dict[str, Side]:
        """The side in each role, in a row that has this peer."""
        if self.against:
            return {"other": Side("fastnet", self.against), "ours": Side("fastnet", ROOT)}
        roles = {"other": Side(peer, ROOT), "ours": Side("fastnet", ROOT)}
        return {role: side for role, side in roles.items() if side.kind in self.chosen}

    @property
    def checkouts(self) -> list[Path]:
        """Of all fastnets that are measured."""
        return [ROOT] if self.against is None else [self.against, ROOT]

    @property
    def ratio(self) -> str:
        """What is compared, in words."""
        return "new / old" if self.against else "other / fastnet"

    def headers(self, of: str) -> list[str]:
        """The headers of a comparison: other, ours, ratio."""
        other, ours = ("old", "new") if self.against else ("other", "fastnet")
        return [f"{other}, {of}", f"{ours}, {of}", self.ratio]

    def cells(self, other: float | None, ours: float | None, text: Any) -> list[str]:
        """The cells of a comparison, empty where a side has no figure."""
        ratio = "" if not other or not ours else f"**{ours / other if self.against else other / ours:.2f}**"
        return [*("" if value is None else text(value) for value in (other, ours)), ratio]


# ---- calls, in processes of their own --------------------------------------------------------------------------------


def selected(names: Iterable[str], wanted: list[str] | None) -> list[str]:
    """The names that are wanted, each by itself or by how it begins; ValueError where none is."""
    names = list(names)
    if wanted is None:
        return names
    chosen: set[str] = set()
    for part in wanted:
        found = [part] if part in names else [name for name in names if name.startswith(part)]
        if not found:
            raise ValueError(f"no row is called {part!r}, and none begins so")
        chosen.update(found)
    return [name for name in names if name in chosen]


def in_process(checkout: Path, threads: int, what: str, *arguments: Any) -> dict[str, float]:
    """What a process of rows.py has found or measured; it has to have used the fastnet of this checkout."""
    result = answer([ROOT / "bench" / "rows.py", *arguments], f"{what}, {threads_of(threads)}",
                    PYTHONPATH=with_path(checkout), **dict.fromkeys(LIMITS, str(threads)))
    if Path(result["checkout"]) != checkout:
        sys.exit(f"{what}: fastnet was imported from {result['checkout']} instead of {checkout}")
    return result["figures"]


def processes(rows: dict[str, Row]) -> dict[str, list[str]]:
    """The names of the rows that share a process, by a title."""
    titles: dict[str, list[str]] = {}
    for name, row in rows.items():
        titles.setdefault(row.process or name, []).append(name)
    return titles


def verify(rows: dict[str, Row], contest: Contest, threads: list[int], options: list[str]) -> None:
    """End the program unless all sides of every row do the same; compile what they need."""
    for title, names in processes(rows).items():
        found: dict[str, float] = {}
        for checkout in contest.checkouts:
            for count in rows[names[0]].threads(threads):
                sizes = in_process(checkout, count, f"no table: {title} of {checkout} beside {rows[names[0]].peer}",
                                   "--verify", "--rows", *names, *options)
                for key, size in sizes.items():
                    if not np.isclose(size, found.setdefault(key, size), rtol=CLOSE[key.split()[1]], atol=0):
                        sys.exit(f"no table: {key} of {checkout} is other work: {size} instead of {found[key]}")
        print(f"same results: {title}", file=sys.stderr)


def collect(rows: dict[str, Row], contest: Contest, threads: list[int], repeats: int, options: list[str]) -> Figures:
    """Time all rows, each time in a new process; the sides take turns, and take turns in being the first."""
    figures: Figures = {f"{name} {dtype}": {} for name, row in rows.items() for dtype in row.dtypes}
    for repeat in range(repeats):
        for title, names in processes(rows).items():
            start, row = time.perf_counter(), rows[names[0]]
            turns = [(*turn, count) for count in row.threads(threads) for turn in contest.sides(row.peer).items()]
            for role, side, count in turns if repeat % 2 == 0 else reversed(turns):
                seconds = in_process(side.checkout, count, f"{title}, {side.kind} of {side.checkout}", "--side",
                                     side.kind, "--rows", *names, *options)
                for key, value in seconds.items():
                    figures[key].setdefault(role, {}).setdefault(count, []).append(value)
            print(f"run {repeat + 1} of {repeats}: {title}, {time.perf_counter() - start:.0f} s", file=sys.stderr)
    return {key: roles for key, roles in figures.items() if roles}


# ---- processes from their start to their end -------------------------------------------------------------------------


def collect_starts(names: list[str], contest: Contest, repeats: int) -> Starts:
    """Time the programs, the sides in turn; end this one unless they print the same numbers."""
    starts: Starts = {name: {"other": [], "ours": []} for name in names}
    with tempfile.TemporaryDirectory() as folder:
        installed = {checkout: Path(folder) / str(number) for number, checkout in enumerate(contest.checkouts)}
        for checkout, place in installed.items():
            install(checkout, place)
        for repeat in range(repeats):
            for name in names:
                results = {}
                for role, side in contest.sides(STARTS[name].peer).items():
                    if repeat == 0:
                        read(name, side.kind, installed[side.checkout])
                    results[role], seconds = measure(name, side.kind, installed[side.checkout])
                    starts[name][role].append(seconds)
                if len(results) == 2:
                    check_start(name, results["other"], results["ours"])
                print(f"run {repeat + 1} of {repeats}: {name}", file=sys.stderr)
    return starts


def check_start(name: str, other: list[Any], ours: list[Any]) -> None:
    """End the program unless both lists have the same numbers."""
    try:
        for part, expected in zip(ours, other, strict=True):
            np.testing.assert_allclose(part, expected, rtol=CLOSE["float64"], atol=0)
    except (AssertionError, ValueError) as error:
        sys.exit(f"no table: the sides of {name} have other results: {error}")


# ---- tables ----------------------------------------------------------------------------------------------------------


def threads_of(count: int) -> str:
    """Return "1 thread" or "2 threads"."""
    return f"{count} thread{'s' if count > 1 else ''}"


def duration(seconds: float) -> str:
    """Three significant digits, in the unit that suits."""
    unit, factor = ("s", 1.0) if seconds >= 1 else ("ms", 1e3) if seconds >= 1e-3 else ("us", 1e6)
    return f"{three_digits(seconds * factor)} {unit}"


def markdown(texts: list[str], numbers: list[str], lines: list[list[str]]) -> str:
    """A table with these columns."""
    rule = "|" + len(texts) * "---|" + len(numbers) * "--:|"
    return "\n".join([f"| {' | '.join([*texts, *numbers])} |", rule, *(f"| {' | '.join(line)} |" for line in lines)])


def table(rows: dict[str, Row], figures: Figures, contest: Contest) -> str:
    """A line for each row and dtype; the last ratio is that of each side's best number of threads."""
    counts = sorted({count for roles in figures.values() for times in roles.values() for count in times})
    texts = ["call", "dtype", *([] if contest.against else ["other"])]
    numbers = [header for count in counts for header in contest.headers(threads_of(count))]
    lines = []
    for name, row in rows.items():
        for dtype in row.dtypes:
            roles = figures.get(f"{name} {dtype}")
            if not roles:
                continue
            theirs, our = ({count: median(looks) for count, looks in roles.get(role, {}).items()}
                           for role in ("other", "ours"))
            line = [row.what, dtype, row.peer][:len(texts)]
            for count in counts:
                line += contest.cells(theirs.get(count), our.get(count), duration)
            best = contest.cells(min(theirs.values(), default=None), min(our.values(), default=None), duration)
            lines.append([*line, best[-1]])
    return markdown(texts, [*numbers, f"{contest.ratio}, each at its best"], lines)


def starts_table(starts: Starts, contest: Contest) -> str:
    """A line for each program and each state of the disk."""
    numbers = [header for of in ("s", "s of work") for header in contest.headers(of)]
    lines = []
    for name, roles in starts.items():
        for state in STATES:
            line = [STARTS[name].what, state]
            for kind in ("clock", "work"):
                theirs, our = (median(run[state][kind] for run in roles[role]) if roles[role] else None
                               for role in ("other", "ours"))
                line += contest.cells(theirs, our, three_digits)
            lines.append(line)
    return markdown(["program", "compiled on disk"], numbers, lines)


def report(rows: dict[str, Row], figures: Figures, starts: Starts, contest: Contest) -> str:
    """The tables that have lines."""
    calls, kernels = ({name: row for name, row in rows.items() if name.startswith("kernels") == is_kernel}
                      for is_kernel in (False, True))
    parts = []
    for title, some in (("Whole calls", calls), ("Kernels", kernels)):
        if some:
            of_these = {key: roles for key, roles in figures.items() if key.split()[0] in some}
            parts += [f"{title}:", table(some, of_these, contest)]
    if starts:
        parts += ["Processes from their start to their end:", starts_table(starts, contest)]
    return "\n\n".join(parts)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="Whole calls of fastnet beside NumPy's and scikit-learn's.")
    parser.add_argument("--repeats", type=int, default=3, help="processes for each side (default: 3)")
    parser.add_argument("--rows", nargs="+", metavar="NAME",
                        help="which rows, by their names or by how these begin: predict, cifar-uint8, kernels-200x64, "
                             "start (default: all, some half an hour)")
    parser.add_argument("--sides", nargs="+", choices=["fastnet", *PACKAGES], metavar="NAME",
                        help=f"which sides are timed, of: fastnet, {', '.join(PACKAGES)} (default: all)")
    parser.add_argument("--threads", nargs="+", type=int, default=sorted({1, cores()}), metavar="N",
                        help="with how many threads (default: one, and one for each core)")
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=list(DTYPES), help="which dtypes (default: all)")
    parser.add_argument("--samples", type=int, default=SAMPLES, metavar="N",
                        help=f"training samples of the rows of CIFAR-10's shape (default: {SAMPLES}; CIFAR-10's own "
                             f"49000 take some 3 GB)")
    parser.add_argument("--against", type=Path, metavar="FOLDER",
                        help="another checkout of fastnet, with which this one is compared")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every run to FILE")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables to FILE as well")
    options = parser.parse_args()
    rows, starts = all_rows(options.samples), dict(STARTS)
    try:
        names = selected([*rows, *starts], options.rows)
    except ValueError as error:
        parser.error(f"{error}; there are: {', '.join([*processes(rows), *starts])}")
    if options.repeats < 1 or options.samples < 1 or min(options.threads) < 1:
        parser.error("--repeats, --samples and --threads must be at least 1")
    if options.against and options.sides:
        parser.error("with --against the sides are two checkouts")
    if options.against and not (options.against / "fastnet" / "__init__.py").exists():
        parser.error(f"{options.against} has no fastnet")
    if config.DISABLE_JIT:
        sys.exit("nothing is compiled (NUMBA_DISABLE_JIT): the figures would say nothing")
    warn_if_busy()

    contest = Contest(options.against and options.against.resolve(), options.sides or ["fastnet", *PACKAGES])
    there = [package for package, module in PACKAGES.items() if importlib.util.find_spec(module)]
    for name in names:
        if (rows | starts)[name].peer not in there:
            print(f"{name}: left out, {(rows | starts)[name].peer} is not installed", file=sys.stderr)
    rows = {name: rows[name] for name in names if name in rows and rows[name].peer in there
            and set(rows[name].dtypes) & set(options.dtypes)}
    start_names = [name for name in names if name in starts and starts[name].peer in there]
    passed = ["--dtypes", *options.dtypes, "--samples", str(options.samples)]
    verify(rows, contest, options.threads, passed)
    figures = collect(rows, contest, options.threads, options.repeats, passed)
    started = collect_starts(start_names, contest, options.repeats)
    old = f"old is {contest.against.name}; " if contest.against else ""
    text = (f"{report(rows, figures, started, contest)}\n\n{description()}; {versions(there)}; {old}"
            f"medians of {options.repeats} processes each.")
    publish(text, {"machine": description(), "versions": versions(there), "samples": options.samples,
                   "against": contest.against and str(contest.against), "calls": figures, "starts": started}, options)


if __name__ == "__main__":
    main()
