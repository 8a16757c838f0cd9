"""Machine code that exists once, for all compiled functions that call it by its name.

numba links what a function calls into its library, where LLVM works on all of it again: the tiles of a matrix product
would be a third of what there is to compile, in each of a dozen libraries. Here a compiled function refers to a *name*,
which LLVM looks up when the function is loaded. So the code behind a name has to be there by then, whether the function
has just been compiled or comes from the disk cache: there, its machine code is searched for such names. What others
link, as a user's compiled function does that calls a kernel, has the code itself: nobody looks into numba's own cache.

A name is a prefix, a group, an underscore and whatever: the code of a group is made at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import llvmlite.binding as llvm

__all__ = ["Shared", "link", "link_names_in", "share", "with_definitions"]


class Shared(NamedTuple):
    """What names with a prefix stand for."""

    addresses: Callable[[str], Iterable[tuple[str, int]]]
    """Each name of a group, with the address of its code, which has to stay where it is."""
    definitions: Callable[[str], str]
    """The code of a group as a module in LLVM IR, to be linked into another that has its own then."""


_SHARED: dict[str, Shared] = {}
_LINKED: set[tuple[str, str]] = set()


def share(prefix: str, shared: Shared) -> None:
    """Have names that begin with `prefix` stand for what is shared."""
    _SHARED[prefix] = shared


def _groups_in(prefix: str, text: bytes | memoryview) -> set[str]:
    """The groups of the names with a prefix in a text or in machine code."""
    return {group.decode() for group in re.findall(prefix.encode() + rb"([a-z0-9]+)_", text)}


def link(prefix: str, group: str) -> None:
    """Let LLVM find the code of a group. numba's lock for compiling is held, as for all that loads code."""
    if (prefix, group) in _LINKED:
        return
    try:
        _LINKED.add((prefix, group))  # before, since what is loaded now speaks of its own names
        for name, address in _SHARED[prefix].addresses(group):
            llvm.add_symbol(name, address)
    except BaseException:
        _LINKED.discard((prefix, group))
        raise


def link_names_in(code: bytes | memoryview) -> None:
    """Let LLVM find what is named in machine code that is going to be loaded."""
    for prefix in _SHARED:
        for group in _groups_in(prefix, code):
            link(prefix, group)


def with_definitions(module: Any) -> Any:
    """Return a module of LLVM's with the code of all that it names; itself where it names nothing."""
    declared = "\0".join(function.name for function in module.functions if function.is_declaration).encode()
    found = [shared.definitions(group) for prefix, shared in _SHARED.items() for group in _groups_in(prefix, declared)]
    if not found:
        return module
    whole = module.clone()
    for text in found:
        definitions = llvm.parse_assembly(text)
        definitions.triple, definitions.data_layout = whole.triple, whole.data_layout
        whole.link_in(definitions)
    return whole
