"""How many steps to take in one compiled call."""

from __future__ import annotations

from numba import config

from ..tuning import FIRST_WORK, RUN_INDICES, RUN_SECONDS

__all__ = ["Pace"]


class Pace:
    """How many compiled steps to take at a time, by how long the last ones took. Where a run ends changes no result.

    Parameters
    ----------
    batch_size : int
        Samples in a minibatch.
    work : float
        Multiply-adds of a step, about: nothing is known yet when the first are taken.

    Attributes
    ----------
    steps : int
        So many.
    """

    def __init__(self, batch_size: int, work: float) -> None:
        self._most = max(1, RUN_INDICES // batch_size)
        # Without compilation a step takes a thousand times as long.
        self.steps = 1 if config.DISABLE_JIT else max(1, min(int(FIRST_WORK / work), self._most))

    def learn(self, seconds: float, steps: int) -> None:
        """Take note of how long a run of so many steps took."""
        seconds_a_step = max(seconds, 1e-9) / steps
        self.steps = max(1, min(int(RUN_SECONDS / seconds_a_step), self._most))
