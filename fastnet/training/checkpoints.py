"""Checkpoints: all that a training run is after some iterations, from which it goes on bit for bit."""

from __future__ import annotations

import os
import sys
import time
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import shortened
from ..files import containers, random_state
from ..files.atomic import check_writable
from ..files.containers import FaultError
from ..llvm.memory import copy_all
from ..tuning import CHECKSUM_PIECE

__all__ = ["Checkpoints", "Progress", "check_run", "checked_interval", "data_checksum", "read_checkpoint"]

_KIND = "training run"
_HISTORIES = ("loss_history", "train_acc_history", "val_acc_history")

Run = Mapping[str, str | int | float]
"""What a run is made of, and must be made of when it goes on: names and values of arguments."""


@dataclass
class Progress:
    """How far a run has come: what `train` has in its local variables."""

    iteration: int
    """Steps that have been taken."""
    learning_rate: float
    """For the next step."""
    history: dict[str, list[float]]
    """As `train` returns it."""
    stopped: bool = False
    """Whether a callback has ended the run."""


def checked_interval(value: Any) -> int | float:
    """Return `checkpoint_every`: an int counts iterations, a float seconds."""
    if isinstance(value, np.generic):
        value = value.item()
    if type(value) not in (int, float):
        raise TypeError(f"checkpoint_every must be a number of iterations (int) or of seconds (float), got "
                        f"{shortened(value)}")
    if not 0 < value < float("inf"):
        raise ValueError(f"checkpoint_every must be above 0 and finite, got {shortened(value)}")
    return value


def data_checksum(arrays: Iterable[NDArray[Any]]) -> int:
    """Return a checksum of C-contiguous arrays: a run is to go on with the data that it began with."""
    checksum = 0
    for array in arrays:
        flat: Any = array.reshape(-1).view(np.uint8)
        for start in range(0, flat.size, CHECKSUM_PIECE):
            checksum = zlib.crc32(flat[start:start + CHECKSUM_PIECE], checksum)
    return checksum


class Checkpoints:
    """Where and when a run writes down how far it has come.

    Parameters
    ----------
    path : path
        The file; each checkpoint replaces the one before, whole or not at all.
    every : int or float
        Iterations, or seconds.
    run : mapping
        What the run is made of.
    params : callable
        Returns the arrays of the model, by name, as they are now.
    rng : Generator, RandomState or None
        The generator that minibatches are drawn from; None for NumPy's global one.
    """

    def __init__(self, path: str | os.PathLike[str], every: int | float, run: Run,
                 params: Callable[[], Mapping[str, NDArray[Any]]], rng: random_state.Generator | None) -> None:
        check_writable(path)
        self._path, self._every, self._run, self._params, self._rng = path, every, run, params, rng
        self._last = time.monotonic()

    def next_stop(self, iteration: int) -> int:
        """Return after how many iterations the run should stop for a checkpoint, where that can be told."""
        return iteration - iteration % self._every + self._every if isinstance(self._every, int) else sys.maxsize

    def due(self, iteration: int) -> bool:
        """Whether a checkpoint should be written after so many iterations."""
        if isinstance(self._every, int):
            return iteration % self._every == 0
        return time.monotonic() - self._last >= self._every

    def write(self, progress: Progress) -> None:
        """Write a checkpoint."""
        fields = {"run": dict(self._run), "iteration": progress.iteration, "learning_rate": progress.learning_rate,
                  "stopped": progress.stopped, "rng": random_state.state_of(self._rng)}
        histories = {name: np.array(progress.history[name], np.float64) for name in _HISTORIES}
        containers.write(self._path, _KIND, fields, {**self._params(), **histories})
        self._last = time.monotonic()


def read_checkpoint(path: str | os.PathLike[str], run: Run, params: Mapping[str, NDArray[Any]],
                    rng: random_state.Generator | None) -> tuple[Progress, Callable[[], None]]:
    """Read a checkpoint of a run; nothing in the file is trusted, and nothing is changed yet.

    Parameters
    ----------
    path : path
    run : mapping
        What the run is made of that is to go on.
    params : mapping
        The arrays of the model, by name.
    rng : Generator, RandomState or None
        As for :class:`Checkpoints`.

    Returns
    -------
    progress : Progress
    restore : callable
        Puts arrays and generator into the state that they had.

    Raises
    ------
    OSError
        If the file cannot be opened.
    ValueError
        If it is no intact checkpoint, or one of another run; the message says what is wrong or differs.
    """
    contents = containers.read(path, (_KIND,), "a checkpoint")
    try:
        contents.expect(("run", "iteration", "learning_rate", "stopped", "rng"), (*params, *_HISTORIES))
        check_run(contents.fields["run"], run)
        iteration = contents.integer("iteration")
        history = {}
        for name in _HISTORIES:
            size = min(contents.arrays[name].size, iteration)
            history[name] = list(contents.array(name, (iteration if name == "loss_history" else size,), np.float64,
                                                finite=False))
        if len(history["train_acc_history"]) != len(history["val_acc_history"]):
            raise FaultError("its histories of accuracies are of different lengths")
        progress = Progress(iteration, contents.number("learning_rate"), history,
                            contents.choice("stopped", (False, True)))
        arrays = {name: contents.array(name, array.shape, array.dtype.newbyteorder("="), finite=False)
                  for name, array in params.items()}
        state = random_state.restored_state(contents.fields["rng"], rng)
    except ValueError as error:
        raise containers.described(error, path, "a checkpoint of this run") from None

    def restore() -> None:
        copy_all((params[name], array) for name, array in arrays.items())
        random_state.set_state(rng, state)

    return progress, restore


def check_run(stored: Any, run: Run) -> None:
    """Raise ValueError unless a file says that its run is made of the same."""
    if not isinstance(stored, dict) or set(stored) != set(run):
        raise FaultError("it does not say what the run is made of")
    for name, value in run.items():
        if type(stored[name]) is not type(value) or stored[name] != value:
            given = "other data than now" if name == "data" else f"{name} {stored[name]!r:.60}, and it is {value!r} now"
            raise FaultError(f"it was made with {given}")
