"""What a first run says while it compiles, and how long that took: to people, at a terminal or in a notebook.

A log file or another program gets nothing. What has been compiled is kept on disk, so it is said once on a machine.
Where it cannot be kept, which whoever runs a service has to know, one warning says so.
"""

from __future__ import annotations

import contextlib
import sys
import time
import warnings

__all__ = ["began", "compiled", "ended", "not_kept", "waits", "was_not_kept"]

_LONG = 1.0
"""Seconds, from which on it is said how long a compilation took."""

_began: dict[str, float] = {}
"""When the compilation of a function began."""

compiled: list[str] = []
"""The functions that this process has compiled, in this order: one twice where it was for two dtypes."""

_said: set[str] = set()
"""What has been said in this process, and is not said again."""


def _is_for_people() -> bool:
    """Whether somebody is likely to read what is written to standard error."""
    return "ipykernel" in sys.modules or bool(sys.stderr is not None and sys.stderr.isatty())


def _say(text: str) -> None:
    print(f"fastnet: {text}", file=sys.stderr, flush=True)


def began(name: str) -> None:
    """Say that something is going to be compiled, if it is the first in this process."""
    with contextlib.suppress(Exception):  # nobody's call fails because nothing can be said
        if not _began and _is_for_people():
            _say("compiling for this processor, for ten to forty seconds; it is kept on disk for the next time")
        _began[name] = time.perf_counter()


def ended(name: str) -> None:
    """Say how long that took, if it took long."""
    with contextlib.suppress(Exception):
        compiled.append(name)
        seconds = time.perf_counter() - _began[name]
        if seconds >= _LONG and _is_for_people():
            _say(f"compiled {name} in {seconds:.0f} s")


def waits(name: str) -> None:
    """Say once that another process compiles something, and that this one waits for it."""
    with contextlib.suppress(Exception):
        if "waits" not in _said and _is_for_people():
            _said.add("waits")
            _say(f"waiting for another process, which compiles {name}")


def not_kept(reason: str) -> None:
    """Warn once that what is compiled is lost at the end of the process.

    No call fails for it: where warnings are errors nothing is said.
    """
    if "not kept" not in _said:
        _said.add("not kept")
        with contextlib.suppress(Exception):
            warnings.warn(f"fastnet cannot keep what it compiles, so each process takes some 20 seconds for that anew "
                          f"({reason}); have NUMBA_CACHE_DIR name a folder that this user can write to, and nobody "
                          "else", RuntimeWarning, stacklevel=2)


def was_not_kept() -> bool:
    """Whether something could not be kept."""
    return "not kept" in _said
