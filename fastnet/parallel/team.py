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

The counters are an int64 array: how many shares are complete, the door, and for each share the phase that was last
taken. They are changed by atomic operations, which numba does not have; hence LLVM again.
"""

from __future__ import annotations

import _thread
import atexit
import contextlib
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Sequence
from itertools import repeat
from types import CodeType
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils, config
from numpy.typing import NDArray

from ..jit.decorators import block, operation
from ..llvm.tile import IS_ARM, IS_X86

__all__ = ["Ahead", "complete", "counters", "enter", "leave", "run", "take", "wait_until", "without_gil"]

_LINE = 16
"""Elements from one counter to the next: two cache lines, so that no two counters share one or its neighbour."""

_SPINS = 2000
"""How often a waiting worker looks before it offers its core to others, each time that it looks from then on."""


_COMPLETE, _DOOR, _FIRST_SHARE = 0, 1, 2
"""Numbers of the counters: of complete shares, of the door, and of the first share's last phase."""

_OPEN, _CLOSED = 1 << 32, 1 << 33
"""The door is 0 before it is opened; then it is one of these, and the number of helpers that are inside."""

_KNOCKS, _KNOCK_SECONDS = 20, 0.0005
"""How often, and how long apart, a helper looks for the door that is not open yet. That is seldom: the caller has to be
stopped, by another thread or an exception, between asking for help and beginning the work."""

_EXIT_SECONDS = 5.0
"""How long the end of the interpreter waits for threads that are inside compiled code. A run of steps takes some
hundredths of a second."""


def counters(shares: int) -> NDArray[np.int64]:
    """Return the counters of a team that has not begun, for at most `shares` shares in a phase."""
    return np.zeros((_FIRST_SHARE + shares) * _LINE, np.int64)


# ---- threads ---------------------------------------------------------------------------------------------------------


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
            # Whoever has asked learns of an error from the call, or does the work alone.
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
        while not self.counters[_DOOR * _LINE] and knocks < _KNOCKS:
            time.sleep(_KNOCK_SECONDS)
            knocks += 1
        _stand_still_at_the_end()
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
        New ones, from :func:`counters`.
    *args
        What else the function takes.
    """
    _stand_still_at_the_end()
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


# ---- the end of the interpreter --------------------------------------------------------------------------------------
# A daemon thread that comes back from compiled code when the interpreter has gone is ended by it in the middle of
# frames that cannot be unwound, which aborts the process. So none is inside any more when the interpreter goes.

_end: int | None = None
"""The thread that ends the interpreter, when it has begun to."""

_WITHOUT_GIL: set[CodeType] = set()


def without_gil(function: Callable[..., Any]) -> Any:
    """Say that a function of Python calls compiled code that releases the GIL: the interpreter's end waits for it."""
    _WITHOUT_GIL.add(function.__code__)
    return function


def _stand_still_at_the_end() -> None:
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


without_gil(run)
without_gil(_Visit.__call__)


# ---- counters --------------------------------------------------------------------------------------------------------


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, slot: Any) -> Any:
    data = context.make_array(array_type)(context, builder, value=array).data
    return builder.gep(data, [builder.mul(slot, ir.Constant(slot.type, _LINE))])


def _load_typing(typingctx: Any, array: Any, slot: Any) -> Any:
    """Read a counter; what its last writer wrote before is seen from then on."""
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load_atomic(_pointer(context, builder, signature.args[0], *args), "acquire", 8)

    return types.int64(array, types.intp), codegen


def _add_typing(typingctx: Any, array: Any, slot: Any, value: Any) -> Any:
    """Add to a counter, after everything that was written before."""
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], *args[:2])
        return builder.atomic_rmw("add", pointer, args[2], "acq_rel")

    return types.int64(array, types.intp, types.int64), codegen


def _exchange_typing(typingctx: Any, array: Any, slot: Any, old: Any, new: Any) -> Any:
    """Set a counter to `new` if it is `old`; return whether it was."""
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], *args[:2])
        return builder.extract_value(builder.cmpxchg(pointer, args[2], args[3], "acq_rel", "acquire"), 1)

    return types.boolean(array, types.intp, types.int64, types.int64), codegen


def _rest_typing(typingctx: Any, yield_: Any) -> Any:
    """Tell the core that this is a loop that waits; with `yield_`, let another thread have the core."""
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        void = ir.VoidType()
        if IS_X86:
            builder.call(cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(void, []), "llvm.x86.sse2.pause"), [])
        elif IS_ARM:
            i32 = ir.IntType(32)
            builder.call(cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(void, [i32]), "llvm.aarch64.hint"), [ir.Constant(i32, 1)])
        if sys.platform != "win32":
            with builder.if_then(args[0], likely=False):
                builder.call(cgutils.get_or_insert_function(
                    builder.module, ir.FunctionType(ir.IntType(32), []), "sched_yield"), [])
        return context.get_dummy_value()

    return types.void(types.boolean), codegen


def _load_twin(array: Any, slot: int) -> int:
    return int(array[slot * _LINE])


def _add_twin(array: Any, slot: int, value: int) -> None:
    array[slot * _LINE] += value


def _exchange_twin(array: Any, slot: int, old: int, new: int) -> bool:
    if array[slot * _LINE] != old:
        return False
    array[slot * _LINE] = new
    return True


def _rest_twin(yield_: bool) -> None:
    raise RuntimeError("without compilation there is one worker, which has nobody to wait for")


_load = operation(_load_typing, _load_twin, "_load")
_add = operation(_add_typing, _add_twin, "_add")
_exchange = operation(_exchange_typing, _exchange_twin, "_exchange")
_rest = operation(_rest_typing, _rest_twin, "_rest")


@block
def enter(counters, worker):
    """Whether a worker may work: number 0 opens the door for the others. Who enters has to `leave`."""
    if worker == 0:
        _add(counters, _DOOR, _OPEN)
        return True
    door = _load(counters, _DOOR)
    while _OPEN <= door < _CLOSED:
        if _exchange(counters, _DOOR, door, door + 1):
            return True
        door = _load(counters, _DOOR)
    return False


@block
def leave(counters, worker):
    """Go out; number 0 closes the door, and returns when nobody is inside any more."""
    if worker > 0:
        _add(counters, _DOOR, -1)
        return
    _add(counters, _DOOR, _CLOSED - _OPEN)
    spins = 0
    while _load(counters, _DOOR) != _CLOSED:
        spins += 1
        _rest(spins > _SPINS)


@block
def wait_until(counters, completed):
    """Return when `completed` shares are complete, counted over all phases."""
    spins = 0
    while _load(counters, _COMPLETE) < completed:
        spins += 1
        _rest(spins > _SPINS)


@block
def take(counters, share, phase):
    """Whether the caller is the one to do share number `share` of phase number `phase`."""
    last = _load(counters, _FIRST_SHARE + share)
    return last <= phase and _exchange(counters, _FIRST_SHARE + share, last, phase + 1)


@block
def complete(counters):
    """Say that a share that was taken is complete."""
    _add(counters, _COMPLETE, 1)
