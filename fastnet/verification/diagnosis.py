"""Which part of a loss and its gradients is at fault: the one whose mistake makes all of the numbers that were seen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from .anatomy import EXTREME_MISTAKES, HARMLESS, MISTAKES, PARTS, SCALABLE, Formula, Mistake, Parts, evaluate
from .evidence import NAMES, Answers, deviation

__all__ = ["faults"]

_ORDER = ("shown", "loss", "db2", "dW2", "db1", "dW1", "labels", "accuracy")
"""What can be seen: whatever something is made of comes before it."""

_MOST = 4
"""So many mistakes are looked for in one class."""

_UNKNOWN: tuple[tuple[set[str], str], ...] = (
    ({"shown"}, "the scores: so it is the way forward, X W1 + b1, the hidden layer's activation, or W2 and b2"),
    ({"loss", "dW2", "db2"}, "the loss and the gradients, though the scores agree: so it is the softmax, or the "
                             "labels"),
    ({"dW2", "db2"}, "the gradients of W2 and b2, though the loss agrees: so it is the gradient of the scores, "
                     "(p - onehot(y)) / N"),
    ({"loss"}, "the loss, though the gradients agree: so it is the mean of -log(p) at the labels"),
    ({"dW2"}, "the gradient of W2: that of b2 agrees, so it is the product that is made of h1 and delta"),
    ({"db2"}, "the gradient of b2: that of W2 agrees, so it is the sum over the samples"),
    ({"dW1", "db1"}, "the gradients of W1 and b1: those of W2 and b2 agree, so it is the way back through W2 and the "
                     "hidden layer's activation"),
    ({"dW1"}, "the gradient of W1: that of b1 agrees, so it is the product that is made of X and delta"),
    ({"db1"}, "the gradient of b1: that of W1 agrees, so it is the sum over the samples"),
    ({"labels"}, "predict: it does not return the place of the largest score"),
    ({"accuracy"}, "accuracy: it is not the fraction of samples whose largest score is at their label"))
"""What can be said where no known mistake fits: by what is off, and what it is made of is not. The first line fits
whose quantities are all off."""


_MEAN = "the mean of delta over the samples, and has to be its sum: delta has been divided by N already"
_TIMES_N = {"": "N times as large: not divided by N",
            "loss": "the sum over the minibatch, not divided by N; fastnet's is the mean, as the course's",
            "delta2": "sums over the minibatch, not divided by N; fastnet's are means, as the course's"}
_BY_N = {"": "divided by N once more", "db1": _MEAN, "db2": _MEAN}
_NEGATIVE = {"": "of the opposite sign"}
_NOTHING = {"": "0"}
"""What factors mean, and what they mean for some parts in particular."""


def faults(plain: Answers, extreme: Answers | None, edition: Parts, tolerance: float) -> list[str]:
    """Say what is at fault in loss, gradients and predictions without a penalty, the likeliest first.

    Parameters
    ----------
    plain, extreme : Answers
        What was seen of the class; `extreme` with scores that overflow an exponential.
    edition : dict
        Parts that are not those of the old edition.
    tolerance : float
        Relative deviation up to which numbers are the same.
    """
    known = {**PARTS, **edition}
    found, left = _explained(plain, known, _mistakes(plain, known), tolerance)
    words = [mistake.words for mistake in found]
    if left:
        words.append(_unknown(plain, _with(known, found), left))
    elif extreme is not None:
        known = {**_with(known, found)}
        if all(_off(extreme, {**known, **harmless}, tolerance) for harmless in HARMLESS):
            overflow, rest = _explained(extreme, known, EXTREME_MISTAKES, tolerance)
            if not rest:
                words += [mistake.words for mistake in overflow]
            elif not found:
                words.append("the softmax or the loss, where scores are large: there exp overflows, or a probability "
                             "becomes 0")
    return words


def _with(parts: Parts, mistakes: Iterable[Mistake]) -> Parts:
    for mistake in mistakes:
        parts = {**parts, **mistake.parts}
    return parts


def _off(answers: Answers, parts: Parts, tolerance: float) -> list[str]:
    """Return what is not as these parts would have it; all, if they do not fit the shapes."""
    try:
        made = evaluate(parts, X=answers.X, y=answers.y, **answers.params)
    except (ValueError, IndexError):
        return [name for name in _ORDER if name in answers.seen]
    return [name for name in _ORDER
            if name in answers.seen and deviation(answers.seen[name], getattr(made, name)).relative > tolerance]


def _explained(answers: Answers, known: Parts, mistakes: Iterable[Mistake],
               tolerance: float) -> tuple[list[Mistake], list[str]]:
    """Find the mistake that explains all, else some that explain more and more; return what is off even so."""
    found: list[Mistake] = []
    left = _off(answers, known, tolerance)
    candidates = list(mistakes) if left else []
    while left and len(found) < _MOST:
        rests = []
        for mistake in candidates:
            rest = _off(answers, _with(known, [mistake]), tolerance)
            if not rest:
                return [*found, mistake], rest
            rests.append(rest)
        # It has to put right the first that is off, and nothing wrong.
        better = [at for at, rest in enumerate(rests) if set(rest) < set(left) and left[0] not in rest]
        if not better:
            break
        best = min(better, key=lambda at: len(rests[at]))
        found.append(candidates[best])
        known, left = _with(known, [candidates[best]]), rests[best]
        candidates = list(_mistakes(answers, known))
    return found, left


def _mistakes(answers: Answers, known: Parts) -> Iterator[Mistake]:
    """The usual mistakes, and then factors."""
    yield from MISTAKES
    made = evaluate(known, X=answers.X, y=answers.y, **answers.params)
    for part, (sign, subject) in SCALABLE.items():
        a, b = answers.seen[sign].reshape(-1), np.reshape(getattr(made, sign), -1)
        if b.any() and np.isfinite(a).all():
            factor = float(a @ b / (b @ b))
            yield Mistake(f"{subject} {_factor(factor, len(answers.X), part)}", {part: _times(factor, known[part])})


def _times(factor: float, formula: Formula) -> Formula:
    return lambda v: factor * formula(v)


def _factor(factor: float, samples: int, part: str) -> str:
    """What a result that is so many times as large as it should be is."""
    for value, texts in ((samples, _TIMES_N), (1 / samples, _BY_N), (-1, _NEGATIVE), (0, _NOTHING)):
        if abs(factor - value) <= 1e-4 * abs(value):
            return texts.get(part, texts[""])
    return f"{factor:.6g} times what it should be"


def _unknown(answers: Answers, known: Parts, left: Sequence[str]) -> str:
    """What can be said of a mistake that is not known."""
    made = evaluate(known, X=answers.X, y=answers.y, **answers.params)
    apart = {name: deviation(answers.seen[name], getattr(made, name)).relative for name in left}
    text = next(text for names, text in _UNKNOWN if names <= set(left))
    if "loss" in left:
        text += f" (the loss is {float(answers.seen['loss']):.10g}, fastnet's {float(made.loss):.10g})"
    named = ", ".join(name[1:] for name in left if name[1:] in NAMES)
    if named and "gradient" not in text:
        text += f"; off are also the gradients of {named}"
    hint = "; by so little that something may be float32 in between" if max(apart.values()) < 1e-5 else ""
    return f"{text}, at the same parameters and without a penalty{hint}"
