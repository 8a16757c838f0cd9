"""The book's networks: draws, losses, accuracies and gradients against plain NumPy, and what layers hold.

Source: contracts of the book's public repository (oreilly-japan/deep-learning-from-scratch).
"""

import pickle

import numpy as np
import pytest

from fastnet.dlfs.ch04.two_layer_net import TwoLayerNet as Chapter4
from fastnet.dlfs.ch05.two_layer_net import TwoLayerNet as Chapter5
from fastnet.dlfs.common.functions import cross_entropy_error, sigmoid, softmax
from fastnet.dlfs.common.layers import Affine, Relu, Sigmoid, SoftmaxWithLoss
from tests.dlfs import book

CHAPTERS = {4: Chapter4, 5: Chapter5}


def pair(chapter, D=12, H=9, C=4, std=0.5):
    nets = []
    for make in (lambda: book.Net(D, H, C, std, chapter),
                 lambda: CHAPTERS[chapter](input_size=D, hidden_size=H, output_size=C, weight_init_std=std)):
        np.random.seed(2)
        nets.append((make(), np.random.rand()))
    (theirs, a), (ours, b) = nets
    assert a == b
    for name, array in theirs.params.items():
        assert np.array_equal(ours.params[name], array)
    return theirs, ours


def data(rng, N=21, D=12, C=4):
    y = rng.randint(0, C, N)
    return rng.standard_normal((N, D)), y, np.eye(C)[y]


@pytest.mark.slow
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_everything_is_the_books(rng, chapter):
    theirs, ours = pair(chapter)
    X, y, one_hot = data(rng)
    for x in (X, X.astype(np.float32), X[:1]):
        rows = slice(len(x))
        np.testing.assert_allclose(ours.predict(x), theirs.predict(x.astype(float)), rtol=1e-10, atol=1e-13)
        for t in (y[rows], one_hot[rows], one_hot[rows].astype(np.uint8)):
            loss = ours.loss(x, t)
            assert type(loss) is np.float64
            assert loss == pytest.approx(theirs.loss(x.astype(float), t), rel=1e-11)
            if chapter == 4 and t.ndim == 1:
                continue
            assert ours.accuracy(x, t) == theirs.accuracy(x, t)
            grads, expected = ours.gradient(x, t), theirs.gradient(x.astype(float), t)
            assert list(grads) == list(expected)
            for name, grad in expected.items():
                np.testing.assert_allclose(grads[name], grad, rtol=1e-9, atol=1e-12)


def test_the_epsilon_is_inside_of_the_logarithm():
    _, ours = pair(5)
    X = np.ones((1, 12))
    for name in ours.params:
        ours.params[name][...] = 0
    ours.params["b2"][...] = [1000, 0, 0, 0]
    assert ours.loss(X, np.array([1])) == pytest.approx(16.118095650958)
    np.testing.assert_allclose(ours.gradient(X, np.array([1]))["b2"], [1, -1, 0, 0])


@pytest.mark.slow
def test_rows_that_are_no_labels(rng):
    X, _, _ = data(rng)
    t = rng.random_sample((21, 4))
    t /= t.sum(axis=1, keepdims=True)
    for chapter in CHAPTERS:
        theirs, ours = pair(chapter)
        for name, grad in theirs.gradient(X, t).items():
            np.testing.assert_allclose(ours.gradient(X, t)[name], grad, rtol=1e-9, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_numerical_gradient(rng, chapter):
    theirs, ours = pair(chapter, 3, 4, 2)
    X, y, t = data(rng, 30, 3, 2)
    # A step of 1e-4 in a parameter must lead no unit across the bend of its ReLU.
    rows = np.flatnonzero(np.abs(X @ ours.params["W1"] + ours.params["b1"]).min(axis=1) > 0.01)[:3]
    X, y, t = X[rows], y[rows], t[rows]
    before = pickle.dumps(ours.params)
    numerical, grads = ours.numerical_gradient(X, t), ours.gradient(X, t)
    assert pickle.dumps(ours.params) == before
    # The book's gradient leaves out the 1e-7 that its loss adds to a probability: a share of 1e-7 / p of a sample's.
    probabilities = book.softmax(theirs.scores(X))[range(3), y]
    for name, grad in grads.items():
        np.testing.assert_allclose(numerical[name], grad, atol=3e-7 / probabilities.min())


def test_a_single_sample_of_chapter_4(rng):
    theirs, ours = pair(4)
    x = rng.standard_normal(12)
    np.testing.assert_allclose(ours.predict(x), theirs.predict(x))
    assert ours.predict(x).shape == (4,)
    t = np.eye(4)[2]
    assert ours.loss(x, t) == pytest.approx(theirs.loss(x[np.newaxis], t[np.newaxis]))
    with pytest.raises(ValueError, match="t must be one-hot rows"):
        ours.gradient(x[np.newaxis], np.array([1]))


def test_layers_hold_the_arrays_of_the_constructor(rng):
    _, ours = pair(5)
    X, y, _ = data(rng)
    assert list(ours.layers) == ["Affine1", "Relu1", "Affine2"]
    assert ours.layers["Affine2"].W is ours.params["W2"]
    before = ours.predict(X)
    ours.params["b2"] += 1  # in place: seen
    np.testing.assert_allclose(ours.predict(X), before + 1)
    ours.params["b2"] = np.zeros(4)  # another array: not seen, as in the book
    np.testing.assert_allclose(ours.predict(X), before + 1)
    grads = ours.gradient(X, y)
    assert ours.layers["Affine1"].dW is grads["W1"]
    assert ours.layers["Affine2"].db is grads["b2"]


@pytest.mark.slow
def test_layers_keep_what_backward_needs(rng):
    """The book's own loop over the layers works after a fast call, of the samples of that call."""
    theirs, ours = pair(5)
    X, y, one_hot = data(rng)
    for t, call in ((y, ours.loss), (one_hot, ours.gradient), (y, ours.gradient)):
        ours.layers["Affine1"].forward(X[:3])
        call(X, t)
        delta = ours.lastLayer.backward(1)
        np.testing.assert_allclose(ours.lastLayer.y, book.softmax(theirs.scores(X)))
        assert ours.lastLayer.loss == pytest.approx(theirs.loss(X, t))
        for layer in reversed(ours.layers.values()):
            delta = layer.backward(delta)
        assert delta.shape == X.shape
        grads = theirs.gradient(X, t)
        for number in (1, 2):
            np.testing.assert_allclose(ours.layers[f"Affine{number}"].dW, grads[f"W{number}"], rtol=1e-9, atol=1e-12)
        assert np.array_equal(ours.layers["Relu1"].mask, theirs.hidden(X) == 0)
    with pytest.raises(AttributeError, match="'Relu' object has no attribute 'masks'"):
        _ = ours.layers["Relu1"].masks


def test_methods_of_somebodys_own_count(rng, monkeypatch):
    X, y, one_hot = data(rng)

    class Scaled(Chapter5):
        def predict(self, x):
            return super().predict(2 * x)

    class Even(Chapter4):
        def predict(self, x):
            return np.full((len(x), 4), 0.25)

    np.random.seed(2)
    net = Scaled(12, 9, 4, 0.5)
    theirs, ours = pair(5)
    np.testing.assert_allclose(net.gradient(X, y)["b2"], theirs.gradient(2 * X, y)["b2"])
    assert Even(12, 9, 4).loss(X, one_hot) == pytest.approx(np.log(4), abs=1e-6)
    expected = ours.predict(X)
    monkeypatch.setattr(Relu, "forward", lambda self, x: setattr(self, "mask", x < 1) or np.where(x < 1, 0, x))
    assert not np.allclose(ours.predict(X), expected)


class Twice(Relu):
    def forward(self, x):
        return 2 * super().forward(x)

    def backward(self, dout):
        return super().backward(2 * dout)


def test_layers_of_somebodys_own(rng):
    theirs, ours = pair(5)
    X, y, _ = data(rng)
    ours.layers["Relu1"] = Twice()
    theirs.params["W2"] *= 2
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X))
    grads, expected = ours.gradient(X, y), theirs.gradient(X, y)
    np.testing.assert_allclose(grads["W1"], expected["W1"], rtol=1e-9, atol=1e-13)
    np.testing.assert_allclose(grads["W2"], 2 * expected["W2"], rtol=1e-9, atol=1e-13)


def test_the_layers_one_by_one(rng):
    x, dout = rng.standard_normal((5, 2, 3)), rng.standard_normal((5, 4))
    affine = Affine(rng.standard_normal((6, 4)), rng.standard_normal(4))
    np.testing.assert_allclose(affine.forward(x), x.reshape(5, 6) @ affine.W + affine.b)
    np.testing.assert_allclose(affine.backward(dout), (dout @ affine.W.T).reshape(x.shape))
    np.testing.assert_allclose(affine.dW, x.reshape(5, 6).T @ dout)
    np.testing.assert_allclose(affine.db, dout.sum(axis=0))
    relu, unit = Relu(), Sigmoid()
    assert np.array_equal(relu.forward(x), np.maximum(x, 0))
    assert np.array_equal(relu.backward(x), np.maximum(x, 0))
    np.testing.assert_allclose(unit.forward(x), 1 / (1 + np.exp(-x)))
    np.testing.assert_allclose(unit.backward(x), x * unit.out * (1 - unit.out))
    last = SoftmaxWithLoss()
    loss = last.forward(dout, np.array([0, 1, 2, 3, 0]))
    assert loss == last.loss == cross_entropy_error(softmax(dout), np.eye(4)[[0, 1, 2, 3, 0]])
    np.testing.assert_allclose(last.backward(), (softmax(dout) - np.eye(4)[[0, 1, 2, 3, 0]]) / 5)
    np.testing.assert_allclose(softmax(dout[0]), book.softmax(dout[0]))
    assert sigmoid([-1000, 0, 1000]).tolist() == [0, 0.5, 1]


def test_pickles(rng):
    X, _, one_hot = data(rng)
    for chapter in CHAPTERS:
        _, ours = pair(chapter)
        ours.loss(X, one_hot)
        again = pickle.loads(pickle.dumps(ours))
        assert again.loss(X, one_hot) == ours.loss(X, one_hot)


@pytest.mark.parametrize("chapter", CHAPTERS)
@pytest.mark.parametrize(("call", "message"), [
    (lambda kind, net: kind(0, 1, 1), "input_size must be at least 1"),
    (lambda kind, net: kind(1, 1, 1, np.inf), "weight_init_std must be finite"),
    (lambda kind, net: kind(input_dim=4), "fc_net.TwoLayerNet"),
    (lambda kind, net: net.predict(np.ones((2, 3))), "x must have 12 features"),
    (lambda kind, net: net.loss(np.full((2, 12), np.nan), np.eye(4)[:2]), "x must be finite"),
    (lambda kind, net: net.gradient(np.full((2, 12), np.inf), np.eye(4)[:2]), "x must be finite"),
    (lambda kind, net: net.loss(np.ones((2, 12)), [0, 4]), "labels from 0 to 3"),
    (lambda kind, net: net.gradient(np.ones((2, 12)), np.ones((3, 4))), "t must have one dimension")])
def test_errors_name_the_argument(chapter, call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call(CHAPTERS[chapter], pair(chapter)[1])


def test_how_networks_are_shown():
    for kind in (Chapter4, Chapter5):
        assert repr(kind(64, 50, 10)) == "TwoLayerNet(64, 50, 10, float64)"
