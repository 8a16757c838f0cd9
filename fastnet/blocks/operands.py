"""Where the left factor of a product lies in memory: in rows, in columns, packed, in panels.

Strides are in bytes, so that one tile serves all of them.
"""

from __future__ import annotations

from typing import NamedTuple

from ..jit.decorators import block, inline
from ..llvm.arrays import item_size
from ..llvm.target import PACK
from .partition import FIRST, NOT_HALVED

__all__ = ["Operand", "one_row", "packed_columns", "packed_rows", "panel_columns", "panel_rows", "plain_columns",
           "plain_rows"]


class Operand(NamedTuple):
    """The left factor of a product: element (i, k) is at base + i * row_stride + k * term_stride, in bytes.

    Where it is packed, another `jump` comes after each PACK terms. Where its terms are the columns of panels, element k
    is that of the panel which has it, and strides are those within a panel.
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
    """The same between terms that are multiples of PACK: what a jump adds is in it."""
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
    return Operand(base, tile_stride, row_stride, term_stride, block_stride, jump, FIRST, FIRST, FIRST, NOT_HALVED)


@block
def plain_rows(A, start):
    """A (1, N, at least K), from row `start` on, as left factor."""
    itemsize, K = item_size(A), A.shape[2]
    row = K * itemsize
    return strided(start * row, row, row, itemsize, itemsize, FIRST)


@block
def plain_columns(A):
    """A^T as left factor, A (1, K, N)."""
    itemsize, N = item_size(A), A.shape[2]
    return strided(FIRST, itemsize, itemsize, N * itemsize, N * itemsize, FIRST)


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
    return strided(first * N * pack, N * itemsize, itemsize, pack, pack, FIRST)


@block
def panel_rows(A, start, columns, panels, halved):
    """Panels (at least `panels`, N, width) of `columns` columns, from row `start` on, as left factor."""
    itemsize, N, width = item_size(A), A.shape[1], A.shape[2]
    row = width * itemsize
    return Operand(start * row, row, row, itemsize, itemsize, FIRST, N * row, columns, panels, halved)


@block
def panel_columns(A, panel):
    """One of the panels (panels, N, width), transposed, as left factor."""
    itemsize, N, width = item_size(A), A.shape[1], A.shape[2]
    row = width * itemsize
    return strided(panel * N * row, itemsize, itemsize, row, row, FIRST)


@block
def one_row():
    """A row of ones as left factor, as often as there are terms, from an array whose first element is 1."""
    return strided(FIRST, FIRST, FIRST, FIRST, FIRST, FIRST)
