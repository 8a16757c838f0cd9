"""The state of NumPy's random generators as JSON can hold it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["restored_state", "set_state", "state_of"]

Generator = np.random.Generator | np.random.RandomState
_MOST = {"pos": 624, "buffer_pos": 4, "has_uint32": 1, "has_gauss": 1}
"""The most that some numbers in a state can be. NumPy does not look at them, and the first two are indices."""


def _global_or(rng: Generator | None) -> Generator:
    return np.random.mtrand._rand if rng is None else rng


def state_of(rng: Generator | None) -> dict[str, Any]:
    """Return the state of a generator, or of NumPy's global one for None: of dicts, lists, ints, floats and strings."""
    rng = _global_or(rng)
    return {"generator": _kind(rng), "state": _plain(_state(rng))}


def _kind(rng: Generator) -> str:
    return "RandomState" if isinstance(rng, np.random.RandomState) else "Generator"


def _state(rng: Generator) -> Mapping[str, Any]:
    state: Any = rng.get_state(legacy=False) if isinstance(rng, np.random.RandomState) else rng.bit_generator.state
    return dict(state)


def restored_state(value: Any, rng: Generator | None) -> dict[str, Any]:
    """Return what `set_state` takes, from what `state_of` once returned and a file has kept.

    Raises
    ------
    ValueError
        If it is no state, or one of another kind of generator than `rng`.
    """
    rng = _global_or(rng)
    kind = _kind(rng)
    if not isinstance(value, dict) or set(value) != {"generator", "state"}:
        raise ValueError("the state of the random generator is no such state")
    if value["generator"] != kind:
        raise ValueError(f"the random generator was a {value['generator']!r:.40}, and is a {kind}")
    trial: Generator
    if isinstance(rng, np.random.RandomState):
        trial = np.random.RandomState(type(rng._bit_generator)())
    else:
        trial = np.random.Generator(type(rng.bit_generator)())
    _check_like(value["state"], state_of(trial)["state"])
    _check_numbers(value["state"], _state(trial).get("bit_generator"))
    try:
        state = _like(value["state"], _state(trial))
        set_state(trial, state)
        taken = state_of(trial)["state"] == value["state"]
    except (ValueError, TypeError, KeyError, OverflowError):
        taken = False
    if not taken:
        raise ValueError("the state of the random generator is not one that NumPy takes")
    return dict(state)


def set_state(rng: Generator | None, state: Mapping[str, Any]) -> None:
    """Put a generator, or NumPy's global one for None, into a state that `restored_state` returned."""
    rng = _global_or(rng)
    if isinstance(rng, np.random.RandomState):
        rng.set_state(dict(state))
    else:
        rng.bit_generator.state = dict(state)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def _like(value: Any, model: Any) -> Any:
    """`value` with arrays where `model` has arrays."""
    if isinstance(model, dict):
        return {name: _like(value[name], part) for name, part in model.items()}
    return np.array(value, model.dtype) if isinstance(model, np.ndarray) else value


def _check_numbers(state: Mapping[str, Any], kind: Any) -> None:
    """Raise ValueError for a state that NumPy takes, and no generator is ever in.

    Some of these give the same number for ever; who draws until a number is acceptable then never ends. The states of
    Philox and SFC64 have a counter in them, and are all good.
    """
    inner = state["state"] if isinstance(state.get("state"), dict) else {}
    for name, most in _MOST.items():
        if not 0 <= {**state, **inner}.get(name, 0) <= most:
            raise ValueError(f"the state of the random generator has a {name} that is not from 0 to {most}")
    if not math.isfinite(state.get("gauss", 0)):
        raise ValueError("the state of the random generator holds a number that is not finite")
    # Of the first word of the twister one bit counts: the state has 19937 of them.
    if kind == "MT19937" and inner["key"][0] < 2**31 and not any(inner["key"][1:]):
        raise ValueError("the state of the random generator is all zeros, from which no other number comes")
    if kind in ("PCG64", "PCG64DXSM") and inner["inc"] % 2 == 0:
        raise ValueError("the state of the random generator has an even increment, with which it would not go round")


def _check_like(value: Any, model: Any) -> None:
    """Raise ValueError unless `value` is built like `model`: keys, lengths of lists, and types."""
    if type(value) is type(model):
        if isinstance(value, dict) and set(value) == set(model):
            for name, part in model.items():
                _check_like(value[name], part)
            return
        if isinstance(value, list) and len(value) == len(model):
            for given, part in zip(value, model, strict=True):
                _check_like(given, part)
            return
        if not isinstance(value, dict | list) and (not isinstance(value, int) or value >= 0):
            return
    raise ValueError("the state of the random generator is not built as NumPy's is")
