"""Which vector registers there are, and what follows from them: the shapes of tiles, and of packed data."""

from __future__ import annotations

from typing import NamedTuple

import llvmlite.binding as llvm
from numba import config

from ..jit.decorators import shared
from ..tuning import ROW_VECTORS

__all__ = ["ISA", "IS_ARM", "IS_X86", "PACK", "Target", "detect_target", "lanes", "row_width", "tile_rows",
           "tile_width"]

_X86_64, _ARM64 = ("x86_64", "amd64"), ("aarch64", "arm64")
"""How the triple of a target begins."""


class Target(NamedTuple):
    """What the tile shapes follow: the vector registers of the CPU that code is generated for."""

    name: str
    """Name of the instruction set, for people."""
    vector_bytes: int
    """Width of the widest vector register, in bytes."""
    registers: int
    """How many such registers there are."""
    register_name: str
    """How such a register is spelled in assembly."""
    max_rows: int
    """Rows of the largest tile; a power of two."""
    max_vectors: int
    """Vectors in each row of the largest tile."""
    has_masks: bool
    """Whether vectors are loaded under a mask; elsewhere that is a branch for each element."""
    multiplies_by_element: bool = False
    """Whether a multiply-add takes one element of a register for a whole factor."""
    has_half_vectors: bool = False
    """Whether multiply-adds of half a vector may take half the time: where units are half as wide as registers."""

    def lanes(self, itemsize: int) -> int:
        """How many elements of `itemsize` bytes fit one register."""
        return self.vector_bytes // itemsize

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """Rows and vectors of every tile."""
        return [(rows, vectors) for rows in self.heights for vectors in range(1, self.max_vectors + 1)]

    @property
    def heights(self) -> tuple[int, ...]:
        """The rows that a tile may have, falling: powers of two."""
        return tuple(rows for rows in (8, 4, 2, 1) if rows <= self.max_rows)


# Accumulators (rows x vectors), one row of B, and a broadcast have to fit the registers; at least eight accumulators
# hide the latency of a multiply-add.
_TARGETS = {
    "avx512": Target("AVX-512", 64, 32, "zmm", 8, 3, True, has_half_vectors=True),
    "avx2": Target("AVX2", 32, 16, "ymm", 4, 3, True),
    "sse2": Target("SSE2", 16, 16, "xmm", 4, 2, False),
    "neon": Target("NEON", 16, 32, "v", 4, 4, False, True),
    "fallback": Target("128-bit vectors", 16, 16, "", 4, 2, False),
}


def _cpu_features() -> set[str]:
    """Names of the CPU features that numba generates code for (its environment variables are honoured)."""
    if config.CPU_FEATURES is not None:
        listed = [feature.strip() for feature in str(config.CPU_FEATURES).split(",")]
        return {feature[1:] for feature in listed if feature.startswith("+")}
    return {name for name, present in llvm.get_host_cpu_features().items() if present}


def detect_target() -> Target:
    """Return the vector registers of the CPU that numba generates code for."""
    triple, features = llvm.get_process_triple(), _cpu_features()
    if triple.startswith(_ARM64):
        return _TARGETS["neon"]
    if not triple.startswith(_X86_64):
        return _TARGETS["fallback"]
    if {"avx512f", "avx512vl", "avx512dq"} <= features:
        return _TARGETS["avx512"]
    return _TARGETS["avx2" if {"avx2", "fma"} <= features else "sse2"]

ISA = detect_target()

IS_X86 = llvm.get_process_triple().startswith(_X86_64)

IS_ARM = llvm.get_process_triple().startswith(_ARM64)

_HEIGHTS = ISA.heights

PACK = ISA.max_rows
"""Features that a packed layout keeps together: the rows of the tallest tile of a weight gradient."""

_VECTOR_BYTES, _MAX_VECTORS = ISA.vector_bytes, ISA.max_vectors


@shared
def lanes(itemsize: int) -> int:
    """How many elements of `itemsize` bytes fit one vector register."""
    return _VECTOR_BYTES // itemsize


@shared
def tile_width(itemsize: int) -> int:
    """Columns of the widest tile, for elements of `itemsize` bytes."""
    return _MAX_VECTORS * lanes(itemsize)


@shared
def row_width(itemsize: int) -> int:
    """Columns of the widest tile of a single row."""
    return ROW_VECTORS * lanes(itemsize)


@shared
def tile_rows(rows: int) -> int:
    """Rows of the tallest tile that is at most `rows` (at least 1) high."""
    for height in _HEIGHTS:
        if height <= rows:
            return height
    return 1
