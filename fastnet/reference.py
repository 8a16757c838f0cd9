"""The network in plain NumPy: what every kernel has to agree with, and the baseline of every benchmark.

Each formula stands here once, under the name of its kernel in :mod:`fastnet.kernels`. Plain, slow, obviously right;
but as a good NumPy programmer writes it, so that a comparison with it is fair.

Shape letters: N samples, D inputs, H hidden units, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

__all__ = [
    "ACTIVATIONS",
    "HEADS",
    "TwoLayerNet",
    "adam_rate",
    "adam_step",
    "affine_forward",
    "axpy",
    "bias_gradient",
    "identity",
    "identity_mask",
    "log_loss",
    "logistic",
    "logistic_mask",
    "loss_and_grads",
    "momentum_step",
    "nesterov_step",
    "poisson_loss",
    "predict",
    "propagate_delta",
    "relu",
    "relu_mask",
    "rmsprop_step",
    "softmax",
    "softmax_cross_entropy",
    "squared_loss",
    "sum_of_squares",
    "tanh",
    "tanh_mask",
    "weight_gradient",
]

Array = np.ndarray[Any, Any]


def affine_forward(X: Array, W: Array, b: Array) -> Array:
    """Z = X W + b; X is (N, D), W (D, H), b (H,), Z (N, H)."""
    return X @ W + b


def relu(Z: Array) -> Array:
    """A = max(0, Z), elementwise; a NaN stays a NaN."""
    return np.maximum(Z, 0)


def relu_mask(dA: Array, A: Array) -> Array:
    """dZ = dA * (A > 0): the derivative of ReLU is 0 at exactly 0. All are (N, H)."""
    return dA * (A > 0)


def tanh(Z: Array) -> Array:
    """A = tanh(Z), elementwise."""
    return np.tanh(Z)


def tanh_mask(dA: Array, A: Array) -> Array:
    """dZ = dA * (1 - A^2), the derivative of tanh from its value. All are (N, H)."""
    return dA * (1 - A * A)


def logistic(Z: Array) -> Array:
    """A = 1 / (1 + exp(-Z)), elementwise, written so that no exponential overflows."""
    E = np.exp(-np.abs(Z))
    return np.where(Z < 0, E, 1) / (1 + E)


def logistic_mask(dA: Array, A: Array) -> Array:
    """dZ = dA * A * (1 - A), the derivative of the logistic function from its value. All are (N, H)."""
    return dA * A * (1 - A)


def identity(Z: Array) -> Array:
    """A = Z."""
    return Z


def identity_mask(dA: Array, A: Array) -> Array:  # noqa: ARG001 (as the others)
    """dZ = dA."""
    return dA

ACTIVATIONS: dict[str, tuple[Callable[[Array], Array], Callable[[Array, Array], Array]]] = {
    "relu": (relu, relu_mask), "tanh": (tanh, tanh_mask), "logistic": (logistic, logistic_mask),
    "identity": (identity, identity_mask)}
"""What a hidden layer may apply to its affine map, and what takes the gradient back through it."""


def softmax(Z: Array) -> Array:
    """P_ic = exp(Z_ic - m_i) / sum_c exp(Z_ic - m_i), m_i = max_c Z_ic; Z and P are (N, C)."""
    E = np.exp(Z - Z.max(axis=1, keepdims=True))
    E /= E.sum(axis=1, keepdims=True)
    return E


def softmax_cross_entropy(Z: Array, y: Array) -> tuple[float, Array]:
    """Mean cross-entropy of softmax(Z) with labels y, and its gradient delta = (P - onehot(y)) / N with respect to Z.

    Z is (N, C), y (N,). The loss is the mean of log(sum_c exp(Z_ic - m_i)) + m_i - Z_iy, never log(P): P may be 0.
    """
    N = Z.shape[0]
    rows = np.arange(N)
    shifted = Z - Z.max(axis=1, keepdims=True)
    delta = np.exp(shifted)
    total = delta.sum(axis=1, keepdims=True)
    loss = float((np.log(total[:, 0]) - shifted[rows, y]).mean())
    delta /= total
    delta[rows, y] -= 1
    delta /= N
    return loss, delta


def log_loss(P: Array, Y: Array) -> Array:
    """-sum_c log p_ic for each sample, with p = P where Y is 1 and 1 - P where it is 0. P and Y are (N, C).

    For one row of a softmax only the class that it should be counts: give its P and Y alone, both (N, 1). p is kept
    from eps to 1 - eps (eps of the dtype), as scikit-learn's estimators do, so that no loss is infinite.
    """
    eps = np.finfo(P.dtype).eps
    P = np.clip(P, eps, 1 - eps)
    return -np.where(Y > 0, np.log(P), np.log(1 - P)).sum(axis=1)


def squared_loss(P: Array, Y: Array) -> Array:
    """0.5 (P - Y)^2 for each sample, averaged over the outputs; P and Y are (N, C)."""
    return 0.5 * ((P - Y) ** 2).mean(axis=1)


def poisson_loss(P: Array, Y: Array) -> Array:
    """Half the Poisson deviance Y log(Y / P) - Y + P for each sample, summed over the outputs; P and Y are (N, C)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return (np.where(Y == 0, 0, Y * np.log(Y / P)) - Y + P).sum(axis=1)

HEADS: dict[str, tuple[Callable[[Array], Array], Callable[[Array, Array], Array]]] = {
    "softmax": (softmax, lambda P, Y: log_loss((P * Y).sum(axis=1, keepdims=True), np.ones((1, 1)))),
    "logistic": (logistic, log_loss), "squared_error": (identity, squared_loss), "poisson": (np.exp, poisson_loss)}
"""What the last affine map Z becomes, P, and the loss of each sample from P and the truth Y, both (N, C).

Each is a canonical pair: the gradient with respect to Z is P - Y. (That of the squared error is as scikit-learn has it:
its loss is averaged over the outputs, its gradient is that of the sum.)
"""


def propagate_delta(delta: Array, W: Array, A: Array) -> Array:
    """Delta of the layer below: (delta W^T) * (A > 0); delta is (N, C), W (H, C), A (N, H)."""
    return relu_mask(delta @ W.T, A)


def weight_gradient(A: Array, delta: Array) -> Array:
    """dW = A^T delta; A is (N, D), delta (N, H), dW (D, H)."""
    return A.T @ delta


def bias_gradient(delta: Array) -> Array:
    """Sum of delta over its rows: db, of shape (H,); delta is (N, H)."""
    return delta.sum(axis=0)


def sum_of_squares(W: Array) -> float:
    """Sum of W^2 over all elements."""
    return float(np.sum(W * W))


def axpy(alpha: float, X: Array, Y: Array) -> None:
    """Y += alpha * X, in place."""
    Y += alpha * X


def predict(layers: Sequence[tuple[Array, Array]], X: Array, activation: str = "relu",
            head: str = "softmax") -> list[Array]:
    """Return X, the activation of each hidden layer, and the output of the head: A_0, ..., A_L."""
    A = [X]
    for W, b in layers[:-1]:
        A.append(ACTIVATIONS[activation][0](affine_forward(A[-1], W, b)))
    A.append(HEADS[head][0](affine_forward(A[-1], *layers[-1])))
    return A


def loss_and_grads(layers: Sequence[tuple[Array, Array]], X: Array, Y: Array, l2: float, activation: str = "relu",
                   head: str = "softmax", weights: Array | None = None) -> tuple[float, list[tuple[Array, Array]]]:
    """The loss of a network of any depth, and its gradient for each layer.

    Mean of the head's loss, weighted if there are `weights` (N,), plus 0.5 * l2 * sum(W^2). X is (N, D), Y (N, C).
    """
    A = predict(layers, X, activation, head)
    w = np.ones(len(X), X.dtype) if weights is None else weights
    loss = float((w * HEADS[head][1](A[-1], Y)).sum() / w.sum())
    loss += 0.5 * l2 * sum(sum_of_squares(W) for W, _ in layers)
    delta = (A[-1] - Y) * w[:, np.newaxis] / w.sum()
    grads = []
    for index in reversed(range(len(layers))):
        W, _ = layers[index]
        grads.append((weight_gradient(A[index], delta) + l2 * W, bias_gradient(delta)))
        if index:
            delta = ACTIVATIONS[activation][1](delta @ W.T, A[index])
    return loss, grads[::-1]


def momentum_step(w: Array, dw: Array, v: Array, learning_rate: float, momentum: float) -> None:
    """v = momentum * v - learning_rate * dw; w += v: SGD with momentum, or without if it is 0. In place."""
    v *= momentum
    v -= learning_rate * dw
    w += v


def nesterov_step(w: Array, dw: Array, v: Array, learning_rate: float, momentum: float) -> None:
    """v = momentum * v - learning_rate * dw; w += momentum * v - learning_rate * dw: Nesterov's momentum. In place."""
    v *= momentum
    v -= learning_rate * dw
    w += momentum * v - learning_rate * dw


def adam_rate(learning_rate: float, t: int, beta_1: float, beta_2: float) -> float:
    """The rate of step t (from 1 on) with both corrections of bias in it: end of section 2 of Kingma and Ba (2015)."""
    return learning_rate * float(np.sqrt(1 - beta_2**t)) / (1 - beta_1**t)


def adam_step(w: Array, dw: Array, m: Array, v: Array, rate: float, beta_1: float, beta_2: float,
              epsilon: float) -> None:
    """m = beta_1 m + (1 - beta_1) dw; v = beta_2 v + (1 - beta_2) dw^2; w -= rate * m / (sqrt(v) + epsilon). In place.

    `rate` is that of :func:`adam_rate`. Where the second moment is to be corrected before epsilon is added, as in the
    paper's algorithm 1, epsilon has to be multiplied by sqrt(1 - beta_2^t) too.
    """
    m *= beta_1
    m += (1 - beta_1) * dw
    v *= beta_2
    v += (1 - beta_2) * dw**2
    w -= rate * m / (np.sqrt(v) + epsilon)


def rmsprop_step(w: Array, dw: Array, v: Array, learning_rate: float, decay: float, epsilon: float) -> None:
    """v = decay v + (1 - decay) dw^2; w -= learning_rate * dw / (sqrt(v) + epsilon): Adam with beta_1 = 0. In place."""
    adam_step(w, dw, np.zeros_like(w), v, learning_rate, 0.0, decay, epsilon)


class TwoLayerNet:
    """The course's two-layer network (affine, ReLU, affine, softmax) in NumPy, with the API of `fastnet.TwoLayerNet`.

    It trusts its input. See :class:`fastnet.TwoLayerNet` for what each argument means.
    """

    def __init__(self, input_size: int, hidden_size: int, output_size: int, std: float = 1e-4, *,
                 dtype: Any = np.float64, l2: str = "full", rng: Any = None) -> None:
        self.dtype = np.dtype(dtype)
        self.l2 = l2
        if rng is None:
            rng = np.random  # the module's functions draw from NumPy's global generator
        elif not isinstance(rng, np.random.Generator | np.random.RandomState):
            rng = np.random.RandomState(rng)
        self._rng = rng
        self.params: dict[str, Array] = {
            "W1": (std * rng.standard_normal((input_size, hidden_size))).astype(self.dtype),
            "b1": np.zeros(hidden_size, self.dtype),
            "W2": (std * rng.standard_normal((hidden_size, output_size))).astype(self.dtype),
            "b2": np.zeros(output_size, self.dtype),
        }

    def _input(self, X: Any) -> Array:
        X = np.asarray(X, dtype=self.dtype)
        return X.reshape(len(X), -1)

    def loss(self, X: Any, y: Any = None, reg: float = 0.0) -> Any:
        """Scores (N, C) without labels; with them the loss and a dict of gradients."""
        W1, b1, W2, b2 = (self.params[name] for name in ("W1", "b1", "W2", "b2"))
        X = self._input(X)
        A1 = relu(affine_forward(X, W1, b1))
        Z2 = affine_forward(A1, W2, b2)
        if y is None:
            return Z2
        # Full: reg * sum(W^2). Half: 0.5 * reg * sum(W^2). Both are 0.5 * l2 * sum(W^2), with gradient l2 * W.
        l2 = 2 * reg if self.l2 == "full" else reg
        loss, delta2 = softmax_cross_entropy(Z2, np.asarray(y))
        loss += 0.5 * l2 * (sum_of_squares(W1) + sum_of_squares(W2))
        delta1 = propagate_delta(delta2, W2, A1)
        grads = {"W1": weight_gradient(X, delta1), "b1": bias_gradient(delta1).reshape(b1.shape),
                 "W2": weight_gradient(A1, delta2), "b2": bias_gradient(delta2).reshape(b2.shape)}
        axpy(l2, W1, grads["W1"])
        axpy(l2, W2, grads["W2"])
        return np.float64(loss), grads

    def train(self, X: Any, y: Any, X_val: Any, y_val: Any, learning_rate: float = 1e-3,
              learning_rate_decay: float = 0.95, reg: float = 5e-6, num_iters: int = 100, batch_size: int = 200,
              verbose: bool = False, *, progress: bool | str = False,
              callback: Callable[[int, dict[str, list[float]]], Any] | None = None) -> dict[str, list[float]]:
        """Train with minibatch SGD; return the histories of loss and accuracies."""
        X, X_val = self._input(X), self._input(X_val)
        y, y_val = np.asarray(y), np.asarray(y_val)
        num_train = len(X)
        iterations_per_epoch = max(num_train / batch_size, 1)  # a float, as in the course: see the README
        history: dict[str, list[float]] = {"loss_history": [], "train_acc_history": [], "val_acc_history": []}
        iterations: Any = range(num_iters)
        if progress:
            from .progress import latest, progress_bar
            iterations = progress_bar(iterations, description=progress if isinstance(progress, str) else "",
                                      figures=lambda: latest(history))
        for it in iterations:
            batch = self._rng.choice(num_train, batch_size)
            X_batch, y_batch = X[batch], y[batch]
            loss, grads = self.loss(X_batch, y_batch, reg)
            history["loss_history"].append(loss)
            for name, grad in grads.items():
                axpy(-learning_rate, grad, self.params[name])
            if verbose and it % 100 == 0:
                print(f"iteration {it} / {num_iters}: loss {loss:f}")
            if it % iterations_per_epoch == 0:
                history["train_acc_history"].append((self.predict(X_batch) == y_batch).mean())
                history["val_acc_history"].append((self.predict(X_val) == y_val).mean())
                learning_rate *= learning_rate_decay
                if callback is not None and callback(it, history) is True:
                    break
        return history

    def predict(self, X: Any) -> Array:
        """Label of the largest score for each sample, the first winning ties: (N,)."""
        return np.asarray(self.loss(X).argmax(axis=1))

    def predict_proba(self, X: Any) -> Array:
        """Probabilities of the classes for each sample: (N, C)."""
        return softmax(self.loss(X))
