"""Into how many sums a gradient is cut, and where new arrays lie."""

import numpy as np
import pytest

from fastnet import TwoLayerNet, blocks
from fastnet.memory import CACHE_LINE, aligned
from fastnet.simd import tile_width


@pytest.mark.parametrize(("samples", "inputs", "outputs", "sums"), [
    (63, 4, 4, 1), (64, 4, 4, 2),
    (200, 511, 10, 2), (200, 512, 10, 1),  # as features are split, samples are not
    (100, 100, 100, 2), (99, 100, 100, 1),  # 2 K J <= N (K + J)
])
def test_sums_of_a_gradient(samples, inputs, outputs, sums):
    assert blocks.gradient_sums(samples, inputs, outputs) == sums
    assert blocks.sample_sums(samples) == 1 + (samples >= 64)


@pytest.mark.parametrize("itemsize", [4, 8])
def test_panels_and_shares_cover_all_columns_once(itemsize):
    for columns in range(1, 300):
        panels = blocks.panel_count(columns, itemsize)
        for count in {panels, 1, 2, 3, 4}:
            begin = 0
            for part in range(count):
                start, width = blocks.panel_span(part, count, columns, itemsize)
                assert start == begin
                assert start % blocks.panel_unit(itemsize) == 0 or not width
                begin += width
                if count == panels:
                    padded = blocks.panel_width(columns, itemsize)
                    assert 0 < width <= blocks.whole(width, itemsize) <= padded <= tile_width(itemsize)
            assert begin == columns
            assert blocks.panel_span(count, count, columns, itemsize) == (columns, 0)


@pytest.mark.parametrize("shape", [(0, 48), (3,), (2, 5, 7)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("clear", [False, True])
def test_aligned_arrays(shape, dtype, clear):
    array = aligned(shape, np.dtype(dtype), clear=clear)
    assert (array.shape, array.dtype) == (shape, dtype)
    assert array.flags.carray
    assert array.size == 0 or array.ctypes.data % CACHE_LINE == 0
    assert not (clear and array.any())


def test_parameters_begin_at_cache_lines():
    assert all(array.ctypes.data % CACHE_LINE == 0 for array in TwoLayerNet(5, 7, 3).params.values())
