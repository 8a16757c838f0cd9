"""The book's Trainer: minibatches, an optimizer, accuracies at each epoch.

With a network of ours and one of the book's optimizers (but AdaGrad) the steps are compiled; with anybody's own they go
through Python. Both ways give the same numbers, draws and printed lines.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ... import checks
from ...aliases import Layer
from ...blocks.optimizers import ADAM, MOMENTUM, NESTEROV, Optimizer
from ...llvm.memory import overlap
from ...training.interrupts import DeferredInterrupt
from ...training.loop import prepare
from ...training.minibatches import draw
from ...training.session import Session
from ..ch04.two_layer_net import TwoLayerNet as SigmoidNet
from ..ch05.two_layer_net import TwoLayerNet as ReluNet
from . import optimizer as optimizers
from .functions import labels_of

__all__ = ["Trainer"]

_OPTIMIZERS = {name.lower(): name for name in optimizers.__all__}


class Trainer:
    """Train a network with minibatches, as the book's class of that name does.

    Parameters
    ----------
    network : object
        With ``params``, and ``gradient(x, t)``, ``loss(x, t)`` and ``accuracy(x, t)``.
    x_train, t_train, x_test, t_test : array
        Samples, and labels or one-hot rows.
    epochs : int, default 20
        An epoch is ``max(N / mini_batch_size, 1)`` steps, a float, as in the book.
    mini_batch_size : int, default 100
        Samples in a minibatch, drawn with replacement from NumPy's global generator.
    optimizer : {"SGD", "Momentum", "Nesterov", "AdaGrad", "RMSprop", "Adam"}
        In any case of letters.
    optimizer_param : dict, default {"lr": 0.01}
        Arguments of the optimizer.
    evaluate_sample_num_per_epoch : int, optional
        Accuracies are taken of so many samples, the first ones; by default of all.
    verbose : bool, default True
        Whether to print losses and accuracies.

    Attributes
    ----------
    train_loss_list : list
        The loss of each minibatch, after its update.
    train_acc_list, test_acc_list : list
        Accuracies after each iteration that is a multiple of the steps of an epoch.
    optimizer : object
    current_iter, current_epoch, iter_per_epoch, max_iter, train_size, batch_size
        As the book's.
    """

    def __init__(self, network: Any, x_train: ArrayLike, t_train: ArrayLike, x_test: ArrayLike, t_test: ArrayLike,
                 epochs: int = 20, mini_batch_size: int = 100, optimizer: str = "SGD",
                 optimizer_param: dict[str, Any] | None = None, evaluate_sample_num_per_epoch: int | None = None,
                 verbose: bool = True) -> None:
        if not isinstance(optimizer, str) or optimizer.lower() not in _OPTIMIZERS:
            raise ValueError(f"optimizer must be one of {', '.join(_OPTIMIZERS.values())}, got "
                             f"{checks.shortened(optimizer)}")
        self.network = network
        self.verbose = verbose
        self.x_train, self.t_train, self.x_test, self.t_test = x_train, t_train, x_test, t_test
        self.epochs = checks.integer(epochs, "epochs", minimum=0)
        self.batch_size = checks.integer(mini_batch_size, "mini_batch_size", minimum=1)
        self.evaluate_sample_num_per_epoch = evaluate_sample_num_per_epoch
        if evaluate_sample_num_per_epoch is not None:
            checks.integer(evaluate_sample_num_per_epoch, "evaluate_sample_num_per_epoch", minimum=1)
        self.optimizer = getattr(optimizers, _OPTIMIZERS[optimizer.lower()])(
            **({"lr": 0.01} if optimizer_param is None else optimizer_param))
        self.train_size = np.shape(x_train)[0]
        self.iter_per_epoch = max(self.train_size / self.batch_size, 1)
        self.max_iter = int(self.epochs * self.iter_per_epoch)
        self.current_iter = self.current_epoch = 0
        self.train_loss_list: list[Any] = []
        self.train_acc_list: list[Any] = []
        self.test_acc_list: list[Any] = []

    def train_step(self) -> None:
        """Take a step with one minibatch."""
        self._train_step(None)

    def _train_step(self, compiled: _CompiledSteps | None) -> None:
        chosen = draw(np.random, self.train_size, self.batch_size)
        x: Any = self.x_train
        t: Any = self.t_train
        x, t = x[chosen], t[chosen]
        if compiled is None:
            self.optimizer.update(self.network.params, self.network.gradient(x, t))
        else:
            compiled.take(chosen)
        loss = self.network.loss(x, t)
        self.train_loss_list.append(loss)
        if self.verbose:
            print(f"train loss:{loss!s}")
        if self.current_iter % self.iter_per_epoch == 0:
            self.current_epoch += 1
            most = slice(self.evaluate_sample_num_per_epoch)
            sets: Any = (self.x_train, self.t_train), (self.x_test, self.t_test)
            train_acc, test_acc = [self.network.accuracy(x[most], t[most]) for x, t in sets]
            self.train_acc_list.append(train_acc)
            self.test_acc_list.append(test_acc)
            if self.verbose:
                print(f"=== epoch:{self.current_epoch}, train acc:{train_acc!s}, test acc:{test_acc!s} ===")
        self.current_iter += 1

    def train(self) -> None:
        """Train for `epochs` epochs, and take the accuracy on the test data.

        Raises
        ------
        TypeError, ValueError
            If data or parameters are not as described.
        KeyboardInterrupt
            On Ctrl-C; with compiled steps after a whole step.
        """
        compiled = _compiled_steps(self) if self.max_iter else None
        if compiled is None:  # where Ctrl-C ends a step as it does in the book
            for _ in range(self.max_iter):
                self.train_step()
        else:
            with DeferredInterrupt() as interrupt, compiled:
                for _ in range(self.max_iter):
                    self._train_step(compiled)
                    interrupt.check()
        accuracy = self.network.accuracy(self.x_test, self.t_test)
        if self.verbose:
            print("=============== Final Test Accuracy ===============")
            print(f"test acc:{accuracy!s}")


class _Rule(NamedTuple):
    """What an optimizer is to the engine."""

    numbers: tuple[str, ...]
    """Its attributes that have to be plain numbers."""
    moments: tuple[str, ...]
    """Its attributes that remember something, in the order of the engine's moments; "" for one that it has not."""
    optimizer: Callable[[Any], Optimizer]


_RULES: dict[Any, _Rule] = {
    optimizers.SGD: _Rule(("lr",), ("",), lambda _: Optimizer(MOMENTUM, 0.0)),
    optimizers.Momentum: _Rule(("lr", "momentum"), ("v",), lambda rule: Optimizer(MOMENTUM, float(rule.momentum))),
    optimizers.Nesterov: _Rule(("lr", "momentum"), ("v",), lambda rule: Optimizer(NESTEROV, float(rule.momentum))),
    # The engine's Adam with beta_1 = 0, whose first moment is the gradient, and is not asked for.
    optimizers.RMSprop: _Rule(("lr", "decay_rate"), ("", "h"),
                              lambda rule: Optimizer(ADAM, 0.0, float(rule.decay_rate), 1e-7)),
    optimizers.Adam: _Rule(("lr", "beta1", "beta2", "iter"), ("m", "v"),
                           lambda rule: Optimizer(ADAM, float(rule.beta1), float(rule.beta2), 1e-7))}

_METHODS = ("gradient", "loss", "accuracy", "predict")
_OWN = {kind: {name: getattr(kind, name) for name in _METHODS} for kind in (SigmoidNet, ReluNet)}
_UPDATES = {kind: kind.update for kind in _RULES}
_TRAIN_STEP = Trainer.train_step
"""Functions as they were when this was imported: another one in the place of theirs is somebody's own."""


def _compiled_steps(trainer: Trainer) -> _CompiledSteps | None:
    """The compiled steps of a Trainer, or None if they have to go through Python; nothing is changed."""
    network, optimizer = trainer.network, trainer.optimizer
    kind, rule = type(network), _RULES.get(type(optimizer))
    if type(trainer) is not Trainer or Trainer.train_step is not _TRAIN_STEP or "train_step" in vars(trainer):
        return None
    if rule is None or kind not in _OWN:
        return None
    if any(getattr(kind, name) is not own or name in vars(network) for name, own in _OWN[kind].items()):
        return None
    if type(optimizer).update is not _UPDATES[type(optimizer)] or "update" in vars(optimizer):
        return None
    if isinstance(network, ReluNet) and not network._are_ours():
        return None
    params, layers = network.params, network._checked()
    names = ("W1", "b1", "W2", "b2")
    arrays = [array for layer in layers for array in layer]
    if tuple(params) != names or overlap(arrays):
        return None
    if any(network._trained()[name] is not params[name] or not np.may_share_memory(params[name], array)
           for name, array in zip(names, arrays, strict=True)):
        return None
    if any(type(getattr(optimizer, name)) not in (int, float, np.float64) for name in rule.numbers):
        return None
    for name in filter(None, rule.moments):
        known = getattr(optimizer, name)
        if known is not None and {key: np.shape(value) for key, value in known.items()} != {
                key: value.shape for key, value in params.items()}:
            return None
    X = checks.samples(trainer.x_train, "x_train", columns=len(layers[0][0]), dtype=np.dtype(np.float64))
    y = labels_of(trainer.t_train, len(X), layers[-1][0].shape[1])
    if y is None:
        return None
    checks.checked_finite(X, "x_train", np.dtype(np.float64))
    return _CompiledSteps(trainer, rule, checks.writable(X), y)


class _CompiledSteps(contextlib.AbstractContextManager[None]):
    """The steps of one `Trainer.train`; while it is entered, the parameters are trained in panels.

    The book's loss is taken after each update, so each step is a run of its own, and is written back.
    """

    def __init__(self, trainer: Trainer, rule: _Rule, X: NDArray[Any], y: NDArray[np.int64]) -> None:
        self._network, self._optimizer, self._rule = trainer.network, trainer.optimizer, rule
        self._X, self._y = X, y
        method = self._network.activation, "softmax", rule.optimizer(self._optimizer)
        self._session = Session(trainer.batch_size, *method)
        self._earlier = self._session.losses
        prepare(np.dtype(np.float64), scores=False, method=method)  # here, where Ctrl-C still works at once

    def __enter__(self) -> None:
        """Pack the parameters and what the optimizer remembers of them."""
        layers, params, moments = self._network._checked(), self._network.params, []
        for name in self._rule.moments:
            known = (getattr(self._optimizer, name) if name else None) or {}
            W1, b1, W2, b2 = (np.asarray(known.get(key, np.zeros(array.shape)), np.float64)
                              for key, array in params.items())
            moment: list[Layer] = [(W1, b1.reshape(-1)), (W2, b2.reshape(-1))]
            moments.append(moment)
        self._session.pack(layers, moments)

    def take(self, chosen: NDArray[np.intp]) -> None:
        """Take a step with these samples."""
        optimizer = self._optimizer
        rate = float(optimizer.lr)
        if isinstance(optimizer, optimizers.Adam):
            t = optimizer.iter + 1
            rate *= float(np.sqrt(1.0 - optimizer.beta2**t) / (1.0 - optimizer.beta1**t))
        self._session.run(self._X, self._y, chosen[np.newaxis], rate, 0.0)
        self._count()
        self._session.store()

    def _count(self) -> None:
        """Have Adam count the last run, unless it has been counted, or its step was not taken.

        An exception, of Ctrl-C or a time limit, can come between a run and whatever follows it.
        """
        if self._session.has_run_since(self._earlier):
            self._earlier = self._session.losses
            if isinstance(self._optimizer, optimizers.Adam):
                self._optimizer.iter += 1

    def __exit__(self, *exception: object) -> None:
        """Leave, however it ends, with what was learned in `params`, and remembered by the optimizer."""
        self._count()
        for name, moment in zip(self._rule.moments, self._session.release(), strict=True):
            if name:
                arrays = [array for layer in moment for array in layer]
                setattr(self._optimizer, name, {key: array.reshape(parameter.shape) for (key, parameter), array
                                                in zip(self._network.params.items(), arrays, strict=True)})
