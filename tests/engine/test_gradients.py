"""Loss and gradients by the compiled step: the bits of one kernel after the other."""

import threading
from itertools import pairwise

import numpy as np
import pytest

from fastnet import TwoLayerNet, reference
from fastnet.engine import gradients
from fastnet.engine import workspace as workspaces
from fastnet.engine.idle import Idle
from fastnet.network import passes

from ..conftest import COMPILED


@pytest.fixture(autouse=True)
def nothing_idle(monkeypatch):
    monkeypatch.setattr(gradients, "_idle", Idle())


def problem(rng, widths, samples, dtype):
    layers = [tuple(rng.standard_normal(shape).astype(dtype) / 4 for shape in ((D, H), H)) for D, H in pairwise(widths)]
    return layers, rng.standard_normal((samples, widths[0])).astype(dtype), rng.randint(widths[-1], size=samples)


def assert_same(actual, expected, slack=0.0):
    (loss, grads), (expected_loss, expected_grads) = actual, expected
    np.testing.assert_allclose(loss, expected_loss, rtol=slack)
    assert len(grads) == len(expected_grads)
    for layer, other in zip(grads, expected_grads, strict=True):
        for array, wanted in zip(layer, other, strict=True):
            assert array.dtype == wanted.dtype
            assert array.flags.carray
            np.testing.assert_allclose(array, wanted, rtol=slack, atol=slack)


NETWORKS = [((6, 4), 37), ((4, 10, 3), 5), ((1, 1, 1), 1), ((6, 7, 3, 4), 50), ((6, 50, 4), 300),
            ((6, 7, 3, 4), 150), ((530, 20, 60), 150), ((6, 200, 4), 37), ((300, 190, 4), 70), ((6, 520, 210, 3), 70),
            ((530, 250, 5), 37)]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("widths", "samples"), NETWORKS if COMPILED else NETWORKS[:4])
@pytest.mark.parametrize("l2", [0.0, 0.3])
@pytest.mark.parametrize("shares", [1, 2, 4] if COMPILED else [2])
def test_the_bits_of_the_kernels(rng, monkeypatch, dtype, widths, samples, l2, shares):
    monkeypatch.setattr(workspaces, "share_count", lambda units, work, _: min(shares, units))
    slack = 0 if COMPILED else 1000 * np.finfo(dtype).eps  # without compilation tiles are NumPy's products
    for _ in range(3):  # with what the first call has left
        layers, X, y = problem(rng, widths, samples, dtype)
        before = [[array.copy() for array in layer] for layer in layers]
        expected = passes.loss_and_grads_by_kernels(layers, X, y, l2)
        assert_same(passes.loss_and_grads(layers, X, y, l2), expected, slack)
        for layer, same in zip(layers, before, strict=True):
            for array, wanted in zip(layer, same, strict=True):
                np.testing.assert_array_equal(array, wanted)
    assert len(gradients._idle) == 1


@pytest.mark.slow
def test_many_samples_are_not_copied(rng, monkeypatch):
    layers, X, y = problem(rng, (6, 5, 4), 20, np.float64)
    expected = passes.loss_and_grads(layers, X, y, 0.1)
    monkeypatch.setattr(passes, "LOSS_BYTES", X.nbytes - 1)
    monkeypatch.delattr(passes, "loss_and_gradients")
    assert_same(passes.loss_and_grads(layers, X, y, 0.1), expected, 0 if COMPILED else 1e-12)


def test_gradients_belong_to_who_asked(rng):
    layers, X, y = problem(rng, (6, 5, 4), 20, np.float64)
    loss, grads = passes.loss_and_grads(layers, X, y, 0.1)
    kept = [[array.copy() for array in layer] for layer in grads]
    for array in (array for layer in passes.loss_and_grads(layers, -X, y, 0.1)[1] for array in layer):
        array[:] = np.nan
    for layer, same in zip(grads, kept, strict=True):
        for array, wanted in zip(layer, same, strict=True):
            np.testing.assert_array_equal(array, wanted)
    assert_same(passes.loss_and_grads(layers, X, y, 0.1), (loss, kept))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("widths", "samples"), NETWORKS if COMPILED else NETWORKS[:4])
def test_nothing_that_is_not_finite_stays(rng, dtype, widths, samples):
    layers, X, y = problem(rng, widths, samples, dtype)
    expected = passes.loss_and_grads(layers, X, y, 0.1)
    broken = [(np.full_like(W, np.inf), np.full_like(b, np.nan)) for W, b in layers]
    loss, _ = passes.loss_and_grads(broken, X, y, 0.1)
    assert not np.isfinite(loss)
    assert_same(passes.loss_and_grads(layers, X, y, 0.1), expected)


def test_few_workspaces_are_kept(rng):
    for samples in (3, 4, 5, 6):
        passes.loss_and_grads(*problem(rng, (6, 5, 4), samples, np.float64), 0.1)
    assert [key[0] for key in gradients._idle._things] == [5, 6]


@pytest.mark.parametrize("order", ["C", "F"])
def test_parameters_of_any_kind(order, rng):
    """Read-only, strided and Fortran-ordered ones, and with biases in a row."""
    net = TwoLayerNet(6, 5, 4, rng=0)
    other = reference.TwoLayerNet(6, 5, 4, rng=0)
    X, y = rng.standard_normal((20, 6)), rng.randint(4, size=20)
    for name in ("W1", "W2"):
        wide = np.asarray(np.repeat(net.params[name], 2, axis=1), order=order)
        net.params[name] = wide[:, ::2]
        net.params[name].flags.writeable = False
    net.params["b1"] = net.params["b1"][np.newaxis]
    loss, grads = net.loss(X, y, 0.1)
    expected_loss, expected = other.loss(X, y, 0.1)
    assert loss == pytest.approx(expected_loss, rel=1e-13)
    assert grads["b1"].shape == (1, 5)
    for name, grad in grads.items():
        np.testing.assert_allclose(grad.reshape(expected[name].shape), expected[name], rtol=1e-10, atol=1e-15)


def test_threads_have_workspaces_of_their_own(rng):
    layers, X, y = problem(rng, (6, 50, 4), 100, np.float64)
    scales = [1.0, 2.0, 3.0, 4.0]
    expected = [passes.loss_and_grads(layers, scale * X, y, 0.1) for scale in scales]
    found = [[] for _ in scales]

    def ask(place):
        found[place] += [passes.loss_and_grads(layers, scales[place] * X, y, 0.1)
                         for _ in range(100 if COMPILED else 3)]

    asking = [threading.Thread(target=ask, args=(place,)) for place in range(len(scales))]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    for results, wanted in zip(found, expected, strict=True):
        assert len(results) == (100 if COMPILED else 3)
        for result in results:
            assert_same(result, wanted)
