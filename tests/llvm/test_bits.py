"""The bits of numbers: compiled, and as their twins in Python."""

import numba
import numpy as np
import pytest

from fastnet.llvm.bits import bits_of, magnitude_bits, number_of


@numba.njit
def bits_and_back(x):
    bits = bits_of(x)
    return bits, magnitude_bits(x), number_of(bits)


@pytest.mark.parametrize(("dtype", "integers"), [(np.float32, np.int32), (np.float64, np.int64)])
def test_bits_are_those_of_numpys_views(dtype, integers):
    info = np.finfo(dtype)
    for value in (0.0, -0.0, 1.5, info.max, info.min, info.tiny, info.smallest_subnormal, np.inf, -np.inf, np.nan):
        x = dtype(value)
        bits, magnitude, number = bits_and_back(x)
        assert bits == x.view(integers)
        assert magnitude == np.abs(x).view(integers)
        assert dtype(number).tobytes() == x.tobytes()


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="the twins are for numbers that have been looked at")
def test_other_numbers_have_none():
    for call in (lambda: bits_and_back(1), lambda: numba.njit(lambda x: number_of(x))(np.int16(1))):
        with pytest.raises(numba.TypingError):
            call()
