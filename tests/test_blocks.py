"""Into how many sums a gradient is cut, and where new arrays lie."""

from itertools import pairwise

import numpy as np
import pytest

from fastnet import TwoLayerNet, blocks
from fastnet.memory import CACHE_LINE, aligned
from fastnet.simd import PACK, tile_rows, tile_width


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


def test_rows_in_tiles_are_a_few_more_where_one_tile_takes_them():
    for rows in range(1, 100):
        more = blocks.rows_in_tiles(rows)
        rest = more % PACK
        assert rows <= more < rows + PACK
        assert rest & (rest - 1) == 0  # no rest, or a tile of its own height
        assert more == rows or tile_rows(rows % PACK) < rows % PACK  # else it took one tile anyway


def test_shares_of_rows_are_as_even_as_half_tiles_allow():
    for rows in range(1, 200):
        for count in (1, 2, 3):
            edges = [blocks.tile_share(share, count, rows) for share in range(count + 1)]
            unit = max(tile_rows(rows) // 2, 1)
            assert (edges[0], edges[-1]) == (0, rows)
            assert all(end - start >= 0 for start, end in pairwise(edges))
            assert max(np.diff(edges)) <= -(-rows // (unit * count)) * unit
