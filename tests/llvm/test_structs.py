"""Structs of arrays and numbers as one argument of compiled code."""

from typing import Any, NamedTuple

import numba
import numpy as np
import pytest

from fastnet.llvm.memory import address_of
from fastnet.llvm.structs import in_table, reader, set_arrays, table


class Inner(NamedTuple):
    flag: bool
    vector: Any
    none: Any


class Outer(NamedTuple):
    number: int
    inner: Inner
    matrix: Any
    given: Any


def example(witness, dtype):
    return Outer(0, Inner(False, np.empty(0, dtype), None), np.empty((0, 0), np.bool_), witness)


read = reader(example, "read")


def outer(dtype, given):
    return Outer(-7, Inner(True, np.arange(5, dtype=dtype), None), np.array([[True, False, True]]), given)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("given", [3, None, (np.arange(3.0), False)])
def test_compiled_code_reads_what_was_put_in(dtype, given):
    @numba.njit
    def look(numbers, witness, like):
        number, inner, matrix, _ = read(numbers, witness, like)
        inner.vector[1] = 10
        return number, inner.flag, inner.vector.sum(), inner.vector.shape[0], matrix[0, 0], matrix[0, 1], matrix.shape

    struct = outer(dtype, given)
    assert look(table(*struct), given, np.empty(0, dtype)) == (-7, True, 19, 5, True, False, (1, 3))
    assert struct.inner.vector[1] == 10


def test_a_part_of_the_type_is_the_callers():
    @numba.njit
    def look(numbers, witness, like):
        _, _, _, found = read(numbers, witness, like)
        values, flag = found
        return values[2], flag

    struct = outer(np.float64, (np.arange(3.0), True))
    assert look(table(*struct), (np.empty(0), False), np.empty(0)) == (2.0, True)


class Kept(NamedTuple):
    matrix: Any
    vector: Any
    outer: Outer
    last: int


class Whole(NamedTuple):
    first: Kept
    second: Kept
    tail: int


def kept_example(witness, dtype):
    kept = in_table(Kept(np.empty((0, 0), dtype), np.empty(0, np.intp), in_table(example(witness, dtype)), 0))
    return Whole(kept, kept, 0)


read_kept = reader(kept_example, "read_kept")


@numba.njit
def fields_of(kept):
    kept.matrix[0, 1] += 1
    return kept.matrix.sum(), kept.vector[-1], kept.outer.number, kept.outer.inner.vector.shape[0], kept.last


@numba.njit
def look_at_kept(numbers, witness, like):
    first, second, tail = read_kept(numbers, witness, like)
    chosen = second if tail > 3 else first  # of one type, wherever they lie
    return fields_of(first), fields_of(second), chosen.last, tail


def kept(dtype, start):
    return Kept(np.full((2, 3), start, dtype), np.arange(start + 1), outer(dtype, None), -start)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_structs_that_stay_in_a_table_are_handed_to_other_functions(dtype):
    structs = Whole(kept(dtype, 1), kept(dtype, 2), 7)
    for round_ in (1, 2):  # each adds to an element
        found = look_at_kept(table(*structs), None, np.empty(0, dtype))
        assert found == ((6 + round_, 1, -7, 5, -1), (12 + round_, 2, -7, 5, -2), -2, 7)
    assert structs.first.matrix[0, 1] == 3


def test_the_first_arrays_of_a_table_can_be_others():
    structs = Whole(kept(np.float64, 1), kept(np.float64, 2), 0)
    whole, others = table(*structs), (np.full((2, 3), 5.0), np.array([8, 9]))
    whole = set_arrays(whole, *others)
    assert look_at_kept(whole, None, np.empty(0)) == ((31, 9, -7, 5, -1), (13, 2, -7, 5, -2), -1, 0)
    assert others[0][0, 1] == 6
    assert structs.first.matrix[0, 1] == 1


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="there is no table without compilation")
def test_what_a_table_refuses():
    with pytest.raises(ValueError, match="C-contiguous"):
        set_arrays(table(*Whole(kept(np.float64, 1), kept(np.float64, 2), 0)), np.zeros((3, 2)).T)

    @numba.njit
    def unknown(numbers, witness, like):
        return read_kept(numbers, witness, like)[0].nothing

    with pytest.raises(numba.TypingError, match="nothing"):
        unknown(table(*Whole(kept(np.float64, 1), kept(np.float64, 2), 0)), None, np.empty(0))


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="there is no table without compilation")
@pytest.mark.parametrize("array", [np.zeros((4, 6))[:, ::2], np.zeros((4, 6), order="F")])
def test_arrays_have_to_be_contiguous(array):
    with pytest.raises(ValueError, match="C-contiguous"):
        table(1, array)


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="there is no table without compilation")
@pytest.mark.parametrize("part", [1.5, "text", np.float64(2)])
def test_what_is_no_integer_is_refused(part):
    with pytest.raises(TypeError):
        table(1, (True, part))


@pytest.mark.parametrize("array", [
    np.arange(12.0), np.arange(12.0)[5:], np.zeros((3, 4), np.float32).T, np.zeros(0), np.zeros((), np.int8),
    np.zeros((2, 3)).view(np.matrix), np.frombuffer(b"12345678", np.uint8)])
def test_the_address_of_an_array(array):
    assert address_of(array) == array.ctypes.data
