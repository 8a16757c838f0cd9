"""How functions are compiled: a decorator for each kind of function, with numba's options, which are set here alone."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numba.core import config
from numba.extending import intrinsic, register_jitable

from .disk_cache import DiskCache, cache_directory
from .libraries import PartCompiler, WholeCompiler

__all__ = ["block", "cache_directory", "inline", "kernel", "operation", "shared", "takes", "task", "worker"]

Function = TypeVar("Function", bound=Callable[..., Any])


def _njit(function: Callable[..., Any], **options: Any) -> Any:
    # error_model: division follows IEEE 754 instead of raising, which no kernel may do inside a parallel region.
    return numba.njit(error_model="numpy", **options)(function)


def _cached(function: Callable[..., Any], **options: Any) -> Any:
    dispatcher = _njit(function, pipeline_class=WholeCompiler, **options)
    if config.DISABLE_JIT:
        return dispatcher
    # Where nothing can be kept, each process compiles anew: no reason to fail, least of all at import.
    with contextlib.suppress(Exception):
        dispatcher._cache = DiskCache(function, tuple(sorted(options.items())))
    return dispatcher


_PART: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "pipeline_class": PartCompiler}
"""Options of what is called from other compiled code only."""


def block(function: Function) -> Function:
    """Compile a block function: serial, on a range of rows or columns, called from other compiled code only.

    It may not allocate, and views are not counted as references: counting is atomic, and what two cores count together
    costs more than the work. It gets no wrapper for Python, and no cache of its own: kernels contain their blocks.
    """
    return cast(Function, _njit(function, _nrt=False, **_PART))


def shared(function: Function) -> Function:
    """Leave a function to Python, for which it is as it stands, and let compiled code call it too."""
    return cast(Function, register_jitable(**_PART)(function))


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


def takes(**arguments: int | str) -> Callable[[Function], Function]:
    """Have a kernel refuse arguments of other types, for which numba would compile, or fail at great length.

    It raises a TypeError. For each argument the dimensions that it has as an array of float32 or float64, all of one
    dtype; 0 for a number, "labels" for a vector of integers in any plain dtype. They are looked at when a call finds
    nothing compiled for its types: other calls are no slower.
    """
    def guarded(dispatcher: Any) -> Any:
        if not config.DISABLE_JIT:
            compile_for_args, name = dispatcher._compile_for_args, dispatcher.__name__

            def look_and_compile(*args: Any, **kwargs: Any) -> Any:
                given = [*zip(arguments, args, strict=False), *kwargs.items()]
                for argument, value in given:
                    expected = _mismatch(value, arguments.get(argument))
                    if expected:
                        raise TypeError(f"{name}: {argument} must be {expected}, got {_described(value)}")
                dtypes = {str(value.dtype) for argument, value in given if arguments.get(argument) in (1, 2)}
                if len(dtypes) > 1:
                    raise TypeError(f"{name}: arrays must be of one dtype, got {' and '.join(sorted(dtypes))}")
                return compile_for_args(*args, **kwargs)

            dispatcher._compile_for_args = look_and_compile
        return dispatcher

    return guarded


def _mismatch(value: Any, kind: int | str | None) -> str | None:
    """What an argument of a kernel must be, if it is not that."""
    if kind is None:  # numba says that there is no such argument
        return None
    if kind == 0:
        return None if isinstance(value, int | float | np.floating | np.integer) else "a real number"
    plain = isinstance(value, np.ndarray) and value.dtype.isnative
    if kind == "labels":
        fits = plain and value.ndim == 1 and (value.dtype.kind in "biu" or value.dtype in (np.float32, np.float64))
        return None if fits else "a vector of integers, of native byte order"
    fits = plain and value.ndim == kind and value.dtype in (np.float32, np.float64)
    return None if fits else f"a {'matrix' if kind == 2 else 'vector'} of float32 or float64, of native byte order"


def _described(value: Any) -> str:
    if not isinstance(value, np.ndarray):
        return type(value).__name__
    return f"an array of {value.dtype} with {value.ndim} dimensions"


def task(function: Function) -> Function:
    """Compile a serial function that is called from Python, also in several threads at once: without the GIL."""
    return cast(Function, _cached(function, nogil=True))


def worker(function: Function) -> Function:
    """Compile what one worker of a team does: a task that, like a block, may not allocate and counts no references."""
    return cast(Function, _cached(function, nogil=True, _nrt=False))
