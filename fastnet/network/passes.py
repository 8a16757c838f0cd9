"""The network as a list of layers, and its two passes: a kernel a line.

Two layers are the flagship; nothing here depends on their number. Input is trusted: :mod:`fastnet.checks` has seen it,
which `infer_known` asks itself. Only NaN and inf in samples are looked for here, where what is made of them shows them.

Shape letters: N samples, D inputs, H hidden units, C classes. A layer is (W, b), of shapes (D, H) and (H,).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from ..aliases import Arrays, Layer
from ..blocks.heads import method_indices
from ..checks import (
    Known,
    checked_finite,
    computable,
    is_computable,
    not_finite,
    ready_parameters,
    ready_samples,
    writable,
)
from ..engine.gradients import loss_and_gradients
from ..llvm.memory import aligned
from ..llvm.target import PACK, tile_width
from ..parallel.phases import new_counters
from ..parallel.team import run as run_team
from ..parallel.threads import most_threads, share_count, slow_regions, using_threads
from ..stored import AnySamples, StoredSamples
from ..tuning import (
    BLOCK_ROWS,
    CHUNK_ROWS,
    CHUNK_WORK,
    EXP_WORK,
    FINITE_PIECE,
    LOSS_BYTES,
    REGION_WORK,
    SHARES_PER_THREAD,
    SLOW_REGION_WORK,
    WORK_PER_THREAD,
)
from .inference import (
    ALL_FINITE,
    NO_REGION,
    Network,
    Outputs,
    few_probabilities,
    few_scores,
    few_scores_in_region,
    network_scores,
    one_row_scores,
    panel_lines,
    scratch_lines,
)

__all__ = ["forward", "infer", "infer_known", "loss_and_grads", "loss_and_grads_by_kernels",
           "prepare_regions", "probabilities"]

_INDEX = np.dtype(np.intp)
"""To make a dtype of the type would take NumPy as long as the array of a few labels."""


def forward(layers: Sequence[Layer], X: NDArray[Any], name: str | None = None) -> list[NDArray[Any]]:
    """Return the input, the activation of each hidden layer, and the scores: A_0 = X, A_1, ..., Z_L.

    With a `name`, `X` may hold NaN or inf: then ValueError says where, and calls it so.
    """
    A = [X]
    for index, (W, b) in enumerate(layers):
        Z = kernels.affine_forward(A[-1], W, b)
        # One feature that is not finite makes all of its row of the first Z NaN or infinite, whatever the weight. To
        # look through all of X takes a twelfth of the loss.
        if index == 0 and name is not None and not np.isfinite(Z[:, 0]).all():
            checked_finite(X, name)
        A.append(kernels.relu(Z) if index < len(layers) - 1 else Z)
    return A


def loss_and_grads(layers: Sequence[Layer], X: NDArray[Any], y: NDArray[np.int64], penalty: float,
                   threads: int | None = None, name: str | None = None) -> tuple[float, list[Layer]]:
    """Return the mean cross-entropy plus 0.5 * penalty * sum(W^2), and its gradient for each layer.

    Where the samples are few enough to be copied, it is a training step's products that make them
    (:mod:`fastnet.engine.gradients`).

    Parameters
    ----------
    layers : sequence of (W, b)
        C-contiguous and writable, as X is; all of one dtype.
    X : array (N, D)
    y : int64 array (N,)
    penalty : float
        Strength of the L2 penalty on the weights; biases have none.
    threads : int or None
        How many there may be at work; None for as many as the calling thread may have.
    name : str or None
        With a name, `X` may still hold NaN or inf, and the error calls it so.

    Raises
    ------
    ValueError
        If `X` has a `name` and is not finite.
    """
    if X.nbytes > LOSS_BYTES:
        return loss_and_grads_by_kernels(layers, X, y, penalty, threads, name)
    if name is not None:
        checked_finite(X, name)
    return loss_and_gradients(layers, X, y, penalty, threads)


def loss_and_grads_by_kernels(layers: Sequence[Layer], X: NDArray[Any], y: NDArray[np.int64], penalty: float,
                              threads: int | None = None, name: str | None = None) -> tuple[float, list[Layer]]:
    """Return what `loss_and_grads` does, to the bit, without a copy of the samples: a kernel a line."""
    serial = slow_regions() and len(X) * sum(W.size for W, _ in layers) < REGION_WORK
    with using_threads(1 if serial else threads):
        return _loss_and_grads(layers, X, y, penalty, name)


def _loss_and_grads(layers: Sequence[Layer], X: NDArray[Any], y: NDArray[np.int64], penalty: float,
                    name: str | None) -> tuple[float, list[Layer]]:
    *A, Z = forward(layers, X, name)
    loss, delta = kernels.softmax_cross_entropy(Z, y)
    grads: list[Layer] = []
    for index in reversed(range(len(layers))):
        W, _ = layers[index]
        dW, db = kernels.weight_gradient(A[index], delta), kernels.bias_gradient(delta)
        if penalty:
            loss += 0.5 * penalty * kernels.sum_of_squares(W)
            kernels.axpy(penalty, W.reshape(-1), dW.reshape(-1))
        grads.append((dW, db))
        if index:
            delta = kernels.propagate_delta(delta, W, A[index])
    return float(loss), grads[::-1]


def infer_known(params: Any, known: Known, X: Any, dtype: np.dtype[Any],
                threads: int | None = None) -> tuple[NDArray[Any], NDArray[np.intp]] | None:
    """Return what `infer` does of a few samples that are as compiled code takes them, with parameters that are, too.

    None in all other cases, what is wrong or not finite among them: each view, check and conversion takes a good part
    of the time that a sample takes.
    """
    arrays = ready_parameters(params, known, dtype)
    if arrays is None:
        return None
    Ws, bs = arrays
    if is_computable(X, 2, dtype):
        samples = X
    else:  # read-only, mostly
        ready = ready_samples(X, len(Ws[0]), dtype)
        if ready is None:
            return None
        samples = writable(ready)
    work = len(samples) * sum([W.size for W in Ws]) if len(samples) > 1 else 0
    # To ask whether regions are slow has numba load its threads; a single sample needs none.
    if work and (slow_regions() or work >= REGION_WORK):
        return None
    Z, labels = np.empty((len(samples), bs[-1].size), dtype), np.empty(len(samples), _INDEX)
    bad = _few_scores((None, None), Ws, bs, samples, work, threads, Z, labels)
    return (Z, labels) if bad == ALL_FINITE else None


def infer(layers: Sequence[Layer], X: AnySamples, name: str = "X", check: Callable[[], None] | None = None,
          region: bool = True, activation: str | None = None, head: str | None = None, threads: int | None = None,
          scores: bool = True) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Return the scores Z_L, (N, C), of `X`, which may still hold NaN or inf, and the label of the largest, (N,).

    With an `activation` other than ReLU, and with a `head`, return what it makes of the scores; both or none.

    In chunks of rows: the activations of all samples never exist at once. `check` is called after each chunk; what
    it raises ends the work. `region`: whether a short piece of work may be done in a parallel region of numba's, whose
    threads are there at once. `threads`: how many there may be at work; None for as many as the calling
    thread may have. Without `scores` those of many samples are not kept: the first result is of no use then.

    Raises
    ------
    ValueError
        If `X`, which the message calls `name`, is not finite.
    """
    Ws, bs = zip(*layers, strict=True)
    method = method_indices(activation, head)
    # A single sample, quickly: what several are asked for takes a microsecond, and has numba load its threads.
    if region and check is None and X.shape[0] == 1 and isinstance(X, np.ndarray):
        return _infer_few(method, Ws, bs, writable(computable(X, Ws[0].dtype)), 0, name, 0, 1)
    work = sum([W.size for W in Ws])
    rows = max(CHUNK_ROWS, CHUNK_WORK // work)
    # A chunk is read or converted, never all.
    if isinstance(X, StoredSamples) or X.dtype != Ws[0].dtype or not X.flags.c_contiguous:
        rows = min(rows, max(1, FINITE_PIECE // X.shape[1]))
    if len(X) <= rows and check is None and not isinstance(X, StoredSamples):
        return _infer(method, Ws, bs, X, 0, work, name, region, threads)
    # The result is allocated at once: what can't be held fails before hours of work, not after them.
    labels = np.empty(len(X), np.intp)
    Z = np.empty((len(X) if scores else 0, Ws[-1].shape[1]), Ws[0].dtype)
    for start in range(0, len(X), rows):
        part = slice(start, min(start + rows, len(X)))
        Z_part, labels[part] = _infer(method, Ws, bs, X[part], start, work, name, region, threads)
        if scores:
            Z[part] = Z_part
        if check is not None:
            check()
    return Z, labels


def probabilities(Z: NDArray[Any]) -> NDArray[Any]:
    """Return :func:`fastnet.kernels.softmax` of scores (N, C), C-contiguous."""
    return few_probabilities(Z) if EXP_WORK * Z.size < 2 * WORK_PER_THREAD else kernels.softmax(Z)


def prepare_regions(dtype: np.dtype[Any], depth: int, activation: str | None = None, head: str | None = None) -> None:
    """Compile, or load, what predictions of `infer` have that are worth several threads, for so many layers."""
    Ws, bs = (np.zeros((1, 1), dtype),) * depth, (np.zeros(1, dtype),) * depth
    few_scores_in_region(*method_indices(activation, head), 1, np.zeros((1, 1), dtype), Ws, bs, np.zeros((1, 1), dtype),
                         np.zeros(1, np.intp))
    if head is None:
        kernels.softmax(np.zeros((1, 1), dtype))


def _infer_few(method: tuple[int | None, int | None], Ws: Arrays, bs: Arrays, X: NDArray[Any], first: int, name: str,
               work: int, threads: int | None) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Scores and labels of so few samples that threads have to be there at once, if there may be several.

    They are as compiled code takes them; only NaN and inf are looked for.
    """
    Z, labels = np.empty((len(X), Ws[-1].shape[1]), X.dtype), np.empty(len(X), _INDEX)
    bad = _few_scores(method, Ws, bs, X, work, threads, Z, labels)
    if bad != ALL_FINITE:
        raise not_finite(X, bad, name, first)
    return Z, labels


def _few_scores(method: tuple[int | None, int | None], Ws: Arrays, bs: Arrays, X: NDArray[Any], work: int,
                threads: int | None, Z: NDArray[Any], labels: NDArray[np.intp]) -> int:
    """What `few_scores` returns, in several threads where that pays for so many multiply-adds."""
    if work >= 2 * WORK_PER_THREAD and (most := most_threads(threads)) > 1:
        bad = few_scores_in_region(*method, most, X, Ws, bs, Z, labels)
        if bad != NO_REGION:
            return bad
    return (few_scores if len(X) > 1 else one_row_scores)(*method, X, Ws, bs, Z, labels)


def _infer(method: tuple[int | None, int | None], Ws: tuple[NDArray[Any], ...], bs: tuple[NDArray[Any], ...],
           X: NDArray[Any], first: int, work: int, name: str, region: bool,
           threads: int | None) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Scores and labels of one chunk, whose samples are counted from `first` on; `work` is multiply-adds for each."""
    N, dtype, X = len(X), Ws[0].dtype, writable(computable(X, Ws[0].dtype))
    slow = region and slow_regions()
    if region and N * work < (SLOW_REGION_WORK if slow else REGION_WORK):
        return _infer_few(method, Ws, bs, X, first, name, N * work, 1 if slow else threads)
    Z, labels, finite = np.empty((N, Ws[-1].shape[1]), dtype), np.empty(N, np.intp), np.empty(N, np.bool_)
    threads, width = share_count(N, N * work, threads), tile_width(dtype.itemsize)
    # Several shares for each thread, as one may come late; more where each would not fit the cache.
    rows = min(BLOCK_ROWS, -(-N // (SHARES_PER_THREAD * threads * PACK)) * PACK, N)
    shares = -(-N // rows)
    workers = min(threads, shares)
    packed_lines = panel_lines(N, Ws)
    lines, own_lines = scratch_lines(rows, Ws, packed_lines > 0)
    run_team(network_scores, workers, new_counters(shares), Network(*method, Ws, bs), workers, rows, X[np.newaxis],
             aligned((packed_lines, width), dtype), aligned((workers, lines, width), dtype), own_lines,
             Outputs(Z, labels, finite))
    if not finite.all():
        raise not_finite(X, int(finite.argmin()), name, first)
    return Z, labels
