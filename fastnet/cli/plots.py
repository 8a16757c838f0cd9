"""Pictures of a training run, drawn with matplotlib and without its global state."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["plot_histories", "plot_weights"]

Array = np.ndarray[Any, Any]

_REFERENCE = "#f2a65a"
_FASTNET = "#1f4e79"


def _figure(width: float, height: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def plot_histories(path: str | os.PathLike[str], reference: dict[str, list[float]], ours: dict[str, list[float]],
                   checks: Sequence[int]) -> None:
    """Draw loss and accuracy of two runs over the iterations, one upon the other.

    Parameters
    ----------
    path : path
        The PNG to write.
    reference, ours : dict
        The histories that `train` returns.
    checks : sequence of int
        The iterations after which accuracies were taken.
    """
    from matplotlib.ticker import LogLocator, NullLocator

    figure = _figure(11, 4.2)
    loss, accuracy = figure.subplots(1, 2)

    loss.plot(reference["loss_history"], color=_REFERENCE, linewidth=4, label="NumPy reference")
    loss.plot(ours["loss_history"], color=_FASTNET, linewidth=1, label="fastnet")
    loss.set_title("Loss of each minibatch")
    loss.set_ylabel("loss")
    loss.set_yscale("log")
    loss.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    loss.yaxis.set_major_formatter("{x:g}")
    loss.yaxis.set_minor_locator(NullLocator())

    for key, style, part in (("train_acc_history", (0, (1, 1.5)), "minibatch"), ("val_acc_history", "-", "validation")):
        accuracy.plot(checks, reference[key], color=_REFERENCE, linewidth=4, linestyle=style,
                      label=f"NumPy reference, {part}")
        accuracy.plot(checks, ours[key], color=_FASTNET, linewidth=1.2, linestyle=style, label=f"fastnet, {part}")
    accuracy.set_title("Accuracy, once per epoch")
    accuracy.set_ylabel("share of samples")
    # The first checks may leave the picture below: what matters happens near the top.
    bottom = float(np.quantile(reference["val_acc_history"], 0.05)) - 0.05
    accuracy.set_ylim(max(0.0, bottom), 1.005)

    for axes in (loss, accuracy):
        axes.set_xlabel("iteration")
        axes.set_xlim(left=0)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    loss.legend(frameon=False)
    accuracy.legend(frameon=False, loc="lower right")
    figure.savefig(path, dpi=150)


def plot_weights(path: str | os.PathLike[str], W1: Array, W2: Array, side: int) -> None:
    """Draw what each hidden unit looks for: its weights, as an image.

    Parameters
    ----------
    path : path
        The PNG to write.
    W1 : (side * side, H)
        Weights of the first layer; a column is an image.
    W2 : (H, C)
        Weights of the second layer; units are sorted by the class that they speak for the most.
    side : int
        Pixels in a row of an image.
    """
    from matplotlib.patheffects import withStroke

    order = np.lexsort((-W2.max(axis=1), W2.argmax(axis=1)))
    columns = 10
    rows = -(-len(order) // columns)
    cell = side + 1  # the images are parts of one, with a pixel between them: far quicker than a hundred axes
    sheet = np.full((rows * cell - 1, columns * cell - 1), np.nan)
    # One scale for all: it shows which units have learned something. The few largest weights saturate.
    limit = float(np.quantile(np.abs(W1), 0.995)) or 1.0
    figure = _figure(9, 0.8 * rows + 0.5)
    axes = figure.subplots()
    for place, unit in enumerate(order):
        top, left = place // columns * cell, place % columns * cell
        sheet[top:top + side, left:left + side] = W1[:, unit].reshape(side, side)
        label = axes.text(left - 0.2, top - 0.2, str(W2[unit].argmax()), fontsize=8, va="top", color="#222222")
        label.set_path_effects([withStroke(linewidth=2, foreground="white")])
    image = axes.imshow(sheet, cmap="RdBu_r", vmin=-limit, vmax=limit)
    axes.set_axis_off()
    axes.set_title("First-layer weights of each hidden unit, and the digit that it speaks for most")
    figure.colorbar(image, ax=axes, shrink=0.5, label="weight")
    figure.savefig(path, dpi=150)
