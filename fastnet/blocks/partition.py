"""Where shares, panels, k-slices and tiles begin: the arithmetic of all cuts, and of nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..jit.decorators import inline, shared
from ..llvm.target import PACK, lanes, tile_rows, tile_width
from ..tuning import MANY_TERMS, SOME_TERMS, SPLIT_SAMPLES

__all__ = [
    "K_SLICES",
    "NOT_HALVED",
    "ZERO",
    "column_share",
    "first_half_panel_count",
    "gradient_splits",
    "halved_panel_count",
    "k_slice_count",
    "k_slice_packs",
    "k_slice_start",
    "padded",
    "panel_count",
    "panel_span",
    "panel_unit",
    "panel_width",
    "rows_in_tiles",
    "sample_splits",
    "share_start",
    "tile_share_start",
]

ZERO: Any = np.intp(0)
"""Where a serial run starts. A literal 0 would make numba compile each block function once more, for that literal."""

NOT_HALVED: Any = np.bool_(False)
"""For the columns of panels that nobody halves. No literal, for the same reason."""

K_SLICES = 4
"""Sums that a sum over many terms is made of, added pairwise."""


@shared
def share_start(share: Any, count: Any, units: Any) -> Any:
    """First unit of share number `share` of `count` shares of `units` units, as even as can be."""
    return share * units // count


@shared
def k_slice_count(K: int) -> int:
    """How many sums an affine map of K features is made of."""
    if K >= MANY_TERMS:
        return K_SLICES
    return 2 if K >= SOME_TERMS else 1


@shared
def k_slice_start(k_slice: int, slices: int, K: int) -> int:
    """First term of a k-slice: a multiple of 2 * PACK, which is one of `panel_unit` for every instruction set."""
    unit = 2 * PACK
    return min(share_start(k_slice, slices, (K + unit - 1) // unit) * unit, K)


@shared
def panel_unit(itemsize: int) -> int:
    """Columns that a panel is a multiple of: whole vectors, and whole packs of what is made from it."""
    return max(lanes(itemsize), PACK)


@shared
def panel_count(columns: int, itemsize: int) -> int:
    """How many panels to cut `columns` columns into."""
    width = tile_width(itemsize)
    return (columns + width - 1) // width


@shared
def first_half_panel_count(columns: int, itemsize: int) -> int:
    """How many panels to cut the first half of so many columns into, if none shall lie across their middle."""
    return panel_count(k_slice_start(1, 2, columns), itemsize)


@shared
def halved_panel_count(columns: int, itemsize: int) -> int:
    """How many panels to cut `columns` columns into, if none shall lie across the middle of their slices."""
    return first_half_panel_count(columns, itemsize) + panel_count(columns - k_slice_start(1, 2, columns), itemsize)


@inline
def padded(columns, itemsize):
    """Round up to a multiple of `panel_unit`: loops over so many columns end with a vector, not one by one."""
    unit = panel_unit(itemsize)
    return (columns + unit - 1) // unit * unit


@shared
def panel_width(panels: int, columns: int, halved: bool, itemsize: int) -> int:
    """Columns that the widest of so many panels of `columns` columns needs: whole units."""
    unit, widest = panel_unit(itemsize), 0
    for panel in range(panels):
        widest = max(widest, panel_span(panel, panels, columns, halved, itemsize)[1])
    return (widest + unit - 1) // unit * unit


@shared
def column_share(share: int, count: int, columns: int, itemsize: int) -> tuple[int, int]:
    """First column of share number `share` of `count`, and how many columns it has: whole units, as even as can be.

    For shares from `count` on it has no columns.
    """
    unit = panel_unit(itemsize)
    units = (columns + unit - 1) // unit
    start = min(share_start(share, count, units) * unit, columns)
    return start, min(share_start(share + 1, count, units) * unit, columns) - start


@shared
def panel_span(panel: int, panels: int, columns: int, halved: bool, itemsize: int) -> tuple[int, int]:
    """First column of a panel, and how many columns it has: as even as can be, since narrow tiles are slow.

    If `halved`, as many as `first_half_panel_count` lie in the first half of the columns, and none across the middle.
    From panel number `panels` on they have no columns.
    """
    if panels == 1 and panel == 0:  # without the divisions, which small networks would notice
        return 0, columns
    if not halved:
        return column_share(panel, panels, columns, itemsize)
    half, first = k_slice_start(1, 2, columns), first_half_panel_count(columns, itemsize)
    if panel < first:
        return column_share(panel, first, half, itemsize)
    start, count = column_share(panel - first, panels - first, columns - half, itemsize)
    return half + start, count


@shared
def sample_splits(N: int) -> int:
    """How many sums the gradient of a bias is made of: 1 or 2."""
    return 2 if N >= SPLIT_SAMPLES else 1


@shared
def gradient_splits(N: int, K: int, J: int) -> int:
    """How many sums over samples the gradient of weights (K, J) is made of: 1 or 2.

    Two sums are 2 K J numbers that move between two cores, instead of N (K + J) activations and deltas. Where the
    features have K_SLICES k-slices, threads share these out instead of the samples.
    """
    return sample_splits(N) if k_slice_count(K) < K_SLICES and 2 * K * J <= N * (K + J) else 1


@shared
def tile_share_start(share: Any, count: Any, rows: Any) -> Any:
    """First row of share number `share` of `count`: a multiple of half the height of the tallest tile that fits."""
    unit = (tile_rows(rows) + 1) // 2
    return min(share_start(share, count, (rows + unit - 1) // unit) * unit, rows)


@shared
def rows_in_tiles(rows: Any) -> Any:
    """So many rows, or a few more where one tile takes them all instead of several that are lower."""
    rest, height = rows % PACK, 1
    while height < rest:
        height *= 2
    return rows if rest == 0 else rows - rest + height


@inline
def k_slice_packs(k_slice, packs):
    """First pack in one of K_SLICES slices of so many packs of features, and first pack in the next one."""
    K = packs * PACK
    return k_slice_start(k_slice, K_SLICES, K) // PACK, k_slice_start(k_slice + 1, K_SLICES, K) // PACK
