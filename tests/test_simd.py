"""The micro-kernel: every shape stays inside its arrays, and its machine code is what it is meant to be."""

import re

import numpy as np
import pytest
from llvmlite import ir
from numba import types
from numba.core.registry import CPUDispatcher

from fastnet import simd
from fastnet.simd import tile_intrinsic

from .conftest import COMPILED
from .tolerances import product_bound


def _tile(A, B, C, i, m):
    tile_intrinsic(A, B, C, i, m)


# Compiled also where compilation is switched off for everybody else: then `simd.tile` is the Python twin.
run_tile = CPUDispatcher(_tile, targetoptions={"nopython": True})


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("tile", [run_tile, simd._twin], ids=["compiled", "twin"])
def test_every_tile_shape_writes_its_elements_and_no_other(rng, dtype, transposed, tile):
    for m in simd.ISA.heights:
        for n in range(1, simd.tile_width(np.dtype(dtype).itemsize) + 1):
            K, i, j = 7, 1, 3
            A = rng.standard_normal((m + 2, K)).astype(dtype)
            if transposed:
                A = np.asfortranarray(A)
            around_B = np.full((K + 2, n + 6), np.nan, dtype)  # whatever is read beside B would spoil the result
            B = around_B[1:-1, j:j + n]
            B[...] = rng.standard_normal((K, n))
            around_C = rng.standard_normal((m + 2, n + 6)).astype(dtype)
            before = around_C.copy()
            tile(A, B, around_C[:, j:j + n], i, m)
            inside = np.zeros(around_C.shape, bool)
            inside[i:i + m, j:j + n] = True
            np.testing.assert_array_equal(around_C[~inside], before[~inside])
            A, C = A[i:i + m], before[i:i + m, j:j + n]
            expected = C + A.astype(np.float64) @ B
            assert (np.abs(around_C[i:i + m, j:j + n] - expected) <= product_bound(A, B, C)).all()


def test_an_empty_sum_adds_nothing():
    C = np.arange(6.0).reshape(2, 3)
    run_tile(np.ones((2, 0)), np.ones((0, 3)), C, 0, 1)
    np.testing.assert_array_equal(C, np.arange(6.0).reshape(2, 3))


def test_tile_rows_are_the_tallest_that_fit():
    for rows in range(1, 30):
        fitting = [height for height in simd.ISA.heights if height <= rows]
        assert simd.tile_rows(rows) == max(fitting)


def test_tile_width():
    assert simd.tile_width(4) == simd.lanes(4) * simd.ISA.max_vectors
    assert simd.tile_width(8) == simd.lanes(8) * simd.ISA.max_vectors


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
    monkeypatch.setattr(simd.llvm, "get_process_triple", lambda: triple)
    monkeypatch.setattr(simd.config, "CPU_FEATURES", ",".join(f"+{feature}" for feature in sorted(features)) + ",-x87")
    target = simd.detect_target()
    assert target.name == name
    accumulators = target.max_rows * target.max_vectors
    assert 8 <= accumulators <= target.registers - target.max_vectors - 1
    assert target.heights[-1] == 1


def test_target_asks_the_host_where_no_features_are_set(monkeypatch):
    monkeypatch.setattr(simd.config, "CPU_FEATURES", None)
    monkeypatch.setattr(simd.llvm, "get_process_triple", lambda: "x86_64-unknown-linux-gnu")
    monkeypatch.setattr(simd.llvm, "get_host_cpu_features", lambda: {"avx2": True, "fma": True, "avx512f": False})
    assert simd.detect_target().name == "AVX2"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_machine_code_has_the_widest_registers_and_no_spill(dtype):
    if not simd.ISA.register_name.endswith("mm"):
        pytest.skip(f"the assembly of {simd.ISA.name} is not known to this test")
    a = np.ones((1, 1), dtype)
    run_tile(a, a, a.copy(), 0, 1)
    (assembly,) = (text for signature, text in run_tile.inspect_asm().items()
                   if [(x.layout, str(x.dtype)) for x in signature[:3]] == 3 * [("C", np.dtype(dtype).name)])
    for rows in simd.ISA.heights:
        for vectors in range(1, simd.ISA.max_vectors + 1):
            name = simd.tile_function_name(rows, vectors, a.itemsize)
            code = re.search(rf"^{name}:\n(.*?)^\.Lfunc_end", assembly, re.MULTILINE | re.DOTALL).group(1)
            # Instructions that multiply whole vectors (packed, "ps" or "pd"): the widest registers, and all of them.
            products = re.findall(r"\bv?(?:fmadd\d*|mul)p[sd]\s+(.*)", code)
            assert len(products) >= rows * vectors, name
            assert all(f"%{simd.ISA.register_name}" in operands for operands in products), name
            # A spilled accumulator would be stored to the stack: no vector register ever is.
            assert not re.findall(r"\bv?mov\w+\s+%[xyz]mm\d+,.*\(%r[sb]p", code), name


@pytest.mark.parametrize("isa", simd._TARGETS.values(), ids=simd._TARGETS)
@pytest.mark.parametrize("elem", [ir.FloatType(), ir.DoubleType()], ids=["float32", "float64"])
def test_the_ir_is_valid_for_every_width(isa, elem):
    module = ir.Module()
    vl = isa.vector_bytes // (4 if isinstance(elem, ir.FloatType) else 8)
    shapes = [(rows, vectors) for rows in isa.heights for vectors in range(1, isa.max_vectors + 1)]
    functions = {simd._tile_function(module, elem, *shape, vl) for shape in shapes}
    assert {simd._tile_function(module, elem, *shape, vl) for shape in shapes} == functions  # emitted once
    simd.llvm.parse_assembly(str(module)).verify()


def test_the_tile_in_use():
    assert simd.tile is (simd.tile_intrinsic if COMPILED else simd._twin)


@pytest.mark.parametrize("wrong", [
    types.float64, types.float64[:], types.int64[:, :], types.float32[:, :], types.complex128[:, :]], ids=str)
def test_only_matrices_of_one_floating_dtype_are_typed(wrong):
    right = types.float64[:, :]
    assert simd._tile_typing(None, right, right, right, types.intp, types.intp) is not None
    for arrays in ((wrong, right, right), (right, wrong, right), (wrong, wrong, types.int64[:, :])):
        assert simd._tile_typing(None, *arrays, types.intp, types.intp) is None
