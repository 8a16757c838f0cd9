"""Arrays on the memory of other arrays, for compiled code: numba's own reshapes cost more than short loops.

They own nothing: numba may free an array after its last use by name, though a view of it is still in use. So they are
made in blocks only, whose callers hold the arrays.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

from numba import types
from numpy.typing import NDArray

from ..jit.decorators import operation, shared
from ..jit.numba_internals import cgutils, struct_model

__all__ = ["flat", "item_size", "member_of", "panel_of", "part_of", "runs", "view"]


@shared
def runs(rows: int, n: int, width: int) -> tuple[int, int]:
    """How many runs of elements, and how long, n columns of so many rows are, in arrays of `width` columns at most.

    Where the columns are all that there are, it is one run; of no rows there is none.
    """
    return (min(rows, 1), rows * n) if n == width else (rows, n)


def view(context: Any, builder: Any, result: Any, data: Any, shape: list[Any]) -> Any:
    """Emit a C-contiguous array of numba's type `result` at an address that belongs to another array.

    It is a value from the start. numba makes one in memory, of twice the instructions; there are hundreds of these.
    """
    itemsize = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(result.dtype)))
    strides = [itemsize]
    for side in reversed(shape[1:]):
        strides.insert(0, builder.mul(strides[0], side))
    model = struct_model(result)
    array = model.get_value_type()(None)  # all of it 0, for nobody owns it
    for name, member in {"nitems": functools.reduce(builder.mul, shape), "itemsize": itemsize, "data": data,
                       "shape": cgutils.pack_array(builder, shape),
                       "strides": cgutils.pack_array(builder, strides)}.items():
        array = model.set(builder, array, member, name)
    return array


def member_of(builder: Any, kind: Any, array: Any, name: str) -> Any:
    """Emit a member of an array of numba's type `kind`: its `data`, `shape` or `strides`."""
    return struct_model(kind).get(builder, array, name)


def _is_contiguous(array: Any) -> bool:
    return isinstance(array, types.Array) and array.layout == "C"


def _flat_typing(typingctx: Any, array: Any, start: Any, count: Any) -> Any:
    """Return `count` elements of a C-contiguous array in a row, from element number `start` on; None of None."""
    if isinstance(array, types.NoneType):
        return types.none(array, types.intp, types.intp), lambda context, *_: context.get_dummy_value()
    if not _is_contiguous(array):
        return None
    result = types.Array(array.dtype, 1, "C")

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = member_of(builder, array, args[0], "data")
        return view(context, builder, result, builder.gep(data, [args[1]]), [args[2]])

    return result(array, types.intp, types.intp), codegen


def _flat_twin(array: NDArray[Any] | None, start: int, count: int) -> NDArray[Any] | None:
    return None if array is None else array.reshape(-1)[start:start + count]


def _panel_of_typing(typingctx: Any, array: Any, index: Any) -> Any:
    """Return array[index] of a C-contiguous array of several dimensions; None of None."""
    if isinstance(array, types.NoneType):
        return types.none(array, types.intp), lambda context, *_: context.get_dummy_value()
    if not _is_contiguous(array) or array.ndim < 2:
        return None
    result = types.Array(array.dtype, array.ndim - 1, "C")

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = member_of(builder, array, args[0], "data")
        _, *shape = cgutils.unpack_tuple(builder, member_of(builder, array, args[0], "shape"))
        offset = functools.reduce(builder.mul, shape, args[1])
        return view(context, builder, result, builder.gep(data, [offset]), shape)

    return result(array, types.intp), codegen


def _panel_of_twin(array: NDArray[Any] | None, index: int) -> NDArray[Any] | None:
    return None if array is None else array[index]


def _part_of_typing(typingctx: Any, array: Any, start: Any, shape: Any) -> Any:
    """Return elements of a C-contiguous array in a row, from element number `start` on, as an array of this shape."""
    if not _is_contiguous(array) or not isinstance(shape, types.BaseTuple):
        return None
    result = types.Array(array.dtype, len(shape), "C")

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = member_of(builder, array, args[0], "data")
        return view(context, builder, result, builder.gep(data, [args[1]]), cgutils.unpack_tuple(builder, args[2]))

    return result(array, types.intp, types.UniTuple(types.intp, len(shape))), codegen


def _part_of_twin(array: NDArray[Any], start: int, shape: tuple[int, ...]) -> NDArray[Any]:
    return array.reshape(-1)[start:start + math.prod(shape)].reshape(shape)


panel_of: Callable[..., Any] = operation(_panel_of_typing, _panel_of_twin, "panel_of")
flat: Callable[..., Any] = operation(_flat_typing, _flat_twin, "flat")
part_of: Callable[..., Any] = operation(_part_of_typing, _part_of_twin, "part_of")


def _item_size_typing(typingctx: Any, array: Any) -> Any:
    """Return the bytes of an element: a constant, where numba's `itemsize` is read from the array at run time.

    What is divided by it is divided by a constant then.
    """
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return context.get_constant(types.intp, array.dtype.bitwidth // 8)

    return types.intp(array), codegen


def _item_size_twin(array: Any) -> int:
    return int(array.itemsize)


item_size: Callable[[Any], int] = operation(_item_size_typing, _item_size_twin, "item_size")
