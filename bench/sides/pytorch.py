"""PyTorch: a step as it is written, with its forward part compiled, and compiled as a whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from .problem import L2, RATE, Array, Problem, timed

__all__ = ["Torch", "WholeTorch"]


class Torch:
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
        return timed(lambda: [step(batch) for batch in batches[2:]])

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


class WholeTorch(Torch):
    """Forward, backward and the update of SGD as one function that is compiled, by inductor with all it has."""

    OPTIONS: ClassVar = {"max_autotune": True, "cpp_wrapper": True}

    def __init__(self, threads: int | None) -> None:
        super().__init__(threads, compiled=True)

    def _stepper(self, problem: Problem) -> tuple[Callable[[Any], Any], Any]:
        torch = self._torch
        X, y = torch.from_numpy(problem.X), torch.from_numpy(problem.y)
        params = tuple(torch.from_numpy(array.copy()) for array in problem.weights)

        def loss_of(params: Any, samples: Any, targets: Any) -> Any:
            W1, b1, W2, b2 = params
            scores = torch.addmm(b2, torch.relu(torch.addmm(b1, samples, W1)), W2)
            return torch.nn.functional.cross_entropy(scores, targets)

        def step(params: Any, X: Any, y: Any, batch: Any) -> Any:
            gradients, loss = torch.func.grad_and_value(loss_of)(params, X[batch], y[batch])
            for array, gradient in zip(params, gradients, strict=True):
                array.sub_(RATE * (gradient + L2 * array if array.ndim == 2 else gradient))
            return loss

        run = torch.compile(step, dynamic=False, options=self.OPTIONS)
        return lambda batch: run(params, X, y, batch), (params[0], params[2])

    def predictor(self, problem: Problem) -> Callable[[Array], Array]:
        torch = self._torch
        model = self._model(problem).eval()
        run = torch.compile(lambda X: model(X).argmax(dim=1), dynamic=False, options={**self.OPTIONS, "freezing": True})

        def predict(X: Array) -> Array:
            with torch.inference_mode():
                return run(torch.from_numpy(X)).numpy()

        return predict
