"""How sums, columns and rows are cut, and where new arrays lie."""

import itertools
from itertools import pairwise

import numpy as np
import pytest

from fastnet import TwoLayerNet
from fastnet.blocks import partition
from fastnet.llvm.memory import aligned
from fastnet.llvm.target import _TARGETS, PACK, tile_rows, tile_width
from fastnet.tuning import CACHE_LINE


@pytest.mark.parametrize(("samples", "inputs", "outputs", "sums"), [
    (63, 4, 4, 1), (64, 4, 4, 2),
    (200, 511, 10, 2), (200, 512, 10, 1),  # where many features are split, samples are not
    (100, 100, 100, 2), (99, 100, 100, 1),  # 2 K J <= N (K + J)
])
def test_sums_of_a_gradient(samples, inputs, outputs, sums):
    assert partition.gradient_splits(samples, inputs, outputs) == sums
    assert partition.sample_splits(samples) == 1 + (samples >= 64)


@pytest.mark.parametrize("itemsize", [4, 8])
def test_panels_cover_all_columns_once(itemsize):
    for columns in range(1, 700):
        slices = partition.k_slice_count(columns)
        for halved in (False, True) if slices > 1 else (False,):
            count = (partition.halved_panel_count if halved else partition.panel_count)(columns, itemsize)
            widths = cover_once(columns, count, itemsize, [
                partition.panel_span(panel, count, columns, halved, itemsize) for panel in range(count + 1)])
            widest = partition.panel_width(count, columns, halved, itemsize)
            assert widest <= tile_width(itemsize)
            assert all(0 < width <= partition.padded(width, itemsize) <= widest for width in widths)
        if slices > 1:
            half = partition.first_half_panel_count(columns, itemsize)
            middle, _ = partition.panel_span(half, count, columns, True, itemsize)
            assert middle == partition.k_slice_start(1, 2, columns) == partition.k_slice_start(2, 4, columns)
            firsts = [partition.panel_span(panel, count, columns, True, itemsize) for panel in range(half)]
            assert sum(width for _, width in firsts) == middle


@pytest.mark.parametrize("itemsize", [4, 8])
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_shares_cover_all_columns_once(itemsize, count):
    for columns in range(1, 700):
        cover_once(columns, count, itemsize, [
            partition.column_share(share, count, columns, itemsize) for share in range(count + 1)])


def cover_once(columns, count, itemsize, spans):
    """Widths of these spans, the last of which comes after the end, and whether they are all columns in order."""
    assert spans.pop() == (columns, 0)
    starts, widths = zip(*spans, strict=True)
    assert len(starts) == count
    assert starts == tuple(itertools.accumulate(widths[:-1], initial=0))
    assert sum(widths) == columns
    unit = partition.panel_unit(itemsize)
    assert all(start % unit == 0 for start, width in zip(starts, widths, strict=True) if width)
    return widths


@pytest.mark.parametrize("target", _TARGETS.values(), ids=_TARGETS)
@pytest.mark.parametrize("itemsize", [4, 8])
def test_panels_begin_where_leaves_do_and_squares_want(target, itemsize):
    lanes = target.vector_bytes // itemsize
    unit = max(lanes, target.max_rows)  # as `panel_unit` and PACK have it
    assert 2 * target.max_rows % unit == target.max_vectors * lanes % unit == unit % 4 == 0


def test_leaves_and_their_packs_have_the_same_edges():
    for terms in range(1, 1200):
        starts = [partition.k_slice_start(leaf, partition.K_SLICES, terms) for leaf in range(partition.K_SLICES + 1)]
        edges = [-(-start // PACK) for start in starts]
        packs = [partition.k_slice_packs(leaf, -(-terms // PACK)) for leaf in range(partition.K_SLICES)]
        assert packs == list(pairwise(edges))
        assert (starts[0], starts[-1]) == (0, terms)


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
        more = partition.rows_in_tiles(rows)
        rest = more % PACK
        assert rows <= more < rows + PACK
        assert rest & (rest - 1) == 0  # no rest, or a tile of its own height
        assert more == rows or tile_rows(rows % PACK) < rows % PACK  # else it took one tile anyway


def test_shares_of_rows_are_as_even_as_half_tiles_allow():
    for rows in range(1, 200):
        for count in (1, 2, 3):
            edges = [partition.tile_share_start(share, count, rows) for share in range(count + 1)]
            unit = max(tile_rows(rows) // 2, 1)
            assert (edges[0], edges[-1]) == (0, rows)
            assert all(end - start >= 0 for start, end in pairwise(edges))
            assert max(np.diff(edges)) <= -(-rows // (unit * count)) * unit
