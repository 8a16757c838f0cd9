"""How functions are compiled: numba's options, set here alone, and a disk cache that is never stale.

Numba keys a cached function on its own file. A kernel here is made of functions from several files and of LLVM IR
that no file hash of its own sees, so the stamp of every cached kernel covers the source of the whole package.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core import caching, config
from numba.core.runtime.nrt import rtsys
from numba.extending import register_jitable

__all__ = ["block", "cache_directory", "inline", "kernel", "shared", "task", "worker"]

Function = TypeVar("Function", bound=Callable[..., Any])

_PACKAGE = Path(__file__).resolve().parent


@functools.cache
def _package_stamp() -> str:
    """Hash of every source file of the package, and of the options that numba leaves out of its own key."""
    digest = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*.py")):
        source = path.read_bytes()
        digest.update(f"{path.relative_to(_PACKAGE)} {len(source)}\n".encode())
        digest.update(source)
    digest.update(repr((numba.__version__, config.OPT, config.BOUNDSCHECK, config.LOOP_VECTORIZE)).encode())
    return digest.hexdigest()


class _PackageStamp:
    """Mixed into numba's cache locators: the stamp is the package's, and a folder is tried only once."""

    get_cache_path: Callable[[], str]

    def get_source_stamp(self) -> str:
        return _package_stamp()

    def ensure_cache_path(self) -> None:
        _ensure_writable(self.get_cache_path())


@functools.cache
def _ensure_writable(folder: str) -> None:
    os.makedirs(folder, exist_ok=True)
    probe = Path(folder) / f".fastnet-{os.getpid()}"
    probe.touch()
    probe.unlink()


class _UserProvided(_PackageStamp, caching.UserProvidedCacheLocator):
    pass


class _InTree(_PackageStamp, caching.InTreeCacheLocator):
    pass


class _UserWide(_PackageStamp, caching.UserWideCacheLocator):
    pass


class _CacheImpl(caching.CompileResultCacheImpl):
    # NUMBA_CACHE_DIR, else beside the package, else the user's cache folder; the order is numba's own.
    _locator_classes = [_UserProvided, _InTree, _UserWide]  # noqa: RUF012


class _Cache(caching.FunctionCache):
    _impl_class = _CacheImpl

    def __init__(self, function: Callable[..., Any], options: tuple[Any, ...]) -> None:
        super().__init__(function)
        self._options = options

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Load what has been compiled before, without all that numba loads first to compile something: 0.15 s."""
        if dict(self._options).get("_nrt", True):
            rtsys.initialize(target_context)  # memory, for what allocates
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        # The stamp again, in case that an environment variable has replaced the locators; and the options of
        # the decorator, which numba leaves out: a parallel and a serial compilation are different code.
        return (super()._index_key(sig, codegen), _package_stamp(), self._options)


def _njit(function: Callable[..., Any], **options: Any) -> Any:
    # error_model: division follows IEEE 754 instead of raising, which no kernel may do inside a parallel region.
    return numba.njit(error_model="numpy", **options)(function)


def _cached(function: Callable[..., Any], **options: Any) -> Any:
    dispatcher = _njit(function, **options)
    if config.DISABLE_JIT:
        return dispatcher
    # Where no folder can be written to, each process compiles anew.
    with contextlib.suppress(RuntimeError, OSError):
        dispatcher._cache = _Cache(function, tuple(sorted(options.items())))
    return dispatcher


def block(function: Function) -> Function:
    """Compile a block function: serial, on a range of rows or columns, called from other compiled code only.

    It may not allocate, and views are not counted as references: counting is atomic, and what two cores count together
    costs more than the work. It gets no wrapper for Python, and no cache of its own: kernels contain their blocks.
    """
    return cast(Function, _njit(function, _nrt=False, no_cpython_wrapper=True, no_cfunc_wrapper=True))


def shared(function: Function) -> Function:
    """Leave a function to Python, for which it is as it stands, and let compiled code call it too."""
    return cast(Function, register_jitable(function))


def inline(function: Function) -> Function:
    """Compile a helper into the functions that call it, never by itself."""
    return cast(Function, _njit(function, inline="always"))


def kernel(function: Function) -> Function:
    """Compile a kernel: ``@njit(parallel=True)``, called from Python."""
    return cast(Function, _cached(function, parallel=True))


def task(function: Function) -> Function:
    """Compile a serial function that is called from Python, also in several threads at once: without the GIL."""
    return cast(Function, _cached(function, nogil=True))


def worker(function: Function) -> Function:
    """Compile what one worker of a team does: a task that, like a block, may not allocate and counts no references."""
    return cast(Function, _cached(function, nogil=True, _nrt=False))


def cache_directory() -> str | None:
    """Return the folder in which compiled kernels are kept, or None where no folder can be written to."""
    try:
        return str(_Cache(cache_directory, ()).cache_path)
    except (RuntimeError, OSError):
        return None
