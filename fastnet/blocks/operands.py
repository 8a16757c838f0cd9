"""Where the left factor of a product lies in memory: in rows, in columns, packed, in panels.

Strides are in bytes, so that one tile serves all of them.
"""

from __future__ import annotations

from typing import NamedTuple

from ..jit.decorators import block, inline
from ..llvm.arrays import item_size
from ..llvm.target import PACK
from .partition import NOT_HALVED, ZERO

__all__ = ["Operand", "one_row", "packed_columns", "packed_rows", "panel_columns", "panel_rows", "plain_columns",
           "plain_rows"]


class Operand(NamedTuple):
    """The left factor of a product, as strides in bytes.

    Row i of a tile whose first row is t begins at base + t * tile_stride + i * row_stride. Its terms follow at
    term_stride, with another `jump` after each PACK of them. If `columns` is not 0, the terms are split over `panels`
    panels, each of which begins panel_stride after the one before; strides are those within a panel.
    """

    base: int
    """Bytes from the start of the array to element (0, 0)."""
    tile_stride: int
    """Bytes from row to row for the first rows of tiles, which may lie further apart than the rows of one tile."""
    row_stride: int
    """Bytes from row to row within a tile."""
    term_stride: int
    """Bytes from one term of the sum to the next."""
    block_stride: int
    """Bytes from one term to the next, jumps included, for terms that are a multiple of PACK; where there are jumps,
    sums begin at such terms only."""
    jump: int
    """Bytes more after each PACK terms."""
    panel_stride: int
    """Bytes from panel to panel."""
    columns: int
    """How many terms lie in panels; 0 where there are no panels."""
    panels: int
    """How many panels these terms lie in."""
    halved: bool
    """Whether no panel lies across the middle of the columns."""


@inline
def strided(base, tile_stride, row_stride, term_stride, block_stride, jump):
    """An operand that does not lie in panels."""
    return Operand(base, tile_stride, row_stride, term_stride, block_stride, jump, ZERO, ZERO, ZERO, NOT_HALVED)


@block
def plain_rows(A, start, term):
    """A (1, N, at least K), from row `start` and column `term` on, as left factor."""
    itemsize, K = item_size(A), A.shape[2]
    row = K * itemsize
    return strided(start * row + term * itemsize, row, row, itemsize, itemsize, ZERO)


@block
def plain_columns(A, start, term):
    """A^T as left factor, A (1, K, N), from column `start` and row `term` on."""
    itemsize, N = item_size(A), A.shape[2]
    row = N * itemsize
    return strided(start * itemsize + term * row, itemsize, itemsize, row, row, ZERO)


@block
def packed_rows(A, start):
    """Packed features (D / PACK, N, PACK), from sample `start` on, as left factor: samples by features."""
    itemsize, N = item_size(A), A.shape[1]
    pack = PACK * itemsize
    return strided(start * pack, pack, pack, itemsize, N * itemsize, (N - 1) * pack)


@block
def packed_columns(A, first):
    """Packed features (D / PACK, N, PACK), from pack `first` on, transposed, as left factor: features by samples.

    Its rows come in whole tiles only.
    """
    itemsize, N = item_size(A), A.shape[1]
    pack = PACK * itemsize
    return strided(first * N * pack, N * itemsize, itemsize, pack, pack, ZERO)


@block
def panel_rows(A, start, columns, panels, halved):
    """Panels (at least `panels`, N, width) of `columns` columns, from row `start` on, as left factor."""
    itemsize, N, width = item_size(A), A.shape[1], A.shape[2]
    row = width * itemsize
    return Operand(start * row, row, row, itemsize, itemsize, ZERO, N * row, columns, panels, halved)


@block
def panel_columns(A, panel):
    """One of the panels (panels, N, width), transposed, as left factor."""
    itemsize, N, width = item_size(A), A.shape[1], A.shape[2]
    row = width * itemsize
    return strided(panel * N * row, itemsize, itemsize, row, row, ZERO)


@block
def one_row():
    """A row of ones as left factor: all strides are 0, so a tile reads the first element, a 1, for each term.

    The product adds up the rows of the other factor.
    """
    return strided(ZERO, ZERO, ZERO, ZERO, ZERO, ZERO)
