"""fastnet: the two-layer neural network of the classic course notes, on the CPU, as fast as Numba can.

``from fastnet import TwoLayerNet`` takes the place of the course's NumPy class; :mod:`fastnet.reference` holds the same
network in plain NumPy, and :mod:`fastnet.kernels` the compiled functions that it is made of. :mod:`fastnet.sklearn` has
scikit-learn's multi-layer perceptrons on the same engine.
"""

from __future__ import annotations

import os
import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import datasets, kernels, reference
    from .model import TwoLayerNet, warmup
    from .parallel.threads import get_num_threads, set_num_threads
    from .saving import load, save
    from .sklearn.patch import patch_sklearn, unpatch_sklearn
    from .training.loop import DivergenceWarning
    from .verification.comparison import verify

__version__ = "0.1.0"

__all__ = ["DivergenceWarning", "TwoLayerNet", "__version__", "datasets", "get_num_threads", "kernels", "load",
           "patch_sklearn", "reference", "save", "set_num_threads", "unpatch_sklearn", "verify", "warmup"]

# Looked up when first used (PEP 562): the command line answers --help, and Ctrl-C, without waiting for numba's import.
_HOMES = {"TwoLayerNet": "model", "warmup": "model", "DivergenceWarning": "training.loop",
          "verify": "verification.comparison", "load": "saving", "save": "saving",
          "get_num_threads": "parallel.threads", "set_num_threads": "parallel.threads",
          "patch_sklearn": "sklearn.patch", "unpatch_sklearn": "sklearn.patch",
          "datasets": None, "kernels": None, "reference": None}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _HOMES[name]
    return import_module(f".{name}", __name__) if home is None else getattr(import_module(f".{home}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _notice_another_fastnet(folder: str) -> None:
    """Warn of another distribution that has files in the package's folder, which is within `folder`.

    On the package index the name fastnet belongs to another project. Both have a ``fastnet/__init__.py``: installed
    last wins, and uninstalling one takes the other's. The names of files say it: to read metadata would take longer
    than all of this import.
    """
    try:
        names = os.listdir(folder)
    except OSError:  # an archive, say
        return
    for name in names:
        if name.startswith("fastnet-") and name.endswith((".dist-info", ".egg-info")):
            warnings.warn(f"{os.path.join(folder, name)}: another distribution, called fastnet, is installed into the "
                          "same folder as fastnet-numba, and they overwrite each other's files; pip uninstall both, "
                          "then install the one that you want", RuntimeWarning, stacklevel=3)


_notice_another_fastnet(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
