"""Models as ONNX files, for other programs."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from .atomic import atomic_write
from .containers import check_format

__all__ = ["is_onnx", "write_onnx"]


def is_onnx(path: str | os.PathLike[str]) -> bool:
    """Whether the name of a file is one of ONNX."""
    return os.fsdecode(path).lower().endswith(".onnx")


def write_onnx(path: str | os.PathLike[str], make: Callable[[], Any]) -> None:
    """Write the fitted estimator of scikit-learn that `make` returns as ONNX: whole or not at all.

    Its input is ``X``, (N, D), of the dtype of the parameters; its outputs are labels and, as an array, probabilities,
    or what was predicted.

    Raises
    ------
    ValueError
        If skl2onnx is not installed (extra `onnx`): such a name is then that of another format.
    OSError
        If the file cannot be written; an old one is as it was.
    """
    try:
        import skl2onnx
        from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType
    except ImportError:
        check_format(path)
        raise
    estimator = make()
    columns, dtype = len(estimator.coefs_[0]), estimator.coefs_[0].dtype
    kind = FloatTensorType if dtype == np.float32 else DoubleTensorType
    options = {id(estimator): {"zipmap": False}} if hasattr(estimator, "classes_") else None
    converted = skl2onnx.to_onnx(estimator, initial_types=[("X", kind([None, columns]))], options=options)
    with atomic_write(path) as file:
        file.write(converted.SerializeToString())
