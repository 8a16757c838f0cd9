"""The trust boundary: whatever comes from a user becomes something that a kernel can take, or a clear error.

Kernels index memory unchecked. So each function here names the argument, says what was expected and what came, and
raises before anything has been changed: TypeError for the wrong kind of thing, ValueError for a wrong value.
"""

from __future__ import annotations

import math
import operator
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import kernels
from .aliases import Arrays, Layer
from .llvm.conversion import source_kind
from .llvm.memory import memory_view
from .parallel.interpreter_end import without_gil
from .tuning import FINITE_PIECE

__all__ = ["LARGEST", "Known", "checked_finite", "choice", "computable", "features", "floating_dtype", "integer",
           "is_computable", "known_arrays", "known_layers", "labels", "layers", "matrix", "named_gradients",
           "not_finite", "number", "path", "penalty", "pieces", "random_source", "ready_parameters", "ready_samples",
           "samples", "shortened", "writable"]

LARGEST = {np.dtype(kind): float(np.finfo(kind).max) for kind in (np.float32, np.float64)}
"""The largest number of each dtype that a network may have; to ask NumPy takes microseconds."""


def number(value: Any, name: str, *, minimum: float | None = None) -> float:
    """Return `value` as a finite float of at least `minimum`."""
    # float() takes more than that: text, what has a mask or a unit, and complex numbers with a warning.
    odd = isinstance(value, str | bytes | complex) or value is np.ma.masked or (
        isinstance(value, np.ndarray | np.generic) and value.dtype.kind not in "buif")
    try:
        result = None if odd or (type(value) is not float and np.ndim(value)) else float(value)
    except OverflowError:  # an integer beyond every float
        result = math.inf
    except (TypeError, ValueError):
        result = None
    if result is None:
        raise TypeError(f"{name} must be a number, got {shortened(value)}")
    if not math.isfinite(result):
        raise ValueError(f"{name} must be finite, got {result}")
    if minimum is not None and result < minimum:
        raise ValueError(f"{name} must be at least {minimum:g}, got {result:g}")
    return result


def penalty(reg: Any, dtype: np.dtype[Any], factor: int = 1) -> float:
    """Return the penalty p of the engine, with loss 0.5 * p * sum(W^2): so many times the user's `reg`."""
    strength = number(reg, "reg", minimum=0) * factor
    if strength > LARGEST[dtype]:  # else NumPy warns that it does not fit
        raise ValueError(f"reg is too large for {dtype}, got {reg:g}")
    return strength


def integer(value: Any, name: str, *, minimum: int, maximum: int = sys.maxsize) -> int:
    """Return `value` as an int from `minimum` to `maximum`."""
    try:
        result = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {shortened(value)}") from None
    if not minimum <= result <= maximum:
        bound = f"at least {minimum}" if result < minimum else f"at most {maximum}"
        raise ValueError(f"{name} must be {bound}, got {shortened(result)}")
    return result


def choice(value: Any, name: str, options: tuple[str, ...]) -> str:
    """Return `value` if it is one of `options`."""
    if not isinstance(value, str) or value not in options:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, options))}, got {shortened(value)}")
    return value


def path(value: Any, name: str) -> str:
    """Return `value` as the name of a file."""
    try:
        return os.fsdecode(value)
    except TypeError:
        raise TypeError(f"{name} must be the path of a file, got {shortened(value)}") from None


def floating_dtype(dtype: Any) -> np.dtype[Any]:
    """Return `dtype` as numpy's float32 or float64."""
    try:
        result: np.dtype[Any] | None = None if dtype is None else np.dtype(dtype).newbyteorder("=")
    except Exception:  # of many kinds
        result = None
    if result is None or result.kind != "f" or result.itemsize not in (4, 8):
        raise ValueError(f"dtype must be float32 or float64, got {shortened(dtype)}")
    return result


def random_source(rng: Any) -> np.random.Generator | np.random.RandomState | None:
    """Return a generator for `rng`: None (NumPy's global one), a seed, a RandomState or a Generator."""
    if rng is None or isinstance(rng, np.random.Generator | np.random.RandomState):
        return rng
    try:
        return np.random.RandomState(operator.index(rng))
    except TypeError:
        raise TypeError("rng must be None, an integer seed, a RandomState or a Generator, got "
                        f"{shortened(rng)}") from None
    except ValueError:
        raise ValueError(f"rng as a seed must be between 0 and 2**32 - 1, got {shortened(rng)}") from None


def features(X: Any, name: str, *, columns: int | None, dtype: np.dtype[Any], finite: bool = True) -> NDArray[Any]:
    """Return `X` as a finite array (N, `columns`) of `dtype`: native, aligned and C-contiguous, copied only if need be.

    The result is a view that nobody else has: whoever sets the shape of `X` later on does nothing to it. It may be
    read-only. More than two dimensions are flattened to (N, -1). Where `columns` is None, any number from 1 on will do.
    Without `finite` whoever uses the array looks out for NaN and inf.
    """
    array = ready_samples(X, columns, dtype)  # the common case, quickly
    if array is None:
        array = computable(matrix(X, name, columns), dtype)
    return checked_finite(array, name) if finite else array


def ready_samples(X: Any, columns: int | None, dtype: np.dtype[Any]) -> NDArray[Any] | None:
    """Return `features`, which may be NaN or inf, if nothing has to be converted or flattened for them; else None."""
    if type(X) is not np.ndarray:
        return None
    array = X.view()
    flags = array.flags
    fits = array.ndim == 2 and array.dtype == dtype and array.shape[1] == columns and len(array)
    return array if fits and flags.c_contiguous and flags.aligned else None


def samples(X: Any, name: str, *, columns: int | None, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return `X` as `features` does, but of its own dtype and layout, if it can be converted by the minibatch.

    That is, if its dtype is one of :data:`fastnet.llvm.conversion.SOURCE_DTYPES`. Whether it is finite is asked of
    `checked_finite` once its labels are known to be as many: a view may claim more samples than can ever be read.
    """
    array = matrix(X, name, columns)
    if not source_kind(array.dtype) or (array.dtype == dtype and array.flags.c_contiguous):
        return features(array, name, columns=columns, dtype=dtype, finite=False)
    return array


def pieces(X: Any, dtype: np.dtype[Any]) -> Iterator[NDArray[Any]]:
    """Yield the rows of X, some at a time, as C-contiguous arrays of `dtype`: never a copy of all."""
    rows = max(1, FINITE_PIECE // max(X.shape[1], 1))
    for start in range(0, len(X), rows):
        yield computable(X[start:start + rows], dtype)


def computable(array: NDArray[Any], dtype: np.dtype[Any], *, to_write: bool = False) -> NDArray[Any]:
    """Return an array as compiled code takes it: C-contiguous, aligned, of `dtype`; copied only if need be.

    It may be read-only unless it is `to_write`. What does not fit the dtype becomes inf.
    """
    if array.dtype == dtype and array.flags.carray:
        return array
    with np.errstate(over="ignore", invalid="ignore"):
        return np.require(array, dtype, ["C", "A", "W"] if to_write else ["C", "A"])


def is_computable(array: Any, ndim: int, dtype: np.dtype[Any]) -> bool:
    """Whether compiled code takes an array as it is: of NumPy's own class, `dtype` and `ndim`, as `computable` says.

    This is true of the moment only: without a view another thread may change all of it before the array is read. So
    who compiles for it has numba's own look at all but the shape, and has to look at that, too.
    """
    return type(array) is np.ndarray and array.dtype == dtype and array.ndim == ndim and array.flags.carray


def matrix(X: Any, name: str, columns: int | None) -> NDArray[Any]:
    """Return a view of `X` as (N, `columns`) real numbers, which nobody else has; copied only if it cannot be one."""
    array = X.view() if type(X) is np.ndarray else _array(X, name)
    if array.dtype.kind not in "buif":
        raise TypeError(f"{name} must be an array of real numbers, got dtype {array.dtype}")
    if array.ndim < 2:
        raise ValueError(f"{name} must have at least two dimensions, (samples, features), got shape {array.shape}"
                         + ("; a single sample is X.reshape(1, -1)" if array.ndim == 1 else ""))
    if array.shape[0] == 0:
        raise ValueError(f"{name} must have at least one sample, got shape {array.shape}")
    width = math.prod(array.shape[1:])
    if columns is None and width == 0:
        raise ValueError(f"{name} must have at least one feature, got shape {array.shape}")
    if columns not in (None, width):
        raise ValueError(f"{name} must have {columns} features for each sample, as params['W1'] has rows, "
                         f"got {width} (shape {array.shape})")
    return array.reshape(array.shape[0], width)


@without_gil
def checked_finite(array: NDArray[Any], name: str, dtype: np.dtype[Any] | None = None,
                   numbers: NDArray[np.intp] | None = None) -> NDArray[Any]:
    """Return an array (N, D) that is finite in `dtype`, by default its own, or raise the error that says where not.

    `numbers`: what the error calls each sample, where that is not its place.
    """
    if array.dtype.kind != "f":
        return array  # whole numbers are finite, and fit
    first = 0
    for piece in pieces(array, dtype or array.dtype):
        if not kernels.all_finite(writable(piece).reshape(-1)):
            row = int(np.flatnonzero(~np.isfinite(piece).all(axis=1))[0])
            raise not_finite(piece, row, name, first if numbers is None else int(numbers[first + row]) - row)
        first += len(piece)
    return array


def not_finite(array: NDArray[Any], row: int, name: str, first: int = 0) -> ValueError:
    """Return the error that says where in this row the first NaN or inf is; row 0 is sample `first`."""
    at = int(np.flatnonzero(~np.isfinite(array[row]))[0])
    return ValueError(f"{name} must be finite (in {array.dtype}), got {array[row, at]} at sample {first + row}, "
                      f"feature {at}")


def writable(array: NDArray[Any]) -> NDArray[Any]:
    """Return `array`, or a view that calls itself writable if it is not: for kernels, which do not write to it.

    They are compiled for arrays that can be written to; a copy could take gigabytes.
    """
    return array if array.flags.writeable else memory_view(array, 0, array.shape, array.strides)


def labels(y: Any, name: str, *, samples: int, classes: int) -> NDArray[np.int64]:
    """Return a private copy of the labels `y` as int64, one for each of `samples` samples, each in 0..`classes`-1."""
    array = _array(y, name)
    if array.dtype.kind not in "buif":
        raise TypeError(f"{name} must be an array of integer labels, got dtype {array.dtype}")
    if array.ndim != 1:
        raise ValueError(f"{name} must have one dimension, one label for each sample, got shape {array.shape}")
    if array.shape[0] != samples:
        raise ValueError(f"{name} must have one label for each sample: expected {samples}, got {array.shape[0]}")
    if array.dtype.kind != "f":
        result = array.astype(np.int64)  # values are checked in the copy: nothing can change them in between
        if result.view(np.uint64).max() < classes:  # a negative one is large then
            return result
    array = np.array(array)  # what is wrong is looked for in a copy as well
    if array.dtype.kind == "f":
        odd = np.flatnonzero(~(np.isfinite(array) & (array == np.floor(array))))
        if odd.size:
            raise ValueError(f"{name} must hold integer labels, got {array[odd[0]]} at index {odd[0]}")
    outside = np.flatnonzero((array < 0) | (array >= classes))
    if outside.size:
        raise ValueError(f"{name} must hold labels from 0 to {classes - 1}, got {array[outside[0]]} "
                         f"at index {outside[0]}")
    return array.astype(np.int64)


def layers(params: Any, depth: int, dtype: np.dtype[Any]) -> list[Layer]:
    """Return the layers in `params` (W1, b1, ... W`depth`, b`depth`): native, aligned, C-contiguous arrays of `dtype`.

    An array that is all that already, and writable, is returned as a view, so that writing to the layer writes to it,
    and giving the array another shape does nothing to the layer. Biases may have shape (H,) or (1, H); in the layer
    they are (H,).
    """
    if not isinstance(params, Mapping):
        raise TypeError(f"params must be a dict, got {shortened(params)}")
    result: list[Layer] = []
    for number_ in range(1, depth + 1):
        W, b = (_parameter(params, f"{letter}{number_}") for letter in "Wb")
        if W.ndim != 2 or 0 in W.shape:
            raise ValueError(f"params['W{number_}'] must be a matrix without an empty side, got shape {W.shape}")
        if b.shape not in ((W.shape[1],), (1, W.shape[1])):
            raise ValueError(f"params['b{number_}'] must have one element for each of the {W.shape[1]} columns of "
                             f"params['W{number_}'], got shape {b.shape}")
        if result and W.shape[0] != result[-1][0].shape[1]:
            raise ValueError(f"params['W{number_}'] must have a row for each of the {result[-1][0].shape[1]} columns "
                             f"of params['W{number_ - 1}'], got shape {W.shape}")
        result.append((computable(W, dtype, to_write=True), computable(b, dtype, to_write=True).reshape(-1)))
    return result


Known = Sequence[tuple[str, tuple[int, ...], str, tuple[int, ...]]]
"""Name and shape of W, name and shape of b, for each layer that has been checked."""


def known_arrays(params: Any, known: Known, dtype: np.dtype[Any]) -> tuple[Arrays, Arrays] | None:
    """Return the weights and biases of `layers`, if all is as it was when `known` was made; else None."""
    if not known or not isinstance(params, dict):
        return None
    Ws, bs = [], []
    for W_name, W_shape, b_name, b_shape in known:
        W, b = params.get(W_name), params.get(b_name)
        if type(W) is not np.ndarray or type(b) is not np.ndarray:
            return None
        # Looked at are views, which nobody else has, and which are of the memory that the arrays have now.
        W, b = W.view(), b.view()
        if (W.shape != W_shape or b.shape != b_shape or W.dtype != dtype or b.dtype != dtype
                or not W.flags.carray or not b.flags.carray):
            return None
        Ws.append(W)
        bs.append(b if len(b_shape) == 1 else b.reshape(-1))
    return tuple(Ws), tuple(bs)


def ready_parameters(params: Any, known: Known, dtype: np.dtype[Any]) -> tuple[Arrays, Arrays] | None:
    """Return the weights and biases that `known` has the names of, if each `is_computable`; else None.

    A bias (1, H) as `known` has it is (H,) in the result. To make the views of `known_arrays`, and to compare all
    shapes, takes 1 us of the 5 that a sample takes then.
    """
    if not known or not isinstance(params, dict):
        return None
    Ws, bs = [], []
    for W_name, _, b_name, b_shape in known:
        W, b = params.get(W_name), params.get(b_name)
        # As `is_computable`, without a call for each, which would take as long again.
        if (type(W) is not np.ndarray or W.dtype != dtype or W.ndim != 2 or not W.flags.carray
                or type(b) is not np.ndarray or b.dtype != dtype or not b.flags.carray):
            return None
        if b.ndim != 1:
            if b.shape != b_shape:
                return None
            b = b.reshape(-1)
        Ws.append(W)
        bs.append(b)
    return tuple(Ws), tuple(bs)


def known_layers(params: Any, depth: int, dtype: np.dtype[Any], known: Known) -> tuple[list[Layer], Known]:
    """Return `layers`, and what `known` is for them; where shapes are those of the last call, with few checks."""
    arrays = known_arrays(params, known, dtype)
    if arrays is not None:
        return list(zip(*arrays, strict=True)), known
    result = layers(params, depth, dtype)
    known = [(f"W{number}", W.shape, f"b{number}", _bias_shape(params.get(f"b{number}"), b))
             for number, (W, b) in enumerate(result, start=1)]
    return result, known


def _bias_shape(array: Any, b: NDArray[Any]) -> tuple[int, ...]:
    """The shape, (1, H) or (H,), in which `params` holds the bias of a layer."""
    return (1, len(b)) if np.shape(array) == (1, len(b)) else b.shape


def named_gradients(grads: Sequence[Layer], known: Known) -> dict[str, NDArray[Any]]:
    """Return the gradients of layers with the names and shapes that `known` says their parameters have."""
    named: dict[str, NDArray[Any]] = {}
    for (dW, db), (W_name, _, b_name, b_shape) in zip(grads, known, strict=True):
        named[W_name], named[b_name] = dW, db.reshape(b_shape)
    return named


def _parameter(params: Mapping[str, Any], name: str) -> NDArray[Any]:
    if name not in params:
        raise ValueError(f"params must have the keys W1, b1, W2, b2 and so on, got none named {name!r}")
    array = params[name]
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "uif":
        kind = f"an array of dtype {array.dtype}" if isinstance(array, np.ndarray) else shortened(array)
        raise TypeError(f"params[{name!r}] must be a NumPy array of real numbers, got {kind}")
    return _array(array, f"params[{name!r}]")


def _array(value: Any, name: str) -> NDArray[Any]:
    """A view of `value` as an array, which nobody else has."""
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise TypeError(f"{name} must not have masked elements: fill or drop them first")
    try:
        return np.asarray(value).view()
    except (TypeError, ValueError, OverflowError) as error:
        raise TypeError(f"{name} must be an array: {error}") from None


def shortened(value: Any) -> str:
    """Return how `value` is printed, cut short, and its type: for messages."""
    try:
        text = repr(value)
    except Exception:  # whatever that is, it is no reason to hide what is wrong
        text = "something that cannot be printed"
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({type(value).__name__})"
