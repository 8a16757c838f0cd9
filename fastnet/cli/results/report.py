"""The report of a training or an evaluation: pictures, a CSV of the history, and one page that needs nothing else."""

from __future__ import annotations

import base64
import csv
import os
from collections.abc import Mapping, Sequence
from html import escape

from ...files.atomic import atomic_write
from . import plots
from .judgement import Verdict
from .measures import calibration

__all__ = ["check_report", "write_report"]

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { padding: .15rem .8rem .15rem 0; text-align: left; vertical-align: top; }
pre { overflow-x: auto; padding: .8rem; border: 1px solid #8886; border-radius: .3rem; }
img { max-width: 100%; background: white; border-radius: .3rem; }
"""


def check_report(folder: str) -> None:
    """Make the folder of a report, or raise what says why it cannot be: better before the work than after it."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise ImportError('--report draws with matplotlib, and it is not installed: pip install matplotlib',
                          name="matplotlib") from None
    os.makedirs(folder, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"cannot write the report: no permission to write in {folder}")


def write_report(folder: str, title: str, lines: Sequence[tuple[str, str]], verdict: Verdict,
                 history: Mapping[str, Sequence[float]]) -> str:
    """Write pictures, history and page; return the name of the page.

    Parameters
    ----------
    folder : str
        Where; it is there.
    title : str
        What this is about.
    lines : sequence of (str, str)
        The summary.
    verdict : Verdict
        How good the model is.
    history : mapping
        A number for each epoch, by name; nothing where nothing was trained.
    """
    pictures = []

    def path(name: str) -> str:
        pictures.append(name)
        return os.path.join(folder, name)

    if history:
        plots.plot_curves(path("curves.png"), history, "R2" if verdict.table is None else "Accuracy")
        _write_history(os.path.join(folder, "history.csv"), history)
    if verdict.table is not None:
        plots.plot_confusion(path("confusion.png"), verdict.table, verdict.names)
    if verdict.confidence is not None:
        plots.plot_calibration(path("calibration.png"),
                               *calibration(verdict.predicted == verdict.truth, verdict.confidence))
    elif verdict.predicted.ndim == 1:
        plots.plot_predictions(path("predictions.png"), verdict.truth, verdict.predicted)
    page = os.path.join(folder, "report.html")
    with atomic_write(page, "w", encoding="utf-8") as file:
        file.write(_page(folder, title, lines, verdict, pictures))
    return page


def _write_history(path: str, history: Mapping[str, Sequence[float]]) -> None:
    with atomic_write(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["epoch", *history])
        writer.writerows([epoch, *row] for epoch, row in enumerate(zip(*history.values(), strict=True), 1))


def _page(folder: str, title: str, lines: Sequence[tuple[str, str]], verdict: Verdict,
          pictures: Sequence[str]) -> str:
    """The page, with the pictures inside."""
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in lines)
    parts = [f"<h1>{escape(title)}</h1><table>{rows}</table>"]
    if verdict.lines:
        classes = "\n".join(verdict.lines)
        parts.append(f"<h2>Classes</h2><pre>{escape(classes)}</pre>")
    for name in pictures:
        with open(os.path.join(folder, name), "rb") as file:
            data = base64.b64encode(file.read()).decode()
        what = os.path.splitext(name)[0]
        parts.append(f'<h2>{what.capitalize()}</h2><img alt="{what}" src="data:image/png;base64,{data}">')
    return (f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
            f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>'
            f"<body>{''.join(parts)}</body></html>\n")
