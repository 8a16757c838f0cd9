"""Model files: everything that a prediction needs, in an .npz file without pickles."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from .atomic import atomic_write
from .npz import read_npz

__all__ = ["StoredModel", "load_model", "save_model"]

Array = np.ndarray[Any, Any]

_FORMAT = 1
_PARAMS = ("W1", "b1", "W2", "b2")
_OPTIONAL = {"mean": "f8", "scale": "f8", "features": "U1"}
"""Parts that a model may lack. Its file has each of them all the same, then empty: a part lost to damage is noticed."""
_MEMBERS = ("format", *_PARAMS, "classes", "l2", *_OPTIONAL)


@dataclass(frozen=True, eq=False)
class StoredModel:
    """A trained network and how to apply it; creating one checks that its parts agree."""

    params: dict[str, Array]
    """W1 (D, H), b1 (H,), W2 (H, C), b2 (C,): all float32 or all float64."""
    classes: Array
    """Name of each class, (C,): int64 or strings."""
    mean: Array | None = None
    """Subtracted from each feature before the network sees it, float64 (D,)."""
    scale: Array | None = None
    """Each feature is divided by this after that, float64 (D,), above 0."""
    l2: str = "full"
    """Form of the L2 term that it was trained with."""
    features: Array | None = None
    """Names of the features in the order of the rows of W1, strings (D,)."""

    def __post_init__(self) -> None:
        if set(self.params) != set(_PARAMS):
            raise ValueError(f"the parameters of a model are {', '.join(_PARAMS)}, got {', '.join(self.params)}")
        W1, b1, W2, b2 = (self.params[name] for name in _PARAMS)
        if W1.ndim != 2 or W2.ndim != 2:
            raise ValueError(f"W1 and W2 must have two dimensions, got the shapes {W1.shape} and {W2.shape}")
        D, H = W1.shape
        C = W2.shape[1]
        if not (D and H and C):
            raise ValueError(f"a model must have inputs, hidden units and classes, got {D}, {H} and {C} of them")
        if W1.dtype not in (np.float32, np.float64):
            raise ValueError(f"W1 must be float32 or float64, got {W1.dtype}")
        _check("b1", b1, (H,), W1.dtype)
        _check("W2", W2, (H, C), W1.dtype)
        _check("b2", b2, (C,), W1.dtype)
        if self.l2 not in ("full", "half"):
            raise ValueError(f"l2 must be 'full' or 'half', got {self.l2!r}")
        _check_names("classes", self.classes, C)
        if self.features is not None:
            _check_names("features", self.features, D)
        if (self.mean is None) != (self.scale is None):
            raise ValueError("mean and scale belong together, and one of them is missing")
        for name, array in (("W1", W1), ("b1", b1), ("W2", W2), ("b2", b2), ("mean", self.mean), ("scale", self.scale)):
            if array is None:
                continue
            if name in ("mean", "scale"):
                _check(name, array, (D,), np.dtype(np.float64))
            if not np.isfinite(array).all():
                raise ValueError(f"{name} holds numbers that are not finite")
        if self.scale is not None and self.scale.min() <= 0:
            raise ValueError("scale must be above 0")

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Numbers of inputs, hidden units and classes: (D, H, C)."""
        D, H = self.params["W1"].shape
        return D, H, len(self.classes)

    def transform(self, X: Array) -> Array:
        """Return the features as the network was trained on them: standardized, or as they are; X is (N, D)."""
        if self.mean is None or self.scale is None:
            return X
        return (X - self.mean) / self.scale


def _check(name: str, array: Array, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    if array.shape != shape:
        raise ValueError(f"{name} must have the shape {shape}, got {array.shape}")
    if array.dtype != dtype:
        raise ValueError(f"{name} must be {dtype}, got {array.dtype}")


def _check_names(name: str, array: Array, count: int) -> None:
    if array.shape != (count,):
        raise ValueError(f"{name} must have the shape {(count,)}, got {array.shape}")
    if array.dtype.kind != "U" and (name != "classes" or array.dtype != np.int64):
        raise ValueError(f"{name} must be strings{' or int64' if name == 'classes' else ''}, got {array.dtype}")
    try:
        names = array.tolist()
    except ValueError:  # a code unit beyond Unicode
        raise ValueError(f"{name} holds text that is not Unicode") from None
    if len(set(names)) != count:
        raise ValueError(f"{name} holds a name twice")


def save_model(path: str | os.PathLike[str], model: StoredModel) -> None:
    """Write a model file, whole or not at all.

    Parameters
    ----------
    path : path
        The file to write or to replace.
    model : StoredModel
        What to write.
    """
    members: dict[str, Any] = {"format": np.int64(_FORMAT), **model.params, "classes": model.classes, "l2": model.l2}
    for name, kind in _OPTIONAL.items():
        array = getattr(model, name)
        members[name] = np.zeros(0, kind) if array is None else array
    with atomic_write(path) as file:
        np.savez(file, **members)


def load_model(path: str | os.PathLike[str]) -> StoredModel:
    """Read a model file; nothing in it is trusted.

    Parameters
    ----------
    path : path
        A file that `save_model` wrote.

    Returns
    -------
    StoredModel

    Raises
    ------
    OSError
        If the file cannot be opened.
    ValueError
        If it is no intact model file; the message says what is wrong with it.
    """
    arrays = read_npz(path)
    try:
        return _model(arrays)
    except ValueError as error:
        raise ValueError(f"{path} is not a model that fastnet can read: {error}") from None


def _model(arrays: dict[str, Array]) -> StoredModel:
    number = arrays.get("format")
    if number is None or number.shape != () or number.dtype != np.int64:
        raise ValueError("it holds no format number")
    if number != _FORMAT:
        raise ValueError(f"it has the format {number}, and this version of fastnet reads format {_FORMAT}")
    missing = [name for name in _MEMBERS if name not in arrays]
    if missing:
        raise ValueError(f"it lacks {', '.join(missing)}")
    unexpected = [name for name in arrays if name not in _MEMBERS]
    if unexpected:
        raise ValueError(f"it holds {', '.join(map(repr, unexpected))}, which no model has")
    l2 = arrays["l2"]
    if l2.shape != () or l2.dtype.kind != "U":
        raise ValueError("l2 must be a string")
    optional = {name: arrays[name] if arrays[name].size else None for name in _OPTIONAL}
    return StoredModel({name: arrays[name] for name in _PARAMS}, arrays["classes"], l2=l2.item(), **optional)
