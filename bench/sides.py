"""fastnet and its peers, each behind the same few lines: train from given weights on given minibatches, and predict.

Every side gets what it is best with: compiled, its own choice of threads (PyTorch also one), float32 where we have
float32. The peers get the indices of their minibatches beforehand; fastnet and NumPy draw theirs in `train`, by a
generator that draws the same. scikit-learn has no way to be given indices: it is timed on consecutive minibatches,
unshuffled, which is less work, and checked by `partial_fit`.

A side is imported in its own process only, so that no two thread pools meet.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

__all__ = ["L2", "RATE", "SIDES", "Problem"]

RATE, L2 = 1e-2, 1e-3
SEED = 7
Array = np.ndarray[Any, Any]


class Problem(NamedTuple):
    """Data, labels, and the weights to begin with."""

    X: Array
    y: Array
    weights: tuple[Array, Array, Array, Array]
    batch: int

    def batches(self, steps: int) -> Array:
        """The minibatches that `train` of fastnet draws with the seed."""
        draws = np.random.RandomState(SEED).choice(len(self.X), steps * self.batch)
        return draws.reshape(steps, self.batch)


def _timed(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


class _Course:
    """The course's class: fastnet's, or the reference in NumPy."""

    def __init__(self, net_class: Any) -> None:
        self._net_class = net_class

    def _net(self, problem: Problem) -> Any:
        (D, H), C = problem.weights[0].shape, problem.weights[2].shape[1]
        net = self._net_class(D, H, C, dtype=problem.X.dtype, l2="half", rng=np.random.RandomState(SEED))
        for name, array in zip(("W1", "b1", "W2", "b2"), problem.weights, strict=True):
            net.params[name][...] = array
        net._rng = np.random.RandomState(SEED)  # as if the weights had not been drawn from it
        return net

    def _train(self, problem: Problem, steps: int) -> list[float]:
        # One validation sample, and a number of samples that no batch size divides: accuracies are taken at iteration
        # 0 only, and what a call takes beside its steps is the same for few and for many.
        history = self._net(problem).train(
            problem.X, problem.y, problem.X[:1], problem.y[:1], learning_rate=RATE, learning_rate_decay=1.0, reg=L2,
            num_iters=steps, batch_size=problem.batch)
        return history["loss_history"]

    def losses(self, problem: Problem, steps: int) -> list[float]:
        return self._train(problem, steps)

    def seconds(self, problem: Problem, steps: int) -> float:
        return _timed(lambda: self._train(problem, steps))

    def predictor(self, problem: Problem) -> Callable[[Array], Array]:
        return self._net(problem).predict


def fastnet() -> Any:
    from fastnet import TwoLayerNet

    return _Course(TwoLayerNet)


def numpy() -> Any:
    from fastnet.reference import TwoLayerNet

    return _Course(TwoLayerNet)


class _Sklearn:
    def _estimator(self, problem: Problem, **options: Any) -> Any:
        from sklearn.neural_network import MLPClassifier

        W1, b1, W2, b2 = problem.weights
        net = MLPClassifier(
            (W1.shape[1],), solver="sgd", momentum=0.0, nesterovs_momentum=False, shuffle=False, warm_start=True,
            learning_rate_init=RATE, alpha=L2 * problem.batch, batch_size=problem.batch, tol=0.0,
            n_iter_no_change=10**9, **options)
        net.partial_fit(problem.X[:problem.batch], problem.y[:problem.batch], classes=np.arange(W2.shape[1]))
        net.coefs_, net.intercepts_ = [W1.copy(), W2.copy()], [b1.copy(), b2.copy()]
        net.loss_curve_ = []
        return net

    def losses(self, problem: Problem, steps: int) -> list[float]:
        net = self._estimator(problem)
        for batch in problem.batches(steps):
            net.partial_fit(problem.X[batch], problem.y[batch])
        return net.loss_curve_

    def seconds(self, problem: Problem, steps: int) -> float:
        epoch = len(problem.X) // problem.batch
        epochs, rest = divmod(steps, epoch)
        rows = epoch * problem.batch if epochs else rest * problem.batch
        net = self._estimator(problem, max_iter=max(1, epochs))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _timed(lambda: net.fit(problem.X[:rows], problem.y[:rows])) * steps / (rows // problem.batch
                                                                                        * max(1, epochs))

    def predictor(self, problem: Problem) -> Callable[[Array], Array]:
        return self._estimator(problem).predict


class _Torch:
    def __init__(self, threads: int | None, compiled: bool) -> None:
        import torch

        if threads:
            torch.set_num_threads(threads)
        self._torch, self._compiled = torch, compiled

    def _model(self, problem: Problem) -> Any:
        torch = self._torch
        W1, b1, W2, b2 = (torch.from_numpy(array.copy()) for array in problem.weights)
        model = torch.nn.Sequential(torch.nn.Linear(*W1.shape), torch.nn.ReLU(), torch.nn.Linear(*W2.shape))
        model = model.to(W1.dtype)
        with torch.no_grad():
            for layer, W, b in ((model[0], W1, b1), (model[2], W2, b2)):
                layer.weight.copy_(W.T)
                layer.bias.copy_(b)
        return model

    def _stepper(self, problem: Problem) -> tuple[Callable[[Any], Any], Any]:
        torch = self._torch
        model = self._model(problem)
        X, y = torch.from_numpy(problem.X), torch.from_numpy(problem.y)
        weights = [model[0].weight, model[2].weight]
        optimizer = torch.optim.SGD([{"params": weights, "weight_decay": L2},
                                     {"params": [model[0].bias, model[2].bias]}], lr=RATE, fused=True)
        criterion = torch.nn.CrossEntropyLoss()

        def forward(samples: Any, targets: Any) -> Any:
            return criterion(model(samples), targets)

        run = torch.compile(forward) if self._compiled else forward

        def step(batch: Any) -> Any:
            optimizer.zero_grad(set_to_none=True)
            loss = run(X[batch], y[batch])
            loss.backward()
            optimizer.step()
            return loss

        return step, weights

    def losses(self, problem: Problem, steps: int) -> list[float]:
        step, weights = self._stepper(problem)
        losses = []
        for batch in self._torch.from_numpy(problem.batches(steps)):
            penalty = 0.5 * L2 * sum(float((W.detach() ** 2).sum()) for W in weights)
            losses.append(float(step(batch).detach()) + penalty)
        return losses

    def seconds(self, problem: Problem, steps: int) -> float:
        step, _ = self._stepper(problem)
        batches = self._torch.from_numpy(problem.batches(steps + 2))
        step(batches[0])
        step(batches[1])
        return _timed(lambda: [step(batch) for batch in batches[2:]])

    def predictor(self, problem: Problem) -> Callable[[Array], Array]:
        torch = self._torch
        model = self._model(problem).eval()

        def labels(X: Any) -> Any:
            return model(X).argmax(dim=1)

        run = torch.compile(labels, dynamic=True) if self._compiled else labels

        def predict(X: Array) -> Array:
            with torch.inference_mode():
                return run(torch.from_numpy(X)).numpy()

        return predict


class _Jax:
    def __init__(self) -> None:
        import jax

        jax.config.update("jax_enable_x64", True)  # allows float64; float32 stays float32
        self._jax = jax
        self._runs: dict[Any, Any] = {}

    def _run(self) -> Any:
        jax, jnp = self._jax, self._jax.numpy

        def loss(params: Any, X: Any, y: Any) -> Any:
            W1, b1, W2, b2 = params
            Z = jax.nn.relu(X @ W1 + b1) @ W2 + b2
            data = (jax.nn.logsumexp(Z, axis=1) - jnp.take_along_axis(Z, y[:, None], axis=1)[:, 0]).mean()
            return data + 0.5 * L2 * ((W1 * W1).sum() + (W2 * W2).sum())

        def run(params: Any, X: Any, y: Any, batches: Any) -> Any:
            def step(params: Any, batch: Any) -> Any:
                value, grads = jax.value_and_grad(loss)(params, X[batch], y[batch])
                return tuple(p - RATE * g for p, g in zip(params, grads, strict=True)), value

            return jax.lax.scan(step, params, batches)

        return jax.jit(run, donate_argnums=0)

    def _call(self, problem: Problem, batches: Array) -> Any:
        run = self._runs.setdefault("train", self._run())
        put = self._jax.device_put
        X, y = put(problem.X), put(problem.y)
        return lambda: self._jax.block_until_ready(
            run(tuple(put(array.copy()) for array in problem.weights), X, y, batches))

    def losses(self, problem: Problem, steps: int) -> list[float]:
        return np.asarray(self._call(problem, problem.batches(steps))()[1]).tolist()

    def seconds(self, problem: Problem, steps: int) -> float:
        call = self._call(problem, problem.batches(steps))
        call()  # compiled for this number of steps
        return _timed(call)

    def predictor(self, problem: Problem) -> Callable[[Array], Array]:
        jax, jnp = self._jax, self._jax.numpy
        params = tuple(jax.device_put(array) for array in problem.weights)

        @jax.jit
        def labels(params: Any, X: Any) -> Any:
            W1, b1, W2, b2 = params
            return jnp.argmax(jax.nn.relu(X @ W1 + b1) @ W2 + b2, axis=1)

        return lambda X: np.asarray(labels(params, X))


class _Onnx:
    def __init__(self) -> None:
        import onnx
        import onnxruntime

        self._onnx, self._runtime = onnx, onnxruntime

    def predictor(self, problem: Problem) -> Callable[[Array], Array]:
        helper, numpy_helper = self._onnx.helper, self._onnx.numpy_helper
        kind = helper.np_dtype_to_tensor_dtype(problem.X.dtype)
        nodes = [helper.make_node("Gemm", ["X", "W1", "b1"], ["Z1"]), helper.make_node("Relu", ["Z1"], ["A1"]),
                 helper.make_node("Gemm", ["A1", "W2", "b2"], ["Z2"]),
                 helper.make_node("ArgMax", ["Z2"], ["labels"], axis=1, keepdims=0)]
        graph = helper.make_graph(
            nodes, "net", [helper.make_tensor_value_info("X", kind, [None, problem.X.shape[1]])],
            [helper.make_tensor_value_info("labels", self._onnx.TensorProto.INT64, [None])],
            [numpy_helper.from_array(array, name)
             for name, array in zip(("W1", "b1", "W2", "b2"), problem.weights, strict=True)])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        session = self._runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        return lambda X: session.run(None, {"X": X})[0]


SIDES: dict[str, Callable[[], Any]] = {
    "fastnet": fastnet,
    "NumPy": numpy,
    "scikit-learn": _Sklearn,
    "PyTorch": lambda: _Torch(None, compiled=False),
    "PyTorch, 1 thread": lambda: _Torch(1, compiled=False),
    "PyTorch, compiled": lambda: _Torch(None, compiled=True),
    "JAX": _Jax,
    "ONNX Runtime": _Onnx,
}
"""Each side by its name; making one fails with ImportError where its package is not installed."""
