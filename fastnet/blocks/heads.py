"""What becomes of the last affine map: outputs, losses, and the gradient of the loss with respect to it.

Block functions on scores with a column for each sample, (C, m): every step is elementwise along the samples, however
few classes. Formulas: :data:`fastnet.reference.HEADS`. A head is its index in HEADS, or None for the softmax of the
course, whose loss is exact: what asks for None is compiled without the others.
"""

from __future__ import annotations

from math import log

import numpy as np

from ..jit.decorators import block, inline
from ..llvm.arrays import flat
from ..llvm.exponential import exp_nonpositive, log_from_one
from .activations import ACTIVATIONS, logistic_block, logistic_element

__all__ = ["HEADS", "cross_entropy_block", "hits_block", "losses_block", "method_indices", "output_rows_block",
           "softmax_block", "transpose_in_block", "transpose_out_block"]

HEADS = ("softmax", "logistic", "squared_error", "poisson")

_SOFTMAX, _LOGISTIC, _SQUARED_ERROR, _POISSON = 0, 1, 2, 3


def method_indices(activation: str | None, head: str | None) -> tuple[int | None, int | None]:
    """Return an activation and a head as compiled code knows them: places in ACTIVATIONS and HEADS, or None for both.

    Raises
    ------
    ValueError
        If one is given without the other, or a name is not known.
    """
    if activation is None and head is None:
        return None, None
    if activation is None or head is None:
        raise ValueError(f"activation and head must both be given, or none, got {activation} and {head}")
    return ACTIVATIONS.index(activation), HEADS.index(head)


@inline
def transpose_in_block(Z, S, j0, n, m):
    """S[j0:j0 + n, :m] = Z[:m, :n]^T."""
    for j in range(n):
        row = S[j0 + j]
        for i in range(m):
            row[i] = Z[i, j]


@inline
def transpose_out_block(S, Z, j0, n, m):
    """Z[:m, :n] = S[j0:j0 + n, :m]^T."""
    for j in range(n):
        row = S[j0 + j]
        for i in range(m):
            Z[i, j] = row[i]


@block
def exponentials_block(S, m, maxima, totals):
    """S_ci = exp(S_ci - m_i) in place, maxima_i = m_i = max_c S_ci, totals_i = sum_c exp(S_ci - m_i).

    The maximum of a column with a NaN may be a number or the NaN; either gives NaN throughout.
    """
    C = S.shape[0]
    for i in range(m):
        maxima[i] = S[0, i]
        totals[i] = 0
    for c in range(1, C):
        for i in range(m):
            s = S[c, i]
            maxima[i] = s if s > maxima[i] else maxima[i]
    for c in range(C):
        for i in range(m):
            e = exp_nonpositive(S[c, i] - maxima[i])
            S[c, i] = e
            totals[i] += e


@block
def softmax_block(S, m, maxima, totals):
    """S_ci = exp(S_ci - m_i) / sum_c exp(S_ci - m_i) in place, m_i = max_c S_ci; maxima and totals are scratch.

    A division takes the processor longer than all else here, so there is one for each sample, not for each score.
    """
    exponentials_block(S, m, maxima, totals)
    one = S.dtype.type(1)
    for i in range(m):
        totals[i] = one / totals[i]
    for c in range(S.shape[0]):
        for i in range(m):
            S[c, i] *= totals[i]


@block
def cross_entropy_block(S, y, N, losses, maxima, totals):
    """losses_i = log(sum_c exp(S_ci - m_i)) + m_i - S_yi and S = (softmax(S) - onehot(y)) / N, in place.

    maxima and totals are scratch; divisions as in `softmax_block`.
    """
    m = y.shape[0]
    own = S.dtype.type(0)
    for i in range(m):
        own = S[y[i], i]
        losses[i] = own
    exponentials_block(S, m, maxima, totals)
    zero, one = S.dtype.type(0), S.dtype.type(1)
    scale = one / S.dtype.type(N)
    for i in range(m):
        losses[i] = log_from_one(totals[i]) - (S.dtype.type(losses[i]) - maxima[i])
        totals[i] = one / totals[i]
    for c in range(S.shape[0]):
        for i in range(m):
            S[c, i] = (S[c, i] * totals[i] - (one if y[i] == c else zero)) * scale


@block
def exceeds(z, best):
    """Whether z is the largest so far: no number exceeds a NaN, and a NaN exceeds every number, as NumPy has it."""
    return (not z <= best) and best == best


@block
def hits_block(S, y, samples, maxima, labels):
    """How many of `samples` have the first of their largest scores, or their first NaN, at their label in y.

    S (C, at least m) has a column for each of the m samples; maxima and labels are scratch.
    """
    m, hits = samples.shape[0], 0
    for i in range(m):
        maxima[i], labels[i] = S[0, i], 0
    for c in range(1, S.shape[0]):
        for i in range(m):
            z, best = S[c, i], maxima[i]
            better = exceeds(z, best)
            maxima[i], labels[i] = z if better else best, c if better else labels[i]
    for i in range(m):
        if labels[i] == y[samples[i]]:
            hits += 1
    return hits


@block
def log_loss_element(p, itemsize):
    """-log p, with p kept from eps to 1 - eps; a NaN stays one."""
    eps = 2.0**-52 if itemsize == 8 else 2.0**-23
    return -log(eps if p < eps else (1 - eps if p > 1 - eps else np.float64(p)))


@block
def outputs_block(head, S, targets, samples, losses):
    """S = the head's outputs, and losses_i = the loss of each of `samples`, whose rows in `targets` are the truth."""
    C, m = S.shape[0], samples.shape[0]
    one = S.dtype.type(1)
    for i in range(m):
        losses[i] = 0
    for c in range(C):
        row = S[c, :m]
        if head == _LOGISTIC:
            for i in range(m):
                row[i] = logistic_element(row[i], one)
            for i in range(m):
                losses[i] += log_loss_element(row[i] if targets[samples[i], c] > 0 else one - row[i], S.itemsize)
        elif head == _SQUARED_ERROR:
            for i in range(m):
                error = row[i] - targets[samples[i], c]
                losses[i] += 0.5 * error * error / C
        else:
            for i in range(m):
                truth, row[i] = targets[samples[i], c], np.exp(row[i])
                losses[i] += row[i] - truth
                if truth != 0:
                    losses[i] += truth * np.log(truth / row[i])


@block
def losses_block(head, S, y, targets, weights, samples, total, losses, labels, maxima, totals):
    """losses_i = the weighted loss of each sample, and S = (outputs - truth) * weight / total, in place.

    Parameters
    ----------
    head : None or int
    S : array (C, at least m)
        Scores of m samples.
    y : int64 array (M,)
        Labels of all samples, for a softmax.
    targets : array (M, C)
        What the outputs should be, for the other heads.
    weights : array (M,) or empty
        Weights of all samples; all are 1 if empty.
    samples : intp array (m,)
        Which samples these are.
    total : float
        Sum of the weights of the whole minibatch; its size, where there are none.
    losses : float64 array (m,)
    labels, maxima, totals : intp array (at least m), two arrays (at least m)
        Scratch.
    """
    m = samples.shape[0]
    if head is None or head == _SOFTMAX:
        for i in range(m):
            labels[i] = y[samples[i]]
    if head is None:
        cross_entropy_block(S, labels[:m], total, losses, maxima, totals)
    else:
        one = S.dtype.type(1)
        if head == _SOFTMAX:
            softmax_block(S, m, maxima, totals)
            for i in range(m):
                losses[i] = log_loss_element(S[labels[i], i], S.itemsize)
                S[labels[i], i] -= one
        else:
            outputs_block(head, S, targets, samples, losses)
            for c in range(S.shape[0]):
                for i in range(m):
                    S[c, i] -= targets[samples[i], c]
        divisor = S.dtype.type(total)
        scale = one / divisor
        for i in range(m):
            maxima[i] = scale
        if weights.shape[0] > 0:
            for i in range(m):
                maxima[i] = weights[samples[i]] / divisor
                losses[i] *= weights[samples[i]]
        for c in range(S.shape[0]):
            for i in range(m):
                S[c, i] *= maxima[i]


@block
def softmax_rows_block(Z, start, stop):
    """`softmax_block` on the rows start to stop of scores with a row for each sample, (N, C)."""
    for i in range(start, stop):
        row = Z[i]
        largest, total = row[0], Z.dtype.type(0)
        for c in range(row.shape[0]):
            largest = row[c] if row[c] > largest else largest
        for c in range(row.shape[0]):
            row[c] = exp_nonpositive(row[c] - largest)
        for c in range(row.shape[0]):
            total += row[c]
        total = Z.dtype.type(1) / total
        for c in range(row.shape[0]):
            row[c] *= total


@block
def output_rows_block(head, Z, start, stop):
    """What a head makes of the rows start to stop of scores (N, C), in place; None leaves them as they are."""
    if head is not None:
        if head == _SOFTMAX:
            softmax_rows_block(Z, start, stop)
        elif head == _LOGISTIC:
            logistic_block(flat(Z, start * Z.shape[1], (stop - start) * Z.shape[1]))
        elif head == _POISSON:
            for i in range(start, stop):
                row = Z[i]
                for c in range(row.shape[0]):
                    row[c] = np.exp(row[c])
