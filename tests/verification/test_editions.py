"""`fastnet.verify` of classes of other editions: which one it is, that the same pass, and that a fault is named."""

import numpy as np
import pytest

import fastnet
from fastnet import reference
from fastnet.datasets import load_digits
from fastnet.verification.editions import edition_of
from tests.conftest import COMPILED
from tests.cs231n import course
from tests.dlfs import book


class FcNet(course.Net):
    def __init__(self, input_dim=3 * 32 * 32, hidden_dim=100, num_classes=10, weight_scale=1e-3, reg=0.0):
        super().__init__([hidden_dim], input_dim, num_classes, weight_scale=weight_scale, reg=reg)


class Deep(course.Net):
    def __init__(self, hidden_dims, input_dim=3 * 32 * 32, num_classes=10, reg=0.0, weight_scale=1e-2,
                 dtype=np.float32):
        super().__init__(hidden_dims, input_dim, num_classes, reg=reg, weight_scale=weight_scale, dtype=dtype)


class Book4(book.Net):
    def __init__(self, input_size, hidden_size, output_size, weight_init_std=0.01):
        super().__init__(input_size, hidden_size, output_size, weight_init_std, chapter=4)


class Book5(book.Net):
    def __init__(self, input_size, hidden_size, output_size, weight_init_std=0.01):
        super().__init__(input_size, hidden_size, output_size, weight_init_std, chapter=5)
        self.layers = {}


EDITIONS = {FcNet: "fastnet.cs231n.classifiers.fc_net.TwoLayerNet",
            Deep: "fastnet.cs231n.classifiers.fc_net.FullyConnectedNet",
            Book4: "fastnet.dlfs.ch04.two_layer_net.TwoLayerNet", Book5: "fastnet.dlfs.ch05.two_layer_net.TwoLayerNet"}
OPTIONS = {"hidden_size": 20, "std": 0.1, "learning_rate": 0.3, "batch_size": 50, "repeats": 1,
           "num_iters": 40 if COMPILED else 6}


@pytest.fixture(scope="module")
def data():
    X, y = load_digits()
    return X[:300 if not COMPILED else 700], y[:300 if not COMPILED else 700]


@pytest.mark.parametrize("kind", EDITIONS, ids=lambda kind: kind.__name__)
def test_the_edition_is_found_and_agrees(data, kind):
    state = np.random.get_state()[1].copy()
    report = fastnet.verify(kind, *data, **OPTIONS)
    assert np.array_equal(np.random.get_state()[1], state)
    assert report.edition == EDITIONS[kind]
    assert report.ok, report
    assert report.losses.relative < 1e-6
    assert report.same_accuracies
    assert report.same_generator_state
    assert any(f"import {EDITIONS[kind]} instead" in note for note in report.notes)
    assert EDITIONS[kind] in str(report)


@pytest.mark.parametrize("kind", EDITIONS, ids=lambda kind: kind.__name__)
def test_faults_are_named(data, kind):
    if issubclass(kind, course.Net):
        class Faulty(kind):
            def loss(self, X, y=None):
                result = super().loss(X, y)
                if y is not None:
                    result[1]["b1"][...] *= 2
                return result
    else:
        class Faulty(kind):
            def gradient(self, x, t):
                grads = super().gradient(x, t)
                return {**grads, "b1": 2 * grads["b1"]}

    report = fastnet.verify(Faulty, *data, **OPTIONS)
    assert not report.ok
    assert "the gradient of b1" in report.differences[0]


def test_the_old_edition_stays_what_it_was():
    for kind in (reference.TwoLayerNet, fastnet.TwoLayerNet, lambda a, b, c, std: None):
        assert edition_of(kind).name == "fastnet.TwoLayerNet"
