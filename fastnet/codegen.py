"""Compile functions that only ever become parts of others: without making machine code of them by themselves.

numba optimizes each function that it compiles, makes machine code of it, and then links it into its callers, where all
is optimized and made machine code of again. Where the callers alone are ever called from Python, that is a sixth of the
time of compiling. So such a function gets a library that is linked as numba's front end has left it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba.core import codegen, compiler

__all__ = ["PartCompiler"]


class _PartLibrary(codegen.JITCodeLibrary):
    """What has been compiled of a function, and of those that it calls, for others to link."""

    def _optimize_final_module(self) -> None:
        """Leave that to whoever links it."""

    def _finalize_final_module(self) -> None:
        """Make no machine code."""
        self._finalized = True


def _no_entry(*_: Any) -> Callable[..., Any]:
    """Return what Python would call, an object of its own for each function, as numba tells them apart by it.

    It has to be a function written in C; this one raises an error whatever it is given.
    """
    return {}.__getitem__


class PartCompiler(compiler.Compiler):
    """numba's compiler, for what has no entry from Python; as `pipeline_class`."""

    def compile_extra(self, func: Callable[..., Any]) -> Any:
        """Compile a function of Python."""
        context = self.state.targetctx  # a copy for this compilation
        context.get_executable = _no_entry
        self.state.library = _PartLibrary(context.codegen(), func.__qualname__)
        return super().compile_extra(func)
