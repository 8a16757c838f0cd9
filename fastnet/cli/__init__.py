"""The command line: ``fastnet train``, ``predict``, ``info`` and ``demo``."""

from .command_line import main

__all__ = ["main"]
