"""The course's class, fastnet's and the reference in NumPy, and scikit-learn's estimator."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from .problem import L2, RATE, SEED, Array, Problem, timed

__all__ = ["Course", "Sklearn"]


class Course:
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
        return timed(lambda: self._train(problem, steps))

    def predictor(self, problem: Problem) -> Callable[[Array], Array]:
        return self._net(problem).predict


def fastnet() -> Any:
    from fastnet import TwoLayerNet

    return Course(TwoLayerNet)


def numpy() -> Any:
    from fastnet.reference import TwoLayerNet

    return Course(TwoLayerNet)


class Sklearn:
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
            return timed(lambda: net.fit(problem.X[:rows], problem.y[:rows])) * steps / (rows // problem.batch
                                                                                        * max(1, epochs))

    def predictor(self, problem: Problem) -> Callable[[Array], Array]:
        return self._estimator(problem).predict
