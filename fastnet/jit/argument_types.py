"""What a kernel may be called with: other types are refused in words, before numba would compile or fail for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .decorators import Function
from .numba_internals import before_compiling

__all__ = ["takes"]


def takes(**arguments: int | str) -> Callable[[Function], Function]:
    """Have a kernel refuse arguments of other types, for which numba would compile, or fail at great length.

    It raises a TypeError. For each argument the dimensions that it has as an array of float32 or float64, all of one
    dtype; 0 for a number, "labels" for a vector of integers in any plain dtype. They are looked at when a call finds
    nothing compiled for its types: other calls are no slower.
    """
    def guarded(dispatcher: Any) -> Any:
        def look(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            given = [*zip(arguments, args, strict=False), *kwargs.items()]
            for argument, value in given:
                expected = _mismatch(value, arguments.get(argument))
                if expected:
                    raise TypeError(f"{dispatcher.__name__}: {argument} must be {expected}, got {_described(value)}")
            dtypes = {str(value.dtype) for argument, value in given if arguments.get(argument) in (1, 2)}
            if len(dtypes) > 1:
                raise TypeError(f"{dispatcher.__name__}: arrays must be of one dtype, got "
                                f"{' and '.join(sorted(dtypes))}")

        before_compiling(dispatcher, look)
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
