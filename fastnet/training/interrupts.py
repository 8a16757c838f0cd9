"""Ctrl-C at the end of a step instead of in its middle, and soon."""

from __future__ import annotations

import signal
import sys
import threading
from types import CodeType, FrameType, TracebackType
from typing import Any

__all__ = ["DeferredInterrupt"]


class DeferredInterrupt:
    """While it is entered, Ctrl-C only leaves a note; :meth:`check` raises the KeyboardInterrupt.

    It takes the place of Python's own handler only, in the main thread, where alone signals arrive: a handler that the
    program has set is left alone. A second Ctrl-C before the check raises at once.

    An exception on the way in or out can leave the handler in place. It looks whether the function that has entered is
    still at work, and otherwise does what Python's own does; the next to enter replaces it.
    """

    def __init__(self) -> None:
        self._pending = False
        self._user: CodeType | None = None
        """The code of the function that has entered."""

    def __enter__(self) -> DeferredInterrupt:
        frame = sys._getframe(1)
        if threading.current_thread() is threading.main_thread() and _is_replaceable(frame):
            self._user = frame.f_code
            signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        # Unless somebody has put another handler in its place meanwhile.
        if self._user is not None and signal.getsignal(signal.SIGINT) == self._handle:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if kind is None:
            self.check()

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if not self.is_used(frame):
            signal.signal(signal.SIGINT, signal.default_int_handler)
        elif not self._pending:
            self._pending = True
            return
        signal.default_int_handler(signum, frame)

    def is_used(self, frame: FrameType | None) -> bool:
        """Whether the function that has entered is at work, seen from a frame of the main thread."""
        while frame is not None and frame.f_code is not self._user:
            frame = frame.f_back
        return frame is not None

    @property
    def pending(self) -> bool:
        """Whether `check` will raise."""
        return self._pending

    def check(self) -> None:
        """Raise KeyboardInterrupt if Ctrl-C has been pressed since the last check."""
        if self._pending:
            self._pending = False
            raise KeyboardInterrupt


def _is_replaceable(frame: FrameType) -> bool:
    """Whether the handler of Ctrl-C is Python's own, or what somebody has left who is no longer at work."""
    handler: Any = signal.getsignal(signal.SIGINT)
    owner = getattr(handler, "__self__", None)
    return handler is signal.default_int_handler or (
        isinstance(owner, DeferredInterrupt) and not owner.is_used(frame.f_back))

