"""Model files: everything that a prediction needs, in an .npz without pickles or a .safetensors."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import containers
from .containers import Contents, FaultError

__all__ = ["LABELLED", "NETWORK", "StoredModel", "check_text", "check_width", "checked_names", "labelled_model",
           "load_model", "load_network", "names_of", "network_parameters", "save_model", "save_network"]

Array = np.ndarray[Any, Any]

NETWORK, LABELLED = "TwoLayerNet", "labelled TwoLayerNet"
"""Kinds of files: a network by itself; one whose classes have names, and whose features may have to be standardized."""

_PARAMS = ("W1", "b1", "W2", "b2")
_OPTIONAL = ("mean", "scale")

_MOST_CHARACTERS = 1 << 22
"""The most characters that an array of names takes, unless there are so many in the names themselves."""
_MOST_PADDING = 16
"""How many times that is."""


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
        D, C = _check_params(self.params)
        if self.l2 not in ("full", "half"):
            raise ValueError(f"l2 must be 'full' or 'half', got {self.l2!r}")
        checked_names("classes", self.classes, C)
        if self.features is not None:
            checked_names("features", self.features, D)
        if (self.mean is None) != (self.scale is None):
            raise ValueError("mean and scale belong together, and one of them is missing")
        for name in _OPTIONAL:
            array = getattr(self, name)
            if array is not None:
                _check(name, array, (D,), np.dtype(np.float64))
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


def _check_params(params: Mapping[str, Array]) -> tuple[int, int]:
    """Return D and C, or raise ValueError if these are not the parameters of a network."""
    if set(params) != set(_PARAMS):
        raise ValueError(f"the parameters of a model are {', '.join(_PARAMS)}, got {', '.join(params)}")
    W1, W2 = params["W1"], params["W2"]
    if W1.ndim != 2 or W2.ndim != 2:
        raise ValueError(f"W1 and W2 must have two dimensions, got the shapes {W1.shape} and {W2.shape}")
    (D, H), C = W1.shape, W2.shape[1]
    if not (D and H and C):
        raise ValueError(f"a model must have inputs, hidden units and classes, got {D}, {H} and {C} of them")
    if W1.dtype not in (np.float32, np.float64):
        raise ValueError(f"W1 must be float32 or float64, got {W1.dtype}")
    for name, shape in zip(_PARAMS, ((D, H), (H,), (H, C), (C,)), strict=True):
        _check(name, params[name], shape, W1.dtype)
    return D, C


def _check(name: str, array: Array, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    if array.shape != shape:
        raise ValueError(f"{name} must have the shape {shape}, got {array.shape}")
    if array.dtype != dtype:
        raise ValueError(f"{name} must be {dtype}, got {array.dtype}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds numbers that are not finite")


def checked_names(name: str, array: Array, count: int) -> None:
    """Raise ValueError unless these are `count` different names: strings or, for classes, int64."""
    if array.shape != (count,):
        raise ValueError(f"{name} must have the shape {(count,)}, got {array.shape}")
    if array.dtype.kind != "U" and (name != "classes" or array.dtype != np.int64):
        raise ValueError(f"{name} must be strings{' or int64' if name == 'classes' else ''}, got {array.dtype}")
    try:
        names = array.tolist()
    except ValueError:  # a code unit beyond Unicode
        raise ValueError(f"{name} holds text that is not Unicode") from None
    if array.dtype.kind == "U":
        check_text(names, name)
    if len(set(names)) != count:
        raise ValueError(f"{name} holds a name twice")


def check_text(names: Sequence[str], what: str) -> None:
    """Raise ValueError for names that an array of strings would not give back, or not without very much memory.

    Parameters
    ----------
    names : sequence of str
    what : str
        What they are, for messages.
    """
    check_width(names, max(map(len, names), default=0), what)
    if any(name.endswith("\0") for name in names):
        raise FaultError(f"{what} holds text that ends in a NUL character, which is lost in NumPy's strings")
    try:
        "".join(names).encode()
    except UnicodeEncodeError:  # half a character
        raise FaultError(f"{what} holds text that is not Unicode") from None


def check_width(names: Sequence[str], width: int, what: str) -> None:
    """Raise ValueError where an array of strings would take very much more than the names in it.

    It takes as much for each as for the longest, or as its dtype says.

    Parameters
    ----------
    names : sequence of str
    width : int
        Characters that each takes.
    what : str
        What they are, for messages.
    """
    if len(names) * width > max(_MOST_CHARACTERS, _MOST_PADDING * sum(map(len, names))):
        raise FaultError(f"{what} holds text that is too long: NumPy would keep {len(names)} strings of {width} "
                         f"characters each")


def save_model(path: str | os.PathLike[str], model: StoredModel) -> None:
    """Write a model file, whole or not at all.

    Parameters
    ----------
    path : path
        The file to write or to replace; .safetensors or else .npz.
    model : StoredModel
        What to write.
    """
    fields = {"l2": model.l2, "classes": model.classes.tolist(),
              "features": None if model.features is None else model.features.tolist()}
    optional = {name: getattr(model, name) for name in _OPTIONAL if getattr(model, name) is not None}
    containers.write(path, LABELLED, fields, {**model.params, **optional})


def save_network(path: str | os.PathLike[str], params: Mapping[str, Array], l2: str) -> None:
    """Write the parameters of a network: W1 (D, H), b1 (H,), W2 (H, C), b2 (C,), float32 or float64.

    Raises
    ------
    ValueError
        If they do not agree, or are not finite: no such file could be read.
    """
    _check_params(dict(params))
    containers.write(path, NETWORK, {"l2": l2}, params)


def load_network(path: str | os.PathLike[str]) -> tuple[dict[str, Array], str]:
    """Return the parameters that `save_network` wrote, and the form of the penalty; nothing in the file is trusted.

    Raises
    ------
    OSError
        If the file cannot be opened.
    ValueError
        If it is no intact file of a network; the message says what is wrong with it.
    """
    contents = containers.read(path, (NETWORK,), "a TwoLayerNet")
    try:
        return network_parameters(contents)
    except ValueError as error:
        raise containers.described(error, path, "a TwoLayerNet") from None


def load_model(path: str | os.PathLike[str]) -> StoredModel:
    """Read a model file, also one of a network by itself, whose classes are then 0 to C - 1; nothing in it is trusted.

    Parameters
    ----------
    path : path
        A file that `save_model` or `save_network` wrote.

    Raises
    ------
    OSError
        If the file cannot be opened.
    ValueError
        If it is no intact model file; the message says what is wrong with it.
    """
    contents = containers.read(path, (NETWORK, LABELLED), "a model")
    try:
        return labelled_model(contents)
    except ValueError as error:
        raise containers.described(error, path, "a model") from None


def labelled_model(contents: Contents) -> StoredModel:
    """Return what a file of either kind describes.

    Raises
    ------
    ValueError
        If it describes no model.
    """
    if contents.kind == NETWORK:
        params, l2 = network_parameters(contents)
        return StoredModel(params, np.arange(params["W2"].shape[1], dtype=np.int64), l2=l2)
    optional = [name for name in _OPTIONAL if name in contents.arrays]
    contents.expect(("l2", "classes", "features"), (*_PARAMS, *optional))
    features = contents.fields["features"]
    return StoredModel({name: contents.arrays[name] for name in _PARAMS},
                       names_of(contents.fields["classes"], "classes"), l2=contents.fields["l2"],
                       features=None if features is None else names_of(features, "features"),
                       **{name: contents.arrays[name] for name in optional})


def network_parameters(contents: Contents) -> tuple[dict[str, Array], str]:
    """Return the parameters and the form of the penalty of a network that a file describes.

    Raises
    ------
    ValueError
        If it describes none.
    """
    contents.expect(("l2",), _PARAMS)
    params = {name: contents.arrays[name] for name in _PARAMS}
    _check_params(params)
    return params, contents.choice("l2", ("full", "half"))


def names_of(value: Any, name: str) -> Array:
    """Return the array of names that a list in a file is: strings, or integers.

    Raises
    ------
    ValueError
        If it is something else.
    """
    if isinstance(value, list) and value:
        if all(isinstance(part, str) for part in value):
            check_text(value, name)
            return np.array(value)
        if all(type(part) is int and -2**63 <= part < 2**63 for part in value):
            return np.array(value, np.int64)
    raise FaultError(f"{name} must be a list of strings or of 64-bit integers")
