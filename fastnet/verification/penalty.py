"""The L2 penalty, judged in the loss and in each gradient by itself, by what it adds to them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from .evidence import NAMES, Arrays, Probe

__all__ = ["FORMS", "fault", "form_of"]

FORMS = {"full": (1.0, 2.0), "half": (0.5, 1.0)}
"""For each form of the L2 penalty its factors of reg * sum(W^2) in the loss, and of reg * W in the gradient."""

_TERMS = (("W1", "W2"), ("W1",), ("W2",), NAMES)
"""Whose squares the penalty of a loss may have: right, and wrong."""


class _Factors(NamedTuple):
    """What a class has in the place of the factors of FORMS."""

    loss: float
    terms: tuple[str, ...]
    """Whose squares they are in the loss."""
    of: dict[str, float]
    """For each parameter the factor in its gradient; NaN where what is added is no multiple of the parameter."""


def _factors(probe: Probe, tolerance: float) -> _Factors:
    plain, reg = probe.plain, probe.reg
    params: Arrays = {name: plain.params[name].astype(np.float64) for name in NAMES}
    squares = {name: float(np.vdot(array, array)) for name, array in params.items()}
    of = {}
    for name in NAMES:
        added = probe.penalized[f"d{name}"] - plain.seen[f"d{name}"]
        factor = float(np.vdot(added, params[name]) / (reg * squares[name])) if squares[name] else 0.0
        size = np.abs(reg * params[name]).max(initial=0)
        off = np.abs(added - factor * reg * params[name]).max(initial=0)
        of[name] = factor if off <= max(tolerance, 1e-6) * size * max(abs(factor), 1) else np.nan
    added_loss = float(probe.penalized["loss"] - plain.seen["loss"])
    ratios = {terms: added_loss / (reg * sum(squares[name] for name in terms)) for terms in _TERMS}
    known = [factor for factors in FORMS.values() for factor in factors] + [0.25]
    terms = next((terms for terms, ratio in ratios.items() if any(_same(ratio, factor, tolerance) for factor in known)),
                 _TERMS[0])
    return _Factors(ratios[terms], terms, of)


def _same(a: float, b: float, tolerance: float) -> bool:
    return abs(a - b) <= max(tolerance, 1e-6) * max(abs(a), abs(b), 1e-3)


def form_of(probe: Probe, tolerance: float) -> str:
    """Return the form that fits the loss and the gradients of W1 and W2 best, the first winning a tie."""
    found = _factors(probe, tolerance)

    def fits(form: str) -> int:
        loss, gradient = FORMS[form]
        return _same(found.loss, loss, tolerance) + sum(_same(found.of[W], gradient, tolerance) for W in ("W1", "W2"))

    return max(FORMS, key=fits)


def fault(probe: Probe, form: str, tolerance: float) -> str | None:
    """Say how the penalty differs from that form."""
    found = _factors(probe, tolerance)
    words = list(_faults(found, *FORMS[form], tolerance))
    if not words:
        return None
    gradients = " and ".join(f"{found.of[W]:.4g} * reg * {W}" for W in ("W1", "W2"))
    if _same(found.of["W1"], found.of["W2"], tolerance):
        gradients = f"{found.of['W1']:.4g} * reg * W"
    return (f"the L2 penalty: {', and '.join(words)}. It is {found.loss:.4g} * reg * sum(W^2) in the loss and "
            f'{gradients} in the gradient; in fastnet with l2="{form}" it is {FORMS[form][0]:g} and {FORMS[form][1]:g}')


def _faults(found: _Factors, loss: float, gradient: float, tolerance: float) -> Iterator[str]:
    weights = {W: found.of[W] for W in ("W1", "W2")}
    off = [W for W, factor in weights.items() if not _same(factor, gradient, tolerance)]
    right_loss = _same(found.loss, loss, tolerance) and found.terms == _TERMS[0]
    derived = all(_same(factor, 2 * found.loss, tolerance) for factor in weights.values())
    if len(off) == 2 and not right_loss and derived and found.loss:
        form = next((form for form, (other, _) in FORMS.items() if _same(found.loss, other, tolerance)), None)
        yield "it has another strength" + (f', that of l2="{form}"' if form else "")
    else:
        if not right_loss:
            if not found.loss:
                yield "the loss lacks it"
            elif found.terms != _TERMS[0]:
                yield f"in the loss it is of {', '.join(found.terms)}, and has to be of W1 and W2"
            else:
                yield "the factor in the loss does not fit that in the gradient, which has to be twice as large"
        missing = [W for W in off if weights[W] == 0]
        if missing:
            yield f"the gradient of {' and of '.join(missing)} lacks it"
        wrong = [W for W in off if W not in missing]
        if wrong and right_loss and all(np.isfinite(weights[W]) for W in wrong):
            yield f"the factor in the gradient of {' and of '.join(wrong)} is not twice that in the loss"
        elif wrong and right_loss:
            yield f"what the gradient of {' and of '.join(wrong)} has of it is no multiple of the weights"
    biased = [b for b in ("b1", "b2") if not _same(found.of[b], 0.0, tolerance)]
    if biased:
        factor = found.of[biased[0]]
        yield (f"the biases are penalized too ({factor:.4g} * reg * b in the gradient of {' and of '.join(biased)}), "
               f"which fastnet's are not")
