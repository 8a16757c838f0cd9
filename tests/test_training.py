"""Training: the reference's history, step by step, and what `train` promises besides."""

import numpy as np
import pytest

import fastnet
from fastnet import TwoLayerNet, reference
from fastnet.datasets import load_digits

from .conftest import COMPILED

ITERATIONS = 500 if COMPILED else 20
OPTIONS = {"learning_rate": 0.3, "learning_rate_decay": 0.97, "reg": 1e-3}


def digits(samples):
    X, y = load_digits()
    return X[:samples], y[:samples], X[1500:], y[1500:]


def train_both(samples, batch_size, *, net=(64, 100, 10), iterations=ITERATIONS, **options):
    results = []
    for net_class in (TwoLayerNet, reference.TwoLayerNet):
        np.random.seed(42)
        model = net_class(*net, std=1e-1, **options)
        history = model.train(*digits(samples), num_iters=iterations, batch_size=batch_size, **OPTIONS)
        results.append((model, history, np.random.randint(0, 2**31)))
    return results


@pytest.mark.parametrize(("samples", "batch_size"), [(1400, 200), (1399, 200), (150, 200)],
                         ids=["integer quotient", "other quotient", "batch larger than data"])
def test_history_is_the_references(samples, batch_size):
    if not COMPILED:
        batch_size //= 10
        samples //= 10
    (net, history, state), (ref, ref_history, ref_state) = train_both(samples, batch_size)
    assert history.keys() == ref_history.keys()
    assert len(history["loss_history"]) == ITERATIONS
    np.testing.assert_allclose(history["loss_history"], ref_history["loss_history"], rtol=1e-10, atol=0)
    assert history["train_acc_history"] == ref_history["train_acc_history"]
    assert history["val_acc_history"] == ref_history["val_acc_history"]
    for name, parameter in ref.params.items():
        np.testing.assert_allclose(net.params[name], parameter, rtol=1e-8, atol=1e-10)
    assert state == ref_state


def test_float32_follows_the_reference():
    (_, history, _), (_, ref_history, _) = train_both(140, 20, iterations=30, dtype=np.float32)
    np.testing.assert_allclose(history["loss_history"], ref_history["loss_history"], rtol=1e-3)


@pytest.mark.parametrize("make_rng", [
    lambda: 7, lambda: np.random.RandomState(7), lambda: np.random.default_rng(7)],
    ids=["seed", "RandomState", "Generator"])
def test_own_generator(make_rng):
    before = np.random.get_state()[1].copy()
    histories, weights = [], []
    for net_class in (TwoLayerNet, TwoLayerNet, reference.TwoLayerNet):
        net = net_class(64, 10, 10, std=0.1, rng=make_rng())
        histories.append(net.train(*digits(50), num_iters=5, batch_size=10)["loss_history"])
        weights.append(net.params["W1"])
    assert histories[0] == histories[1]
    np.testing.assert_array_equal(weights[0], weights[1])
    np.testing.assert_allclose(histories[0], histories[2], rtol=1e-12)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # the global generator was not touched


def test_a_seed_draws_like_the_global_generator_seeded_alike():
    np.random.seed(11)
    shared = TwoLayerNet(64, 8, 10, std=0.1)
    own = TwoLayerNet(64, 8, 10, std=0.1, rng=11)
    assert shared.train(*digits(60), num_iters=3) == own.train(*digits(60), num_iters=3)


def test_users_arrays_are_updated_in_place(net_class):
    net = net_class(64, 8, 10, std=0.1)
    mine = dict(net.params)
    before = {name: array.copy() for name, array in mine.items()}
    net.train(*digits(50), num_iters=2, batch_size=10, learning_rate=0.1)
    for name, array in mine.items():
        assert net.params[name] is array
        assert not np.array_equal(array, before[name])


@pytest.mark.parametrize("change", [
    np.asfortranarray,
    lambda W: np.repeat(W, 2, axis=-1)[..., ::2],
    lambda W: W.astype(np.float32),
    lambda W: W.astype(W.dtype.newbyteorder()),
], ids=["Fortran", "strided", "float32", "other byte order"])
def test_parameters_in_other_layouts_are_trained_in_place(change):
    plain, other = (TwoLayerNet(64, 8, 10, std=0.1, rng=3) for _ in range(2))
    if change(plain.params["W1"]).dtype == np.float32:  # give both the same start
        plain.params = {name: array.astype(np.float32).astype(np.float64) for name, array in plain.params.items()}
    other.params = {name: change(array.copy()) for name, array in plain.params.items()}
    mine = dict(other.params)
    history = plain.train(*digits(50), num_iters=4, batch_size=10, learning_rate=0.1)["loss_history"]
    assert other.train(*digits(50), num_iters=4, batch_size=10, learning_rate=0.1)["loss_history"] == history
    for name, array in mine.items():
        assert other.params[name] is array
        np.testing.assert_allclose(array, plain.params[name], rtol=1e-6)


def test_callback_sees_each_check_and_can_stop(net_class):
    calls = []

    def callback(iteration, history):
        calls.append((iteration, len(history["loss_history"]), len(history["val_acc_history"])))
        return iteration >= 4

    np.random.seed(1)
    net = net_class(64, 8, 10)
    history = net.train(*digits(20), num_iters=100, batch_size=10, callback=callback)  # a check every 2 iterations
    assert calls == [(0, 1, 1), (2, 3, 2), (4, 5, 3)]
    assert len(history["loss_history"]) == 5
    assert len(history["train_acc_history"]) == len(history["val_acc_history"]) == 3


def test_only_true_stops(net_class):
    net = net_class(64, 8, 10)
    history = net.train(*digits(20), num_iters=4, batch_size=10, callback=lambda *_: "a string is no True")
    assert len(history["loss_history"]) == 4


def test_parameters_replaced_in_a_callback_are_honoured():
    net = TwoLayerNet(64, 8, 10, std=0.1, rng=0)

    def callback(iteration, history):
        net.params["W2"] = np.zeros_like(net.params["W2"])
        net.params["b2"] = np.zeros_like(net.params["b2"])

    history = net.train(*digits(20), num_iters=2, batch_size=20, callback=callback)
    assert history["loss_history"][1] == pytest.approx(np.log(10), rel=1e-4)  # scores of 0 but for the L2 of W1


def test_no_iterations(net_class):
    net = net_class(64, 8, 10)
    before = net.params["W1"].copy()
    assert net.train(*digits(20), num_iters=0) == {
        "loss_history": [], "train_acc_history": [], "val_acc_history": []}
    np.testing.assert_array_equal(net.params["W1"], before)


def test_learning_rate_decays_at_each_check():
    # Two runs of one iteration with the decayed rate equal one run of two iterations with a check at each.
    X, y, X_val, y_val = digits(20)
    together, apart = (TwoLayerNet(64, 8, 10, std=0.1, rng=0) for _ in range(2))
    together.train(X, y, X_val, y_val, learning_rate=0.1, learning_rate_decay=0.5, num_iters=2, batch_size=20)
    for rate in (0.1, 0.05):
        apart.train(X, y, X_val, y_val, learning_rate=rate, num_iters=1, batch_size=20)
    for name, parameter in together.params.items():
        np.testing.assert_array_equal(parameter, apart.params[name])


@pytest.mark.parametrize("net_class", [TwoLayerNet, reference.TwoLayerNet])
def test_progress_goes_to_standard_error(net_class, capsys):
    net_class(64, 8, 10).train(*digits(20), num_iters=3, progress=True)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "3" in captured.err
    net_class(64, 8, 10).train(*digits(20), num_iters=3)
    assert capsys.readouterr().err == ""


def test_warmup_compiles_everything_that_a_model_needs():
    seconds = fastnet.warmup(np.float32)
    assert seconds > 0
    if not COMPILED:
        return
    from fastnet import kernels
    counts = {name: len(getattr(kernels, name).signatures) for name in kernels.__all__}
    net = TwoLayerNet(64, 8, 10, dtype=np.float32, rng=0)
    X, y, X_val, y_val = digits(50)
    net.train(X, y, X_val, y_val, num_iters=2)
    net.train(X.astype(np.float32), y, X_val, y_val, num_iters=2)
    net.loss(X, y, reg=0.1)
    net.predict(X)
    net.predict_proba(X)
    frozen = X.astype(np.float32)
    frozen.setflags(write=False)
    net.loss(frozen, y)
    assert {name: len(getattr(kernels, name).signatures) for name in kernels.__all__} == counts
