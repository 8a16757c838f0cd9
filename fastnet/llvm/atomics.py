"""Counters that several cores change: atomic operations, which numba does not have."""

from __future__ import annotations

import sys
from typing import Any

from llvmlite import ir
from numba import types

from ..jit.decorators import operation
from ..jit.numba_internals import cgutils
from ..tuning import COUNTER_SPACING
from .arrays import member_of
from .target import IS_ARM, IS_X86

__all__ = ["atomic_add", "atomic_exchange", "atomic_load", "rest"]


def _pointer(builder: Any, array_type: Any, array: Any, slot: Any) -> Any:
    data = member_of(builder, array_type, array, "data")
    return builder.gep(data, [builder.mul(slot, ir.Constant(slot.type, COUNTER_SPACING))])


def _load_typing(typingctx: Any, array: Any, slot: Any) -> Any:
    """Read a counter; what its last writer wrote before is seen from then on."""
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load_atomic(_pointer(builder, signature.args[0], *args), "acquire", 8)

    return types.int64(array, types.intp), codegen


def _add_typing(typingctx: Any, array: Any, slot: Any, value: Any) -> Any:
    """Add to a counter, after everything that was written before."""
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _pointer(builder, signature.args[0], *args[:2])
        return builder.atomic_rmw("add", pointer, args[2], "acq_rel")

    return types.int64(array, types.intp, types.int64), codegen


def _exchange_typing(typingctx: Any, array: Any, slot: Any, old: Any, new: Any) -> Any:
    """Set a counter to `new` if it is `old`; return whether it was."""
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _pointer(builder, signature.args[0], *args[:2])
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
    return int(array[slot * COUNTER_SPACING])


def _add_twin(array: Any, slot: int, value: int) -> None:
    array[slot * COUNTER_SPACING] += value


def _exchange_twin(array: Any, slot: int, old: int, new: int) -> bool:
    if array[slot * COUNTER_SPACING] != old:
        return False
    array[slot * COUNTER_SPACING] = new
    return True


def _rest_twin(yield_: bool) -> None:
    raise RuntimeError("without compilation there is one worker, which has nobody to wait for")


atomic_load = operation(_load_typing, _load_twin, "atomic_load")


atomic_add = operation(_add_typing, _add_twin, "atomic_add")


atomic_exchange = operation(_exchange_typing, _exchange_twin, "atomic_exchange")


rest = operation(_rest_typing, _rest_twin, "rest")
