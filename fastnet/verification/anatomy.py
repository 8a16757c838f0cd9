"""What a loss and its gradients are made of, part by part, and what is often done otherwise in each part.

Each part is a formula of those before it. A mistake is another formula for one of them: so its effect on everything
that is made of that part comes by itself, and a mistake is recognized by all of its numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import reference

__all__ = ["BOOK", "EXTREME_MISTAKES", "HARMLESS", "MISTAKES", "PARTS", "SCALABLE", "SIGMOID", "Formula", "Mistake",
           "Parts", "evaluate"]

Formula = Callable[[Any], Any]

Parts = Mapping[str, Formula]
"""Formulas by what they give, in the order in which they are evaluated."""

PARTS: Parts = {
    "truth": lambda v: v.y[:, np.newaxis] == np.arange(v.b2.size),
    "Z1": lambda v: reference.affine_forward(v.X, v.W1, v.b1),
    "A1": lambda v: reference.relu(v.Z1),
    "scores": lambda v: reference.affine_forward(v.A1, v.W2, v.b2),
    "P": lambda v: reference.softmax(v.scores),
    "shown": lambda v: v.scores,
    "losses": lambda v: -np.log(v.P[v.truth]),
    "loss": lambda v: v.losses.mean(),
    "delta2": lambda v: (v.P - v.truth) / len(v.X),
    "db2": lambda v: reference.bias_gradient(v.delta2),
    "dW2": lambda v: reference.weight_gradient(v.A1, v.delta2),
    "dA1": lambda v: v.delta2 @ v.W2.T,
    "delta1": lambda v: reference.relu_mask(v.dA1, v.A1),
    "db1": lambda v: reference.bias_gradient(v.delta1),
    "dW1": lambda v: reference.weight_gradient(v.X, v.delta1),
    "labels": lambda v: v.scores.argmax(axis=1),
    "accuracy": lambda v: np.mean(v.labels == v.y),
}
"""The course's network, of samples X, labels y and parameters W1, b1, W2 and b2; dW1 is the gradient of W1.

What a class can be seen to do of it: "shown", what it returns without labels; "loss", the gradients, "labels" (what it
predicts) and "accuracy".
"""

BOOK: Parts = {"losses": lambda v: -np.log(v.P[v.truth] + 1e-7)}
"""What the book's networks have in other ways."""

SIGMOID: Parts = {**BOOK, "shown": lambda v: v.P, "A1": lambda v: reference.logistic(v.Z1),
                  "delta1": lambda v: reference.logistic_mask(v.dA1, v.A1)}
"""The book's chapter 4."""

HARMLESS: tuple[Parts, ...] = ({}, {"losses": lambda v: _log_sum_exp(v.scores) - v.scores[v.truth]})
"""What is written in several ways, none of which is a mistake: where a probability underflows, one loss is infinite."""


class Mistake(NamedTuple):
    """What is done otherwise."""

    words: str
    parts: Parts


def _log_sum_exp(Z: NDArray[Any]) -> NDArray[Any]:
    largest = Z.max(axis=1)
    return np.asarray(np.log(np.exp(Z - largest[:, np.newaxis]).sum(axis=1)) + largest)


def _quotient(E: NDArray[Any], axis: int | None) -> NDArray[Any]:
    return np.asarray(E / E.sum(axis=axis, keepdims=True))


_ACTIVATIONS: dict[str, tuple[Formula, Formula]] = {
    "no activation at all": (lambda v: v.Z1, lambda v: v.dA1),
    "a leaky ReLU": (lambda v: np.where(v.Z1 > 0, v.Z1, 0.01 * v.Z1),
                     lambda v: np.where(v.Z1 > 0, v.dA1, 0.01 * v.dA1)),
    "the absolute value": (lambda v: np.abs(v.Z1), lambda v: v.dA1 * np.sign(v.Z1)),
    "tanh": (lambda v: np.tanh(v.Z1), lambda v: reference.tanh_mask(v.dA1, v.A1)),
    "the sigmoid": (lambda v: reference.logistic(v.Z1), lambda v: reference.logistic_mask(v.dA1, v.A1)),
    "ReLU": (lambda v: reference.relu(v.Z1), lambda v: reference.relu_mask(v.dA1, v.A1)),
    "min(0, z)": (lambda v: np.minimum(v.Z1, 0), lambda v: v.dA1 * (v.Z1 < 0))}
"""What the hidden units may have, and its derivative."""


def _off_by_one(by: int, label: str) -> tuple[Mistake, ...]:
    return (
        Mistake(f"the labels: they are off by one ({label}) in loss and gradients",
                {"truth": lambda v: np.roll(PARTS["truth"](v), by, axis=1)}),
        Mistake(f"the gradient of the scores: 1 is subtracted at {label}, not at y",
                {"delta2": lambda v: (v.P - np.roll(v.truth, by, axis=1)) / len(v.X)}),
        Mistake(f"the loss: it has the probability of {label}, not of y",
                {"losses": lambda v: -np.log(v.P[np.roll(v.truth, by, axis=1)])}),
        Mistake(f"predict: the labels are off by one ({label})",
                {"labels": lambda v: (v.scores.argmax(axis=1) + by) % v.b2.size}))


def _epsilon(eps: float) -> tuple[Mistake, ...]:
    return (
        Mistake(f"the loss: log(p + {eps:g}), or p kept from 0 at {eps:g}, in the place of log(p)",
                {"losses": lambda v: -np.log(v.P[v.truth] + eps)}),
        Mistake(f"the loss: the probability is kept from 0, at {eps:g} or more, before its logarithm is taken",
                {"losses": lambda v: -np.log(np.maximum(v.P[v.truth], eps))}))


_UNDERFLOWS: tuple[Mistake, ...] = (
    Mistake("the loss: log(p), with nothing added; the book's has log(p + 1e-7)",
            {"losses": lambda v: -np.log(v.P[v.truth])}),
    *(mistake for power in range(3, 17) for mistake in _epsilon(10.0**-power)),
)
"""What may be done about a probability that is 0; where none is small, it hardly shows."""

MISTAKES: tuple[Mistake, ...] = (
    # the scores
    *(Mistake(f"the scores: the hidden layer has {name}", {"A1": value, "delta1": mask})
      for name, (value, mask) in _ACTIVATIONS.items()),
    *(Mistake(f"the scores: the hidden layer has {name}; and its derivative is another function's", {"A1": value})
      for name, (value, _) in _ACTIVATIONS.items()),
    Mistake("the scores: b1 is not added", {"Z1": lambda v: v.X @ v.W1}),
    Mistake("the scores: b2 is not added", {"scores": lambda v: v.A1 @ v.W2}),
    Mistake("the scores: they go through a ReLU, which is for the hidden layer only",
            {"scores": lambda v: reference.relu(reference.affine_forward(v.A1, v.W2, v.b2))}),
    Mistake("loss(X) without labels returns probabilities; fastnet's are the scores", {"shown": lambda v: v.P}),
    # the probabilities
    Mistake("the softmax: its sum is taken over the samples (axis=0), not over the classes (axis=1)",
            {"P": lambda v: _quotient(np.exp(v.scores - v.scores.max(axis=1, keepdims=True)), 0)}),
    Mistake("the softmax: its sum and its maximum are taken over the samples (axis=0), not over the classes (axis=1)",
            {"P": lambda v: _quotient(np.exp(v.scores - v.scores.max(axis=0, keepdims=True)), 0)}),
    Mistake("the softmax: its sum is taken over the whole matrix, not over the classes of each sample (axis=1)",
            {"P": lambda v: _quotient(np.exp(v.scores - v.scores.max(axis=1, keepdims=True)), None)}),
    Mistake("the softmax: there is a sigmoid of each score in its place",
            {"P": lambda v: reference.logistic(v.scores)}),
    *_off_by_one(1, "y + 1"), *_off_by_one(-1, "y - 1"),
    # the loss
    Mistake("the loss: the probability itself in the place of its logarithm", {"losses": lambda v: -v.P[v.truth]}),
    Mistake("the loss: the logarithms of all classes are summed, not only that of the label",
            {"losses": lambda v: -np.log(v.P).sum(axis=1)}),
    Mistake("the loss: it is the cross-entropy of each class by itself, with log(1 - p) of the others",
            {"losses": lambda v: -np.log(np.where(v.truth, v.P, 1 - v.P)).sum(axis=1)}),
    Mistake("the loss: the logarithm has base 2", {"losses": lambda v: -np.log2(v.P[v.truth])}),
    Mistake("the loss: the logarithm has base 10", {"losses": lambda v: -np.log10(v.P[v.truth])}),
    *_UNDERFLOWS,
    # the gradient of the scores
    Mistake("the gradient of the scores: 1 is not subtracted at the label", {"delta2": lambda v: v.P / len(v.X)}),
    Mistake("the gradient of the scores: it is made of the scores, not of the probabilities",
            {"delta2": lambda v: (v.scores - v.truth) / len(v.X)}),
    Mistake("the gradient of the scores: 1 is subtracted everywhere", {"delta2": lambda v: (v.P - 1) / len(v.X)}),
    Mistake("the gradient of the scores: the derivative of the softmax, p * (1 - p), is multiplied to it once more",
            {"delta2": lambda v: (v.P - v.truth) * v.P * (1 - v.P) / len(v.X)}),
    # the second layer's gradients
    Mistake("the gradient of W2: it is made of the hidden layer before its ReLU, X W1 + b1",
            {"dW2": lambda v: reference.weight_gradient(v.Z1, v.delta2)}),
    Mistake("the gradient of W2: it is made of the probabilities, from which 1 has not been subtracted",
            {"dW2": lambda v: reference.weight_gradient(v.A1, v.P / len(v.X))}),
    Mistake("the gradient of W2: it is transposed", {"dW2": lambda v: v.delta2.T @ v.A1}),
    Mistake("the gradient of b2: delta is summed over the classes (axis=1), not over the samples (axis=0)",
            {"db2": lambda v: v.delta2.sum(axis=1)}),
    Mistake("the gradient of b2: delta is summed over everything, not over the samples only (axis=0)",
            {"db2": lambda v: np.full(v.b2.shape, v.delta2.sum())}),
    Mistake("the gradient of b2: it is made of the probabilities, from which 1 has not been subtracted",
            {"db2": lambda v: v.P.mean(axis=0)}),
    # the way back through the hidden layer
    Mistake("the gradients of W1 and b1: they lack the derivative of the hidden layer. With a ReLU so it is where the "
            "mask is h1 < 0 after h1 has been rectified: nothing is below 0 then. Such gradients are wrong; fastnet's "
            "mask is h1 > 0",
            {"delta1": lambda v: v.dA1}),
    Mistake("the gradients of W1 and b1: the mask of the ReLU is >= 0, so that the derivative at exactly 0 is 1; "
            "fastnet's mask is h1 > 0",
            {"delta1": lambda v: v.dA1 * (v.Z1 >= 0)}),
    Mistake("the gradients of W1 and b1: the mask of the ReLU is the wrong way round, and keeps what is not above 0",
            {"delta1": lambda v: v.dA1 * (v.Z1 <= 0)}),
    Mistake("the gradients of W1 and b1: the mask of the ReLU is the wrong way round, and keeps what is below 0",
            {"delta1": lambda v: v.dA1 * (v.Z1 < 0)}),
    Mistake("the gradients of W1 and b1: the ReLU is applied to the gradient itself; it has to be masked where h1 is "
            "not above 0", {"delta1": lambda v: reference.relu(v.dA1)}),
    Mistake("the gradients of W1 and b1: the gradient is multiplied by h1 itself, not by its mask h1 > 0",
            {"delta1": lambda v: v.dA1 * v.A1}),
    Mistake("the gradients of W1 and b1: the derivative of the hidden layer is taken of X W1 + b1, not of its value",
            {"delta1": lambda v: v.dA1 * v.Z1 * (1 - v.Z1)}),
    *(Mistake(f"the gradients of W1 and b1: the derivative is that of {name}", {"delta1": mask})
      for name, (_, mask) in _ACTIVATIONS.items()),
    Mistake("the gradients of W1 and b1: W2 is not transposed on the way back", {"dA1": lambda v: v.delta2 @ v.W2}),
    Mistake("the gradients of W1 and b1: they are made of the probabilities, from which 1 has not been subtracted",
            {"dA1": lambda v: v.P @ v.W2.T / len(v.X)}),
    # the first layer's gradients
    Mistake("the gradient of W1: delta is taken before its mask", {"dW1": lambda v: v.X.T @ v.dA1}),
    Mistake("the gradient of W1: it is transposed", {"dW1": lambda v: v.delta1.T @ v.X}),
    Mistake("the gradient of b1: delta is taken before its mask", {"db1": lambda v: v.dA1.sum(axis=0)}),
    Mistake("the gradient of b1: delta is summed over the units (axis=1), not over the samples (axis=0)",
            {"db1": lambda v: v.delta1.sum(axis=1)}),
    Mistake("the gradient of b1: delta is summed over everything, not over the samples only (axis=0)",
            {"db1": lambda v: np.full(v.b1.shape, v.delta1.sum())}),
    # predictions
    Mistake("predict: it takes the smallest score (argmin)", {"labels": lambda v: v.scores.argmin(axis=1)}),
    Mistake("predict: it takes the largest score along axis 0, of the samples; the classes are along axis 1",
            {"labels": lambda v: v.scores.argmax(axis=0)}),
    Mistake("predict: it returns the largest score itself (max); argmax has its place",
            {"labels": lambda v: v.scores.max(axis=1)}),
    Mistake("predict: its hidden layer has no ReLU", {"labels": lambda v: (v.Z1 @ v.W2 + v.b2).argmax(axis=1)}),
    Mistake("predict: it takes the largest hidden unit, not the largest score",
            {"labels": lambda v: v.A1.argmax(axis=1)}),
    Mistake("predict: b2 is not added", {"labels": lambda v: (v.A1 @ v.W2).argmax(axis=1)}),
    Mistake("accuracy: it takes the largest along axis 0, of the samples; the classes are along axis 1",
            {"accuracy": lambda v: np.mean(v.scores.argmax(axis=0) == v.truth.argmax(axis=0))}),
    Mistake("accuracy: it is a count; to be a fraction it has to be divided by the number of samples",
            {"accuracy": lambda v: np.sum(v.labels == v.y)}),
    Mistake("accuracy: it is the fraction of wrong ones", {"accuracy": lambda v: np.mean(v.labels != v.y)}),
)
"""The usual ones, the likelier first. Whatever is only multiplied by a number is in :data:`SCALABLE`."""

_NO_SHIFT = ("the softmax: the largest score of each sample is not subtracted before exp, which overflows where scores "
             "are large")

EXTREME_MISTAKES: tuple[Mistake, ...] = (
    Mistake(_NO_SHIFT, {"P": lambda v: _quotient(np.exp(v.scores), 1)}),
    Mistake(_NO_SHIFT, {"P": lambda v: np.exp(v.scores - np.log(np.exp(v.scores).sum(axis=1, keepdims=True)))}),
    Mistake("the softmax: one maximum of the whole matrix is subtracted, not that of each sample (axis=1): a sample "
            "whose scores are all far below it becomes 0 / 0",
            {"P": lambda v: _quotient(np.exp(v.scores - v.scores.max()), 1)}),
    Mistake("the softmax: the maximum that is subtracted is that of each class (axis=0), not that of each sample "
            "(axis=1): a sample whose scores are all far below becomes 0 / 0, or exp overflows",
            {"P": lambda v: _quotient(np.exp(v.scores - v.scores.max(axis=0)), 1)}),
    *_UNDERFLOWS,
)
"""Those that show only where scores are large."""

SCALABLE: Mapping[str, tuple[str, str]] = {
    "loss": ("loss", "the loss is"), "delta2": ("db2", "the gradients are"),
    "dW2": ("dW2", "the gradient of W2 is"), "db2": ("db2", "the gradient of b2 is"),
    "delta1": ("db1", "the gradients of W1 and b1 are"),
    "dW1": ("dW1", "the gradient of W1 is"), "db1": ("db1", "the gradient of b1 is")}
"""Parts that may be too large or too small by a factor: what shows it, and what is said of it."""


def evaluate(parts: Parts, **known: Any) -> Any:
    """Return a namespace of all parts, made of X, y and the parameters; what overflows does so in silence."""
    v = SimpleNamespace(**known)
    with np.errstate(all="ignore"):
        for name, formula in parts.items():
            setattr(v, name, formula(v))
    return v
