"""What a notebook shows of a model: a small table in HTML, in the notebook's own colours."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

__all__ = ["html_table"]


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
