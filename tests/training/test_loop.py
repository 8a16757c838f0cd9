"""Training: the reference's history, step by step, and what `train` promises besides."""

import numpy as np
import pytest

import fastnet
from fastnet import TwoLayerNet, reference
from fastnet.datasets import load_digits
from fastnet.training import loop

from ..conftest import COMPILED, compiled_only

needs_cores = pytest.mark.skipif(fastnet.get_num_threads() == 1, reason="no core to draw on")
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


@pytest.mark.slow
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


@pytest.mark.parametrize("other", [{"callback": lambda *_: None}, {"verbose": True}, {"progress": True}, {}])
def test_where_accuracies_are_taken_changes_nothing(monkeypatch, capfd, other):
    # Between two steps, or where Python has to be there, or the validation data are many, in calls of their own.
    (inside, history, _), _ = train_both(140, 20, iterations=30)
    if not other:
        monkeypatch.setattr(loop, "CHECK_WORK", 0)
    np.random.seed(42)
    outside = TwoLayerNet(64, 100, 10, std=1e-1)
    assert outside.train(*digits(140), num_iters=30, batch_size=20, **OPTIONS, **other) == history
    assert len(history["val_acc_history"]) == 5
    for name, array in inside.params.items():
        np.testing.assert_array_equal(outside.params[name], array)


def test_a_run_has_few_checks_of_many_samples(monkeypatch):
    # Ctrl-C waits for a run: it has no more checks than take a moment, whatever the pace has learned without one.
    from fastnet.engine import workspace
    checks, run = [], workspace.Workspace.run
    monkeypatch.setattr(workspace.Workspace, "run", lambda self, *args, **options: (
        checks.append(0 if args[-1] is None else args[-1].due.sum()), run(self, *args, **options))[1])
    X, y, X_val, y_val = digits(40)
    for threads in (1, None):
        # One thread is at work on so small a step: the more there may be, the fewer checks it may make alone.
        cores = 1 if threads == 1 else fastnet.get_num_threads()
        monkeypatch.setattr(loop, "CHECK_WORK", 3 * cores * len(X_val) * (64 * 8 + 8 * 10 + loop.ELEMENT_WORK * 64))
        checks.clear()
        TwoLayerNet(64, 8, 10, rng=0, threads=threads).train(X, y, X_val, y_val, num_iters=50, batch_size=20)
        assert max(checks) == 3 if COMPILED else max(checks) <= 3  # without compilation a run has few steps anyway
        assert sum(checks) == 25


LAYOUTS = {
    "C": np.ascontiguousarray, "Fortran": np.asfortranarray, "every second": lambda X: np.repeat(X, 2, axis=1)[:, ::2],
    "backwards": lambda X: np.ascontiguousarray(X[::-1, ::-1])[::-1, ::-1]}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", ["uint8", "int16", "int64", "float32", "float64", "float16", ">f8"])
@pytest.mark.parametrize("dtype", [np.float32, *compiled_only([np.float64])])
def test_data_of_any_dtype_and_layout(dtype, kind, layout):
    # Samples become floats when they are gathered: the same bits as if all of them had been converted before.
    X, y, X_val, y_val = digits(150)
    X, X_val, results = np.rint(X * 16)[:, :60], np.rint(X_val * 16)[:, :60], []
    for change in (lambda X: X.astype(dtype), lambda X: LAYOUTS[layout](X.astype(kind))):
        net = TwoLayerNet(60, 20, 10, std=1e-2, dtype=dtype, rng=0)
        given = change(X)
        given.setflags(write=False)
        history = net.train(given, y, change(X_val), y_val, num_iters=6, batch_size=25, learning_rate=1e-3)
        results.append((history, {name: array.tobytes() for name, array in net.params.items()}))
    assert results[0] == results[1]


def test_data_that_are_not_as_they_should_be_are_refused_as_they_come():
    X, y, X_val, y_val = digits(100)
    for value, dtype, kind in [(np.nan, np.float64, np.float32), (np.inf, np.float32, np.float64),
                               (1e300, np.float32, np.float64)]:
        bad, net = X.astype(kind), TwoLayerNet(64, 8, 10, dtype=dtype, rng=0)
        before = net.params["W1"].copy()
        bad[77, 5] = value
        for given in (bad, np.asfortranarray(bad)):
            for data in ((given, y, X_val, y_val), (X, y, given, y)):
                with pytest.raises(ValueError, match=r"finite \(in float\d\d\), got (nan|inf) at sample 77, feature 5"):
                    net.train(*data, num_iters=1)
        np.testing.assert_array_equal(net.params["W1"], before)
    endless = np.broadcast_to(np.float32(.5), (2**40, 64))  # is not read: it would take days
    for data, name in (((endless, y, X_val, y_val), "y"), ((X, y, endless, y_val), "y_val")):
        with pytest.raises(ValueError, match=f"{name} must have one label for each sample: expected {2**40}, got"):
            net.train(*data, num_iters=1)
    with pytest.raises(TypeError, match="X must be an array of real numbers, got dtype complex128"):
        net.train(X * 1j, y, X_val, y_val)


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
    lambda W: W.astype(np.float16),
    lambda W: W.astype(W.dtype.newbyteorder()),
], ids=["Fortran", "strided", "float32", "float16", "other byte order"])
@pytest.mark.parametrize("callback", [None, lambda *_: None])
def test_parameters_of_other_kinds_are_trained_in_place(change, callback):
    losses, arrays = [], []
    for net_class in (TwoLayerNet, reference.TwoLayerNet):
        net = net_class(64, 8, 10, std=0.1, rng=3)
        net.params = {name: change(array) for name, array in net.params.items()}
        mine = dict(net.params)
        history = net.train(*digits(50), num_iters=4, batch_size=10, learning_rate=0.1, callback=callback)
        losses.append(history["loss_history"])
        arrays.append(net.params)
        assert all(net.params[name] is array for name, array in mine.items())
    np.testing.assert_allclose(*losses, rtol=1e-10 if arrays[0]["W1"].itemsize == 8 else 1e-4)
    for name, array in arrays[0].items():
        assert array.dtype == arrays[1][name].dtype
        np.testing.assert_allclose(array.astype(float), arrays[1][name].astype(float),
                                   rtol=2 * np.finfo(array.dtype).eps, atol=4 * np.finfo(array.dtype).eps)


@pytest.mark.parametrize("tie", [
    lambda params: params.update(W2=params["W1"]),
    lambda params: params.update(W2=params["W1"].T),
    lambda params: params.update(W1=np.asfortranarray(params["W1"]), W2=None),
    lambda params: params.update(b1=np.zeros(20)[::2], b2=None),
    lambda params: params.update(b1=np.lib.stride_tricks.as_strided(np.zeros(1), (10,), (0,))),
], ids=["W2 is W1", "W2 is W1 transposed", "Fortran", "strided biases", "one number for a bias"])
def test_parameters_that_share_memory(tie):
    # As in the course's class, whose steps are in place: an update of one is an update of the other.
    random = np.random.RandomState(0)
    X, y = random.standard_normal((30, 10)), random.randint(10, size=30)
    losses = []
    for net_class in (TwoLayerNet, reference.TwoLayerNet):
        net = net_class(10, 10, 10, std=0.3, rng=1)
        tie(net.params)
        net.params = {name: net.params[name[0] + "1"] if array is None else array for name, array in net.params.items()}
        losses.append(net.train(X, y, X, y, num_iters=6, batch_size=30, learning_rate=0.5)["loss_history"])
    np.testing.assert_allclose(*losses, rtol=1e-9)


def test_a_sample_that_overflows_harms_only_if_it_is_drawn():
    X, y, X_val, y_val = digits(200)
    X = X.astype(np.float32)
    X[0] = 1e38
    net = TwoLayerNet(64, 50, 10, std=1.0, dtype=np.float32, rng=0)
    assert 0 not in np.random.RandomState(0).standard_normal(64 * 50 + 50 * 10)  # what is drawn first: the weights
    net.train(X, y, X_val, y_val, num_iters=0)
    history = net.train(X, y, X_val, y_val, num_iters=1, batch_size=3, learning_rate=0.1)
    assert np.isfinite(history["loss_history"]).all()
    assert all(np.isfinite(array).all() for array in net.params.values())


@pytest.mark.parametrize(("change", "error", "message"), [
    (lambda p: p.update(W1=np.ones((64, 8), int)), TypeError, r"params\['W1'\] must be a writable array of floats"),
    (lambda p: p["W2"].setflags(write=False), TypeError, r"params\['W2'\] must be a writable array"),
    (lambda p: p.pop("b1"), ValueError, "params must have the keys"),
    (lambda p: p.update(W2=np.ones((8, 9)), b2=np.ones(9)), ValueError, "params must keep 64 inputs and 10 classes"),
    (lambda p: p.update(W1=np.ones((63, 8))), ValueError, "params must keep 64 inputs and 10 classes"),
])
def test_params_spoilt_in_a_callback(change, error, message):
    net = TwoLayerNet(64, 8, 10, rng=0)
    with pytest.raises(error, match=message):
        net.train(*digits(20), num_iters=4, batch_size=10, callback=lambda *_: change(net.params))


def test_other_keys_in_params_are_no_business_of_ours(net_class):
    net = net_class(64, 8, 10, rng=0)
    net.params["note"] = "mine"
    net.loss(digits(20)[0])
    if net_class is TwoLayerNet:
        net.train(*digits(20), num_iters=1)
    assert net.params["note"] == "mine"


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


def test_accuracies_are_interruptible(monkeypatch):
    from fastnet.network import passes
    from fastnet.training import loop
    net, calls = TwoLayerNet(64, 8, 10, rng=0), []
    X, y = load_digits()
    layers = net._layers()
    loop.accuracy(layers, X, y, lambda: calls.append(1))
    assert len(calls) == 1
    monkeypatch.setattr(passes, "CHUNK_WORK", 1)
    loop.accuracy(layers, X, y, lambda: calls.append(1))
    assert len(calls) == 1 + -(-len(X) // 64)


def test_where_runs_end_changes_nothing(monkeypatch):
    from fastnet.training import pace
    histories = []
    for seconds in (0.0, 1e9):
        monkeypatch.setattr(pace, "RUN_SECONDS", seconds)
        net = TwoLayerNet(64, 8, 10, std=0.1, rng=0)
        histories.append(net.train(*digits(50), num_iters=7, batch_size=20))
        histories.append({name: array.tolist() for name, array in net.params.items()})
    assert histories[:2] == histories[2:]


@needs_cores
def test_drawing_ahead_changes_nothing(monkeypatch):
    from fastnet.training import minibatches, pace
    asked, results = [], []
    ahead = minibatches.Ahead
    monkeypatch.setattr(minibatches, "Ahead", lambda call: asked.append(call) or ahead(call))
    monkeypatch.setattr(pace, "RUN_SECONDS", 1e9)
    for least, threads in ((1, None), (1, 1), (2**62, None)):
        monkeypatch.setattr(minibatches, "AHEAD_INDICES", least)
        random = np.random.RandomState(0)
        net = TwoLayerNet(64, 8, 10, std=0.1, rng=random, threads=threads)
        history = net.train(*digits(50), num_iters=40, batch_size=17)  # checked at iteration 0 alone
        results.append((history, {name: array.tolist() for name, array in net.params.items()}, random.random_sample()))
        assert len(asked) == 2  # one run, of three parts
    assert results[0] == results[1] == results[2]


@needs_cores
def test_an_error_ends_drawing_ahead(monkeypatch):
    from fastnet.engine import workspace
    from fastnet.training import minibatches, pace
    monkeypatch.setattr(minibatches, "AHEAD_INDICES", 1)
    monkeypatch.setattr(pace, "RUN_SECONDS", 1e9)
    monkeypatch.setattr(pace, "FIRST_WORK", 1)
    run = workspace.Workspace.run

    def failing(self, X, y, batches, *rest, **options):
        if len(batches) > 1:
            raise MemoryError
        return run(self, X, y, batches, *rest, **options)

    monkeypatch.setattr(workspace.Workspace, "run", failing)
    random = np.random.RandomState(0)
    net = TwoLayerNet(64, 8, 10, std=0.1, rng=random)
    with pytest.raises(MemoryError) as kept:
        net.train(*digits(50), num_iters=40_001, batch_size=17)
    after = repr(random.get_state(legacy=False))
    expected = np.random.RandomState(0)
    TwoLayerNet(64, 8, 10, std=0.1, rng=expected)
    expected.choice(50, 17 * (1 + 40_000 * 6 // 16))
    assert after == repr(expected.get_state(legacy=False))
    assert kept.value is not None  # and with it all that the call had at hand


@needs_cores
def test_a_team_keeps_its_helpers(monkeypatch):
    from fastnet.training import minibatches, pace
    monkeypatch.setattr(minibatches, "Ahead", lambda call: pytest.fail("a helper was taken from the team"))
    monkeypatch.setattr(minibatches, "AHEAD_INDICES", 1)
    monkeypatch.setattr(pace, "RUN_SECONDS", 1e9)
    TwoLayerNet(64, 100, 10, rng=0).train(*digits(1399), num_iters=20, batch_size=200)


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
    net_class(64, 8, 10).train(*digits(20), num_iters=3, progress="learning")
    assert "learning" in capsys.readouterr().err
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
