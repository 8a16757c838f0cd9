"""The book's network of chapter 4: affine, sigmoid, affine, softmax."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ... import checks
from ...keywords import names_edition
from ...network import passes
from ..common.functions import cross_entropy_error, sigmoid
from ..network import TwoLayers

__all__ = ["TwoLayerNet"]


class TwoLayerNet(TwoLayers):
    """Affine, sigmoid, affine, softmax: a drop-in for the book's class of that name in `ch04`.

    Parameters
    ----------
    input_size, hidden_size, output_size : int
        Number of inputs D, hidden units H and classes C.
    weight_init_std : float, default 0.01
        Standard deviation of the initial weights, drawn from NumPy's global generator; biases start at 0.

    Attributes
    ----------
    params : dict of str to float64 array
        ``W1`` (D, H), ``b1`` (H,), ``W2`` (H, C), ``b2`` (C,). A plain dict: the next call uses what is in it then.
    """

    activation = "logistic"

    @names_edition
    def __init__(self, input_size: int, hidden_size: int, output_size: int, weight_init_std: float = 0.01) -> None:
        self._draw(input_size, hidden_size, output_size, weight_init_std)

    def predict(self, x: ArrayLike) -> NDArray[Any]:
        """Return the probabilities of the classes, (N, C), or (C,) for a single sample (D,)."""
        return self._outputs(np.asarray(x)[np.newaxis])[0] if np.ndim(x) == 1 else self._outputs(x)

    def _outputs(self, x: ArrayLike) -> NDArray[Any]:
        """Probabilities (N, C)."""
        layers = self._checked()
        samples = checks.features(x, "x", columns=len(layers[0][0]), dtype=np.dtype(np.float64), finite=False)
        return passes.infer(layers, samples, "x", activation=self.activation, head="softmax")[0]

    def _loss_of(self, outputs: NDArray[Any], t: ArrayLike) -> Any:
        return cross_entropy_error(outputs, t)

    def accuracy(self, x: ArrayLike, t: ArrayLike) -> Any:
        """Return the fraction of samples whose largest probability is where their row of t (N, C) is largest."""
        labels = np.argmax(t, axis=1)
        return np.sum(self.predict(x).argmax(axis=1) == labels) / float(len(labels))

    def gradient(self, x: ArrayLike, t: ArrayLike) -> dict[str, NDArray[Any]]:
        """Return the gradient of each parameter, of the loss without 1e-7.

        Parameters
        ----------
        x : array_like (N, D)
        t : array_like (N, C)
            One-hot rows, or other distributions.

        Returns
        -------
        grads : dict of str to array
            New arrays, of the shapes of the parameters.
        """
        if np.ndim(t) != 2:
            raise ValueError(f"t must be one-hot rows, (samples, classes), got shape {np.shape(t)}; labels are taken "
                             f"by the class of chapter 5")
        grads = self._fast_gradient(x, t)
        return self._plain_gradient(x, np.asarray(t)) if grads is None else grads

    def _plain_gradient(self, x: ArrayLike, t: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """The same in NumPy, for rows that are no one-hot ones."""
        (W1, b1), (W2, _) = self._checked()
        X = np.asarray(x, np.float64)
        hidden = sigmoid(X @ W1 + b1)
        delta = (self._outputs(X) - t) / len(X)
        below = (delta @ W2.T) * (1 - hidden) * hidden
        return {"W1": X.T @ below, "b1": below.sum(axis=0), "W2": hidden.T @ delta, "b2": delta.sum(axis=0)}
