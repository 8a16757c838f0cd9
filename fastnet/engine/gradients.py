"""The loss of a minibatch and its gradients by the compiled training step.

It is a step whose rate is not asked for: parameters are copied into panels, gradients take their place there, and are
copied out. Whoever trains has compiled it anyway, and the kernels would have to be compiled besides. Copies are made by
compiled code, in a third of the time that NumPy takes for small networks, which would notice.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..aliases import Array, Arrays, Layer
from ..blocks.optimizers import MOMENTUM, Optimizer
from ..blocks.partition import ZERO
from ..jit.decorators import block, task
from ..llvm.arrays import item_size, part_of
from ..llvm.stacks import layer_of
from ..llvm.structs import Table, set_arrays, table
from ..parallel.threads import most_threads
from .arguments import NO_SOURCE, Checks, Method, Passing, Samples, Schedule, lasting_structs
from .idle import Idle
from .layers import unit_span
from .packed import Parameters
from .workspace import Workspace

__all__ = ["loss_and_gradients"]


@block
def pack_rows_block(A, target, j0, n):
    """target[:, :n] = A[:, j0:j0 + n]; what lies beside and below stays: padding only makes padding."""
    for i in range(A.shape[0]):
        source, line = A[i, j0:j0 + n], target[i]
        for j in range(n):
            line[j] = source[j]


@block
def pack_transposed_block(A, target, j0, n):
    """target[:, :n] = A[j0:j0 + n]^T; what lies beside it stays."""
    for i in range(target.shape[0]):
        line = target[i]
        for j in range(n):
            line[j] = A[j0 + j, i]


@block
def unpack_rows_block(source, A, j0, n):
    """A[:, j0:j0 + n] = source[:, :n]."""
    for i in range(A.shape[0]):
        line, target = source[i, :n], A[i, j0:j0 + n]
        for j in range(n):
            target[j] = line[j]


@block
def pack_layer_block(plan, parameters, layer, W, b):
    """Copy a layer, W (K, J) and b (J,), into panels."""
    panels_of_W, panels_of_b = layer_of(parameters.W, layer), layer_of(parameters.b, layer)
    sizes, itemsize = parameters.sizes, item_size(W)
    for panel in range(panels_of_W.shape[0]):
        j0, n = unit_span(plan, sizes, layer + 1, panel, panels_of_W.shape[0], itemsize)
        pack_rows_block(W, panels_of_W[panel], j0, n)
        pack_rows_block(part_of(b, ZERO, (1, b.shape[0])), panels_of_b[panel], j0, n)
    if layer > 0:
        panels_of_WT = layer_of(parameters.WT, layer)
        for panel in range(panels_of_WT.shape[0]):
            j0, n = unit_span(plan, sizes, layer, panel, panels_of_WT.shape[0], itemsize)
            pack_transposed_block(W, panels_of_WT[panel], j0, n)


@block
def unpack_layer_block(plan, parameters, layer, dW, db):
    """Copy what is in the place of a layer into dW (K, J) and db (J,)."""
    panels_of_W, panels_of_b = layer_of(parameters.W, layer), layer_of(parameters.b, layer)
    for panel in range(panels_of_W.shape[0]):
        j0, n = unit_span(plan, parameters.sizes, layer + 1, panel, panels_of_W.shape[0], item_size(dW))
        unpack_rows_block(panels_of_W[panel], dW, j0, n)
        unpack_rows_block(panels_of_b[panel], part_of(db, ZERO, (1, db.shape[0])), j0, n)


@task
def pack(lasting: Table, method: Method, Ws: Arrays, bs: Arrays) -> None:
    """Copy layers, of the shapes that the parameters have, into the panels of a workspace."""
    plan, parameters, _, _, _ = lasting_structs(lasting, method, Ws[0])
    for layer in range(len(Ws)):
        pack_layer_block(plan, parameters, ZERO + layer, Ws[layer], bs[layer])


@task
def unpack(lasting: Table, method: Method, Ws: Arrays, bs: Arrays) -> None:
    """Copy what is in the panels of a workspace into arrays of the shapes of the layers."""
    plan, parameters, _, _, _ = lasting_structs(lasting, method, Ws[0])
    for layer in range(len(Ws)):
        unpack_layer_block(plan, parameters, ZERO + layer, Ws[layer], bs[layer])


class _Gradients:
    """What the loss of minibatches of one size works on, for networks of the sizes of `layers`."""

    def __init__(self, layers: Sequence[Layer], samples: int, threads: int, activation: str | None,
                 head: str | None) -> None:
        # Moments are never touched.
        self._parameters = Parameters(layers, None if head is None else Optimizer(MOMENTUM, 0.0))
        self._workspace = Workspace(self._parameters, samples, activation, head, threads=threads)
        dtype = self._parameters.dtype
        batch, counts = np.arange(samples)[np.newaxis], np.full(1, samples, np.intp)
        self._penalties, self._losses = np.empty(1), np.empty(1)
        schedule = Schedule(batch, counts, np.zeros(1), np.zeros(1), self._penalties, counts.astype(np.float64),
                            self._losses, only_gradients=True)
        # Of the shapes of what comes, whose addresses alone take their place.
        none = Samples(np.empty((samples, self._parameters.sizes[0]), dtype), np.empty(samples, np.int64), NO_SOURCE,
                       None, np.empty((1, 1), dtype), np.empty(0, dtype))
        checks = Checks(np.zeros(1, np.bool_), np.zeros((0, 1), np.intp), none,
                        np.zeros((0, 2, self._workspace.workers), np.intp), 0, self._parameters.no_best())
        self._passing = Passing(none, schedule, checks)  # a table keeps nothing
        self._table = table(*self._passing)

    def take(self, layers: Sequence[Layer], X: Array, y: NDArray[np.int64],
             penalty: float) -> tuple[float, list[Layer]]:
        """Return loss and gradients."""
        workspace = self._workspace
        Ws, bs = zip(*layers, strict=True)
        pack(workspace.table, workspace.method, Ws, bs)
        self._penalties[0] = penalty
        workspace.take(set_arrays(self._table, X, y), X, None)
        dWs, dbs = tuple([np.empty(W.shape, W.dtype) for W in Ws]), tuple([np.empty(b.shape, b.dtype) for b in bs])
        unpack(workspace.table, workspace.method, dWs, dbs)
        return float(self._losses[0]), list(zip(dWs, dbs, strict=True))


_idle: Idle[_Gradients] = Idle()


def loss_and_gradients(layers: Sequence[Layer], X: Array, y: NDArray[np.int64], penalty: float,
                       threads: int | None, activation: str | None = None,
                       head: str | None = None) -> tuple[float, list[Layer]]:
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
    activation, head : str, optional
        As for :class:`fastnet.engine.workspace.Workspace`, a head whose targets are labels; None for the course's.
    """
    most = most_threads(threads)
    key = len(X), most, activation, head, layers[0][0].dtype, *[W.shape for W, _ in layers]
    gradients = _idle.take(key) or _Gradients(layers, len(X), most, activation, head)
    result = gradients.take(layers, X, y, penalty)
    _idle.give(key, gradients)
    return result
