"""What the commands write: lines on standard output, and files that must not take the place of what was read."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import suppress

__all__ = ["Interrupted", "fill_gaps", "let_go_of_output", "print_lines", "refuse_existing", "refuse_overwriting"]


class Interrupted(KeyboardInterrupt):
    """Ctrl-C in a training whose checkpoint says how far it has come."""

    def __init__(self, epochs: int, checkpoint: str) -> None:
        super().__init__(f"after {epochs} epochs, which are in {checkpoint}; the same command with --resume "
                         f"{checkpoint} goes on from there")


def print_lines(lines: Iterable[tuple[str, str]]) -> None:
    """Print names, each with its text, one below the other."""
    for name, text in lines:
        print(f"{name:10}{text}")


def refuse_overwriting(out: str, what: str, option: str = "--out", **inputs: str) -> None:
    """Refuse to write `what` to the file `out` where it is one of the `inputs`, under whatever name."""
    for kind, path in inputs.items():
        if os.path.exists(out) and os.path.exists(path) and os.path.samefile(out, path):
            raise ValueError(f"{out}: {what} would overwrite the {kind}; choose another {option}")


def refuse_existing(out: str, what: str) -> None:
    """Refuse to write `what` over a file that is there already."""
    if os.path.lexists(out):
        raise ValueError(f"{out}: there is {what} already; --force replaces it, --out names another file")


def fill_gaps() -> None:
    """Open the null device in the place of each standard stream that is closed.

    Else the next file that is opened has its number: the model could get what a library writes to standard error.
    """
    with suppress(OSError):
        descriptor = os.open(os.devnull, os.O_RDWR)
        while descriptor <= 2:
            descriptor = os.open(os.devnull, os.O_RDWR)
        os.close(descriptor)


def let_go_of_output() -> None:
    """Send what standard output does not take nowhere: the interpreter flushes it once more as it ends, and fails."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError):  # a full disk, or nobody reads
        with suppress(AttributeError, OSError, ValueError):  # where standard output is no file
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
