"""What a first run says while it compiles, and how long that took: to people, at a terminal or in a notebook.

A log file or another program gets nothing. What has been compiled is kept on disk, so it is said once on a machine.
"""

from __future__ import annotations

import contextlib
import sys
import time

__all__ = ["began", "ended"]

_LONG = 1.0
"""Seconds, from which on it is said how long a compilation took."""

_began: dict[str, float] = {}
"""When the compilation of a function began."""


def _is_for_people() -> bool:
    """Whether somebody is likely to read what is written to standard error."""
    return "ipykernel" in sys.modules or bool(sys.stderr is not None and sys.stderr.isatty())


def _say(text: str) -> None:
    print(f"fastnet: {text}", file=sys.stderr, flush=True)


def began(name: str) -> None:
    """Say that something is going to be compiled, if it is the first in this process."""
    with contextlib.suppress(Exception):  # nobody's call fails because nothing can be said
        if not _began and _is_for_people():
            _say("compiling for this processor, which takes some seconds; it is kept on disk for the next time")
        _began[name] = time.perf_counter()


def ended(name: str) -> None:
    """Say how long that took, if it took long."""
    with contextlib.suppress(Exception):
        seconds = time.perf_counter() - _began[name]
        if seconds >= _LONG and _is_for_people():
            _say(f"compiled {name} in {seconds:.0f} s")
