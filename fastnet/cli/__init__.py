"""The command line: ``fastnet train``, ``evaluate``, ``predict``, ``info``, ``warmup`` and ``demo``."""

try:
    from .. import __version__  # noqa: F401
except ImportError:
    raise ImportError("fastnet/__init__.py is not that of fastnet-numba: another distribution, called fastnet, has "
                      "been installed over it; pip uninstall both, then install fastnet-numba anew",
                      name="fastnet") from None

from .command_line import main

__all__ = ["main"]
