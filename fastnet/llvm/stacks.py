"""The arrays of all layers as one argument of compiled code, however many there are.

A tuple of arrays has a type for each length: all that takes one would be compiled anew for each number of layers. So
compiled code is given a stack instead: a table with the address and the shape of each array, beside one of them, which
tells their dtype. Nothing keeps the arrays alive but who made the stack.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, types
from numpy.typing import NDArray

from ..jit.decorators import operation
from ..jit.numba_internals import cgutils
from .arrays import member_of, view
from .memory import address_of

__all__ = ["Stack", "layer_of", "stack"]

Stack = tuple[NDArray[Any], ...]
"""What `stack` returns."""

_DIMENSIONS = 3


def stack(arrays: Sequence[NDArray[Any]]) -> Stack:
    """Return C-contiguous arrays (., ., .) of one dtype as a stack, or without compilation as a tuple."""
    dtype = arrays[0].dtype
    if any(array.ndim != _DIMENSIONS or array.dtype != dtype or not array.flags.carray for array in arrays):
        raise ValueError(f"the arrays of a stack must be C-contiguous, with {_DIMENSIONS} dimensions, of one dtype")
    if config.DISABLE_JIT:
        return tuple(arrays)
    return np.array([(address_of(array), *array.shape) for array in arrays], np.intp), arrays[0]


def _layer_of_typing(typingctx: Any, stack: Any, index: Any) -> Any:
    """Return array number `index` of a stack, or None of None."""
    if isinstance(stack, types.NoneType):
        return types.none(stack, types.intp), lambda context, *_: context.get_dummy_value()
    table_type, array_type = stack.types
    result = types.Array(array_type.dtype, _DIMENSIONS, "C")

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        table = member_of(builder, table_type, builder.extract_value(args[0], 0), "data")
        row = builder.gep(table, [builder.mul(args[1], ir.Constant(args[1].type, 1 + _DIMENSIONS))])
        address, *shape = (builder.load(cgutils.gep_inbounds(builder, row, column))
                           for column in range(1 + _DIMENSIONS))
        pointer = builder.inttoptr(address, context.get_data_type(result.dtype).as_pointer())
        return view(context, builder, result, pointer, shape)

    return result(stack, types.intp), codegen


def _layer_of_twin(stack: Stack | None, index: int) -> NDArray[Any] | None:
    return None if stack is None else stack[index]


layer_of = operation(_layer_of_typing, _layer_of_twin, "layer_of")
