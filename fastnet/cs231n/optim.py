"""The update rules of the course: ``next_w, config = rule(w, dw, config)``.

`w` and `dw` are arrays of one shape; `config` is a dict of constants and of what the rule remembers. What is missing in
it is set to its default, in the dict that is passed; None is an empty one. The Solver takes these steps in compiled
code (:mod:`fastnet.cs231n.compiled`), to the same numbers. Sources: the course's notes on optimization; Kingma and Ba
(arXiv 1412.6980).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["adam", "rmsprop", "sgd", "sgd_momentum"]

Array = NDArray[Any]
Config = dict[str, Any]


def sgd(w: Array, dw: Array, config: Config | None = None) -> tuple[Array, Config]:
    """w -= learning_rate * dw, in place.

    Parameters
    ----------
    w, dw : array
    config : dict
        ``learning_rate``, default 1e-2.

    Returns
    -------
    next_w : array
        `w` itself.
    config : dict
    """
    config = {} if config is None else config
    w -= config.setdefault("learning_rate", 1e-2) * dw
    return w, config


def sgd_momentum(w: Array, dw: Array, config: Config | None = None) -> tuple[Array, Config]:
    """v = momentum * v - learning_rate * dw, next_w = w + v.

    Parameters
    ----------
    w, dw : array
    config : dict
        ``learning_rate``, default 1e-2; ``momentum``, default 0.9; ``velocity``, of the shape of w, default zeros.

    Returns
    -------
    next_w : array
        A new one.
    config : dict
        With the new velocity.
    """
    config = {} if config is None else config
    rate, momentum = config.setdefault("learning_rate", 1e-2), config.setdefault("momentum", 0.9)
    velocity = config.get("velocity")
    config["velocity"] = momentum * (np.zeros_like(w) if velocity is None else velocity) - rate * dw
    return w + config["velocity"], config


def rmsprop(w: Array, dw: Array, config: Config | None = None) -> tuple[Array, Config]:
    """cache = decay_rate * cache + (1 - decay_rate) * dw^2, next_w = w - learning_rate * dw / (sqrt(cache) + epsilon).

    Parameters
    ----------
    w, dw : array
    config : dict
        ``learning_rate``, default 1e-2; ``decay_rate``, default 0.99; ``epsilon``, default 1e-8; ``cache``, of the
        shape of w, default zeros.

    Returns
    -------
    next_w : array
        A new one.
    config : dict
        With the new cache.
    """
    config = {} if config is None else config
    rate, decay = config.setdefault("learning_rate", 1e-2), config.setdefault("decay_rate", 0.99)
    epsilon, cache = config.setdefault("epsilon", 1e-8), config.get("cache")
    config["cache"] = decay * (np.zeros_like(w) if cache is None else cache) + (1 - decay) * np.square(dw)
    return w - rate * dw / (np.sqrt(config["cache"]) + epsilon), config


def adam(w: Array, dw: Array, config: Config | None = None) -> tuple[Array, Config]:
    """Take a step of Adam, with both moments corrected before epsilon is added.

    t = t + 1, m = beta1 m + (1 - beta1) dw, v = beta2 v + (1 - beta2) dw^2, and
    next_w = w - learning_rate * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon).

    Parameters
    ----------
    w, dw : array
    config : dict
        ``learning_rate``, default 1e-3; ``beta1``, default 0.9; ``beta2``, default 0.999; ``epsilon``, default 1e-8;
        ``m`` and ``v``, of the shape of w, default zeros; ``t``, default 0.

    Returns
    -------
    next_w : array
        A new one.
    config : dict
        With the new moments and t.
    """
    config = {} if config is None else config
    rate, epsilon = config.setdefault("learning_rate", 1e-3), config.setdefault("epsilon", 1e-8)
    beta1, beta2 = config.setdefault("beta1", 0.9), config.setdefault("beta2", 0.999)
    m, v = config.get("m"), config.get("v")
    t = config["t"] = config.get("t", 0) + 1
    m = config["m"] = beta1 * (np.zeros_like(w) if m is None else m) + (1 - beta1) * dw
    v = config["v"] = beta2 * (np.zeros_like(w) if v is None else v) + (1 - beta2) * np.square(dw)
    return w - rate * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + epsilon), config
