"""Which published edition a user's class is of, and both classes with one face, so that one comparison is for all.

That face is the one of :class:`fastnet.TwoLayerNet`: ``params``, ``loss(X, y, reg)`` and ``train(X, y, X_val, y_val,
learning_rate, ...)``. Classes that are trained by somebody else, the course's by its Solver and the book's by its
Trainer, get one that has fastnet's Solver or Trainer do it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..cs231n.classifiers import fc_net
from ..cs231n.solver import Solver
from ..dlfs.ch04.two_layer_net import TwoLayerNet as Chapter4
from ..dlfs.ch05.two_layer_net import TwoLayerNet as Chapter5
from ..dlfs.common.trainer import Trainer
from ..model import TwoLayerNet
from .anatomy import BOOK, SIGMOID, Parts

__all__ = ["Edition", "edition_of"]

Sizes = tuple[int, int, int]
DType = np.dtype[Any]


class Edition(NamedTuple):
    """A published class: what takes its place, and how the two are made."""

    name: str
    """The class of ours, as it is imported."""
    theirs: Callable[[Callable[..., Any], Sizes, float, DType], Any]
    """Makes a network of the user's class."""
    ours: Callable[[Sizes, float, DType, str], Any]
    """Makes one of ours, with a form of the penalty where it has several."""
    looks: Mapping[str, Callable[[Any, NDArray[Any], NDArray[Any]], Any]]
    """What else such a network can be asked, of X and y, by the names that the parts of the anatomy have."""
    penalized: bool = True
    """Whether there is a penalty."""
    parts: Parts = MappingProxyType({})
    """Parts of the anatomy that are not those of the old edition."""
    has_loop: bool = False
    """Whether the class has a loop of its own, in `train`."""


class _Trained:
    """A network that others train, with the face of the old edition."""

    def __init__(self, net: Any) -> None:
        self.net = net

    @property
    def params(self) -> Any:
        """The parameters of the network."""
        return getattr(self.net, "params", None)


class _SolverNet(_Trained):
    """A network of the course's editions with a Solver."""

    def loss(self, X: NDArray[Any], y: NDArray[Any] | None = None, reg: float = 0.0) -> Any:
        """Loss and gradients, with the penalty that the network has as an attribute; scores without labels."""
        self.net.reg = reg
        return self.net.loss(X, y) if y is not None else self.net.loss(X)

    def train(self, X: NDArray[Any], y: NDArray[Any], X_val: NDArray[Any], y_val: NDArray[Any], *,
              learning_rate: float, learning_rate_decay: float, reg: float, num_iters: int, batch_size: int,
              verbose: bool) -> dict[str, Any]:
        """Train for about so many iterations, in whole epochs."""
        self.net.reg = reg
        solver = Solver(self.net, {"X_train": X, "y_train": y, "X_val": X_val, "y_val": y_val}, verbose=verbose,
                        optim_config={"learning_rate": learning_rate}, lr_decay=learning_rate_decay,
                        batch_size=batch_size, num_epochs=max(round(num_iters / max(len(X) // batch_size, 1)), 1))
        last = self.net.params
        solver.train()
        if not self.net.params:  # no accuracy was above 0, so that the Solver kept none
            self.net.params = last
        return {name: getattr(solver, name) for name in ("loss_history", "train_acc_history", "val_acc_history")}


class _TrainerNet(_Trained):
    """A network of the book."""

    def rows(self, y: NDArray[Any]) -> NDArray[Any]:
        """One-hot rows of labels, as the book has them."""
        return np.eye(len(np.ravel(self.net.params["b2"])))[y]

    def loss(self, X: NDArray[Any], y: NDArray[Any], reg: float) -> Any:  # noqa: ARG002 (the book has no penalty)
        """Loss and gradients, of one-hot rows."""
        return self.net.loss(X, self.rows(y)), self.net.gradient(X, self.rows(y))

    def train(self, X: NDArray[Any], y: NDArray[Any], X_val: NDArray[Any], y_val: NDArray[Any], *,
              learning_rate: float, num_iters: int, batch_size: int, verbose: bool, **_: Any) -> dict[str, Any]:
        """Train for so many iterations, without decay and penalty."""
        trainer = Trainer(self.net, X, self.rows(y), X_val, self.rows(y_val), mini_batch_size=batch_size,
                          optimizer_param={"lr": learning_rate}, verbose=verbose)
        trainer.max_iter = num_iters
        trainer.train()
        return {"loss_history": trainer.train_loss_list, "train_acc_history": trainer.train_acc_list,
                "val_acc_history": trainer.test_acc_list}


def _fully_connected(kind: Callable[..., Any], sizes: Sizes, std: float, dtype: DType) -> _SolverNet:
    D, H, C = sizes
    return _SolverNet(kind([H], input_dim=D, num_classes=C, weight_scale=std, dtype=dtype.type))


_SCORES: dict[str, Callable[[Any, NDArray[Any], NDArray[Any]], Any]] = {"shown": lambda net, X, _: net.loss(X)}
_LABELS: dict[str, Callable[[Any, NDArray[Any], NDArray[Any]], Any]] = {"labels": lambda net, X, _: net.predict(X)}
_BOOK: dict[str, Callable[[Any, NDArray[Any], NDArray[Any]], Any]] = {
    "shown": lambda net, X, _: net.net.predict(X), "accuracy": lambda net, X, y: net.net.accuracy(X, net.rows(y))}

_OLD = Edition("fastnet.TwoLayerNet", lambda kind, sizes, std, _: kind(*sizes, std),
               lambda sizes, std, dtype, l2: TwoLayerNet(*sizes, std, dtype=dtype, l2=l2), {**_SCORES, **_LABELS},
               has_loop=True)
_FC_NET = Edition("fastnet.cs231n.classifiers.fc_net.TwoLayerNet",
                  lambda kind, sizes, std, _: _SolverNet(kind(*sizes, std)),
                  lambda sizes, std, _, __: _SolverNet(fc_net.TwoLayerNet(*sizes, std)), _SCORES)
_FULLY_CONNECTED = Edition("fastnet.cs231n.classifiers.fc_net.FullyConnectedNet", _fully_connected,
                           lambda sizes, std, dtype, _: _fully_connected(fc_net.FullyConnectedNet, sizes, std, dtype),
                           _SCORES)
_CHAPTER_4 = Edition("fastnet.dlfs.ch04.two_layer_net.TwoLayerNet",
                     lambda kind, sizes, std, _: _TrainerNet(kind(*sizes, std)),
                     lambda sizes, std, _, __: _TrainerNet(Chapter4(*sizes, std)), _BOOK, penalized=False,
                     parts=SIGMOID)
_CHAPTER_5 = Edition("fastnet.dlfs.ch05.two_layer_net.TwoLayerNet", _CHAPTER_4.theirs,
                     lambda sizes, std, _, __: _TrainerNet(Chapter5(*sizes, std)), _BOOK, penalized=False, parts=BOOK)


def edition_of(their_class: Callable[..., Any]) -> Edition:
    """Return the edition that a class is of, by what its constructor takes and what it has; the old one if in doubt."""
    try:
        keywords = set(inspect.signature(their_class).parameters)
    except (TypeError, ValueError):
        keywords = set()
    has = {name for name in ("train", "gradient", "accuracy") if callable(getattr(their_class, name, None))}
    if "hidden_dims" in keywords:
        return _FULLY_CONNECTED
    if "train" not in has and keywords & {"input_dim", "num_classes", "weight_scale"}:
        return _FC_NET
    if "train" in has or not {"gradient", "accuracy"} <= has:
        return _OLD
    state = np.random.get_state()
    try:
        net = their_class(2, 2, 2)
    except Exception as error:
        error.add_note("the constructor, called by fastnet.verify, raised this")
        raise
    finally:
        np.random.set_state(state)
    return _CHAPTER_5 if hasattr(net, "layers") else _CHAPTER_4
