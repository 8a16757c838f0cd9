"""What the book's two networks share: parameters, losses, accuracies and gradients, by the engine."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import checks
from ..aliases import Layer
from ..engine.gradients import loss_and_gradients
from ..network import passes
from ..network.initial import initial_parameters
from ..notebook import line, sizes_of
from ..tuning import LOSS_BYTES
from .common.functions import labels_of

__all__ = ["TwoLayers"]

_FLOAT64 = np.dtype(np.float64)


class TwoLayers:
    """A two-layer network of the book; `activation` is the engine's name of what its hidden units have."""

    activation: ClassVar[str]
    params: dict[str, NDArray[Any]]
    _known: checks.Known = ()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_known"}

    def __repr__(self) -> str:
        return line(self, sizes_of(self.params), _FLOAT64)

    def _draw(self, input_size: int, hidden_size: int, output_size: int, weight_init_std: float) -> None:
        """Make the parameters: weights from NumPy's global generator, in their order, and biases of 0."""
        sizes = [checks.integer(size, name, minimum=1) for size, name in
                 [(input_size, "input_size"), (hidden_size, "hidden_size"), (output_size, "output_size")]]
        self.params = initial_parameters(sizes, weight_init_std, "weight_init_std", _FLOAT64)

    def _trained(self) -> dict[str, NDArray[Any]]:
        """The arrays that predictions are made with."""
        return self.params

    def _checked(self) -> list[Layer]:
        """The layers, looked at, in views made by this call."""
        layers, self._known = checks.known_layers(self._trained(), 2, _FLOAT64, self._known)
        return layers

    def _fast_gradient(self, x: ArrayLike, t: ArrayLike) -> dict[str, NDArray[Any]] | None:
        """The gradient of each parameter, in its shape; None where t is neither labels nor one-hot."""
        layers = self._checked()
        samples = checks.features(x, "x", columns=len(layers[0][0]), dtype=_FLOAT64)
        labels = labels_of(t, len(samples), layers[-1][0].shape[1])
        if labels is None:
            return None
        samples = checks.writable(samples)
        if self.activation == "relu":
            _, grads = passes.loss_and_grads(layers, samples, labels, 0.0)
        else:
            rows = max(1, LOSS_BYTES // (samples.shape[1] * samples.itemsize))
            grads = self._gradient_in_parts(layers, samples, labels, rows)
        named = zip(("W1", "b1", "W2", "b2"), [array for layer in grads for array in layer], strict=True)
        trained = self._trained()
        return {name: array.reshape(trained[name].shape) for name, array in named}

    def _gradient_in_parts(self, layers: list[Layer], X: NDArray[Any], y: NDArray[np.int64], rows: int) -> list[Layer]:
        """The gradients of the mean loss, made of those of so many samples at a time, which are copied."""
        total: list[Layer] = []
        for start in range(0, len(X), rows):
            part = slice(start, start + rows)
            _, grads = loss_and_gradients(layers, X[part], y[part], 0.0, None, self.activation, "softmax")
            share = len(X[part]) / len(X)
            if share < 1:
                grads = [(dW * share, db * share) for dW, db in grads]
            total = grads if not total else [(dW + eW, db + eb) for (dW, db), (eW, eb)
                                             in zip(total, grads, strict=True)]
        return total

    def predict(self, x: ArrayLike) -> NDArray[Any]:
        """Return probabilities, or scores."""
        raise NotImplementedError

    def loss(self, x: ArrayLike, t: ArrayLike) -> Any:
        """Return the mean of -log(p + 1e-7) at the labels, p the probabilities; there is no penalty.

        Parameters
        ----------
        x : array_like (N, D)
        t : array_like
            Labels (N,) or one-hot rows (N, C).

        Returns
        -------
        loss : numpy.float64
        """
        return self._loss_of(self.predict(x), t)

    def _loss_of(self, outputs: NDArray[Any], t: ArrayLike) -> Any:
        """The loss of what `predict` has returned."""
        raise NotImplementedError

    def numerical_gradient(self, x: ArrayLike, t: ArrayLike) -> dict[str, NDArray[Any]]:
        """Return the gradient of each parameter by central differences with h = 1e-4.

        It calls `loss` twice for each number in `params`, which it changes in place, and back.
        """
        grads = {}
        for name, array in self.params.items():
            grads[name] = np.zeros_like(array)
            for index in np.ndindex(*array.shape):
                old = array[index]
                try:
                    array[index] = old + 1e-4
                    upper = self.loss(x, t)
                    array[index] = old - 1e-4
                    grads[name][index] = (upper - self.loss(x, t)) / 2e-4
                finally:
                    array[index] = old
        return grads
