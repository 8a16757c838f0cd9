"""The model class: layouts and dtypes of input, params as a plain dict, probabilities, more than two layers."""

import copy
import pickle
from itertools import pairwise

import numpy as np
import pytest

from fastnet import TwoLayerNet, kernels, reference
from fastnet.engine import workspace as workspaces
from fastnet.engine.packed import Parameters
from fastnet.engine.workspace import Workspace
from fastnet.network import inference, passes
from fastnet.parallel import threads

from .conftest import COMPILED
from .strategies import LAYOUTS, lay_out
from .tolerances import product_bound


@pytest.fixture
def data(rng):
    return rng.standard_normal((7, 12)), rng.randint(5, size=7)


def make(net_class=TwoLayerNet, **options):
    return net_class(12, 9, 5, std=0.3, rng=0, **options)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_layouts_of_input(data, layout, dtype):
    X, y = data
    expected_loss, expected = make(dtype=dtype).loss(X.astype(dtype), y, 0.1)
    given_X = lay_out(X.astype(dtype), layout)
    kept = given_X.copy()
    loss, grads = make(dtype=dtype).loss(given_X, lay_out(y, layout), 0.1)
    assert loss == expected_loss
    for name, grad in expected.items():
        np.testing.assert_array_equal(grads[name], grad)
        assert grads[name].dtype == dtype
    np.testing.assert_array_equal(given_X, kept)


@pytest.mark.parametrize("given_dtype", [
    np.float16, np.float32, ">f8", ">f4", np.longdouble, np.int8, np.uint64, ">i2", bool])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtypes_of_input(data, given_dtype, dtype):
    X = np.abs(np.round(2 * data[0])).astype(given_dtype)
    np.testing.assert_array_equal(make(dtype=dtype).loss(X), make(dtype=dtype).loss(X.astype(dtype)))


def test_more_than_two_dimensions_are_flattened(data):
    X, y = data
    net = make()
    images = X.reshape(7, 2, 3, 2)
    np.testing.assert_array_equal(net.loss(images), net.loss(X))
    np.testing.assert_array_equal(net.loss(np.asfortranarray(images)), net.loss(X))
    stats = make().train(images, y, images, y, num_iters=3)
    assert stats == make().train(X, y, X, y, num_iters=3)


def test_lists_and_other_things_that_numpy_takes(data):
    X, y = data
    net = make()
    assert net.loss(X.tolist(), y.tolist())[0] == net.loss(X, y)[0]
    assert net.loss(X, y.astype(float))[0] == net.loss(X, y)[0]
    assert net.loss(X, y.astype(np.uint8))[0] == net.loss(X, y)[0]
    assert net.loss(np.ma.masked_array(X, mask=False), y)[0] == net.loss(X, y)[0]
    assert net.loss(np.frombuffer(b"x" + X.tobytes(), dtype=np.uint8)[1:].view(X.dtype).reshape(X.shape), y)[0] \
        == net.loss(X, y)[0]  # not aligned


def test_params_are_a_plain_dict_that_the_next_call_sees(data, net_class):
    X, _ = data
    net = make(net_class)
    assert type(net.params) is dict
    before = net.loss(X)
    net.params["b2"][1] += 1  # in place
    assert (net.loss(X)[:, 1] != before[:, 1]).all()
    net.params["b2"] = net.params["b2"] - np.array([0, 1, 0, 0, 0])  # replaced
    np.testing.assert_allclose(net.loss(X), before, rtol=1e-12, atol=1e-12 * np.abs(before).max())
    net.params["W1"], net.params["b1"] = np.zeros((12, 3)), np.ones(3)  # another number of hidden units
    net.params["W2"] = np.ones((3, 5))
    np.testing.assert_allclose(net.loss(X), np.tile(net.params["b2"] + 3, (7, 1)), rtol=1e-12)


def test_returned_arrays_belong_to_the_caller(data):
    X, y = data
    net = make()
    scores, (_, grads) = net.loss(X), net.loss(X, y)
    scores[...] = 0
    for grad in grads.values():
        grad[...] = np.nan
    assert np.isfinite(net.loss(X, y)[0])
    assert net.loss(X).any()


def test_loss_is_a_number_of_numpys_and_reads_as_documented(data, net_class):
    X, y = data
    for dtype in (np.float32, np.float64):
        net = make(net_class, dtype=dtype)
        loss, grads = net.loss(X, y)
        assert type(loss) is np.float64
        assert set(grads) == {"W1", "b1", "W2", "b2"}
        assert net.loss(X).dtype == net.params["W1"].dtype == grads["b2"].dtype == dtype
        assert net.predict(X).dtype.kind == "i"


@pytest.mark.parametrize(("l2", "factor"), [("full", 1.0), ("half", 0.5)])
def test_both_forms_of_l2(data, net_class, l2, factor):
    X, y = data
    net = make(net_class, l2=l2)
    plain, plain_grads = net.loss(X, y)
    loss, grads = net.loss(X, y, reg=0.7)
    squares = sum(np.sum(net.params[name] ** 2) for name in ("W1", "W2"))
    assert loss == pytest.approx(plain + factor * 0.7 * squares, rel=1e-13)
    for name in net.params:
        penalty = 2 * factor * 0.7 * net.params[name] if name.startswith("W") else 0
        np.testing.assert_allclose(grads[name], plain_grads[name] + penalty, rtol=1e-12, atol=1e-15)


def test_probabilities(data):
    X, _ = data
    net, ref = make(), make(reference.TwoLayerNet)
    P = net.predict_proba(X)
    np.testing.assert_allclose(P, ref.predict_proba(X), rtol=1e-13)
    np.testing.assert_allclose(P.sum(axis=1), 1, rtol=1e-14)
    np.testing.assert_array_equal(P.argmax(axis=1), net.predict(X))


def test_many_rows_are_scored_in_chunks_to_the_same_bits(data, monkeypatch):
    X = np.tile(data[0], (40, 1))
    expected, labels = make().loss(X), make().predict(X)
    monkeypatch.setattr(passes, "CHUNK_WORK", 1)  # so: 64 rows at a time
    np.testing.assert_array_equal(make().loss(X), expected)
    np.testing.assert_array_equal(make().predict(X), labels)
    X.setflags(write=False)
    np.testing.assert_array_equal(make().loss(X), expected)


@pytest.mark.parametrize("method", ["loss", "predict", "predict_proba"])
def test_a_result_that_no_memory_holds_fails_at_once(data, method):
    with pytest.raises(MemoryError):
        getattr(make(), method)(np.broadcast_to(data[0][0], (2**56, data[0].shape[1])))


def test_pickle_and_copy(data):
    X, y = data
    net = make(dtype=np.float32, l2="half")
    for twin in (pickle.loads(pickle.dumps(net)), copy.deepcopy(net)):
        np.testing.assert_array_equal(twin.loss(X), net.loss(X))
        assert twin.dtype == np.float32
        assert twin.l2 == "half"
        assert twin.train(X, y, X, y, num_iters=2) == copy.deepcopy(net).train(X, y, X, y, num_iters=2)
    pickle.loads(pickle.dumps(TwoLayerNet(2, 2, 2)))  # with NumPy's global generator


@pytest.mark.slow
@pytest.mark.parametrize("widths", [(6, 4), (6, 5, 4), (6, 7, 3, 8, 4)])
def test_any_number_of_layers(rng, widths):
    layers = [(rng.standard_normal(shape), rng.standard_normal(shape[1]))
              for shape in pairwise(widths)]
    X, y, l2 = rng.standard_normal((9, 6)), rng.randint(4, size=9), 0.3
    loss, grads = passes.loss_and_grads(layers, X, y, l2)
    # The same in NumPy, spelled out.
    A = [X]
    for W, b in layers[:-1]:
        A.append(reference.relu(reference.affine_forward(A[-1], W, b)))
    expected, delta = reference.softmax_cross_entropy(reference.affine_forward(A[-1], *layers[-1]), y)
    expected += 0.5 * l2 * sum(np.sum(W**2) for W, _ in layers)
    assert loss == pytest.approx(expected, rel=1e-13)
    for (W, _), (dW, db), below in reversed(list(zip(layers, grads, A, strict=True))):
        np.testing.assert_allclose(dW, below.T @ delta + l2 * W, rtol=1e-10, atol=1e-13)
        np.testing.assert_allclose(db, delta.sum(axis=0), rtol=1e-10, atol=1e-13)
        delta = (delta @ W.T) * (below > 0)
    scores, _ = passes.infer(layers, X)
    expected = passes.forward(layers, X)[-1]
    np.testing.assert_allclose(scores, expected, rtol=0, atol=0 if COMPILED else 1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("widths", "samples"), [
    ((6, 4), 37), ((6, 50, 4), 37), ((6, 7, 3, 4), 150), ((530, 20, 4), 37), ((20, 20, 100), 64), ((6, 200, 4), 37),
    ((300, 20, 4), 150), ((20, 200, 4), 5), *([
        ((6, 50, 4), 300), ((530, 20, 60), 150), ((6, 530, 60), 37), ((6, 210, 4), 300), ((300, 190, 4), 70),
        ((6, 520, 210, 3), 70), ((300, 250, 5), 70), ((530, 250, 5), 37)] if COMPILED else [])])
@pytest.mark.parametrize("l2", [0.0, 0.3])
@pytest.mark.parametrize("shares", [1, 2, 3, 4] if COMPILED else [3])
def test_compiled_steps_give_the_bits_of_one_kernel_after_the_other(rng, monkeypatch, dtype, widths, samples, l2,
                                                                    shares):
    monkeypatch.setattr(workspaces, "share_count", lambda units, work, _: min(shares, units))
    layers = [tuple(rng.standard_normal(shape).astype(dtype) / 4 for shape in ((D, H), H)) for D, H in pairwise(widths)]
    apart = copy.deepcopy(layers)
    slack = 0 if COMPILED else 1000 * np.finfo(dtype).eps  # without compilation tiles are NumPy's products
    X, y = rng.standard_normal((40, widths[0])).astype(dtype), rng.randint(widths[-1], size=40)
    batches = rng.randint(40, size=(5 if COMPILED else 2, samples))
    parameters = Parameters(layers)
    workspace = Workspace(parameters, batches.shape[1])
    losses = np.concatenate([workspace.run(X, y, part, 0.1, l2).losses for part in (batches[:-2], batches[-2:])
                             if len(part)])
    parameters.store(layers)
    for batch, loss in zip(batches, losses, strict=True):
        expected, grads = passes.loss_and_grads_by_kernels(apart, X[batch], y[batch], l2)
        for parameters, gradients in zip(apart, grads, strict=True):
            for parameter, gradient in zip(parameters, gradients, strict=True):
                kernels.axpy(-0.1, gradient.reshape(-1), parameter.reshape(-1))
        np.testing.assert_allclose(loss, expected, rtol=slack)
    for layer, other in zip(layers, apart, strict=True):
        for array, expected in zip(layer, other, strict=True):
            np.testing.assert_allclose(array, expected, rtol=slack, atol=slack)


def test_a_single_sample_has_the_scores_that_it_has_among_others(rng):
    widths = 6, 530, 130, 60  # in the second layer all k-slices lie beside what it makes
    layers = [(rng.standard_normal((D, H)), rng.standard_normal(H)) for D, H in pairwise(widths)]
    X = rng.standard_normal((3, 6))
    expected, labels = passes.infer(layers, X)
    slack = 0 if COMPILED else 1e-12 * np.abs(expected).max()
    for i in range(len(X)):
        scores, label = passes.infer(layers, X[i:i + 1])
        np.testing.assert_allclose(scores, expected[i:i + 1], rtol=0, atol=slack)
        assert label == labels[i]


def test_what_is_made_for_one_row_takes_no_more():
    Ws, bs = (np.ones((3, 2)),), (np.zeros(2),)
    for rows in (1, 2):
        scores, labels = np.full((rows, 2), 7.0), np.full(rows, 7)
        found = inference.one_row_scores(None, None, np.ones((rows, 3)), Ws, bs, scores, labels)
        assert found == (inference.ALL_FINITE if rows == 1 else inference.MISFIT)
        assert (scores == (3 if rows == 1 else 7)).all()
        assert (labels == (0 if rows == 1 else 7)).all()


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("widths", [(6, 4), (6, 50, 4), (530, 200, 60), (6, 530, 130, 60)])
@pytest.mark.parametrize("samples", [1, 2, 45, 300, 1100] if COMPILED else [1, 20, 300])
@pytest.mark.parametrize("limit", [0, 1])
def test_scores_are_the_bits_of_the_forward_pass(rng, monkeypatch, dtype, widths, samples, limit):
    monkeypatch.setattr(threads, "TEAM_WORK_PER_THREAD", 1)
    monkeypatch.setattr(passes, "REGION_WORK", limit * passes.REGION_WORK)
    layers = [tuple(rng.standard_normal(shape).astype(dtype) for shape in ((D, H), H)) for D, H in pairwise(widths)]
    X = rng.standard_normal((samples, widths[0])).astype(dtype)
    slack = 0 if COMPILED else 1000 * np.finfo(dtype).eps
    expected = passes.forward(layers, X)[-1]
    scores, labels = passes.infer(layers, X)
    np.testing.assert_allclose(scores, expected, rtol=slack, atol=slack * np.abs(expected).max())
    np.testing.assert_array_equal(labels, scores.argmax(axis=1))
    X[samples // 2, 3] = np.inf
    with pytest.raises(ValueError, match=rf"X must be finite .* got inf at sample {samples // 2}, feature 3"):
        passes.infer(layers, X)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("samples", [1, 5])
@pytest.mark.parametrize("row", [[1, 2, 3, 4], [4, 4, 1, 4], [1, 5, 5, 0], [-1, -1, -1, -1], [np.inf, 1, np.inf, 2],
                                 [-np.inf] * 4, [3, np.nan, 9, np.nan], [np.nan] * 4, [np.inf, 1, 2, np.nan],
                                 [-0.0, 0.0, 0, 0], [5]])
def test_labels_are_numpys_argmax(dtype, samples, row):
    layers = [(np.zeros((3, len(row)), dtype), np.array(row, dtype))]
    scores, labels = passes.infer(layers, np.ones((samples, 3), dtype))
    np.testing.assert_array_equal(scores, np.tile(np.array(row, dtype), (samples, 1)))
    np.testing.assert_array_equal(labels, scores.argmax(axis=1))


@pytest.mark.parametrize("samples", [1, 20])
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("weight", [0.0, -0.0, 1.0, -1.0])
@pytest.mark.parametrize("features", [7, 530])
def test_a_feature_that_is_not_finite_is_found_whatever_its_weight(samples, value, weight, features):
    layers = [(np.full((features, 5), weight), np.zeros(5)), (np.ones((5, 2)), np.zeros(2))]
    X, y = np.ones((samples, features)), np.zeros(samples, np.int64)
    X[-1, 2] = value
    X[-1, 6] = -value
    for call in (lambda: passes.infer(layers, X), lambda: passes.loss_and_grads(layers, X, y, 0.1, name="X"),
                 lambda: passes.loss_and_grads_by_kernels(layers, X, y, 0.1, name="X")):
        with pytest.raises(ValueError, match=f"X must be finite .* at sample {samples - 1}, feature 2"):
            call()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, where nothing is compiled
def test_parameters_that_are_not_finite_are_no_fault_of_the_samples(data, monkeypatch):
    X, y = data
    for limit in (passes.LOSS_BYTES, 0):
        monkeypatch.setattr(passes, "LOSS_BYTES", limit)
        for name in ("W1", "b1", "W2"):
            net = TwoLayerNet(X.shape[1], 5, y.max() + 1, std=0.1, rng=0)
            net.params[name][:] = np.nan
            assert np.isnan(net.loss(X, y)[0])
            bad = X.copy()
            bad[3, 1] = np.inf
            with pytest.raises(ValueError, match=r"X must be finite .* got inf at sample 3, feature 1"):
                net.loss(bad, y)


def test_finite_features_may_overflow():
    layers = [(np.full((3, 5), 1e300), np.zeros(5)), (np.ones((5, 2)), np.zeros(2))]
    scores, labels = passes.infer(layers, np.full((4, 3), 1e300))
    assert (scores == np.inf).all()
    assert (labels == 0).all()


@pytest.mark.parametrize(("y", "batches", "message"), [
    ([0, 4], [[0, 1]], "labels in y must be"), ([0, -1], [[0, 1]], "labels in y must be"),
    ([0, 1], [[0, 2]], "indices in batches must be"), ([0, 1], [[-1, 0]], "indices in batches must be"),
    ([0], [[0, 1]], "indices in batches must be")])
def test_compiled_steps_refuse_what_would_leave_the_arrays(y, batches, message):
    layers = [(np.ones((3, 4)), np.ones(4))]
    parameters = Parameters(layers)
    workspace = Workspace(parameters, 2)
    with pytest.raises(ValueError, match=message):
        workspace.run(np.ones((2, 3)), np.array(y), np.array(batches), 0.1, 0.1)
    parameters.store(layers)
    assert (layers[0][0] == 1).all()


def test_one_of_everything():
    net = TwoLayerNet(1, 1, 1, std=1.0, rng=0)
    loss, grads = net.loss([[2.0]], [0], reg=0.5)
    assert loss == pytest.approx(0.5 * (net.params["W1"][0, 0] ** 2 + net.params["W2"][0, 0] ** 2))
    assert grads["b2"] == 0
    assert net.predict([[2.0]]) == 0


def test_scores_within_the_bound_of_the_arithmetic(data):
    X = data[0].astype(np.float32)
    net, ref = (make(net_class, dtype=np.float32) for net_class in (TwoLayerNet, reference.TwoLayerNet))
    hidden = np.maximum(X @ ref.params["W1"] + ref.params["b1"], 0)
    slack = product_bound(X, ref.params["W1"]) @ np.abs(ref.params["W2"]).astype(np.float64)
    bound = product_bound(hidden, ref.params["W2"]) + slack
    assert (np.abs(net.loss(X) - ref.loss(X)) <= bound).all()


def test_how_it_is_shown():
    net = TwoLayerNet(64, 100, 10, rng=0)
    assert repr(net) == "TwoLayerNet(64, 100, 10, float64)"
    assert repr(TwoLayerNet(2, 3, 4, dtype=np.float32, rng=0)) == "TwoLayerNet(2, 3, 4, float32)"
    html = net._repr_html_()
    assert html.startswith("<table>")
    assert "<td style=\"text-align:left\">100</td>" in html
    for value in ({}, None, {"W1": 3, "W2": np.ones(3)}):
        net.params = value
        assert repr(net) == "TwoLayerNet(float64)"
        assert "float64" in net._repr_html_()

    class Mine(TwoLayerNet):
        pass

    assert repr(Mine(1, 2, 3, rng=0)) == "Mine(1, 2, 3, float64)"


def test_score(rng):
    net = TwoLayerNet(3, 4, 2, std=1, rng=rng)
    X = rng.standard_normal((10, 3))
    y = net.predict(X)
    assert net.score(X, y) == net.score(X.tolist(), y.tolist()) == 1
    y[:3] = 1 - y[:3]
    assert net.score(X, y) == 0.7
    with pytest.raises(ValueError, match="y"):
        net.score(X, y[:5])
    with pytest.raises(ValueError, match="y"):
        net.score(X, y + 2)


def test_data_frames(rng):
    pd = pytest.importorskip("pandas")
    net = TwoLayerNet(3, 4, 2, std=1, rng=rng)
    X = rng.standard_normal((10, 3))
    frame = pd.DataFrame(X, columns=list("abc"))
    y = net.predict(frame)
    assert (y == net.predict(X)).all()
    assert (net.predict_proba(frame) == net.predict_proba(X)).all()
    assert net.score(frame, pd.Series(y)) == 1
    net.train(frame, pd.Series(y), frame, pd.Series(y), num_iters=2, batch_size=5)
