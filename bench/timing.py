"""How long a call takes, and what a process of its own answers: what the programs in this folder share."""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

# Nothing of fastnet here: bench/tuning.py sets a number, and bench/rows.py chooses a checkout, before it is imported.

LOOK = 0.15
"""Seconds that one look at the clock takes, about."""

SETTLING = 0.2
"""Seconds in which threads find cores of their own: a new one sits on its maker's core for some 50 ms now and then."""


def seconds_per_call(function: Callable[..., Any], *arguments: Any) -> float:
    """Median duration of a call, in rounds long enough for the clock."""
    function(*arguments)
    begin = time.perf_counter()  # after the first call, which may load what is compiled
    while time.perf_counter() - begin < SETTLING:
        function(*arguments)
    rounds, times = 1, []
    while True:
        start = time.perf_counter()
        for _ in range(rounds):
            function(*arguments)
        took = time.perf_counter() - start
        if took < LOOK / 30:
            rounds *= 2
            continue
        times.append(took / rounds)
        if len(times) >= 9:
            return median(times)


def three_digits(value: float) -> str:
    """Three significant digits, or more where the number is larger."""
    return f"{value:.{max(0, 2 - math.floor(math.log10(value)))}f}"


def microseconds(seconds: float) -> str:
    """Three significant digits, in microseconds."""
    return three_digits(seconds * 1e6)


def publish(text: str, found: Any, options: argparse.Namespace) -> None:
    """Print a table; write it, and all that was found, to the files that are asked for."""
    print(text)
    if options.markdown:
        options.markdown.write_text(text + "\n")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


def with_path(folder: Path) -> str:
    """Return the PYTHONPATH with which modules come from a folder first."""
    return os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])


def answer(command: list[Any], what: str, **environment: str) -> Any:
    """Run a Python program, and return the JSON in its last line; end this program where that one fails."""
    done = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, check=False,
                          env={**os.environ, **environment})
    if done.returncode:
        sys.exit(f"{what}: the process failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])
