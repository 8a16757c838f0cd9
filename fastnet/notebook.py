"""What is shown of a model: a line, or in a notebook a small table in HTML, in the notebook's own colours."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from itertools import count, takewhile
from typing import Any

import numpy as np

__all__ = ["html_table", "line", "sizes_of"]


def line(model: Any, sizes: Iterable[Any], dtype: np.dtype[Any]) -> str:
    """Return the repr of a model: its class, how many inputs and units it has, and its dtype."""
    return f"{type(model).__name__}({', '.join(map(str, [*sizes, dtype]))})"


def sizes_of(params: Any) -> list[str]:
    """Return inputs and units of each layer as text, from W1, W2 and so on.

    There are none where somebody has put something else into `params`: a repr never fails.
    """
    try:
        names = [*takewhile(lambda name: name in params, (f"W{number}" for number in count(1)))]
        return [str(np.shape(params["W1"])[0]), *(str(np.shape(params[name])[1]) for name in names)]
    except (KeyError, IndexError, TypeError, ValueError):
        return []


def html_table(title: str, rows: Iterable[tuple[str, str]]) -> str:
    """Return a table with a title and two columns, as HTML; all that it is made of is escaped.

    Parameters
    ----------
    title : str
    rows : iterable of (str, str)
        A name and what is to be said of it.
    """
    cells = "".join(f'<tr><th style="text-align:left">{escape(name)}</th>'
                    f'<td style="text-align:left">{escape(text)}</td></tr>' for name, text in rows)
    return f"<table><caption><b>{escape(title)}</b></caption>{cells}</table>"
