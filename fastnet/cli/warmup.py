"""``fastnet warmup``: compilation ahead of the first call, for an image of a container, say."""

from __future__ import annotations

import os
from collections.abc import Callable

from numba import config

from .. import warmup
from ..jit import announcements, decorators
from .output import print_lines

__all__ = ["run_warmup"]

_MIB = 2**20


def run_warmup(dtype: str, layers: list[int] | None) -> None:
    """Compile what models of one dtype or of "both" need, or load it; print what there was to do and how long it took.

    `layers`: for each number of hidden layers what the estimators of :mod:`fastnet.sklearn` need, too.
    """
    if config.DISABLE_JIT:
        raise ValueError("there is nothing to compile, as NUMBA_DISABLE_JIT is set")
    folder = decorators.cache_directory()
    if folder is None:
        raise ValueError("nothing that is compiled can be kept: there is no folder that only this user can write to; "
                         "have NUMBA_CACHE_DIR name one")
    for name in ("float32", "float64") if dtype == "both" else (dtype,):
        _report(name, "TwoLayerNet", lambda name=name: warmup(name))  # type: ignore[misc]
        for count in layers or ():
            from ..sklearn import warmup as warmup_estimators

            _report(name, f"estimators, {count} hidden layer{'s' * (count != 1)}",
                    lambda name=name, count=count: warmup_estimators(name, count))  # type: ignore[misc]
    if announcements.was_not_kept():
        raise ValueError(f"{folder}: what has been compiled could not be kept there")
    sizes = [entry.stat().st_size for entry in os.scandir(folder) if entry.is_file()]
    print_lines([("kept in", f"{folder}: {len(sizes)} files, {sum(sizes) / _MIB:.1f} MiB")])


def _report(dtype: str, what: str, prepare: Callable[[], float]) -> None:
    before = len(announcements.compiled)
    seconds = prepare()
    functions = announcements.compiled[before:]
    done = f"compiled {len(functions)}: {', '.join(functions)}" if functions else "all was there, and is loaded"
    print_lines([(dtype, f"{what}: {seconds:.1f} s, {done}")])
