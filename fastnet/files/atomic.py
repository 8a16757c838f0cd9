"""Write a file whole or not at all."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

__all__ = ["atomic_write", "check_writable"]

_LEFTOVER_SECONDS = 3600.0
"""Age from which on a temporary file is nobody's."""


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise OSError or ValueError if a file cannot be written at `path`: better before the work than after it."""
    if not os.fspath(path):
        raise ValueError("the name of the file to write is empty")
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(f"cannot write {path}: there is no folder {target.parent}")
    if target.exists() and not target.is_file():  # a folder; or a device, which a rename would replace
        raise ValueError(f"cannot write {path}: it is not a regular file")
    if not os.access(target.parent, os.W_OK):
        raise PermissionError(f"cannot write {path}: no permission to write in {target.parent}")


def _sync_folder(folder: str) -> None:
    """Have the system write down which file has which name, where it lets a folder be opened for that."""
    with suppress(OSError):
        descriptor = os.open(folder or ".", os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _remove_leftovers(folder: str, name: str) -> None:
    """Remove temporary files of this name that nobody has written to for long: a killed process leaves one."""
    with suppress(OSError):
        for entry in os.scandir(folder):
            if (entry.name.startswith(f".{name}.") and entry.name.endswith(".tmp")
                    and entry.is_file(follow_symlinks=False)
                    and time.time() - entry.stat().st_mtime > _LEFTOVER_SECONDS):
                os.unlink(entry.path)


@contextmanager
def atomic_write(path: str | os.PathLike[str], mode: str = "wb", **options: Any) -> Iterator[IO[Any]]:
    """Open a temporary file beside `path`; rename it over `path` at the end, or remove it after an exception.

    Parameters
    ----------
    path : path
        The file to write or to replace. A symbolic link is followed.
    mode : {"wb", "w"}
        As for `open`.
    **options
        Further arguments of `open`, such as the encoding.
    """
    check_writable(path)
    target = os.path.realpath(path)
    folder, name = os.path.split(target)
    # Not by `tempfile`, whose files nobody else may read: the permissions are to follow the user's umask.
    temporary = os.path.join(folder, f".{name[:100]}.{secrets.token_hex(6)}.tmp")
    _remove_leftovers(folder, name[:100])
    try:
        with open(temporary, mode.replace("w", "x"), **options) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
        _sync_folder(folder)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
