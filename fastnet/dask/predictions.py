"""Predictions of collections, partition by partition, when somebody asks for them."""

from __future__ import annotations

from typing import Any

import numpy as np
from dask import array, is_dask_collection
from dask.delayed import delayed

from ..parallel.threads import using_threads
from ..sklearn.replicas import tally, usable
from .rounds import Crowd, threads
from .shards import is_parts

__all__ = ["lazily", "tallied"]

_CROWD = Crowd({}, 2**31)
"""Of predictions there is one for each thread of a worker."""


def lazily(X: Any, local: Any, method: str, columns: int | None, dtype: np.dtype[Any]) -> Any:
    """Return what a method of a local estimator says of X.

    Parameters
    ----------
    X : dask array, dask dataframe or list of delayed parts; anything else is left to the method, here and now
    local : MLPClassifier or MLPRegressor
    method : str
    columns : int or None
        How many columns the result has; None if it has one dimension.
    dtype : dtype
        Of the result.
    """
    if isinstance(X, array.Array):
        X = X.rechunk({1: -1}) if X.ndim == 2 and X.numblocks[1] > 1 else X
        shape: dict[str, Any] = {"drop_axis": 1} if columns is None else {"chunks": (X.chunks[0], (columns,))}
        return X.map_blocks(_predicted, delayed(local), method, columns, dtype=dtype, name=None,
                            meta=np.empty((0,) if columns is None else (0, columns), dtype), **shape)
    if is_parts(X):
        call, model = delayed(_predicted), delayed(local)
        return [call(part, model, method, columns) for part in X]
    if is_dask_collection(X) and hasattr(X, "map_partitions"):
        import pandas as pd

        names = list(local.classes_) if method == "predict_proba" else range(columns or 0)
        meta: Any = pd.Series(dtype=dtype) if columns is None else pd.DataFrame(columns=names, dtype=dtype)
        return X.map_partitions(_predicted_frame, delayed(local), method, columns, names, meta=meta)
    return getattr(local, method)(X)


def _predicted(X: Any, local: Any, method: str, columns: int | None) -> Any:
    if not X.shape[0]:
        dtype = local.classes_.dtype if method == "predict" and hasattr(local, "classes_") else np.float64
        return np.empty((0,) if columns is None else (0, columns), dtype)
    with using_threads(threads(_CROWD)):
        return getattr(usable(local), method)(X)


def _predicted_frame(X: Any, local: Any, method: str, columns: int | None, names: Any) -> Any:
    import pandas as pd

    found = _predicted(X, local, method, columns)
    return pd.Series(found, X.index) if columns is None else pd.DataFrame(found, X.index, names)


def tallied(local: Any, X: Any, y: Any, weights: Any) -> Any:
    """Return the `tally` of a partition; None if it is empty."""
    if not X.shape[0]:
        return None
    with using_threads(threads(_CROWD)):
        return tally(usable(local), X, np.asarray(y), weights)


