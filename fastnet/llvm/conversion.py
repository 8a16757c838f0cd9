"""Numbers of any common type, at any stride, as floats in a row: how data are read that are not what is computed in.

Compiled code does not know the type of the data: a version of it for each would be compiled by itself. It is told by a
number, and asks once for each pack of features.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numpy.typing import NDArray

from ..jit.decorators import operation
from .arrays import member_of
from .target import PACK

__all__ = ["SOURCE_DTYPES", "convert", "convert_pack", "source_kind"]

SOURCE_DTYPES = tuple(np.dtype(name) for name in (
    "bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64"))
"""Types that `convert` reads, in this processor's order of bytes. The number of each is its place, counted from 1."""


def source_kind(dtype: np.dtype[Any]) -> int:
    """Return the number of a type for compiled code, or 0 if it is none that can be read."""
    return SOURCE_DTYPES.index(dtype) + 1 if dtype in SOURCE_DTYPES else 0


def _to_float(builder: Any, value: Any, dtype: np.dtype[Any], result: Any) -> Any:
    """Emit numbers of `dtype` as floats, rounded to the nearest as NumPy's `astype` does."""
    if dtype.kind == "f":
        bits = 32 if isinstance(result.element, ir.FloatType) else 64
        if bits == dtype.itemsize * 8:
            return value
        return (builder.fpext if bits == 64 else builder.fptrunc)(value, result)
    if dtype.kind == "b":  # whatever is not 0 is true
        value = builder.icmp_unsigned("!=", value, ir.Constant(value.type, None))
    return (builder.sitofp if dtype.kind == "i" else builder.uitofp)(value, result)


def _typing(lanes: int) -> Callable[..., Any]:
    """Return what types and emits the conversion of so many numbers."""
    def typing(typingctx: Any, target: Any, t: Any, address: Any, stride: Any, kind: Any) -> Any:
        if not (isinstance(target, types.Array) and target.layout == "C"):
            return None

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            data = member_of(builder, target, args[0], "data")
            result = ir.VectorType(context.get_data_type(target.dtype), lanes)
            place = builder.bitcast(builder.gep(data, [args[1]]), result.as_pointer())
            address, stride, kind = args[2:]
            done = builder.append_basic_block("converted")
            switch = builder.switch(kind, done)
            for number, dtype in enumerate(SOURCE_DTYPES, start=1):
                begin = builder.append_basic_block(str(dtype))
                switch.add_case(ir.Constant(kind.type, number), begin)
                builder.position_at_end(begin)
                element = (ir.IntType(8 * dtype.itemsize) if dtype.kind != "f" else
                           ir.FloatType() if dtype.itemsize == 4 else ir.DoubleType())

                def store(value: Any, dtype: np.dtype[Any] = dtype) -> None:
                    builder.store(_to_float(builder, value, dtype, result), place, align=target.dtype.bitwidth // 8)

                in_a_row = builder.icmp_signed("==", stride, ir.Constant(stride.type, dtype.itemsize))
                with builder.if_else(in_a_row) as (row, apart):
                    with row:
                        pointer = builder.inttoptr(address, ir.VectorType(element, lanes).as_pointer())
                        store(builder.load(pointer, align=1))
                    with apart:
                        value = ir.Constant(ir.VectorType(element, lanes), ir.Undefined)
                        for lane in range(lanes):
                            there = builder.add(address, builder.mul(stride, ir.Constant(stride.type, lane)))
                            loaded = builder.load(builder.inttoptr(there, element.as_pointer()), align=1)
                            value = builder.insert_element(value, loaded, ir.Constant(ir.IntType(32), lane))
                        store(value)
                builder.branch(done)
            builder.position_at_end(done)
            return context.get_dummy_value()

        return types.void(target, types.intp, types.intp, types.intp, types.intp), codegen

    return typing


def _twin(lanes: int) -> Callable[..., None]:
    def twin(target: NDArray[Any], t: int, address: int, stride: int, kind: int) -> None:
        dtype = SOURCE_DTYPES[kind - 1]
        target.reshape(-1)[t:t + lanes] = [
            np.frombuffer(ctypes.string_at(int(address + lane * stride), dtype.itemsize), dtype)[0]
            for lane in range(lanes)]

    return twin


convert: Callable[..., None] = operation(_typing(1), _twin(1), "convert")
"""``convert(target, t, address, stride, kind)``: element t of `target` becomes the number of a kind at an address."""

convert_pack: Callable[..., None] = operation(_typing(PACK), _twin(PACK), "convert_pack")
"""The same for PACK elements; the numbers lie `stride` bytes apart."""
