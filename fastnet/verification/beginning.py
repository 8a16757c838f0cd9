"""The initial parameters: what a constructor makes of the generator's numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .evidence import NAMES, Run, deviation, same_state

__all__ = ["fault"]

_LIKE = ("fastnet's are std * standard_normal of the shape of W1, then of W2, and biases of 0. Those of the class were "
         "copied, so that the rest could be compared")

Draw = Callable[[tuple[int, int], tuple[int, int]], list[Any]]

_DRAWS: dict[str, Draw] = {
    "": lambda first, second: [np.random.standard_normal(first), np.random.standard_normal(second)],
    "W2 is drawn before W1": lambda first, second: [
        np.random.standard_normal(second), np.random.standard_normal(first)][::-1],
    "the numbers are uniform from 0 to 1 (rand), not normal (randn)": lambda first, second: [
        np.random.random_sample(first), np.random.random_sample(second)],
    "the numbers are uniform from -1 to 1, not normal": lambda first, second: [
        np.random.uniform(-1, 1, first), np.random.uniform(-1, 1, second)],
    "the numbers are drawn in the transposed shape": lambda first, second: [
        np.random.standard_normal(first[::-1]).T, np.random.standard_normal(second[::-1]).T],
    "there are draws for the biases between those of W1 and W2": lambda first, second: [
        np.random.standard_normal(first), np.random.standard_normal(first[1]), np.random.standard_normal(second)][::2]}
"""What may be drawn for W1 and W2, of these shapes, before it is multiplied by a number."""


def fault(theirs: Run, seed: int, std: float, tolerance: float) -> str:
    """Say how the initial parameters differ. Leaves the generator in any state."""
    weights = [theirs.initial[name] for name in ("W1", "W2")]
    shapes = [array.shape for array in weights]
    reasons = []
    for words, draw in _DRAWS.items():
        np.random.seed(seed)
        drawn = draw(*shapes)
        factors = [float(np.vdot(a, b) / np.vdot(b, b)) for a, b in zip(weights, drawn, strict=True)]
        if all(deviation(a, k * b).relative <= max(tolerance, 1e-6)
               for a, b, k in zip(weights, drawn, factors, strict=True)):
            reasons = [words] if words else []
            reasons += [f"{name} is {_scale(factor, std, array.shape)}" for name, factor, array in
                        zip(("W1", "W2"), factors, weights, strict=True) if abs(factor - std) > 1e-6 * abs(std)]
            break
    else:
        np.random.seed(seed)
        if same_state(theirs.drawn, np.random.get_state()):
            reasons = ["nothing is drawn from NumPy's global generator"]
    reasons += [f"{name} is not 0" for name in NAMES if name[0] == "b" and theirs.initial[name].any()]
    because = f", for {'; '.join(reasons)}" if reasons else ""
    return f"the constructor: other initial parameters from the same seed{because}. {_LIKE}"


def _scale(factor: float, std: float, shape: tuple[int, ...]) -> str:
    """What the numbers that were drawn are multiplied by."""
    known = {1.0: "not multiplied by std", std**2: "multiplied by std twice", std**0.5: "multiplied by sqrt(std)",
             (2 / shape[0]) ** 0.5: "multiplied by sqrt(2 / inputs), as He does, not by std",
             (1 / shape[0]) ** 0.5: "multiplied by sqrt(1 / inputs), as Xavier does, not by std"}
    return next((words for value, words in known.items() if abs(factor - value) <= 1e-6 * value),
                f"multiplied by {factor:.6g}, not by std = {std:g}")
