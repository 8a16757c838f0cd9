"""Whole steps of training in one compiled call: the loop, in which a worker takes shares of phases in turn.

In the *sample phase* each share takes some samples of the minibatch through the layers, forward and backward
(:mod:`fastnet.engine.sample_phase`). In the *feature phase* each share takes some rows of the weights through gradient,
penalty and update (:mod:`fastnet.engine.feature_phase`). Now and then a *check phase* takes accuracies in between
(:mod:`fastnet.engine.check_phase`). A team of workers goes through all of them
(:mod:`fastnet.parallel.team`): no thread is started and none waits in Python between the steps. The numbers are those
of the kernels one after the other, to the bit.

Everything lies so that tiles read memory in a row; docs/vocabulary.md has drawings.

- *packed minibatch*, (D / PACK, N, PACK): a tile of the forward pass and one of the weight gradient both read it in a
  row.
- *panels*, (panels, rows, width): weights, activations and deltas. A panel is at most as wide as a tile.

Padded rows of weights stay 0 and add nothing to the sum of squares. Other padding only makes padding.
"""

from __future__ import annotations

import numpy as np

from ..aliases import Array
from ..blocks.partition import ZERO
from ..blocks.sparse import NonZeros
from ..jit.decorators import block, worker
from ..llvm.structs import Table
from ..llvm.subnormals import flush_subnormals, restore_control
from ..parallel.phases import SHUT, claim, complete, enter, leave, wait_until
from .arguments import Method, lasting_structs, passing_structs
from .check_phase import check_phase, keep_parameters, validation_hits
from .feature_phase import feature_phase
from .sample_phase import loss_of_step, sample_phase

__all__ = ["training_steps"]

PHASES = 3
FEATURES, CHECK, SAMPLES = range(PHASES)
"""The phases of a step, in their order."""


@worker
def training_steps(number: int, counters: Array, method: Method, lasting: Table, passing: Table, like: Array,
                   non_zeros: NonZeros | None) -> None:
    """Do the shares of one worker of a team that takes a step for each minibatch of the schedule.

    S steps are 3 S + 3 phases. Phase 3 s updates the parameters after step s - 1 and, with a `forward_layer`, begins
    step s; phase 3 s + 1 takes accuracies after step s - 1, if they are due; phase 3 s + 2 keeps the parameters, if
    these are the best so far, does step s and writes the loss of step s - 1. The last three only finish. Parameters and
    moments are changed in place. Nothing is checked: :class:`fastnet.engine.workspace.Workspace` has done that.

    Parameters
    ----------
    number : int
        Number of this worker.
    counters : int64 array
        From :func:`fastnet.parallel.phases.new_counters`, not yet begun.
    method : Method
    lasting, passing : Table
        Of a `Lasting` and of a `Passing`; what they hold: :mod:`fastnet.engine.arguments`.
    like, non_zeros
        An array of the dtype of the parameters, and the non-zeros of `Samples`: numba sees by them of which types the
        rest is.
    """
    opened = enter(counters, number)
    if opened == SHUT:
        return
    plan, parameters, buffers, check_buffers, scratch = lasting_structs(lasting, method, like)
    samples, schedule, checks = passing_structs(passing, non_zeros, like)
    control = begin_flushing(method.optimizer)
    alone = plan.sample_shares == 1 and plan.feature_shares == 1  # atomic operations cost a small step much
    completed, check, most_hits = ZERO, ZERO, checks.hits_to_beat
    for phase in range(PHASES * (schedule.batches.shape[0] + 1)):
        step, kind = phase // PHASES, phase % PHASES
        due = kind == CHECK and step > 0 and checks.due[step - 1]
        count = shares_of_phase(plan, checks, kind, due)
        if not alone:
            wait_until(counters, completed)
        improved = False
        if kind == SAMPLES and step > 0 and checks.due[step - 1]:
            hits = validation_hits(method.head, checks, check - 1)
            improved, most_hits = hits > most_hits, max(hits, most_hits)
        for attempt in range(count):
            share = (number + attempt) % count if count > 1 else 0
            if not (alone or claim(counters, share, phase)):
                continue
            if kind == SAMPLES:
                if improved:
                    keep_parameters(method.head, plan, parameters, checks, share)
                do_sample_share(method, plan, parameters, samples, schedule, buffers, scratch, step, share)
            elif kind == CHECK:
                check_phase(method.head, method, plan, parameters, samples, checks, check_buffers, scratch, check,
                            share)
            else:
                feature_phase(method, plan, parameters, samples, schedule, buffers, scratch, step, share)
            if not alone:
                complete(counters)
        completed += count
        if due:
            check += 1
    end_flushing(method.optimizer, control)
    leave(counters, number, opened)


@block
def shares_of_phase(plan, checks, kind, due):
    """How many shares a phase has; `due`: whether it is a check that has to be made."""
    if kind == CHECK:
        return checks.hits.shape[2] if due else 0
    return plan.sample_shares if kind == SAMPLES else plan.feature_shares


@block
def do_sample_share(method, plan, parameters, samples, schedule, buffers, scratch, step, share):
    """A share of the sample phase of a step; the first one also makes the loss of the step before."""
    if share == 0 and step > 0:
        schedule.losses[step - 1] = loss_of_step(plan, parameters, schedule, buffers, step - 1)
    if step < schedule.batches.shape[0]:
        sample_phase(method, plan, parameters, samples, schedule, buffers, scratch, step, share)


@block
def begin_flushing(optimizer):
    """Count numbers below the smallest normal one as 0 from now on, where there are moments; return what was before.

    Moments of weights that nothing pulls at become ever smaller, and the processor takes a hundred times as long for
    subnormal numbers.
    """
    if optimizer is None:
        return np.int64(0)
    return flush_subnormals()


@block
def end_flushing(optimizer, control):
    """Undo `begin_flushing`."""
    if optimizer is not None:
        restore_control(control)
