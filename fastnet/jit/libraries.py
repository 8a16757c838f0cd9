"""What numba makes machine code of, where this package knows better than its defaults.

*Vectors are as wide as there are.* LLVM takes half of AVX-512 for the loops that it vectorizes, since whole vectors
slow some processors down for a while. The tiles of :mod:`fastnet.llvm.tile` are made of them anyway. (The bodies of
parallel loops, which numba compiles by another way, are left at that.)

*Parts have no code of their own.* numba optimizes each function that it compiles, makes machine code of it, and then
links it into its callers, where all is optimized and made machine code of again. Where the callers alone are ever
called from Python, that is a sixth of the time of compiling. There long parts are functions again, not copies in each
place where they are called.

*Nothing of Python runs on the way out.* Where compiled code returns an array, numba calls a function of Python for the
type `numpy.ndarray`. What a signal handler raises that has waited for compiled code would be raised in that function,
and numba goes on with the null pointer that it returns. Here the type is a constant beside the code.

Each of them is left out where numba's inside has changed (:mod:`fastnet.jit.numba_internals`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types

from .numba_internals import (
    ARRAY_BOXING,
    ARRAY_HANDOVER,
    MISSING,
    PARTS,
    SHARED_CODE,
    WIDE_VECTORS,
    Library,
    LinkedLibrary,
    PreparedCompiler,
    PythonCalls,
    UnfinishedLibrary,
    cgutils,
)
from .shared_code import with_definitions

__all__ = ["for_parts", "for_wholes"]

_WIDEST = '"prefer-vector-width"="512"'
"""An attribute of LLVM's for functions: bits of a vector, or what the processor has, if that is less."""

_LONG = 300
"""Instructions of a part, as numba's front end makes them, from which on LLVM does not make it a part of its callers.

Else it would be compiled again for each of their calls: that is a twelfth of the time of compiling. A call takes some
nanoseconds: up to 4 % of a training step of 4-10-3. If short parts were called, too, it would be half as long again.
"""


class _Library(Library):
    """What has been compiled of a function, and of those that it calls."""

    stays: int | None = None
    """Instructions from which on a function is never made a part of its callers; None for no such length."""

    def add_ir_module(self, ir_module: Any) -> None:
        """Take in what numba's front end has made."""
        for function in ir_module.functions:
            if not function.is_declaration:
                set.add(function.attributes, _WIDEST)  # llvmlite knows attributes by name only
                if self.stays is not None and sum(len(block.instructions) for block in function.blocks) >= self.stays:
                    function.attributes.add("noinline")
        super().add_ir_module(ir_module)


class _WholeLibrary(_Library, LinkedLibrary):
    """What Python calls, and users' compiled functions."""

    def module_for_linking(self, module: Any) -> Any:
        """The module with what it calls by name: who links it may keep the code where nobody looks for names."""
        return module if SHARED_CODE in MISSING else with_definitions(module)


class _PartLibrary(_Library, UnfinishedLibrary):
    """What others will link."""

    stays = _LONG


def _no_entry(*_: Any) -> Callable[..., Any]:
    """Return what Python would call, an object of its own for each function, as numba tells them apart by it.

    numba takes it for a function in C and calls it with a tuple of the arguments, which this one looks up in an empty
    dictionary: a KeyError or, where they cannot be looked up, a TypeError. It has no environment: a part cannot print.
    """
    return {}.__getitem__


class _PythonCalls(PythonCalls):
    """How compiled code calls Python."""

    def get_env_manager(self, *args: Any) -> Any:
        """Return what knows the constants of a function."""
        self._constants = super().get_env_manager(*args)
        return self._constants

    def nrt_adapt_ndarray_to_python(self, aryty: Any, ary: Any, dtypeptr: Any) -> Any:
        """Make a NumPy array of one of compiled code."""
        number = ir.IntType(32)
        function = self.declared(
            ir.FunctionType(self.pyobj, [self.voidptr, self.pyobj, number, number, self.pyobj]), ARRAY_HANDOVER)
        array_type = self._constants.read_const(self._constants.add_const(np.ndarray))
        pointer = self.builder.bitcast(cgutils.alloca_once_value(self.builder, ary), self.voidptr)
        ndim, writable = (self.context.get_constant(types.int32, int(value)) for value in (aryty.ndim, aryty.mutable))
        return self.builder.call(function, [pointer, array_type, ndim, writable, dtypeptr])


class _WholeCompiler(PreparedCompiler):
    """numba's compiler, for what Python calls."""

    def prepare(self, context: Any, name: str) -> Any:
        """Change the context; return the library."""
        if ARRAY_BOXING not in MISSING:
            context.get_python_api = lambda builder: _PythonCalls(context, builder)
        if WIDE_VECTORS in MISSING:
            return None
        library = _WholeLibrary(context.codegen(), name)
        library.enable_object_caching()
        return library


class _PartCompiler(PreparedCompiler):
    """The same for what only other compiled functions call."""

    def prepare(self, context: Any, name: str) -> Any:
        """Change the context; return the library."""
        context.get_executable = _no_entry
        return _PartLibrary(context.codegen(), name)


for_wholes: dict[str, Any] = (
    {} if {WIDE_VECTORS, ARRAY_BOXING} <= {*MISSING} else {"pipeline_class": _WholeCompiler})
"""Options of what Python calls."""

for_parts: dict[str, Any] = for_wholes if PARTS in MISSING else {"pipeline_class": _PartCompiler}
"""Options of what only other compiled functions call."""
