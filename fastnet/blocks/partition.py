"""How columns, terms and samples are cut: the only file that knows."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..jit.decorators import inline, shared
from ..llvm.target import PACK, lanes, tile_rows, tile_width
from ..tuning import MANY_TERMS, SOME_TERMS, SPLIT_SAMPLES

__all__ = [
    "FIRST",
    "K_SLICES",
    "NOT_HALVED",
    "column_share",
    "gradient_splits",
    "half_panels",
    "halved_panels",
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
    "tile_share",
]

FIRST: Any = np.intp(0)
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
    """First term of a k-slice, at the edge of a pack, and of a unit of panels (`panel_unit`)."""
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
def half_panels(columns: int, itemsize: int) -> int:
    """How many panels to cut the first half of so many columns into, where `halved_panels` is asked for."""
    return panel_count(k_slice_start(1, 2, columns), itemsize)


@shared
def halved_panels(columns: int, itemsize: int) -> int:
    """How many panels to cut `columns` columns into, if none shall lie across the middle of their slices."""
    return half_panels(columns, itemsize) + panel_count(columns - k_slice_start(1, 2, columns), itemsize)


@inline
def padded(columns, itemsize):
    """So many columns with what is padded to whole units: loops over them end with a vector, not one by one."""
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

    What comes after the last one has no columns.
    """
    unit = panel_unit(itemsize)
    units = (columns + unit - 1) // unit
    start = min(share_start(share, count, units) * unit, columns)
    return start, min(share_start(share + 1, count, units) * unit, columns) - start


@shared
def panel_span(panel: int, panels: int, columns: int, halved: bool, itemsize: int) -> tuple[int, int]:
    """First column of a panel, and how many columns it has: as even as can be, since narrow tiles are slow.

    If `halved`, as many as `half_panels` lie in the first half of the columns, and none across the middle. What comes
    after the last panel has no columns.
    """
    if panels == 1 and panel == 0:  # without the divisions, which small networks would notice
        return 0, columns
    if not halved:
        return column_share(panel, panels, columns, itemsize)
    half, first = k_slice_start(1, 2, columns), half_panels(columns, itemsize)
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
    """How many sums the gradient of weights (K, J) is made of: as many as that of a bias, where that pays.

    It pays where two sums are fewer numbers than the activations and deltas that would travel instead. Where the
    features have K_SLICES slices, threads have features of their own, not samples.
    """
    return sample_splits(N) if k_slice_count(K) < K_SLICES and 2 * K * J <= N * (K + J) else 1


@shared
def tile_share(share: Any, count: Any, rows: Any) -> Any:
    """First row of share number `share` of `count`, at the edge of a tile, or of half a tile, which is as fast."""
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
