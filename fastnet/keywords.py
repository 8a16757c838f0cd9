"""The published classes of two layers, by the keywords of their constructors: what to import instead of a wrong one."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Concatenate, ParamSpec, TypeVar, cast

__all__ = ["CLASSES", "class_that_takes", "names_edition"]

_P = ParamSpec("_P")
_S = TypeVar("_S")

CLASSES = {
    "fastnet.cs231n.classifiers.fc_net.FullyConnectedNet": (
        "hidden_dims", "dropout_keep_ratio", "dropout", "normalization", "use_batchnorm", "seed"),
    "fastnet.cs231n.classifiers.fc_net.TwoLayerNet": (
        "input_dim", "hidden_dim", "num_classes", "weight_scale", "reg"),
    "fastnet.dlfs.ch05.two_layer_net.TwoLayerNet": ("weight_init_std",),
    "fastnet.TwoLayerNet": ("input_size", "hidden_size", "output_size", "std"),
}
"""For each class what its constructor takes; what tells more than another stands first."""


def class_that_takes(keywords: Iterable[str]) -> tuple[str, str] | None:
    """Return the class whose constructor takes one of these keywords, and that; or None."""
    given = list(keywords)
    for name, taken in CLASSES.items():
        for keyword in given:
            if keyword in taken:
                return name, keyword
    return None


def names_edition(init: Callable[Concatenate[_S, _P], None]) -> Callable[Concatenate[_S, _P], None]:
    """Have a constructor's TypeError for a keyword of another edition name the class that takes it."""
    known = inspect.signature(init).parameters

    @functools.wraps(init)
    def wrapper(self: _S, *args: _P.args, **kwargs: _P.kwargs) -> None:
        other = class_that_takes(kwargs.keys() - known.keys())
        if other is not None:
            name, keyword = other
            raise TypeError(f"{type(self).__name__} has no argument {keyword!r}: that is one of another edition's "
                            f"class, {name}")
        init(self, *args, **kwargs)

    return cast(Callable[Concatenate[_S, _P], None], wrapper)
