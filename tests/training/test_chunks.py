"""Training from chunks: the same bits however they are cut, windows, what is refused, and how it ends."""

import contextlib
import itertools
import threading

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from fastnet import TwoLayerNet
from fastnet.sklearn import MLPClassifier, MLPRegressor, private
from fastnet.training.chunks import Chunks
from fastnet.training.reading import read_ahead

X = np.random.RandomState(0).standard_normal((230, 12))
Y = np.abs(X[:, :3]).argmax(axis=1)
TABLE = pa.table({**{f"x{number}": column for number, column in enumerate(X.T)}, "label": Y})


def cut(size, *arrays):
    return [tuple(array[start:start + size] for array in arrays or (X, Y)) for start in range(0, len(X), size)]


def trained(chunks, threads=None, **options):
    net = TwoLayerNet(12, 5, 3, std=0.1, rng=1, threads=threads)
    losses = net.fit_batches(chunks, batch_size=20, learning_rate=0.1, **{"window": 60, **options})["loss_history"]
    return losses, {name: array.tobytes() for name, array in net.params.items()}


def test_the_same_samples_give_the_same_bits_however_they_come():
    expected = trained(cut(50), epochs=2)
    assert len(expected[0]) == 2 * 12
    assert trained(cut(17), epochs=2, threads=1) == expected
    assert trained(lambda: iter(cut(230)), epochs=2, threads=2, window=41) == expected  # 60, as whole minibatches
    frame = TABLE.to_pandas()
    for tables in (lambda: TABLE.to_batches(max_chunksize=33), [frame[:99], frame[99:99], frame[99:]], [TABLE]):
        assert trained(tables, epochs=2, target="label") == expected
    buffer = np.empty((50, 12))

    def again_and_again():  # in the same memory
        for part, y in cut(50):
            buffer[:len(part)] = part
            yield buffer[:len(part)], y
            buffer[:] = np.nan

    assert trained(again_and_again()) == trained(cut(50)) != trained(cut(50), window=40)


def test_windows_are_what_train_by_hand_gives():
    net, same = (TwoLayerNet(12, 5, 3, std=0.1, rng=1) for _ in range(2))
    net.fit_batches(cut(100), batch_size=20, window=60, learning_rate=0.5, learning_rate_decay=0.5, epochs=2, reg=0.1)
    for rate in (0.5, 0.25):
        for start in range(0, 230, 60):
            order = start + same._rng.permutation(min(60, 230 - start))
            for batch in np.split(order, range(20, len(order), 20)):
                _, grads = same.loss(X[batch], Y[batch], reg=0.1)
                for name, grad in grads.items():
                    same.params[name] -= rate * grad
    for name, array in same.params.items():
        np.testing.assert_allclose(net.params[name], array, rtol=1e-12, atol=1e-12)


def test_parameters_that_cannot_be_changed_in_place():
    net = TwoLayerNet(12, 5, 3, std=0.1, rng=1)
    net.params["W1"] = np.asfortranarray(net.params["W1"])
    losses = net.fit_batches(cut(50), batch_size=20, learning_rate=0.1, window=60)["loss_history"]
    np.testing.assert_allclose(losses, trained(cut(50))[0], rtol=1e-12)


ESTIMATORS = {MLPClassifier: (np.array(list("abc"))[Y], {"classes": list("abc")}), MLPRegressor: (X[:, 0], {})}


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_estimators_do_a_partial_fit_of_each_window(estimator):
    y, options = ESTIMATORS[estimator]

    def fitted(chunks):
        model = estimator(hidden_layer_sizes=(5,), random_state=0, batch_size=20)
        assert model.fit_batches(chunks, window=60, epochs=2, **options) is model
        return model

    model, other = fitted(cut(50, X, y)), fitted(cut(33, X, y))
    random, same = np.random.RandomState(0), estimator(hidden_layer_sizes=(5,), batch_size=20)
    for _ in range(2):
        for start in range(0, 230, 60):
            same.set_params(random_state=random, batch_size=min(20, 230 - start))
            same.partial_fit(X[start:start + 60], y[start:start + 60], **options)
    for one in (model, other):
        assert one.loss_curve_ == same.loss_curve_
        np.testing.assert_array_equal(one.coefs_[0], same.coefs_[0])
        assert one.get_params()["random_state"] == 0
        assert one.get_params()["batch_size"] == 20
    model.fit_batches(cut(50, X, y), window=0)
    assert len(model.loss_curve_) == 9


def test_estimators_know_names_and_weights():
    frame = TABLE.to_pandas()
    model = MLPClassifier((5,), random_state=0, batch_size=20)
    model.fit_batches([frame[:100], frame[100:]], target="label", classes=range(3))
    model.fit_batches([TABLE], target="label")
    assert list(model.feature_names_in_) == TABLE.schema.names[:-1]
    model.predict(frame.drop(columns="label"))  # without a warning
    with pytest.raises(ValueError, match="chunk 0 must have the columns"):
        model.fit_batches([TABLE.rename_columns([*"abcdefghijkl", "label"])], target="label")
    weights = np.linspace(0.5, 2, 230)
    if private.has_sample_weight:
        one, other, without = (MLPRegressor(hidden_layer_sizes=(5,), random_state=0, batch_size=20).fit_batches(chunks)
                               for chunks in (cut(50, X, Y, weights), cut(19, X, Y, weights), cut(50, X, Y)))
        np.testing.assert_array_equal(one.coefs_[0], other.coefs_[0])
        assert (one.coefs_[0] != without.coefs_[0]).any()


def endless():
    yield from itertools.cycle(cut(50))


@pytest.mark.parametrize(("chunks", "options", "error", "message"), [
    (3, {}, TypeError, "chunks must be an iterable of chunks, or a function that returns one, got 3"),
    (lambda: 3, {}, TypeError, "chunks must return an iterable of chunks, got 3"),
    (X, {}, TypeError, "chunks must be an iterable of chunks, a list of one for a single one"),
    ([], {}, ValueError, "chunks must have at least one sample, got none"),
    (endless(), {"epochs": 2}, ValueError, "this generator can be gone through once"),
    ([X, Y], {}, TypeError, r"chunk 0 must be \(X, y\)"),
    ([*cut(50), (X[:, 1:], Y)], {}, ValueError, "X of chunk 5 must have 12 features for each sample, got 11"),
    ([(X, Y + 1)], {}, ValueError, "y of chunk 0 must hold labels from 0 to 2, got 3"),
    ([(X[:5], Y)], {}, ValueError, "y of chunk 0 must have one label for each sample: expected 5, got 230"),
    ([(X[:0], Y[:0]), (np.full_like(X, np.nan), Y)], {}, ValueError, "X of chunk 1 must be finite .*, got nan"),
    ([(X, Y, Y)], {}, TypeError, r"chunk 0 must be \(X, y\), or a table"),
    ([TABLE], {"target": "y"}, ValueError, "chunk 0 must be a table with one column 'y'"),
    ([TABLE, TABLE.select(["label", "x1"])], {"target": "label"}, ValueError, "chunk 1 must have the columns"),
    ([pd.DataFrame({"a": ["b"], "label": [0]})], {"target": "label"}, TypeError, "column 'a' of chunk 0 must be"),
    (cut(50), {"window": -1}, ValueError, "window must be at least 0"),
])
def test_what_is_wrong_is_said(chunks, options, error, message):
    with pytest.raises(error, match=message):
        trained(chunks, **options)


def test_estimators_say_what_is_wrong():
    model = MLPClassifier((5,), batch_size=20)
    with pytest.raises(ValueError, match="classes must name all classes in the first call"):
        model.fit_batches(cut(50))
    with pytest.raises(ValueError, match="`y` has classes not in"):
        model.fit_batches(cut(50), classes=[0, 1])
    message = "all chunks must have a sample_weight, or none" if private.has_sample_weight else "chunk 5 must be"
    with pytest.raises((ValueError, TypeError), match=message):
        MLPClassifier((5,)).fit_batches([*cut(50), *cut(50, X, Y, X[:, 0] ** 2)], classes=range(3))
    with pytest.raises(TypeError, match="classes must be None for a regressor"):
        MLPRegressor().fit_batches(cut(50), classes=[1])
    with pytest.raises(ValueError, match="solver must be 'adam' or 'sgd' for fit_batches, got 'lbfgs'"):
        MLPRegressor(solver="lbfgs").fit_batches(cut(50))


def test_a_generator_that_fails_or_is_not_needed_any_more_is_closed_by_its_thread():
    ended = []

    def chunks(fails):
        try:
            yield from cut(50)[:3]
            if fails:
                raise OSError("the line is dead")
            yield X[:, 1:], Y
            yield from endless()
        finally:
            ended.append(threading.current_thread().name)

    before = threading.active_count()
    for fails in (True, False):
        with pytest.raises(OSError if fails else ValueError):
            trained(chunks(fails))
        with pytest.raises(OSError if fails else ValueError):
            MLPClassifier((5,), batch_size=20).fit_batches(chunks(fails), classes=range(3))
    assert len(ended) == 4
    assert all(name.startswith("fastnet reader") for name in ended)
    assert threading.active_count() == before
    assert len(trained(itertools.islice(endless(), 10))[0]) == 23  # 460 samples


def test_one_item_is_read_ahead():
    made, most = [], []

    def items():
        for number in range(5):
            made.append(number)
            yield number

    with contextlib.closing(read_ahead(items())) as ahead:
        for number in ahead:
            most.append(made[-1] - number)
    assert most[-1] == 0
    assert max(most) <= 1


def test_memory_is_used_again():
    windows = Chunks(cut(50), target=None, truth=lambda y, *_: y.copy(), columns=None, dtype=None, window=60,
                     batch_size=20, epochs=2, weighted=False).windows()
    assert len({window.X.ctypes.data for window in windows}) == 2


INTERRUPTED = """
import _thread, signal, sys, threading, time
import numpy as np
import fastnet
from fastnet.sklearn import MLPClassifier
signal.signal(signal.SIGINT, signal.default_int_handler)  # what is run in the background may be born without
X, y, closed = np.ones((20, 4)), np.arange(20) % 3, []

def slow():
    try:
        for number in range(1000):
            if number == 3:
                threading.Timer(0.3, _thread.interrupt_main).start()
            if number > 3:
                time.sleep(0.5)
            yield X, y
    finally:
        closed.append(True)

net = fastnet.TwoLayerNet(4, 5, 3, rng=0)
before = net.params["W1"].copy()
try:
    net.fit_batches(slow(), window=20, batch_size=10, learning_rate=0.1)
except KeyboardInterrupt:
    print("interrupted", (net.params["W1"] != before).any(), closed, threading.active_count())
sys.stdout.flush()
import warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    MLPClassifier((5,), batch_size=10).fit_batches(slow(), window=20, classes=range(3))
print([str(one.message) for one in caught], closed)
"""


def test_ctrl_c_while_a_chunk_is_waited_for(run_python):
    lines = run_python(INTERRUPTED).splitlines()
    # Helpers of a team, of which this is the only user, are not threads that Python counts.
    assert lines == ["interrupted True [True] 1", "['Training interrupted by user.'] [True, True]"]
