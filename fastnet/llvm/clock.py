"""A clock that compiled code can read."""

from __future__ import annotations

import time
from typing import Any

from llvmlite import ir
from numba import types

from ..jit.decorators import operation
from ..jit.numba_internals import cgutils
from .process_numbers import INT64

__all__ = ["nanoseconds"]

_CLOCK = getattr(time, "CLOCK_MONOTONIC", None)
"""Its number, as the operating system has it; Windows has no such function."""


def _typing(_: Any) -> Any:
    """Return what a clock shows that only goes forward; on Windows it stands still."""
    def codegen(context: Any, builder: Any, *_: Any) -> Any:
        if _CLOCK is None:
            return ir.Constant(INT64, 0)
        # Seconds, and nanoseconds: two integers of 64 bits on all 64-bit systems that have it.
        parts = cgutils.alloca_once(builder, ir.ArrayType(INT64, 2))
        number = ir.IntType(32)
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(number, [number, parts.type]), "clock_gettime")
        builder.call(function, [ir.Constant(number, _CLOCK), parts])
        seconds, rest = (builder.extract_value(builder.load(parts), part) for part in range(2))
        return builder.add(builder.mul(seconds, ir.Constant(INT64, 10**9)), rest)

    return types.int64(), codegen


nanoseconds = operation(_typing, lambda: 0 if _CLOCK is None else time.clock_gettime_ns(_CLOCK), "nanoseconds")
