"""Where the left factor of a product lies in memory."""

from __future__ import annotations

from typing import NamedTuple

from ..jit.decorators import block
from ..llvm.arrays import item_size
from ..llvm.target import PACK
from .partition import FIRST

__all__ = ["Left", "one_row", "packed_columns", "packed_rows", "panel_columns", "panel_rows", "plain_columns",
           "plain_rows"]


class Left(NamedTuple):
    """Where the left factor of a product lies, in bytes from the start of its array.

    Element (i, k) is at base + i * row + k * term, plus `jump` after each PACK terms. Tiles begin at rows that may be
    further apart than that (`tile` bytes a row), and blocks of terms (`block` bytes a term) begin a multiple of PACK
    after the first, which is one itself where there is a jump.
    If `columns` is not 0, the terms are that many columns in so many `panels`, `panel` bytes apart.
    """

    base: int
    tile: int
    row: int
    term: int
    block: int
    jump: int
    panel: int
    columns: int
    panels: int


@block
def plain_rows(A, start):
    """A (1, N, at least K), from row `start` on, as left factor."""
    step, K = item_size(A), A.shape[2]
    return Left(start * K * step, K * step, K * step, step, step, FIRST, FIRST, FIRST, FIRST)


@block
def plain_columns(A):
    """A^T as left factor, A (1, K, N)."""
    step, N = item_size(A), A.shape[2]
    return Left(FIRST, step, step, N * step, N * step, FIRST, FIRST, FIRST, FIRST)


@block
def packed_rows(A, start):
    """Packed features (D / PACK, N, PACK), from sample `start` on, as left factor: samples by features."""
    step, N = item_size(A), A.shape[1]
    return Left(start * PACK * step, PACK * step, PACK * step, step, N * step, (N - 1) * PACK * step, FIRST, FIRST,
                FIRST)


@block
def packed_columns(A, first):
    """Packed features (D / PACK, N, PACK), from pack `first` on, transposed, as left factor: features by samples.

    Its rows come in whole tiles only.
    """
    step, N = item_size(A), A.shape[1]
    return Left(first * N * PACK * step, N * step, step, PACK * step, PACK * step, FIRST, FIRST, FIRST, FIRST)


@block
def panel_rows(A, start, columns, panels):
    """Panels (at least `panels`, N, width) of `columns` columns, from row `start` on, as left factor."""
    step, N, width = item_size(A), A.shape[1], A.shape[2]
    return Left(start * width * step, width * step, width * step, step, step, FIRST, N * width * step, columns, panels)


@block
def panel_columns(A, panel):
    """One of the panels (panels, N, width), transposed, as left factor."""
    step, N, width = item_size(A), A.shape[1], A.shape[2]
    return Left(panel * N * width * step, step, step, width * step, width * step, FIRST, FIRST, FIRST, FIRST)


@block
def one_row():
    """A row of ones as left factor, as often as there are terms, from an array whose first element is 1."""
    return Left(FIRST, FIRST, FIRST, FIRST, FIRST, FIRST, FIRST, FIRST, FIRST)
