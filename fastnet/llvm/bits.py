"""The bits of a floating-point number as an integer, and back, for compiled code.

NumPy's `view` does the same; for each type numba compiles several functions of its own, a fortieth of what a first call
compiles.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types

from ..jit.decorators import operation

__all__ = ["bits_of", "magnitude_bits", "number_of"]

_INTEGERS = {types.float32: types.int32, types.float64: types.int64}


def _emit_bitcast(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    return builder.bitcast(args[0], context.get_data_type(signature.return_type))


def _bits_of_typing(typingctx: Any, x: Any) -> Any:
    """Return the bits of a number as an integer as wide."""
    if x not in _INTEGERS:
        return None
    return _INTEGERS[x](x), _emit_bitcast


def _bits_of_twin(x: Any) -> Any:
    return x.view(np.int32 if isinstance(x, np.float32) else np.int64)


def _number_of_typing(typingctx: Any, bits: Any) -> Any:
    """Return the number that has these bits."""
    result = {integer: number for number, integer in _INTEGERS.items()}.get(bits)
    if result is None:
        return None
    return result(bits), _emit_bitcast


def _number_of_twin(bits: Any) -> Any:
    return bits.view(np.float32 if isinstance(bits, np.int32) else np.float64)


def _magnitude_bits_typing(typingctx: Any, x: Any) -> Any:
    """Return the bits of a number but its sign, as an integer as wide: the larger the number, the larger."""
    if x not in _INTEGERS:
        return None

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bits = _emit_bitcast(context, builder, signature, args)
        return builder.and_(bits, ir.Constant(bits.type, (1 << (x.bitwidth - 1)) - 1))

    return _INTEGERS[x](x), codegen


def _magnitude_bits_twin(x: Any) -> Any:
    return _bits_of_twin(abs(x))


bits_of: Callable[[Any], Any] = operation(_bits_of_typing, _bits_of_twin, "bits_of")
number_of: Callable[[Any], Any] = operation(_number_of_typing, _number_of_twin, "number_of")
magnitude_bits: Callable[[Any], Any] = operation(_magnitude_bits_typing, _magnitude_bits_twin, "magnitude_bits")
