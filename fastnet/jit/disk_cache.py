"""The disk cache of compiled functions: never stale, never torn, and only where nobody else can write.

Numba says where a cache may lie and turns compiled code into bytes and back. What lies there is kept by this module:
one file for each function, signature and environment, with a digest of its content. Whatever is wrong with a file
makes it one that is not there: the function is compiled again, and the file is replaced. No error of the cache is ever
an error of the call; `NUMBA_DEBUG_CACHE=1` prints what happens.

Where numba's inside is not as it is known (:mod:`fastnet.jit.numba_internals`), its own cache is used instead, in a
folder of the same kind: one for each source and environment, so that it is not stale either.

A file is a pickle and machine code, so who can write it can run code as its reader: files count, and folders are used,
only if they belong to this user (or to root) and nobody else can write to them.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import inspect
import os
import pickle
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from numba import config

from . import announcements, turns
from .numba_internals import (
    DISK_CACHE,
    MISSING,
    InTreePlace,
    StoredFunction,
    UserPlace,
    UserWidePlace,
    cache_folder,
    counts_references,
    dumps,
    initialize_memory,
)
from .shared_code import link_names_in

__all__ = ["DiskCache", "cache_directory", "plain_cache"]

_PACKAGE = Path(__file__).parents[1]
"""All of it: what is compiled in one folder is made of functions from several."""

_FORMAT = b"fastnet cache 1\n"
_DIGEST_BYTES = 32

_OPTIONS = ("OPT", "LOOP_VECTORIZE", "SLP_VECTORIZE", "LLVM_REFPRUNE_PASS", "LLVM_REFPRUNE_FLAGS", "BOUNDSCHECK",
            "DEBUGINFO_DEFAULT", "EXTEND_VARIABLE_LIFETIMES", "ENABLE_PROFILING", "DEBUG_ARRAY_OPT_RUNTIME",
            "USING_SVML")
"""Settings of numba that change the machine code and that numba leaves out of its own key."""


def _log(message: str) -> None:
    if config.DEBUG_CACHE:
        print(f"[cache] {message}")


@contextlib.contextmanager
def _harmless(action: str) -> Iterator[None]:
    """Whatever goes wrong within is no error: what cannot be loaded is compiled, what cannot be saved is not kept."""
    try:
        yield
    except Exception as error:
        _log(f"{action}: {type(error).__name__}: {error}")


@functools.cache
def _source_stamp() -> str:
    """Hash of every source file of the package: a kernel is made of functions from several, and of generated code."""
    digest = hashlib.sha256()
    sources = sorted(_PACKAGE.rglob("*.py"))
    if not sources:  # a frozen application, or bytecode alone: nothing would tell one version from the next
        raise FileNotFoundError(f"no source files in {_PACKAGE}")
    for path in sources:
        source = path.read_bytes()
        digest.update(f"{path.relative_to(_PACKAGE)} {len(source)}\n".encode())
        digest.update(source)
    return digest.hexdigest()


def _file_stamp() -> str:
    """The part of a file's name that tells which source it was compiled from."""
    return _source_stamp()[:16]


def _environment() -> tuple[Any, ...]:
    """What decides on the machine code besides the source, the signature and the processor, which numba's key has."""
    versions = sys.version, sys.flags.optimize, numba.__version__, llvmlite.__version__, np.__version__
    return (*versions, *(repr(getattr(config, name, None)) for name in _OPTIONS))


def _only_ours(status: os.stat_result) -> bool:
    """Whether only this user and root can have written to a file or folder; Windows keeps its profiles private."""
    if not hasattr(os, "geteuid"):
        return True
    return status.st_uid in (os.geteuid(), 0) and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _check_folder(folder: str) -> None:
    """Raise OSError where a folder is missing, is a link, or is not ours alone."""
    status = os.lstat(folder)
    if not stat.S_ISDIR(status.st_mode) or not _only_ours(status):
        raise PermissionError(f"{folder}: not a folder to which only this user can write")


def _make_folder(folder: str) -> None:
    """Make a folder to which only this user can write, or raise OSError."""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    _check_folder(folder)


def _open(path: str, flags: int) -> int:
    # Not through a link, and without waiting for somebody to write into a pipe.
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0), 0o600)


def _own_folder(place: str) -> str:
    """Return this user's own folder within a place that may be shared: with a group, or as /tmp with everybody."""
    user = f"-{os.geteuid()}" if hasattr(os, "geteuid") else ""
    return os.path.join(os.path.abspath(place), f"fastnet-cache{user}")


@functools.cache
def _usable(folder: str) -> bool:
    """Whether a folder is ours and can be written to, or has been filled and is read-only now; looked at only once."""
    with _harmless(f"nothing is written to {folder}"):
        _make_folder(folder)
        probe = os.path.join(folder, f"probe-{os.urandom(8).hex()}")
        with open(probe, "xb", opener=_open):
            pass
        os.unlink(probe)
        return True
    with _harmless(f"nothing is read from {folder}"):
        _check_folder(folder)
        return any(_file_stamp() in name for name in os.listdir(folder))
    return False


class _Files:
    """The cache files of one function, in the place of numba's index and numbered files.

    Two processes that write at once can mix up an index; here a file's name says what is in it, and a file is renamed
    into its place when it is complete.
    """

    def __init__(self, folder: str, function: Callable[..., Any]) -> None:
        self._folder = folder
        module = Path(inspect.getfile(function)).relative_to(_PACKAGE).with_suffix("")
        name = ".".join([*module.parts, function.__qualname__])
        name = name.replace("<", "").replace(">", "")  # not in file names on Windows
        self._function = f"{name}.{sys.implementation.cache_tag}."
        # Files of another source are removed when one of this source is saved. What differs in anything else (the
        # processor, the version of numba) is kept: two such environments may use the folder in turn.
        self._prefix = f"{self._function}{_file_stamp()}."

    def _path(self, name: str) -> str:
        return os.path.join(self._folder, self._prefix + name)

    def path(self, key: Any) -> str:
        """Return the path of the file for a key."""
        return self._path(f"{hashlib.sha256(repr(key).encode()).hexdigest()[:32]}.bin")

    def take_turn(self, key: Any, waiting: Callable[[], None]) -> None:
        """Wait while another process compiles what belongs to a key."""
        turns.take(self.path(key).removesuffix("bin") + "lock", _open, waiting)

    def load(self, key: Any) -> Any:
        """Return what has been saved for a key, or None."""
        path = self.path(key)
        with _harmless(f"not loaded from {path}"):
            _check_folder(self._folder)
            with open(path, "rb", opener=_open) as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode) or not _only_ours(status):
                    raise PermissionError("not a file to which only this user can write")
                content = file.read()
            start = len(_FORMAT) + _DIGEST_BYTES
            body = memoryview(content)[start:]
            if content[:start] != _FORMAT + hashlib.sha256(body).digest():
                raise ValueError("damaged")
            saved_key, data = pickle.loads(body)
            if saved_key != key:
                raise ValueError("saved for another key")
            link_names_in(body)
            _log(f"loaded from {path}")
            return data
        return None

    def save(self, key: Any, data: Any) -> None:
        """Keep `data` for a key, where that is possible."""
        path, temporary = self.path(key), self._path(f"{os.urandom(16).hex()}.tmp")
        with _harmless(f"not saved to {path}"):
            body = dumps((key, data))
            try:
                _make_folder(self._folder)
                with open(temporary, "xb", opener=_open) as file:
                    file.write(_FORMAT + hashlib.sha256(body).digest())
                    file.write(body)
                with contextlib.suppress(OSError):
                    os.rmdir(path)  # a folder there would stay: a file cannot replace it
                os.replace(temporary, path)
            except OSError as error:
                announcements.not_kept(f"{self._folder}: {error.strerror}" if error.strerror else str(error))
                raise
            finally:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)
            _log(f"saved to {path}")
            self._remove(stale_only=True)

    def flush(self) -> None:
        """Remove all that has been saved for the function."""
        self._remove(stale_only=False)

    def _remove(self, stale_only: bool) -> None:
        with contextlib.suppress(OSError):
            for name in os.listdir(self._folder):
                if name.startswith(self._function) and not (stale_only and name.startswith(self._prefix)):
                    with contextlib.suppress(OSError):
                        os.unlink(os.path.join(self._folder, name))


class _Place:
    """Mixed into numba's cache locators: what makes a place one to keep files in."""

    get_cache_path: Callable[[], str]

    def __init__(self, py_func: Callable[..., Any], py_file: str) -> None:
        # As if each function were at the top of the package: all files lie in one folder.
        super().__init__(py_func, str(_PACKAGE / os.path.basename(py_file)))  # type: ignore[call-arg]

    def get_source_stamp(self) -> str:
        return _source_stamp()

    def ensure_cache_path(self) -> None:
        folder = _own_folder(self.get_cache_path())
        if not _usable(folder):
            raise PermissionError(f"nothing can be kept in {folder}")


class _UserProvided(_Place, UserPlace):
    pass


class _InTree(_Place, InTreePlace):
    pass


class _UserWide(_Place, UserWidePlace):
    def ensure_cache_path(self) -> None:
        if not os.path.isabs(self.get_cache_path()):  # no home directory: "~" is not a folder of the current one
            raise FileNotFoundError(self.get_cache_path())
        super().ensure_cache_path()


class DiskCache(StoredFunction):
    """What numba asks for the compiled code of one function of the package, and gives it to.

    Parameters
    ----------
    function : function
        A function of this package: changes in other files would not be seen.
    options : tuple
        The options of its decorator.

    Raises
    ------
    Exception
        Where nothing can be kept; which one, is numba's matter and the operating system's.
    """

    # NUMBA_CACHE_DIR, else beside the package, else the user's cache folder; the order is numba's own.
    places = (_UserProvided, _InTree, _UserWide)

    def __init__(self, function: Callable[..., Any], options: tuple[Any, ...]) -> None:
        if not Path(inspect.getfile(function)).is_relative_to(_PACKAGE):
            raise ValueError(f"{function} is not in {_PACKAGE}")
        super().__init__(function)
        self._options = options
        # NUMBA_CACHE_LOCATOR_CLASSES may have put other places in the place of ours.
        folder = _own_folder(self.cache_path)
        if not _usable(folder):
            raise PermissionError(f"nothing can be kept in {folder}")
        self._files = _Files(folder, function)
        self.keep_in(folder, self._files)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Load what has been compiled before, or by another process meanwhile; what is not loaded is compiled next."""
        found = self._load(sig, target_context)
        if found is None:
            name = self.function.__name__
            # Not within `_harmless`: an exception from outside that ends the waiting is no error of the cache.
            self._files.take_turn(self.key(sig, target_context.codegen()), lambda: announcements.waits(name))
            found = self._load(sig, target_context)
            if found is None:
                announcements.began(name)
            else:
                turns.done()
        return found

    def _load(self, sig: Any, target_context: Any) -> Any:
        """Load it without all that numba loads first to compile something: 0.15 s."""
        with _harmless(f"{self.name} is compiled again"):
            if counts_references(dict(self._options)):
                initialize_memory(target_context)
            return self.load(sig, target_context)
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep what has been compiled, where that is possible."""
        announcements.ended(self.function.__name__)
        with _harmless(f"{self.name} is not kept"):
            self.save(sig, data)
        turns.done()

    def key(self, sig: Any, codegen: Any) -> Any:
        """Return what tells one compilation from another, besides the processor and the signature."""
        # The options of the decorator, which numba leaves out: a parallel and a serial compilation are different code.
        # The line, for functions of one name in one module.
        line = self.function.__code__.co_firstlineno
        return super().key(sig, codegen), _source_stamp(), line, self._options, _environment()


def _plain_folder() -> str:
    """Return a folder for numba's own cache, which only this source in this environment uses, or raise OSError.

    numba takes code that was made of another version of the package for its own where that version has the file of the
    kernel unchanged, and keeps no options apart.
    """
    stamp = hashlib.sha256(repr((_source_stamp(), _environment())).encode()).hexdigest()[:16]
    user_wide = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or os.path.expanduser("~/.cache")
    places = [os.path.abspath(config.CACHE_DIR)] if config.CACHE_DIR else [str(_PACKAGE / "__pycache__"), user_wide]
    for place in places:
        folder = os.path.join(_own_folder(place), f"numba-{stamp}")
        # Without a home directory "~" is not a folder of the current one.
        if os.path.isabs(place) and _usable(os.path.dirname(folder)) and _usable(folder):
            return folder
    raise PermissionError("there is no folder that only this user can write to")


def plain_cache() -> contextlib.AbstractContextManager[None]:
    """Return a context in which ``numba.njit(cache=True)`` keeps things in a folder to which only this user can write.

    Raises
    ------
    OSError
        If there is none.
    """
    return cache_folder(_plain_folder())


def cache_directory() -> str | None:
    """Return the folder in which compiled kernels are kept, or None where none can be used."""
    with contextlib.suppress(Exception):
        return _plain_folder() if DISK_CACHE in MISSING else str(DiskCache(cache_directory, ()).cache_path)
    return None
