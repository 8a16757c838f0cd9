"""Data in the course's shapes: the digits that come with fastnet, and the user's own folder of CIFAR-10."""

from __future__ import annotations

import io
import os
import pickle
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import checks
from ..datasets import load_digits

__all__ = ["get_CIFAR10_data", "get_digits_data", "load_CIFAR10", "load_CIFAR_batch"]

Data = dict[str, NDArray[Any]]

_FOLDER = "cs231n/datasets/cifar-10-batches-py"
"""Where the course's notebooks have it."""


def get_digits_data(num_training: int = 1400, num_validation: int = 397, subtract_mean: bool = True) -> Data:
    """Return the handwritten digits of :func:`fastnet.datasets.load_digits` as the notebooks' `data`.

    Parameters
    ----------
    num_training, num_validation : int, default 1400 and 397
        So many of the 1797 images, in an order that is drawn once for all (they lie writer by writer, and the last ones
        are harder to read); the rest, if any, is the test data.
    subtract_mean : bool, default True
        Whether to subtract the mean training image from all.

    Returns
    -------
    data : dict
        ``X_train``, ``X_val`` and ``X_test``, float64 (N, 1, 8, 8), and ``y_train``, ``y_val`` and ``y_test``, int64.
    """
    X, y = load_digits()
    order = np.random.RandomState(0).permutation(len(X))
    return _parts(X[order].reshape(-1, 1, 8, 8), y[order], num_training, num_validation, len(X), subtract_mean)


def _parts(X: NDArray[Any], y: NDArray[Any], training: int, validation: int, last: int, subtract_mean: bool) -> Data:
    """Cut images into training, validation and, up to `last`, test data."""
    first = checks.integer(training, "num_training", minimum=1, maximum=len(X))
    second = first + checks.integer(validation, "num_validation", minimum=0, maximum=len(X) - first)
    if subtract_mean:
        X = X - X[:first].mean(axis=0)
    data: Data = {}
    for name, part in (("train", slice(first)), ("val", slice(first, second)), ("test", slice(second, last))):
        data[f"X_{name}"], data[f"y_{name}"] = X[part].copy(), y[part].copy()
    return data


class _Plain(pickle.Unpickler):
    """Reads NumPy arrays and plain types: whatever else a pickle asks for is refused."""

    _ALLOWED = frozenset((f"numpy.{core}.multiarray", "_reconstruct") for core in ("core", "_core")) | {
        ("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, and not for arrays only")
        return super().find_class(module, name)


def load_CIFAR_batch(filename: str | os.PathLike[str]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the images of one file of CIFAR-10 (the Python version), and their labels.

    Parameters
    ----------
    filename : path
        Nothing in the file is trusted: it is a pickle, of which arrays and plain types are read.

    Returns
    -------
    X : float64 array (N, 32, 32, 3)
    y : int64 array (N,)

    Raises
    ------
    OSError
        If the file cannot be opened.
    ValueError
        If it is no such file.
    """
    name = checks.path(filename, "filename")
    with open(name, "rb") as file:
        content = file.read()
    try:
        batch = _Plain(io.BytesIO(content), encoding="latin1").load()
        images, labels = batch["data"], batch["labels"]
    except Exception as error:  # of many kinds
        raise ValueError(f"{name} is no file of CIFAR-10: {error}") from None
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.ndim != 2 or images.shape[1] != 3072:
        raise ValueError(f"{name} is no file of CIFAR-10: it must have images of 3072 bytes")
    targets = checks.labels(labels, f"labels in {name}", samples=len(images), classes=10)
    return images.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1).astype(np.float64), targets


def load_CIFAR10(ROOT: str | os.PathLike[str]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return all of CIFAR-10 from a folder: training images (50000, 32, 32, 3) and labels, test images and labels.

    Parameters
    ----------
    ROOT : path
        The folder that has ``data_batch_1`` to ``data_batch_5`` and ``test_batch``.

    Raises
    ------
    OSError, ValueError
        As for `load_CIFAR_batch`.
    """
    root = checks.path(ROOT, "ROOT")
    parts = [load_CIFAR_batch(os.path.join(root, f"data_batch_{number}")) for number in range(1, 6)]
    X, y = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return (X, y, *load_CIFAR_batch(os.path.join(root, "test_batch")))


def get_CIFAR10_data(num_training: int = 49000, num_validation: int = 1000, num_test: int = 1000,
                     subtract_mean: bool = True, *, folder: str | os.PathLike[str] = _FOLDER) -> Data:
    """Return CIFAR-10 as the notebooks' `data`, read from a folder that you have.

    Parameters
    ----------
    num_training, num_validation, num_test : int, default 49000, 1000 and 1000
        So many training images, so many of those that follow them, and so many test images.
    subtract_mean : bool, default True
        Whether to subtract the mean training image from all.
    folder : path, keyword-only
        By default where the course's notebooks have it, ``cs231n/datasets/cifar-10-batches-py``.

    Returns
    -------
    data : dict
        ``X_train``, ``X_val`` and ``X_test``, float64 (N, 3, 32, 32), and ``y_train``, ``y_val`` and ``y_test``, int64.

    Raises
    ------
    OSError, ValueError
        As for `load_CIFAR_batch`.
    """
    X, y, X_test, y_test = load_CIFAR10(folder)
    tests = checks.integer(num_test, "num_test", minimum=0, maximum=len(X_test))
    data = _parts(X, y, num_training, num_validation, 0, False)
    data["X_test"], data["y_test"] = X_test[:tests], y_test[:tests].copy()
    mean = data["X_train"].mean(axis=0)
    for name in ("X_train", "X_val", "X_test"):
        images = data[name] - mean if subtract_mean else data[name]
        data[name] = images.transpose(0, 3, 1, 2).copy()
    return data
