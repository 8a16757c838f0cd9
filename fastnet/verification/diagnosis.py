"""What a user's class and fastnet's did from one seed, how far it lies apart, and in plain words why that may be.

Nothing here runs a class of either: :mod:`fastnet.verification.comparison` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import reference

__all__ = ["ACCURACIES", "NAMES", "PENALTIES", "Deviation", "Probe", "Run", "accuracies", "data_fault", "decay_fault",
           "deviation", "draws_fault", "losses_fault", "penalty_factors", "penalty_fault", "same_state"]

Arrays = dict[str, NDArray[Any]]

NAMES = ("W1", "b1", "W2", "b2")
ACCURACIES = ("train_acc_history", "val_acc_history")

PENALTIES = {"full": (1.0, 2.0), "half": (0.5, 1.0)}
"""For each form of the L2 penalty its factors of reg * sum(W^2) in the loss, and of reg * W in the gradient."""


class Deviation(NamedTuple):
    """How far two results lie apart: the largest difference of two elements, by itself and in relation to their size.

    ``relative`` is ``absolute`` divided by the largest magnitude among the elements of the user's result. Both are
    infinite where one of the two has a NaN or an infinite number and the other has not the same, or their sizes differ.
    """

    relative: float
    absolute: float


def deviation(theirs: Any, ours: Any) -> Deviation:
    """Return how far two arrays, or two numbers, lie apart; shapes such as (1, H) and (H,) are the same."""
    a, b = (np.asarray(values, np.float64).reshape(-1) for values in (theirs, ours))
    if a.shape != b.shape:
        return Deviation(np.inf, np.inf)
    finite = np.isfinite(a) & np.isfinite(b)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return Deviation(np.inf, np.inf)
    absolute = float(np.abs(a[finite] - b[finite]).max(initial=0))
    size = float(np.abs(a[finite]).max(initial=0))
    return Deviation(absolute / size if size else np.inf if absolute else 0.0, absolute)


class Run(NamedTuple):
    """What a training from the seed has left."""

    initial: Arrays
    """The parameters before it."""
    drawn: Any
    """State of NumPy's global generator after the constructor."""
    history: Mapping[str, Any]
    params: Arrays
    state: Any
    """State of the generator after the training."""
    seconds: float
    """What `train` took."""
    data_changed: bool
    """Whether `train` changed the arrays that it was given."""

    @property
    def losses(self) -> NDArray[np.float64]:
        """The loss of each iteration."""
        return np.asarray(self.history["loss_history"], np.float64)


class Probe(NamedTuple):
    """Losses and gradients for one batch, without a penalty and with one."""

    X: NDArray[Any]
    y: NDArray[np.int64]
    params: Arrays
    reg: float
    """Strength of the penalty."""
    losses: tuple[float, float]
    grads: tuple[Arrays, Arrays]


def accuracies(run: Run) -> list[list[float]] | None:
    """Return both histories of accuracies, or None where there are none."""
    if not all(name in run.history for name in ACCURACIES):
        return None
    return [[float(value) for value in run.history[name]] for name in ACCURACIES]


def same_state(first: Any, second: Any) -> bool:
    """Whether two states, as `np.random.get_state` returns them, are the same."""
    return all(map(np.array_equal, first, second))


def draws_fault(theirs: Run, ours: Run, samples: int, batch_size: int, iterations: int) -> str | None:
    """Say how the generator was used otherwise. Leaves it in any state."""
    if same_state(theirs.state, ours.state):
        return None
    ours_are = "fastnet draws np.random.choice(N, batch_size), with replacement, in each iteration, as the course does"
    if same_state(theirs.state, theirs.drawn):
        return f"the generator: train draws nothing from NumPy's global one, but minibatches from elsewhere; {ours_are}"
    if batch_size <= samples:
        np.random.set_state(theirs.drawn)
        for _ in range(iterations):
            np.random.choice(samples, batch_size, replace=False)
        if same_state(theirs.state, np.random.get_state()):
            return f"the generator: train draws minibatches without replacement (or a permutation); {ours_are}"
    return f"the generator: train draws other things, or in another order; {ours_are}"


def losses_fault(theirs: Run, ours: Run, rtol: float, explained: bool) -> str | None:
    """Say where the losses part, of two trainings that drew the same; and why, unless that is `explained` already."""
    a, b = theirs.losses, ours.losses
    if a.shape != b.shape:
        return f"loss_history has {len(a)} entries; fastnet's has one for each of the {len(b)} iterations"
    nans = [np.flatnonzero(~np.isfinite(losses)) for losses in (a, b)]
    if any(map(len, nans)):
        first = [f"{losses[at[0]]} from iteration {at[0]} on" if len(at) else "finite"
                 for losses, at in zip((a, b), nans, strict=True)]
        return (f"the losses: they are {first[0]}, fastnet's are {first[1]}. Where training diverges nothing can be "
                f"compared: try a smaller learning_rate")
    apart = np.flatnonzero(np.abs(a - b) > rtol * np.abs(a).max())
    if not apart.size:
        return None
    at = int(apart[0])
    text = f"the losses, from iteration {at} on: {a[at]:.10g}, fastnet {b[at]:.10g}"
    if explained:
        return f"{text}; that follows from the above"
    if at == 0:
        return f"{text}; so it is the loss, or the samples of the minibatch"
    if at == 1:
        return f"{text}; the first agree, so it is the gradient, or the step that is made of it"
    return (f"{text}; those before agree, so it is likely the learning rate, which fastnet multiplies by "
            f"learning_rate_decay after each check of accuracies")


def decay_fault(theirs: Run, ours: Run, samples: int, batch_size: int) -> str | None:
    """Say if accuracies are taken at other iterations."""
    counts = [[len(part) for part in accuracies(run) or []] for run in (theirs, ours)]
    if counts[0] in ([], counts[1]):
        return None
    quotient = max(samples / batch_size, 1)
    return (f"accuracies are taken {counts[0][0]} times, by fastnet {counts[1][0]} times (with {samples} samples and "
            f"batch_size={batch_size}). fastnet takes them, and lets the learning rate decay, at iterations that are "
            f"multiples of max(N / batch_size, 1) = {quotient:.6g}, not rounded, as the course does; a class that "
            f"rounds it has others. With a batch_size that divides N there is no difference")


def data_fault(probe: Probe, our_loss: float, ours: Arrays, rtol: float) -> str | None:
    """Say how loss and gradients without a penalty differ."""
    grads = probe.grads[0]
    off = {name: apart.relative for name in NAMES if (apart := deviation(grads[name], ours[name])).relative > rtol}
    loss_off = deviation(probe.losses[0], our_loss).relative > rtol
    if not off and not loss_off:
        return None
    if set(off) == set(NAMES) and all(_close(grads[name], len(probe.X) * ours[name]) for name in NAMES):
        return "the gradients are sums over the minibatch; fastnet's are means, as the course's"
    X, W1, b1, W2, b2 = (np.asarray(array, np.float64) for array in (probe.X, *map(probe.params.get, NAMES)))
    A = reference.relu(reference.affine_forward(X, W1, b1))
    _, delta = reference.softmax_cross_entropy(reference.affine_forward(A, W2, b2), probe.y)
    if not loss_off and set(off) <= {"W1", "b1"} and _close(grads["W1"], X.T @ (delta @ W2.T)):
        return ("the gradients of W1 and b1: they lack the derivative of the ReLU. So it is where the mask is h1 < 0 "
                "after h1 has been rectified: nothing is below 0 then. Such gradients are wrong; fastnet's mask is "
                "h1 > 0")
    parts = [f"the loss ({probe.losses[0]:.10g}, fastnet {our_loss:.10g})"] if loss_off else []
    parts += [f"the gradient of {', '.join(off)}"] if off else []
    hint = ""
    if max(off.values(), default=1) < 1e-5:
        hint = "; by so little that something may be float32 in between"
    elif not loss_off and set(off) <= {"W1", "b1"}:
        hint = "; those of W2 and b2 agree, so it is the way back through the ReLU"
    return f"{' and '.join(parts)}, at the same parameters and without a penalty{hint}"


def penalty_factors(probe: Probe) -> dict[str, float]:
    """Return the factors of the user's penalty: of reg * sum(W^2) in the loss, reg * W and reg * b in gradients."""
    def factor(*names: str) -> float:
        params = {name: probe.params[name].astype(np.float64) for name in names}
        added = sum(np.vdot(probe.grads[1][name] - probe.grads[0][name], params[name]) for name in names)
        return float(added / (probe.reg * sum(np.vdot(array, array) for array in params.values())))

    squares = sum(reference.sum_of_squares(probe.params[name].astype(np.float64)) for name in ("W1", "W2"))
    return {"loss": (probe.losses[1] - probe.losses[0]) / (probe.reg * squares), "W": factor("W1", "W2"),
            "b": factor("b1", "b2")}


def penalty_fault(probe: Probe, our_loss: float, ours: Arrays, l2: str, rtol: float) -> str | None:
    """Say how loss and gradients with a penalty differ, where they do not without."""
    off = [name for name in NAMES if deviation(probe.grads[1][name], ours[name]).relative > rtol]
    if not off and deviation(probe.losses[1], our_loss).relative <= rtol:
        return None
    found = penalty_factors(probe)
    text = (f"the L2 penalty: {found['loss']:.4g} * reg * sum(W^2) in the loss and {found['W']:.4g} * reg * W in the "
            f'gradient, about; in fastnet with l2="{l2}" it is {PENALTIES[l2][0]:g} and {PENALTIES[l2][1]:g}')
    if {"b1", "b2"} & set(off):
        text += f". The biases are penalized too ({found['b']:.4g} * reg * b); in fastnet they are not"
    return text


def _close(a: Any, b: Any) -> bool:
    """Whether these are the same but for rounding in float32."""
    return deviation(a, b).relative < 1e-3
