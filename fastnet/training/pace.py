"""How many steps to take in one compiled call."""

from __future__ import annotations

__all__ = ["Pace"]

_RUN_INDICES = 1_000_000
"""The most indices of samples that are drawn for one run: they are memory."""

_RUN_SECONDS = 0.01
"""How long one run of compiled steps is meant to take, so that neither Ctrl-C nor a progress bar waits long."""


class Pace:
    """How many compiled steps to take at a time, by how long the last ones took. Where a run ends changes no result.

    Attributes
    ----------
    steps : int
        So many.
    """

    def __init__(self, batch_size: int) -> None:
        self._most = max(1, _RUN_INDICES // batch_size)
        self.steps = 1

    def learn(self, seconds: float, steps: int) -> None:
        """Take note of how long a run of so many steps took."""
        seconds_a_step = max(seconds, 1e-9) / steps
        self.steps = max(1, min(int(_RUN_SECONDS / seconds_a_step), self._most))
