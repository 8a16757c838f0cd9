"""The steps of a Solver in compiled code: which ones can be, and what they change.

A Solver's steps are compiled where nobody has put a function of his own in the way, and where all parameters have the
same constants, as after the constructor. Else each step goes through Python.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import checks
from ..aliases import Layer
from ..blocks.optimizers import ADAM, MOMENTUM, Optimizer
from ..engine.workspace import Accuracies
from ..llvm.memory import overlap
from ..training.loop import checks_of_a_run, decayed_rates, due_mask, prepare, work_of_check
from ..training.minibatches import draw
from ..training.session import Session
from . import optim
from .classifiers import fc_net

__all__ = ["CompiledSteps", "chosen", "compiled_steps", "network_of"]


class Rule(NamedTuple):
    """What a built-in update rule has in its config, and what it is to the engine."""

    constants: dict[str, float]
    """Names of its constants and their defaults; the learning rate is the first."""
    moments: tuple[str, ...]
    """Names of what it remembers for each element, in the order of the engine's moments; "" for one that it has not."""
    optimizer: Callable[[dict[str, float]], Optimizer | None]
    """Makes of the constants what the engine needs."""


_RULES: dict[Any, Rule] = {
    optim.sgd: Rule({"learning_rate": 1e-2}, (), lambda _: None),
    optim.sgd_momentum: Rule({"learning_rate": 1e-2, "momentum": 0.9}, ("velocity",),
                             lambda config: Optimizer(MOMENTUM, config["momentum"])),
    # The engine's Adam with beta_1 = 0, whose first moment is the gradient, and is not asked for.
    optim.rmsprop: Rule({"learning_rate": 1e-2, "decay_rate": 0.99, "epsilon": 1e-8}, ("", "cache"),
                        lambda config: Optimizer(ADAM, 0.0, config["decay_rate"], config["epsilon"])),
    optim.adam: Rule({"learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}, ("m", "v"),
                     lambda config: Optimizer(ADAM, config["beta1"], config["beta2"], config["epsilon"]))}
"""The functions as they were when this was imported: another one in the place of theirs is somebody's own."""

_LOSSES = {fc_net.TwoLayerNet: fc_net.TwoLayerNet.loss, fc_net.FullyConnectedNet: fc_net.FullyConnectedNet.loss}
"""The same of the networks."""


def network_of(model: Any) -> tuple[list[Layer], int, np.dtype[Any]] | None:
    """Return the layers of a network of ours, its inputs and its dtype; None if its `loss` may do anything else.

    As it does where samples are rounded to one dtype, and parameters have become another one.
    """
    kind = type(model)
    if kind not in _LOSSES or kind.loss is not _LOSSES[kind] or "loss" in vars(model):
        return None
    if not getattr(model, "is_affine", True):
        return None
    layers, _ = model._checked()
    dtype = layers[0][0].dtype
    return (layers, len(layers[0][0]), dtype) if dtype == model._dtype else None


def compiled_steps(solver: Any, steps_per_epoch: int) -> CompiledSteps | None:
    """Return the compiled steps of a Solver with its own methods, or None if they have to go through Python.

    Nothing is changed.

    Raises
    ------
    TypeError, ValueError
        If the data are not what the network can be trained with.
    """
    rule = next((rule for function, rule in _RULES.items() if function is solver.update_rule), None)
    network = network_of(solver.model)
    if rule is None or network is None:
        return None
    layers, columns, dtype = network
    config = _common_config(solver, rule, dtype)
    if config is None or not _in_place(solver.model.params, layers):
        return None
    X = checks.samples(solver.X_train, "X_train", columns=columns, dtype=dtype)
    y = checks.labels(solver.y_train, "y_train", samples=len(X), classes=layers[-1][0].shape[1])
    X_val = checks.samples(solver.X_val, "X_val", columns=columns, dtype=dtype)
    if np.shape(solver.y_val) != (len(X_val),):
        raise ValueError(f"y_val must have one label for each of the {len(X_val)} samples of X_val, got shape "
                         f"{np.shape(solver.y_val)}")
    checks.checked_finite(X, "X_train", dtype)  # last, as it reads all of the data
    checks.checked_finite(X_val, "X_val", dtype)
    data = Data(checks.writable(X), y, X_val, _as_labels(solver.y_val))
    return CompiledSteps(solver, rule, config, data, dtype, steps_per_epoch)


def _as_labels(y: Any) -> NDArray[np.int64] | None:
    """Labels to compare with, which may be of no class; None if they are no integers."""
    labels = np.asarray(y)
    return labels.astype(np.int64) if labels.dtype.kind in "iu" else None


def _in_place(params: dict[str, Any], layers: list[Layer]) -> bool:
    """Whether the parameters are these layers, in memory that no two of them share, and nothing else."""
    arrays, names = [array for layer in layers for array in layer], _names(len(layers))
    return (sorted(params) == sorted(names)
            and all(np.may_share_memory(params[name], array) and params[name].flags.writeable
                    for name, array in zip(names, arrays, strict=True))
            and not overlap(arrays))


def _names(depth: int) -> list[str]:
    """The names of the parameters of so many layers, in the order in which layers have them."""
    return [f"{letter}{number}" for number in range(1, depth + 1) for letter in "Wb"]


def _common_config(solver: Any, rule: Rule, dtype: np.dtype[Any]) -> dict[str, float] | None:
    """The constants that all parameters have, and "t" where steps are counted; None where they have not the same."""
    configs = list(solver.optim_configs.values())
    if solver.optim_configs.keys() != solver.model.params.keys() or not all(type(config) is dict for config in configs):
        return None
    names = {*rule.constants, *({"t"} if "beta2" in rule.constants else ())}  # Adam's counts its steps
    common: dict[str, float] = {}
    if not _is_plain(solver.lr_decay, dtype):
        return None
    for name in names:
        values = [config.get(name, rule.constants.get(name, 0)) for config in configs]
        if not all(_is_plain(value, dtype) for value in values):
            return None
        common[name] = float(values[0])
        if not np.isfinite(common[name]) or any(value != values[0] for value in values):
            return None
    for key, config in solver.optim_configs.items():
        if any(name in config and not _is_moment(config[name], solver.model.params[key]) for name in rule.moments):
            return None
    return common


def _is_plain(value: Any, dtype: np.dtype[Any]) -> bool:
    """Whether a number leaves the parameters' dtype as it is: NumPy's own make float64 of float32, in Python."""
    return type(value) in (int, float) or (type(value) is np.float64 and dtype == np.float64)


def _is_moment(moment: Any, parameter: NDArray[Any]) -> bool:
    return type(moment) is np.ndarray and moment.shape == parameter.shape and moment.dtype == parameter.dtype


class Data(NamedTuple):
    """The data of a Solver, looked at."""

    X: NDArray[Any]
    """Samples to train with, (N, D), as they are."""
    y: NDArray[np.int64]
    """Their labels, (N,)."""
    X_val: NDArray[Any]
    """Samples to validate with, (M, D)."""
    y_val: NDArray[np.int64] | None
    """Their labels, (M,), which may be of no class; None where they are no integers."""


def _some(samples: int, most: int | None) -> int | None:
    """Of how many samples an accuracy is taken, if not of all."""
    return None if most is None or most >= samples else most


def chosen(samples: int, most: int | None) -> NDArray[np.intp] | None:
    """Draw the indices of the samples that an accuracy is taken of; None for all, if there are at most so many."""
    some = _some(samples, most)
    return None if some is None else draw(np.random, samples, some)


class CompiledSteps(contextlib.AbstractContextManager[None]):
    """The steps of one `Solver.train`; while it is entered, the parameters are trained in panels.

    Attributes
    ----------
    accuracies : array (checks, 2)
        Of training and of validation samples, those that the last call of :meth:`take` has taken: in compiled code,
        with plain SGD, where they are not too much work to wait for.
    """

    def __init__(self, solver: Any, rule: Rule, config: dict[str, float], data: Data, dtype: np.dtype[Any],
                 steps_per_epoch: int) -> None:
        self._solver, self._rule, self._config, self._dtype, self._data = solver, rule, config, dtype, data
        self._t, self._taken = int(config.get("t", 0)), len(solver.loss_history)
        self._batch_size = checks.integer(solver.batch_size, "batch_size", minimum=1, maximum=2**48)
        self._penalty = solver.model._penalty()
        optimizer = rule.optimizer(config)
        method = None if optimizer is None else ("relu", "softmax", optimizer)
        self.accuracies = np.empty((0, 2))
        layers, _ = solver.model._checked()
        work = self._check_work(layers)
        activation, head, _ = method or (None, None, None)
        self._steps_per_epoch = steps_per_epoch
        self._session = Session(self._batch_size, activation, head, optimizer,
                                other_work=work / self._steps_per_epoch)
        self._earlier, self._told = self._session.losses, self._taken
        self._most_checks = 0
        if method is None and data.y_val is not None:
            self._most_checks = checks_of_a_run(layers, work, self._batch_size, None)
        if solver.checkpoint_name is not None or _some(len(data.X_val), solver.num_val_samples):
            self._most_checks = min(self._most_checks, 1)  # a file, or a draw of its own, comes after each
        if 0 in (solver.num_train_samples, solver.num_val_samples):
            self._most_checks = 0  # which has no accuracy
        prepare(dtype, scores=not self._most_checks, method=method)  # here, where Ctrl-C still works at once

    def __enter__(self) -> None:
        """Pack the parameters; the config of each gets the constants that it has not, as from its rule."""
        solver, names = self._solver, self._rule.constants
        params = solver.model.params
        for config in solver.optim_configs.values():
            for name, value in names.items():
                config.setdefault(name, value)
        if self._rule.moments:  # these rules return new arrays, and leave the old ones as they were
            for name in params:
                params[name] = params[name].copy()
        layers, _ = solver.model._checked()
        moments: list[list[Layer]] = []
        for moment in self._rule.moments:
            found = [self._moment(moment, key) for key in _names(len(layers))]
            moments.append([(W, b.reshape(-1)) for W, b in zip(found[::2], found[1::2], strict=True)])
        self._session.pack(layers, moments)

    def _moment(self, moment: str, key: str) -> NDArray[Any]:
        """What a rule remembers of a parameter."""
        found = self._solver.optim_configs[key].get(moment) if moment else None
        parameter = self._solver.model.params[key]
        return np.zeros(parameter.shape, parameter.dtype) if found is None else found

    @property
    def _steps_taken(self) -> int:
        """How many there are so far: as many as losses, which a single call of C adds to their history."""
        return len(self._solver.loss_history) - self._taken

    def _check_work(self, layers: list[Layer]) -> int:
        """Multiply-adds of the two accuracies at the end of an epoch."""
        data, solver = self._data, self._solver
        return sum(work_of_check(layers, X, len(X) if most is None else min(most, len(X)))
                   for X, most in ((data.X, solver.num_train_samples), (data.X_val, solver.num_val_samples)))

    def take(self, ends: Iterable[int]) -> int:
        """Take some steps, beyond several accuracy checks where these are made in between; return how many.

        Their losses go into `loss_history`.

        Parameters
        ----------
        ends : iterable of int
            After how many steps of this training accuracies are due: those that are still to come, ascending.
        """
        taken, room = self._steps_taken, self._session.steps
        steps, due = 0, []
        for end in itertools.islice(ends, max(self._most_checks, 1)):
            steps = min(end - taken, room)
            if end - taken > room:
                break
            due.append(steps - 1)
        rate = next(iter(self._solver.optim_configs.values()))["learning_rate"]
        epoch_ends = [step for step in due if (taken + step + 1) % self._steps_per_epoch == 0]
        rates, epsilons = self._corrected(decayed_rates(float(rate), float(self._solver.lr_decay), epoch_ends, steps))
        batches, accuracies = self._draw(steps, due if self._most_checks else [])
        self._earlier, self._told = self._session.losses, len(self._solver.loss_history)
        results = self._session.run(self._data.X, self._data.y, batches, rates, self._penalty, accuracies=accuracies,
                                    epsilons=epsilons)
        self.accuracies = results.accuracies
        self._tell()
        return steps

    def _draw(self, steps: int, due: list[int]) -> tuple[NDArray[np.intp], Accuracies | None]:
        """Draw minibatches, and the samples of the accuracies after those steps that are due."""
        X, _, X_val, y_val = self._data
        samples, batch_size = len(X), self._batch_size
        drawn = (_some(samples, self._solver.num_train_samples) or 0) if due else 0
        # In the order of the course: the minibatches until a check, its training samples, the next minibatches.
        indices = draw(np.random, samples, steps * batch_size + len(due) * drawn)
        bounds = [(step + 1) * batch_size + (check + after) * drawn
                  for check, step in enumerate(due) for after in range(2)]
        parts = np.split(indices, bounds)
        batches = np.concatenate(parts[::2]).reshape(steps, batch_size)
        if not due:
            return batches, None
        of_training = (np.concatenate(parts[1::2]).reshape(len(due), drawn) if drawn else
                       np.tile(np.arange(samples), (len(due), 1)))
        of_validation = chosen(len(X_val), self._solver.num_val_samples)
        assert y_val is not None, "there are no labels to compare with"
        if of_validation is not None:
            X_val, y_val = X_val[of_validation], y_val[of_validation]
        return batches, Accuracies(due_mask(due, steps), X_val, y_val, of_training, self._hits_to_beat(len(y_val)))

    def _hits_to_beat(self, samples: int) -> int:
        """How many of the validation samples may be right at most for an accuracy that is not the best so far."""
        return samples - int(np.count_nonzero(np.arange(samples + 1) / samples > self._solver.best_val_acc))

    def best_params(self) -> dict[str, NDArray[Any]]:
        """Return the parameters of the best check of the last run, in new arrays."""
        best = {name: np.empty(array.shape, array.dtype) for name, array in self._solver.model.params.items()}
        arrays = [best[name] for name in _names(len(best) // 2)]
        self._session.store_best([(W, b.reshape(-1)) for W, b in zip(arrays[::2], arrays[1::2], strict=True)])
        return best

    def _tell(self) -> None:
        """Add the losses of the last run to their history, unless that has been done, or no step of it was taken.

        An exception, of Ctrl-C or a time limit, can come between a run and whatever follows it.
        """
        history = self._solver.loss_history
        if len(history) == self._told and self._session.has_run_since(self._earlier):
            history.extend(self._session.losses.astype(self._dtype, copy=False))

    def _corrected(self, rates: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        """The learning rates of the next steps as the engine wants them, and what Adam adds to its root.

        Adam corrects its moments for the zeros that they began with. The engine's has both corrections in its rate, and
        so in epsilon, too.
        """
        if "beta2" not in self._config:
            return rates, None
        first = self._t + self._steps_taken + 1
        t = np.arange(first, first + len(rates))
        root = np.sqrt(1 - self._config["beta2"]**t)
        return rates * root / (1 - self._config["beta1"]**t), self._config["epsilon"] * root

    def store(self) -> None:
        """Bring the arrays in `model.params` up to date."""
        self._session.store()

    def __exit__(self, *exception: object) -> None:
        """Leave, however it ends, with what was learned in `model.params`, and remembered in `optim_configs`."""
        solver = self._solver
        self._tell()
        moments = self._session.release()
        keys = _names(len(solver.model.params) // 2)
        for name, moment in zip(self._rule.moments, moments, strict=True):
            arrays = [array for layer in moment for array in layer]
            for key, array in zip(keys if name else (), arrays, strict=False):
                solver.optim_configs[key][name] = array.reshape(solver.model.params[key].shape)
        if "t" in self._config:
            for config in solver.optim_configs.values():
                config["t"] = self._t + self._steps_taken
