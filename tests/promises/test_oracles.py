"""Numbers from outside: the public notebooks and solutions of the cs231n course, recomputed there and here.

Sources: assignment 1, two_layer_net.ipynb of 2016 to 2020 (`neural_net.TwoLayerNet`); assignment 2,
FullyConnectedNets.ipynb (`fc_net.TwoLayerNet`).
"""

import numpy as np
import pytest

from fastnet import TwoLayerNet

TOY_SCORES = [
    [-0.81233741, -1.27654624, -0.70335995],
    [-0.17129677, -1.18803311, -0.47310444],
    [-0.51590475, -1.01354314, -0.8504215],
    [-0.15419291, -0.48629638, -0.52901952],
    [-0.00618733, -0.12435261, -0.15226949],
]
FC_NET_SCORES = [
    [11.53165108, 12.2917344, 13.05181771, 13.81190102, 14.57198434, 15.33206765, 16.09215096],
    [12.05769098, 12.74614105, 13.43459113, 14.1230412, 14.81149128, 15.49994135, 16.18839143],
    [12.58373087, 13.20054771, 13.81736455, 14.43418138, 15.05099822, 15.66781506, 16.2846319],
]


def toy_data():
    np.random.seed(1)
    return 10 * np.random.randn(5, 4), np.array([0, 1, 2, 2, 1])


def toy_net(net_class, **options):
    np.random.seed(0)
    return net_class(4, 10, 3, std=1e-1, **options)


def fc_net(net_class):
    N, D, H, C = 3, 5, 50, 7
    net = net_class(D, H, C, l2="half")
    net.params["W1"] = np.linspace(-0.7, 0.3, num=D * H).reshape(D, H)
    net.params["b1"] = np.linspace(-0.1, 0.9, num=H)
    net.params["W2"] = np.linspace(-0.3, 0.4, num=H * C).reshape(H, C)
    net.params["b2"] = np.linspace(-0.9, 0.1, num=C)
    X = np.linspace(-5.5, 4.5, num=N * D).reshape(D, N).T
    assert not X.flags.c_contiguous  # a trap for code that assumes C order
    return net, X


def test_toy_scores(net_class):
    X, _ = toy_data()
    scores = toy_net(net_class).loss(X)
    assert np.abs(scores - TOY_SCORES).sum() < 1e-7
    assert (toy_net(net_class).predict(X) == np.argmax(TOY_SCORES, axis=1)).all()


@pytest.mark.parametrize(("l2", "reg"), [("full", 0.05), ("half", 0.1)])
def test_toy_loss(net_class, l2, reg):
    X, y = toy_data()
    loss, _ = toy_net(net_class, l2=l2).loss(X, y, reg)
    assert loss == pytest.approx(1.3037878913298206, rel=1e-14)


@pytest.mark.parametrize("l2", ["full", "half"])
@pytest.mark.parametrize("reg", [0.0, 0.05])
def test_toy_gradients_equal_central_differences(net_class, l2, reg):
    X, y = toy_data()
    net = toy_net(net_class, l2=l2)
    h = 1e-5
    hidden = X @ net.params["W1"] + net.params["b1"]
    assert np.abs(hidden).min() > 100 * h  # away from the kink of ReLU
    _, grads = net.loss(X, y, reg=reg)
    for name, parameter in net.params.items():
        numeric = np.zeros_like(parameter)
        for index in np.ndindex(parameter.shape):
            kept = parameter[index]
            parameter[index] = kept + h  # in place: the next call has to see it
            above, _ = net.loss(X, y, reg=reg)
            parameter[index] = kept - h
            below, _ = net.loss(X, y, reg=reg)
            parameter[index] = kept
            numeric[index] = (above - below) / (2 * h)
        error = np.abs(numeric - grads[name]) / np.maximum(1e-8, np.abs(numeric) + np.abs(grads[name]))
        assert error.max() < 1e-8, name


def test_toy_training_and_the_state_of_the_generator(net_class):
    X, y = toy_data()
    net = toy_net(net_class)
    stats = net.train(X, y, X, y, learning_rate=1e-1, reg=5e-6, num_iters=100, verbose=False)
    losses = stats["loss_history"]
    assert losses[:4] == pytest.approx(
        [1.2419938024915664, 0.9111913681926123, 0.7279698921338723, 0.5879321528494674], rel=1e-13)
    assert losses[-1] == pytest.approx(0.01714960793873207, rel=1e-12)
    assert len(losses) == 100
    assert stats["train_acc_history"][:4] == pytest.approx([0.66, 1.0, 1.0, 1.0])
    assert len(stats["train_acc_history"]) == len(stats["val_acc_history"]) == 100
    assert net.params["W1"].sum() == pytest.approx(0.9432320189281853, rel=1e-12)
    assert net.params["W2"].sum() == pytest.approx(-1.3719954765756244, rel=1e-12)
    assert np.random.randint(0, 2**31) == 1045029634


def test_initialisation_draws_from_the_global_generator(net_class):
    net = toy_net(net_class)
    np.random.seed(0)
    np.testing.assert_array_equal(net.params["W1"], 0.1 * np.random.randn(4, 10))
    np.testing.assert_array_equal(net.params["W2"], 0.1 * np.random.randn(10, 3))
    assert list(net.params) == ["W1", "b1", "W2", "b2"]
    assert (net.params["b1"] == np.zeros(10)).all()
    assert (net.params["b2"] == np.zeros(3)).all()


def test_default_std(net_class):
    np.random.seed(3)
    net = net_class(4, 10, 3)
    np.random.seed(3)
    np.testing.assert_array_equal(net.params["W1"], 1e-4 * np.random.randn(4, 10))


def test_several_iterations_drawn_at_once_are_the_same_stream():
    np.random.seed(5)
    single = [np.random.choice(17, 4) for _ in range(3)]
    np.random.seed(5)
    np.testing.assert_array_equal(np.random.choice(17, 12), np.concatenate(single))


def test_fc_net_scores_and_losses(net_class):
    net, X = fc_net(net_class)
    np.testing.assert_allclose(net.loss(X), FC_NET_SCORES, atol=5e-9, rtol=0)
    y = np.array([0, 5, 1])
    assert net.loss(X, y)[0] == pytest.approx(3.4702243556, abs=5e-11)
    assert net.loss(X, y, 1.0)[0] == pytest.approx(26.5948426952, abs=5e-11)


def test_verbose_prints_every_hundredth_iteration(net_class, capsys):
    X, y = toy_data()
    stats = toy_net(net_class).train(X, y, X, y, num_iters=201, verbose=True)
    losses = stats["loss_history"]
    assert capsys.readouterr().out.splitlines() == [
        f"iteration {it} / 201: loss {losses[it]:f}" for it in (0, 100, 200)]


def test_defaults_are_the_courses(net_class):
    X, y = toy_data()
    np.random.seed(7)
    implicit = toy_net(net_class).train(X, y, X, y)
    np.random.seed(7)
    explicit = toy_net(net_class).train(X, y, X, y, 1e-3, 0.95, 5e-6, 100, 200, False)
    assert implicit == explicit


def test_check_fires_by_the_float_quotient(net_class):
    # 5 / 2 = 2.5 iterations to an epoch: the check fires at 0, 5, 10, ...
    X, y = toy_data()
    stats = toy_net(net_class).train(X, y, X, y, num_iters=12, batch_size=2)
    assert len(stats["val_acc_history"]) == 3


def test_first_index_wins_a_tie(net_class):
    net = net_class(2, 3, 4)
    for parameter in net.params.values():
        parameter[...] = 0
    assert (net.predict(np.ones((6, 2))) == 0).all()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_relu_mask_is_zero_at_zero(net_class, dtype):
    # The lecture notes' slip, a mask `h1 < 0` on the rectified h1, would let every gradient through.
    net = net_class(1, 2, 2, dtype=dtype)
    net.params["W1"][...] = [[1, -1]]
    net.params["W2"][...] = [[1, 0], [0, 1]]
    _, grads = net.loss(np.ones((1, 1)), [1])
    assert grads["b1"][0] != 0
    assert grads["b1"][1] == 0
    _, grads = net.loss(np.zeros((1, 1)), [1])
    assert (grads["b1"] == 0).all()


def test_bias_with_two_dimensions():
    X, y = toy_data()
    flat, tall = toy_net(TwoLayerNet), toy_net(TwoLayerNet)
    for name in ("b1", "b2"):
        tall.params[name] = tall.params[name].reshape(1, -1)
    _, grads = flat.loss(X, y, 0.1)
    _, tall_grads = tall.loss(X, y, 0.1)
    for name, grad in grads.items():
        np.testing.assert_array_equal(tall_grads[name], grad.reshape(tall.params[name].shape))
        assert tall_grads[name].shape == tall.params[name].shape
    np.random.seed(2)
    stats = flat.train(X, y, X, y, num_iters=5)
    np.random.seed(2)
    assert tall.train(X, y, X, y, num_iters=5) == stats
    assert tall.params["b1"].shape == (1, 10)
    np.testing.assert_array_equal(tall.params["b1"][0], flat.params["b1"])
