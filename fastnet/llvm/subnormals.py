"""Whether numbers below the smallest normal one count as 0, in the calling thread: switched by compiled code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types

from ..jit.decorators import operation
from ..jit.numba_internals import cgutils
from .target import IS_ARM, IS_X86

__all__ = ["flush_subnormals", "restore_control"]


def _flush_typing(typingctx: Any) -> Any:
    """Type and emit `flush_subnormals`: two bits of MXCSR, or one of FPCR."""
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        i64 = ir.IntType(64)
        if IS_X86:
            before = builder.zext(_mxcsr(builder), i64)
            _set_mxcsr(builder, builder.or_(builder.trunc(before, ir.IntType(32)), ir.Constant(ir.IntType(32), 0x8040)))
            return before
        if IS_ARM:
            get = cgutils.get_or_insert_function(builder.module, ir.FunctionType(i64, []), "llvm.aarch64.get.fpcr")
            before = builder.call(get, [])
            _set_fpcr(builder, builder.or_(before, ir.Constant(i64, 1 << 24)))
            return before
        return ir.Constant(i64, 0)

    return types.int64(), codegen


def _restore_typing(typingctx: Any, control: Any) -> Any:
    """Type and emit `restore_control`."""
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if IS_X86:
            _set_mxcsr(builder, builder.trunc(args[0], ir.IntType(32)))
        elif IS_ARM:
            _set_fpcr(builder, args[0])
        return context.get_dummy_value()

    return types.void(types.int64), codegen


def _mxcsr(builder: Any) -> Any:
    slot = cgutils.alloca_once(builder, ir.IntType(32))
    _call_on_bytes(builder, "llvm.x86.sse.stmxcsr", slot)
    return builder.load(slot)


def _set_mxcsr(builder: Any, value: Any) -> None:
    slot = cgutils.alloca_once(builder, ir.IntType(32))
    builder.store(value, slot)
    _call_on_bytes(builder, "llvm.x86.sse.ldmxcsr", slot)


def _call_on_bytes(builder: Any, name: str, slot: Any) -> None:
    pointer = ir.IntType(8).as_pointer()
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.VoidType(), [pointer]), name)
    builder.call(function, [builder.bitcast(slot, pointer)])


def _set_fpcr(builder: Any, value: Any) -> None:
    kind = ir.FunctionType(ir.VoidType(), [ir.IntType(64)])
    builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.aarch64.set.fpcr"), [value])


def _flush_twin() -> int:
    return 0


def _restore_twin(control: int) -> None:
    pass


flush_subnormals: Callable[[], int] = operation(_flush_typing, _flush_twin, "flush_subnormals")


restore_control: Callable[[int], None] = operation(_restore_typing, _restore_twin, "restore_control")
