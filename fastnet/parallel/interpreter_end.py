"""No thread is in compiled code when the interpreter ends.

A daemon thread that comes back from compiled code when the interpreter has gone is ended by it in the middle of frames
that cannot be unwound, which aborts the process. So the end of the interpreter waits for those that are inside, and
lets nobody in any more.
"""

from __future__ import annotations

import atexit
import sys
import threading
import time
from collections.abc import Callable
from types import CodeType
from typing import Any

__all__ = ["stand_still_at_the_end", "without_gil"]

_EXIT_SECONDS = 5.0
"""How long the end of the interpreter waits for threads that are inside compiled code. A run of steps takes some
hundredths of a second."""


_end: int | None = None
"""The thread that ends the interpreter, when it has begun to."""

_WITHOUT_GIL: set[CodeType] = set()


def without_gil(function: Callable[..., Any]) -> Any:
    """Say that a function of Python calls compiled code that releases the GIL: the interpreter's end waits for it."""
    _WITHOUT_GIL.add(function.__code__)
    return function


def stand_still_at_the_end() -> None:
    """Return, but never to a thread that would have to be ended: it waits for ever, and ends with the process."""
    if _end is not None and _end != threading.get_ident():
        _stand_still()


def _stand_still() -> None:
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def _is_inside(frame: Any) -> bool:
    """Whether the thread that is at this frame is in compiled code, or on its way there."""
    while frame is not None and frame.f_code is not _stand_still.__code__:
        if frame.f_code in _WITHOUT_GIL:
            return True
        frame = frame.f_back
    return False


@atexit.register
def _wait_until_nobody_is_inside() -> None:
    global _end
    _end = threading.get_ident()
    give_up = time.monotonic() + _EXIT_SECONDS
    while time.monotonic() < give_up and any(
            _is_inside(frame) for thread, frame in sys._current_frames().items() if thread != _end):
        time.sleep(0.001)
