"""A team of workers that goes through phases together.

A parallel region of numba costs some microseconds to begin and to end, as much as a whole step of a small network, and
its thread layers abort the process when two Python threads begin one at once, or kill it after a fork. So a run of
steps is a team of Python threads instead, which all call the same compiled function, without the GIL. Each goes through
all phases. Each phase is cut into shares. A worker waits until all shares of the phases before are complete, then takes
shares that nobody has taken yet, its own first.

No worker ever waits for a worker that has not begun: what it waits for has been taken by somebody who is at work. So
it does not matter how many of the workers really run, or when they come: one alone does everything. Who takes a share
changes no result.

Python may raise an exception between any two of its bytecodes: a signal handler may, in the main thread, and so may
`PyThreadState_SetAsyncExc`, in any thread. Nothing that a worker uses is freed by that, and no step is left half done,
because all waiting is done by compiled code, inside one call, in which nothing is raised. The caller is worker 0, and
its compiled function begins with `enter`, which opens a door, and ends with `leave`, which closes it and waits until
everybody is out. A helper works between its own `enter`, which lets it in only while the door is open, and `leave`. So
helpers touch the arrays only while the caller's call is being made, and the frame of the caller holds the arrays that
long. The points at which an exception can come are these:

- before the call, whether helpers have been asked or not: the door is never opened, nobody works, nothing has changed;
- after the call: all is done, and nobody is inside or will be. Helpers that come late find the door closed;
- in a helper, before or after its own call: it has taken no share, or has completed those that it took.

A sleeping thread takes as long to wake as a hundred small matrix products. So a helper stays awake for a moment after
its work, inside its call but outside the door, and comes back for the next team when any door is opened. It holds what
the call was given for so long.
"""

from __future__ import annotations

import _thread
import contextlib
import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Any

import numpy as np
from numba import config
from numpy.typing import NDArray

from ..tuning import KNOCK_SECONDS, KNOCKS
from .interpreter_end import stand_still_at_the_end, without_gil
from .phases import call_helpers_back, door_was_opened

__all__ = ["Ahead", "run"]


class _Helpers:
    """Threads that make calls; more are started when more are needed."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._threads: list[int] = []
        self._lock = threading.Lock()

    def put(self, calls: Sequence[Callable[[], None]]) -> None:
        """Have the calls made, by somebody, some time."""
        if len(self._threads) < len(calls):
            with self._lock, contextlib.suppress(RuntimeError):  # no threads to be had when the interpreter ends
                # One call of C starts threads and counts them: an exception cannot come between the two.
                missing = len(calls) - len(self._threads)
                self._threads.extend(map(_thread.start_new_thread, repeat(self._serve, missing), repeat(())))
        for call in calls:
            self._calls.put(call)

    def _serve(self) -> None:
        threading.current_thread().name = "fastnet"
        while True:
            # An error reaches the caller by what was called, or the caller does the work alone.
            with contextlib.suppress(BaseException):
                self._calls.get()()


_helpers = _Helpers()


def _helpers_of_this_process() -> _Helpers:
    """The helpers; after a fork, which Python may know nothing of, new ones: the threads are the parent's."""
    global _helpers
    if _helpers.process != os.getpid():
        _helpers = _Helpers()
    return _helpers


class _Visit:
    """The call of a helper, who comes in if the door is open, and need not come."""

    __slots__ = ("args", "counters", "work", "worker")

    def __init__(self, work: Callable[..., None], worker: int, counters: NDArray[np.int64],
                 args: tuple[Any, ...]) -> None:
        self.work, self.worker, self.counters, self.args = work, worker, counters, args

    def __call__(self) -> None:
        knocks = 0
        while not door_was_opened(self.counters) and knocks < KNOCKS:
            time.sleep(KNOCK_SECONDS)
            knocks += 1
        stand_still_at_the_end()
        self.work(self.worker, self.counters, *self.args)

    def forget(self) -> None:
        """Let go of the arrays: the work is done, and this may lie in the queue for a while."""
        self.work, self.args = _nothing, ()


def _nothing(worker: int, counters: NDArray[np.int64]) -> None:
    pass


def run(work: Callable[..., None], workers: int, counters: NDArray[np.int64], *args: Any) -> None:
    """Call ``work(worker, counters, *args)`` for each worker, the first of them here, and return when all is done.

    The others come when their threads get to it. Those that have not come when the work is done are not waited for.

    Parameters
    ----------
    work : compiled function
        It does everything between `enter` and `leave`.
    workers : int
    counters : int64 array
        New ones, from :func:`fastnet.parallel.phases.new_counters`.
    *args
        What else the function takes.
    """
    stand_still_at_the_end()
    if workers == 1 or config.DISABLE_JIT:
        work(0, counters, *args)
        return
    visits = [_Visit(work, worker, counters, args) for worker in range(1, workers)]
    _helpers_of_this_process().put(visits)
    work(0, counters, *args)
    for visit in visits:
        visit.forget()


class Ahead:
    """What a call returns, made by a helper while the caller does something else, or by the caller if none has come.

    The helper is one of those of `run`: not for callers that have a team at work meanwhile. The call owns what it works
    on: an exception may end the wait for it, and then the helper goes on, and what it made is nobody's.
    """

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call
        self._error: BaseException | None = None
        self._taken, self._finished = threading.Lock(), threading.Lock()
        self._finished.acquire()
        _helpers_of_this_process().put([self._make])
        call_helpers_back()

    def _make(self) -> None:
        if self._taken.acquire(blocking=False):
            try:
                self._value = self._call()
            except BaseException as error:  # raised again where it is waited for
                self._error = error
            finally:
                self._finished.release()

    def value(self) -> Any:
        """Return it, or raise what the call has raised. To be asked for once, and in this process."""
        if self._taken.acquire(blocking=False):
            return self._call()
        self._finished.acquire()
        if self._error is not None:
            raise self._error
        return self._value


without_gil(run)
without_gil(_Visit.__call__)


