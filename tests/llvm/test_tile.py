"""The micro-kernel: every shape stays inside its arrays, and its machine code is what it is meant to be."""

import re

import numpy as np
import pytest
from llvmlite import ir
from numba import types
from numba.core.registry import CPUDispatcher

from bench import tile_cycles
from fastnet.llvm import target, tile
from fastnet.llvm.tile import row_tile_intrinsic, tile_intrinsic

from ..conftest import COMPILED
from ..tolerances import product_bound


def _tile(A, base, row, term, jump, B, b, start, C, i, m, k0, k1, j, n):
    tile_intrinsic(A, base, row, term, jump, B, b, start, C, i, m, k0, k1, j, n)


def _row_tile(A, base, row, term, jump, B, b, start, C, i, m, k0, k1, j, n):
    row_tile_intrinsic(A, base, row, term, jump, B, b, start, C, i, m, k0, k1, j, n)


def compiled(function):
    return CPUDispatcher(function, targetoptions={"nopython": True})


# Compiled also where compilation is switched off for everybody else: then `simd.tile` is the Python twin.
run_tile, run_row_tile = compiled(_tile), compiled(_row_tile)
both = pytest.mark.parametrize("tile", [run_tile, tile._twin], ids=["compiled", "twin"])


@pytest.mark.parametrize("tile", [run_tile, run_row_tile, tile._twin], ids=["compiled", "row", "twin"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("one_start", [False, True])
@pytest.mark.parametrize("K", [7, 300])  # rows that are far from each other, if not transposed
def test_every_tile_shape_writes_its_elements_and_no_other(rng, dtype, transposed, one_start, K, tile):
    step = np.dtype(dtype).itemsize
    one_row = tile is run_row_tile
    for m in [1] if one_row else target.ISA.heights:
        for n in range(1, (target.row_width(step) if one_row else target.tile_width(step)) + 1):
            i, j, b = 1, 3, 2
            A = rng.standard_normal((m + 2, K)).astype(dtype)
            if transposed:
                A = np.asfortranarray(A)
            around_B = np.full((K + 2, n + 6), np.nan, dtype)  # whatever is read beside B would spoil the result
            around_B[1:-1, b:b + n] = rng.standard_normal((K, n))
            start = rng.standard_normal((1 if one_start else m + 2, n + 6)).astype(dtype)
            C = rng.standard_normal((m + 2, n + 6)).astype(dtype)
            before = C.copy()
            tile(A, i * A.strides[0], *A.strides, 0, around_B[1:-1], b, start, C, i, m, 0, K, j, n)
            inside = np.zeros(C.shape, bool)
            inside[i:i + m, j:j + n] = True
            np.testing.assert_array_equal(C[~inside], before[~inside])
            A, B = A[i:i + m], around_B[1:-1, b:b + n]
            first = start[:, j:j + n] if one_start else start[i:i + m, j:j + n]
            expected = first + A.astype(np.float64) @ B
            assert (np.abs(C[i:i + m, j:j + n] - expected) <= product_bound(A, B, first)).all()


@both
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("K", [1, target.PACK, 3 * target.PACK, 3 * target.PACK + 1])
def test_packed_terms(rng, dtype, K, tile):
    packs, N = -(-K // target.PACK), target.PACK + 4
    packed = rng.standard_normal((packs, N, target.PACK)).astype(dtype)
    A = packed.transpose(1, 0, 2).reshape(N, -1)[:, :K]
    step = packed.itemsize
    jump = (N - 1) * target.PACK * step
    for m in target.ISA.heights:
        for n in (4, target.lanes(step), target.tile_width(step)):
            B, C = rng.standard_normal((K, n)).astype(dtype), np.zeros((m, n), dtype)
            tile(packed, 3 * target.PACK * step, target.PACK * step, step, jump, B, 0, C, C, 0, m, 0, K, 0, n)
            rows = A[3:3 + m]
            assert (np.abs(C - rows.astype(np.float64) @ B) <= product_bound(rows, B)).all()


@both
def test_an_empty_sum_is_its_start(tile):
    C = np.zeros((2, 3))
    tile(np.ones((2, 1)), 0, 8, 8, 0, np.ones((1, 3)), 0, np.array([[1.0, 2, 3]]), C, 0, 2, 1, 1, 0, 3)
    np.testing.assert_array_equal(C, [[1, 2, 3], [1, 2, 3]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["move", "move_line"])
def test_moves(dtype, name):
    intrinsic = getattr(tile, f"{name}_intrinsic")

    def move_compiled(copy, t, source, s):
        intrinsic(copy, t, source, s)

    count = target.PACK if name == "move" else target.tile_width(np.dtype(dtype).itemsize)
    source = np.arange(6.0 * count, dtype=dtype).reshape(3, -1)
    for move in (CPUDispatcher(move_compiled, targetoptions={"nopython": True}), getattr(tile, f"{name}_twin")):
        copy = np.zeros((2, 2 * count), dtype)
        move(copy, count + 1, source, 3)
        flat = np.zeros(copy.size, dtype)
        flat[count + 1:2 * count + 1] = np.arange(3, 3 + count)
        np.testing.assert_array_equal(copy.reshape(-1), flat)


def test_tile_rows_are_the_tallest_that_fit():
    for rows in range(1, 30):
        fitting = [height for height in target.ISA.heights if height <= rows]
        assert target.tile_rows(rows) == max(fitting)


def test_tile_width():
    assert target.tile_width(4) == target.lanes(4) * target.ISA.max_vectors
    assert target.tile_width(8) == target.lanes(8) * target.ISA.max_vectors


@pytest.mark.parametrize(("triple", "features", "name"), [
    ("x86_64-unknown-linux-gnu", {"avx512f", "avx512vl", "avx512dq", "avx2", "fma"}, "AVX-512"),
    ("x86_64-unknown-linux-gnu", {"avx512f", "avx2", "fma"}, "AVX2"),
    ("x86_64-pc-windows-msvc", {"avx2", "fma"}, "AVX2"),
    ("x86_64-unknown-linux-gnu", {"avx2"}, "SSE2"),
    ("x86_64-unknown-linux-gnu", set(), "SSE2"),
    ("arm64-apple-darwin22", {"neon"}, "NEON"),
    ("aarch64-unknown-linux-gnu", set(), "NEON"),
    ("riscv64-unknown-linux-gnu", set(), "128-bit vectors"),
])
def test_target_follows_the_cpu(monkeypatch, triple, features, name):
    monkeypatch.setattr(target.llvm, "get_process_triple", lambda: triple)
    listed = ",".join(f"+{feature}" for feature in sorted(features)) + ",-x87"
    monkeypatch.setattr(target.config, "CPU_FEATURES", listed)
    found = target.detect_target()
    assert found.name == name
    accumulators = found.max_rows * found.max_vectors
    assert 8 <= accumulators <= found.registers - found.max_vectors - 1
    assert found.heights[-1] == 1


def test_target_asks_the_host_where_no_features_are_set(monkeypatch):
    monkeypatch.setattr(target.config, "CPU_FEATURES", None)
    monkeypatch.setattr(target.llvm, "get_process_triple", lambda: "x86_64-unknown-linux-gnu")
    monkeypatch.setattr(target.llvm, "get_host_cpu_features", lambda: {"avx2": True, "fma": True, "avx512f": False})
    assert target.detect_target().name == "AVX2"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_machine_code_has_the_widest_registers_and_no_spill(dtype, monkeypatch):
    if not target.ISA.register_name.endswith("mm"):
        pytest.skip(f"the assembly of {target.ISA.name} is not known to this test")
    monkeypatch.setattr(tile, "_BY_NAME", False)  # the tiles are in the library of their caller then
    a, run = np.ones((1, 1), dtype), [compiled(_tile), compiled(_row_tile)]
    for function in run:
        function(a, 0, 0, 0, 0, a, 0, a, a.copy(), 0, 1, 0, 1, 0, 1)
    assembly = "".join(text for function in run for text in function.inspect_asm().values())
    for rows, vectors in [*target.ISA.shapes, *tile._ROW_SHAPES]:
        name = tile.tile_function_name(rows, vectors, a.itemsize)
        code = re.search(rf"^{name}:\n(.*?)^\.Lfunc_end", assembly, re.MULTILINE | re.DOTALL).group(1)
        # Instructions that multiply whole vectors (packed, "ps" or "pd"): the widest registers, and all of them.
        products = re.findall(r"\bv?(?:fmadd\d*|mul)p[sd]\s+(.*)", code)
        assert len(products) >= rows * vectors, name
        # Half a vector is the last one of a row, in the tallest tiles with AVX-512.
        halves = rows if target.ISA.has_half_vectors and rows == target.PACK else 0
        assert sum(f"%{target.ISA.register_name}" not in operands for operands in products) == halves, name
        # A spilled accumulator would be stored to the stack where products are made: no vector register ever is. The
        # mask of AVX2, which lives in a vector register too, may be, once, before the loop.
        spills = [found.start() for found in re.finditer(r"\bv?mov\w+\s+%[xyz]mm\d+,.*\(%r[sb]p", code)]
        assert len(spills) <= (target.ISA.name == "AVX2"), name
        assert all(at < re.search(r"\bv?(?:fmadd\d*|mul)p[sd]", code).start() for at in spills), name


@pytest.mark.parametrize("isa", target._TARGETS.values(), ids=target._TARGETS)
@pytest.mark.parametrize("elem", [ir.FloatType(), ir.DoubleType()], ids=["float32", "float64"])
def test_the_ir_is_valid_for_every_width(isa, elem):
    module = ir.Module()
    shapes = {*isa.shapes, *tile._ROW_SHAPES}

    def emit():
        return {tile._defined_tile(module, elem, *shape, isa) for shape in shapes}

    assert emit() == emit()  # emitted once
    target.llvm.parse_assembly(str(module)).verify()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_loops_for_arm_are_multiply_adds_by_element(dtype):
    # Machine code for another processor, which is looked at and not run.
    for rows, vectors in [*tile_cycles.NEON.shapes, *tile._ROW_SHAPES]:
        loops = tile_cycles.sum_loops(tile_cycles.assembly((rows, vectors), dtype))
        assert loops
        for loop in loops:
            products = [line for line in loop if line.startswith("fmla")]
            assert len(products) == rows * vectors, loop
            assert all(line.endswith("[0]") for line in products), loop  # else something broadcasts: ld1r, dup
            assert not any(line.startswith(("ld1r", "dup")) or "sp" in line for line in loop), loop  # sp: the stack
            assert [line for line in loop if tile_cycles.is_branch(line)] == loop[-1:], loop  # a mask would branch


def test_the_tile_in_use():
    assert tile.tile is (tile.tile_intrinsic if COMPILED else tile._twin)


@pytest.mark.parametrize("wrong", [
    types.float64, types.float64[:], types.int64[:, :], types.float32[:, :], types.complex128[:, :]], ids=str)
def test_only_matrices_of_one_floating_dtype_are_typed(wrong):
    right, number = types.float64[:, ::1], types.intp

    def typed(A, B, start, C):
        return tile._tile_typing(None, A, *4 * [number], B, number, start, C, *6 * [number])

    assert typed(*4 * [right]) is not None
    for at in range(4):
        arrays = 4 * [right]
        arrays[at] = wrong
        if at or wrong.__class__ is types.Float or wrong.dtype != right.dtype:  # the left factor has any dimensions
            assert typed(*arrays) is None
    assert typed(*4 * [types.int64[:, ::1]]) is None


def test_only_contiguous_arrays_of_one_dtype_are_moved():
    C, A, other = types.float64[::1], types.float64[:], types.float32[::1]
    assert tile.move_intrinsic.__wrapped__(None, C, types.intp, C, types.intp) is not None
    for to, source in ((A, C), (C, A), (C, other), (types.float64, C)):
        assert tile.move_intrinsic.__wrapped__(None, to, types.intp, source, types.intp) is None
