"""JAX: all steps of a run as one compiled scan."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .problem import L2, RATE, Array, Problem, timed

__all__ = ["Jax"]


class Jax:
    def __init__(self) -> None:
        import jax

        jax.config.update("jax_enable_x64", True)  # allows float64; float32 stays float32
        self._jax = jax
        self._runs: dict[Any, Any] = {}

    def _run(self, keep_losses: bool) -> Any:
        """A run of many steps; with `keep_losses` their losses too, which takes newer versions of JAX long."""
        jax, jnp = self._jax, self._jax.numpy

        def loss(params: Any, X: Any, y: Any) -> Any:
            W1, b1, W2, b2 = params
            Z = jax.nn.relu(X @ W1 + b1) @ W2 + b2
            data = (jax.nn.logsumexp(Z, axis=1) - jnp.take_along_axis(Z, y[:, None], axis=1)[:, 0]).mean()
            return data + 0.5 * L2 * ((W1 * W1).sum() + (W2 * W2).sum())

        def run(params: Any, X: Any, y: Any, batches: Any) -> Any:
            def step(params: Any, batch: Any) -> Any:
                value, grads = jax.value_and_grad(loss)(params, X[batch], y[batch])
                return tuple(p - RATE * g for p, g in zip(params, grads, strict=True)), value if keep_losses else None

            return jax.lax.scan(step, params, batches)

        return jax.jit(run, donate_argnums=0)

    def _call(self, problem: Problem, batches: Array, keep_losses: bool = False) -> Any:
        if keep_losses not in self._runs:
            self._runs[keep_losses] = self._run(keep_losses)
        run = self._runs[keep_losses]
        put = self._jax.device_put
        X, y = put(problem.X), put(problem.y)
        return lambda: self._jax.block_until_ready(
            run(tuple(put(array.copy()) for array in problem.weights), X, y, batches))

    def losses(self, problem: Problem, steps: int) -> list[float]:
        return np.asarray(self._call(problem, problem.batches(steps), keep_losses=True)()[1]).tolist()

    def seconds(self, problem: Problem, steps: int) -> float:
        call = self._call(problem, problem.batches(steps))
        call()  # compiled for this number of steps
        return timed(call)

    def predictor(self, problem: Problem) -> Callable[[Array], Array]:
        jax, jnp = self._jax, self._jax.numpy
        params = tuple(jax.device_put(array) for array in problem.weights)

        @jax.jit
        def labels(params: Any, X: Any) -> Any:
            W1, b1, W2, b2 = params
            return jnp.argmax(jax.nn.relu(X @ W1 + b1) @ W2 + b2, axis=1)

        return lambda X: np.asarray(labels(params, X))
