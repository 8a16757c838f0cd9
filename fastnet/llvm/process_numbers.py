"""Numbers of the process: all compiled code finds them by name, whoever has compiled it and however it was loaded."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types

from ..jit.decorators import operation

__all__ = ["INT64", "address_in_code", "process_counter", "process_number"]

INT64 = ir.IntType(64)


def process_number(name: str, initial: int) -> ctypes.c_int64:
    """Return the number; where its module has been imported before, the one of then: kernels may know its address."""
    address = llvm.address_of_symbol(name)
    if address is None:
        number = ctypes.c_int64(initial)
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(number))  # never freed: threads may outlive its module at the end
        address = ctypes.addressof(number)
        llvm.add_symbol(name, address)
    return ctypes.c_int64.from_address(address)


def address_in_code(context: Any, builder: Any, name: str) -> Any:
    """Emit the address of a number of the process."""
    return context.get_c_value(builder, INT64, name)


def process_counter(name: str) -> tuple[Callable[[], int], Callable[[], None], Callable[[], None]]:
    """Return three operations on a number that begins at 0: to read it, to add 1, and to add 1 in Python.

    The last one may lose a count that is made at the same moment.
    """
    number = process_number(name, 0)

    def read_typing(_: Any) -> Any:
        def codegen(context: Any, builder: Any, *_: Any) -> Any:
            return builder.load_atomic(address_in_code(context, builder, name), "acquire", 8)

        return types.int64(), codegen

    def add_typing(_: Any) -> Any:
        def codegen(context: Any, builder: Any, *_: Any) -> Any:
            builder.atomic_rmw("add", address_in_code(context, builder, name), ir.Constant(INT64, 1), "acq_rel")
            return context.get_dummy_value()

        return types.void(), codegen

    def add() -> None:
        number.value += 1

    return (operation(read_typing, lambda: number.value, f"{name}_read"), operation(add_typing, add, f"{name}_add"),
            add)
