"""How functions are compiled: a decorator for each kind of function, with numba's options, which are set here alone."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

import numba
from numba import config
from numba.extending import intrinsic, register_jitable

from . import announcements, turns
from .disk_cache import DiskCache, cache_directory, plain_cache
from .libraries import for_parts, for_wholes
from .numba_internals import (
    DISK_CACHE,
    MISSING,
    THREADS_IN_KERNELS,
    compile_within,
    no_references,
    no_wrappers,
    set_cache,
)

__all__ = ["block", "cache_directory", "inline", "kernel", "operation", "shared", "task", "worker"]

Function = TypeVar("Function", bound=Callable[..., Any])


def _njit(function: Callable[..., Any], **options: Any) -> Any:
    # error_model: division follows IEEE 754 instead of raising, which no kernel may do inside a parallel region.
    return numba.njit(error_model="numpy", **options)(function)


def _cached(function: Callable[..., Any], **options: Any) -> Any:
    dispatcher = _njit(function, **for_wholes, **options)
    if config.DISABLE_JIT or (options.get("parallel") and THREADS_IN_KERNELS in MISSING):
        return dispatcher
    # Where nothing can be kept, each process compiles anew: no reason to fail, least of all at import.
    try:
        if DISK_CACHE in MISSING:
            with plain_cache():
                return _njit(function, cache=True, **for_wholes, **options)
        set_cache(dispatcher, DiskCache(function, tuple(sorted(options.items()))))
        compile_within(dispatcher, turns.turn)
    except ValueError:  # a function that is not the package's
        pass
    except Exception as error:
        reason = str(error) if isinstance(error, OSError) else "no folder that only this user can write to"
        if DISK_CACHE not in MISSING:
            compile_within(dispatcher, lambda: _said(reason))
    return dispatcher


@contextlib.contextmanager
def _said(reason: str) -> Iterator[None]:
    """What is compiled within is not kept, which is said when it comes to that."""
    announcements.not_kept(reason)
    yield


_PART: dict[str, Any] = {**no_wrappers(), **for_parts}
"""Options of what is called from other compiled code only."""


def block(function: Function) -> Function:
    """Compile a block function: serial, on a range of rows or columns, called from other compiled code only.

    It may not allocate, and views are not counted as references: counting is atomic, and what two cores count together
    costs more than the work. It gets no wrapper for Python, and no cache of its own: kernels contain their blocks.
    """
    return cast(Function, _njit(function, **no_references(), **_PART))


def shared(function: Function) -> Function:
    """Leave a function to Python, for which it is as it stands, and let compiled code call it too."""
    return cast(Function, register_jitable(**_PART)(function) if _PART else register_jitable(function))


def operation(typing: Callable[..., Any], twin: Callable[..., Any], name: str) -> Callable[..., Any]:
    """Return the intrinsic called `name` that `typing` defines; without compilation, its twin in Python."""
    typing.__name__ = typing.__qualname__ = name
    return twin if config.DISABLE_JIT else cast(Callable[..., Any], intrinsic(typing))


def inline(function: Function) -> Function:
    """Compile a helper into the functions that call it, never by itself."""
    return cast(Function, _njit(function, inline="always"))


def kernel(function: Function) -> Function:
    """Compile a kernel: ``@njit(parallel=True)``, called from Python."""
    return cast(Function, _cached(function, parallel=True))


def task(function: Function) -> Function:
    """Compile a serial function that is called from Python, also in several threads at once: without the GIL."""
    return cast(Function, _cached(function, nogil=True))


def worker(function: Function) -> Function:
    """Compile what one worker of a team does: a task that, like a block, may not allocate and counts no references."""
    return cast(Function, _cached(function, nogil=True, **no_references()))
