"""Bad input: a clear error that names the argument, and nothing changed."""

import copy

import numpy as np
import pytest

from fastnet import TwoLayerNet, checks, get_num_threads, set_num_threads
from fastnet.network import passes

from .conftest import COMPILED

X = np.random.RandomState(0).standard_normal((6, 4))
y = np.array([0, 1, 2, 2, 1, 0])


def with_value(array, value, dtype=None):
    array = np.array(array, dtype)
    array.flat[3] = value
    return array


BAD_X = {
    "one dimension": (X[0], ValueError, r"X must have at least two dimensions.*reshape\(1, -1\)"),
    "no dimension": (3.0, ValueError, "X must have at least two dimensions"),
    "no samples": (X[:0], ValueError, "X must have at least one sample"),
    "too few features": (X[:, :3], ValueError, r"X must have 4 features.*got 3 \(shape \(6, 3\)\)"),
    "too many features": (np.ones((6, 2, 3)), ValueError, r"X must have 4 features.*got 6"),
    "no features": (np.ones((6, 0)), ValueError, "X must have 4 features"),
    "NaN": (with_value(X, np.nan), ValueError, "X must be finite.*got nan at sample 0, feature 3"),
    "inf": (with_value(X, np.inf), ValueError, "X must be finite.*got inf"),
    "-inf": (with_value(X, -np.inf), ValueError, "X must be finite.*got -inf"),
    "complex": (X * 1j, TypeError, "X must be an array of real numbers, got dtype complex128"),
    "text": (X.astype(str), TypeError, "X must be an array of real numbers"),
    "objects": (X.astype(object), TypeError, "X must be an array of real numbers, got dtype object"),
    "dates": (X.astype("M8[s]"), TypeError, "X must be an array of real numbers"),
    "records": (np.zeros((6, 4), "f8,i4"), TypeError, "X must be an array of real numbers"),
    "None": (None, TypeError, "X must be an array of real numbers"),
    "ragged": ([[1.0, 2.0], [3.0]], TypeError, "X must be an array"),
    "masked": (np.ma.masked_array(X, mask=X > 0), TypeError, "X must not have masked elements"),
}
BAD_Y = {
    "-1": (with_value(y, -1), ValueError, "y must hold labels from 0 to 2, got -1 at index 3"),
    "C": (with_value(y, 3), ValueError, "y must hold labels from 0 to 2, got 3 at index 3"),
    "2**63-1": (with_value(y, 2**63 - 1), ValueError, "y must hold labels from 0 to 2"),
    "-2**63": (with_value(y, -(2**63)), ValueError, "y must hold labels from 0 to 2"),
    "2**63": (with_value(y, 2**63, np.uint64), ValueError, "y must hold labels from 0 to 2"),
    "2**64": ([0, 1, 2, 2**64, 1, 0], TypeError, "y must be an array"),
    "1.5": (with_value(y, 1.5, float), ValueError, "y must hold integer labels, got 1.5 at index 3"),
    "NaN": (with_value(y, np.nan, float), ValueError, "y must hold integer labels, got nan"),
    "inf": (with_value(y, np.inf, float), ValueError, "y must hold integer labels, got inf"),
    "too short": (y[:5], ValueError, "y must have one label for each sample: expected 6, got 5"),
    "too long": (np.append(y, 0), ValueError, "y must have one label for each sample: expected 6, got 7"),
    "one-hot": (np.eye(3)[y], ValueError, r"y must have one dimension.*got shape \(6, 3\)"),
    "a column": (y[:, None], ValueError, r"y must have one dimension.*got shape \(6, 1\)"),
    "text": (y.astype(str), TypeError, "y must be an array of integer labels"),
    "complex": (y + 0j, TypeError, "y must be an array of integer labels"),
    "a number": (1, ValueError, "y must have one dimension"),
}
good = TwoLayerNet(4, 5, 3, std=0.1, rng=0).params
BAD_PARAMS = {
    "W1 missing": ({"W1": None}, ValueError, r"params must have the keys.*'W1'"),
    "a list": ({"W1": good["W1"].tolist()}, TypeError, r"params\['W1'\] must be a NumPy array"),
    "complex": ({"W2": good["W2"] * 1j}, TypeError, r"params\['W2'\] must be a NumPy array of real numbers"),
    "W1 of wrong width": ({"W1": np.ones((4, 6))}, ValueError, r"params\['b1'\] must have one element for each"),
    "W1 of wrong height": ({"W1": np.ones((7, 5))}, ValueError, "X must have 7 features"),
    "W1 a vector": ({"W1": np.ones(20)}, ValueError, r"params\['W1'\] must be a matrix"),
    "W1 empty": ({"W1": np.ones((4, 0)), "b1": np.ones(0)}, ValueError, r"params\['W1'\] must be a matrix"),
    "W1 without rows": ({"W1": np.ones((0, 5))}, ValueError, r"params\['W1'\] must be a matrix without an empty side"),
    "no hidden units": ({"W1": np.ones((4, 0)), "b1": np.ones(0), "W2": np.ones((0, 3))}, ValueError,
                        r"params\['W1'\] must be a matrix without an empty side"),
    "no classes": ({"W2": np.ones((5, 0)), "b2": np.ones(0)}, ValueError,
                   r"params\['W2'\] must be a matrix without an empty side"),
    "booleans": ({"b1": np.ones(5, bool)}, TypeError, r"params\['b1'\] must be a NumPy array of real numbers"),
    "W2 of wrong height": ({"W2": np.ones((4, 3))}, ValueError, r"params\['W2'\] must have a row for each of the 5"),
    "W2 transposed": ({"W2": np.ones((3, 5))}, ValueError, r"params\['b2'\]"),
    "b1 too long": ({"b1": np.ones(6)}, ValueError, r"params\['b1'\] must have one element.*got shape \(6,\)"),
    "b1 a column": ({"b1": np.ones((5, 1))}, ValueError, r"params\['b1'\]"),
    "b2 a number": ({"b2": np.array(1.0)}, ValueError, r"params\['b2'\]"),
}


def snapshot(net):
    return copy.deepcopy(net.params), np.random.get_state()[1].copy()


def assert_unchanged(net, before):
    params, state = before
    assert net.params.keys() == params.keys()
    for name, array in params.items():
        np.testing.assert_array_equal(net.params[name], array)
    np.testing.assert_array_equal(np.random.get_state()[1], state)


@pytest.fixture
def net():
    return TwoLayerNet(4, 5, 3, std=0.1)


@pytest.mark.parametrize("case", BAD_X)
def test_bad_X(net, case):
    bad, error, message = BAD_X[case]
    before = snapshot(net)
    for call in (net.loss, net.predict, net.predict_proba, lambda X: net.loss(X, y), lambda X: net.train(X, y, X, y)):
        with pytest.raises(error, match=message):
            call(bad)
    with pytest.raises(error, match=message.replace("X must", "X_val must")):
        net.train(X, y, bad, y)
    assert_unchanged(net, before)


@pytest.mark.parametrize("case", BAD_Y)
def test_bad_y(net, case):
    bad, error, message = BAD_Y[case]
    before = snapshot(net)
    with pytest.raises(error, match=message):
        net.loss(X, bad)
    with pytest.raises(error, match=message):
        net.train(X, bad, X, y)
    with pytest.raises(error, match=message.replace("y must", "y_val must")):
        net.train(X, y, X, bad)
    assert_unchanged(net, before)


@pytest.mark.parametrize("case", BAD_PARAMS)
@pytest.mark.parametrize("seen", [False, True])
def test_bad_params(net, case, seen):
    bad, error, message = BAD_PARAMS[case]
    if seen:  # what was right in a call before may be wrong by now
        net.loss(X)
    for name, array in bad.items():
        if array is None:
            del net.params[name]
        else:
            net.params[name] = array
    kept = dict(net.params)
    for call in (lambda: net.loss(X), lambda: net.loss(X, y), lambda: net.train(X, y, X, y), lambda: net.predict(X)):
        with pytest.raises(error, match=message):
            call()
    assert all(net.params[name] is array for name, array in kept.items())


@pytest.mark.parametrize("params", [None, [1, 2], "W1"])
def test_params_no_dict(net, params):
    net.params = params
    with pytest.raises(TypeError, match="params must be a dict"):
        net.loss(X)


@pytest.mark.parametrize("kind", ["integers", "read-only"])
def test_params_that_cannot_be_trained(net, kind):
    net.params["b1"] = np.zeros(5, int if kind == "integers" else float)
    net.params["b1"].setflags(write=kind == "integers")
    before = snapshot(net)
    assert net.loss(X).shape == (6, 3)
    with pytest.raises(TypeError, match=r"params\['b1'\] must be a writable array of floats to be trained"):
        net.train(X, y, X, y)
    assert_unchanged(net, before)


def test_too_large_for_float32():
    net = TwoLayerNet(4, 5, 3, dtype=np.float32)
    with pytest.raises(ValueError, match=r"X must be finite \(in float32\), got inf at sample 0, feature 3"):
        net.loss(with_value(X, 1e39))


@pytest.mark.parametrize(("arguments", "error", "message"), [
    ({"reg": np.nan}, ValueError, "reg must be finite, got nan"),
    ({"reg": -1}, ValueError, "reg must be at least 0, got -1"),
    ({"reg": 10**400}, ValueError, "reg must be finite, got inf"),
    ({"reg": 1e308}, ValueError, "reg is too large for float64"),
    ({"reg": b"1"}, TypeError, "reg must be a number"),
    ({"reg": "1"}, TypeError, r"reg must be a number, got '1' \(str\)"),
    ({"reg": [1.0]}, TypeError, "reg must be a number"),
    ({"reg": None}, TypeError, "reg must be a number"),
    ({"reg": 1j}, TypeError, "reg must be a number"),
    ({"learning_rate": np.inf}, ValueError, "learning_rate must be finite"),
    ({"learning_rate_decay": "fast"}, TypeError, "learning_rate_decay must be a number"),
    ({"num_iters": -1}, ValueError, "num_iters must be at least 0, got -1"),
    ({"num_iters": 2.5}, TypeError, r"num_iters must be an integer, got 2.5 \(float\)"),
    ({"num_iters": 10**30}, ValueError, "num_iters must be at most"),
    ({"batch_size": 0}, ValueError, "batch_size must be at least 1, got 0"),
    ({"batch_size": None}, TypeError, "batch_size must be an integer"),
    ({"callback": 3}, TypeError, "callback must be callable"),
])
def test_bad_options_of_train(net, arguments, error, message):
    before = snapshot(net)
    with pytest.raises(error, match=message):
        net.train(X, y, X, y, **arguments)
    if "reg" in arguments:
        with pytest.raises(error, match=message):
            net.loss(X, y, **arguments)
    assert_unchanged(net, before)


@pytest.mark.parametrize(("arguments", "error", "message"), [
    ((0, 5, 3), ValueError, "input_size must be at least 1, got 0"),
    ((4, -5, 3), ValueError, "hidden_size must be at least 1"),
    ((4, 5, 3.0), TypeError, "output_size must be an integer"),
    ((4, 5, 3, -1), ValueError, "std must be at least 0"),
    ((4, 5, 3, "small"), TypeError, "std must be a number"),
])
def test_bad_sizes(arguments, error, message):
    state = np.random.get_state()[1].copy()
    with pytest.raises(error, match=message):
        TwoLayerNet(*arguments)
    np.testing.assert_array_equal(np.random.get_state()[1], state)


@pytest.mark.parametrize(("options", "error", "message"), [
    ({"dtype": np.float16}, ValueError, "dtype must be float32 or float64"),
    ({"dtype": int}, ValueError, "dtype must be float32 or float64"),
    ({"dtype": "float63"}, ValueError, "dtype must be float32 or float64, got 'float63'"),
    ({"dtype": ","}, ValueError, "dtype must be float32 or float64"),
    ({"dtype": {"names": ["a"]}}, ValueError, "dtype must be float32 or float64"),
    ({"dtype": None}, ValueError, "dtype must be float32 or float64"),
    ({"l2": "none"}, ValueError, "l2 must be one of 'full', 'half', got 'none'"),
    ({"l2": 2}, ValueError, "l2 must be one of"),
    ({"rng": "seed"}, TypeError, "rng must be None, an integer seed"),
    ({"rng": 1.5}, TypeError, "rng must be None"),
    ({"rng": -1}, ValueError, "rng as a seed must be between 0 and"),
    ({"rng": 2**32}, ValueError, "rng as a seed must be between 0 and"),
])
def test_bad_options(options, error, message):
    with pytest.raises(error, match=message):
        TwoLayerNet(4, 5, 3, **options)


def test_options_are_keyword_only():
    with pytest.raises(TypeError, match="positional"):
        TwoLayerNet(4, 5, 3, 0.1, np.float32)


@pytest.mark.parametrize("dtype", [">f4", ">f8"])
def test_dtypes_of_another_byte_order_mean_the_native_one(dtype):
    assert TwoLayerNet(2, 2, 2, dtype=dtype).params["W1"].dtype.isnative


@pytest.mark.parametrize(("threads", "error"), [
    (0, ValueError), (10**6, ValueError), (1.5, TypeError), ("2", TypeError)])
def test_bad_number_of_threads(threads, error):
    before = get_num_threads()
    with pytest.raises(error, match="threads must be"):
        set_num_threads(threads)
    assert get_num_threads() == before


def test_number_of_threads():
    before = get_num_threads()
    set_num_threads(1)
    assert get_num_threads() == 1
    set_num_threads(before)


def test_labels_are_a_private_copy():
    mine = y.copy()
    own = checks.labels(mine, "y", samples=6, classes=3)
    assert own.dtype == np.int64
    assert not np.shares_memory(own, mine)
    np.testing.assert_array_equal(checks.labels(y > 0, "y", samples=6, classes=2), y > 0)


def test_where_in_a_long_array_the_bad_number_is(monkeypatch):
    monkeypatch.setattr(checks, "FINITE_PIECE", 5)
    bad = X.copy()
    bad[4, 1] = np.inf
    with pytest.raises(ValueError, match="got inf at sample 4, feature 1"):
        checks.features(bad, "X", columns=4, dtype=np.dtype(float))


def test_dtype_and_l2_are_fixed():
    net = TwoLayerNet(4, 5, 3)
    for name in ("dtype", "l2"):
        with pytest.raises(AttributeError):
            setattr(net, name, "half")


def test_long_values_are_cut_short_in_messages():
    with pytest.raises(TypeError, match=r"reg must be a number, got .{57}\.\.\. \(str\)"):
        TwoLayerNet(4, 5, 3).loss(X, y, reg="1" * 1000)


def test_what_is_checked_is_a_view_of_our_own():
    X = np.arange(12.0).reshape(4, 3)
    for given in (X, np.asfortranarray(X), X.astype(np.float32), X.tolist(), X[::-1], X.view(np.matrix)):
        checked = checks.features(given, "X", columns=3, dtype=np.dtype(float))
        assert checked is not given
        if isinstance(given, np.ndarray) and np.may_share_memory(checked, given):
            given.shape = given.size, 1
        assert checked.shape == (4, 3)
        if given is X:
            X.shape = 4, 3


def test_what_lies_in_another_way_is_predicted_alike_after_other_calls():
    frozen = X.copy()
    frozen.setflags(write=False)
    ways = [X, X.tolist(), frozen, np.asfortranarray(X), X[::-1][::-1], X.reshape(6, 2, 2), X[:1], X.astype(">f8"),
            X.view(np.matrix)]
    expected = TwoLayerNet(4, 5, 3, std=0.1, rng=0).loss(X)
    net = TwoLayerNet(4, 5, 3, std=0.1, rng=0)
    params = dict(net.params)
    for given in ways:
        for _ in range(2):
            np.testing.assert_allclose(net.loss(given), expected[:len(given)], rtol=0 if COMPILED else 1e-12)
    for name, array in params.items():
        for way in (np.asfortranarray(array), array.astype(">f8"), array.astype(object).astype(float)):
            net.params[name] = way
            for _ in range(2):
                np.testing.assert_array_equal(net.loss(X), expected)
        net.params[name] = array + 1  # what is asked for is what `params` holds now
        assert (net.loss(X) != expected).any()
        net.params[name] = array
    narrow = TwoLayerNet(4, 5, 3, std=0.1, rng=0, dtype=np.float32)
    for given in (X.astype(np.float32), X):
        assert narrow.loss(given).dtype == np.float32


def test_a_further_call_goes_straight_to_compiled_code(net, monkeypatch):
    expected, labels = net.loss(X), net.predict(X)
    net.params["b1"] = net.params["b1"].reshape(1, 5)
    net.loss(X)
    one = net.loss(X[:1])
    with monkeypatch.context() as patched:
        patched.setattr(passes, "slow_regions", lambda: False)
        patched.setattr(passes, "infer", None)
        again = net.loss(X)
        np.testing.assert_array_equal(again, expected)
        np.testing.assert_array_equal(net.predict(X), labels)
        patched.setattr(passes, "slow_regions", None)  # which has numba load its threads: not for a single sample
        np.testing.assert_array_equal(net.loss(X[:1]), one)
    assert not np.may_share_memory(again, net.loss(X))
    monkeypatch.setattr(passes, "slow_regions", lambda: True)
    calls = []
    monkeypatch.setattr(passes, "infer", lambda *args, **options: calls.append(args) or (expected, labels))
    net.loss(X)
    assert len(calls) == 1


def test_a_bias_of_other_shape_is_a_bias_by_name():
    net = TwoLayerNet(3, 4, 2, std=0.1, rng=0)
    X = np.ones((2, 3))
    expected = net.loss(X)
    for shape in ((1, 4), (4,), (1, 4), (1, 4)):
        net.params["b1"] = net.params["b1"].reshape(shape)
        np.testing.assert_array_equal(net.loss(X), expected)
    net.params["b1"] = net.params["b1"].reshape(4, 1)
    with pytest.raises(ValueError, match="b1"):
        net.loss(X)
    net.params["b1"] = net.params["b1"].reshape(-1)
    net.params["W1"] = net.params["W1"].reshape(1, 3, 4)
    with pytest.raises(ValueError, match="W1"):
        net.loss(X)


def test_parameters_are_used_where_they_lie_now():
    net = TwoLayerNet(3, 4, 2, std=0.1, rng=0)
    net.params["W1"] = np.array(net.params["W1"])
    X = np.ones((2, 3))
    before, W1 = net.loss(X), net.params["W1"]
    W1.resize((3000, 4), refcheck=False)
    W1.resize((3, 4), refcheck=False)
    np.testing.assert_array_equal(net.loss(X), before)
