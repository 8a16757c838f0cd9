"""The command line: ``fastnet train``, ``predict``, ``info`` and ``demo``."""

from .commands import main

__all__ = ["main"]
