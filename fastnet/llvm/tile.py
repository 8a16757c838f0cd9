"""The micro-kernel: a register tile of a matrix product, in LLVM vector IR.

It offers one operation::

    tile(A, base, row, term, jump, B, b, start, C, i, m, k0, k1, j, n)
        C[i:i+m, j:j+n] = start[i:i+m, j:j+n] + A @ B[k0:k1, b:b+n]

with `m` one of the tile heights (:func:`fastnet.llvm.target.tile_rows`) and n from 1 to
:func:`fastnet.llvm.target.tile_width`. The left factor is described in bytes, so that rows, columns (``A.T``) and
packed layouts cost the same: its first element lies `base` bytes after the array's, one row further is `row` bytes on,
one term of the sum further is `term` bytes on, and after each :data:`PACK` terms another `jump` bytes. The rows of `B`,
`start` and `C` have to be contiguous; a `start` of one row serves for every row, as a bias does. Nothing is checked
here: the caller keeps the indices inside the arrays.

``row_tile`` is the same for m = 1 and n up to :func:`row_width`: where there is one row, more sums at a time hide what
they wait for. It is apart because only inference has a use for it, and each shape takes time to compile.

Behind it stands one function for each shape in rows and vectors, which keeps all its accumulators in registers over the
whole sum. These are compiled once for each dtype (`tile_addresses`) and called by their names. No dimension has to be a
multiple of anything. With AVX-512 and AVX2 the last vector of a row is loaded and stored under a mask; where it is
full, the tallest tiles do without in the sum. With AVX-512, where at most half of it is used, these have half a vector
in its place, whose multiply-adds take half the time on processors with units of half the width (Zen 4: steps of 50 and
100 units take .90 to .97 of their time). Elsewhere a mask is a branch for each element, so the last vector ends where
the row does: it overlaps the one before, and what both have is computed twice, to the same bits. Where the only vector
is not full, each element is loaded by itself, the last of them again and again.

Each element of `C` is one chain of multiply-adds in the order of `k`, begun at `start`, whatever the tile: results do
not depend on how the work was cut.

:func:`move` copies :data:`PACK` elements in a row, `move_line` as many as the widest tile has columns.

The multiply-add is LLVM's ``fmuladd`` on vectors: vfmadd231ps and vfmadd231pd with AVX2 and AVX-512, fmla on Arm, and a
multiplication and an addition where there is only SSE2.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.extending import intrinsic

from ..jit.decorators import task
from ..jit.numba_internals import DISK_CACHE, MISSING, SHARED_CODE, WIDE_VECTORS, cgutils
from ..jit.shared_code import Shared, link, share
from ..tuning import CACHE_LINE, FAR_BYTES, PACKS_AHEAD, ROW_VECTORS
from .arrays import member_of
from .memory import memory_view
from .target import ISA, PACK, Target, lanes, tile_width

__all__ = ["move", "move_line", "row_tile", "tile", "tile_addresses", "tile_function_name"]

_ROW_SHAPES = [(1, vectors) for vectors in range(1, ROW_VECTORS + 1)]


def _declare(module: ir.Module, name: str, result: ir.Type, args: list[ir.Type]) -> ir.Function:
    return cgutils.get_or_insert_function(module, ir.FunctionType(result, args), name)

_BYTE_P = ir.IntType(8).as_pointer()


_FIRST_LEVEL, _SECOND_LEVEL = 3, 2
"""How near a prefetch brings a cache line, as LLVM counts it."""


def _prefetch(builder: ir.IRBuilder, pointer: Any, level: int) -> None:
    """Have the cache line at `pointer` brought into a cache; it need not exist."""
    i32 = ir.IntType(32)
    function = _declare(builder.module, "llvm.prefetch.p0", ir.VoidType(), [_BYTE_P, i32, i32, i32])
    read, near, data = (ir.Constant(i32, value) for value in (0, level, 1))
    builder.call(function, [builder.bitcast(pointer, _BYTE_P), read, near, data])


def _never_unrolled(module: ir.Module) -> Any:
    """Return the mark of a loop that LLVM is not to unroll.

    It would, by two or four turns, and then fetch for all of them at the beginning: for want of registers it stored
    sums on the stack.
    """
    loop = module.add_metadata([["llvm.loop.unroll.disable"]])
    loop.operands = loop, loop.operands[-1]  # such a node begins with itself, which llvmlite has no words for
    return loop


_PREFIX = "fastnet_tile_"


def _group(itemsize: int, isa: Target = ISA) -> str:
    """What the names of all tiles of a dtype have after the prefix."""
    return f"f{8 * itemsize}x{isa.lanes(itemsize)}"


def tile_function_name(rows: int, vectors: int, itemsize: int, isa: Target = ISA) -> str:
    """Return the name that the tile of this shape has in the machine code."""
    return f"{_PREFIX}{_group(itemsize, isa)}_{rows}x{vectors}"


def _itemsize(elem: ir.Type) -> int:
    return 4 if isinstance(elem, ir.FloatType) else 8


def _declared_tile(module: ir.Module, elem: ir.Type, rows: int, vectors: int, isa: Target) -> ir.Function:
    """The function for a shape, declared in a module or, if it is there, defined."""
    index, pointer = ir.IntType(64), elem.as_pointer()
    name = tile_function_name(rows, vectors, _itemsize(elem), isa)
    # Strides are in bytes: those of A need not be multiples of an element (a field of records).
    signature = ir.FunctionType(ir.VoidType(), [pointer, index, index, index, pointer, index, pointer, index, pointer,
                                                index, index, index])
    function = cgutils.get_or_insert_function(module, signature, name)
    function.attributes.add("nounwind")
    return function


def _defined_tile(module: ir.Module, elem: ir.Type, rows: int, vectors: int, isa: Target) -> ir.Function:
    """The function for a shape, with its code, once per module."""
    function = _declared_tile(module, elem, rows, vectors, isa)
    if not function.is_declaration:
        return function
    index, pointer = ir.IntType(64), elem.as_pointer()
    size, pack = _itemsize(elem), isa.max_rows
    vl, suffix = isa.lanes(size), f"f{8 * size}"
    function.attributes.add("noinline")
    a, a_i, a_k, a_jump, b, b_k, s, s_i, c, c_i, depth, last_lanes = function.args

    i32 = ir.IntType(32)
    align = ir.Constant(i32, size)
    builder = ir.IRBuilder(function.append_basic_block("entry"))

    def constant(value: int) -> Any:
        return ir.Constant(index, value)

    def splat(scalar: Any, undef: ir.Type) -> Any:
        order = ir.Constant(ir.VectorType(i32, undef.count), [0] * undef.count)
        single = builder.insert_element(ir.Constant(undef, ir.Undefined), scalar, ir.Constant(i32, 0))
        return builder.shuffle_vector(single, ir.Constant(undef, ir.Undefined), order)

    def intrinsic_of(kind: ir.VectorType, name: str, result: ir.Type, args: list[ir.Type]) -> ir.Function:
        return _declare(module, f"llvm.{name.replace('*', f'v{kind.count}{suffix}')}", result, args)

    vector, half = ir.VectorType(elem, vl), ir.VectorType(elem, vl // 2)
    overlaps = vectors > 1 and not isa.has_masks  # the last vector, with the one before it
    starts = [constant(v * vl) for v in range(vectors)]
    if overlaps:
        starts[-1] = builder.add(last_lanes, constant((vectors - 2) * vl))
    elif not isa.has_masks:
        last = builder.sub(last_lanes, constant(1))
        columns = [builder.select(builder.icmp_signed("<", constant(lane), last), constant(lane), last)
                   for lane in range(vl)]

    def advance(base: Any, offset: Any) -> Any:
        return builder.bitcast(builder.gep(builder.bitcast(base, _BYTE_P), [offset]), pointer)

    def times(stride: Any, r: int) -> Any:
        return builder.mul(stride, constant(r))

    def multiples(stride: Any) -> list[Any]:
        """0 to rows - 1 times the stride, as an address takes them: a register, or twice, four or eight times one.

        The odd ones go through an empty piece of assembly. Else the optimizer would see how they hang together, and
        add up the addresses of the rows one from the other in each turn of the loop: a tenth of its time.
        """
        same = ir.FunctionType(index, [index])
        odd = {r: builder.asm(same, "", "=r,0", [times(stride, r)], False) for r in range(1, rows, 2)}
        shifts = [(r & -r).bit_length() - 1 for r in range(1, rows)]
        return [constant(0)] + [builder.shl(odd[r >> shift], constant(shift)) if shift else odd[r]
                                for r, shift in enumerate(shifts, start=1)]

    row_offsets = multiples(a_i)

    def emit(last: ir.VectorType, may_be_full: bool) -> None:
        """Emit a whole tile, from here to its end, whose last vectors are of the type `last`.

        If these `may_be_full`, there is a sum of their own for it.
        """
        kinds = [*(vectors - 1) * [vector], last]
        fmas = [intrinsic_of(kind, "fmuladd.*", kind, [kind, kind, kind]) for kind in kinds]
        lane_type, last_p = ir.VectorType(i32, last.count), last.as_pointer()
        zero = ir.Constant(last, [0.0] * last.count)
        mask = builder.icmp_unsigned("<", ir.Constant(lane_type, list(range(last.count))),
                                     splat(builder.trunc(last_lanes, i32), lane_type))
        masked_load = intrinsic_of(last, "masked.load.*.p0", last, [last_p, i32, mask.type, last])
        masked_store = intrinsic_of(last, "masked.store.*.p0", ir.VoidType(), [last, last_p, i32, mask.type])

        def vector_at(base: Any, v: int) -> Any:
            return builder.bitcast(builder.gep(base, [starts[v]]), kinds[v].as_pointer())

        def load_full(base: Any, v: int) -> Any:
            return builder.load(vector_at(base, v), align=align.constant)

        def load_masked(base: Any, v: int) -> Any:
            if v < vectors - 1:
                return load_full(base, v)
            return builder.call(masked_load, [vector_at(base, v), align, mask, zero])

        def load_each(base: Any, v: int) -> Any:
            """The only vector, one element after the other; instead of those beyond the last, the last."""
            loaded = ir.Constant(vector, ir.Undefined)
            for lane, column in enumerate(columns):
                element = builder.load(builder.gep(base, [column]), align=align.constant)
                loaded = builder.insert_element(loaded, element, ir.Constant(i32, lane))
            return loaded

        load_part = load_full if overlaps else load_masked if isa.has_masks else load_each
        entry = builder.block
        some, store = (function.append_basic_block(part) for part in ("some", "store"))
        first = [[load_part(advance(s, times(s_i, r)), v) for v in range(vectors)] for r in range(rows)]
        results: list[tuple[Any, Any]] = [(first, entry)]
        builder.cbranch(builder.icmp_signed(">", depth, constant(0)), some, store)

        # Terms are added in runs, between which A jumps, or what is ahead is fetched.
        builder.position_at_end(some)
        jumps = builder.icmp_signed("!=", a_jump, constant(0))
        far = builder.and_(builder.icmp_signed(">=", a_i, constant(FAR_BYTES)), builder.not_(jumps))
        longest = builder.select(jumps, constant(pack), builder.select(far, constant(CACHE_LINE // size), depth))

        def sum_up(load: Callable[[Any, int], Any]) -> Any:
            """Emit the sum over all terms, with vectors of B as `load` has them; return the block it begins with."""
            runs, terms, run_end = (function.append_basic_block(part) for part in ("runs", "terms", "run_end"))

            def carried(block: Any, counter: ir.Type) -> Any:
                builder.position_at_end(block)
                return [builder.phi(kind) for kind in (counter, pointer, pointer, *rows * kinds)]

            def flow(phis: Any, origin: Any, values: Any) -> None:
                for phi, value in zip(phis, values, strict=True):
                    phi.add_incoming(value, origin)

            left, *outer = carried(runs, index)
            trips = builder.select(builder.icmp_signed("<", left, longest), left, longest)
            builder.branch(terms)

            trip, *inner = carried(terms, index)
            a_here, b_here, *sums = inner
            b_vectors = [load(b_here, v) for v in range(vectors)]
            new = []
            for r in range(rows):
                element = builder.load(advance(a_here, row_offsets[r]), align=1)
                if isa.multiplies_by_element:
                    # Hidden by empty assembly. Else the optimizer would load some of them into whole vectors, by an
                    # instruction that multiplies nothing and takes as long as one that does.
                    element = builder.asm(ir.FunctionType(elem, [elem]), "", "=w,0", [element], False)
                new += [builder.call(fmas[v], [splat(element, kinds[v]), b_vectors[v], sums[r * vectors + v]])
                        for v in range(vectors)]
            a_next, b_next, fewer = advance(a_here, a_k), advance(b_here, b_k), builder.sub(trip, constant(1))
            again = builder.cbranch(builder.icmp_unsigned("!=", fewer, constant(0)), terms, run_end)
            again.set_metadata("llvm.loop", _never_unrolled(builder.module))
            flow([trip, *inner], runs, [trips, *outer])
            flow([trip, *inner], terms, [fewer, a_next, b_next, *new])

            builder.position_at_end(run_end)
            with builder.if_then(far):
                for r in range(rows):
                    _prefetch(builder, advance(a_next, times(a_i, rows + r)), _SECOND_LEVEL)
            with builder.if_then(jumps):
                # Packs lie pages apart, where no hardware looks ahead; the pack after the next is there in time.
                ahead = advance(a_next, builder.add(builder.mul(a_jump, constant(PACKS_AHEAD + 1)),
                                                    builder.mul(a_k, constant(PACKS_AHEAD * pack))))
                for r in range(0, rows, max(CACHE_LINE // (pack * size), 1)):
                    _prefetch(builder, advance(ahead, times(a_i, r)), _FIRST_LEVEL)
            left_next = builder.sub(left, trips)
            a_jumped = advance(a_next, a_jump)
            builder.cbranch(builder.icmp_signed(">", left_next, constant(0)), runs, store)
            flow([left, *outer], some, [depth, a, b, *(vector for row in first for vector in row)])
            flow([left, *outer], builder.block, [left_next, a_jumped, b_next, *new])
            results.append(([new[r * vectors:(r + 1) * vectors] for r in range(rows)], builder.block))
            return runs

        part = sum_up(load_part)
        if may_be_full:
            full = sum_up(load_full)
            builder.position_at_end(some)
            builder.cbranch(builder.icmp_signed("==", last_lanes, constant(last.count)), full, part)
        else:
            builder.position_at_end(some)
            builder.branch(part)

        builder.position_at_end(store)
        sums = [[builder.phi(kind) for kind in kinds] for _ in range(rows)]
        for r in range(rows):
            c_row = advance(c, times(c_i, r))
            for v in range(vectors):
                for result, origin in results:
                    sums[r][v].add_incoming(result[r][v], origin)
                if v == vectors - 1 and not overlaps:
                    builder.call(masked_store, [sums[r][v], vector_at(c_row, v), align, mask])
                else:
                    builder.store(sums[r][v], vector_at(c_row, v), align=align.constant)
        builder.ret_void()

    if rows == pack and isa.has_half_vectors:
        whole, narrow = (function.append_basic_block(part) for part in ("whole", "narrow"))
        builder.cbranch(builder.icmp_signed("<=", last_lanes, constant(half.count)), narrow, whole)
        builder.position_at_end(narrow)
        emit(half, may_be_full=False)
        builder.position_at_end(whole)
    # A mask costs an operation in each turn: the tallest tiles, where the time goes, can do without. Elements that are
    # loaded one after the other cost more, in tiles of any height.
    emit(vector, may_be_full=rows == pack if isa.has_masks else not overlaps)
    return function


def _address(builder: Any, array: tuple[Any, Any], offset: Any) -> Any:
    """The data pointer of an array, which is a type and a value, `offset` bytes on."""
    data = member_of(builder, *array, "data")
    return builder.inttoptr(builder.add(builder.ptrtoint(data, offset.type), offset), data.type)


def _tile_typing(typingctx: Any, A: Any, base: Any, row: Any, term: Any, jump: Any, B: Any, b: Any, start: Any,
                 C: Any, i: Any, m: Any, k0: Any, k1: Any, j: Any, n: Any) -> Any:
    """Type and emit `tile`."""
    return _typed(A, B, start, C, ISA.shapes)


def _row_tile_typing(typingctx: Any, A: Any, base: Any, row: Any, term: Any, jump: Any, B: Any, b: Any, start: Any,
                     C: Any, i: Any, m: Any, k0: Any, k1: Any, j: Any, n: Any) -> Any:
    """Type and emit `row_tile`."""
    return _typed(A, B, start, C, _ROW_SHAPES)


def _typed(A: Any, B: Any, start: Any, C: Any, shapes: list[tuple[int, int]]) -> Any:
    """A call of the function for the shape (m, n), which is one of `shapes`."""
    if not all(isinstance(x, types.Array) for x in (A, B, start, C)) or len({x.dtype for x in (A, B, start, C)}) > 1:
        return None
    if not all(x.ndim == 2 for x in (B, start, C)) or C.dtype not in (types.float32, types.float64):
        return None
    vl = lanes(C.dtype.bitwidth // 8)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        a, b, s, c = ((signature.args[at], args[at]) for at in (0, 5, 7, 8))
        base, row, term, jump = args[1:5]
        i, m, k0, k1, j, n = args[9:]
        index = i.type

        def constant(value: int) -> Any:
            return ir.Constant(index, value)

        b_k, s_i, c_i = (builder.extract_value(member_of(builder, *array, "strides"), 0) for array in (b, s, c))
        start_rows = builder.extract_value(member_of(builder, *s, "shape"), 0)
        s_i = builder.select(builder.icmp_signed("==", start_rows, constant(1)), constant(0), s_i)

        def corner(array: Any, line: Any, stride: Any, column: Any) -> Any:
            bytes_ = builder.mul(column, constant(C.dtype.bitwidth // 8))
            return _address(builder, array, builder.add(builder.mul(line, stride), bytes_))

        operands = [_address(builder, a, base), row, term, jump, corner(b, k0, b_k, args[6]), b_k,
                    corner(s, i, s_i, j), s_i, corner(c, i, c_i, j), c_i, builder.sub(k1, k0)]
        vectors = builder.udiv(builder.add(n, constant(vl - 1)), constant(vl))
        key = builder.add(builder.mul(m, constant(ROW_VECTORS + 1)), vectors)
        done = builder.append_basic_block("tile.done")
        switch = builder.switch(key, done)
        if _BY_NAME:
            link(_PREFIX, _group(C.dtype.bitwidth // 8))
        for rows, v in shapes:
            shape = builder.module, context.get_data_type(C.dtype), rows, v, ISA
            if _BY_NAME:
                function = _declared_tile(*shape)
            else:
                function = _defined_tile(*shape)
                function.linkage = "linkonce_odr"  # other modules that this one is linked with have it, too
            block = builder.append_basic_block(f"tile.{rows}x{v}")
            switch.add_case(constant(rows * (ROW_VECTORS + 1) + v), block)
            builder.position_at_end(block)
            builder.call(function, [*operands, builder.sub(n, constant((v - 1) * vl))])
            builder.branch(done)
        builder.position_at_end(done)
        return context.get_dummy_value()

    return types.void(A, *4 * [types.intp], B, types.intp, start, C, *6 * [types.intp]), codegen


def _twin(A: Any, base: int, row: int, term: int, jump: int, B: Any, b: int, start: Any, C: Any, i: int, m: int,
          k0: int, k1: int, j: int, n: int) -> None:
    """The tile in plain Python, for runs in which compilation is switched off."""
    K = k1 - k0
    ends = [*range(PACK, K, PACK), K] if K else []
    left = [memory_view(A, base + pack * (PACK * term + jump), (m, end - pack * PACK), (row, term))
            for pack, end in enumerate(ends)]
    first = start[i:i + m, j:j + n] if start.shape[0] > 1 else start[:, j:j + n]
    with np.errstate(all="ignore"):  # as compiled code, which gives NaN and inf without a word
        C[i:i + m, j:j + n] = first + (np.hstack(left) @ B[k0:k1, b:b + n] if left else 0)


_SHAPES = [*ISA.shapes, *(shape for shape in _ROW_SHAPES if shape not in ISA.shapes)]


def _addresses_typing(typingctx: Any, like: Any) -> Any:
    """Type and emit the tiles of a dtype; the result is where each of `_SHAPES` is."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        elem = context.get_data_type(like.dtype)
        functions = [_defined_tile(builder.module, elem, *shape, ISA) for shape in _SHAPES]
        return cgutils.pack_array(builder, [builder.ptrtoint(function, ir.IntType(64)) for function in functions])

    return types.UniTuple(types.intp, len(_SHAPES))(like), codegen


_addresses = intrinsic(_addresses_typing)


@task
def tile_addresses(like: Any) -> tuple[int, ...]:
    """Return the address of each tile of the dtype of an array, in the order of `_SHAPES`; they stay there."""
    return _addresses(like)


_DTYPES = {_group(itemsize): np.dtype(f"f{itemsize}") for itemsize in (4, 8)}


def _tiles_at(group: str) -> list[tuple[str, int]]:
    """The names and addresses of the tiles of a dtype."""
    dtype = _DTYPES[group]
    return [(tile_function_name(*shape, dtype.itemsize), address)
            for shape, address in zip(_SHAPES, tile_addresses(np.empty(0, dtype)), strict=True)]


@functools.cache
def _tiles_in_ir(group: str) -> str:
    """The tiles of a dtype as a module of their own, for a library that is to have them itself."""
    module, itemsize = ir.Module(), _DTYPES[group].itemsize
    elem = ir.FloatType() if itemsize == 4 else ir.DoubleType()
    for shape in _SHAPES:
        _defined_tile(module, elem, *shape, ISA).linkage = "linkonce_odr"
    return str(module)


share(_PREFIX, Shared(_tiles_at, _tiles_in_ir))

_BY_NAME = not {DISK_CACHE, SHARED_CODE, WIDE_VECTORS} & {*MISSING} and not config.DISABLE_JIT
"""Whether tiles are called by their names. numba's own cache does not say what it is going to load: then each library
has tiles of its own."""


def _mover(name: str, doc: str, count: Callable[[int], int]) -> tuple[Any, Callable[..., None]]:
    """An intrinsic that moves `count` (of the size of an element) elements, and its twin in plain Python."""

    def typing(typingctx: Any, target: Any, t: Any, source: Any, s: Any) -> Any:
        arrays = target, source
        if not all(isinstance(x, types.Array) and x.layout == "C" for x in arrays) or target.dtype != source.dtype:
            return None

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            align = target.dtype.bitwidth // 8
            vector_p = ir.VectorType(context.get_data_type(target.dtype), count(align)).as_pointer()
            t, s = args[1], args[3]
            pointers = []
            for at, offset in ((0, t), (2, s)):
                data = member_of(builder, signature.args[at], args[at], "data")
                pointers.append(builder.bitcast(builder.gep(data, [offset]), vector_p))
            builder.store(builder.load(pointers[1], align=align), pointers[0], align=align)
            return context.get_dummy_value()

        return types.void(target, types.intp, source, types.intp), codegen

    def twin(target: Any, t: int, source: Any, s: int) -> None:
        elements = count(target.itemsize)
        target.reshape(-1)[t:t + elements] = source.reshape(-1)[s:s + elements]

    typing.__name__, typing.__qualname__, typing.__doc__ = name, name, doc
    return intrinsic(typing), twin

_tile_typing.__name__ = _tile_typing.__qualname__ = "tile"
tile_intrinsic = intrinsic(_tile_typing)
tile: Callable[..., None] = _twin if config.DISABLE_JIT else tile_intrinsic
_row_tile_typing.__name__ = _row_tile_typing.__qualname__ = "row_tile"
row_tile_intrinsic = intrinsic(_row_tile_typing)
row_tile: Callable[..., None] = _twin if config.DISABLE_JIT else row_tile_intrinsic
move_intrinsic, move_twin = _mover("move", "Type and emit `move`: one vector load and one store.", lambda _: PACK)
move: Callable[..., None] = move_twin if config.DISABLE_JIT else move_intrinsic
move_line_intrinsic, move_line_twin = _mover("move_line", "Type and emit `move_line`: as many vectors as a tile has.",
                                             tile_width)
move_line: Callable[..., None] = move_line_twin if config.DISABLE_JIT else move_line_intrinsic
