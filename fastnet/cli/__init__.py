"""The command line: ``fastnet train``, ``evaluate``, ``predict``, ``info`` and ``demo``."""

from .command_line import main

__all__ = ["main"]
