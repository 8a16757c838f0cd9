"""Many arrays and numbers as one argument of compiled code: a table of addresses, shapes and integers.

For each argument of a compiled function numba looks at the type and takes the object apart, some hundred nanoseconds
for each array in it: what a training step works on would cost twenty microseconds a call. So it goes into a table, an
array of integers, and compiled code reads structs from it (tuples, for which numba has names). Nothing in a table says
what it means: who makes it and who reads it agree on the type of the structs. Nothing keeps the arrays alive but who
made the table.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, typeof, types

from ..jit.decorators import operation
from ..jit.numba_internals import cgutils
from .arrays import view
from .memory import address_of

__all__ = ["Table", "reader", "table"]

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


def _type_of(example: Any) -> Any:
    """Numba's type of a struct; a part of the example may be such a type itself."""
    if isinstance(example, types.Type):
        return example
    if isinstance(example, tuple):
        return types.BaseTuple.from_types([_type_of(field) for field in example], type(example))
    if isinstance(example, np.ndarray):
        return types.Array(typeof(example).dtype, example.ndim, "C")
    return typeof(example)


def reader(example: Callable[[Any, Any], Any], name: str) -> Callable[..., Any]:
    """Return what compiled code reads structs from a table with: ``read(table, witness, like)``.

    ``example(witness, dtype)`` is structs of the types that the table has; `witness` is numba's type of the second
    argument, which may be a part of the example, and `dtype` that of the array `like`.
    """
    def typing(typingctx: Any, numbers: Any, witness: Any, like: Any) -> Any:
        """Type and emit the reading."""
        result = _type_of(example(witness, np.dtype(str(like.dtype))))

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            data, place = context.make_array(numbers)(context, builder, value=args[0]).data, 0

            def number() -> Any:
                nonlocal place
                place += 1
                return builder.load(cgutils.gep_inbounds(builder, data, place - 1))

            def read(kind: Any) -> Any:
                if isinstance(kind, types.NoneType):
                    return context.get_dummy_value()
                if isinstance(kind, types.BaseTuple):
                    return context.make_tuple(builder, kind, [read(field) for field in kind])
                if isinstance(kind, types.Array):
                    pointer = builder.inttoptr(number(), context.get_data_type(kind.dtype).as_pointer())
                    return view(context, builder, kind, pointer, [number() for _ in range(kind.ndim)])
                if kind == types.boolean:
                    return builder.icmp_unsigned("!=", number(), ir.Constant(ir.IntType(64), 0))
                return number()

            return read(result)

        return result(numbers, witness, like), codegen

    def twin(numbers: Table, *_: Any) -> Any:
        """The structs themselves."""
        return numbers

    return operation(typing, twin, name)
