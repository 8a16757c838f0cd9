"""The bits of a floating-point number as an integer, for compiled code.

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

__all__ = ["magnitude_bits"]


def _magnitude_bits_typing(typingctx: Any, x: Any) -> Any:
    """Return the bits of a number but its sign, as an integer as wide: the larger the number, the larger."""
    if x not in (types.float32, types.float64):
        return None

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.IntType(x.bitwidth)
        return builder.and_(builder.bitcast(args[0], kind), ir.Constant(kind, (1 << (x.bitwidth - 1)) - 1))

    return (types.int32 if x == types.float32 else types.int64)(x), codegen


def _magnitude_bits_twin(x: Any) -> Any:
    kind = np.int32 if isinstance(x, np.float32) else np.int64
    return abs(x).view(kind)


magnitude_bits: Callable[[Any], Any] = operation(_magnitude_bits_typing, _magnitude_bits_twin, "magnitude_bits")
