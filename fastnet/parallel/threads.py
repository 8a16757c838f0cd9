"""How many threads, and into how many shares work is worth cutting; how a step is cut, :mod:`fastnet.engine.plan` says.

The cut never changes a result (each element is summed by one thread in one order), only who computes it.
"""

from __future__ import annotations

import functools
import operator
import os
import sys

import numba

from ..jit.decorators import inline
from ..jit.numba_internals import current_threads, get_num_threads, launch_threads
from ..jit.numba_internals import set_num_threads as _set_num_threads
from ..tuning import TEAM_WORK_PER_THREAD, WORK_PER_THREAD
from .regions import regions_closed

__all__ = ["checked_threads", "get_num_threads", "most_threads", "set_num_threads", "share_count", "shares",
           "slow_regions", "threading_layer", "threads_of_task", "using_threads"]


@inline
def shares(units, work):
    """How many shares to cut `units` indivisible units into, for `work` multiply-adds in all; 1 means serial."""
    return max(1, min(current_threads(), units, work // WORK_PER_THREAD))


def share_count(units: int, work: int, threads: int | None = None) -> int:
    """Return how many shares to cut the phases of a team into: at most `units`, for `work` multiply-adds in all.

    `threads` is how many there may be; None for as many as the calling thread may have.
    """
    return max(1, min(most_threads(threads), units, work // TEAM_WORK_PER_THREAD))


def most_threads(threads: int | None) -> int:
    """Return how many threads there may be: so many, or None for as many as the calling thread may have."""
    # A pickle may come from a larger machine.
    return get_num_threads() if threads is None else min(threads, numba.config.NUMBA_NUM_THREADS)


def threads_of_task() -> int | None:
    """Return 1 within a task of a Dask worker, where each task is meant to have one core; None where nobody says so.

    There are as many tasks at once as the worker has threads. Whoever has set a number in this thread is left alone.
    """
    worker = sys.modules.get("distributed.worker")
    if worker is None or get_num_threads() != numba.config.NUMBA_NUM_THREADS:
        return None
    try:
        worker.get_worker()
    except ValueError:  # in no task
        return None
    return 1


def checked_threads(threads: int) -> int:
    """Return `threads` as an int, or raise what `set_num_threads` raises."""
    try:
        count = operator.index(threads)
    except TypeError:
        raise TypeError(f"threads must be an integer, got {type(threads).__name__}") from None
    most = numba.config.NUMBA_NUM_THREADS
    if not 1 <= count <= most:
        raise ValueError(f"threads must be between 1 and {most}, got {count} (the environment variable "
                         f"NUMBA_NUM_THREADS sets the most)")
    return count


def set_num_threads(threads: int) -> None:
    """Set how many threads are used from now on, in the calling thread.

    Parameters
    ----------
    threads : int
        1 to the number that numba was started with (``NUMBA_NUM_THREADS``, by default the number of cores).

    Raises
    ------
    TypeError
        If `threads` is not an integer.
    ValueError
        If `threads` is out of range.
    """
    _set_num_threads(checked_threads(threads))


class using_threads:  # noqa: N801
    """Context in which the calling thread uses so many threads; None changes nothing.

    No generator: one that an exception keeps from its end would put the number back when it is freed, some time, in
    some thread.
    """

    def __init__(self, threads: int | None) -> None:
        self._threads = threads

    def __enter__(self) -> None:
        if self._threads is not None:
            self._before = get_num_threads()
            _set_num_threads(most_threads(self._threads))

    def __exit__(self, *exception: object) -> None:
        if self._threads is not None:
            _set_num_threads(self._before)


def threading_layer() -> str:
    """Return the name of the threading layer that numba has loaded, loading one first if none has been used yet."""
    launch_threads()
    return str(numba.threading_layer())


@functools.cache
def slow_regions() -> bool:
    """Whether small work had better not wait for a parallel region.

    On workqueue, numba's own layer, one takes some hundred microseconds to begin; a forked child has none at all.
    """
    return not numba.config.DISABLE_JIT and (regions_closed() or threading_layer() == "workqueue")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=slow_regions.cache_clear)
