"""Who compiles, where several processes need the same at once: one of them, and the others load what it has kept.

A *turn* is a lock of the operating system (flock) on an empty file beside the cache file. Who has it compiles, keeps
what comes, removes the lock's file and only then gives the lock back. So a file that is still there says that the work
was not done: its holder was killed, or an exception ended the compilation, and the next in line has a turn of its own.
The system gives back the lock of a process that ends, however it ends.

Nobody waits for ever, and nothing fails here. Where there are no such locks (on Windows, on some network drives, in a
folder that has become read-only), and after `PATIENCE` seconds, which a process can be stopped for, everybody compiles
as if this file did not exist. Whose predecessor could keep nothing goes on without a turn: those behind need not queue.

Threads of one process wait for numba's own lock, which is held here: turns are asked for by one thread at a time, and
always that of a caller before those of what it calls, so that no two processes can wait for each other.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import IO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["PATIENCE", "done", "take", "turn"]

PATIENCE = 120.0
"""Seconds that somebody waits at most. The longest compilation takes 15 on an idle core."""

_PAUSE = 0.02
"""Seconds between two looks at a lock: a wait by the system would keep Ctrl-C waiting, and would have no end."""


def _is_of_the_system(error: OSError) -> bool:
    """Whether an error comes from a call of the system, and not from a signal handler: `raise TimeoutError`, say."""
    return error.errno is not None


class _Turn:
    """The right to compile what a file is for, or not yet. Without anybody who refers to it, it is given back."""

    def __init__(self) -> None:
        self.taken = False
        self.path = ""
        self.file: IO[bytes] | None = None
        self.process = os.getpid()

    def __del__(self) -> None:
        if self.file is not None:
            self.file.close()

    def take(self, path: str, opener: Callable[[str, int], int], waiting: Callable[[], None]) -> None:
        """Wait until nobody else has it, then take it if it is still needed."""
        end = time.monotonic() + PATIENCE
        self.path = path
        try:
            self.file = open(path, "ab", opener=opener)  # noqa: SIM115 (it is closed where the turn is over)
            while not self._locks():
                if time.monotonic() >= end:
                    return
                waiting()
                time.sleep(_PAUSE)
            if self._is_there():  # else somebody had it, and is done
                self.taken = True
                _HELD[path] = self
        except OSError as error:
            if not _is_of_the_system(error):
                raise
        finally:
            if not self.taken:
                self.give_back(work_is_done=False)

    def give_back(self, work_is_done: bool) -> None:
        """Let the next one have it, if it is taken."""
        file, taken = self.file, self.taken
        if file is None:
            return
        try:
            if taken and self.process == os.getpid():  # a forked child has the file as well, and its parent goes on
                if work_is_done and self._is_there():
                    os.unlink(self.path)
                fcntl.flock(file, fcntl.LOCK_UN)  # closing is not enough where a child has the file as well
        except OSError as error:
            if not _is_of_the_system(error):
                raise
        finally:
            self.file, self.taken = None, False
            file.close()

    def _locks(self) -> bool:
        """Whether nobody else had the lock."""
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # type: ignore[arg-type]
        except BlockingIOError as error:
            if not _is_of_the_system(error):
                raise
            return False
        return True

    def _is_there(self) -> bool:
        """Whether the file still has its name."""
        try:
            return os.path.samestat(os.fstat(self.file.fileno()), os.lstat(self.path))  # type: ignore[union-attr]
        except FileNotFoundError as error:
            if not _is_of_the_system(error):
                raise
            return False


_HELD: weakref.WeakValueDictionary[str, _Turn] = weakref.WeakValueDictionary()
"""The turns that this process has."""


class _Now(threading.local):
    """What a thread is at. Weak: an exception at any moment leaves no turn taken."""

    turn: Callable[[], _Turn | None] = staticmethod(lambda: None)


_now = _Now()


@contextlib.contextmanager
def turn() -> Iterator[None]:
    """Return a context in which something is perhaps compiled: a turn that is taken within is given back at its end."""
    mine, before = _Turn(), _now.turn
    _now.turn = weakref.ref(mine)
    try:
        yield
    finally:
        _now.turn = before
        mine.give_back(work_is_done=False)


def take(path: str, opener: Callable[[str, int], int], waiting: Callable[[], None]) -> None:
    """Take the turn to compile, by a lock at `path`: once nobody else has it. Only within the context `turn`.

    Afterwards somebody else may have done the work.

    Parameters
    ----------
    path : str
        Of the file for the lock, in a folder to which only this user can write.
    opener : callable
        Opens it, given flags, as `open` asks it to.
    waiting : callable
        Is called again and again while somebody else has the turn.
    """
    mine, ours = _now.turn(), _HELD.get(path)
    # A signal handler may call what is being compiled: nobody waits for oneself.
    if fcntl is not None and mine is not None and not (ours is not None and ours.taken):
        mine.take(path, opener, waiting)


def done() -> None:
    """Give the turn back, as there is nothing left to do, or to wait for."""
    mine = _now.turn()
    if mine is not None:
        mine.give_back(work_is_done=True)
