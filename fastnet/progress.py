"""A progress bar on standard error: tqdm where it is installed, else a few plain lines."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

__all__ = ["progress_bar", "tell"]

T = TypeVar("T")


def _nobody_looks() -> bool:
    """Whether there is no standard error: it is closed, or this is a process without a console."""
    return sys.stderr is None or getattr(sys.stderr, "closed", False)


def tell(text: str) -> None:
    """Print on standard error, where there is one; `print` would take standard output in the place of none."""
    if not _nobody_looks():
        print(text, file=sys.stderr, flush=True)


def progress_bar(iterable: Iterable[T], *, description: str = "", total: int | None = None) -> Iterable[T]:
    """Iterate over `iterable` and show on standard error, where there is one, how far it has come.

    Parameters
    ----------
    iterable : iterable
        Whatever is to be iterated over.
    description : str
        Shown before the figures.
    total : int, optional
        Number of items, where `iterable` has no length of its own.

    Returns
    -------
    iterable
        The same items, in the same order.
    """
    if _nobody_looks():
        return iterable
    if total is None:
        try:
            total = len(iterable)  # type: ignore[arg-type]
        except TypeError:
            total = None
    try:
        from tqdm import tqdm
    except ImportError:
        return _plain_lines(iterable, description, total)
    bar: Iterable[T] = tqdm(iterable, desc=description or None, total=total, file=sys.stderr, dynamic_ncols=True)
    return bar


def _plain_lines(iterable: Iterable[T], description: str, total: int | None) -> Iterator[T]:
    """Print a line at each tenth of a known total, else whenever the count has doubled."""
    prefix = f"{description}: " if description else ""
    start = time.perf_counter()
    due = 1 if total is None else -(-total // 10)
    for count, item in enumerate(iterable, 1):
        yield item
        if count == due:
            seconds = time.perf_counter() - start
            if total is None:
                text = f"{count} done"
                due = 2 * count
            else:
                text = f"{count}/{total} ({100 * count // total} %)"
                due = -(-total * (10 * count // total + 1) // 10)  # the first item at or past the next tenth
            print(f"{prefix}{text}, {seconds:.1f} s", file=sys.stderr, flush=True)
