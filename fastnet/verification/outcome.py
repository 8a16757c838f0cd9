"""How two trainings differ, where no known mistake makes the numbers: what can be said from where they part."""

from __future__ import annotations

import numpy as np

from .evidence import NAMES, Run, accuracies, deviation, same_state

__all__ = ["decay_fault", "faults"]


def faults(theirs: Run, right: Run, samples: int, batch_size: int, rtol: float) -> list[str]:
    """Say what differs, the reason before what it leads to; leaves the generator in any state.

    Parameters
    ----------
    theirs, right : Run
        The user's training, and as it would be with the course's loop.
    samples, batch_size : int
    rtol : float
    """
    found = [_draws_fault(theirs, right) or _losses_fault(theirs, right, rtol),
             decay_fault(theirs, right, samples, batch_size)]
    if any(found):
        return [fault for fault in found if fault]
    apart = [name for name in NAMES if deviation(theirs.params[name], right.params[name]).relative > rtol]
    said = [f"{', '.join(apart)} after the training, though the losses agree"] if apart else []
    if accuracies(theirs) not in (None, accuracies(right)) and theirs.params["W1"].dtype != np.float32:
        said.append("the accuracies, though the losses agree: so it is `predict`, or what it is given")
    return said


def _draws_fault(theirs: Run, right: Run) -> str | None:
    """Say how the generator was used otherwise."""
    if same_state(theirs.state, right.state):
        return None
    ours_are = "fastnet draws np.random.choice(N, batch_size), with replacement, in each iteration, as the course does"
    if same_state(theirs.state, theirs.drawn):
        return f"the generator: train draws nothing from NumPy's global one, but minibatches from elsewhere; {ours_are}"
    return f"the generator: train draws other things, or in another order; {ours_are}"


def _losses_fault(theirs: Run, right: Run, rtol: float) -> str | None:
    """Say where the losses part, of two trainings that drew the same."""
    a, b = theirs.losses, right.losses
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
    if at == 0:
        return f"{text}; so it is the loss, or the samples of the minibatch"
    if at == 1:
        return f"{text}; the first agree, so it is the gradient, or the step that is made of it"
    return (f"{text}; those before agree, so it is likely the learning rate, which fastnet multiplies by "
            f"learning_rate_decay after each check of accuracies")


def decay_fault(theirs: Run, right: Run, samples: int, batch_size: int) -> str | None:
    """Say if accuracies are taken at other iterations."""
    counts = [[len(part) for part in accuracies(run) or []] for run in (theirs, right)]
    if counts[0] in ([], counts[1]):
        return None
    quotient = max(samples / batch_size, 1)
    return (f"accuracies are taken {counts[0][0]} times, by fastnet {counts[1][0]} times (with {samples} samples and "
            f"batch_size={batch_size}). fastnet takes them, and lets the learning rate decay, at iterations that are "
            f"multiples of max(N / batch_size, 1) = {quotient:.6g}, not rounded, as the course does; a class that "
            f"rounds it has others. With a batch_size that divides N there is no difference")
