"""Machine code that exists once, for all compiled functions that call it by its name.

numba links what a function calls into its library, where LLVM works on all of it again: the tiles of a matrix product
would be a third of what there is to compile, in each of a dozen libraries. Here a compiled function refers to a *name*,
which LLVM looks up when the function is loaded. So the code behind a name has to be there by then, whether the function
has just been compiled or comes from the disk cache: there, its machine code is searched for such names.

A name is a prefix, a group, and whatever: the code of a group is made at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import llvmlite.binding as llvm

__all__ = ["link", "link_names_in", "share"]

_PROVIDERS: dict[str, Callable[[str], Iterable[tuple[str, int]]]] = {}
_LINKED: set[tuple[str, str]] = set()


def share(prefix: str, provide: Callable[[str], Iterable[tuple[str, int]]]) -> None:
    """Have names that begin with `prefix`, a group and an underscore stand for what `provide` returns for the group.

    That is each name with the address of its code, which has to stay where it is.
    """
    _PROVIDERS[prefix] = provide


def link(prefix: str, group: str) -> None:
    """Let LLVM find the code of a group. Under numba's lock for compiling, which loads nothing without it either."""
    if (prefix, group) in _LINKED:
        return
    _LINKED.add((prefix, group))  # before, since what is loaded now speaks of its own names
    try:
        for name, address in _PROVIDERS[prefix](group):
            llvm.add_symbol(name, address)
    except BaseException:
        _LINKED.discard((prefix, group))
        raise


def link_names_in(code: bytes | memoryview) -> None:
    """Let LLVM find what is named in machine code that is going to be loaded."""
    for prefix in _PROVIDERS:
        for group in {*re.findall(prefix.encode() + rb"([a-z0-9]+)_", code)}:
            link(prefix, group.decode())
