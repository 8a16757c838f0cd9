"""`fastnet.verify`: classes that do the same pass, and what others do differently is named."""

import re

import numpy as np
import pytest

import fastnet
from fastnet import reference
from fastnet.datasets import load_digits
from fastnet.verification import comparison

from ..conftest import COMPILED

OPTIONS = {"hidden_size": 20, "std": 0.1, "learning_rate": 0.3, "batch_size": 50, "num_iters": 40 if COMPILED else 6,
           "repeats": 1}


class Course:
    """A network as students write it; the attributes of the class are what they do in other ways."""

    dtype = np.float64
    bias_rows = False
    half = False
    penalized_biases = False
    mask_slip = False
    sums = False
    replace = True
    order = "W1 first"
    own_generator = False
    rounded = False
    decay = True
    spoilt_from = None

    def __init__(self, input_size, hidden_size, output_size, std=1e-4):
        shapes = [(input_size, hidden_size), (hidden_size, output_size)]
        weights = [std * np.random.randn(*shape) for shape in (shapes if self.order == "W1 first" else shapes[::-1])]
        self.params = dict(zip(("W1", "W2") if self.order == "W1 first" else ("W2", "W1"), weights, strict=True))
        self.params["b1"], self.params["b2"] = np.zeros(hidden_size), np.zeros(output_size)
        for name in ("W1", "b1", "W2", "b2"):
            self.params[name] = self.params[name].astype(self.dtype)
            if name[0] == "b" and self.bias_rows:
                self.params[name] = self.params[name].reshape(1, -1)

    def loss(self, X, y=None, reg=0.0):
        W1, b1, W2, b2 = (self.params[name] for name in ("W1", "b1", "W2", "b2"))
        N = len(X)
        h1 = np.maximum(X.dot(W1) + b1, 0)
        scores = h1.dot(W2) + b2
        if y is None:
            return scores
        scores = scores - scores.max(axis=1, keepdims=True)
        p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        factor = 0.5 if self.half else 1.0
        loss = -np.log(p[np.arange(N), y]).mean() + factor * reg * (np.sum(W1 * W1) + np.sum(W2 * W2))
        dscores = p
        dscores[np.arange(N), y] -= 1
        if not self.sums:
            dscores /= N
        dh1 = dscores.dot(W2.T)
        if self.mask_slip:
            dh1[h1 < 0] = 0
        else:
            dh1[h1 <= 0] = 0
        grads = {"W1": X.T.dot(dh1) + 2 * factor * reg * W1, "b1": dh1.sum(axis=0, keepdims=self.bias_rows),
                 "W2": h1.T.dot(dscores) + 2 * factor * reg * W2, "b2": dscores.sum(axis=0, keepdims=self.bias_rows)}
        if self.penalized_biases:
            grads["b1"] += 2 * reg * b1
            grads["b2"] += 2 * reg * b2
        return loss, grads

    def train(self, X, y, X_val, y_val, learning_rate=1e-3, learning_rate_decay=0.95, reg=5e-6, num_iters=100,
              batch_size=200, verbose=False):
        num_train = X.shape[0]
        iterations_per_epoch = max(num_train // batch_size if self.rounded else num_train / batch_size, 1)
        loss_history, train_acc_history, val_acc_history = [], [], []
        random = np.random.RandomState(1) if self.own_generator else np.random
        for it in range(num_iters):
            indices = random.choice(num_train, batch_size, replace=self.replace)
            X_batch, y_batch = X[indices], y[indices]
            loss, grads = self.gradients(X_batch, y_batch, reg)
            loss_history.append(np.nan if self.spoilt_from is not None and it >= self.spoilt_from else loss)
            for name in self.params:
                self.params[name] -= learning_rate * grads[name]
            if it % iterations_per_epoch == 0:
                train_acc_history.append((self.predict(X_batch) == y_batch).mean())
                val_acc_history.append((self.predict(X_val) == y_val).mean())
                if self.decay:
                    learning_rate *= learning_rate_decay
        return {"loss_history": loss_history, "train_acc_history": train_acc_history,
                "val_acc_history": val_acc_history}

    def gradients(self, X, y, reg):
        return self.loss(X, y, reg=reg)

    def predict(self, X):
        return self.loss(X).argmax(axis=1)


def variant(**changes):
    return type("Variant", (Course,), changes)


@pytest.fixture(scope="module")
def data():
    X, y = load_digits()
    return X[:250], y[:250]  # of which 200 are trained on: 4 batches of 50


@pytest.fixture(autouse=True)
def _generator_is_left_as_it_was():
    np.random.seed(123)
    np.random.standard_normal()  # so that half a pair of numbers waits in it
    before = np.random.get_state()
    yield
    assert all(map(np.array_equal, before, np.random.get_state()))


@pytest.mark.parametrize("their_class", [reference.TwoLayerNet, Course, fastnet.TwoLayerNet])
def test_a_faithful_class_passes(data, their_class):
    report = fastnet.verify(their_class, *data, **OPTIONS)
    assert report.ok
    assert report.differences == report.notes == ()
    assert report.losses.relative < 1e-10
    assert all(apart.relative < 1e-10 for apart in report.parameters.values())
    assert all(apart.relative < 1e-10 for apart in report.gradients.values())
    assert report.same_accuracies
    assert report.same_initial_parameters
    assert report.same_generator_state
    assert (report.l2, report.dtype, report.rtol) == ("full", "float64", 1e-6)
    assert report.speedup == report.their_seconds / report.seconds > 0
    text = str(report)
    assert f"{their_class.__module__}.{their_class.__qualname__} and fastnet.TwoLayerNet" in text
    assert "\nthe same numbers, within 1e-06\n" in text
    assert max(map(len, text.splitlines())) <= 100


DIFFERENCES = {
    "mask": ({"mask_slip": True}, r"gradients of W1 and b1: they lack the derivative.*mask is h1 < 0"),
    "sums": ({"sums": True}, "gradients are sums over the minibatch"),
    "biases": ({"penalized_biases": True}, r"the biases are penalized too \(2 \* reg \* b "),
    "without replacement": ({"replace": False}, "train draws minibatches without replacement"),
    "own generator": ({"own_generator": True}, "train draws nothing from NumPy's global one"),
    "constructor": ({"order": "W2 first"}, "^the constructor: other initial parameters.*were copied"),
    "no decay": ({"decay": False}, "the learning rate: it never decays"),
    "NaN": ({"spoilt_from": 3}, "^the losses: they are nan from iteration 3 on, fastnet's are finite"),
}


@pytest.mark.parametrize("case", DIFFERENCES)
def test_what_differs_is_named(data, case):
    changes, message = DIFFERENCES[case]
    options = {"no decay": {"batch_size": 200},  # so there is a check, and a decay, at each iteration
               "sums": {"learning_rate": 1e-3}}.get(case, {})
    report = fastnet.verify(variant(**changes), *data, reg=1e-2, **{**OPTIONS, **options})
    assert not report.ok
    assert re.search(message, report.differences[0])
    assert "\nNOT the same numbers\n" in str(report)
    assert f"differs: {report.differences[0][:40]}" in str(report)
    assert len(report.differences) <= 2, report.differences


def test_after_other_initial_parameters_the_rest_is_compared(data):
    report = fastnet.verify(variant(order="W2 first"), *data, **OPTIONS)
    assert not report.same_initial_parameters
    assert report.losses.relative < 1e-10
    assert report.same_generator_state
    assert len(report.differences) == 1


@pytest.mark.parametrize("has_loss", [True, False])
def test_the_form_of_the_penalty_is_found(data, has_loss):
    changes = {"half": True}
    if not has_loss:
        changes["loss"] = lambda self, X, y=None, reg=0.0: Course.loss(self, X, y, reg)[0 if y is not None else ...]
        changes["gradients"] = Course.loss
    report = fastnet.verify(variant(**changes), *data, reg=0.1, **OPTIONS)
    assert report.ok
    assert report.l2 == "half"
    assert (report.gradients is not None) == has_loss
    assert any('l2="half"' in note for note in report.notes)
    report = fastnet.verify(variant(**changes), *data, reg=0.1, l2="full", **OPTIONS)
    assert not report.ok
    if has_loss:
        assert "0.5 * reg * sum(W^2) in the loss and 1 * reg * W in the gradient" in report.differences[0]


def test_harmless_differences_are_notes(data):
    report = fastnet.verify(variant(bias_rows=True, dtype=np.float32), data[0].astype(np.float32), data[1], **OPTIONS)
    assert report.ok
    assert report.dtype == "float32"
    assert report.rtol == 1e-3
    assert report.losses.relative < 1e-4
    assert {"shape (1, H)" in note for note in report.notes} == {True, False}
    assert {"are float32" in note for note in report.notes} == {True, False}


def test_float32_somewhere_inside_is_suspected(data):
    class Mixed(Course):
        def loss(self, X, y=None, reg=0.0):
            return super().loss(X.astype(np.float32).astype(float) * (1 + 1e-7), y, reg)

    report = fastnet.verify(Mixed, *data, rtol=1e-9, **OPTIONS)
    assert not report.ok
    assert "float32 in between" in report.differences[0]
    assert fastnet.verify(Mixed, *data, rtol=1e-2, **OPTIONS).ok


@pytest.mark.parametrize("samples", [250, 230])
def test_rounded_epochs(data, samples):
    report = fastnet.verify(variant(rounded=True), data[0][:samples], data[1][:samples], **OPTIONS)
    words = report.notes[0] if samples == 250 else report.differences[-1]
    assert report.ok == report.same_accuracies == (samples == 250)  # 200 / 50 is 4; 184 / 50 is 3.68
    assert ("accuracies are taken" if samples == 250 else "accuracies and decay") in words
    assert "With a batch_size that divides N there is no difference" in words


def test_histories_of_another_kind(data):
    class Bare(Course):
        def train(self, *args, **options):
            return {"loss_history": super().train(*args, **options)["loss_history"]}

    class Short(Course):
        def train(self, *args, **options):
            history = super().train(*args, **options)
            return {**history, "loss_history": history["loss_history"][::2]}

    report = fastnet.verify(Bare, *data, **OPTIONS)
    assert report.ok
    assert report.same_accuracies is None
    assert "train returns no train_acc_history" in report.notes[0]
    report = fastnet.verify(Short, *data, **OPTIONS)
    assert report.losses.relative == np.inf
    assert "loss_history has" in report.differences[0]


def test_changed_data_and_predict(data):
    class Greedy(Course):
        def train(self, X, *args, **options):
            history = super().train(X, *args, **options)
            X += 1
            return history

    class Skewed(Course):
        def predict(self, X):
            return (super().predict(X) + 1) % 10

    assert "train changes the arrays" in fastnet.verify(Greedy, *data, **OPTIONS).differences[0]
    assert "predict: the labels are off by one" in fastnet.verify(Skewed, *data, **OPTIONS).differences[0]


@pytest.mark.parametrize("method", ["__init__", "train", "loss"])
def test_exceptions_come_with_a_note(data, method):
    def fail(self, *args, **options):
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine") as caught:
        fastnet.verify(variant(**{method: fail}), *data, **OPTIONS)
    assert any("called by fastnet.verify" in note and "Variant" in note for note in caught.value.__notes__)


@pytest.mark.parametrize(("change", "error", "message"), [
    ({"their_class": 3}, TypeError, "their_class must be a class, got 3"),
    ({"their_class": dict}, TypeError, "dict expected at most 1 argument"),
    ({"their_class": lambda *sizes: None}, TypeError, "their_class must have params"),
    ({"their_class": lambda *sizes: Course(3, 4, 5)}, ValueError, r"their_class must have params\['W1'\] of shape"),
    ({"their_class": variant(train=lambda *args, **options: None)}, TypeError, "train of their_class must return"),
    ({"X": [1.0, 2.0]}, ValueError, "X must have at least two dimensions"),
    ({"X": np.ones((4, 0)), "y": np.zeros(4)}, ValueError, "X must have at least one feature"),
    ({"y": [-1] * 250}, ValueError, "y must hold labels from 0"),
    ({"num_iters": 0}, ValueError, "num_iters must be at least 1"),
    ({"repeats": 0}, ValueError, "repeats must be at least 1"),
    ({"seed": 2**32}, ValueError, "seed must be at most 4294967295"),
    ({"l2": "none"}, ValueError, "l2 must be one of"),
    ({"rtol": np.nan}, ValueError, "rtol must be finite"),
])
def test_bad_arguments(data, change, error, message):
    arguments = {"their_class": Course, "X": data[0], "y": data[1], **OPTIONS, **change}
    with pytest.raises(error, match=message):
        fastnet.verify(arguments.pop("their_class"), arguments.pop("X"), arguments.pop("y"), **arguments)


def test_few_samples_in_any_form():
    X = [[[0.5, 1.0], [2.0, 0.1]], [[1.0, 0.0], [0.3, 0.7]], [[0.2, 0.2], [0.1, 1.0]]]
    assert fastnet.verify(Course, X, [0, 1, 1], hidden_size=3, std=0.5, num_iters=4, batch_size=2, repeats=1).ok


def test_deviation():
    deviation = comparison.deviation
    assert deviation([1.0, -4.0], [1.0, -3.0]) == (0.25, 1.0)
    assert deviation(np.zeros((1, 3)), np.zeros(3)) == (0.0, 0.0)
    assert deviation([0.0], [1.0]) == (np.inf, 1.0)
    assert deviation([np.nan, 2.0], [np.nan, 1.0]) == (0.5, 1.0)
    assert deviation([np.nan, 2.0], [1.0, 2.0]) == (np.inf, np.inf)
    assert deviation([np.inf], [-np.inf]) == (np.inf, np.inf)
    assert deviation([1.0], [1.0, 2.0]) == (np.inf, np.inf)
