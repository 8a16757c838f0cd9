"""The micro-kernel: a register tile of a matrix product, in LLVM vector IR.

This is the only file that speaks LLVM. It offers one operation::

    tile(A, B, C, i, m)      C[i:i+m] += A[i:i+m] @ B

with A (N, K), B (K, n), C (N, n), `m` one of the tile heights (:func:`tile_rows`) and n from 1 to :func:`tile_width`.
Behind it stands one function for each shape in rows and vectors, which keeps all its accumulators in registers over the
whole sum. The last vector of a row is loaded and stored under a mask, so no dimension has to be a multiple of anything.
`A` may have any strides, so that ``A.T`` costs nothing; the rows of `B` and `C` have to be contiguous. Nothing is
checked here: whoever calls keeps the indices inside the arrays.

Each element of `C` is one chain of multiply-adds in the order of `k`, whatever the tile: results do not depend on how
the work was cut.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils, config
from numba.extending import intrinsic

from .compiling import block

__all__ = ["ISA", "Target", "detect_target", "lanes", "tile", "tile_function_name", "tile_rows", "tile_width"]


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
    """Rows of the largest tile."""
    max_vectors: int
    """Vectors in each row of the largest tile."""

    @property
    def heights(self) -> tuple[int, ...]:
        """The rows that a tile may have, falling: the largest, then powers of two for what is left over."""
        return (self.max_rows, *(rows for rows in (4, 2, 1) if rows < self.max_rows))


# Accumulators (rows x vectors), one row of B, a broadcast and where needed a mask have to fit the registers; at least
# eight accumulators hide the latency of a multiply-add.
_TARGETS = {
    "avx512": Target("AVX-512", 64, 32, "zmm", 8, 3),
    "avx2": Target("AVX2", 32, 16, "ymm", 6, 2),
    "sse2": Target("SSE2", 16, 16, "xmm", 4, 2),
    "neon": Target("NEON", 16, 32, "v", 8, 3),
    "fallback": Target("128-bit vectors", 16, 16, "", 4, 2),
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
    if triple.startswith(("aarch64", "arm64")):
        return _TARGETS["neon"]
    if not triple.startswith(("x86_64", "amd64")):
        return _TARGETS["fallback"]
    if {"avx512f", "avx512vl", "avx512dq"} <= features:
        return _TARGETS["avx512"]
    return _TARGETS["avx2" if {"avx2", "fma"} <= features else "sse2"]


ISA = detect_target()
_HEIGHTS = ISA.heights


def lanes(itemsize: int) -> int:
    """Return how many elements of `itemsize` bytes fit one vector register."""
    return ISA.vector_bytes // itemsize


_TILE_BYTES = ISA.vector_bytes * ISA.max_vectors


@block
def tile_width(itemsize):
    """Columns of the widest tile, for elements of `itemsize` bytes."""
    return _TILE_BYTES // itemsize


@block
def tile_rows(rows):
    """Rows of the tallest tile that is at most `rows` (at least 1) high."""
    for height in _HEIGHTS:
        if height <= rows:
            return height
    return 1


def _declare(module: ir.Module, name: str, result: ir.Type, args: list[ir.Type]) -> ir.Function:
    return cgutils.get_or_insert_function(module, ir.FunctionType(result, args), name)


def tile_function_name(rows: int, vectors: int, itemsize: int) -> str:
    """Return the name that the tile of this shape has in the machine code."""
    return f"fastnet_tile_{rows}x{vectors}_f{8 * itemsize}x{lanes(itemsize)}"


def _tile_function(module: ir.Module, elem: ir.Type, rows: int, vectors: int, vl: int) -> ir.Function:
    """Emit the tile as a function of its own, once per module: its code exists once, however often it is used."""
    index = ir.IntType(64)
    pointer = elem.as_pointer()
    suffix = "f32" if isinstance(elem, ir.FloatType) else "f64"
    name = tile_function_name(rows, vectors, ISA.vector_bytes // vl)
    # Strides are in bytes: those of A need not be multiples of an element (a field of records).
    #                             A        i stride k stride  B     ldb    C     ldc     K     lanes of the last vector
    signature = ir.FunctionType(ir.VoidType(), [pointer, index, index, pointer, index, pointer, index, index, index])
    function = cgutils.get_or_insert_function(module, signature, name)
    if not function.is_declaration:
        return function
    function.linkage = "linkonce_odr"
    function.attributes.add("noinline")
    function.attributes.add("nounwind")
    a, a_i, a_k, b, b_k, c, c_i, depth, last_lanes = function.args

    vector = ir.VectorType(elem, vl)
    vector_p = vector.as_pointer()
    mask_type = ir.VectorType(ir.IntType(1), vl)
    lane_type = ir.VectorType(ir.IntType(32), vl)
    i32 = ir.IntType(32)
    align = ir.Constant(i32, 4 if suffix == "f32" else 8)
    fma = _declare(module, f"llvm.fmuladd.v{vl}{suffix}", vector, [vector, vector, vector])
    masked_load = _declare(
        module, f"llvm.masked.load.v{vl}{suffix}.p0", vector, [vector_p, i32, mask_type, vector])
    masked_store = _declare(
        module, f"llvm.masked.store.v{vl}{suffix}.p0", ir.VoidType(), [vector, vector_p, i32, mask_type])

    entry = function.append_basic_block("entry")
    loop = function.append_basic_block("loop")
    store = function.append_basic_block("store")
    builder = ir.IRBuilder(entry)
    splat_index = ir.Constant(lane_type, [0] * vl)

    def splat(scalar: Any, undef: ir.Type, order: Any) -> Any:
        single = builder.insert_element(ir.Constant(undef, ir.Undefined), scalar, ir.Constant(i32, 0))
        return builder.shuffle_vector(single, ir.Constant(undef, ir.Undefined), order)

    mask = builder.icmp_unsigned(
        "<", ir.Constant(lane_type, list(range(vl))), splat(builder.trunc(last_lanes, i32), lane_type, splat_index))
    zero = ir.Constant(vector, [0.0] * vl)

    def vector_at(base: Any, v: int) -> Any:
        return builder.bitcast(builder.gep(base, [ir.Constant(index, v * vl)]), vector_p)

    def load(base: Any, v: int) -> Any:
        if v == vectors - 1:
            return builder.call(masked_load, [vector_at(base, v), align, mask, zero])
        return builder.load(vector_at(base, v), align=align.constant)

    def step(base: Any, offset: Any) -> Any:
        bytes_ = builder.bitcast(base, ir.IntType(8).as_pointer())
        return builder.bitcast(builder.gep(bytes_, [offset]), pointer)

    row_offsets = [builder.mul(a_i, ir.Constant(index, r)) for r in range(rows)]
    done = function.append_basic_block("done")
    builder.cbranch(builder.icmp_signed(">", depth, ir.Constant(index, 0)), loop, done)

    builder.position_at_end(loop)
    k = builder.phi(index)
    a_here = builder.phi(pointer)
    b_here = builder.phi(pointer)
    sums = [[builder.phi(vector) for _ in range(vectors)] for _ in range(rows)]
    b_vectors = [load(b_here, v) for v in range(vectors)]
    new = []
    for r in range(rows):
        scalar = builder.load(step(a_here, row_offsets[r]), align=1)
        wide = splat(scalar, vector, splat_index)
        new.append([builder.call(fma, [wide, b_vectors[v], sums[r][v]]) for v in range(vectors)])
    k_next = builder.add(k, ir.Constant(index, 1))
    a_next = step(a_here, a_k)
    b_next = step(b_here, b_k)
    builder.cbranch(builder.icmp_signed("<", k_next, depth), loop, store)
    for phi, first, following in [(k, ir.Constant(index, 0), k_next), (a_here, a, a_next), (b_here, b, b_next)]:
        phi.add_incoming(first, entry)
        phi.add_incoming(following, loop)

    for r in range(rows):
        for v in range(vectors):
            sums[r][v].add_incoming(zero, entry)
            sums[r][v].add_incoming(new[r][v], loop)

    builder.position_at_end(store)
    for r in range(rows):
        c_row = step(c, builder.mul(c_i, ir.Constant(index, r)))
        for v in range(vectors):
            result = builder.fadd(load(c_row, v), new[r][v])
            if v == vectors - 1:
                builder.call(masked_store, [result, vector_at(c_row, v), align, mask])
            else:
                builder.store(result, vector_at(c_row, v), align=align.constant)
    builder.branch(done)
    builder.position_at_end(done)
    builder.ret_void()
    return function


def _tile_typing(typingctx: Any, A: Any, B: Any, C: Any, i: Any, m: Any) -> Any:
    """Type and emit `tile`: pick the function for the shape (m, n) and call it."""
    arrays = (A, B, C)
    if not all(isinstance(x, types.Array) and x.ndim == 2 and x.dtype == C.dtype for x in arrays):
        return None
    if C.dtype not in (types.float32, types.float64):
        return None
    vl = lanes(C.dtype.bitwidth // 8)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        a, b, c = (context.make_array(t)(context, builder, value=x) for t, x in zip(arrays, args[:3], strict=True))
        i, m = args[3:]
        index = i.type

        def row(array: Any, stride: Any) -> Any:
            start = builder.ptrtoint(array.data, index)
            return builder.inttoptr(builder.add(start, builder.mul(i, stride)), array.data.type)

        (a_i, a_k), (b_k, _), (c_i, _) = (cgutils.unpack_tuple(builder, array.strides) for array in (a, b, c))
        depth, n = cgutils.unpack_tuple(builder, b.shape)
        operands = [row(a, a_i), a_i, a_k, b.data, b_k, row(c, c_i), c_i, depth]
        vectors = builder.udiv(builder.add(n, ir.Constant(index, vl - 1)), ir.Constant(index, vl))
        key = builder.add(builder.mul(m, ir.Constant(index, ISA.max_vectors + 1)), vectors)
        done = builder.append_basic_block("tile.done")
        switch = builder.switch(key, done)
        for rows in ISA.heights:
            for v in range(1, ISA.max_vectors + 1):
                function = _tile_function(builder.module, context.get_data_type(C.dtype), rows, v, vl)
                block = builder.append_basic_block(f"tile.{rows}x{v}")
                switch.add_case(ir.Constant(index, rows * (ISA.max_vectors + 1) + v), block)
                builder.position_at_end(block)
                builder.call(function, [*operands, builder.sub(n, ir.Constant(index, (v - 1) * vl))])
                builder.branch(done)
        builder.position_at_end(done)
        return context.get_dummy_value()

    return types.void(A, B, C, types.intp, types.intp), codegen


def _twin(A: Any, B: Any, C: Any, i: int, m: int) -> None:
    """The tile in plain Python, for runs in which compilation is switched off."""
    C[i:i + m] += A[i:i + m] @ B


_tile_typing.__name__ = _tile_typing.__qualname__ = "tile"
tile_intrinsic = intrinsic(_tile_typing)
tile: Callable[..., None] = _twin if config.DISABLE_JIT else tile_intrinsic
