"""How many steps to take in one compiled call."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["Pace"]

T = TypeVar("T")

_RUN_INDICES = 1_000_000
"""The most indices of samples that are drawn for one run: they are memory."""

_RUN_SECONDS = 0.01
"""How long one run of compiled steps, with its draws, is meant to take, so that neither Ctrl-C nor a progress bar waits
long."""


class Pace:
    """How many compiled steps to take at a time, by how long the last ones took. Where a run ends changes no result."""

    def __init__(self, batch_size: int) -> None:
        self._most = max(1, _RUN_INDICES // batch_size)
        self.steps = 1

    def __call__(self, run: Callable[[], T], steps: int) -> T:
        """Call `run`, which takes so many steps, and learn how long they take."""
        start = time.perf_counter()
        result = run()
        seconds_a_step = max(time.perf_counter() - start, 1e-9) / steps
        self.steps = max(1, min(int(_RUN_SECONDS / seconds_a_step), self._most))
        return result
