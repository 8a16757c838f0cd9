"""Arrays on the memory of other arrays, compiled and as their twins in Python."""

import numba
import numpy as np
import pytest

from fastnet.llvm.arrays import flat, panel_of, part_of


@numba.njit
def item_of(array, index):
    return panel_of(array, index)


@numba.njit
def span_of(array, start, count):
    return flat(array, start, count)


@numba.njit
def shaped_as(array, start, shape):
    return part_of(array, start, shape)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_views_are_of_the_same_memory(dtype):
    array = np.arange(60, dtype=dtype).reshape(3, 4, 5)
    pairs = [(item_of(array, 2), array[2]), (item_of(array[1], 3), array[1, 3]),
             (span_of(array, 7, 11), array.reshape(-1)[7:18]), (span_of(array, 60, 0), array.reshape(-1)[60:]),
             (shaped_as(array, 0, (2, 3, 7)), array.reshape(-1)[:42].reshape(2, 3, 7)),
             (shaped_as(array, 5, (np.int32(2), 11)), array.reshape(-1)[5:27].reshape(2, 11)),
             (shaped_as(array[0], 19, (1, 1, 1, 1)), array[0, 3:, 4:].reshape(1, 1, 1, 1))]
    for view, expected in pairs:
        np.testing.assert_array_equal(view, expected, strict=True)
        if view.size:
            assert view.ctypes.data == expected.ctypes.data
            assert view.strides == expected.strides
            view.fill(-1)
            assert (expected == -1).all()
            expected[...] = 7
            assert (view == 7).all()


def test_of_none_there_is_none():
    assert item_of(None, 1) is None
    assert span_of(None, 1, 2) is None


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="the twins are for arrays that have been looked at")
@pytest.mark.parametrize("call", [lambda X: item_of(X, 0), lambda X: span_of(X, 0, 1),
                                  lambda X: shaped_as(X, 0, (1, 1)), lambda X: item_of(X[0].copy(), 0)])
def test_what_does_not_lie_in_a_row_is_refused(call):
    with pytest.raises(numba.TypingError):
        call(np.zeros((3, 4))[:, ::2])
