"""What a user hands in, as partitions; what is looked at in each of them, where it lies."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from dask import array, is_dask_collection
from dask.delayed import Delayed, delayed
from distributed import Future
from numpy.typing import NDArray
from sklearn.utils import check_array, check_consistent_length, check_X_y
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from ..checks import shortened

__all__ = ["Description", "Samples", "agreement", "checked", "described", "few_samples", "is_collection", "is_parts",
           "partitions"]

FLOATS = (np.float64, np.float32)
"""What scikit-learn leaves as it is; the first is what all else becomes."""


def is_parts(data: Any) -> bool:
    """Whether something is a list of delayed parts."""
    return isinstance(data, list | tuple) and all(isinstance(part, Delayed | Future) for part in data)


def is_collection(data: Any) -> bool:
    """Whether something is a collection of Dask, or a list of delayed parts."""
    return is_parts(data) or is_dask_collection(data)


def partitions(X: Any, y: Any, sample_weight: Any) -> list[tuple[Any, Any, Any]]:
    """Return X, y and weights of each partition, not computed yet; weights are None where there are none.

    Raises
    ------
    TypeError
        If something is no collection of Dask and no list of delayed parts.
    ValueError
        If they are not cut alike.
    """
    X = _in_rows(X, "X", 2)
    collections = {"y": y} if sample_weight is None else {"y": y, "sample_weight": sample_weight}
    parts, known = [_delayed_parts(X, "X")], isinstance(X, array.Array) and not np.isnan(X.chunks[0]).any()
    for name, collection in collections.items():
        collection = _in_rows(collection, name, 1)
        if known and isinstance(collection, array.Array) and not np.isnan(collection.chunks[0]).any():
            if len(collection) != len(X):
                raise ValueError(f"{name} must have as many samples as X has, {len(X)}, got {len(collection)}")
            collection = collection.rechunk((X.chunks[0], *collection.chunks[1:]))
        parts.append(_delayed_parts(collection, name))
        if len(parts[-1]) != len(parts[0]):
            raise ValueError(f"{name} must be cut as X is, into {len(parts[0])} partitions, got {len(parts[-1])}; "
                             f"where chunk sizes are unknown, compute_chunk_sizes() finds them out")
    if not parts[0]:
        raise ValueError("X must have at least one partition")
    return list(zip(*parts, *[[None] * len(parts[0])] * (3 - len(parts)), strict=True))


def _in_rows(collection: Any, name: str, at_least: int) -> Any:
    """An array in chunks of whole rows; anything else as it is."""
    if not isinstance(collection, array.Array):
        return collection
    if not at_least <= collection.ndim <= 2:
        raise ValueError(f"{name} must have {at_least} {'or 2 ' if at_least < 2 else ''}dimensions, got shape "
                         f"{collection.shape}")
    if collection.ndim == 2 and np.isnan(collection.chunks[1]).any():
        raise ValueError(f"{name} must have chunks of known sizes along its columns, got {collection.chunks[1]}")
    return collection.rechunk({1: -1}) if collection.ndim == 2 and collection.numblocks[1] > 1 else collection


def _delayed_parts(collection: Any, name: str) -> list[Any]:
    if isinstance(collection, array.Array):
        return list(collection.to_delayed().ravel())
    if is_parts(collection):
        return [part if isinstance(part, Delayed) else delayed(part) for part in collection]
    if is_dask_collection(collection) and hasattr(collection, "to_delayed") and hasattr(collection, "npartitions"):
        return list(collection.to_delayed())
    raise TypeError(f"{name} must be an array or a dataframe of Dask, or a list of delayed parts, got "
                    f"{type(collection).__name__}; for other data there is fastnet.sklearn")


@dataclasses.dataclass
class Samples:
    """The samples of a partition, which have been looked at."""

    X: Any
    y: NDArray[Any]
    weights: NDArray[Any] | None
    columns: list[Any] | None
    """The names of the features, where they have names."""

    def __sizeof__(self) -> int:
        X = [self.X] if isinstance(self.X, np.ndarray) else [self.X.data, self.X.indices, self.X.indptr]
        arrays = [*X, self.y, *([] if self.weights is None else [self.weights])]
        return object.__sizeof__(self) + sum(part.nbytes for part in arrays)


def checked(part: int, X: Any, y: Any, weights: Any, classifies: bool) -> Samples:
    """Return the samples of a partition, or raise the error that says what is wrong with them, and where."""
    try:
        return _checked(X, y, weights, classifies)
    except (TypeError, ValueError) as error:
        raise type(error)(f"partition {part}: {error}") from error


def _checked(X: Any, y: Any, weights: Any, classifies: bool) -> Samples:
    X = X if hasattr(X, "shape") else np.asarray(X)
    columns = list(X.columns) if hasattr(X, "columns") else None
    check_consistent_length(X, y, weights)
    if X.ndim == 2 and not X.shape[0]:
        return Samples(check_array(X, accept_sparse=["csr", "csc"], dtype=FLOATS, ensure_min_samples=0),
                       np.empty(0), None, columns)
    X, y = check_X_y(X, y, accept_sparse=["csr", "csc"], dtype=FLOATS, multi_output=True, y_numeric=not classifies)
    y = y.ravel() if y.ndim == 2 and y.shape[1] == 1 else y
    if classifies:
        check_classification_targets(y)
        if y.ndim == 2 and type_of_target(y) != "multilabel-indicator":
            raise ValueError(f"y must hold labels, or zeros and ones for several, got {type_of_target(y)}")
    if weights is not None:
        weights = check_array(weights, ensure_2d=False, dtype=FLOATS, input_name="sample_weight")
        if weights.ndim != 1:
            raise ValueError(f"sample_weight must have one dimension, got shape {weights.shape}")
    return Samples(X, y, weights, columns)


@dataclasses.dataclass
class Description:
    """What the client has to know of a partition."""

    samples: int
    features: int
    columns: list[Any] | None
    dtype: np.dtype[Any]
    outputs: int | None
    """How many columns y has; None if it has one dimension."""
    labels: NDArray[Any] | None
    """Those that are in y, of a classifier."""


def described(samples: Samples, classifies: bool) -> Description:
    """Return the description of a partition."""
    X, y = samples.X, samples.y
    labels = np.unique(y) if classifies and y.ndim == 1 else None
    return Description(X.shape[0], X.shape[1], samples.columns, X.dtype, y.shape[1] if y.ndim == 2 else None, labels)


def agreement(parts: list[Description], classes: Any) -> tuple[Description, NDArray[Any] | None]:
    """Return a description of all partitions, and all labels.

    Raises
    ------
    ValueError
        If a partition has other columns, outputs or kinds of labels than the first one, or a label that is not in
        `classes`; or if all are empty.
    """
    first, full = parts[0], {number: part for number, part in enumerate(parts) if part.samples}
    for number, part in enumerate(parts):
        if part.features != first.features:
            raise ValueError(f"partition {number}: X has {part.features} features, partition 0 has {first.features}")
        if part.columns != first.columns:
            raise ValueError(f"partition {number}: X has other columns than partition 0: {shortened(part.columns)} "
                             f"instead of {shortened(first.columns)}")
    if not full:
        raise ValueError(f"X must have at least one sample, got {len(parts)} empty partitions")
    head_number, head = next(iter(full.items()))
    for number, part in full.items():
        if part.outputs != head.outputs:
            raise ValueError(f"partition {number}: y has {part.outputs or 1} columns, partition {head_number} has "
                             f"{head.outputs or 1}")
        if part.labels is not None and head.labels is not None and (
                _kind(part.labels) != _kind(head.labels)):
            raise ValueError(f"partition {number}: y has labels of dtype {part.labels.dtype}, partition {head_number} "
                             f"has {head.labels.dtype}")
    total = dataclasses.replace(head, samples=sum(part.samples for part in parts), labels=None,
                                dtype=np.result_type(*[part.dtype for part in full.values()]))
    if head.labels is None:
        return total, None
    if classes is None:
        return total, np.unique(np.concatenate([part.labels for part in full.values()]))
    known = np.unique(classes)
    for number, part in full.items():
        unknown: Any = np.setdiff1d(np.asarray(part.labels), known)
        if len(unknown):
            raise ValueError(f"partition {number}: y has labels that are not in classes: {shortened(unknown.tolist())}")
    return total, known


def _kind(labels: NDArray[Any]) -> str:
    return "number" if labels.dtype.kind in "buif" else "text"


def few_samples(total: Description, classes: NDArray[Any] | None, classifies: bool) -> tuple[Any, Any]:
    """Return samples like those of all partitions: as many features with the same names, all labels, zeros."""
    if classes is not None:
        y = np.repeat(classes, 3)  # scikit-learn warns of labels that are as many as samples
    elif classifies:
        y = np.array([[0] * (total.outputs or 1), [1] * (total.outputs or 1)])
    else:
        y = np.zeros((2, total.outputs) if total.outputs else 2)
    X: Any = np.zeros((len(y), total.features), total.dtype)
    if total.columns is not None:
        import pandas as pd

        X = pd.DataFrame(X, columns=total.columns)
    return X, y
