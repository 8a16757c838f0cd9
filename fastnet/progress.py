"""How far something has come, on standard error: a bar of tqdm's where it is installed, else a few plain lines.

Nothing that goes wrong with it, such as a terminal that is gone, goes any further: it is silent from then on.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, Self, TypeVar

__all__ = ["Bar", "Figures", "latest", "progress_bar", "tell"]

T = TypeVar("T")

Figures = Callable[[], Mapping[str, float]]
"""Returns what else is to be shown, by names; called only when it is."""

_BETWEEN = 0.25
"""Seconds between two pictures of a bar: training does not wait for a terminal."""

_SILENCE = 60.0
"""Seconds after which there is a plain line, though there is not yet another tenth."""


def _nobody_looks() -> bool:
    """Whether there is no standard error: it is closed, or this is a process without a console."""
    return sys.stderr is None or getattr(sys.stderr, "closed", False)


def tell(text: str) -> None:
    """Print on standard error, where there is one; `print` would take standard output in the place of none."""
    if not _nobody_looks():
        print(text, file=sys.stderr, flush=True)


def latest(history: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Return the figures of a training: its last loss, and its last accuracy on the validation data."""
    names = {"loss": "loss_history", "val_acc": "val_acc_history"}
    return {name: history[key][-1] for name, key in names.items() if history[key]}


class _View(Protocol):
    """What shows it."""

    def show(self, done: int, figures: Figures, last: bool) -> None:
        """Show it, if it is time to, or the last time."""

    def close(self) -> None:
        """Nothing comes any more."""


class Bar:
    """A bar that ends where its `with` does, however that ends, with what was reached.

    Parameters
    ----------
    total : int or None
        Number of items; None if it is not known.
    description : str
        Shown before the figures.
    initial : int, default 0
        So many were done before: of a run that goes on. The rate is that of the others.
    unit : str, default "it"
        What an item is called.
    figures : callable, optional
        Returns what else is to be shown.
    shown : bool, default True
        Whether to show anything at all.
    """

    def __init__(self, total: int | None, *, description: str = "", initial: int = 0, unit: str = "it",
                 figures: Figures = dict, shown: bool = True) -> None:
        self._total, self._description, self._unit, self._figures = total, description, unit, figures
        self._done, self._shown = initial, shown
        self._view: _View | None = None

    def __enter__(self) -> Self:
        if self._shown and not _nobody_looks():
            try:
                self._view = _TqdmView(self._total, self._description, self._done, self._unit)
            except Exception:  # it is not installed, or refuses
                self._view = _Lines(self._total, self._description, self._done, self._unit)
        return self

    def update(self, done: int) -> None:
        """Take note that so many are done; shown a few times a second, at most."""
        self._done = done
        self._show(last=False)

    def _show(self, last: bool) -> None:
        if self._view is not None:
            try:
                self._view.show(self._done, self._figures, last)
            except Exception:
                self._close()

    def __exit__(self, *exception: object) -> None:
        self._show(last=True)
        self._close()

    def _close(self) -> None:
        view, self._view = self._view, None
        if view is not None:
            with contextlib.suppress(Exception):
                view.close()


def progress_bar(iterable: Iterable[T], *, description: str = "", total: int | None = None, unit: str = "it",
                 figures: Figures = dict) -> Iterable[T]:
    """Iterate over `iterable` and show on standard error, where there is one, how far it has come.

    Parameters
    ----------
    iterable : iterable
        Whatever is to be iterated over.
    description, unit, figures
        As for :class:`Bar`.
    total : int, optional
        Number of items, where `iterable` has no length of its own.

    Returns
    -------
    iterable
        The same items, in the same order.
    """
    if total is None:
        try:
            total = len(iterable)  # type: ignore[arg-type]
        except TypeError:
            total = None
    return _counted(iterable, Bar(total, description=description, unit=unit, figures=figures))


def _counted(iterable: Iterable[T], bar: Bar) -> Iterator[T]:
    with bar:
        for count, item in enumerate(iterable, 1):
            yield item
            bar.update(count)


def _text(figures: Figures) -> str:
    return ", ".join(f"{name}={float(value):.4g}" for name, value in figures().items())


def _columns() -> int | None:
    """How wide the terminal says that it is; None if there is none."""
    with contextlib.suppress(Exception):
        return os.get_terminal_size(sys.stderr.fileno()).columns
    return None


class _TqdmView:
    """A bar of tqdm's, in notebooks one of widgets."""

    def __init__(self, total: int | None, description: str, initial: int, unit: str) -> None:
        from tqdm import auto

        # Of a terminal that does not know its size, as in a container, tqdm would draw nothing. When it draws is
        # decided here, so that figures are not made for nothing.
        width: dict[str, Any] = {"ncols": 80, "nrows": 20} if _columns() == 0 else {"dynamic_ncols": True}
        self._bar: Any = auto.tqdm(desc=description or None, total=total, initial=initial, unit=unit, file=sys.stderr,
                                   mininterval=0, miniters=0, **width)
        self._next = time.perf_counter() + _BETWEEN

    def show(self, done: int, figures: Figures, last: bool) -> None:
        now = time.perf_counter()
        if now >= self._next or last:
            self._next = now + _BETWEEN
            self._bar.set_postfix_str(_text(figures), refresh=False)
            self._bar.update(done - self._bar.n)

    def close(self) -> None:
        self._bar.close()


class _Lines:
    """A line at each tenth of a known total, else whenever the count has doubled; and one at the end."""

    def __init__(self, total: int | None, description: str, initial: int, unit: str) -> None:
        self._prefix = f"{description}: " if description else ""
        self._total, self._initial, self._unit = total, initial, unit
        self._start = self._last = time.perf_counter()
        self._printed = initial
        self._due = self._next_due(initial)

    def _next_due(self, done: int) -> int:
        """The first item at or past the next tenth, or twice as many."""
        if self._total:
            return -(-self._total * (10 * done // self._total + 1) // 10)
        return max(2 * done, 1)

    def show(self, done: int, figures: Figures, last: bool) -> None:
        now = time.perf_counter()
        if done == self._printed or not (done >= self._due or last or now - self._last >= _SILENCE):
            return
        seconds = now - self._start
        rate = (done - self._initial) / max(seconds, 1e-9)
        parts = [f"{done} done" if not self._total else f"{done}/{self._total} ({100 * done // self._total} %)",
                 f"{seconds:.1f} s", f"{rate:.3g} {self._unit}/s"]
        if self._total and done < self._total and rate and not last:
            parts.append(f"{_duration((self._total - done) / rate)} left")
        tell(self._prefix + ", ".join([*parts, *filter(None, [_text(figures)])]))
        self._printed, self._last, self._due = done, now, self._next_due(done)

    def close(self) -> None:
        """Nothing is open."""


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{seconds:02} h"
    return f"{minutes}:{seconds:02} min" if minutes else f"{seconds} s"
