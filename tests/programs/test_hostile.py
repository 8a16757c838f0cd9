"""Hostile calls, in a process that may crash: a small run of hostile.py. And the traps that it found, one by one."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fastnet import TwoLayerNet

from ..conftest import COMPILED

SCRIPT = Path(__file__).with_name("hostile.py")


@pytest.mark.skipif(not COMPILED, reason="a call takes long without compilation, and nothing can leave an array there")
def test_hostile_calls(rng):
    path = os.pathsep.join(filter(None, [str(SCRIPT.parents[2]), os.environ.get("PYTHONPATH")]))
    # The two entries left out compile much for each odd type.
    entries = ["scores and loss", "training", "effects", "constructor", "settings", "kernels' types"]
    command = [sys.executable, str(SCRIPT), "--calls", "2000", "--seed", str(rng.randint(2**31)), "--entries", *entries]
    result = subprocess.run(command, text=True, capture_output=True, timeout=900, check=False,
                            env={**os.environ, "PYTHONPATH": path})
    assert result.returncode == 0, result.stdout + result.stderr
    print(result.stdout)


class Turning:
    """An array, to look at which turns an array of the model."""

    def __init__(self, array, turn):
        self._array, self._turn = array, turn

    def __array__(self, dtype=None, copy=None):
        self._turn()
        return self._array


@pytest.mark.filterwarnings("ignore:Setting the shape:DeprecationWarning")
@pytest.mark.parametrize("method", ["loss", "predict", "predict_proba"])
@pytest.mark.parametrize("name", ["W1", "W2"])
def test_a_matrix_that_is_turned_while_the_samples_are_looked_at(method, name):
    net = TwoLayerNet(4, 5, 3, std=1.0, rng=0)
    X = np.arange(8.0).reshape(2, 4)
    around = np.full((40, 4), 1e9)  # what lies behind the samples
    around[:2] = X
    expected = getattr(net, method)(X)
    for _ in range(2):
        shape = net.params[name].shape

        def turn():
            net.params[name].shape = (-1, 1)

        np.testing.assert_array_equal(getattr(net, method)(Turning(around[:2], turn)), expected)
        net.params[name].shape = shape
