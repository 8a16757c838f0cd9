"""Ctrl-C at the end of a step instead of in its middle, and soon."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import TypeVar

__all__ = ["DeferredInterrupt", "Pace"]

T = TypeVar("T")

_RUN_SECONDS = 0.01
"""How long one run of compiled steps, with its draws, is meant to take, so that neither Ctrl-C nor a progress bar waits
long."""

_RUN_INDICES = 1_000_000
"""The most indices of samples that are drawn for one run: they are memory."""


class DeferredInterrupt:
    """While it is entered, Ctrl-C only leaves a note; :meth:`check` raises the KeyboardInterrupt.

    It takes the place of Python's own handler only, in the main thread, where alone signals arrive: a handler that the
    program has set is left alone. A second Ctrl-C before the check raises at once.
    """

    def __init__(self) -> None:
        self._pending = False
        self._installed = False

    def __enter__(self) -> DeferredInterrupt:
        in_main_thread = threading.current_thread() is threading.main_thread()
        if in_main_thread and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._handle)
            self._installed = True
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        # Unless somebody has put another handler in its place meanwhile.
        if self._installed and signal.getsignal(signal.SIGINT) == self._handle:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        self._installed = False
        if kind is None:
            self.check()

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if self._pending:
            signal.default_int_handler(signum, frame)
        self._pending = True

    @property
    def pending(self) -> bool:
        """Whether `check` will raise."""
        return self._pending

    def check(self) -> None:
        """Raise KeyboardInterrupt if Ctrl-C has been pressed since the last check."""
        if self._pending:
            self._pending = False
            raise KeyboardInterrupt


class Pace:
    """How many compiled steps to take at a time, by how long the last ones took. Where a run ends changes no result."""

    def __init__(self, batch_size: int) -> None:
        self._most = max(1, _RUN_INDICES // batch_size)
        self.steps = 1

    def __call__(self, run: Callable[[], T], steps: int) -> T:
        """Call `run`, which takes so many steps, and learn how long they take."""
        start = time.perf_counter()
        result = run()
        seconds_a_step = max(time.perf_counter() - start, 1e-9) / steps
        self.steps = max(1, min(int(_RUN_SECONDS / seconds_a_step), self._most))
        return result
