"""The course's Solver: minibatches, an update rule, accuracies at the end of each epoch, the best parameters kept.

With a network of :mod:`fastnet.cs231n.classifiers.fc_net` and a built-in rule the steps are compiled
(:mod:`fastnet.cs231n.compiled`); with anybody's own model, rule or method each step goes through Python, as in the
course. Both ways give the same numbers, histories, draws and printed lines.
"""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from .. import checks
from ..network import passes
from ..training.interrupts import DeferredInterrupt
from ..training.loop import warn_of_divergence
from . import optim
from .compiled import CompiledSteps, chosen, compiled_steps, network_of

__all__ = ["Solver"]

_DATA = ("X_train", "y_train", "X_val", "y_val")

_DEFAULTS: dict[str, Any] = {
    "update_rule": "sgd", "optim_config": None, "lr_decay": 1.0, "batch_size": 100, "num_epochs": 10,
    "num_train_samples": 1000, "num_val_samples": None, "checkpoint_name": None, "print_every": 10, "verbose": True}


class Solver:
    """Train a classifier with minibatches, as the course's class of that name does.

    Parameters
    ----------
    model : object
        With ``params``, a dict of arrays, and ``loss(X)``, which returns scores, and ``loss(X, y)``, which returns the
        loss and a dict of gradients: a network of :mod:`fastnet.cs231n.classifiers.fc_net`, or anybody's own.
    data : dict
        ``X_train`` (N, ...), ``y_train`` (N,), ``X_val`` (M, ...) and ``y_val`` (M,); others are ignored.
    update_rule : str, default "sgd"
        Name of a function of :mod:`fastnet.cs231n.optim`.
    optim_config : dict, default {}
        Constants of the rule, such as ``learning_rate``; each parameter has a copy of its own, in `optim_configs`.
    lr_decay : float, default 1.0
        Factor on the learning rate at the end of each epoch.
    batch_size : int, default 100
        Samples in a minibatch, drawn with replacement.
    num_epochs : int, default 10
        An epoch is ``max(N // batch_size, 1)`` steps.
    num_train_samples, num_val_samples : int or None, default 1000 and None
        Accuracies are taken of so many samples, drawn with replacement, where there are more; None for all.
    checkpoint_name : path, optional
        At each accuracy check a pickle of the model and the histories is written to ``<name>_epoch_<number>.pkl``.
        (Who loads a pickle runs what is in it: load your own only.)
    print_every : int, default 10
        Iterations from one printed loss to the next.
    verbose : bool, default True
        Whether to print losses and accuracies.

    Attributes
    ----------
    loss_history : list
        The loss of each minibatch, before its update.
    train_acc_history, val_acc_history : list
        Accuracies after the first iteration, at the end of each epoch, and after the last iteration.
    best_val_acc : float
    best_params : dict
        Copies of the parameters with the best validation accuracy so far; after :meth:`train` they are the model's.
    epoch : int
    optim_configs : dict
        For each parameter the constants of its rule, and what the rule remembers.
    update_rule : function

    Raises
    ------
    ValueError
        If a keyword or the update rule is unknown, or an argument is not as described.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnet.cs231n.classifiers.fc_net import TwoLayerNet
    >>> from fastnet.cs231n.data_utils import get_digits_data
    >>> from fastnet.cs231n.solver import Solver
    >>> np.random.seed(0)
    >>> solver = Solver(TwoLayerNet(input_dim=64, weight_scale=1e-1), get_digits_data(), verbose=False,
    ...                 optim_config={"learning_rate": 0.5}, num_epochs=5)
    >>> solver.train()
    >>> bool(solver.best_val_acc > 0.9)
    True
    """

    def __init__(self, model: Any, data: Mapping[str, Any], **kwargs: Any) -> None:
        unknown = [name for name in kwargs if name not in _DEFAULTS]
        if unknown:
            raise ValueError(f"Unrecognized arguments {', '.join(map(repr, unknown))}: Solver takes "
                             f"{', '.join(_DEFAULTS)}")
        missing = [name for name in _DATA if name not in data]
        if missing:
            raise ValueError(f"data must have {', '.join(_DATA)}, got no {', '.join(missing)}")
        options = {**_DEFAULTS, **kwargs}
        self.model = model
        self.X_train, self.y_train, self.X_val, self.y_val = (data[name] for name in _DATA)
        rule = options["update_rule"]
        if not callable(rule):
            rule = getattr(optim, rule, None) if isinstance(rule, str) else None
        if not callable(rule):
            raise ValueError(f"Invalid update_rule {checks.shortened(options['update_rule'])}: it must be the name of "
                             f"a function of {optim.__name__}, such as {', '.join(optim.__all__)}")
        self.update_rule = rule
        config = options["optim_config"]
        if config is not None and not isinstance(config, Mapping):
            raise ValueError(f"optim_config must be a dict, got {checks.shortened(config)}")
        self.optim_config = {} if config is None else config
        checks.number(options["lr_decay"], "lr_decay")
        self.lr_decay = options["lr_decay"]  # as it is: NumPy's own numbers make float64 of float32
        self.batch_size = checks.integer(options["batch_size"], "batch_size", minimum=1)
        self.num_epochs = checks.integer(options["num_epochs"], "num_epochs", minimum=0)
        self.num_train_samples, self.num_val_samples = (
            None if options[name] is None else checks.integer(options[name], name, minimum=1)
            for name in ("num_train_samples", "num_val_samples"))
        self.checkpoint_name = options["checkpoint_name"]
        if self.checkpoint_name is not None:
            checks.path(self.checkpoint_name, "checkpoint_name")
        self.print_every = checks.integer(options["print_every"], "print_every", minimum=1)
        self.verbose = options["verbose"]
        self._reset()

    def _reset(self) -> None:
        """Begin anew: histories, the best parameters, and what the update rule remembers."""
        self.epoch = 0
        self.best_val_acc: Any = 0
        self.best_params: dict[str, Any] = {}
        self.loss_history: list[Any] = []
        self.train_acc_history: list[Any] = []
        self.val_acc_history: list[Any] = []
        self.optim_configs: dict[str, dict[str, Any]] = {name: dict(self.optim_config) for name in self.model.params}

    def _step(self) -> None:
        """Take a step with one minibatch, in Python."""
        batch = np.random.choice(self.X_train.shape[0], self.batch_size)
        loss, grads = self.model.loss(self.X_train[batch], self.y_train[batch])
        self.loss_history.append(loss)
        for name, w in self.model.params.items():
            self.model.params[name], self.optim_configs[name] = self.update_rule(
                w, grads[name], self.optim_configs[name])

    def _save_checkpoint(self) -> None:
        if self.checkpoint_name is None:
            return
        names = ("model", "update_rule", "lr_decay", "optim_config", "batch_size", "num_train_samples",
                 "num_val_samples", "epoch", "loss_history", "train_acc_history", "val_acc_history")
        filename = f"{self.checkpoint_name}_epoch_{self.epoch}.pkl"
        if self.verbose:
            print(f'Saving checkpoint to "{filename}"')
        with open(filename, "wb") as file:
            pickle.dump({name: getattr(self, name) for name in names}, file)

    def check_accuracy(self, X: Any, y: Any, num_samples: int | None = None, batch_size: int = 100) -> Any:
        """Return the fraction of samples whose largest score is at their label.

        Parameters
        ----------
        X : array (N, ...)
        y : array (N,)
        num_samples : int, optional
            If there are more, so many of them, drawn with replacement from NumPy's global generator.
        batch_size : int, default 100
            So many samples are given to the model at a time, if it is not one of fastnet's.

        Returns
        -------
        accuracy : numpy.float64
        """
        indices = chosen(X.shape[0], num_samples)
        if indices is not None:
            X, y = X[indices], y[indices]
        N = X.shape[0]
        network = network_of(self.model)
        if network is not None:
            layers, columns, dtype = network
            _, found = passes.infer(layers, checks.samples(X, "X", columns=columns, dtype=dtype), region=False)
            return np.mean(found == y)
        labels = [np.argmax(self.model.loss(X[start:start + batch_size]), axis=1) for start in range(0, N, batch_size)]
        return np.mean(np.hstack(labels) == y)

    def train(self) -> None:
        """Train for `num_epochs` epochs; then put the best parameters in place.

        Called again it goes on, from the best parameters, with what the update rule remembers.

        Raises
        ------
        TypeError, ValueError
            If data, parameters or an attribute are not as described.
        KeyboardInterrupt
            On Ctrl-C; with compiled steps after a whole step, with histories and `model.params` as they are then.

        Warns
        -----
        DivergenceWarning
            Once, with the iteration, when a loss is no longer finite; training goes on. With compiled steps only.
        """
        steps_per_epoch = max(self.X_train.shape[0] // self.batch_size, 1)
        steps = self.num_epochs * steps_per_epoch
        compiled = compiled_steps(self, steps_per_epoch) if steps and _has_own_methods(self) else None
        if compiled is None:  # where Ctrl-C ends a step as it does in the course
            self._train(None, lambda: None, steps, steps_per_epoch)
        else:
            with DeferredInterrupt() as interrupt, compiled:
                self._train(compiled, interrupt.check, steps, steps_per_epoch)
        self.model.params = self.best_params

    def _train(self, compiled: CompiledSteps | None, interrupted: Callable[[], None], steps: int,
               steps_per_epoch: int) -> None:
        """Take so many steps, with all that comes between them; `interrupted` is called now and then, and may raise."""
        t, diverged = 0, False
        while t < steps:
            done = t + self._take_steps(compiled, _ends(t, steps, steps_per_epoch))
            ends = [*_ends(t, done, steps_per_epoch)]
            noted = [] if compiled is None else self._note_checks(compiled, ends, steps_per_epoch)
            before = len(self.loss_history) - done  # of an earlier training
            for number, stop in enumerate(ends if ends[-1:] == [done] else [*ends, done]):
                if self.verbose:
                    for iteration in range(-(-t // self.print_every) * self.print_every, stop, self.print_every):
                        print(f"(Iteration {iteration + 1} / {steps}) loss: {self.loss_history[before + iteration]:f}")
                if compiled is not None and not diverged:
                    diverged = warn_of_divergence(self.loss_history[before + t:before + stop], t + 1)
                t = stop
                if number < len(noted):
                    self._tell_check(*noted[number])
                elif number < len(ends):
                    self._check(compiled, epoch_end=t % steps_per_epoch == 0)
            interrupted()

    def _take_steps(self, compiled: CompiledSteps | None, ends: Iterable[int]) -> int:
        """Take some steps, not past one of those that accuracies come after unless they are taken; return how many."""
        if compiled is None:
            self._step()
            return 1
        return compiled.take(ends)

    def _note_checks(self, compiled: CompiledSteps, ends: list[int],
                     steps_per_epoch: int) -> list[tuple[int, Any, Any]]:
        """Note the accuracies that the last run has taken, and the best parameters, before anything is said of them.

        Whoever raises an exception while it is said finds all of the run in the histories. Returns, for each check, the
        epoch and the two accuracies.
        """
        noted = []
        best = self.best_val_acc
        for end, (train_acc, val_acc) in zip(ends, compiled.accuracies, strict=False):
            self._note_check(train_acc, val_acc, end % steps_per_epoch == 0)
            noted.append((self.epoch, train_acc, val_acc))
            best = val_acc if val_acc > best else best
        if best > self.best_val_acc:
            params = compiled.best_params()
            self.best_val_acc, self.best_params = best, params
        if noted and self.checkpoint_name is not None:
            compiled.store()
        return noted

    def _note_check(self, train_acc: Any, val_acc: Any, epoch_end: bool) -> None:
        """Note the accuracies of a check; `epoch_end`: whether it is the end of an epoch, which is noted, too."""
        if epoch_end:
            self._begin_epoch()
        self.train_acc_history.append(train_acc)
        self.val_acc_history.append(val_acc)

    def _begin_epoch(self) -> None:
        """Count an epoch; the next one has a learning rate of its own."""
        self.epoch += 1
        for config in self.optim_configs.values():
            config["learning_rate"] *= self.lr_decay

    def _tell_check(self, epoch: int, train_acc: Any, val_acc: Any) -> None:
        """Write the checkpoint, and the line, of a check that has been noted."""
        self._save_checkpoint()
        if self.verbose:
            print(f"(Epoch {epoch} / {self.num_epochs}) train acc: {train_acc:f}; val_acc: {val_acc:f}")

    def _check(self, compiled: CompiledSteps | None, epoch_end: bool) -> None:
        """Take the accuracies that come after the first iteration, and after the last one of an epoch."""
        if epoch_end:
            self._begin_epoch()
        if compiled is not None:
            compiled.store()
        train_acc = self.check_accuracy(self.X_train, self.y_train, num_samples=self.num_train_samples)
        val_acc = self.check_accuracy(self.X_val, self.y_val, num_samples=self.num_val_samples)
        self._note_check(train_acc, val_acc, epoch_end=False)
        if val_acc > self.best_val_acc:
            params = {name: array.copy() for name, array in self.model.params.items()}
            self.best_val_acc, self.best_params = val_acc, params
        self._tell_check(self.epoch, train_acc, val_acc)


def _ends(t: int, last: int, steps_per_epoch: int) -> Iterable[int]:
    """After which steps accuracies are due, of those after step t, up to step `last`: the first, and epochs' last."""
    epoch_ends = range((t // steps_per_epoch + 1) * steps_per_epoch, last + 1, steps_per_epoch)
    return itertools.chain((1,), epoch_ends) if t == 0 and steps_per_epoch > 1 else epoch_ends


_OWN = {name: getattr(Solver, name) for name in (
    "_step", "_reset", "check_accuracy", "_save_checkpoint", "_take_steps", "_note_checks", "_note_check",
    "_begin_epoch", "_tell_check", "_check")}
"""Methods as they were when this was imported: another one in the place of theirs is somebody's own."""


def _has_own_methods(solver: Solver) -> bool:
    """Whether nobody has put a function of his own in the place of a method."""
    return not any(getattr(type(solver), name) is not own or name in vars(solver) for name, own in _OWN.items())
