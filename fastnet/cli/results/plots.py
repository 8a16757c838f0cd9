"""Pictures of a training run, drawn with matplotlib and without its global state."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["plot_calibration", "plot_confusion", "plot_curves", "plot_histories", "plot_predictions", "plot_weights"]

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


def plot_curves(path: str | os.PathLike[str], history: Mapping[str, Sequence[float]], score: str) -> None:
    """Draw the losses and the score of each epoch.

    Parameters
    ----------
    path : path
        The PNG to write.
    history : mapping
        ``loss`` and, where it was measured, ``validation_loss`` and ``validation_score``: a number for each epoch.
    score : str
        What the score is: "accuracy".
    """
    measured = [name for name in ("validation_score",) if history.get(name)]
    figure = _figure(11 if measured else 6, 4.2)
    axes = np.atleast_1d(figure.subplots(1, 2 if measured else 1)).tolist()
    epochs = np.arange(1, len(history["loss"]) + 1)
    axes[0].plot(epochs, history["loss"], color=_FASTNET, label="training")
    if history.get("validation_loss"):
        axes[0].plot(epochs, history["validation_loss"], color=_REFERENCE, label="validation")
    axes[0].set_title("Loss")
    axes[0].legend(frameon=False)
    for name in measured:
        axes[1].plot(epochs, history[name], color=_REFERENCE)
        axes[1].set_title(f"{score} in validation")
    for each in axes:
        each.set_xlabel("epoch")
        _plain(each)
    _save(figure, path)


def plot_confusion(path: str | os.PathLike[str], table: Array, names: Sequence[Any]) -> None:
    """Draw a confusion matrix: the share of each class (a row) that was taken for each (a column).

    Parameters
    ----------
    path : path
        The PNG to write.
    table : (C, C)
        How many samples of each class were taken for which.
    names : sequence
        Of the classes.
    """
    C = len(names)
    size = min(12.0, 3 + 0.45 * C)
    figure = _figure(size + 1, size)
    axes = figure.subplots()
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if C <= 30:
        texts = [str(name) if len(str(name)) <= 20 else str(name)[:17] + "..." for name in names]
        # As text, whatever the names are: a dollar would begin a formula.
        axes.set_xticks(range(C), texts, rotation=90 if max(map(len, texts)) > 3 else 0, parse_math=False)
        axes.set_yticks(range(C), texts, parse_math=False)
    if C <= 20:
        for (row, column), count in np.ndenumerate(table):
            if count:
                axes.text(column, row, str(count), ha="center", va="center", fontsize=9,
                          color="white" if shares[row, column] > 0.5 else "#222222")
    axes.set_xlabel("taken for")
    axes.set_ylabel("class")
    axes.set_title("Confusion")
    figure.colorbar(image, ax=axes, shrink=0.7, label="share of the class")
    _save(figure, path)


def plot_calibration(path: str | os.PathLike[str], confidence: Array, hits: Array, counts: Array) -> None:
    """Draw how often predictions are right that were so sure.

    Parameters
    ----------
    path : path
        The PNG to write.
    confidence, hits : (B,)
        For each range of confidence its mean, and the share of predictions that were right.
    counts : (B,)
        How many samples each has.
    """
    figure = _figure(6, 5.4)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    upper.plot([0, 1], [0, 1], color="#999999", linestyle=":", label="as sure as right")
    upper.plot(confidence, hits, color=_FASTNET, marker="o")
    upper.set_title("Calibration")
    upper.set_ylabel("share that is right")
    upper.set_ylim(0, 1.02)
    upper.legend(frameon=False)
    lower.bar(confidence, counts, width=0.05, color=_REFERENCE)
    lower.set_ylabel("samples")
    lower.set_xlabel("probability of the class that was predicted")
    for each in (upper, lower):
        _plain(each)
    _save(figure, path)


def plot_predictions(path: str | os.PathLike[str], truth: Array, predicted: Array) -> None:
    """Draw predicted numbers over the true ones.

    Parameters
    ----------
    path : path
        The PNG to write.
    truth, predicted : (N,)
    """
    figure = _figure(6, 5.4)
    axes = figure.subplots()
    ends = [float(truth.min()), float(truth.max())]
    axes.plot(ends, ends, color="#999999", linestyle=":", label="as it is")
    axes.scatter(truth, predicted, s=12, alpha=0.5, color=_FASTNET, linewidths=0)
    axes.set_title("Predictions")
    axes.set_xlabel("truth")
    axes.set_ylabel("predicted")
    axes.legend(frameon=False)
    _plain(axes)
    _save(figure, path)


def _save(figure: Any, path: str | os.PathLike[str]) -> None:
    with warnings.catch_warnings():  # names of classes may be in a script that the font does not have
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
        figure.savefig(path, dpi=120)


def _plain(axes: Any) -> None:
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
