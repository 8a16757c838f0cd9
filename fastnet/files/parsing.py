"""Parse JSON of strangers: what is about to become Python objects is counted first.

Thirty kilobytes of ``[[],[],...]`` under compression become almost a gigabyte of lists.
"""

from __future__ import annotations

import json
import re
from typing import Any

__all__ = ["parse_json"]

_MOST_DEPTH = 16
_NEXT = re.compile(r"""(?: [^"\[\]{}]++ | "[^"\\]*+ (?: \\. [^"\\]*+ )*+ "? )*+ ([\[\]{}]?)""", re.DOTALL | re.VERBOSE)
"""All up to the next bracket that is in no string, which is the group; strings may lack their end. It never goes back,
so that it takes a time linear in the text, whatever the text is."""


def parse_json(text: bytes | memoryview | str, most_containers: int) -> Any:
    """Return what a text in JSON says.

    Parameters
    ----------
    text : bytes, memoryview or str
        The text; bytes are UTF-8.
    most_containers : int
        How many lists and objects there may be in it.

    Raises
    ------
    ValueError
        If it is no JSON, or has more lists and objects than that, or has them too deep within each other.
    """
    try:
        text = text if isinstance(text, str) else str(text, "utf-8")
        _check_containers(text, most_containers)
        return json.loads(text)
    except RecursionError:  # where the interpreter is close to its limit already
        raise ValueError("lists within lists within lists") from None


def _check_containers(text: str, most: int) -> None:
    """Raise ValueError unless there are few enough lists and objects.

    A text that is no JSON may be misread, but up to its first fault it is read as `json` does, which ends there.
    """
    depth = count = 0
    for match in _NEXT.finditer(text):
        if match[1] in ("[", "{"):
            depth, count = depth + 1, count + 1
            if depth > _MOST_DEPTH or count > most:
                raise ValueError(f"more than {most} lists and objects, or more than {_MOST_DEPTH} within each other")
        elif match[1]:
            depth -= 1
            if depth < 0:
                raise ValueError("there are more ends than beginnings of lists and objects")
