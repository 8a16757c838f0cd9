"""What is compared with what: cases, arguments, both implementations, and the check. Benchmarks and tests share it.

A tolerance here is a bound on rounding, never a number that happens to pass. Two sums of K products, each in an order
of its own, differ by at most K * eps * (|A| |B|) (K * eps / 2 on each side); elementwise formulas by a few eps of what
they are made of. Through a whole network such worst cases multiply until they say nothing: there the bound on a sum is
sqrt(K) * eps * (|A| |B|), what errors of random sign add up to, carried through the formulas to first order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numba.core import config

import fastnet
from fastnet import kernels, reference

__all__ = ["CASES", "COMPARISONS", "DTYPES", "IMPLEMENTATIONS", "Case", "Comparison", "step_products"]

Array = np.ndarray[Any, Any]

DTYPES = ("float32", "float64")
IMPLEMENTATIONS = {"fastnet": fastnet.TwoLayerNet, "numpy": reference.TwoLayerNet}
SEED = 231
REG = 1e-3
STEPS = 5
"""Iterations of `train`: few, because rounding moves each step's loss a little further in float32."""

LONGEST_CHAIN = 1024
"""Terms that no long sum adds in a row: fastnet adds blocks in interleaved lanes, NumPy pairwise."""


class Case(NamedTuple):
    """Sizes of a network and of its minibatch."""

    inputs: int
    hidden: int
    classes: int
    batch: int


CASES = {
    "tiny": Case(4, 10, 3, 32),
    "digits": Case(64, 100, 10, 200),
    "mnist": Case(784, 128, 10, 128),
    "cifar": Case(3072, 50, 10, 200),
    "wide": Case(784, 1024, 10, 1024),
}
if config.DISABLE_JIT:  # kernels are plain Python loops then: at most 48 inputs, 32 hidden units and 24 samples
    CASES = {name: Case(min(case.inputs, 48), min(case.hidden, 32), case.classes, min(case.batch, 24))
             for name, case in CASES.items()}


@dataclass(frozen=True)
class Comparison:
    """One function of fastnet beside its NumPy twin."""

    functions: dict[str, Callable[..., Any]]
    """The function under the name of each implementation."""
    arguments: Callable[[type, Case, str], tuple[Any, ...]]
    """Make the arguments, always the same ones, given the implementation's network class, the case and the dtype."""
    check: Callable[..., None]
    """Called with a result, NumPy's result, and the arguments; raises AssertionError unless the two agree."""
    multiply_adds: Callable[[Case], int] | None = None
    """Multiply-adds of the matrix products in one call."""
    rounds: int | None = None
    """For a function that changes its arguments: how often to time it, each time on new ones."""

    def make(self, implementation: str, case: Case, dtype: str) -> tuple[Any, ...]:
        """Return new arguments for `implementation`."""
        return self.arguments(IMPLEMENTATIONS[implementation], case, dtype)

    def run(self, implementation: str, case: Case, dtype: str) -> Any:
        """Return the result of `implementation` on new arguments."""
        return self.functions[implementation](*self.make(implementation, case, dtype))

    def verify(self, case: Case, dtype: str) -> None:
        """Run both implementations and raise AssertionError unless they agree."""
        results = [self.run(implementation, case, dtype) for implementation in ("fastnet", "numpy")]
        self.check(*results, *self.make("numpy", case, dtype))


# ---- arguments: inputs in 0..1 as pixels are, weights of He's scale, so that about half of the units are active ------


def _data(samples: int, case: Case, dtype: str) -> tuple[Array, Array]:
    rng = np.random.default_rng(SEED)
    return rng.random((samples, case.inputs)).astype(dtype), rng.integers(case.classes, size=samples)


def _network(net_class: type, case: Case, dtype: str) -> Any:
    net = net_class(*case[:3], std=(2 / case.inputs) ** 0.5, dtype=dtype, rng=SEED)
    rng = np.random.default_rng(SEED)
    for name in ("b1", "b2"):
        net.params[name][:] = rng.normal(0, 0.1, net.params[name].shape)
    return net


def _passes(case: Case, dtype: str) -> dict[str, Array]:
    """Every array of one forward and backward pass, by NumPy."""
    X, y = _data(case.batch, case, dtype)
    params = _network(reference.TwoLayerNet, case, dtype).params
    Z1 = reference.affine_forward(X, params["W1"], params["b1"])
    A1 = reference.relu(Z1)
    Z2 = reference.affine_forward(A1, params["W2"], params["b2"])
    delta2 = reference.softmax_cross_entropy(Z2, y)[1]
    delta1 = reference.propagate_delta(delta2, params["W2"], A1)
    return {**params, "X": X, "y": y, "Z1": Z1, "A1": A1, "Z2": Z2, "delta2": delta2, "delta1": delta1}


def _loss_arguments(net_class: type, case: Case, dtype: str) -> tuple[Any, ...]:
    return _network(net_class, case, dtype), *_data(case.batch, case, dtype), REG


def _inference_arguments(net_class: type, case: Case, dtype: str) -> tuple[Any, ...]:
    return _loss_arguments(net_class, case, dtype)[:2]


def _train_arguments(net_class: type, case: Case, dtype: str) -> tuple[Any, ...]:
    # One sample more than four batches: an epoch is no whole number of steps, so accuracies are taken at step 0 only.
    X, y = _data(4 * case.batch + 1, case, dtype)
    X_val, y_val = X[:case.batch], y[:case.batch]
    # |x|^2 is about a third of the inputs: at this rate a step shrinks a disturbance rather than amplifying it.
    learning_rate = 1 / case.inputs
    return _network(net_class, case, dtype), X, y, X_val, y_val, learning_rate, 0.95, REG, STEPS, case.batch


# ---- checks ----------------------------------------------------------------------------------------------------------


def _close(actual: Any, expected: Any, bound: Any, what: str = "result") -> None:
    """Raise AssertionError unless shape and dtype are the same and each element is within `bound`; a NaN is not."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    if actual.shape != expected.shape or actual.dtype != expected.dtype:
        raise AssertionError(f"{what}: {actual.dtype} {actual.shape} instead of {expected.dtype} {expected.shape}")
    error = np.abs(actual.astype(np.float64) - expected)
    good = error <= bound
    if not good.all():
        with np.errstate(divide="ignore", invalid="ignore"):
            worst = np.max(np.where(good, 0, error / bound))
        raise AssertionError(
            f"{what}: {np.sum(~good)} of {good.size} elements off, by up to {worst:.3g} times the bound")


def _eps(array: Array) -> float:
    return float(np.finfo(array.dtype).eps)


def _product(A: Array, B: Array) -> Array:
    """Return |A| |B| in float64."""
    return np.abs(A).astype(np.float64) @ np.abs(B).astype(np.float64)


def _check_affine_forward(actual: Any, expected: Any, X: Array, W: Array, b: Array) -> None:
    _close(actual, expected, (len(W) + 1) * _eps(X) * (_product(X, W) + np.abs(b)))


def _check_exact(actual: Any, expected: Any, *_: Any) -> None:
    _close(actual, expected, 0)  # a comparison and a product with 0 or 1 round nothing


def _softmax_bound(Z: Array, eps: float) -> Array:
    """Bound for softmax(Z): the shift rounds by |Z - m| eps, exp and the division by some eps, the sum by C eps."""
    shifted = Z - Z.max(axis=1, keepdims=True)
    return (np.abs(shifted) + 2 * Z.shape[1] + 8) * eps * reference.softmax(Z) + np.finfo(Z.dtype).tiny


def _cross_entropy_bound(Z: Array, y: Array, eps: float) -> float:
    """Bound for the mean loss: each row as for softmax, then a sum over the rows."""
    shifted = Z - Z.max(axis=1, keepdims=True)
    return float(eps * (np.abs(shifted[np.arange(len(y)), y]).mean() + 2 * Z.shape[1] + 8
                        + min(len(y), LONGEST_CHAIN) * reference.softmax_cross_entropy(Z, y)[0]))


def _check_softmax(actual: Any, expected: Any, Z: Array) -> None:
    _close(actual, expected, _softmax_bound(Z, _eps(Z)))


def _delta_bound(Z: Array, y: Array, eps: float) -> Array:
    return (_softmax_bound(Z, eps) + 2 * eps * np.eye(Z.shape[1])[y]) / len(y)


def _check_softmax_cross_entropy(actual: Any, expected: Any, Z: Array, y: Array) -> None:
    _close(actual[0], expected[0], _cross_entropy_bound(Z, y, _eps(Z)), "loss")
    _close(actual[1], expected[1], _delta_bound(Z, y, _eps(Z)), "delta")


def _check_propagate_delta(actual: Any, expected: Any, delta: Array, W: Array, A: Array) -> None:
    _close(actual, expected, W.shape[1] * _eps(W) * _product(delta, W.T) * (A > 0))


def _check_weight_gradient(actual: Any, expected: Any, A: Array, delta: Array) -> None:
    _close(actual, expected, len(A) * _eps(A) * _product(A.T, delta))


def _check_bias_gradient(actual: Any, expected: Any, delta: Array) -> None:
    _close(actual, expected, len(delta) * _eps(delta) * np.abs(delta).sum(axis=0, dtype=np.float64))


def _check_sum_of_squares(actual: Any, expected: Any, W: Array) -> None:
    _close(actual, expected, min(W.size, LONGEST_CHAIN) * _eps(W) * expected)


def _check_axpy(actual: Any, expected: Any, alpha: float, X: Array, Y: Array) -> None:
    _close(actual, expected, 2 * _eps(X) * (np.abs(alpha * X) + np.abs(Y)))  # one side may fuse product and sum


def _network_bounds(net: Any, X: Array, y: Array, reg: float) -> tuple[Array, float, dict[str, Array]]:
    """Bounds for scores, loss and gradients, by the rules at the top of this file; e_Z is the bound for Z and so on."""
    eps = _eps(X)
    X, W1, b1, W2, b2 = (array.astype(np.float64) for array in (X, *(net.params[name] for name in net.params)))
    N, D = X.shape
    H, C = W2.shape
    Z1 = X @ W1 + b1
    A1 = reference.relu(Z1)
    Z2 = A1 @ W2 + b2
    delta2 = reference.softmax_cross_entropy(Z2, y)[1]
    delta1 = reference.propagate_delta(delta2, W2, A1)

    e_Z1 = (D + 1) ** 0.5 * eps * (_product(X, W1) + np.abs(b1))
    may_be_active = Z1 + e_Z1 > 0
    e_A1 = e_Z1 * may_be_active
    e_Z2 = e_A1 @ np.abs(W2) + (H + 1) ** 0.5 * eps * (_product(A1, W2) + np.abs(b2))
    e_loss = (np.abs(delta2) * e_Z2).sum() + _cross_entropy_bound(Z2, y, eps)
    e_delta2 = _delta_bound(Z2, y, eps) + 2 * e_Z2.max(axis=1, keepdims=True) * reference.softmax(Z2) / N
    # A unit this close to 0 may be active on one side and not on the other: its whole delta is in doubt.
    in_doubt = np.abs(Z1) <= e_Z1
    e_delta1 = ((e_delta2 @ np.abs(W2.T) + C ** 0.5 * eps * _product(delta2, W2.T)) * may_be_active
                + _product(delta2, W2.T) * in_doubt)
    e_grads = {
        "W1": np.abs(X.T) @ e_delta1 + N ** 0.5 * eps * _product(X.T, delta1),
        "b1": e_delta1.sum(axis=0) + N ** 0.5 * eps * np.abs(delta1).sum(axis=0),
        "W2": e_A1.T @ np.abs(delta2) + A1.T @ e_delta2 + N ** 0.5 * eps * _product(A1.T, delta2),
        "b2": e_delta2.sum(axis=0) + N ** 0.5 * eps * np.abs(delta2).sum(axis=0),
    }
    l2 = 2 * reg
    for name, W in (("W1", W1), ("W2", W2)):
        e_loss += min(W.size, LONGEST_CHAIN) * eps * 0.5 * l2 * np.sum(W * W)
        e_grads[name] += 4 * eps * l2 * np.abs(W)
    return e_Z2, e_loss, e_grads


def _check_loss(actual: Any, expected: Any, net: Any, X: Array, y: Array, reg: float) -> None:
    _, e_loss, e_grads = _network_bounds(net, X, y, reg)
    _close(actual[0], expected[0], e_loss, "loss")
    assert actual[1].keys() == expected[1].keys(), "other names of gradients"
    for name, bound in e_grads.items():
        _close(actual[1][name], expected[1][name], bound, f"gradient of {name}")


def _check_scores(actual: Any, expected: Any, net: Any, X: Array) -> None:
    _close(actual, expected, _network_bounds(net, X, np.zeros(len(X), np.intp), 0.0)[0], "scores")


def _check_train(actual: Any, expected: Any, net: Any, X: Array, y: Array, *arguments: Any) -> None:
    # Every step may add what one loss or gradient may be off by, of which the first minibatch's worth is the measure;
    # and at this learning rate no step amplifies it. Which units are in doubt differs from one minibatch to the next:
    # hence the largest bound of each gradient, not each element's.
    *_, learning_rate, _, reg, steps, batch = arguments
    _, e_loss, e_grads = _network_bounds(net, X[:batch], y[:batch], reg)
    _close(actual[0], expected[0], e_loss * (1 + np.arange(steps)), "loss history")
    for name, bound in e_grads.items():
        rounding = _eps(X) * np.abs(expected[1][name]).max()
        _close(actual[1][name], expected[1][name], steps * (learning_rate * bound.max() + rounding), f"trained {name}")


def _check_predict(actual: Any, expected: Any, net: Any, X: Array) -> None:
    # The same labels, but for samples whose two largest scores are too close to call.
    scores = net.loss(X)
    e_scores = _network_bounds(net, X, expected, 0.0)[0].max(axis=1)
    second, first = np.sort(scores, axis=1)[:, -2:].T
    _close(actual, expected, np.where(first - second <= 2 * e_scores, scores.shape[1], 0))


# ---- the registry ----------------------------------------------------------------------------------------------------


def _kernel(name: str, operands: str, check: Callable[..., None],
            multiply_adds: Callable[[Case], int] | None = None) -> Comparison:
    """Compare a kernel with its namesake on arrays of `_passes`."""
    def arguments(_: type, case: Case, dtype: str) -> tuple[Any, ...]:
        arrays = _passes(case, dtype)
        return tuple(arrays[operand] for operand in operands.split())

    functions = {"fastnet": getattr(kernels, name), "numpy": getattr(reference, name)}
    return Comparison(functions, arguments, check, multiply_adds)


def _axpy(function: Callable[..., None]) -> Callable[..., Array]:
    def axpy(alpha: float, X: Array, Y: Array) -> Array:
        function(alpha, X, Y)
        return Y
    return axpy


def _flat_weights(_: type, case: Case, dtype: str) -> Array:
    return _network(reference.TwoLayerNet, case, dtype).params["W1"].reshape(-1)


def _axpy_arguments(net_class: type, case: Case, dtype: str) -> tuple[Any, ...]:
    Y = _flat_weights(net_class, case, dtype)
    return -0.01, Y[::-1].copy(), Y


def _loss(net: Any, X: Array, y: Array, reg: float) -> Any:
    return net.loss(X, y, reg)


def _scores(net: Any, X: Array) -> Any:
    return net.loss(X)


def _train(net: Any, *arguments: Any) -> tuple[Array, dict[str, Array]]:
    history = net.train(*arguments)
    return np.array(history["loss_history"]), net.params


def _predict(net: Any, X: Array) -> Any:
    return net.predict(X)


def _both(method: Callable[..., Any]) -> dict[str, Callable[..., Any]]:
    return dict.fromkeys(IMPLEMENTATIONS, method)


def _first_product(case: Case) -> int:
    return case.batch * case.inputs * case.hidden


def _second_product(case: Case) -> int:
    return case.batch * case.hidden * case.classes


def _forward_products(case: Case) -> int:
    return _first_product(case) + _second_product(case)


def step_products(case: Case) -> int:
    """Multiply-adds of the matrix products of one loss with its gradients, which is a training step's too."""
    return 2 * _first_product(case) + 3 * _second_product(case)


def _train_products(case: Case) -> int:
    return STEPS * step_products(case) + 2 * _forward_products(case)  # and the accuracies at step 0


COMPARISONS = {
    "affine_forward": _kernel("affine_forward", "X W1 b1", _check_affine_forward, _first_product),
    "relu": _kernel("relu", "Z1", _check_exact),
    "relu_mask": _kernel("relu_mask", "delta1 Z1", _check_exact),
    "softmax": _kernel("softmax", "Z2", _check_softmax),
    "softmax_cross_entropy": _kernel("softmax_cross_entropy", "Z2 y", _check_softmax_cross_entropy),
    "propagate_delta": _kernel("propagate_delta", "delta2 W2 A1", _check_propagate_delta, _second_product),
    "weight_gradient": _kernel("weight_gradient", "X delta1", _check_weight_gradient, _first_product),
    "bias_gradient": _kernel("bias_gradient", "delta1", _check_bias_gradient),
    "sum_of_squares": Comparison(
        {"fastnet": kernels.sum_of_squares, "numpy": reference.sum_of_squares},
        lambda *case: (_network(reference.TwoLayerNet, *case[1:]).params["W1"],), _check_sum_of_squares),
    "axpy": Comparison(
        {"fastnet": _axpy(kernels.axpy), "numpy": _axpy(reference.axpy)}, _axpy_arguments, _check_axpy, rounds=50),
    "loss": Comparison(_both(_loss), _loss_arguments, _check_loss, step_products),
    "scores": Comparison(_both(_scores), _inference_arguments, _check_scores, _forward_products),
    "train": Comparison(_both(_train), _train_arguments, _check_train, _train_products, rounds=5),
    "predict": Comparison(_both(_predict), _inference_arguments, _check_predict, _forward_products),
}
