"""How good predictions are, in numbers and in lines of text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["calibration", "class_lines", "confusion", "losses", "number_lines", "r2"]

Array = NDArray[Any]

_MOST_SHOWN = 20
"""Classes that a confusion matrix on a terminal has room for."""
_MOST_CONFUSIONS = 10


def losses(output: str, scores: Array, y: Array) -> NDArray[np.float64]:
    """Return the loss of each sample from what a network gives: cross-entropy, half the squared error, or Poisson's.

    Parameters
    ----------
    output : {"softmax", "logistic", "identity", "exp"}
    scores : (N, outputs)
        Scores, or for "exp" numbers above 0.
    y : (N,)
        Classes, or numbers.
    """
    scores = scores.astype(np.float64)
    with np.errstate(all="ignore"):  # a run that diverges is told by its numbers
        if output == "softmax":
            shifted = scores - scores.max(axis=1, keepdims=True)
            return np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(y)), y]
        one = scores[:, 0]
        if output == "logistic":
            return np.logaddexp(0, np.where(y == 1, -one, one))
        if output == "identity":
            return (one - y) ** 2 / 2
        logs = np.where(y > 0, y * np.log(np.where(y > 0, y, 1) / one), 0)
        return logs - y + one


def r2(y: Array, predicted: Array) -> float:
    """Return R2: the share of the variance that is explained; 0 for a constant truth that is missed."""
    y, predicted = y.astype(np.float64), predicted.astype(np.float64)
    residual, spread = ((y - predicted) ** 2).sum(), ((y - y.mean()) ** 2).sum()
    return float(1 - residual / spread) if spread else float(residual == 0)


def confusion(y: Array, predicted: Array, classes: int) -> NDArray[np.int64]:
    """Return how many samples of each class (rows) were taken for which (columns); -1 in y is no class."""
    known = y >= 0
    counts = np.bincount(y[known] * classes + predicted[known], minlength=classes**2)
    return counts.reshape(classes, classes)


def calibration(hit: NDArray[np.bool_], confidence: Array, bins: int = 10) -> tuple[Array, Array, Array]:
    """Return for each range of confidence that occurs: its mean, the share of hits, and how many samples there are."""
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    counts = np.bincount(place, minlength=bins)
    there = counts > 0
    means = [np.bincount(place, weights=values, minlength=bins)[there] / counts[there]
             for values in (confidence.astype(np.float64), hit.astype(np.float64))]
    return means[0], means[1], counts[there]


def class_lines(table: NDArray[np.int64], names: Sequence[Any]) -> list[str]:
    """Return accuracy per class and the confusion matrix as lines of text."""
    texts = [_short(str(name)) for name in names]
    width = max(5, *map(len, texts))
    samples, predicted, right = table.sum(axis=1), table.sum(axis=0), np.diag(table)
    lines = [f"{'class':{width}}  samples  accuracy  precision"]
    for place in range(len(texts)):
        accuracy = f"{right[place] / samples[place]:.4f}" if samples[place] else "-"
        precision = f"{right[place] / predicted[place]:.4f}" if predicted[place] else "-"
        lines.append(f"{texts[place]:{width}}  {samples[place]:7}  {accuracy:>8}  {precision:>9}")
    lines.append("")
    if len(texts) <= _MOST_SHOWN:
        cell = max(len(str(table.max())), *(min(len(text), 10) for text in texts)) + 1
        lines.append(f"confusion: a row for each class, a column for what it was taken for\n{'':{width}} "
                     + "".join(f"{text[:10]:>{cell}}" for text in texts))
        lines += [f"{text:{width}} " + "".join(f"{count:>{cell}}" for count in row)
                  for text, row in zip(texts, table.tolist(), strict=True)]
        return lines
    off = table.copy()
    np.fill_diagonal(off, 0)
    worst = np.argsort(-off, axis=None, kind="stable")[:_MOST_CONFUSIONS]
    lines.append("most frequent confusions")
    for place in worst.tolist():
        truth, taken = divmod(place, len(texts))
        if off[truth, taken]:
            lines.append(f"{off[truth, taken]:6}  {texts[truth]} was taken for {texts[taken]}")
    return lines


def number_lines(y: Array, predicted: Array) -> list[tuple[str, str]]:
    """Return R2 and errors of numbers, each with its name."""
    error = predicted.astype(np.float64) - y
    return [("R2", f"{r2(y, predicted):.4f}"),
            ("error", f"{np.abs(error).mean():.6g} in the mean, {np.sqrt((error**2).mean()):.6g} root mean square, "
                      f"{np.abs(error).max():.6g} at most")]


def _short(text: str, most: int = 30) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else text[:most - 3] + "..."
