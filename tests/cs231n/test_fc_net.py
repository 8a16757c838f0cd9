"""The course's networks with a Solver: the notebooks' numbers, draws, gradients, options and errors.

Sources: assignment 2, FullyConnectedNets.ipynb of 2016 to 2020; assignment 1, two_layer_net.ipynb from 2021 on;
recomputed.
"""

import pickle
import subprocess
import sys

import numpy as np
import pytest

import fastnet
from fastnet.cs231n.classifiers import fc_net, neural_net
from fastnet.cs231n.classifiers.fc_net import FullyConnectedNet, TwoLayerNet
from fastnet.cs231n.gradient_check import eval_numerical_gradient, rel_error
from tests.conftest import compiled_only
from tests.cs231n import course
from tests.promises.test_oracles import FC_NET_SCORES

N, D, H, C = 3, 5, 50, 7


def notebook_net():
    net = TwoLayerNet(input_dim=D, hidden_dim=H, num_classes=C, weight_scale=1e-3)
    net.params["W1"] = np.linspace(-0.7, 0.3, num=D * H).reshape(D, H)
    net.params["b1"] = np.linspace(-0.1, 0.9, num=H)
    net.params["W2"] = np.linspace(-0.3, 0.4, num=H * C).reshape(H, C)
    net.params["b2"] = np.linspace(-0.9, 0.1, num=C)
    return net, np.linspace(-5.5, 4.5, num=N * D).reshape(D, N).T


def test_numbers_of_the_notebook():
    net, X = notebook_net()
    assert np.abs(net.loss(X) - FC_NET_SCORES).sum() < 1e-6
    y = np.asarray([0, 5, 1])
    loss, _ = net.loss(X, y)
    assert type(loss) is np.float64
    assert loss == pytest.approx(3.4702243556, abs=1e-10)
    net.reg = 1.0
    assert net.loss(X, y)[0] == pytest.approx(26.5948426952, abs=1e-10)
    for net.reg in (0.0, 0.7):
        _, grads = net.loss(X, y)
        assert list(grads) == ["W1", "b1", "W2", "b2"]
        for name in ("b2", *compiled_only(["W2", "b1"])):
            numerical = eval_numerical_gradient(lambda _: net.loss(X, y)[0], net.params[name], verbose=False)
            assert rel_error(numerical, grads[name]) < 1e-6


def test_draws_are_the_courses():
    np.random.seed(5)
    W1, W2 = 0.1 * np.random.randn(6, 4), 0.1 * np.random.randn(4, 3)
    after = np.random.rand()
    np.random.seed(5)
    net = TwoLayerNet(6, 4, 3, 0.1)
    assert np.random.rand() == after
    assert list(net.params) == ["W1", "b1", "W2", "b2"]
    assert np.array_equal(net.params["W1"], W1)
    assert np.array_equal(net.params["W2"], W2)
    assert not net.params["b1"].any()
    np.random.seed(5)
    deep = FullyConnectedNet([4], 6, 3, weight_scale=0.1, normalization="batchnorm")
    assert np.random.rand() == after
    assert np.array_equal(deep.params["W1"], W1.astype(np.float32))
    assert deep.params["gamma1"].tolist() == [1] * 4
    assert {array.dtype for array in deep.params.values()} == {np.dtype(np.float32)}


def test_defaults_are_the_courses():
    net = TwoLayerNet()
    assert [net.params[name].shape for name in ("W1", "b1", "W2", "b2")] == [(3072, 100), (100,), (100, 10), (10,)]
    assert net.reg == 0.0
    assert net.params["W1"].std() == pytest.approx(1e-3, rel=0.02)
    deep = FullyConnectedNet([20, 30])
    assert (deep.num_layers, deep.dtype, deep.use_dropout, deep.normalization) == (3, np.float32, False, None)
    assert (deep.dropout_param, deep.bn_params) == ({}, [])
    assert deep.params["W3"].shape == (30, 10)


@pytest.mark.slow
def test_options_of_all_years():
    for options in ({"dropout_keep_ratio": 0.5}, {"dropout": 0.5}):
        net = FullyConnectedNet([4], 6, 3, seed=9, **options)
        assert net.dropout_param == {"mode": "train", "p": 0.5, "seed": 9}
    assert FullyConnectedNet([4, 5], 6, 3, use_batchnorm=True).bn_params == [{"mode": "train"}] * 2
    assert FullyConnectedNet([4, 5], 6, 3, 1, "layernorm").bn_params == [{}, {}]
    assert not FullyConnectedNet([4], 6, 3, dropout=0).use_dropout  # 2016's default
    assert FullyConnectedNet([4], 6, 3, 0, False).is_affine
    assert FullyConnectedNet([4], 6, 3, 0, True).normalization == "batchnorm"
    net = FullyConnectedNet([4], 6, 3, normalization="batchnorm")
    net.loss(np.ones((2, 6)))
    assert net.dropout_param == {}
    assert FullyConnectedNet(np.array([4, 5]), 6, 3).num_layers == 3


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("keep", [1, 0.6])
@pytest.mark.parametrize("normalization", [None, "batchnorm", "layernorm"])
def test_losses_and_gradients_are_the_courses(rng, normalization, keep, dtype):
    X, y = rng.standard_normal((13, 2, 3)), rng.randint(0, 4, 13)
    options = {"normalization": normalization, "reg": 0.3, "weight_scale": 0.5, "dtype": dtype, "seed": 4}
    np.random.seed(1)
    theirs = course.Net([7, 5], 6, 4, keep=keep, **options)
    np.random.seed(1)
    ours = FullyConnectedNet([7, 5], 6, 4, dropout_keep_ratio=keep, **options)
    tolerance = 1e-10 if dtype == np.float64 else 1e-4
    for _ in range(2):
        (expected, grads), (loss, found) = theirs.loss(X, y), ours.loss(X, y)
        assert type(loss) is dtype
        np.testing.assert_allclose(loss, expected, rtol=tolerance)
        assert found.keys() == grads.keys() == ours.params.keys()
        for name, grad in grads.items():
            assert found[name].dtype == dtype
            np.testing.assert_allclose(found[name], grad, rtol=tolerance, atol=tolerance)
        scores = ours.loss(X)
        assert scores.dtype == dtype
        np.testing.assert_allclose(scores, theirs.loss(X), rtol=tolerance, atol=tolerance)


def test_parameters_are_what_is_in_the_dict(rng):
    X, y = rng.standard_normal((4, 5)), np.array([0, 1, 2, 0])
    net = TwoLayerNet(5, 6, 3, 0.3)
    before = net.loss(X)
    net.params["b2"] += 1
    np.testing.assert_allclose(net.loss(X), before + 1)
    net.params["W1"] = np.zeros((5, 8), np.float32)
    net.params["b1"], net.params["W2"] = np.ones((1, 8)), np.ones((8, 3), int)
    np.testing.assert_allclose(net.loss(X), np.full((4, 3), 9.0))
    assert net.loss(X, y)[1]["b1"].shape == (1, 8)
    again = pickle.loads(pickle.dumps(net))
    assert np.array_equal(again.loss(X), net.loss(X))


@pytest.mark.slow
@pytest.mark.parametrize(("call", "message"), [
    (lambda: TwoLayerNet(0, 1, 1), "input_dim must be at least 1"),
    (lambda: TwoLayerNet(4, 5, 3, reg=-1), "reg must be at least 0"),
    (lambda: TwoLayerNet(4, 5, 3, weight_scale=np.nan), "weight_scale must be finite"),
    (lambda: FullyConnectedNet([]), "hidden_dims must be a list"),
    (lambda: FullyConnectedNet([4.5]), r"hidden_dims\[0\] must be an integer"),
    (lambda: FullyConnectedNet([4], normalization="batch"), "normalization must be one of"),
    (lambda: FullyConnectedNet([4], dropout=1.5), "dropout_keep_ratio is the probability"),
    (lambda: FullyConnectedNet([4], dtype=np.float16), "dtype must be float32 or float64"),
    (lambda: TwoLayerNet(4, 5, 3).loss(np.ones((2, 3))), "X must have 4 features"),
    (lambda: TwoLayerNet(4, 5, 3).loss(np.full((2, 4), np.nan)), "X must be finite"),
    (lambda: TwoLayerNet(4, 5, 3).loss(np.ones((2, 4)), [0, 3]), "labels from 0 to 2"),
    (lambda: FullyConnectedNet([3], 4, 3, normalization="layernorm").loss(np.ones((2, 4)), [0, 3]), "labels from 0"),
    (lambda: without(FullyConnectedNet([3], 4, 3, normalization="layernorm"), "beta1").loss(np.ones((2, 4))),
     r"params\['beta1'\]")])
def test_errors_name_the_argument(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()


def without(net, name):
    del net.params[name]
    return net


def test_keywords_of_another_edition_name_its_class():
    for call, name in ((lambda: fastnet.TwoLayerNet(input_dim=4, hidden_dim=5, num_classes=3), "fc_net.TwoLayerNet"),
                       (lambda: fastnet.TwoLayerNet(4, 5, 3, reg=0.1), "fc_net.TwoLayerNet"),
                       (lambda: fastnet.TwoLayerNet(4, 5, 3, weight_init_std=0.1), "fastnet.dlfs"),
                       (lambda: TwoLayerNet(input_size=4, hidden_size=5, output_size=3), "fastnet.TwoLayerNet"),
                       (lambda: TwoLayerNet(hidden_dims=[4]), "FullyConnectedNet"),
                       (lambda: TwoLayerNet(input_size=4, hidden_size=5, weight_init_std=3), "fastnet.dlfs")):
        with pytest.raises(TypeError, match=name.replace(".", r"\.")):
            call()
    with pytest.raises(TypeError, match="unexpected keyword argument 'inputs'"):
        TwoLayerNet(inputs=4)


def test_the_old_class_warns_that_nobody_reads_its_reg():
    assert neural_net.TwoLayerNet is fastnet.TwoLayerNet
    net = fastnet.TwoLayerNet(4, 5, 3)
    assert not hasattr(net, "reg")
    with pytest.warns(UserWarning, match="nobody reads the attribute reg"):
        net.reg = 0.1
    assert net.reg == 0.1
    assert pickle.loads(pickle.dumps(net)).reg == 0.1


def test_a_star_import_has_what_the_courses_has():
    names = {}
    exec("from fastnet.cs231n.classifiers.fc_net import *", names)
    assert {"TwoLayerNet", "FullyConnectedNet", "affine_relu_forward", "softmax_loss", "batchnorm_backward_alt",
            "svm_loss", "dropout_forward"} <= names.keys()
    assert sorted(fc_net.__all__) == sorted(set(fc_net.__all__))


def test_modules_have_the_courses_names():
    code = ("from fastnet.cs231n.classifiers.fc_net import *\nfrom fastnet.cs231n.solver import Solver\n"
            "from fastnet.cs231n.layers import *\nfrom fastnet.cs231n.layer_utils import affine_relu_backward\n"
            "from fastnet.cs231n.optim import sgd_momentum, rmsprop, adam\nfrom fastnet.cs231n import optim\n"
            "from fastnet.cs231n.gradient_check import eval_numerical_gradient\n"
            "from fastnet.cs231n.data_utils import get_CIFAR10_data\n"
            "from fastnet.cs231n.classifiers.neural_net import TwoLayerNet\nprint(TwoLayerNet.__module__)")
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "fastnet.model\n"


def test_how_networks_are_shown():
    assert repr(TwoLayerNet(64, 100, 10)) == "TwoLayerNet(64, 100, 10, float64)"
    net = FullyConnectedNet([8, 6], 12, 4, dtype=np.float32)
    assert repr(net) == "FullyConnectedNet(12, 8, 6, 4, float32)"
    net.params = None
    assert repr(net) == "FullyConnectedNet(float32)"
