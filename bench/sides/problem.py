"""What every side is given: data, labels, and the weights to begin with."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

__all__ = ["L2", "RATE", "SEED", "Array", "Problem", "timed"]

RATE, L2 = 1e-2, 1e-3
SEED = 7
Array = np.ndarray[Any, Any]


class Problem(NamedTuple):
    """Data, labels, and the weights to begin with."""

    X: Array
    y: Array
    weights: tuple[Array, Array, Array, Array]
    batch: int

    def batches(self, steps: int) -> Array:
        """The minibatches that `train` of fastnet draws with the seed."""
        draws = np.random.RandomState(SEED).choice(len(self.X), steps * self.batch)
        return draws.reshape(steps, self.batch)


def timed(run: Callable[[], Any]) -> float:
    """Seconds that a call takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
