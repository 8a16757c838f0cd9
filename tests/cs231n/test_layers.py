"""The course's layers: outputs against NumPy's, gradients against central differences, caches and errors.

Sources: contracts of the public course; assignment 2, FullyConnectedNets.ipynb, BatchNormalization.ipynb and
Dropout.ipynb, whose checks these are.
"""

import numpy as np
import pytest

from fastnet.cs231n.gradient_check import (
    eval_numerical_gradient,
    eval_numerical_gradient_array,
    grad_check_sparse,
    rel_error,
)
from fastnet.cs231n.layer_utils import affine_relu_backward, affine_relu_forward
from fastnet.cs231n.layers import (
    affine_backward,
    affine_forward,
    batchnorm_backward,
    batchnorm_backward_alt,
    batchnorm_forward,
    dropout_backward,
    dropout_forward,
    layernorm_backward,
    layernorm_forward,
    relu_backward,
    relu_forward,
    softmax_loss,
    svm_loss,
)
from tests.conftest import COMPILED


def test_affine_forward_is_the_notebooks():
    x = np.linspace(-0.1, 0.5, num=2 * 4 * 5 * 6).reshape(2, 4, 5, 6)
    w = np.linspace(-0.2, 0.3, num=120 * 3).reshape(120, 3)
    b = np.linspace(-0.3, 0.1, num=3)
    out, cache = affine_forward(x, w, b)
    np.testing.assert_allclose(out, [[1.49834967, 1.70660132, 1.91485297], [3.25553199, 3.5141327, 3.77273342]],
                               atol=1e-8)
    assert all(kept is given for kept, given in zip(cache, (x, w, b), strict=True))


def check_gradients(forward, dout, grads, *arrays):
    """Each gradient against central differences of the forward function, which takes all arrays."""
    for at, (array, grad) in enumerate(zip(arrays, grads, strict=True)):
        def of_one(value, at=at):
            return forward(*arrays[:at], value, *arrays[at + 1:])
        numerical = eval_numerical_gradient_array(of_one, array, dout)
        assert grad.shape == array.shape
        assert rel_error(grad, numerical) < 1e-7 or np.abs(grad - numerical).max() < 1e-9


def test_affine_backward(rng):
    x, w, b, dout = (rng.standard_normal(shape) for shape in ((10, 2, 3), (6, 5), (5,), (10, 5)))
    check_gradients(lambda *args: affine_forward(*args)[0], dout, affine_backward(dout, affine_forward(x, w, b)[1]),
                    x, w, b)


def test_relu(rng):
    x = np.linspace(-0.5, 0.5, num=12).reshape(3, 4)
    out, cache = relu_forward(x)
    assert np.array_equal(out, np.maximum(x, 0))
    assert cache is x
    dout = rng.standard_normal((3, 4))
    assert np.array_equal(relu_backward(dout, cache), dout * (x > 0))
    assert relu_backward(np.ones(1), np.zeros(1)) == 0
    for shape in ((), (7,), (2, 3, 4), (0, 3)):
        x, dout = rng.standard_normal(shape), rng.standard_normal(shape)
        assert np.array_equal(relu_forward(x)[0], np.maximum(x, 0))
        assert np.array_equal(relu_backward(dout, x), dout * (x > 0))


def test_affine_relu(rng):
    x, w, b, dout = (rng.standard_normal(shape) for shape in ((2, 3, 4), (12, 10), (10,), (2, 10)))
    out, cache = affine_relu_forward(x, w, b)
    np.testing.assert_allclose(out, np.maximum(x.reshape(2, -1) @ w + b, 0), atol=1e-12)
    check_gradients(lambda *args: affine_relu_forward(*args)[0], dout, affine_relu_backward(dout, cache), x, w, b)


def test_losses(rng):
    samples = 50 if COMPILED else 5
    x, y = 0.001 * rng.standard_normal((samples, 10)), rng.randint(0, 10, samples)
    for function, expected in ((softmax_loss, np.log(10)), (svm_loss, 9)):
        loss, dx = function(x, y)
        assert type(loss) is np.float64
        assert loss == pytest.approx(expected, abs=0.03)
        numerical = eval_numerical_gradient(lambda value, f=function: f(value, y)[0], x, verbose=False)
        assert np.abs(dx - numerical).max() < 1e-8
    # A row by hand: margins 1 - 3 + 1 < 0, 0 and 2.5 - 3 + 1 = 0.5.
    loss, dx = svm_loss(np.array([[1.0, 3.0, 2.5]]), np.array([1]))
    assert loss == 0.5
    assert dx.tolist() == [[0, -1, 1]]


def test_dropout(rng):
    x = rng.standard_normal((500, 500)) + 10
    for p in (0.25, 0.4, 0.7):
        np.random.seed(7)
        out, cache = dropout_forward(x, {"mode": "train", "p": p})
        np.random.seed(7)
        mask = (np.random.rand(*x.shape) < p) / p
        assert np.array_equal(out, x * mask)
        dout = rng.standard_normal(x.shape)
        assert np.array_equal(dropout_backward(dout, cache), dout * mask)
        kept = np.frombuffer(bytes(64)).reshape(2, 4)  # nobody may write to it
        assert not dropout_forward(kept, {"mode": "test", "p": p})[0].flags.writeable
        state = np.random.get_state()[1].copy()
        out, cache = dropout_forward(x, {"mode": "test", "p": p})
        assert np.array_equal(out, x)
        assert np.array_equal(dropout_backward(dout, cache), dout)
        assert np.array_equal(np.random.get_state()[1], state)
    for mode in ("train", "test"):  # the seed is set in both, as in the course
        dropout_forward(x[:1], {"mode": mode, "p": 0.5, "seed": 123})
        drawn = np.random.rand()
        np.random.seed(123)
        if mode == "train":
            np.random.rand(1, 500)
        assert np.random.rand() == drawn


def test_batch_normalization(rng):
    x = rng.standard_normal((200, 50)) @ rng.standard_normal((50, 3))
    gamma, beta, param = np.array([1.0, 2.0, 3.0]), np.array([11.0, 12.0, 13.0]), {"mode": "train"}
    out, _ = batchnorm_forward(x, gamma, beta, param)
    np.testing.assert_allclose(out.mean(axis=0), beta, rtol=1e-12)
    np.testing.assert_allclose(out.std(axis=0), gamma, rtol=1e-4)
    np.testing.assert_allclose(param["running_mean"], 0.1 * x.mean(axis=0))
    np.testing.assert_allclose(param["running_var"], 0.1 * x.var(axis=0))
    param["mode"] = "test"
    out, cache = batchnorm_forward(x, gamma, beta, param)
    np.testing.assert_allclose(
        out, gamma * (x - param["running_mean"]) / np.sqrt(param["running_var"] + 1e-5) + beta, rtol=1e-12, atol=1e-12)
    with pytest.raises(ValueError, match="train mode"):
        batchnorm_backward(x, cache)


@pytest.mark.parametrize("axis", ["batch", "layer"])
def test_gradients_of_normalization(rng, axis):
    x, dout = 5 * rng.standard_normal((4, 5)) + 12, rng.standard_normal((4, 5))
    gamma, beta = rng.standard_normal(5), rng.standard_normal(5)
    forward, backward = ((batchnorm_forward, batchnorm_backward) if axis == "batch"
                         else (layernorm_forward, layernorm_backward))
    out, cache = forward(x, gamma, beta, {"mode": "train"})
    along = 0 if axis == "batch" else 1
    hat = (x - x.mean(axis=along, keepdims=True)) / np.sqrt(x.var(axis=along, keepdims=True) + 1e-5)
    np.testing.assert_allclose(out, gamma * hat + beta, rtol=1e-11, atol=1e-12)
    grads = backward(dout, cache)
    check_gradients(lambda *args: forward(*args, {"mode": "train"})[0], dout, grads, x, gamma, beta)
    if axis == "batch":
        for one, other in zip(grads, batchnorm_backward_alt(dout, cache), strict=True):
            assert np.array_equal(one, other)


def test_dtypes_are_kept(rng):
    arrays = [rng.standard_normal(shape) for shape in ((4, 6), (6, 5), (5,), (4, 5))]
    for dtype in (np.float32, np.float64):
        x, w, b, dout = (array.astype(dtype) for array in arrays)
        param = {"mode": "train", "p": 0.5}
        results = [affine_forward(x, w, b)[0], *affine_backward(dout, (x, w, b)), relu_forward(x)[0],
                   relu_backward(x, x), *softmax_loss(x, [0, 1, 2, 3]), *svm_loss(x, [0, 1, 2, 3]),
                   dropout_forward(x, param)[0], dropout_backward(x, dropout_forward(x, param)[1])]
        for forward, backward in ((batchnorm_forward, batchnorm_backward), (layernorm_forward, layernorm_backward)):
            out, cache = forward(dout, b, b, param)
            results += [out, *backward(dout, cache)]
        out, _ = batchnorm_forward(dout, b, b, {**param, "mode": "test"})
        assert {result.dtype for result in [*results, out]} == {np.dtype(dtype)}
    assert affine_forward(arrays[0].astype(np.float32), arrays[1], arrays[2])[0].dtype == np.float64
    assert affine_forward(np.ones((2, 3), int), np.ones((3, 1), np.float32), np.zeros(1))[0].dtype == np.float64


@pytest.mark.parametrize(("call", "message"), [
    (lambda: affine_forward(np.ones((2, 3)), np.ones((4, 1)), np.ones(1)), "w must be a matrix with a row for each of"),
    (lambda: affine_forward(np.ones((2, 3)), np.ones((3, 2)), np.ones(3)), r"b must have shape \(2,\)"),
    (lambda: affine_forward(np.ones(3), np.ones((3, 2)), np.ones(2)), "x must have at least one sample"),
    (lambda: affine_forward(np.array([["a"]]), np.ones((1, 1)), np.ones(1)), "x must be an array of real numbers"),
    (lambda: affine_backward(np.ones((2, 2)), (np.ones((3, 3)), np.ones((3, 2)), None)), "dout must have shape"),
    (lambda: relu_backward(np.ones(3), np.ones(4)), "dout must have shape"),
    (lambda: softmax_loss(np.ones((2, 3)), [0, 3]), "y must hold labels from 0 to 2"),
    (lambda: svm_loss(np.ones((2, 3)), [0]), "one label for each"),
    (lambda: softmax_loss(np.ones(3), [0]), "x must be a matrix of scores"),
    (lambda: dropout_forward(np.ones(3), {"mode": "train", "p": 0}), "probability to keep"),
    (lambda: dropout_forward(np.ones(3), {"mode": "tset", "p": 0.5}), "must be 'train' or 'test'"),
    (lambda: batchnorm_forward(np.ones((2, 3)), np.ones(2), np.ones(3), {"mode": "train"}), "gamma must have shape"),
    (lambda: batchnorm_forward(np.ones((2, 3)), np.ones(3), np.ones(3), {"mode": "test", "running_mean": np.ones(2)}),
     "running_mean"),
    (lambda: layernorm_forward(np.ones(3), np.ones(3), np.ones(3), {}), "x must be a matrix")])
def test_errors_name_the_argument(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()


def test_numerical_gradients(capsys):
    x = np.array([[1.0, 2.0], [3.0, 4.0]])
    grad = eval_numerical_gradient(lambda value: (value**2).sum(), x)
    np.testing.assert_allclose(grad, 2 * x, rtol=1e-8)
    assert capsys.readouterr().out.startswith("(0, 0) ")
    grad_check_sparse(lambda value: (value**2).sum(), x, 2 * x, num_checks=3)
    assert capsys.readouterr().out.count("relative error") == 3
    assert x.tolist() == [[1, 2], [3, 4]]
