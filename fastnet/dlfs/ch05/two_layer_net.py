"""The book's network of chapter 5: layers in an OrderedDict, with ReLU."""

from __future__ import annotations

import functools
from collections import OrderedDict
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ... import checks
from ...keywords import names_edition
from ...network import passes
from ..common.layers import Affine, Relu, SoftmaxWithLoss
from ..network import TwoLayers

__all__ = ["TwoLayerNet"]

_LAYERS = (("Affine1", Affine), ("Relu1", Relu), ("Affine2", Affine))

_OWN: dict[Any, dict[str, Any]] = {kind: {"forward": kind.forward, "backward": kind.backward}
                                   for kind in (Affine, Relu, SoftmaxWithLoss)}
"""Functions as they were when this was imported: another one in the place of theirs is somebody's own."""


class TwoLayerNet(TwoLayers):
    """Affine, ReLU, affine, softmax: a drop-in for the book's class of that name in `ch05`.

    Parameters
    ----------
    input_size, hidden_size, output_size : int
        Number of inputs D, hidden units H and classes C.
    weight_init_std : float, default 0.01
        Standard deviation of the initial weights, drawn from NumPy's global generator; biases start at 0.

    Attributes
    ----------
    params : dict of str to float64 array
        ``W1`` (D, H), ``b1`` (H,), ``W2`` (H, C), ``b2`` (C,).
    layers : OrderedDict
        ``Affine1``, ``Relu1`` and ``Affine2``. The affine layers hold the arrays that were in `params` when the network
        was constructed: changes in place are seen, another array in `params` is not, as in the book. Other layers may
        be put in: then everything goes through them, one after the other.
    lastLayer : SoftmaxWithLoss
    """

    activation = "relu"

    @names_edition
    def __init__(self, input_size: int, hidden_size: int, output_size: int, weight_init_std: float = 0.01) -> None:
        self._draw(input_size, hidden_size, output_size, weight_init_std)
        self.layers: OrderedDict[str, Any] = OrderedDict()
        self.layers["Affine1"] = Affine(self.params["W1"], self.params["b1"])
        self.layers["Relu1"] = Relu()
        self.layers["Affine2"] = Affine(self.params["W2"], self.params["b2"])
        self.lastLayer: Any = SoftmaxWithLoss()

    def _are_ours(self) -> bool:
        """Whether the layers are those of the constructor, with no function of somebody's own."""
        given = tuple((name, type(layer)) for name, layer in self.layers.items())
        objects = (*self.layers.values(), self.lastLayer)
        return given == _LAYERS and type(self.lastLayer) is SoftmaxWithLoss and not any(
            name in vars(layer) or getattr(type(layer), name) is not own
            for layer in objects for name, own in _OWN[type(layer)].items())

    def _forget(self, x: Any, t: Any = None) -> None:
        """Have the layers keep nothing but how to make it: what x, and t, leave in them."""
        again = functools.partial(self._forward_again, x, t)
        for layer in (*self.layers.values(), *(() if t is None else (self.lastLayer,))):
            layer.forget(again)

    def _forward_again(self, x: Any, t: Any) -> None:
        """Go through the layers one by one."""
        out = np.asarray(x)
        for layer in self.layers.values():
            layer.forward_again = None
            out = layer.forward(out)
        if t is not None:
            self.lastLayer.forward_again = None
            self.lastLayer.forward(out, t)

    def _trained(self) -> dict[str, NDArray[Any]]:
        first, second = self.layers["Affine1"], self.layers["Affine2"]
        return {"W1": first.W, "b1": first.b, "W2": second.W, "b2": second.b}

    def predict(self, x: ArrayLike) -> NDArray[Any]:
        """Return the scores, (N, C); a sample may have any shape of D numbers."""
        if self._are_ours():
            layers = self._checked()
            samples = checks.features(x, "x", columns=len(layers[0][0]), dtype=np.dtype(np.float64), finite=False)
            scores = passes.infer(layers, samples, "x")[0]
            self._forget(x)
            return scores
        for layer in self.layers.values():
            x = layer.forward(x)
        return np.asarray(x)

    def _loss_of(self, outputs: NDArray[Any], t: ArrayLike) -> Any:
        return self.lastLayer.forward(outputs, t)

    def accuracy(self, x: ArrayLike, t: ArrayLike) -> Any:
        """Return the fraction of samples whose largest score is at their label; t as for `loss`."""
        labels = np.asarray(t)
        if labels.ndim != 1:
            labels = labels.argmax(axis=1)
        return np.sum(self.predict(x).argmax(axis=1) == labels) / float(len(labels))

    def gradient(self, x: ArrayLike, t: ArrayLike) -> dict[str, NDArray[Any]]:
        """Return the gradient of each parameter, of the loss without 1e-7.

        Parameters
        ----------
        x : array_like (N, D)
        t : array_like
            Labels (N,) or one-hot rows (N, C), or other distributions.

        Returns
        -------
        grads : dict of str to array
            New arrays, of the shapes of the parameters; the affine layers keep them as `dW` and `db`.
        """
        # The book's asks for the loss, and so for the scores: a function of somebody's own there counts.
        own = all(getattr(type(self), name) is function and name not in vars(self)
                  for name, function in _METHODS.items())
        grads = self._fast_gradient(x, t) if own and self._are_ours() else None
        if grads is not None:
            self._forget(x, t)
            for number in (1, 2):
                layer = self.layers[f"Affine{number}"]
                layer.dW, layer.db = grads[f"W{number}"], grads[f"b{number}"]
            return grads
        self.loss(x, t)
        delta = self.lastLayer.backward(1)
        for layer in reversed(self.layers.values()):
            delta = layer.backward(delta)
        first, second = self.layers["Affine1"], self.layers["Affine2"]
        return {"W1": first.dW, "b1": first.db, "W2": second.dW, "b2": second.db}


_METHODS = {"predict": TwoLayerNet.predict, "loss": TwoLayerNet.loss}
"""The same of the network."""
