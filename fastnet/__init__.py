"""fastnet: the two-layer neural network of the classic course notes, on the CPU, as fast as Numba can.

``from fastnet import TwoLayerNet`` takes the place of the course's NumPy class; :mod:`fastnet.reference` holds the same
network in plain NumPy, and :mod:`fastnet.kernels` the compiled functions that it is made of.
"""

from __future__ import annotations

from .model import TwoLayerNet, warmup
from .threads import get_num_threads, set_num_threads

__version__ = "0.1.0"

__all__ = ["TwoLayerNet", "__version__", "get_num_threads", "set_num_threads", "warmup"]
