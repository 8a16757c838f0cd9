"""The network as a list of layers, and its two passes: a kernel a line.

Two layers are the flagship; nothing here depends on their number. Input is trusted: :mod:`fastnet.checks` has seen it.

Shape letters: N samples, D inputs, H hidden units, C classes. A layer is (W, b), of shapes (D, H) and (H,).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import kernels, steps
from .blocks import BLOCK_ROWS, LEAVES, gradient_sums, leaf_count, panel_count, panel_span, sample_sums
from .checks import Layer, not_finite, writable
from .inference import few_scores, network_scores, panel_lines, scratch_lines
from .memory import aligned
from .simd import PACK, tile_width
from .team import counters
from .team import run as run_team
from .threads import share_count, slow_regions, using_threads

__all__ = ["Workspace", "forward", "infer", "loss_and_grads"]

_REGION_WORK = 200_000_000
"""Multiply-adds up to which threads have to be there at once to be of use: about a millisecond. A region's are, unless
regions are slow: then a loss of so little work is serial."""

_SLOW_REGION_WORK = 10_000_000
"""The same for scores where regions are slow: they are serial up to so much work, and a team's from then on."""

_CHUNK_WORK = 2_000_000_000
"""Multiply-adds of one chunk of rows in `infer`: some ten milliseconds: little memory, and a short wait for Ctrl-C."""


def forward(layers: Sequence[Layer], X: NDArray[Any]) -> list[NDArray[Any]]:
    """Return the input, the activation of each hidden layer, and the scores: A_0 = X, A_1, ..., Z_L."""
    A = [X]
    for W, b in layers[:-1]:
        A.append(kernels.relu(kernels.affine_forward(A[-1], W, b)))
    W, b = layers[-1]
    A.append(kernels.affine_forward(A[-1], W, b))
    return A


def loss_and_grads(layers: Sequence[Layer], X: NDArray[Any], y: NDArray[np.int64],
                   l2: float) -> tuple[float, list[Layer]]:
    """Return the mean cross-entropy plus 0.5 * l2 * sum(W^2), and its gradient for each layer.

    Parameters
    ----------
    layers : sequence of (W, b)
    X : array (N, D)
    y : int64 array (N,)
    l2 : float
        Strength of the L2 penalty on the weights; biases have none.
    """
    serial = slow_regions() and len(X) * sum(W.size for W, _ in layers) < _REGION_WORK
    with using_threads(1 if serial else None):
        return _loss_and_grads(layers, X, y, l2)


def _loss_and_grads(layers: Sequence[Layer], X: NDArray[Any], y: NDArray[np.int64],
                    l2: float) -> tuple[float, list[Layer]]:
    *A, Z = forward(layers, X)
    loss, delta = kernels.softmax_cross_entropy(Z, y)
    grads: list[Layer] = []
    for index in reversed(range(len(layers))):
        W, _ = layers[index]
        dW, db = kernels.weight_gradient(A[index], delta), kernels.bias_gradient(delta)
        if l2:
            loss += 0.5 * l2 * kernels.sum_of_squares(W)
            kernels.axpy(l2, W.reshape(-1), dW.reshape(-1))
        grads.append((dW, db))
        if index:
            delta = kernels.propagate_delta(delta, W, A[index])
    return float(loss), grads[::-1]


class Workspace:
    """The network as the training step wants it: parameters and every buffer, packed and padded, made once.

    Parameters
    ----------
    layers : sequence of (W, b)
        Their shapes count; :meth:`load` reads the numbers.
    batch_size : int
        Samples in a minibatch, N.
    """

    def __init__(self, layers: Sequence[Layer], batch_size: int) -> None:
        N, dtype = batch_size, layers[0][0].dtype
        self.sizes = (*(len(W) for W, _ in layers), layers[-1][0].shape[1])
        step = dtype.itemsize
        width = tile_width(step)
        work = N * sum(W.size for W, _ in layers)
        threads = share_count(N * max(self.sizes), work)
        D, H = self.sizes[:2]
        # What travels between the cores: sums of the first affine map and deltas, or weights, samples and deltas.
        self._by_features = leaf_count(D) == LEAVES and threads <= LEAVES and 2 * N * H < D * (N + H)
        self._feature_count = (1 << threads.bit_length() - 1) if self._by_features else min(
            threads, -(-max(self.sizes[:-1]) // PACK))
        self._sample_count = min(threads, -(-N // PACK))
        self._own = self._sample_count == 2 and sample_sums(N) == 2
        self._checked: NDArray[np.int64] | None = None
        self._shares = shares = max(self._sample_count, self._feature_count)
        panels = [panel_count(size, step) for size in self.sizes]
        packs = [-(-size // PACK) for size in self.sizes]

        def zeros(*shape: int) -> NDArray[Any]:
            return aligned(shape, dtype, clear=True)

        def each(shape: Callable[[int], tuple[int, ...]]) -> tuple[NDArray[Any], ...]:
            return tuple(zeros(*shape(layer)) for layer in range(len(layers)))

        def sums(layer: int) -> tuple[int, ...]:
            if not self._own or gradient_sums(N, self.sizes[layer], self.sizes[layer + 1]) == 1:
                return 2, 1, 1, width
            return (2, panels[layer], self.sizes[layer + 1], width) if layer else (2, panels[1], packs[0] * PACK, width)

        self._W = each(lambda layer: (panels[layer + 1], packs[layer] * PACK, width))
        self._b = each(lambda layer: (panels[layer + 1], 1, width))
        self._WT = each(lambda layer: (panels[layer], self.sizes[layer + 1], width) if layer else (1, 1, width))
        outputs = each(lambda layer: (panels[layer + 1], N, width))
        self._scratch = (
            zeros(packs[0], N, PACK),
            (zeros(1, 1, width), *outputs),
            each(lambda layer: (panels[layer + 1], N, width)),
            zeros(*((LEAVES, panels[1], N, width) if self._by_features else (LEAVES, 1, 1, width))),
            zeros(shares, self.sizes[-1], BLOCK_ROWS),
            zeros(shares, LEAVES - 1, BLOCK_ROWS, width),
            each(sums),
            each(lambda layer: (panels[layer + 1], 2, width)),
            each(lambda layer: (panels[layer + 1], packs[layer], width)),
            zeros(1, width), aligned((shares, BLOCK_ROWS), np.dtype(np.intp)), zeros(shares, BLOCK_ROWS),
            zeros(shares, BLOCK_ROWS), np.zeros((2, N)))

    def load(self, layers: Sequence[Layer]) -> None:
        """Take the numbers of `layers` over."""
        for layer, (W, b) in enumerate(layers):
            for panel, (j0, j1) in enumerate(self._panels(layer + 1)):
                self._W[layer][panel, :len(W), :j1 - j0] = W[:, j0:j1]
                self._b[layer][panel, 0, :j1 - j0] = b[j0:j1]
            if layer:
                for panel, (j0, j1) in enumerate(self._panels(layer)):
                    self._WT[layer][panel, :, :j1 - j0] = W[j0:j1].T

    def store(self, layers: Sequence[Layer]) -> None:
        """Write the numbers into `layers`."""
        for layer, (W, b) in enumerate(layers):
            for panel, (j0, j1) in enumerate(self._panels(layer + 1)):
                W[:, j0:j1] = self._W[layer][panel, :len(W), :j1 - j0]
                b[j0:j1] = self._b[layer][panel, 0, :j1 - j0]

    def _panels(self, index: int) -> list[tuple[int, int]]:
        columns, step = self.sizes[index], self._W[0].itemsize
        panels = panel_count(columns, step)
        spans = [panel_span(panel, panels, columns, step) for panel in range(panels)]
        return [(j0, j0 + n) for j0, n in spans]

    def run(self, X: NDArray[Any], y: NDArray[np.int64], batches: NDArray[np.intp], learning_rate: float,
            l2: float) -> NDArray[np.float64]:
        """Take a step of SGD for each minibatch in one compiled call; return the loss of each before its update.

        The same numbers, to the bit, as `loss_and_grads` and `kernels.axpy` in turn.

        Parameters
        ----------
        X : array (M, D)
        y : int64 array (M,)
        batches : intp array (steps, N)
            Indices of the samples of each minibatch.
        learning_rate, l2 : float

        Raises
        ------
        ValueError
            If an index or a label is out of range; nothing has been changed then.
        """
        if batches.size and not (batches.min() >= 0 and batches.max() < min(len(X), len(y))):
            raise ValueError("indices in batches must be from 0 to the number of samples - 1")
        if y is not self._checked and not (y.min() >= 0 and y.max() < self.sizes[-1]):
            raise ValueError("labels in y must be integers from 0 to the number of classes - 1")
        self._checked = y
        losses = np.empty(len(batches))
        run_team(steps.sgd_steps, self._shares, counters(self._shares), self._sample_count, self._feature_count,
                 self._by_features, self._own, self.sizes, self._W, self._b, self._WT, X, y, batches, learning_rate, l2,
                 losses, *self._scratch)
        return losses


def infer(layers: Sequence[Layer], X: NDArray[Any], name: str = "X", checkpoint: Callable[[], None] | None = None,
          region: bool = True) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Return the scores Z_L, (N, C), of `X`, which may still hold NaN or inf, and the label of the largest, (N,).

    In chunks of rows: the activations of all samples never exist at once. `checkpoint` is called after each chunk; what
    it raises ends the work. `region`: whether a short piece of work may be done in a parallel region of numba's, whose
    threads are there at once.

    Raises
    ------
    ValueError
        If `X`, which the message calls `name`, is not finite.
    """
    Ws, bs = zip(*layers, strict=True)
    work = sum([W.size for W in Ws])
    rows = max(64, _CHUNK_WORK // work)
    parts: list[tuple[NDArray[Any], NDArray[np.intp]]] = []
    for start in range(0, len(X), rows):
        parts.append(_infer(Ws, bs, X[start:start + rows], start, work, name, region))
        if checkpoint is not None:
            checkpoint()
    if len(parts) == 1:
        return parts[0]
    Zs, labels = zip(*parts, strict=True)
    return np.concatenate(Zs), np.concatenate(labels)


def _infer(Ws: tuple[NDArray[Any], ...], bs: tuple[NDArray[Any], ...], X: NDArray[Any], first: int, work: int,
           name: str, region: bool) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Scores and labels of one chunk, whose samples are counted from `first` on; `work` is multiply-adds for each."""
    N, dtype = len(X), X.dtype
    samples = writable(X).reshape(1, N, X.shape[1])
    slow = region and slow_regions()  # to ask has numba load its threads, which are of no use without a region
    if region and N * work < (_SLOW_REGION_WORK if slow else _REGION_WORK):
        if slow and N > 1:
            with using_threads(1):
                Z, labels, bad = few_scores(samples, Ws, bs)
        else:  # one sample has no region
            Z, labels, bad = few_scores(samples, Ws, bs)
        if bad >= 0:
            raise not_finite(X, bad, name, first)
        return Z, labels
    Z, labels, finite = np.empty((N, Ws[-1].shape[1]), dtype), np.empty(N, np.intp), np.empty(N, np.bool_)
    threads, width = share_count(N, N * work), tile_width(dtype.itemsize)
    # Several shares for each thread, as one may come late; more where each would not fit the cache.
    rows = min(BLOCK_ROWS, -(-N // (4 * threads * PACK)) * PACK, N)
    shares = -(-N // rows)
    workers = min(threads, shares)
    run_team(network_scores, workers, counters(shares), workers, rows, samples, Ws, bs,
             aligned((panel_lines(N, Ws), width), dtype), aligned((workers, scratch_lines(rows, Ws), width), dtype), Z,
             labels, finite)
    if not finite.all():
        raise not_finite(X, int(finite.argmin()), name, first)
    return Z, labels
