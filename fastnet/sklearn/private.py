"""All that is known here of what scikit-learn keeps to itself, and the check that it is still so.

Versions 1.6 to 1.9 have been tried. Any version whose private methods have signatures that are known, and which keeps
its state under the same names, is taken: another one is refused when it is imported, with what was expected and what
came. No other file imports what is private to scikit-learn, or has a name of its own for it that is not here.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from typing import Any

import sklearn
from sklearn.neural_network import MLPClassifier, MLPRegressor

from ..aliases import Layer
from ..blocks.optimizers import ADAM, MOMENTUM, NESTEROV, Optimizer

try:
    from sklearn.neural_network._stochastic_optimizers import AdamOptimizer, SGDOptimizer
except ImportError:  # the check below says so
    AdamOptimizer = SGDOptimizer = None

try:
    from sklearn.utils._param_validation import StrOptions
except ImportError:
    StrOptions = None

__all__ = ["constraints", "counters", "has_sample_weight", "layer_sizes_of", "lbfgs_arguments", "make_optimizer",
           "method_of", "moments", "sample_weight_of", "set_moments", "update_no_improvement", "validate_parameters",
           "without_bar"]

_BUFFERS = ["activations", "deltas", "coef_grads", "intercept_grads", "layer_units", "incremental"]
_KNOWN = {
    "_fit": (["self", "X", "y", "sample_weight", "incremental"], ["self", "X", "y", "incremental"]),
    "_fit_stochastic": (["self", "X", "y", "sample_weight", *_BUFFERS], ["self", "X", "y", *_BUFFERS]),
    "_update_no_improvement_count": (
        ["self", "early_stopping", "X", "y", "sample_weight"], ["self", "early_stopping", "X_val", "y_val"]),
    "_backprop": (["self", "X", "y", "sample_weight", *_BUFFERS[:4]], ["self", "X", "y", *_BUFFERS[:4]]),
    "_forward_pass_fast": (["self", "X", "check_input"],),
    "_predict": (["self", "X", "check_input"],),
    "_fit_lbfgs": (["self", "X", "y", "sample_weight", *_BUFFERS[:-1]], ["self", "X", "y", *_BUFFERS[:-1]]),
    "_score": (["self", "X", "y", "sample_weight"], ["self", "X", "y"]),
    "_score_with_function": (
        ["self", "X", "y", "sample_weight", "score_function"], ["self", "X", "y", "score_function"]),
    "_validate_input": (["self", "X", "y", "incremental", "reset"],),
    "_validate_params": (["self"],),
}
_STATE = ("_best_coefs", "_best_intercepts", "_no_improvement_count", "_optimizer", "_random_state")
"""Attributes in which an estimator keeps its state; a classifier has its `_label_binarizer` besides."""


def _check() -> None:
    _check_methods()
    for cls, names in ((MLPClassifier, (*_STATE, "_label_binarizer")), (MLPRegressor, _STATE)):
        codes = (getattr(method, "__code__", None) for base in cls.__mro__ for method in vars(base).values())
        spoken_of = {name for code in codes if code is not None for name in code.co_names}
        missing = [name for name in names if name not in spoken_of]
        if not isinstance(getattr(cls, "_parameter_constraints", None), dict):
            missing.append("_parameter_constraints")
        if missing or StrOptions is None:
            raise ImportError(f"fastnet.sklearn knows scikit-learn 1.6 to 1.9, and not {sklearn.__version__}: "
                              f"{cls.__name__} has no {', '.join(missing) or 'StrOptions'}", name="fastnet.sklearn")


def _check_methods() -> None:
    for cls in (MLPClassifier, MLPRegressor):
        for name, known in _KNOWN.items():
            method = getattr(cls, name, None)
            found = None if method is None else list(inspect.signature(method).parameters)
            if found not in known or SGDOptimizer is None:
                raise ImportError(
                    f"fastnet.sklearn knows scikit-learn 1.6 to 1.9, and not {sklearn.__version__}: "
                    f"{cls.__name__}.{name} was expected to take {' or '.join(map(str, known))}, it takes {found}",
                    name="fastnet.sklearn")


_check()

has_sample_weight = "sample_weight" in inspect.signature(MLPClassifier.fit).parameters
"""Whether `fit` takes weights of samples, as it does from version 1.7 on."""


def sample_weight_of(rest: tuple[Any, ...]) -> tuple[Any, bool]:
    """Return `sample_weight` and `incremental` from what follows X and y in a call of `_fit_stochastic`."""
    return (rest[0] if has_sample_weight else None), rest[-1]


def layer_sizes_of(rest: tuple[Any, ...]) -> list[int]:
    """Return the sizes of all layers, (D, H, ..., C), from what follows X and y in a call of `_fit_stochastic`."""
    return list(rest[-2])


def lbfgs_arguments(rest: tuple[Any, ...]) -> tuple[Any, list[int]]:
    """Return `sample_weight` and the sizes of all layers from what follows X and y in a call of `_fit_lbfgs`."""
    return (rest[0] if has_sample_weight else None), list(rest[-1])


def method_of(optimizer: Any) -> Optimizer | None:
    """Return what one of scikit-learn's optimizers does, for the engine, or None if it is not one of these.

    Its own attributes count, not the parameters of the estimator, which may have been set since it was made.
    """
    if type(optimizer) is SGDOptimizer:
        return Optimizer(NESTEROV if optimizer.nesterov else MOMENTUM, float(optimizer.momentum))
    if type(optimizer) is AdamOptimizer:
        return Optimizer(ADAM, float(optimizer.beta_1), float(optimizer.beta_2), float(optimizer.epsilon))
    return None


def make_optimizer(estimator: Any, params: list[Any], solver: str | None = None) -> Any:
    """Return scikit-learn's optimizer for an estimator, with moments of 0; its own by default, or that of `solver`."""
    if (solver or estimator.solver) == "sgd":
        return SGDOptimizer(params, estimator.learning_rate_init, estimator.learning_rate, estimator.momentum,
                            estimator.nesterovs_momentum, estimator.power_t)
    return AdamOptimizer(params, estimator.learning_rate_init, estimator.beta_1, estimator.beta_2, estimator.epsilon)


def counters(optimizer: Any) -> dict[str, Any]:
    """Return all that an optimizer knows but its moments, by the names of its attributes."""
    return {name: value for name, value in vars(optimizer).items() if name not in ("velocities", "ms", "vs")}


def moments(optimizer: Any) -> list[list[Layer]]:
    """Return the moments of an optimizer, each as layers: velocities, or first and second moments."""
    lists = [optimizer.velocities] if isinstance(optimizer, SGDOptimizer) else [optimizer.ms, optimizer.vs]
    return [list(zip(values[:len(values) // 2], values[len(values) // 2:], strict=True)) for values in lists]


def set_moments(optimizer: Any, values: list[list[Layer]]) -> None:
    """Give an optimizer the moments that `moments` returns."""
    lists = [[W for W, _ in layers] + [b for _, b in layers] for layers in values]
    if isinstance(optimizer, SGDOptimizer):
        (optimizer.velocities,) = lists
    else:
        optimizer.ms, optimizer.vs = lists


def update_no_improvement(estimator: Any, validation: tuple[Any, Any, Any] | None) -> None:
    """Have an estimator judge an epoch, by its validation data where there are any."""
    X, y, sample_weight = (None, None, None) if validation is None else validation
    weights = [sample_weight] if has_sample_weight else []
    with without_bar(estimator):
        estimator._update_no_improvement_count(validation is not None, X, y, *weights)


def constraints(cls: type, **more: str) -> dict[str, Any]:
    """Return what one of scikit-learn's classes allows its parameters to be, and one more string for some of them."""
    known: dict[str, Any] = cls._parameter_constraints  # type: ignore[attr-defined]
    return {**known, **{name: [*known[name], StrOptions({value})] for name, value in more.items()}}


def validate_parameters(estimator: Any) -> None:
    """Raise what scikit-learn raises for parameters that it does not allow."""
    estimator._validate_params()


@contextlib.contextmanager
def without_bar(estimator: Any) -> Iterator[None]:
    """Hide ``verbose="progress"``, which scikit-learn's own code would take for a wish to have scores printed."""
    verbose = estimator.verbose
    estimator.verbose = False if verbose == "progress" else verbose
    try:
        yield
    finally:
        estimator.verbose = verbose
