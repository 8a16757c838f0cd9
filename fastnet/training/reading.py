"""Reading ahead: what the next steps need is read by a thread of its own, while the steps before are taken.

It is no helper of a team (:mod:`fastnet.parallel.team`), which would be missed there: reading may take any time, and
runs code of others.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

__all__ = ["read_ahead"]

T = TypeVar("T")

_LOOK_SECONDS = 0.05
"""So long whoever waits for what is read does not see that Ctrl-C has been pressed."""

_END = object()


def read_ahead(items: Generator[T, None, None], check: Callable[[], None] | None = None) -> Generator[T, None, None]:
    """Yield what `items` yields, and have the next item made by a thread meanwhile: one, and no more.

    Whoever wants no more has to close this. Then, as after an exception, the thread is waited for, which ends with what
    it is making, and `items` is closed, by that thread.

    Parameters
    ----------
    items : generator
        All of its code is run by the thread, in the context (of `contextvars`) of the caller.
    check : callable, optional
        Called every now and then while an item is waited for. It may raise.
    """
    # Each call has a copy of the context, as no two may be in the same one; they see the caller's.
    thread = ThreadPoolExecutor(1, thread_name_prefix="fastnet reader")

    def ask(function: Callable[..., Any], *args: Any) -> Future[Any]:
        return thread.submit(contextvars.copy_context().run, function, *args)

    try:
        coming = ask(next, items, _END)
        while (item := _value(coming, check)) is not _END:
            coming = ask(next, items, _END)
            yield item
    finally:
        closed = ask(items.close)
        try:
            _value(closed, check)
        finally:  # another Ctrl-C ends the wait for what takes too long; then the thread ends when it can
            thread.shutdown(wait=closed.done())


def _value(coming: Future[Any], check: Callable[[], None] | None) -> Any:
    if check is not None:
        while not wait([coming], _LOOK_SECONDS).done:
            check()
    return coming.result()
