"""exp(x) for x <= 0 and log(x) for x >= 1, as polynomials that the compiler turns into vector code.

``math.exp`` and ``math.log`` are library calls for each element, several times slower. Both precisions follow the
textbook scheme: x = k ln 2 + r with |r| <= ln(2) / 2, then exp(x) = 2^k exp(r), with exp(r) by its Taylor series, whose
first term left out is below half a unit in the last place. Adding 1.5 * 2^(mantissa bits) rounds to an integer and
leaves it in the low bits, from where a shift makes 2^k of it. ln 2 comes in two parts, the first so short that k times
it is exact.

For the logarithm x = 2^k m with sqrt(1/2) <= m < sqrt(2), and log(m) = 2 artanh(s), s = (m - 1) / (m + 1), again by the
Taylor series: |s| is at most 0.172. Numba by itself joins no product with a sum, whose rounding that changes: hence
LLVM's operation for it, half as many instructions and one rounding less.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from math import factorial, log, sqrt
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import overload

from ..jit.decorators import operation
from ..jit.numba_internals import cgutils
from .bits import bits_of, number_of

__all__ = ["exp_nonpositive", "log_from_one"]


def _fused(builder: Any, x: Any, y: Any, z: Any) -> Any:
    """Emit x y + z, rounded once where the processor does that in one instruction."""
    kind = x.type
    name = f"llvm.fmuladd.{'f32' if isinstance(kind, ir.FloatType) else 'f64'}"
    return builder.call(cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, 3 * [kind]), name),
                        [x, y, z])


def _multiply_add_typing(typingctx: Any, x: Any, y: Any, z: Any) -> Any:
    """Type and emit `_multiply_add`."""
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _fused(builder, *args)

    return (x(x, x, x), codegen) if isinstance(x, types.Float) and x == y == z else None


def _multiply_add_twin(x: Any, y: Any, z: Any) -> Any:
    return x * y + z


def _series(coefficients: Sequence[float], name: str) -> Callable[[Any], Any]:
    """Return the operation that sums a power series by Horner's rule, in the type of its argument."""
    def typing(typingctx: Any, x: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            first, *rest = (ir.Constant(args[0].type, float(c)) for c in reversed(coefficients))
            return functools.reduce(lambda total, c: _fused(builder, total, args[0], c), rest, first)

        return (x(x), codegen) if isinstance(x, types.Float) else None

    def twin(x: Any) -> Any:
        return functools.reduce(lambda total, c: total * x + c, map(type(x), reversed(coefficients)))

    return operation(typing, twin, name)


_multiply_add: Callable[[Any, Any, Any], Any] = operation(_multiply_add_typing, _multiply_add_twin, "_multiply_add")

_exp_series32 = _series([1 / factorial(n) for n in range(8)], "_exp_series32")
_LOG2E32 = np.float32(1.4426950408889634)
_LN2_HIGH32 = np.float32(0.693145751953125)
_LN2_LOW32 = np.float32(1.428606820309417e-06)
_ROUND32 = np.float32(1.5 * 2**23)
_LOWEST32 = np.float32(log(np.finfo(np.float32).tiny))


def _exp32(x):
    clamped = x if x > _LOWEST32 else _LOWEST32  # a NaN fails the comparison and is put back at the end
    rounded = np.float32(_multiply_add(clamped, _LOG2E32, _ROUND32))
    k = rounded - _ROUND32
    r = _multiply_add(k, -_LN2_LOW32, _multiply_add(k, -_LN2_HIGH32, clamped))
    bits = np.int32(np.int32(bits_of(rounded) + np.int32(127)) << np.int32(23))
    result = _exp_series32(r) * number_of(bits)
    return result if x > _LOWEST32 else (np.float32(0) if x <= _LOWEST32 else x)


_exp_series64 = _series([1 / factorial(n) for n in range(14)], "_exp_series64")
_LOG2E64 = 1.4426950408889634
_LN2_HIGH64 = 0.6931471803691238
_LN2_LOW64 = 1.9082149292705877e-10
_ROUND64 = 1.5 * 2**52
_LOWEST64 = log(np.finfo(np.float64).tiny)


def _exp64(x):
    clamped = x if x > _LOWEST64 else _LOWEST64
    rounded = np.float64(_multiply_add(clamped, _LOG2E64, _ROUND64))
    k = rounded - _ROUND64
    r = _multiply_add(k, -_LN2_LOW64, _multiply_add(k, -_LN2_HIGH64, clamped))
    bits = np.int64((bits_of(rounded) + np.int64(1023)) << np.int64(52))
    result = _exp_series64(r) * number_of(bits)
    return result if x > _LOWEST64 else (0.0 if x <= _LOWEST64 else x)


def exp_nonpositive(x):
    """exp(x) for x <= 0. What would be below the smallest normal number is 0; a NaN stays a NaN.

    In compiled code the choice between the two is made once, from the type.
    """
    return _exp32(x) if isinstance(x, np.float32) else _exp64(x)


@overload(exp_nonpositive)
def _choose_by_dtype(x):
    return {types.float32: _exp32, types.float64: _exp64}.get(x)


_log_series32 = _series([2 / (2 * n + 1) for n in range(6)], "_log_series32")
_SQRT_HALF32 = np.float32(sqrt(0.5)).view(np.int32)


def _log32(x):
    bits = bits_of(np.float32(x))
    k = np.int32(np.int32(bits - _SQRT_HALF32) >> np.int32(23))
    m = number_of(np.int32(bits - np.int32(k << np.int32(23))))
    s = (m - np.float32(1)) / (m + np.float32(1))
    z = s * s
    exponent = np.float32(k)
    return _multiply_add(exponent, _LN2_HIGH32, _multiply_add(s, _log_series32(z), exponent * _LN2_LOW32)) + (x - x)


_log_series64 = _series([2 / (2 * n + 1) for n in range(12)], "_log_series64")
_SQRT_HALF64 = np.float64(sqrt(0.5)).view(np.int64)


def _log64(x):
    bits = bits_of(np.float64(x))
    k = np.int64((bits - _SQRT_HALF64) >> np.int64(52))
    m = number_of(np.int64(bits - np.int64(k << np.int64(52))))
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    exponent = np.float64(k)
    return _multiply_add(exponent, _LN2_HIGH64, _multiply_add(s, _log_series64(z), exponent * _LN2_LOW64)) + (x - x)


def log_from_one(x):
    """log(x) for finite x >= 1; a NaN stays a NaN: x - x is one, and else 0."""
    return _log32(x) if isinstance(x, np.float32) else _log64(x)


@overload(log_from_one)
def _choose_log_by_dtype(x):
    return {types.float32: _log32, types.float64: _log64}.get(x)
