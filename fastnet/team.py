"""A team of workers that goes through phases together.

A parallel region of numba costs some microseconds to begin and to end, as much as a whole step of a small network, and
its thread layers abort the process when two Python threads begin one at once, or kill it after a fork. So a run of
steps is a team of Python threads instead, which all call the same compiled function, without the GIL. Each goes through
all phases. Each phase is cut into shares. A worker waits until all shares of the phases before are complete, then takes
shares that nobody has taken yet, its own first.

No worker ever waits for a worker that has not begun: what it waits for has been taken by somebody who is at work. So
it does not matter how many of the workers really run, or when they come: one alone does everything. Who takes a share
changes no result.

The counters are an int64 array: how many shares are complete, and for each share the phase that was last taken. They
are changed by atomic operations, which numba does not have; hence LLVM again.
"""

from __future__ import annotations

import contextlib
import functools
import os
import queue
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils, config
from numpy.typing import NDArray

from .compiling import block, operation
from .simd import IS_ARM, IS_X86

__all__ = ["Ahead", "complete", "counters", "run", "take", "wait_until"]

_LINE = 16
"""Elements from one counter to the next: two cache lines, so that no two counters share one or its neighbour."""

_SPINS = 2000
"""How often a waiting worker looks before it offers its core to others, each time that it looks from then on."""


def counters(shares: int) -> NDArray[np.int64]:
    """Return the counters of a team that has not begun, for at most `shares` shares in a phase."""
    return np.zeros((1 + shares) * _LINE, np.int64)


class _Job:
    """A call that one helper makes, unless it is withdrawn before."""

    __slots__ = ("_error", "_finished", "_taken", "call", "value")

    def __init__(self, call: Callable[[], Any]) -> None:
        self.call = call
        self._error: BaseException | None = None
        self._taken, self._finished = threading.Lock(), threading.Lock()
        self._finished.acquire()

    def run(self) -> None:
        """Make the call, if it has not been withdrawn."""
        if self._taken.acquire(blocking=False):
            try:
                self.value = self.call()
            except BaseException as error:  # raised again where it is waited for
                self._error = error
            finally:
                self._finished.release()

    def end(self) -> bool:
        """Withdraw the call, or wait until it has been made; return whether it has."""
        if self._taken.acquire(blocking=False):
            return False
        self._finished.acquire()
        if self._error is not None:
            raise self._error
        return True


class _Helpers:
    """Threads that wait for jobs; more are started when more are needed."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self._jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._count = 0
        self._lock = threading.Lock()

    def put(self, jobs: list[_Job]) -> None:
        """Have the jobs done, by somebody, some time."""
        if self._count < len(jobs):
            with self._lock, contextlib.suppress(RuntimeError):  # no threads to be had when the interpreter ends
                while self._count < len(jobs):
                    threading.Thread(target=self._serve, name="fastnet", daemon=True).start()
                    self._count += 1
        for job in jobs:
            self._jobs.put(job)

    def _serve(self) -> None:
        while True:
            self._jobs.get().run()


_helpers = _Helpers()


def _helpers_of_this_process() -> _Helpers:
    """The helpers; after a fork, which Python may know nothing of, new ones: the threads are the parent's."""
    global _helpers
    if _helpers.process != os.getpid():
        _helpers = _Helpers()
    return _helpers


def run(work: Callable[..., None], workers: int, *args: Any) -> None:
    """Call ``work(worker, *args)`` for each worker, the first of them here, and return when all is done.

    The others come when their threads get to it. Those that have not come when the work is done are not waited for.
    """
    if workers == 1 or config.DISABLE_JIT:
        work(0, *args)
        return
    jobs = [_Job(functools.partial(work, worker, *args)) for worker in range(1, workers)]
    _helpers_of_this_process().put(jobs)
    try:
        work(0, *args)
    finally:
        for job in jobs:
            job.end()


class Ahead:
    """What a call returns, made by a helper while the caller does something else, or by the caller if none has come.

    The helper is one of those of `run`: not for callers that have a team at work meanwhile.
    """

    def __init__(self, call: Callable[[], Any]) -> None:
        self._job = _Job(call)
        _helpers_of_this_process().put([self._job])

    def value(self) -> Any:
        """Return it, or raise what the call has raised. To be asked for once, and in this process."""
        return self._job.value if self._job.end() else self._job.call()


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, slot: Any) -> Any:
    data = context.make_array(array_type)(context, builder, value=array).data
    return builder.gep(data, [builder.mul(slot, ir.Constant(slot.type, _LINE))])


def _load_typing(typingctx: Any, array: Any, slot: Any) -> Any:
    """Read a counter; what its last writer wrote before is seen from then on."""
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load_atomic(_pointer(context, builder, signature.args[0], *args), "acquire", 8)

    return types.int64(array, types.intp), codegen


def _increment_typing(typingctx: Any, array: Any, slot: Any) -> Any:
    """Add 1 to a counter, after everything that was written before."""
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], *args)
        return builder.atomic_rmw("add", pointer, ir.Constant(ir.IntType(64), 1), "acq_rel")

    return types.int64(array, types.intp), codegen


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


def _increment_twin(array: Any, slot: int) -> None:
    array[slot * _LINE] += 1


def _exchange_twin(array: Any, slot: int, old: int, new: int) -> bool:
    if array[slot * _LINE] != old:
        return False
    array[slot * _LINE] = new
    return True


def _rest_twin(yield_: bool) -> None:
    raise RuntimeError("without compilation there is one worker, which has nobody to wait for")


_load = operation(_load_typing, _load_twin, "_load")
_increment = operation(_increment_typing, _increment_twin, "_increment")
_exchange = operation(_exchange_typing, _exchange_twin, "_exchange")
_rest = operation(_rest_typing, _rest_twin, "_rest")


@block
def wait_until(counters, completed):
    """Return when `completed` shares are complete, counted over all phases."""
    spins = 0
    while _load(counters, 0) < completed:
        spins += 1
        _rest(spins > _SPINS)


@block
def take(counters, share, phase):
    """Whether the caller is the one to do share number `share` of phase number `phase`."""
    last = _load(counters, share + 1)
    return last <= phase and _exchange(counters, share + 1, last, phase + 1)


@block
def complete(counters):
    """Say that a share that was taken is complete."""
    _increment(counters, 0)
