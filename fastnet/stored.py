"""Samples that do not lie in memory: in a file that is mapped, or wherever slices of them come from.

A mapped file (`numpy.memmap`) is an array like others; what compiled code cannot read from it is read here. All else
that has `shape`, `dtype` and slices (a dataset of h5py, an array of Zarr) is asked for slices only, as that is all that
is known of it: for the samples of some minibatches in ascending order, some together where they lie close to each
other. What comes is copied, and the copy is looked at: nobody else can change that.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Iterator
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from . import checks
from .llvm.conversion import source_kind

__all__ = ["PORTION_BYTES", "AnySamples", "Portion", "StoredSamples", "convert", "finite", "in_a_file", "is_stored",
           "samples"]

PORTION_BYTES = 1 << 23
"""So many bytes of samples are read at a time, at most, unless a single minibatch has more: two such portions are
in memory at once. Higher: a compressed chunk is read for more samples. Lower: less memory, and Ctrl-C waits less.
"""

_NEAR_BYTES = 1 << 16
"""Samples that are no further apart are read by one slice, with what lies between them: a slice costs as much."""

_IN_MEMORY = ("__array_interface__", "__array_struct__", "__cuda_array_interface__", "__dlpack__")
_OTHERWISE = ("__dask_graph__", "nnz", "iloc")
"""Names by which arrays are known that lie in memory, and what has its own way: arrays of dask, sparse matrices, data
frames."""


class Portion(NamedTuple):
    """Samples that were read for some minibatches."""

    chosen: NDArray[np.intp]
    """Which they are, ascending, (n,)."""
    X: NDArray[Any]
    """These samples, (n, D)."""
    batches: NDArray[np.intp]
    """The minibatches, as indices into `X`, (steps, N)."""


def is_stored(X: Any) -> bool:
    """Whether this is no array of NumPy, but has `shape`, `dtype` and slices, and is not known to lie in memory."""
    if isinstance(X, np.ndarray | np.generic | list | tuple) or any(hasattr(X, name) for name in _OTHERWISE):
        return False
    shape = getattr(X, "shape", None)
    return (isinstance(shape, tuple) and len(shape) >= 2 and isinstance(getattr(X, "dtype", None), np.dtype)
            and hasattr(type(X), "__getitem__") and not any(hasattr(type(X), name) for name in _IN_MEMORY))


def in_a_file(array: Any) -> bool:
    """Whether an array is a view of a file that is mapped."""
    while type(array) in (np.ndarray, np.memmap):  # others may have masks, and what not
        if isinstance(array, np.memmap):
            return True
        array = array.base
    return False


def samples(X: Any, name: str, *, columns: int, dtype: np.dtype[Any]) -> AnySamples:
    """Return `X` as `checks.samples` does; or, where that would read all of a file, as samples that are read in parts.

    These are looked at for NaN and inf when they are read.
    """
    if is_stored(X) or (in_a_file(X) and X.ndim >= 2 and not source_kind(X.dtype)):
        return StoredSamples(X, name, columns=columns, dtype=dtype)
    return checks.samples(X, name, columns=columns, dtype=dtype)


def finite(X: AnySamples, name: str, dtype: np.dtype[Any]) -> AnySamples:
    """Return what `samples` has returned as steps take it: an array once it is known to be finite in `dtype`."""
    return X if isinstance(X, StoredSamples) else checks.writable(checks.checked_finite(X, name, dtype))


class StoredSamples:
    """Samples (N, D) that are read in parts, each part into an array that nobody else has.

    Parameters
    ----------
    given : object
        What has `shape`, `dtype` and slices; two dimensions or more, of which all but the first become one.
    name : str
        What error messages call it.
    columns : int or None
        How many features there should be; None for any number.
    dtype : numpy.dtype
        What is computed in.

    Attributes
    ----------
    shape : (int, int)
    given_shape : tuple of int
        Of what was given, with all dimensions.
    dtype : numpy.dtype
        What is computed in: the dtype that whoever looks at this from outside should take it for.

    Raises
    ------
    TypeError, ValueError
        If they are no real numbers, or not of the right shape.
    """

    def __init__(self, given: Any, name: str, *, columns: int | None, dtype: np.dtype[Any]) -> None:
        if isinstance(given, np.ndarray):
            given = np.asarray(given).view()  # whose shape nobody else sets
        shape, kind = tuple(map(int, given.shape)), np.dtype(given.dtype)
        # A stand-in of this shape and dtype takes no memory, and meets with the errors that an array would.
        checks.matrix(np.broadcast_to(np.zeros((), kind), (*shape[:1], math.prod(shape[1:]))), name, columns)
        self.given_shape, self.shape = shape, (shape[0], math.prod(shape[1:]))
        self.dtype = dtype
        self._given, self._name, self._features, self._kind = given, name, shape[1:], kind
        self._read_dtype = kind if source_kind(kind) else dtype
        self._rows: NDArray[np.intp] | None = None
        chunks = getattr(given, "chunks", None)
        first = chunks[0] if isinstance(chunks, tuple) and chunks else 1
        self._chunk = first if isinstance(first, int) and first > 0 else 1

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def array(self) -> NDArray[Any] | None:
        """The same samples as an array that compiled code reads as it is: those of a mapped file; else None."""
        if self._rows is None and isinstance(self._given, np.ndarray) and source_kind(self._kind):
            return self._given.reshape(self.shape)
        return None

    @property
    def sample_bytes(self) -> int:
        """Bytes of a sample that was read."""
        return self.shape[1] * self._read_dtype.itemsize

    def take(self, indices: NDArray[np.intp]) -> Self:
        """Return these samples alone, which are not read for that."""
        result = object.__new__(type(self))
        vars(result).update(vars(self))
        result._rows = np.array(indices if self._rows is None else self._rows[indices])
        result.shape = len(result._rows), self.shape[1]
        return result

    def __getitem__(self, which: slice | NDArray[np.intp]) -> NDArray[Any]:
        """Read some samples, by a slice of step 1 or by indices."""
        if isinstance(which, slice):
            start, stop, _ = which.indices(len(self))
            if self._rows is None:
                X = np.empty((max(stop - start, 0), *self._features), self._read_dtype)
                if len(X):
                    self._copy(start, stop, np.arange(len(X)), X)
                return X.reshape(len(X), self.shape[1])
            which = np.arange(start, stop)
        chosen, places = np.unique(which, return_inverse=True)
        return self._read(chosen)[places.reshape(-1)]

    def astype(self, dtype: np.dtype[Any]) -> Self:
        """Return the same samples for whoever computes in another dtype; they are not read for that."""
        result = object.__new__(type(self))
        vars(result).update(vars(self))
        result.dtype = dtype
        result._read_dtype = self._kind if source_kind(self._kind) else dtype
        return result

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """All of them, for who cannot do without."""
        return np.array(self[:], self.dtype if dtype is None else dtype)

    def portions(self, parts: Iterable[NDArray[np.intp]]) -> Generator[Portion, None, None]:
        """Yield, for each of these arrays of minibatches (steps, N), the samples that they need; finite."""
        for part in parts:
            chosen, places = np.unique(part, return_inverse=True)
            X = self._read(chosen)
            checks.checked_finite(X, self._name, self.dtype, chosen if self._rows is None else self._rows[chosen])
            yield Portion(chosen, X, np.ascontiguousarray(places.reshape(part.shape), np.intp))

    def _read(self, chosen: NDArray[np.intp]) -> NDArray[Any]:
        """The samples of these indices, which ascend."""
        if self._rows is not None:
            rows, places = np.unique(self._rows[chosen], return_inverse=True)
            return self._read_rows(rows)[places.reshape(-1)]
        return self._read_rows(chosen)

    def _read_rows(self, chosen: NDArray[np.intp]) -> NDArray[Any]:
        """Those of these rows of what was given, which ascend."""
        X = np.empty((len(chosen), *self._features), self._read_dtype)
        if isinstance(self._given, np.ndarray):
            convert(self._given[chosen], X)
            return X.reshape(len(chosen), self.shape[1])
        for first, last in self._runs(chosen):
            rows = chosen[first:last]
            self._copy(int(rows[0]), int(rows[-1]) + 1, rows - rows[0], X[first:last])
        return X.reshape(len(chosen), self.shape[1])

    def _runs(self, rows: NDArray[np.intp]) -> Iterator[tuple[int, int]]:
        """From where to where in `rows` one slice is read for all: what is in one chunk, or near to each other."""
        size = max(self.shape[1] * self._kind.itemsize, 1)
        apart = (np.diff(rows) * size > _NEAR_BYTES) & (np.diff(rows // self._chunk) > 0)
        most, first = max(1, PORTION_BYTES // size), 0
        for end in (*(np.flatnonzero(apart) + 1).tolist(), len(rows)):
            while first < end:
                last = min(end, int(np.searchsorted(rows, rows[first] + most)))
                yield first, last
                first = last

    def _copy(self, start: int, stop: int, rows: NDArray[np.intp], target: NDArray[Any]) -> None:
        """Read a slice, and copy some of its rows."""
        part = np.asarray(self._given[start:stop])
        if part.shape != (stop - start, *self._features) or part.dtype != self._kind:
            raise ValueError(f"{self._name}[{start}:{stop}] must be {self._kind} of shape "
                             f"{(stop - start, *self._features)}, as its dtype and shape say, got {part.dtype} "
                             f"{part.shape}")
        convert(part if len(rows) == len(part) else part[rows], target)


def convert(numbers: NDArray[Any], target: NDArray[Any]) -> None:
    """Copy numbers into an array of another dtype; what does not fit becomes inf, without a warning."""
    with np.errstate(over="ignore", invalid="ignore"):
        target[...] = numbers


AnySamples = NDArray[Any] | StoredSamples
"""Samples, of whichever kind: both have `shape`, `dtype`, a length, and slices and choices that are arrays."""
