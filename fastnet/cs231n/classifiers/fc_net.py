"""The networks of the course's editions with a Solver: `TwoLayerNet` and `FullyConnectedNet`, on the engine.

A star import gives what the course's gives: the networks, and all of `layers` and `layer_utils`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from ... import checks, kernels
from ...aliases import Layer
from ...keywords import names_edition
from ...network import passes
from ...network.initial import initial_parameters
from ...notebook import line, sizes_of
from .. import layer_utils, layers
from ..layer_utils import *  # noqa: F403 (users import these from here)

__all__ = ["FullyConnectedNet", "TwoLayerNet", *layer_utils.__all__]


class _AffineNet:
    """Affine maps with ReLU between them, under a softmax: what both networks of the course are made of."""

    params: dict[str, NDArray[Any]]
    reg: float
    _dtype: np.dtype[Any]
    _known: checks.Known = ()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_known"}

    def __repr__(self) -> str:
        return line(self, sizes_of(self.params), self._dtype)

    @property
    def depth(self) -> int:
        """How many affine maps there are."""
        return 2

    def _checked(self) -> tuple[list[Layer], checks.Known]:
        """The checked layers, views made by this call, and what `_known` is for them.

        A parameter in float64 makes that of the others, as in NumPy: a rule's learning rate may have brought it about.
        """
        dtype, params = self._dtype, self.params
        if dtype.itemsize == 4 and isinstance(params, Mapping) and any(
                getattr(array, "dtype", None) == np.float64 for array in params.values()):
            dtype = np.dtype(np.float64)
        layers, self._known = checks.known_layers(params, self.depth, dtype, self._known)
        return layers, self._known

    def _samples(self, X: ArrayLike, layers: list[Layer], finite: bool) -> NDArray[Any]:
        """Samples (N, D), rounded to the dtype of the network, in that of its layers."""
        columns, dtype = len(layers[0][0]), layers[0][0].dtype
        samples = checks.features(X, "X", columns=columns, dtype=self._dtype, finite=finite)
        return checks.computable(samples, dtype)

    def _penalty(self) -> float:
        """The strength of the L2 penalty, looked at."""
        return checks.penalty(self.reg, self._dtype)

    def _loss(self, X: ArrayLike, y: ArrayLike | None) -> Any:
        layers, known = self._checked()
        samples = self._samples(X, layers, finite=False)
        if y is None:
            return passes.infer(layers, samples)[0]
        targets = checks.labels(y, "y", samples=len(samples), classes=layers[-1][0].shape[1])
        loss, grads = passes.loss_and_grads(layers, checks.writable(samples), targets, self._penalty(), name="X")
        return samples.dtype.type(loss), checks.named_gradients(grads, known)


class TwoLayerNet(_AffineNet):
    """Affine, ReLU, affine, softmax, with the interface that the course's Solver needs.

    A drop-in for the class of that name in ``cs231n.classifiers.fc_net``.

    Parameters
    ----------
    input_dim : int, default 3 * 32 * 32
        Features D of a sample.
    hidden_dim : int, default 100
        Hidden units H.
    num_classes : int, default 10
        Classes C.
    weight_scale : float, default 1e-3
        Standard deviation of the initial weights, drawn from NumPy's global generator; biases start at 0.
    reg : float, default 0.0
        Strength of the L2 penalty 0.5 * reg * (sum(W1^2) + sum(W2^2)).

    Attributes
    ----------
    params : dict of str to float64 array
        ``W1`` (D, H), ``b1`` (H,), ``W2`` (H, C), ``b2`` (C,). A plain dict: the next call uses what is in it then.
    reg : float
        Assign to it to change the penalty.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.cs231n.classifiers.fc_net import TwoLayerNet
    >>> TwoLayerNet(input_dim=4, hidden_dim=10, num_classes=3).loss(np.ones((5, 2, 2))).shape
    (5, 3)
    """

    @names_edition
    def __init__(self, input_dim: int = 3 * 32 * 32, hidden_dim: int = 100, num_classes: int = 10,
                 weight_scale: float = 1e-3, reg: float = 0.0) -> None:
        sizes = [checks.integer(size, name, minimum=1) for size, name in
                 [(input_dim, "input_dim"), (hidden_dim, "hidden_dim"), (num_classes, "num_classes")]]
        self.reg = reg
        self._dtype = np.dtype(np.float64)
        self._penalty()
        self.params = initial_parameters(sizes, weight_scale, "weight_scale", self._dtype)

    def loss(self, X: ArrayLike, y: ArrayLike | None = None) -> Any:
        """Return the scores, or with labels the loss and its gradients.

        Parameters
        ----------
        X : array_like (N, d_1, ..., d_k)
            Samples, real and finite, of D numbers each, in any layout and dtype.
        y : array_like of int (N,), optional
            Labels from 0 to C - 1.

        Returns
        -------
        scores : array (N, C)
            If `y` is None.
        loss, grads : numpy.float64, dict of str to array
            Otherwise: mean cross-entropy plus penalty, and its gradient for each parameter.

        Raises
        ------
        TypeError, ValueError
            If an argument, `reg` or `params` is not as described; the message says which and what came.
        """
        return self._loss(X, y)


class FullyConnectedNet(_AffineNet):
    """Any number of affine maps with ReLU, if wished with normalization and dropout, under a softmax.

    A drop-in for the class of that name in ``cs231n.classifiers.fc_net``, of all years. Without normalization and
    dropout it runs on the compiled training step; with these, layer by layer on the kernels.

    Parameters
    ----------
    hidden_dims : sequence of int
        Units of each hidden layer.
    input_dim : int, default 3 * 32 * 32
        Features D of a sample.
    num_classes : int, default 10
        Classes C.
    dropout_keep_ratio : float, default 1
        Probability to keep a hidden activation; 1, or 0, for no dropout.
    normalization : {None, "batchnorm", "layernorm"}
        What each hidden layer has between its affine map and ReLU.
    reg : float, default 0.0
        Strength of the L2 penalty 0.5 * reg * sum(W^2) over all weights.
    weight_scale : float, default 1e-2
        Standard deviation of the initial weights, drawn from NumPy's global generator; biases start at 0.
    dtype : {float32, float64}, default float32
        What the network computes in.
    seed : int, optional
        NumPy's global generator is seeded with it in each dropout layer of each call, as the course's does it.
    dropout : float, keyword-only, optional
        The name that `dropout_keep_ratio` had until 2020.
    use_batchnorm : bool, keyword-only, optional
        2016's name for ``normalization="batchnorm"``.

    Attributes
    ----------
    params : dict of str to array
        ``W1``, ``b1``, and so on; with normalization ``gamma1``, ``beta1`` and so on, for the hidden layers.
    reg, dtype, num_layers, use_dropout, normalization, dropout_param, bn_params
        As the course's.
    """

    @names_edition
    def __init__(self, hidden_dims: Sequence[int], input_dim: int = 3 * 32 * 32, num_classes: int = 10,
                 dropout_keep_ratio: float = 1, normalization: str | bool | None = None, reg: float = 0.0,
                 weight_scale: float = 1e-2, dtype: DTypeLike = np.float32, seed: int | None = None, *,
                 dropout: float | None = None, use_batchnorm: bool | None = None) -> None:
        if not isinstance(hidden_dims, Sequence | np.ndarray) or isinstance(hidden_dims, str) or len(hidden_dims) == 0:
            raise TypeError(f"hidden_dims must be a list of at least one integer, got {checks.shortened(hidden_dims)}")
        hidden = [checks.integer(size, f"hidden_dims[{index}]", minimum=1) for index, size in enumerate(hidden_dims)]
        sizes = [checks.integer(input_dim, "input_dim", minimum=1), *hidden,
                 checks.integer(num_classes, "num_classes", minimum=1)]
        keep = checks.number(dropout_keep_ratio if dropout is None else dropout,
                             "dropout_keep_ratio" if dropout is None else "dropout", minimum=0)
        if keep > 1:
            raise ValueError(f"dropout_keep_ratio is the probability to keep, at most 1, got {keep:g}")
        if use_batchnorm is None and isinstance(normalization, bool):  # 2016's fifth argument
            use_batchnorm = normalization
        if use_batchnorm is not None or isinstance(normalization, bool):
            normalization = "batchnorm" if use_batchnorm else None
        if normalization is not None:
            checks.choice(normalization, "normalization", ("batchnorm", "layernorm"))
        self.normalization: str | None = normalization
        self.use_dropout = keep not in (0, 1)
        self.reg = reg
        self.num_layers = 1 + len(hidden)
        self.dtype = dtype
        self._dtype = checks.floating_dtype(dtype)
        self._penalty()
        self.dropout_param: dict[str, Any] = {}
        if self.use_dropout:
            self.dropout_param = {"mode": "train", "p": keep}
            if seed is not None:
                self.dropout_param["seed"] = checks.integer(seed, "seed", minimum=0, maximum=2**32 - 1)
        self.bn_params: list[dict[str, Any]] = []
        if normalization is not None:
            self.bn_params = [{"mode": "train"} if normalization == "batchnorm" else {} for _ in hidden]
        self.params = initial_parameters(sizes, weight_scale, "weight_scale", self._dtype)
        for number, size in enumerate(hidden if normalization is not None else [], start=1):
            self.params[f"gamma{number}"] = np.ones(size, self._dtype)
            self.params[f"beta{number}"] = np.zeros(size, self._dtype)

    @property
    def depth(self) -> int:
        """How many affine maps there are."""
        return self.num_layers

    @property
    def is_affine(self) -> bool:
        """Whether there is neither normalization nor dropout."""
        return self.normalization is None and not self.use_dropout

    def loss(self, X: ArrayLike, y: ArrayLike | None = None) -> Any:
        """Return the scores, or with labels the loss and its gradients.

        Without labels normalization and dropout are in test mode, with them in train mode.

        Parameters
        ----------
        X : array_like (N, d_1, ..., d_k)
            Samples, real and finite, of D numbers each, in any layout and dtype.
        y : array_like of int (N,), optional
            Labels from 0 to C - 1.

        Returns
        -------
        scores : array (N, C)
            If `y` is None.
        loss, grads : NumPy scalar of `dtype`, dict of str to array
            Otherwise: mean cross-entropy plus penalty, and its gradient for each parameter.

        Raises
        ------
        TypeError, ValueError
            If an argument, `reg` or `params` is not as described; the message says which and what came.
        """
        return self._loss(X, y) if self.is_affine else self._loss_by_layers(X, y)

    def _loss_by_layers(self, X: ArrayLike, y: ArrayLike | None) -> Any:
        affine, _ = self._checked()
        out = checks.writable(self._samples(X, affine, finite=True))
        targets = None if y is None else checks.labels(y, "y", samples=len(out), classes=affine[-1][0].shape[1])
        penalty, mode, last = self._penalty(), "test" if y is None else "train", self.num_layers
        if self.use_dropout:
            self.dropout_param["mode"] = mode
        if self.normalization == "batchnorm":
            for bn_param in self.bn_params:
                bn_param["mode"] = mode
        caches = []
        for number in range(1, last):
            out, cache = self._hidden_forward(number, out, affine[number - 1])
            caches.append(cache)
        scores = kernels.affine_forward(out, *affine[-1])
        if targets is None:
            return scores
        value, delta = kernels.softmax_cross_entropy(scores, targets)
        grads = {f"W{last}": kernels.weight_gradient(out, delta), f"b{last}": kernels.bias_gradient(delta)}
        for number in range(last - 1, 0, -1):
            W, _ = affine[number]
            delta = kernels.affine_forward(delta, np.ascontiguousarray(W.T), np.zeros(len(W), W.dtype))
            delta, own = self._hidden_backward(number, delta, caches[number - 1])
            grads |= own
        for number, (W, _) in enumerate(affine if penalty else [], start=1):
            value += 0.5 * penalty * kernels.sum_of_squares(W)
            kernels.axpy(penalty, W.reshape(-1), grads[f"W{number}"].reshape(-1))
        return out.dtype.type(value), {name: grads[name].reshape(array.shape) for name, array in self.params.items()}

    def _hidden_forward(self, number: int, x: NDArray[Any], layer: Layer) -> tuple[NDArray[Any], Any]:
        """Affine map, normalization, ReLU and dropout of hidden layer `number`: the output, and what is kept."""
        out, norm_cache, dropout_cache = kernels.affine_forward(x, *layer), None, None
        if self.normalization is not None:
            normalize = layers.batchnorm_forward if self.normalization == "batchnorm" else layers.layernorm_forward
            gamma, beta = self._scale_and_shift(number, out.dtype)
            out, norm_cache = normalize(out, gamma, beta, self.bn_params[number - 1])
        A = out = kernels.relu(out)
        if self.use_dropout:
            out, dropout_cache = layers.dropout_forward(out, self.dropout_param)
        return out, (x, norm_cache, A, dropout_cache)

    def _hidden_backward(self, number: int, delta: NDArray[Any],
                         caches: Any) -> tuple[NDArray[Any], dict[str, NDArray[Any]]]:
        """The gradient of the affine map of hidden layer `number`, and those of the layer's parameters.

        Nobody asks for the gradient of the samples, which is as much work as that of the weights.
        """
        x, norm_cache, A, dropout_cache = caches
        grads = {}
        if dropout_cache is not None:
            delta = layers.dropout_backward(delta, dropout_cache)
        delta = kernels.relu_mask(delta, A)
        if norm_cache is not None:
            back = layers.batchnorm_backward if self.normalization == "batchnorm" else layers.layernorm_backward
            delta, grads[f"gamma{number}"], grads[f"beta{number}"] = back(delta, norm_cache)
        grads[f"W{number}"], grads[f"b{number}"] = kernels.weight_gradient(x, delta), kernels.bias_gradient(delta)
        return delta, grads

    def _scale_and_shift(self, number: int, dtype: np.dtype[Any]) -> list[NDArray[Any]]:
        """Gamma and beta of a hidden layer."""
        found = []
        for name in (f"gamma{number}", f"beta{number}"):
            array = self.params.get(name) if isinstance(self.params, Mapping) else None
            if not isinstance(array, np.ndarray) or array.dtype.kind not in "uif":
                raise TypeError(f"params[{name!r}] must be a NumPy array of real numbers, got "
                                f"{checks.shortened(array)}")
            found.append(checks.computable(array, dtype))
        return found
