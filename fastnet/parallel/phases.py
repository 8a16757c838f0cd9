"""The protocol of a team, in compiled code: a door, and shares of phases that are taken and completed.

What each is for, and why an exception breaks none of it: :mod:`fastnet.parallel.team`. The counters are an int64 array:
how many shares are complete, the door, and for each share 1 + the last phase in which it was claimed, 0 if none.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..jit.decorators import block
from ..llvm.atomics import atomic_add, atomic_exchange, atomic_load, rest
from ..llvm.clock import nanoseconds
from ..llvm.process_numbers import process_counter
from ..tuning import COUNTER_SPACING, LINGERS, OTHERS_NANOSECONDS, SPINS

__all__ = ["SHUT", "call_helpers_back", "claim", "complete", "door_was_opened", "enter", "leave", "new_counters",
           "wait_until"]

_COMPLETE, _DOOR, _FIRST_SHARE = 0, 1, 2
"""Numbers of the counters: of complete shares, of the door, and of the first share."""

_OPEN, _CLOSED = 1 << 32, 1 << 33
"""The door is 0 before it is opened, and then one of these plus the number of helpers inside."""

SHUT = -1
"""What `enter` returns to who may not work."""


def door_was_opened(counters: NDArray[np.int64]) -> bool:
    """Whether worker 0 has begun."""
    return bool(counters[_DOOR * COUNTER_SPACING])


def new_counters(shares: int) -> NDArray[np.int64]:
    """Return the counters of a team that has not begun, for at most `shares` shares in a phase."""
    return np.zeros((_FIRST_SHARE + shares) * COUNTER_SPACING, np.int64)


doors, count_door, call_helpers_back = process_counter("fastnet_doors")
"""How many doors have been opened in this process, of teams with several shares.

`call_helpers_back` counts one more, in Python: for work that has no door.
"""


@block
def enter(counters, worker):
    """Return SHUT if a worker may not work, else how many doors had been opened before; for `leave`.

    Number 0 opens the door for the others.
    """
    opened = doors()
    if worker == 0:
        if counters.shape[0] > (_FIRST_SHARE + 1) * COUNTER_SPACING:
            count_door()
        atomic_add(counters, _DOOR, _OPEN)
        return opened
    door = atomic_load(counters, _DOOR)
    while _OPEN <= door < _CLOSED:
        if atomic_exchange(counters, _DOOR, door, door + 1):
            return opened
        door = atomic_load(counters, _DOOR)
    return SHUT


@block
def leave(counters, worker, opened):
    """Go out; number 0 closes the door, and returns when nobody is inside any more. `opened` is what `enter` returned.

    A helper then stays awake for a while, until another door is opened, if none has been since it came: to be woken
    takes as long as a small piece of work. It touches nothing that belongs to the team any more. After each look it
    offers its core to others, and as soon as one of them has had it, it goes.
    """
    if worker > 0:
        atomic_add(counters, _DOOR, -1)
        looks, before = 0, nanoseconds()
        while looks < LINGERS and doors() == opened:
            rest(True)
            now = nanoseconds()
            looks = LINGERS if now - before > OTHERS_NANOSECONDS else looks + 1
            before = now
        return
    atomic_add(counters, _DOOR, _CLOSED - _OPEN)
    spins = 0
    while atomic_load(counters, _DOOR) != _CLOSED:
        spins += 1
        rest(spins > SPINS)


@block
def wait_until(counters, completed):
    """Return when `completed` shares are complete, counted over all phases."""
    spins = 0
    while atomic_load(counters, _COMPLETE) < completed:
        spins += 1
        rest(spins > SPINS)


@block
def claim(counters, share, phase):
    """Whether the caller is the one to do share number `share` of phase number `phase`."""
    free_from = atomic_load(counters, _FIRST_SHARE + share)
    return free_from <= phase and atomic_exchange(counters, _FIRST_SHARE + share, free_from, phase + 1)


@block
def complete(counters):
    """Say that a share that was taken is complete."""
    atomic_add(counters, _COMPLETE, 1)
