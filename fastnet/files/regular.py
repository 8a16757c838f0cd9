"""Open files of strangers for reading: regular ones only, which have a size and an end."""

from __future__ import annotations

import errno
import os
import stat
from typing import IO

__all__ = ["open_regular", "size_of"]


def open_regular(path: str | os.PathLike[str]) -> IO[bytes]:
    """Open a regular file for reading, as bytes; links are followed.

    Raises
    ------
    OSError
        If there is no such file, or it cannot be opened.
    ValueError
        If it is something else, such as a device, which may never end, or a pipe, which may never begin.
    """
    return open(path, "rb", opener=_opener)


def size_of(file: IO[bytes]) -> int:
    """Return how many bytes an open file has."""
    return os.fstat(file.fileno()).st_size


def _opener(path: str, flags: int) -> int:
    # Without O_NONBLOCK the opening of a pipe waits for somebody who writes; on a regular file it does nothing.
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0))
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        if not stat.S_ISREG(mode):
            raise ValueError(f"{os.fsdecode(path)} is not a regular file")
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
