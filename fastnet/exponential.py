"""exp(x) for x <= 0 and log(x) for x >= 1, as polynomials that the compiler turns into vector code.

``math.exp`` and ``math.log`` are library calls for each element, several times slower. Both precisions follow the
textbook scheme: x = k ln 2 + r with |r| <= ln(2) / 2, then exp(x) = 2^k exp(r), with exp(r) by its Taylor series, whose
first term left out is below half a unit in the last place. Adding 1.5 * 2^(mantissa bits) rounds to an integer and
leaves it in the low bits, from where a shift makes 2^k of it. ln 2 comes in two parts, the first so short that k times
it is exact.

For the logarithm x = 2^k m with sqrt(1/2) <= m < sqrt(2), and log(m) = 2 artanh(s), s = (m - 1) / (m + 1), again by the
Taylor series: |s| is at most 0.172.
"""

from __future__ import annotations

from math import factorial, log, sqrt

import numpy as np
from numba import types
from numba.extending import overload

__all__ = ["exp_nonpositive", "log_from_one"]


_C32 = tuple(np.float32(1 / factorial(n)) for n in range(8))
_LOG2E32 = np.float32(1.4426950408889634)
_LN2_HIGH32 = np.float32(0.693145751953125)
_LN2_LOW32 = np.float32(1.428606820309417e-06)
_ROUND32 = np.float32(1.5 * 2**23)
_LOWEST32 = np.float32(log(np.finfo(np.float32).tiny))


def _exp32(x):
    clamped = x if x > _LOWEST32 else _LOWEST32  # a NaN fails the comparison and is put back at the end
    rounded = np.float32(clamped * _LOG2E32 + _ROUND32)
    k = rounded - _ROUND32
    r = (clamped - k * _LN2_HIGH32) - k * _LN2_LOW32
    p = _C32[7]
    p = p * r + _C32[6]
    p = p * r + _C32[5]
    p = p * r + _C32[4]
    p = p * r + _C32[3]
    p = p * r + _C32[2]
    p = p * r + _C32[1]
    p = p * r + _C32[0]
    bits = np.int32(np.int32(rounded.view(np.int32) + np.int32(127)) << np.int32(23))
    result = p * bits.view(np.float32)
    return result if x > _LOWEST32 else (np.float32(0) if x <= _LOWEST32 else x)


_C64 = tuple(1 / factorial(n) for n in range(14))
_LOG2E64 = 1.4426950408889634
_LN2_HIGH64 = 0.6931471803691238
_LN2_LOW64 = 1.9082149292705877e-10
_ROUND64 = 1.5 * 2**52
_LOWEST64 = log(np.finfo(np.float64).tiny)


def _exp64(x):
    clamped = x if x > _LOWEST64 else _LOWEST64
    rounded = np.float64(clamped * _LOG2E64 + _ROUND64)
    k = rounded - _ROUND64
    r = (clamped - k * _LN2_HIGH64) - k * _LN2_LOW64
    p = _C64[13]
    p = p * r + _C64[12]
    p = p * r + _C64[11]
    p = p * r + _C64[10]
    p = p * r + _C64[9]
    p = p * r + _C64[8]
    p = p * r + _C64[7]
    p = p * r + _C64[6]
    p = p * r + _C64[5]
    p = p * r + _C64[4]
    p = p * r + _C64[3]
    p = p * r + _C64[2]
    p = p * r + _C64[1]
    p = p * r + _C64[0]
    bits = np.int64((rounded.view(np.int64) + np.int64(1023)) << np.int64(52))
    result = p * bits.view(np.float64)
    return result if x > _LOWEST64 else (0.0 if x <= _LOWEST64 else x)


def exp_nonpositive(x):
    """exp(x) for x <= 0. What would be below the smallest normal number is 0; a NaN stays a NaN.

    In compiled code the choice between the two is made once, from the type.
    """
    return _exp32(x) if isinstance(x, np.float32) else _exp64(x)


@overload(exp_nonpositive)
def _choose_by_dtype(x):
    return {types.float32: _exp32, types.float64: _exp64}.get(x)


_D32 = tuple(np.float32(2 / (2 * n + 1)) for n in range(6))
_SQRT_HALF32 = np.float32(sqrt(0.5)).view(np.int32)


def _log32(x):
    bits = np.float32(x).view(np.int32)
    k = np.int32(np.int32(bits - _SQRT_HALF32) >> np.int32(23))
    m = np.int32(bits - np.int32(k << np.int32(23))).view(np.float32)
    s = (m - np.float32(1)) / (m + np.float32(1))
    z = s * s
    p = _D32[5]
    p = p * z + _D32[4]
    p = p * z + _D32[3]
    p = p * z + _D32[2]
    p = p * z + _D32[1]
    p = p * z + _D32[0]
    exponent = np.float32(k)
    return exponent * _LN2_HIGH32 + (s * p + exponent * _LN2_LOW32) + (x - x)


_D64 = tuple(2 / (2 * n + 1) for n in range(12))
_SQRT_HALF64 = np.float64(sqrt(0.5)).view(np.int64)


def _log64(x):
    bits = np.float64(x).view(np.int64)
    k = np.int64((bits - _SQRT_HALF64) >> np.int64(52))
    m = np.int64(bits - np.int64(k << np.int64(52))).view(np.float64)
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    p = _D64[11]
    p = p * z + _D64[10]
    p = p * z + _D64[9]
    p = p * z + _D64[8]
    p = p * z + _D64[7]
    p = p * z + _D64[6]
    p = p * z + _D64[5]
    p = p * z + _D64[4]
    p = p * z + _D64[3]
    p = p * z + _D64[2]
    p = p * z + _D64[1]
    p = p * z + _D64[0]
    exponent = np.float64(k)
    return exponent * _LN2_HIGH64 + (s * p + exponent * _LN2_LOW64) + (x - x)


def log_from_one(x):
    """log(x) for finite x >= 1; a NaN stays a NaN: x - x is one, and else 0."""
    return _log32(x) if isinstance(x, np.float32) else _log64(x)


@overload(log_from_one)
def _choose_log_by_dtype(x):
    return {types.float32: _log32, types.float64: _log64}.get(x)
