"""What nobody works with for now, and the next call of the same kind can have: to make it takes longer than small work.

Nothing here is ever used by two at a time: who takes a thing has it alone, and gives it back when all went well. What
an exception came in between is not given back, and nobody has it any more.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

from ..tuning import IDLE_WORKSPACES

__all__ = ["Idle"]

Thing = TypeVar("Thing")


class Idle(Generic[Thing]):
    """The last few things that were given back, each under what it is good for.

    Threads and signal handlers may all use it, without a lock that one of them could wait for in vain: what is done to
    the dict is one step for the others each time.
    """

    def __init__(self) -> None:
        self._things: dict[Hashable, Thing] = {}

    def take(self, key: Hashable) -> Thing | None:
        """Return what is there for a key, and have it no longer; None if there is nothing."""
        return self._things.pop(key, None)

    def give(self, key: Hashable, thing: Thing) -> None:
        """Keep a thing for whoever asks next, and as few others as there may be."""
        self._things[key] = thing
        for old in list(self._things)[:-IDLE_WORKSPACES]:
            self._things.pop(old, None)

    def __len__(self) -> int:
        return len(self._things)
