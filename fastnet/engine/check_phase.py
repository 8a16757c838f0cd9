"""The check phase: how many samples have their largest score at their label, after an update.

Accuracies are taken of training samples, mostly of the minibatch that the update has been made with, and of the
validation data. The weights are those in panels, which lie in the caches of the cores that have just updated them, and
nobody leaves compiled code. The parameters of the best check are kept, if somebody wants them, on the way to the next
update.
"""

from __future__ import annotations

from ..blocks.heads import hits_block, transpose_in_block
from ..blocks.partition import ZERO, share_start, tile_share_start
from ..jit.decorators import block
from ..llvm.arrays import flat, item_size
from ..llvm.stacks import layer_of
from ..tuning import FEW_ROWS
from .layers import activate_layer, affine_layer, gather, unit_span

__all__ = ["check_phase", "keep_parameters", "validation_hits"]


@block
def check_phase(head, method, plan, parameters, samples, checks, check_buffers, scratch, check, share):
    """Do one share of check number `check`, which comes after the update of a step.

    `head` is that of the method: where it is an argument by itself, numba leaves out what is for None only.
    """
    if head is None:  # the estimators are judged by scikit-learn
        shares, rows = checks.hits.shape[2], checks.chosen.shape[1]
        for part in range(2):
            given, count = (checks.validation, checks.validation.labels.shape[0]) if part else (samples, rows)
            first, last = tile_share_start(share, shares, count), tile_share_start(share + 1, shares, count)
            hits = ZERO
            for start in range(first, last, FEW_ROWS):
                m, row = min(FEW_ROWS, last - start), share * FEW_ROWS
                for i in range(m):
                    check_buffers.rows[row + i] = start + i if part else checks.chosen[check, start + i]
                hits += hits_of_rows(method, plan, parameters, given, check_buffers, scratch, share, row, m)
            checks.hits[check, part, share] = hits


@block
def hits_of_rows(method, plan, parameters, samples, check_buffers, scratch, share, row, m):
    """How many of m samples have their largest score at their label; `rows` has their indices, from place `row` on."""
    rows, stop, depth = check_buffers.rows, row + m, parameters.sizes.shape[0] - 1
    gather(samples, rows, check_buffers.X0, ZERO, check_buffers.X0.shape[0], row, stop)
    for layer in range(depth):
        for panel in range(layer_of(check_buffers.A, layer + 1).shape[0]):
            affine_layer(plan, parameters, samples, rows, check_buffers.X0, check_buffers.A, scratch, share, layer,
                         panel, row, stop)
            activate_layer(method, parameters, check_buffers.A, layer, panel, row, stop)
    Z, scores = layer_of(check_buffers.A, depth), scratch.scores[share]
    for panel in range(Z.shape[0]):
        j0, n = unit_span(plan, parameters.sizes, depth, panel, Z.shape[0], item_size(scratch.zeros))
        transpose_in_block(Z[panel, row:stop], scores, j0, n, m)
    return hits_block(scores, samples.labels, rows[row:stop], scratch.maxima[share], scratch.labels[share])


@block
def validation_hits(head, checks, check):
    """How many samples of the validation data have their largest score at their label in a check that is complete.

    `head` as for `check_phase`.
    """
    hits = ZERO
    if head is None:
        for share in range(checks.hits.shape[2]):
            hits += checks.hits[check, 1, share]
    return hits


@block
def keep_parameters(head, plan, parameters, checks, share):
    """Do one share of keeping the parameters, between the check that is the best so far and the next update.

    `head` as for `check_phase`.
    """
    if head is None:
        for layer in range(parameters.sizes.shape[0] - 1):
            copy_share_block(layer_of(parameters.W, layer), layer_of(checks.best.W, layer), share, plan.sample_shares)
            copy_share_block(layer_of(parameters.b, layer), layer_of(checks.best.b, layer), share, plan.sample_shares)


@block
def copy_share_block(source, target, share, count):
    """Copy share number `share` of `count` of the elements of an array to where they are in another one."""
    start = share_start(share, count, source.size)
    elements = share_start(share + 1, count, source.size) - start
    values, copies = flat(source, start, elements), flat(target, start, elements)
    for i in range(elements):
        copies[i] = values[i]
