"""fastnet and its peers, each behind the same few lines: train from given weights on given minibatches, and predict.

Every side gets what it is best with: compiled, its own choice of threads and also one, float32 where we have float32.
The peers get the indices of their minibatches beforehand; fastnet and NumPy draw theirs in `train`, by a generator that
draws the same. scikit-learn has no way to be given indices: it is timed on consecutive minibatches, unshuffled, which
is less work, and checked by `partial_fit`.

A side has `losses` and `seconds` of a training, if it trains, `predictor`, and `dtypes` where it has not both. It is
made in its own process only, so that no two thread pools meet.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..machine import cores
from .estimators import Course, Sklearn
from .jax_scan import Jax
from .problem import L2, RATE, Problem
from .pytorch import Torch, WholeTorch
from .runtimes import LiteRt, OnnxRuntime, OpenVino

__all__ = ["L2", "RATE", "SIDES", "Problem"]


def fastnet() -> Any:
    """Return the class of fastnet."""
    from fastnet import TwoLayerNet

    return Course(TwoLayerNet)


def numpy() -> Any:
    """The reference."""
    from fastnet.reference import TwoLayerNet

    return Course(TwoLayerNet)


SIDES: dict[str, Callable[[], Any]] = {
    "fastnet": fastnet,
    "NumPy": numpy,
    "scikit-learn": Sklearn,
    "PyTorch": lambda: Torch(None, compiled=False),
    "PyTorch, 1 thread": lambda: Torch(1, compiled=False),
    "PyTorch, forward compiled": lambda: Torch(None, compiled=True),
    "PyTorch, step compiled": lambda: WholeTorch(None),
    "PyTorch, step compiled, 1 thread": lambda: WholeTorch(1),
    "JAX": Jax,
    "ONNX Runtime": OnnxRuntime,
    "ONNX Runtime, 1 thread": lambda: OnnxRuntime(1),
    "ONNX Runtime, 1 thread, bound": lambda: OnnxRuntime(1, binding=True),
    "ONNX Runtime, no spinning": lambda: OnnxRuntime(spinning=False),
    "OpenVINO": OpenVino,
    "OpenVINO, 1 thread": lambda: OpenVino(1),
    "LiteRT": lambda: LiteRt(cores()),
    "LiteRT, 1 thread": lambda: LiteRt(1),
}
"""Each side by its name, which begins with the library's; making one fails with ImportError where it is missing."""
