"""Numbers of every type that data come in, beside NumPy's `astype`."""

import numpy as np
import pytest
from numba import njit

from fastnet.llvm.conversion import SOURCE_DTYPES, convert, convert_pack, source_kind
from fastnet.llvm.target import PACK


@njit
def converted(target, one_by_one, address, stride, kind):
    if one_by_one:
        for n in range(target.shape[0]):
            convert(target, n, address + n * stride, stride, kind)
    else:
        for n in range(0, target.shape[0], PACK):
            convert_pack(target, n, address + n * stride, stride, kind)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("source", SOURCE_DTYPES, ids=str)
@pytest.mark.parametrize("step", [1, 3, -2])
@pytest.mark.parametrize("one_by_one", [False, True])
def test_rounds_as_numpy_does(rng, dtype, source, step, one_by_one):
    numbers = rng.bytes(40 * PACK * abs(step) * source.itemsize)
    memory = np.frombuffer(numbers, np.uint8 if source.kind == "b" else source)
    memory = memory.copy()
    if source.kind == "b":  # NumPy makes no other bytes than 0 and 1, but may be given them
        memory = (memory * (memory % 2)).view(bool)
    values, target = memory[::step], np.zeros(40 * PACK, dtype)
    with np.errstate(all="ignore"):
        expected = values.astype(dtype)
    if source.kind == "f":  # a NaN is one, whatever else its bits say
        values[np.isnan(expected)], expected[np.isnan(expected)] = 1, 1
    with np.errstate(all="ignore"):  # without compilation it is NumPy that converts, and warns
        converted(target, one_by_one, values.__array_interface__["data"][0], values.strides[0],
                  source_kind(source))
    np.testing.assert_array_equal(target, expected)


def test_what_has_no_number():
    for dtype in (np.float16, np.longdouble, np.complex64, object, np.dtype(float).newbyteorder(), "U1", "M8[s]"):
        assert source_kind(np.dtype(dtype)) == 0
