"""The update rules: the notebooks' numbers, defaults, and what is kept in the config.

Source: assignment 2, FullyConnectedNets.ipynb; recomputed.
"""

import numpy as np
import pytest

from fastnet.cs231n import optim
from tests.cs231n import course

W, DW = (np.linspace(start, stop, 20).reshape(4, 5) for start, stop in ((-0.4, 0.6), (-0.6, 0.4)))


def state(start, stop):
    return np.linspace(start, stop, 20).reshape(4, 5)


@pytest.mark.parametrize(("rule", "config", "first_row"), [
    ("sgd_momentum", {"learning_rate": 1e-3, "velocity": state(0.6, 0.9)},
     [0.1406, 0.20738947, 0.27417895, 0.34096842, 0.40775789]),
    ("rmsprop", {"learning_rate": 1e-2, "cache": state(0.6, 0.9)},
     [-0.39223849, -0.34037513, -0.28849239, -0.23659121, -0.18467247]),
    ("adam", {"learning_rate": 1e-2, "m": state(0.6, 0.9), "v": state(0.7, 0.5), "t": 5},
     [-0.40094747, -0.34836187, -0.29577703, -0.24319299, -0.19060977])])
def test_numbers_of_the_notebook(rule, config, first_row):
    given = W.copy()
    next_w, after = getattr(optim, rule)(given, DW, config)
    np.testing.assert_allclose(next_w[0], first_row, atol=1e-8)
    assert after is config
    assert np.array_equal(given, W)
    assert rule != "adam" or config["t"] == 6


@pytest.mark.parametrize("rule", optim.__all__)
def test_rules_are_the_courses(rng, rule):
    for dtype in (np.float64, np.float32):
        ours = theirs = rng.standard_normal((3, 4)).astype(dtype)
        ours, config, expected = ours.copy(), {}, {}
        theirs = theirs.copy()
        for _ in range(4):
            dw = rng.standard_normal((3, 4)).astype(dtype)
            ours, config = getattr(optim, rule)(ours, dw, config)
            theirs, expected = course.RULES[rule](theirs, dw, expected)
            np.testing.assert_allclose(ours, theirs, rtol=1e-12 if dtype == np.float64 else 1e-5)
            assert ours.dtype == theirs.dtype
        assert config.keys() == expected.keys()
        for name, value in expected.items():
            np.testing.assert_allclose(config[name], value, rtol=1e-6)


def test_sgd_is_in_place_and_configs_are_filled():
    w = W.copy()
    next_w, config = optim.sgd(w, DW)
    assert next_w is w
    assert config == {"learning_rate": 1e-2}
    np.testing.assert_allclose(w, W - 1e-2 * DW)
    assert optim.adam(W, DW, None)[1].keys() == {"learning_rate", "beta1", "beta2", "epsilon", "m", "v", "t"}
