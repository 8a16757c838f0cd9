"""How many steps to take in one compiled call."""

from __future__ import annotations

from ..tuning import RUN_INDICES, RUN_SECONDS

__all__ = ["Pace"]


class Pace:
    """How many compiled steps to take at a time, by how long the last ones took. Where a run ends changes no result.

    Attributes
    ----------
    steps : int
        So many.
    """

    def __init__(self, batch_size: int) -> None:
        self._most = max(1, RUN_INDICES // batch_size)
        self.steps = 1

    def learn(self, seconds: float, steps: int) -> None:
        """Take note of how long a run of so many steps took."""
        seconds_a_step = max(seconds, 1e-9) / steps
        self.steps = max(1, min(int(RUN_SECONDS / seconds_a_step), self._most))
