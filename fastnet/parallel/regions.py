"""One parallel region of numba's at a time in a process, and none in a forked child.

Of numba's threading layers, workqueue aborts the process when two Python threads begin a region at once or when regions
nest; and where the threads are GNU OpenMP's, a forked child is killed or hangs. So compiled code asks `enter_region`
just before a ``prange``, and calls `leave_region` just after it. Who is not let in does the same work serially, to the
same bits: nobody ever waits.

What is asked is an int64 that all compiled code of the process finds by name. It holds the number of the process while
its region is free, and the negative of that while somebody is in it. A forked child inherits it but has another number,
so that nobody is let in, whoever forked it, and whoever was in the region at that moment.

A fork also waits until no thread holds the locks of numba's compiler, which the child would wait for in vain.
"""

from __future__ import annotations

import contextlib
import os
import threading
from typing import Any

from llvmlite import ir
from numba import types

from ..jit.decorators import operation
from ..jit.numba_internals import cgutils, fork_locks, renew_process_lock
from ..llvm.process_numbers import INT64, address_in_code, process_number

__all__ = ["enter_region", "leave_region", "regions_closed"]

_NAME = "fastnet_region"
_FORKS = hasattr(os, "fork")


def _process() -> int:
    """The number of this process; where there are no forks, any will do."""
    return os.getpid() if _FORKS else 1


_owner = process_number(_NAME, _process())


def regions_closed() -> bool:
    """Whether nobody will ever be let in, as this is a forked child."""
    return abs(_owner.value) != _process()


def _emit_process(builder: Any) -> Any:
    if not _FORKS:
        return ir.Constant(INT64, 1)
    getpid = cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.IntType(32), []), "getpid")
    return builder.sext(builder.call(getpid, []), INT64)


def _enter_typing(_: Any) -> Any:
    """Return whether the caller may begin a parallel region; if so, it has to call `leave_region` at its end."""
    def codegen(context: Any, builder: Any, *_: Any) -> Any:
        owner, process = address_in_code(context, builder, _NAME), _emit_process(builder)
        return builder.extract_value(builder.cmpxchg(owner, process, builder.neg(process), "acq_rel", "monotonic"), 1)

    return types.boolean(), codegen


def _leave_typing(_: Any) -> Any:
    """Let the next one in."""
    def codegen(context: Any, builder: Any, *_: Any) -> Any:
        owner = address_in_code(context, builder, _NAME)
        builder.store_atomic(builder.neg(builder.load_atomic(owner, "monotonic", 8)), owner, "release", 8)
        return context.get_dummy_value()

    return types.void(), codegen


def _enter_twin() -> bool:
    if _owner.value != _process():
        return False
    _owner.value = -_process()
    return True


def _leave_twin() -> None:
    _owner.value = _process()


enter_region = operation(_enter_typing, _enter_twin, "enter_region")
leave_region = operation(_leave_typing, _leave_twin, "leave_region")


# ---- forks -----------------------------------------------------------------------------------------------------------

_LOCKS = fork_locks()


class _Held(threading.local):
    """The locks that a thread holds while it forks."""

    def __init__(self) -> None:
        self.locks = contextlib.ExitStack()


_held = _Held()


def _before_fork() -> None:
    for lock in _LOCKS:
        _held.locks.enter_context(lock)


def _after_fork() -> None:
    _held.locks.close()


def _after_fork_in_child() -> None:
    _after_fork()
    renew_process_lock()  # a thread of the parent may hold it, or one of a child that is killed


if _FORKS:
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child)
