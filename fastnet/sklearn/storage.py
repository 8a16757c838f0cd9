"""The whole state of an estimator as a description in JSON and named arrays, and back."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import LabelBinarizer

from ..aliases import Layer
from ..files import random_state
from ..files.containers import Contents, FaultError
from ..files.models import check_width
from . import private
from .stochastic import OUTPUT_HEADS, trained_layers

__all__ = ["described", "restore"]

_INTEGERS = ("n_iter_", "t_", "n_layers_", "n_outputs_", "n_features_in_", "_no_improvement_count")
_NUMBERS = ("loss_", "best_loss_", "best_validation_score_")
_CURVES = ("loss_curve_", "validation_scores_")
# Early stopping leaves the very same arrays under both names, and a later fit changes both.
_LAYERS = {"": ("coefs_", "intercepts_"), "best_": ("_best_coefs", "_best_intercepts")}
_OUTPUTS = ("out_activation_",)
_KNOWN = {*_INTEGERS, *_NUMBERS, *_CURVES, *_OUTPUTS, "coefs_", "intercepts_", "_best_coefs", "_best_intercepts",
          "_optimizer", "_random_state", "_label_binarizer", "classes_", "feature_names_in_"}
_SHARED = "random_state"
"""Where a fit has drawn from the very generator that is a parameter."""
_DERIVED = {"_coef_indptr", "_intercept_indptr"}
"""What each fit with lbfgs makes anew."""
_RECORD = ("loss_curve_", "_no_improvement_count", "best_loss_", "validation_scores_", "best_validation_score_")
"""What every stochastic fit leaves, and the next one goes on from."""
_OPTIMIZER_PARAMETERS = {name: name for name in (
    "learning_rate_init", "momentum", "power_t", "beta_1", "beta_2", "epsilon")} | {
    "lr_schedule": "learning_rate", "nesterov": "nesterovs_momentum"}
"""Attributes of the optimizers, and which parameter of an estimator each has been."""
_CLASS_KINDS = "biufU"


def described(estimator: Any) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return fields and arrays that hold everything an estimator is.

    Raises
    ------
    TypeError
        If it has a parameter or an attribute of a kind that is not known here.
    ValueError
        If its parameters are not finite, or it is in a state that `restore` would refuse: half fitted, say, or with
        parameters that have been set to something else since it was fitted.
    """
    state = dict(vars(estimator))
    names = sorted(set(estimator.get_params(deep=False)) | {"loss"} & set(state))
    params = {name: _parameter(state.pop(name), name) for name in names}
    unknown = sorted(set(state) - _KNOWN - _DERIVED)
    if unknown:
        raise TypeError(f"an estimator with {', '.join(unknown)} cannot be saved: the file has no place for that")
    fields: dict[str, Any] = {"params": params}
    arrays: dict[str, NDArray[Any]] = {}
    if "coefs_" in state:
        if trained_layers(estimator) is None:
            raise TypeError("the parameters of the estimator are not the arrays that a fit leaves")
        fields["best_is_last"] = state.get("_best_coefs") is state["coefs_"]
        for prefix, (weights, biases) in _LAYERS.items():
            if prefix and fields["best_is_last"]:
                continue
            _put_layers(arrays, prefix, list(zip(state.get(weights) or (), state.get(biases) or (), strict=True)))
        if not all(np.isfinite(array).all() for array in arrays.values()):
            raise ValueError("the parameters of the estimator must be finite to be saved")
    for name in _INTEGERS + _NUMBERS + _OUTPUTS:
        if name in state:
            fields[name] = _parameter(state[name], name)
    for name in _CURVES:
        if state.get(name) is not None:
            arrays[name] = np.array(state[name], np.float64)
        elif name in state:
            fields[name] = None
    if "_random_state" in state:
        shared = state["_random_state"] is estimator.random_state
        fields["_random_state"] = _SHARED if shared else random_state.state_of(state["_random_state"])
    if "_label_binarizer" in state:
        binarizer = state["_label_binarizer"]
        fields["target"] = [binarizer.y_type_, bool(binarizer.sparse_input_)]
        fields["classes_"] = _classes(state["classes_"])
    if "feature_names_in_" in state:
        fields["feature_names_in_"] = state["feature_names_in_"].tolist()
    if "_optimizer" in state:
        moments = private.moments(state["_optimizer"])
        fields["optimizer"] = {name: _parameter(value, name) for name, value in private.counters(
            state["_optimizer"]).items()}
        for index, layers in enumerate(moments):
            _put_layers(arrays, f"moment{index}_", layers)
    try:  # no array is copied for that
        restore(Contents(type(estimator).__name__, fields, arrays), type(estimator)())
    except ValueError as error:
        raise ValueError(f"the estimator cannot be saved, as it could not be loaded again: {error}") from None
    return fields, arrays


def restore(contents: Contents, estimator: Any) -> None:
    """Give a new estimator of the class that the file names the state that it describes.

    Raises
    ------
    ValueError
        If it describes no such estimator.
    """
    fields, arrays = contents.fields, dict(contents.arrays)
    params = fields.get("params")
    names = set(estimator.get_params(deep=False)) | {"loss"} & set(vars(estimator))
    if not isinstance(params, dict) or set(params) != names:
        raise FaultError(f"it has not the parameters of an {contents.kind} of this version of scikit-learn")
    state = {name: _restored_parameter(value, name) for name, value in params.items()}
    fixed = getattr(estimator, "loss", None) if "loss" not in estimator.get_params(deep=False) else None
    if fixed is not None and state["loss"] != fixed:
        raise FaultError(f"its loss must be {fixed!r}, got {state['loss']!r:.60}")
    vars(estimator).update(state)
    private.validate_parameters(estimator)
    _hidden_sizes(estimator.hidden_layer_sizes)
    known = {"params", *_INTEGERS, *_NUMBERS, *_CURVES, *_OUTPUTS, "_random_state", "feature_names_in_", "optimizer",
             "best_is_last", *(("target", "classes_") if contents.kind == "MLPClassifier" else ())}
    if set(fields) - known:
        raise FaultError(f"it holds {', '.join(map(repr, sorted(set(fields) - known)))}, which is not part of an "
                         f"estimator")
    if "n_layers_" not in fields:
        if len(fields) > 1 or arrays:
            raise FaultError("it holds parts of a fitted estimator, and lacks n_layers_")
        return
    vars(estimator).update(_fitted(contents, arrays, estimator))
    if arrays:
        raise FaultError(f"it holds {', '.join(map(repr, sorted(arrays)))}, which is not part of an estimator")
    if trained_layers(estimator) is None:
        raise FaultError("its parameters are not those of a network")


def _fitted(contents: Contents, arrays: dict[str, NDArray[Any]], estimator: Any) -> dict[str, Any]:
    """The attributes of a fitted estimator; what is used is taken out of `arrays`."""
    fields = contents.fields
    for name in ("n_iter_", "t_", "n_outputs_", "n_features_in_", "out_activation_", "_random_state", "best_is_last",
                 "optimizer"):
        if name not in fields and not (name == "optimizer" and estimator.solver == "lbfgs"):
            raise FaultError(f"it lacks {name}")
    state: dict[str, Any] = {name: contents.integer(name) for name in _INTEGERS if name in fields}
    hidden = _hidden_sizes(estimator.hidden_layer_sizes)
    sizes = [state["n_features_in_"], *hidden, state["n_outputs_"]]
    if state["n_layers_"] != len(sizes) or min(sizes) < 1:
        raise FaultError(f"n_layers_ must be {len(sizes)} and all sizes at least 1, got {state['n_layers_']}, {sizes}")
    for name in _NUMBERS:
        if name in fields:
            value = fields[name]
            if not (value is None or type(value) in (float, int)):
                raise FaultError(f"{name} must be a number or null, got {value!r:.60}")
            state[name] = _sane(value, name)
    for name in _CURVES:
        if name in arrays:
            curve = contents.array(name, (arrays.pop(name).size,), np.float64, finite=False)
            state[name] = curve.tolist()
        elif name in fields:
            state[name] = contents.choice(name, [None])
    # scikit-learn knows "exp" since it has the parameter `loss`.
    outputs = [name for name in OUTPUT_HEADS if name != "exp" or "loss" in estimator.get_params(deep=False)]
    state["out_activation_"] = contents.choice("out_activation_", outputs)
    dtype = contents.arrays["W1"].dtype if "W1" in contents.arrays else None
    if dtype not in (np.float32, np.float64):
        raise FaultError("W1 must be float32 or float64")
    best_is_last = contents.choice("best_is_last", (False, True))
    for prefix, (weights, biases) in _LAYERS.items():
        if prefix and best_is_last:
            state[weights], state[biases] = state["coefs_"], state["intercepts_"]
        elif not prefix or f"{prefix}W1" in arrays:
            layers = _take_layers(contents, arrays, prefix, sizes, dtype, finite=True)
            state[weights], state[biases] = [W for W, _ in layers], [b for _, b in layers]
    _check_record(state, estimator)
    shared = fields["_random_state"] == _SHARED
    state["_random_state"] = estimator.random_state if shared else _generator(fields["_random_state"])
    if not isinstance(state["_random_state"], np.random.RandomState):
        raise FaultError("_random_state must be the state of a generator")
    if "target" in fields:
        state["_label_binarizer"], state["classes_"] = _binarizer(contents, state["n_outputs_"])
    elif contents.kind == "MLPClassifier":
        raise FaultError("it lacks target")
    if "feature_names_in_" in fields:
        names = fields["feature_names_in_"]
        if not isinstance(names, list) or len(names) != sizes[0] or not all(isinstance(name, str) for name in names):
            raise FaultError(f"feature_names_in_ must be {sizes[0]} strings")
        state["feature_names_in_"] = np.array(names, object)
    if "optimizer" in fields:
        state["_optimizer"] = _optimizer(contents, arrays, estimator, sizes, dtype)
    return state


def _check_record(state: dict[str, Any], estimator: Any) -> None:
    """Refuse what no fit leaves, and no further one could go on from."""
    if state["n_iter_"] and "loss_" not in state:
        raise FaultError("it lacks loss_")
    if "loss_" in state and state["loss_"] is None:
        raise FaultError("loss_ must be a number")
    missing = [name for name in _RECORD if name not in state]
    if estimator.solver == "lbfgs" and len(missing) == len(_RECORD):
        return
    if missing:
        raise FaultError(f"it lacks {', '.join(missing)}")
    stopping = state["validation_scores_"] is not None
    for name, kept in (("loss_curve_", True), ("best_loss_", not stopping), ("best_validation_score_", stopping)):
        if (state[name] is not None) != kept or state[name] != state[name]:
            raise FaultError(f"{name} must be {'there, and a number' if kept else 'null'} after a fit "
                             f"{'with' if stopping else 'without'} early stopping")
    if stopping and "_best_coefs" not in state:
        raise FaultError("it lacks best_W1")
    if estimator.solver != "lbfgs" and stopping != bool(estimator.early_stopping):
        raise FaultError(f"early_stopping is {estimator.early_stopping}, and was not in the last fit")


def _optimizer(contents: Contents, arrays: dict[str, NDArray[Any]], estimator: Any, sizes: list[int],
               dtype: Any) -> Any:
    given = contents.fields["optimizer"]
    for solver in ("sgd", "adam"):
        optimizer = private.make_optimizer(estimator, [], solver)
        expected = private.counters(optimizer)
        if isinstance(given, dict) and set(given) == set(expected):
            break
    else:
        raise FaultError("optimizer has not the counters of one of scikit-learn's")
    for name, value in given.items():
        like = expected[name]
        right = type(value) is type(like)
        if type(like) in (int, float) and type(value) in (int, float):
            right = 0 <= value < 2**53 and (name != "t" or type(value) is int)
        if not right:
            raise FaultError(f"{name} of the optimizer must be like {like!r}, got {value!r:.60}")
    private.validate_parameters(type(estimator)(**{
        parameter: given[name] for name, parameter in _OPTIMIZER_PARAMETERS.items() if name in given}))
    vars(optimizer).update(given)
    moments = [_take_layers(contents, arrays, f"moment{index}_", sizes, dtype, finite=False)
               for index in range(len(private.moments(optimizer)))]
    if any((array < 0).any() for second in moments[1:] for layer in second for array in layer):
        raise FaultError("the second moments of the optimizer must not be below 0")
    private.set_moments(optimizer, moments)
    return optimizer


def _put_layers(arrays: dict[str, NDArray[Any]], prefix: str, layers: list[Layer]) -> None:
    for number, (W, b) in enumerate(layers, 1):
        arrays[f"{prefix}W{number}"], arrays[f"{prefix}b{number}"] = np.asarray(W), np.asarray(b)


def _take_layers(contents: Contents, arrays: dict[str, NDArray[Any]], prefix: str, sizes: list[int], dtype: Any,
                 finite: bool) -> list[Layer]:
    layers = []
    for number, (rows, columns) in enumerate(pairwise(sizes), 1):
        pair = []
        for letter, shape in (("W", (rows, columns)), ("b", (columns,))):
            name = f"{prefix}{letter}{number}"
            if arrays.pop(name, None) is None:
                raise FaultError(f"it lacks {name}")
            pair.append(np.require(contents.array(name, shape, dtype, finite=finite), requirements=["C", "A", "W"]))
        layers.append((pair[0], pair[1]))
    return layers


def _hidden_sizes(value: Any) -> list[int]:
    sizes = list(value) if isinstance(value, list | tuple) else [value]
    if not all(type(size) is int and 0 < size < 2**31 for size in sizes):
        raise FaultError(f"hidden_layer_sizes must be integers above 0, got {value!r:.60}")
    return sizes


def _parameter(value: Any, name: str) -> Any:
    """A parameter as JSON holds it: numbers, strings, None and lists of these as they are; what else there can be."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple | np.ndarray):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [_parameter(part, name) for part in value]}
    if isinstance(value, np.random.RandomState):
        return random_state.state_of(value)
    raise TypeError(f"an estimator whose {name} is a {type(value).__name__} cannot be saved")


def _restored_parameter(value: Any, name: str) -> Any:
    if not isinstance(value, list | dict):
        return _sane(value, name)
    if isinstance(value, dict) and set(value) == {"generator", "state"}:
        return _generator(value)
    restored: dict[str, Callable[[Any], Any]] = {"tuple": tuple, "list": list}
    if isinstance(value, dict) and len(value) == 1:
        ((kind, parts),) = value.items()
        if kind in restored and isinstance(parts, list) and not any(isinstance(part, list | dict) for part in parts):
            return restored[kind]([_sane(part, name) for part in parts])
    raise FaultError(f"{name} is nothing that a parameter can be")


def _sane(value: Any, name: str) -> Any:
    """A number that is none of the integers that only JSON has."""
    if type(value) is int and not -2**63 <= value < 2**63:
        raise FaultError(f"{name} is an integer beyond 64 bits")
    return value


def _generator(value: Any) -> np.random.RandomState:
    random = np.random.RandomState()
    random_state.set_state(random, random_state.restored_state(value, random))
    return random


def _classes(classes: Any) -> dict[str, Any]:
    kind = "strings" if classes.dtype.kind == "O" and all(type(name) is str for name in classes) else classes.dtype.str
    if kind != "strings" and classes.dtype.kind not in _CLASS_KINDS:
        raise TypeError(f"an estimator with classes of dtype {classes.dtype} cannot be saved")
    return {"dtype": kind, "values": classes.tolist()}


def _binarizer(contents: Contents, outputs: int) -> tuple[LabelBinarizer, NDArray[Any]]:
    """What knows the classes, and the classes."""
    target, classes = contents.fields["target"], contents.fields.get("classes_")
    kinds = ("binary", "multiclass", "multilabel-indicator")
    if (not isinstance(target, list) or len(target) != 2 or target[0] not in kinds or type(target[1]) is not bool
            or not isinstance(classes, dict) or set(classes) != {"dtype", "values"}):
        raise FaultError("target and classes_ must say what the classes are")
    values = classes["values"]
    if not isinstance(values, list) or len(values) < 1 or len(values) > 2 * outputs:
        raise FaultError(f"classes_ must be a list of the classes for {outputs} outputs")
    count = len(values)
    fits = {"binary": outputs == 1, "multiclass": outputs == count > 2, "multilabel-indicator": outputs == count}
    if not fits[target[0]]:
        raise FaultError(f"there are {count} {target[0]} classes for {outputs} outputs")
    if target[0] != "multilabel-indicator" and target[1]:
        raise FaultError(f"{target[0]} targets cannot be sparse")
    if target[0] == "multilabel-indicator" and values != list(range(count)):
        raise FaultError("the classes of a multilabel target must be the numbers of its columns")
    if classes["dtype"] == "strings":
        if not all(isinstance(name, str) for name in values):
            raise FaultError("classes_ must be strings")
        array = np.array(values, object)
    else:
        array = _class_array(values, classes["dtype"])
    if len(set(array.tolist())) != count or array.tolist() != sorted(array.tolist()):
        raise FaultError("classes_ must be in ascending order, each once")
    binarizer = LabelBinarizer()
    binarizer.y_type_, binarizer.sparse_input_, binarizer.classes_ = target[0], target[1], array
    return binarizer, array


def _class_array(values: list[Any], dtype: Any) -> NDArray[Any]:
    types = {"b": (bool,), "i": (int,), "u": (int,), "f": (float, int), "U": (str,)}
    try:
        kind = np.dtype(dtype) if isinstance(dtype, str) and len(dtype) < 12 else None
    except (TypeError, ValueError, SyntaxError):
        kind = None
    if kind is None or kind.kind not in _CLASS_KINDS:
        raise FaultError(f"classes_ cannot be of the dtype {dtype!r:.60}")
    if not all(type(value) in types[kind.kind] for value in values):
        raise FaultError(f"classes_ must all fit the dtype {dtype}")
    if kind.kind == "U":
        check_width(values, kind.itemsize // 4, "classes_")
    try:
        array = np.array(values, kind)
    except (ValueError, OverflowError):
        raise FaultError(f"classes_ must all fit the dtype {dtype}") from None
    if array.tolist() != values:
        raise FaultError(f"classes_ must all fit the dtype {dtype}")
    return array
