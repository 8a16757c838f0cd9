"""The loss of a minibatch and its gradients by the compiled training step: a step whose rate is not asked for.

Parameters are copied into panels, gradients take their place there, and are copied out: packing is little beside the
products, and the step's products are the fastest. What is needed for it is kept for the next call of the same sizes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..aliases import Array, Arrays, Layer
from ..blocks.optimizers import MOMENTUM, Optimizer
from ..blocks.partition import ZERO
from ..blocks.sparse import NonZeros
from ..jit.decorators import block, task
from ..llvm.arrays import item_size
from ..llvm.stacks import layer_of
from ..llvm.structs import Table, table
from ..parallel.threads import most_threads
from ..tuning import IDLE_WORKSPACES
from .arguments import NO_SOURCE, Checks, Method, Passing, Samples, Schedule, lasting_structs
from .layers import unit_span
from .packed import Parameters
from .workspace import Workspace

__all__ = ["Gradients", "loss_and_gradients"]

@block
def pack_rows_block(A, target, j0, n):
    """target[:, :n] = A[:, j0:j0 + n], and 0 beside it; what lies below stays."""
    for i in range(A.shape[0]):
        source, line = A[i, j0:j0 + n], target[i]
        for j in range(n):
            line[j] = source[j]
        for j in range(n, line.shape[0]):
            line[j] = 0


@block
def pack_transposed_block(A, target, j0, n):
    """target[:, :n] = A[j0:j0 + n]^T, and 0 beside it."""
    for i in range(target.shape[0]):
        line = target[i]
        for j in range(n):
            line[j] = A[j0 + j, i]
        for j in range(n, line.shape[0]):
            line[j] = 0


@block
def unpack_rows_block(source, A, j0, n):
    """A[:, j0:j0 + n] = source[:, :n]."""
    for i in range(A.shape[0]):
        line, target = source[i, :n], A[i, j0:j0 + n]
        for j in range(n):
            target[j] = line[j]


@block
def pack_layer_block(plan, parameters, layer, W, b):
    """Copy a layer, W (K, J) and b (1, J), into panels."""
    panels_of_W, panels_of_b = layer_of(parameters.W, layer), layer_of(parameters.b, layer)
    sizes, itemsize = parameters.sizes, item_size(W)
    for panel in range(panels_of_W.shape[0]):
        j0, n = unit_span(plan, sizes, layer + 1, panel, panels_of_W.shape[0], itemsize)
        pack_rows_block(W, panels_of_W[panel], j0, n)
        pack_rows_block(b, panels_of_b[panel], j0, n)
    if layer > 0:
        panels_of_WT = layer_of(parameters.WT, layer)
        for panel in range(panels_of_WT.shape[0]):
            j0, n = unit_span(plan, sizes, layer, panel, panels_of_WT.shape[0], itemsize)
            pack_transposed_block(W, panels_of_WT[panel], j0, n)


@block
def unpack_layer_block(plan, parameters, layer, dW, db):
    """Copy what is in the place of a layer into dW (K, J) and db (1, J)."""
    panels_of_W, panels_of_b = layer_of(parameters.W, layer), layer_of(parameters.b, layer)
    for panel in range(panels_of_W.shape[0]):
        j0, n = unit_span(plan, parameters.sizes, layer + 1, panel, panels_of_W.shape[0], item_size(dW))
        unpack_rows_block(panels_of_W[panel], dW, j0, n)
        unpack_rows_block(panels_of_b[panel], db, j0, n)


@task
def pack(lasting: Table, method: Method, Ws: Arrays, bs: Arrays) -> None:
    """Copy the layers into the panels of a workspace's parameters."""
    plan, parameters, _, _, _ = lasting_structs(lasting, method, Ws[0])
    for layer in range(len(Ws)):
        pack_layer_block(plan, parameters, ZERO + layer, Ws[layer], bs[layer].reshape(1, -1))


@task
def unpack(lasting: Table, method: Method, Ws: Arrays, bs: Arrays) -> None:
    """Copy what is in the panels of a workspace's parameters into arrays of the shapes of the layers."""
    plan, parameters, _, _, _ = lasting_structs(lasting, method, Ws[0])
    for layer in range(len(Ws)):
        unpack_layer_block(plan, parameters, ZERO + layer, Ws[layer], bs[layer].reshape(1, -1))


class Gradients:
    """Loss and gradients of some samples at a time, for networks of the sizes of `layers`, of any kind.

    Parameters
    ----------
    layers : sequence of (W, b)
    batch_size : int
        How many samples at a time, at most.
    activation, head, sparse
        As for :class:`fastnet.engine.workspace.Workspace`.
    """

    def __init__(self, layers: Sequence[Layer], batch_size: int, activation: str, head: str, sparse: bool) -> None:
        self._parameters = Parameters(layers, Optimizer(MOMENTUM, 0.0))  # whose moments are never touched
        self._workspace = Workspace(self._parameters, batch_size, activation, head, sparse)

    def take(self, layers: Sequence[Layer], X: NDArray[Any] | NonZeros, y: NDArray[Any], batch: NDArray[np.intp],
             count: int, penalty: float, weights: Array | None, weight_sum: float) -> tuple[float, list[Layer]]:
        """Return the loss of the first `count` samples of a batch (1, batch_size) and its gradient for each layer.

        The losses of the samples are added up, with their weights, and divided by `weight_sum`. All else is as for
        :meth:`fastnet.engine.workspace.Workspace.run`.
        """
        workspace = self._workspace
        pack(workspace.table, workspace.method, *_apart(layers))
        losses, _ = workspace.run(X, y, batch, 0.0, penalty, weights, np.array([weight_sum]), np.array([count]),
                                  only_gradients=True)
        return float(losses[0]), _unpacked(workspace, layers)


def _apart(layers: Sequence[Layer]) -> tuple[Arrays, Arrays]:
    """The weights, and the biases."""
    Ws, bs = zip(*layers, strict=True)
    return Ws, bs


def _unpacked(workspace: Workspace, layers: Sequence[Layer]) -> list[Layer]:
    """What is in the place of the parameters, in new arrays."""
    Ws, bs = _apart([(np.empty(W.shape, W.dtype), np.empty(b.shape, b.dtype)) for W, b in layers])
    unpack(workspace.table, workspace.method, Ws, bs)
    return list(zip(Ws, bs, strict=True))


class _CourseGradients:
    """What the loss of minibatches of one size works on, for networks of the sizes of `layers`: the course's."""

    def __init__(self, layers: Sequence[Layer], samples: int, threads: int) -> None:
        self._parameters = Parameters(layers)
        self._workspace = Workspace(self._parameters, samples, threads=threads)
        dtype = self._parameters.dtype
        batch, counts = np.arange(samples)[np.newaxis], np.full(1, samples, np.intp)
        self._penalties, self._losses = np.empty(1), np.empty(1)
        schedule = Schedule(batch, counts, np.zeros(1), self._penalties, counts.astype(np.float64), self._losses,
                            only_gradients=True)
        none = Samples(np.empty((0, self._parameters.sizes[0]), dtype), NO_SOURCE, None, np.empty(0, np.int64),
                       np.empty((1, 1), dtype), np.empty(0, dtype))
        checks = Checks(np.zeros(1, np.bool_), none, np.zeros((0, 2, self._workspace.workers), np.intp))
        self._passing = Passing(none.source, none.targets, none.weights, schedule, checks)  # a table keeps nothing
        self._table = table(*self._passing)

    def take(self, layers: Sequence[Layer], X: Array, y: NDArray[np.int64],
             penalty: float) -> tuple[float, list[Layer]]:
        """Return loss and gradients."""
        workspace = self._workspace
        pack(workspace.table, workspace.method, *_apart(layers))
        self._penalties[0] = penalty
        workspace.take(self._table, X, None, y)
        return float(self._losses[0]), _unpacked(workspace, layers)


_idle: dict[Any, _CourseGradients] = {}
"""What nobody uses now, by what it is for. Its methods are one step for other threads, and for signal handlers."""


def loss_and_gradients(layers: Sequence[Layer], X: Array, y: NDArray[np.int64], penalty: float,
                       threads: int | None) -> tuple[float, list[Layer]]:
    """Return the mean cross-entropy plus 0.5 * penalty * sum(W^2), and its gradient for each layer.

    Parameters
    ----------
    layers : sequence of (W, b)
        C-contiguous and writable, as X is.
    X : array (N, D)
        Of the dtype of the layers.
    y : int64 array (N,)
    penalty : float
        Strength of the L2 penalty on the weights; biases have none.
    threads : int or None
        How many there may be at work; None for as many as the calling thread may have.
    """
    most = most_threads(threads)
    key = len(X), most, layers[0][0].dtype, *[W.shape for W, _ in layers]
    gradients = _idle.pop(key, None) or _CourseGradients(layers, len(X), most)
    result = gradients.take(layers, X, y, penalty)
    _idle[key] = gradients  # not where an exception came
    for old in list(_idle)[:-IDLE_WORKSPACES]:
        _idle.pop(old, None)
    return result
