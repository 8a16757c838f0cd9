"""The parameters of a network as a training step wants them, in panels, and the moments of their optimizer."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..aliases import Arrays, Layer
from ..blocks.optimizers import Optimizer
from ..blocks.partition import halved_panel_count, panel_count, panel_span, panel_width
from ..llvm.memory import aligned, copy_all
from ..llvm.stacks import Stack, stack
from ..llvm.target import PACK
from .arguments import BestParameters, PackedParameters
from .plan import halves_hidden_units

__all__ = ["Parameters"]


class Panels(NamedTuple):
    """How some columns lie in panels."""

    width: int
    """Columns of memory of each panel."""
    spans: tuple[tuple[slice, slice], ...]
    """For each panel: its columns among all, and the same in its own memory."""


@functools.lru_cache(maxsize=1000)
def _panels_of(columns: int, halved: bool, itemsize: int) -> Panels:
    """How so many columns lie in panels: asked for again in each call, so it is remembered."""
    panels = (halved_panel_count if halved else panel_count)(columns, itemsize)
    spans = (panel_span(panel, panels, columns, halved, itemsize) for panel in range(panels))
    return Panels(panel_width(panels, columns, halved, itemsize),
                  tuple((slice(j0, j0 + n), slice(n)) for j0, n in spans))


Places = list[tuple[slice, NDArray[Any]]]
"""For each panel of a matrix: its columns among all, and where they lie in the panel."""


class Moment(NamedTuple):
    """A moment of each parameter, in panels: it is packed like the array that is updated on the way.

    That is W of layer 0, and WT of the others.
    """

    W: Arrays
    b: Arrays
    places: list[Places]
    """Of W and b of each layer, one after the other."""


class Parameters:
    """The parameters of a network as the training step wants them, in panels, and the moments of their optimizer.

    Parameters
    ----------
    layers : sequence of (W, b)
        They are copied; :meth:`store` writes them back.
    optimizer : Optimizer or None
        None for plain SGD.
    moments : sequence of sequence of (array, array), optional
        What the optimizer knows already: a list like `layers` for each of its moments. By default they are 0.

    Attributes
    ----------
    packed : PackedParameters
        The same for compiled code, as long as this object lives.
    halved : bool
        Whether no panel of hidden units lies across their middle, so that each of two workers may have half of them. It
        depends on nothing but the sizes: workspaces for any minibatch and any threads may share parameters.
    """

    def __init__(self, layers: Sequence[Layer], optimizer: Optimizer | None = None,
                 moments: Sequence[Sequence[Layer]] = ()) -> None:
        self.dtype = layers[0][0].dtype
        self.sizes = (*(len(W) for W, _ in layers), layers[-1][0].shape[1])
        self.optimizer = optimizer
        self.halved = halves_hidden_units(self.sizes)
        self.W: Arrays = self._weights(range(len(layers)))
        self.b: Arrays = self._biases()
        self.WT: Arrays = (self.zeros(1, 1), *self._transposed(range(1, len(layers))))
        self.moments = [self._new_moment() for _ in range(0 if optimizer is None else optimizer.moments)]
        self._best: tuple[Arrays, Arrays] | None = None
        # Views of panels are made once: an estimator's `partial_fit` copies parameters and moments at each call.
        self._places = self._places_of(self.W, self.b)
        self._places_of_WT = [self._panel_places(self.WT[layer], layer, self.sizes[layer + 1])
                              for layer in range(1, len(layers))]
        self._write_layers(layers)
        self._write_moments(moments)
        # An optimizer with one moment has the second in name only.
        stacks: list[Stack | None] = [stack(part) for moment in self.moments
                                      for part in (moment.W, moment.b)] or [None, None]
        first, first_b, second, second_b = (stacks * 2)[:4]
        self.packed = PackedParameters(
            sizes=np.array(self.sizes, np.intp), W=stack(self.W), b=stack(self.b), WT=stack(self.WT),
            first_moments=first, second_moments=second, first_moments_b=first_b, second_moments_b=second_b)

    def _write_layers(self, layers: Sequence[Layer]) -> None:
        """Copy layers into panels, in which all else is 0."""
        _write(_rows(layers), self._places)
        _write((W.T for W, _ in layers[1:]), self._places_of_WT)

    def _write_moments(self, moments: Sequence[Sequence[Layer]]) -> None:
        """Copy moments into panels, in which all else is 0."""
        for values, moment in zip(moments, self.moments, strict=bool(moments)):
            _write(_rows(values, moment=True), moment.places)

    def replace(self, layers: Sequence[Layer]) -> None:
        """Hold other weights and biases; the moments stay as they are.

        Raises
        ------
        ValueError
            If they are of other shapes.
        """
        expected = [(*pair, pair[1:]) for pair in pairwise(self.sizes)]
        shapes = [(*W.shape, b.shape) for W, b in layers]
        if shapes != expected:
            raise ValueError(f"layers must have the shapes {expected}, got {shapes}")
        for array in (*self.W, *self.b, *self.WT):
            array.fill(0)
        self._write_layers(layers)

    def begin_again(self, layers: Sequence[Layer], moments: Sequence[Sequence[Layer]]) -> None:
        """Hold other parameters and moments, as if they were new."""
        for moment in self.moments:
            for array in (*moment.W, *moment.b):
                array.fill(0)
        self.replace(layers)
        self._write_moments(moments)

    def store(self, layers: Sequence[Layer]) -> None:
        """Write the parameters into arrays of the shapes that they came from: all, or none where an exception comes."""
        copy_all(_columns(_rows(layers), self._places))

    def no_best(self) -> BestParameters:
        """Return what is in the place of `best` for who keeps none: the parameters themselves, never written there."""
        return BestParameters(self.packed.W, self.packed.b)

    def best(self) -> BestParameters:
        """Return room for the weights and biases that are the best so far, in panels like those of the others."""
        if self._best is None:
            self._best = self._weights(range(len(self.W))), self._biases()
        W, b = self._best
        return BestParameters(stack(W), stack(b))

    def store_best(self, layers: Sequence[Layer]) -> None:
        """`store`, but of what has been written into :meth:`best`."""
        assert self._best is not None, "nobody has asked for the best"
        copy_all(_columns(_rows(layers), self._places_of(*self._best)))

    def stored(self, layers: Sequence[Layer]) -> list[list[Layer]]:
        """`store`, and return the moments in new arrays, like `layers`."""
        self.store(layers)
        return [_unpacked(moment, layers) for moment in self.moments]

    def release(self, layers: Sequence[Layer]) -> list[list[Layer]]:
        """Return what `stored` does.

        Each part is let go of before memory is asked for the next: this is of no use any more.
        """
        self.store(layers)
        self.W = self.b = self.WT = ()
        self._places, self._places_of_WT = [], []
        self._best = None
        del self.packed
        moments = []
        while self.moments:
            moments.append(_unpacked(self.moments.pop(0), layers))
        return moments

    def zeros(self, index: int, rows: int, copies: int = 1) -> NDArray[Any]:
        """Return panels of `sizes[index]` columns, as often as said: (copies panels, rows, width)."""
        panels = self._panels(index)
        return aligned((copies * len(panels.spans), rows, panels.width), self.dtype, clear=True)

    def _weights(self, layers: range) -> Arrays:
        return tuple(self.zeros(layer + 1, -(-self.sizes[layer] // PACK) * PACK) for layer in layers)

    def _transposed(self, layers: range) -> Arrays:
        return tuple(self.zeros(layer, self.sizes[layer + 1]) for layer in layers)

    def _biases(self) -> Arrays:
        return tuple(self.zeros(layer, 1) for layer in range(1, len(self.sizes)))

    def _panels(self, index: int) -> Panels:
        """How `sizes[index]` columns lie in panels: those of the first hidden layer may be halved."""
        return _panels_of(self.sizes[index], index == 1 and self.halved, self.dtype.itemsize)

    def _panel_places(self, panels: NDArray[Any], index: int, rows: int) -> Places:
        """Where so many rows of `sizes[index]` columns lie in panels."""
        return [(columns, panels[panel, :rows, own])
                for panel, (columns, own) in enumerate(self._panels(index).spans)]

    def _places_of(self, Ws: Arrays, bs: Arrays) -> list[Places]:
        """Where the weights and the biases of each layer lie in panels, one after the other."""
        return [places for layer, (W, b) in enumerate(zip(Ws, bs, strict=True))
                for places in (self._panel_places(W, layer + 1, self.sizes[layer]),
                               self._panel_places(b, layer + 1, 1))]

    def _new_moment(self) -> Moment:
        layers = range(1, len(self.sizes) - 1)
        Ws, bs = (*self._weights(range(1)), *self._transposed(layers)), self._biases()
        places = self._places_of(Ws[:1], bs[:1])
        for layer in layers:
            places += (self._panel_places(Ws[layer], layer, self.sizes[layer + 1]),
                       self._panel_places(bs[layer], layer + 1, 1))
        return Moment(Ws, bs, places)


def _rows(layers: Sequence[Layer], *, moment: bool = False) -> Iterator[NDArray[Any]]:
    """The weights and the biases of each layer, as matrices; of a `moment` transposed where that is packed so."""
    for layer, (W, b) in enumerate(layers):
        yield W.T if moment and layer else W
        yield b[np.newaxis]


def _write(matrices: Iterable[NDArray[Any]], places: Sequence[Places]) -> None:
    """Copy matrices into panels."""
    for matrix, places_of_matrix in zip(matrices, places, strict=True):
        for columns, place in places_of_matrix:
            place[...] = matrix[:, columns]


def _columns(matrices: Iterable[NDArray[Any]],
             places: Sequence[Places]) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """For each panel its columns in the matrix, and the panel."""
    for matrix, places_of_matrix in zip(matrices, places, strict=True):
        for columns, place in places_of_matrix:
            yield matrix[:, columns], place


def _unpacked(moment: Moment, layers: Sequence[Layer]) -> list[Layer]:
    """A moment in new arrays, like `layers`."""
    arrays = [(np.empty_like(W), np.empty_like(b)) for W, b in layers]
    copy_all(_columns(_rows(arrays, moment=True), moment.places))
    return arrays
