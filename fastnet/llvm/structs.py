"""Many arrays and numbers as one argument of compiled code: a table of addresses, shapes and integers.

For each argument of a compiled function numba looks at the type and takes the object apart, some hundred nanoseconds
for each array in it: what a training step works on would cost twenty microseconds a call. So it goes into a table, an
array of integers, and compiled code reads structs from it. Nothing in a table says what it means: who makes it and who
reads it agree on the type of the structs. Nothing keeps the arrays alive but who made the table.

A struct that is read is a tuple, for which numba has names, or it stays *in the table* (`in_table`): then compiled code
has its address, and reads a field where it is asked for. A tuple is handed to another function number by number, three
hundred of them for a training step, so that compiling the call takes long and LLVM has to make the function a part of
its caller, once for each call.
"""

from __future__ import annotations

import hashlib
import itertools
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, typeof, types
from numba.extending import infer_getattr, lower_getattr_generic, models, register_model
from numpy.typing import NDArray

from ..jit.decorators import operation
from ..jit.numba_internals import AttributeTemplate, cgutils
from .arrays import member_of, view
from .memory import address_of

__all__ = ["Table", "in_table", "reader", "set_arrays", "table"]

Table = Any
"""What `table` returns: an int64 array, or without compilation the structs themselves."""


def _add_numbers(numbers: list[int], struct: tuple[Any, ...]) -> None:
    """Add what a table has of a struct, in order: a number, an array's address and shape; None is nothing."""
    for field in struct:
        if isinstance(field, np.ndarray):
            if not field.flags.c_contiguous:
                raise ValueError(f"arrays in a table must be C-contiguous, got strides {field.strides}")
            numbers += address_of(field), *field.shape
        elif isinstance(field, tuple):
            _add_numbers(numbers, field)
        elif field is not None:
            numbers.append(operator.index(field))


def table(*structs: Any) -> Table:
    """Return structs of arrays, integers, booleans, None and structs as a table.

    Raises
    ------
    TypeError
        If a part is anything else.
    ValueError
        If an array is not C-contiguous.
    """
    if config.DISABLE_JIT:
        return structs
    numbers: list[int] = []
    _add_numbers(numbers, structs)
    return np.array(numbers, np.int64)


def set_arrays(given: Table, *arrays: NDArray[Any]) -> Table:
    """Return the table with other arrays, of the same types and shapes, as the first fields of its first struct.

    It is the same table, but without compilation.
    """
    if config.DISABLE_JIT:
        first, *others = given
        return type(first)(*arrays, *first[len(arrays):]), *others
    place = 0
    for array in arrays:
        if not array.flags.c_contiguous:
            raise ValueError(f"arrays in a table must be C-contiguous, got strides {array.strides}")
        given[place] = address_of(array)
        place += 1 + array.ndim
    return given


class _InTable(types.Type):
    """Numba's type of a struct in a table: the address of its first number."""

    def __init__(self, struct: Any) -> None:
        self.struct = struct
        places = itertools.accumulate(map(_count_of, struct.types), initial=0)
        self.fields = dict(zip(struct.fields, zip(places, struct.types, strict=False), strict=True))
        # Numba's name of a struct names all in it; as part of the names of functions it would be most of their text.
        digest = hashlib.sha256(str(struct).encode()).hexdigest()[:16]
        super().__init__(f"{struct.instance_class.__name__}.{digest}")


@register_model(_InTable)
class _AddressModel(models.PrimitiveModel):
    """How compiled code holds it."""

    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, ir.IntType(64).as_pointer())


@infer_getattr
class _Fields(AttributeTemplate):
    """Of which types its fields are."""

    key = _InTable

    def generic_resolve(self, struct: Any, name: str) -> Any:
        """The type of a field; None where there is no such field."""
        return struct.fields[name][1] if name in struct.fields else None


@lower_getattr_generic(_InTable)
def _field(context: Any, builder: Any, struct: Any, address: Any, name: str) -> Any:
    """Emit the reading of a field."""
    place, kind = struct.fields[name]
    return _read(context, builder, kind, address, place)


def in_table(example: Any) -> Any:
    """Return, as part of an example for `reader`, that a struct of the types of this one stays in the table."""
    return _InTable(_type_of(example))


def _type_of(example: Any) -> Any:
    """Numba's type of a struct; a part of the example may be such a type itself."""
    if isinstance(example, types.Type):
        return example
    if isinstance(example, tuple):
        return types.BaseTuple.from_types([_type_of(field) for field in example], type(example))
    if isinstance(example, np.ndarray):
        return types.Array(typeof(example).dtype, example.ndim, "C")
    return typeof(example)


def _count_of(kind: Any) -> int:
    """How many numbers a table has of something of this type."""
    if isinstance(kind, types.NoneType):
        return 0
    if isinstance(kind, _InTable):
        kind = kind.struct
    if isinstance(kind, types.BaseTuple):
        return sum(map(_count_of, kind))
    return 1 + kind.ndim if isinstance(kind, types.Array) else 1


def _read(context: Any, builder: Any, kind: Any, numbers: Any, place: int) -> Any:
    """Emit the reading of what is of type `kind` from place number `place` on."""
    def number(index: int) -> Any:
        load = builder.load(cgutils.gep_inbounds(builder, numbers, index))
        # No table changes while compiled code runs: LLVM may read a number once, and before a loop.
        load.set_metadata("invariant.load", builder.module.add_metadata([]))
        return load

    if isinstance(kind, types.NoneType):
        return context.get_dummy_value()
    if isinstance(kind, _InTable):
        return cgutils.gep_inbounds(builder, numbers, place)
    if isinstance(kind, types.BaseTuple):
        places = itertools.accumulate(map(_count_of, kind), initial=place)
        return context.make_tuple(builder, kind, [
            _read(context, builder, field, numbers, at) for field, at in zip(kind, places, strict=False)])
    if isinstance(kind, types.Array):
        pointer = builder.inttoptr(number(place), context.get_data_type(kind.dtype).as_pointer())
        return view(context, builder, kind, pointer, [number(place + 1 + side) for side in range(kind.ndim)])
    if kind == types.boolean:
        return builder.icmp_unsigned("!=", number(place), ir.Constant(ir.IntType(64), 0))
    return number(place)


def reader(example: Callable[[Any, Any], Any], name: str) -> Callable[..., Any]:
    """Return what compiled code reads structs from a table with: ``read(table, witness, like)``.

    ``example(witness, dtype)`` is structs of the types that the table has; `witness` is numba's type of the second
    argument, which may be a part of the example, and `dtype` that of the array `like`.
    """
    def typing(typingctx: Any, numbers: Any, witness: Any, like: Any) -> Any:
        """Type and emit the reading."""
        result = _type_of(example(witness, np.dtype(str(like.dtype))))

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return _read(context, builder, result, member_of(builder, numbers, args[0], "data"), 0)

        return result(numbers, witness, like), codegen

    def twin(numbers: Table, *_: Any) -> Any:
        """The structs themselves."""
        return numbers

    return operation(typing, twin, name)
