"""Compiled steps of any depth, activation, head and optimizer, beside the reference's formulas in plain NumPy."""

import weakref
from itertools import pairwise
from platform import machine

import numpy as np
import pytest

from fastnet import kernels, reference
from fastnet.blocks.optimizers import ADAM, MOMENTUM, NESTEROV, Optimizer
from fastnet.blocks.sparse import NonZeros
from fastnet.engine import workspace as workspaces
from fastnet.engine.packed import Parameters
from fastnet.engine.workspace import Accuracies, Workspace
from fastnet.network import passes

from ..conftest import COMPILED, compiled_only

OPTIMIZERS = {
    "sgd": Optimizer(MOMENTUM, 0.0), "momentum": Optimizer(MOMENTUM, 0.9), "nesterov": Optimizer(NESTEROV, 0.9),
    "adam": Optimizer(ADAM, 0.9, 0.999, 1e-8), "rmsprop": Optimizer(ADAM, 0.0, 0.99, 1e-8)}


def reference_step(optimizer, rate, layers, grads, moments):
    """Change the layers and moments by the reference's formula for an optimizer."""
    for number, (layer, gradients) in enumerate(zip(layers, grads, strict=True)):
        for part in range(2):
            own = [moment[number][part] for moment in moments]
            if optimizer == "adam":
                reference.adam_step(layer[part], gradients[part], *own, rate, 0.9, 0.999, 1e-8)
            elif optimizer == "rmsprop":
                reference.rmsprop_step(layer[part], gradients[part], own[1], rate, 0.99, 1e-8)
            elif optimizer == "nesterov":
                reference.nesterov_step(layer[part], gradients[part], *own, rate, 0.9)
            else:
                reference.momentum_step(layer[part], gradients[part], *own, rate, 0.9 if optimizer == "momentum" else 0)


def like(layers, fill):
    return [tuple(fill(array) for array in layer) for layer in layers]


def large_moments(rng, layers, optimizer):
    """Moments to begin with. Where second moments are tiny, Adam divides one rounding error by another."""
    scale = 0.01 if OPTIMIZERS[optimizer].moments == 1 else 1
    return [like(layers, lambda array: (scale * rng.uniform(0.5, 1, array.shape)).astype(array.dtype))
            for _ in range(OPTIMIZERS[optimizer].moments)]


@pytest.mark.parametrize("dtype", [np.float64, *compiled_only([np.float32])])
@pytest.mark.parametrize(("activation", "head", "optimizer", "widths", "samples", "shares"), [
    ("relu", "softmax", "adam", (6, 50, 4), 37, 1),
    ("tanh", "softmax", "sgd", (6, 50, 4), 300, 2),
    ("logistic", "logistic", "momentum", (6, 7, 1), 37, 2),
    ("identity", "logistic", "nesterov", (6, 5, 4, 3), 20, 3),
    ("tanh", "squared_error", "adam", (530, 20, 2), 37, 2),
    ("logistic", "squared_error", "rmsprop", (6, 5, 1), 70, 2),
    ("relu", "poisson", "nesterov", (6, 30, 20, 2), 65, 1),
    ("tanh", "poisson", "adam", (6, 1), 9, 1),
    ("relu", "softmax", "nesterov", (530, 40, 60), 150, 4),
    ("logistic", "softmax", "rmsprop", (6, 100, 9, 3), 200, 2),
    ("relu", "logistic", "adam", (20, 100, 7), 200, 2),
    ("relu", "softmax", "adam", (20, 250, 7), 200, 2),
    ("tanh", "squared_error", "nesterov", (6, 520, 30, 3), 37, 2),
    ("logistic", "logistic", "momentum", (300, 30, 1), 150, 2)])
@pytest.mark.parametrize(("weighted", "l2"), [(False, 0.0), (True, 0.01), *compiled_only([(False, 0.01), (True, 0.0)])])
def test_steps_of_every_kind_agree_with_the_reference(rng, monkeypatch, dtype, activation, head, optimizer, widths,
                                                      samples, shares, weighted, l2):
    monkeypatch.setattr(workspaces, "share_count", lambda units, work, _: min(shares, units))
    layers = [((rng.standard_normal((D, H)) / np.sqrt(D)).astype(dtype), (rng.standard_normal(H) / 4).astype(dtype))
              for D, H in pairwise(widths)]
    M, C = 40, widths[-1]
    X = rng.standard_normal((M, widths[0])).astype(dtype)
    labels = rng.randint(C, size=M)
    Y = {"softmax": np.eye(C)[labels], "logistic": rng.randint(2, size=(M, C)),
         "squared_error": rng.standard_normal((M, C)), "poisson": rng.randint(4, size=(M, C))}[head].astype(dtype)
    weights = rng.uniform(0, 2, M).astype(dtype) if weighted else None
    sizes = [samples, samples, samples, max(samples // 3, 1)]  # the last minibatch is smaller
    batches = [rng.randint(M, size=size) for size in sizes]
    rates = rng.uniform(0.5, 1, 4) * (1e-3 if optimizer in ("adam", "rmsprop") else 1e-2)
    moments = large_moments(rng, layers, optimizer)
    parameters = Parameters(layers, OPTIMIZERS[optimizer], moments)
    losses = np.array([], float)
    for part in ([0, 1, 2], [3]):
        sums = None if weights is None else np.array([weights[batches[step]].sum(dtype=np.float64) for step in part])
        losses = np.append(losses, Workspace(parameters, sizes[part[0]], activation, head).run(
            X, labels if head == "softmax" else Y, np.array([batches[step] for step in part]), rates[part], l2, weights,
            sums).losses)
    expected, expected_moments = like(layers, np.copy), [like(moment, np.copy) for moment in moments]
    kept = [*parameters.W, *parameters.b, *parameters.WT, *(array for moment in parameters.moments
                                                            for array in (*moment.W, *moment.b))]
    packed = [weakref.ref(array.base) for array in kept]  # what views of it hold as well
    del kept
    moments = parameters.release(layers)
    assert all(array() is None for array in packed)
    slack = 5000 * float(np.finfo(dtype).eps)
    for batch, rate, loss in zip(batches, rates, losses, strict=True):
        reference_loss, grads = reference.loss_and_grads(expected, X[batch], Y[batch], l2, activation, head,
                                                         None if weights is None else weights[batch])
        assert loss == pytest.approx(reference_loss, rel=slack)
        reference_step(optimizer, rate, expected, grads, expected_moments)
    if optimizer == "rmsprop":  # its first moment is the gradient of the last step, which the reference has no use for
        del moments[0], expected_moments[0]
    for actual, wanted in zip([layers, *moments], [expected, *expected_moments], strict=True):
        for layer, other in zip(actual, wanted, strict=True):
            for array, values in zip(layer, other, strict=True):
                np.testing.assert_allclose(array, values, rtol=slack, atol=slack)


@pytest.mark.parametrize("dtype", [np.float64, *compiled_only([np.float32])])
@pytest.mark.parametrize(("widths", "samples"), [
    ((6, 50, 4), 300), ((530, 20, 2), 37), ((6, 7, 3, 4), 150), ((20, 250, 7), 200), ((6, 520, 30, 3), 37)])
@pytest.mark.parametrize("optimizer", ["nesterov", "adam"])
def test_the_same_bits_however_many_workers(rng, monkeypatch, dtype, widths, samples, optimizer):
    layers = [(rng.standard_normal((D, H)).astype(dtype), rng.standard_normal(H).astype(dtype))
              for D, H in pairwise(widths)]
    X, y = rng.standard_normal((40, widths[0])).astype(dtype), rng.standard_normal((40, widths[-1])).astype(dtype)
    batches, results = rng.randint(40, size=(4 if COMPILED else 2, samples)), []
    moments = large_moments(rng, layers, optimizer)
    for shares in (1, 2, 3, 4) if COMPILED else (1, 3):
        monkeypatch.setattr(workspaces, "share_count", lambda units, work, _, most=shares: min(most, units))
        parameters = Parameters(layers, OPTIMIZERS[optimizer], moments)
        losses = Workspace(parameters, samples, "tanh", "squared_error").run(X, y, batches, 1e-2, 0.1).losses
        copied = like(layers, np.zeros_like)
        parameters.store(copied)
        results.append([losses, *(array for layer in copied for array in layer)])
    slack = 0 if COMPILED else 1000 * np.finfo(dtype).eps  # without compilation tiles are NumPy's products
    for result in results[1:]:
        for array, expected in zip(result, results[0], strict=True):
            np.testing.assert_allclose(array, expected, rtol=slack, atol=slack)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float64, *compiled_only([np.float32])])
@pytest.mark.parametrize("index", [np.int32, *compiled_only([np.int64])])
@pytest.mark.parametrize(("widths", "samples", "shares"), [
    ((600, 50, 4), 70, 2), ((13, 7, 3), 37, 3), ((5, 2), 1, 1), ((30, 250, 4), 70, 2)])
@pytest.mark.parametrize("optimizer", ["nesterov", "adam"])
def test_samples_by_their_non_zeros(rng, monkeypatch, dtype, index, widths, samples, shares, optimizer):
    if index is np.int64 and (optimizer == "adam" or dtype == np.float32):
        pytest.skip("one of each is enough")
    monkeypatch.setattr(workspaces, "share_count", lambda units, work, _: min(shares, units))
    layers = [((rng.standard_normal((D, H)) / np.sqrt(D)).astype(dtype), rng.standard_normal(H).astype(dtype))
              for D, H in pairwise(widths)]
    X = (rng.standard_normal((40, widths[0])) * (rng.random_sample((40, widths[0])) < 0.2)).astype(dtype)
    X[3] = 0
    rows, columns = X.nonzero()
    non_zeros = NonZeros(X[rows, columns], columns.astype(index),
                         np.append(0, np.bincount(rows, minlength=40).cumsum()).astype(index))
    y, batches, results = rng.randint(widths[-1], size=40), rng.randint(40, size=(4, samples)), []
    moments = large_moments(rng, layers, optimizer)
    for given in (X, non_zeros):
        parameters = Parameters(layers, OPTIMIZERS[optimizer], moments)
        losses = Workspace(parameters, samples, "tanh", "softmax", sparse=given is non_zeros).run(
            given, y, batches, 1e-2, 0.01, counts=np.array([samples, samples, 1, samples])).losses
        copied = like(layers, np.zeros_like)
        parameters.store(copied)
        results.append([losses, *(array for layer in copied for array in layer)])
    slack = 5000 * np.finfo(dtype).eps
    for expected, actual in zip(*results, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=slack, atol=slack)


@pytest.mark.parametrize(("change", "message"), [
    ({"indices": [0, 4]}, "columns in X must be"), ({"indices": [-1, 2]}, "columns in X must be"),
    ({"indices": [3, 1], "indptr": [0, 2, 2]}, "columns in X must ascend"),
    ({"indptr": [0, 1, 3]}, "rows in X must begin and end"), ({"indptr": [0, 2, 1]}, "rows in X must begin and end"),
    ({"indptr": [-1, 1, 2]}, "rows in X must begin and end"), ({"indptr": []}, "rows in X must begin and end"),
    ({"indices": [0]}, "rows in X must begin and end"), ({"data": np.ones(2, np.float32)}, "X must be NonZeros of")])
def test_non_zeros_that_would_leave_the_arrays_are_refused(change, message):
    workspace = Workspace(Parameters([(np.ones((4, 3)), np.ones(3))], OPTIMIZERS["sgd"]), 2, "relu", "softmax",
                          sparse=True)
    given = {"data": np.ones(2), "indices": np.array([0, 3]), "indptr": np.array([0, 1, 2])}
    given |= {name: np.asarray(value) for name, value in change.items()}
    with pytest.raises(ValueError, match=message):
        workspace.run(NonZeros(**given), np.array([0, 1]), np.array([[0, 1]]), 0.1, 0.0)
    with pytest.raises(ValueError, match="X must be NonZeros of float64, got ndarray"):
        workspace.run(np.ones((2, 4)), np.array([0, 1]), np.array([[0, 1]]), 0.1, 0.0)


@pytest.mark.parametrize("counts", [[0, 2], [3, 2], [2], [-1, 2]])
def test_counts_beyond_the_minibatch_are_refused(counts):
    workspace = Workspace(Parameters([(np.ones((4, 3)), np.ones(3))], OPTIMIZERS["sgd"]), 2, "relu", "softmax")
    with pytest.raises(ValueError, match="counts must be 2 numbers from 1 to 2"):
        workspace.run(np.ones((2, 4)), np.array([0, 1]), np.array([[0, 1], [1, 0]]), 0.1, 0.0, counts=np.array(counts))


@pytest.mark.parametrize("count", [1, 2, 11, 12, 60])
@pytest.mark.parametrize("hidden", [50, 200])
def test_a_smaller_last_minibatch(rng, monkeypatch, count, hidden):
    layers = [(rng.standard_normal(shape), rng.standard_normal(shape[1])) for shape in [(6, hidden), (hidden, 3)]]
    X, y, batches = rng.standard_normal((40, 6)), rng.randint(3, size=40), rng.randint(40, size=(3, 100))
    for shares in (1, 2, 3):
        monkeypatch.setattr(workspaces, "share_count", lambda units, work, _, most=shares: min(most, units))
        results = []
        for counts in ([100, count, 100], None):
            parameters = Parameters(layers, OPTIMIZERS["nesterov"])
            if counts is None:
                parts = [batches[:1], batches[1:2, :count], batches[2:]]
                losses = np.concatenate([Workspace(parameters, part.shape[1], "relu", "softmax").run(
                    X, y, np.ascontiguousarray(part), 0.1, 0.01).losses for part in parts])
            else:
                losses = Workspace(parameters, 100, "relu", "softmax").run(X, y, batches, 0.1, 0.01,
                                                                           counts=np.array(counts)).losses
            copied = like(layers, np.zeros_like)
            parameters.store(copied)
            results.append([losses, *(array for layer in copied for array in layer)])
        for expected, actual in zip(*results, strict=True):
            np.testing.assert_allclose(actual, expected, rtol=1e-10, atol=1e-12)


def test_plain_sgd_is_the_course_s(rng):
    # Halves keep scores near each other: scikit-learn's loss ends at -log(eps), 36, and the course's does not.
    layers = [(rng.standard_normal(shape) / 2, rng.standard_normal(shape[1])) for shape in [(6, 5), (5, 3)]]
    X, y, batches = rng.standard_normal((40, 6)), rng.randint(3, size=40), rng.randint(40, size=(5, 20))
    results = []
    for optimizer, method in [(None, (None, None)), (OPTIMIZERS["sgd"], ("relu", "softmax"))]:
        parameters = Parameters(layers, optimizer)
        losses = Workspace(parameters, 20, *method).run(X, y, batches, 0.1, 0.01).losses
        copied = like(layers, np.zeros_like)
        parameters.store(copied)
        results.append((losses, copied))
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-12)
    for layer, other in zip(results[0][1], results[1][1], strict=True):
        for array, expected in zip(layer, other, strict=True):
            np.testing.assert_allclose(array, expected, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize(("change", "message"), [
    ({"y": np.zeros((5, 2))}, "y must be a float64 array with 3 columns, got float64 \\(5, 2\\)"),
    ({"y": np.zeros((5, 3), np.float32)}, "y must be a float64 array"),
    ({"X": np.zeros((5, 3))}, "X must be an array of real numbers with 4 columns, got float64 \\(5, 3\\)"),
    ({"X": np.zeros((5, 4, 1))}, "X must be an array of real numbers with 4 columns"),
    ({"X": np.zeros((5, 4), np.float16)}, "X must be an array of real numbers with 4 columns, got float16"),
    ({"X": np.zeros((5, 4), np.complex128)}, "X must be an array of real numbers"),
    ({"weights": np.ones(4)}, "weights must be a float64 array of shape \\(5,\\)"),
    ({"weights": np.ones(5, np.float32)}, "weights must be a float64 array"),
    ({"batches": np.array([[0, 5]])}, "indices in batches"), ({"batches": np.array([[-1, 0]])}, "indices in batches"),
    ({"batches": np.array([[0, 1]], np.int32)}, "batches must be a C-contiguous array of .* with 2 columns, got int32"),
    ({"batches": np.array([[0, 1, 2, 3]])[:, ::2]}, "batches must be a C-contiguous array")])
def test_what_would_leave_the_arrays_is_refused(change, message):
    workspace = Workspace(Parameters([(np.ones((4, 3)), np.ones(3))], OPTIMIZERS["sgd"]), 2, "relu", "squared_error")
    given = {"X": np.zeros((5, 4)), "y": np.zeros((5, 3)), "batches": np.array([[0, 1]]), "rates": 0.1, "penalty": 0.0}
    with pytest.raises(ValueError, match=message):
        workspace.run(**{**given, **change})


def test_all_of_a_method_or_nothing():
    parameters = Parameters([(np.ones((4, 3)), np.ones(3))])
    with pytest.raises(ValueError, match="must all be given, or none"):
        Workspace(parameters, 2, "relu", "softmax")
    with pytest.raises(ValueError, match="must all be given, or none"):
        Workspace(Parameters([(np.ones((4, 3)), np.ones(3))], OPTIMIZERS["adam"]), 2)
    with pytest.raises(ValueError, match="must both be given, or none"):
        Workspace(parameters, 2, "relu")
    with pytest.raises(ValueError, match="must both be given, or none"):
        passes.infer([(np.ones((4, 3)), np.ones(3))], np.ones((2, 4)), head="softmax")


@pytest.mark.slow
@pytest.mark.skipif(not COMPILED, reason="NumPy sums rows and columns in other orders")
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_probabilities_are_the_bits_of_the_kernel_s(rng, dtype):
    layers = [(rng.standard_normal((6, 10)).astype(dtype), rng.standard_normal(10).astype(dtype))]
    X = rng.standard_normal((100, 6)).astype(dtype)
    probabilities, _ = passes.infer(layers, X, activation="relu", head="softmax")
    np.testing.assert_array_equal(probabilities, kernels.softmax(passes.forward(layers, X)[-1]))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("activation", "head", "widths"), [
    ("relu", "softmax", (6, 50, 4)), ("tanh", "logistic", (6, 50, 40, 1)), ("logistic", "squared_error", (530, 20, 2)),
    ("identity", "poisson", (6, 2)), ("tanh", "softmax", (6, 9, 60))])
@pytest.mark.parametrize("samples", [1, 7, 1100] if COMPILED else [1, 7])
@pytest.mark.parametrize("region", [False, True])
def test_outputs_of_every_kind_agree_with_the_reference(rng, dtype, activation, head, widths, samples, region):
    layers = [((rng.standard_normal((D, H)) / np.sqrt(D)).astype(dtype), (rng.standard_normal(H) / 4).astype(dtype))
              for D, H in pairwise(widths)]
    X = rng.standard_normal((samples, widths[0])).astype(dtype)
    expected = reference.predict(layers, X, activation, head)[-1]
    outputs, labels = passes.infer(layers, X, region=region, activation=activation, head=head)
    assert outputs.dtype == dtype
    slack = 1000 * np.finfo(dtype).eps
    np.testing.assert_allclose(outputs, expected, rtol=slack, atol=slack)
    np.testing.assert_array_equal(labels, outputs.argmax(axis=1))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_tanh_and_logistic_to_the_last_digits(rng, dtype):
    Z = np.concatenate([rng.uniform(-1, 1, 3000), rng.uniform(-30, 30, 3000), 10.0 ** rng.uniform(-30, 3, 3000),
                        [0, -0.0, 0.625, -0.625, np.inf, -np.inf]]).astype(dtype).reshape(-1, 6)
    exact = Z.astype(np.longdouble)
    for activation, expected in [("tanh", np.tanh(exact)), ("logistic", 1 / (1 + np.exp(-exact)))]:
        # One hidden layer with weights of 1 and a last layer that adds nothing: the outputs are the activations.
        eye = np.eye(6, dtype=dtype)
        layers = [(eye, np.zeros(6, dtype)), (eye, np.zeros(6, dtype))]
        finite = np.isfinite(Z).all(axis=1)
        outputs, _ = passes.infer(layers, Z[finite], activation=activation, head="squared_error")
        error = np.abs(outputs - expected[finite].astype(np.float64))
        assert (error <= 4 * np.finfo(dtype).eps * np.abs(expected[finite]) + np.finfo(dtype).tiny).all()


@pytest.mark.skipif(not COMPILED, reason="NumPy counts with subnormal numbers")
def test_subnormal_numbers_are_flushed_in_steps_and_not_outside():
    # A weight whose input is always 0 and whose gradient is so small that its second moment is subnormal.
    layers = [(np.full((2, 3), 1e-3), np.zeros(3)), (np.zeros((3, 2)), np.zeros(2))]
    X, y = np.array([[1.0, 0.0], [2.0, 0.0]]), np.array([0, 1])
    tiny = np.finfo(float).tiny
    second = like(layers, lambda w: np.full(w.shape, 1.5 * tiny))
    moments = [like(layers, np.zeros_like), second]
    parameters = Parameters(layers, OPTIMIZERS["adam"]._replace(beta_2=0.5), moments)
    Workspace(parameters, 2, "relu", "softmax").run(X, y, np.array([[0, 1]]), 1e-3, 0.0)
    moments = parameters.release(layers)
    supported = machine() in ("x86_64", "AMD64", "aarch64", "arm64")
    assert (moments[1][0][0][1] == (0 if supported else 0.75 * tiny)).all()
    assert np.float64(tiny) * 0.5 > 0  # this thread counts with them again
    assert (np.full(64, tiny) * 0.5 > 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float64, *compiled_only([np.float32])])
@pytest.mark.parametrize(("widths", "samples", "validation"), [
    ((4, 10, 3), 200, 5), ((13, 7, 3), 37, 150), ((530, 20, 2), 37, 70), ((6, 5, 4, 60), 20, 300),
    ((30, 250, 7), 70, 1)])
def test_accuracies_between_the_steps(rng, monkeypatch, dtype, widths, samples, validation):
    layers = [(rng.standard_normal((D, H)).astype(dtype), rng.standard_normal(H).astype(dtype))
              for D, H in pairwise(widths)]
    X, X_val = (rng.standard_normal((rows, widths[0])).astype(dtype) for rows in (40, validation))
    y, y_val = (rng.randint(widths[-1], size=rows) for rows in (40, validation))
    batches, due = rng.randint(40, size=(6, samples)), np.array([True, False, True, True, False, True])
    expected = []
    parameters = Parameters(layers)
    for batch in batches:
        Workspace(parameters, samples).run(X, y, batch[np.newaxis], 0.1, 0.01)
        copied = like(layers, np.zeros_like)
        parameters.store(copied)
        expected.append([(passes.infer(copied, samples)[1] == labels).mean()
                         for samples, labels in ((X[batch], y[batch]), (X_val, y_val))])
    for shares in (1, 2, 3, 4) if COMPILED else (1, 3):
        monkeypatch.setattr(workspaces, "share_count", lambda units, work, _, most=shares: min(most, units))
        results = Workspace(Parameters(layers), samples).run(X, y, batches, 0.1, 0.01,
                                                             accuracies=Accuracies(due, X_val, y_val))
        assert results.accuracies.tolist() == [pair for pair, wanted in zip(expected, due, strict=True) if wanted]


def test_a_score_that_is_no_number_is_the_largest_as_in_numpy():
    # The first NaN of a row is what NumPy's argmax finds, and a label that is none is never right.
    layers = [(np.array([[1.0, 1.0, 1.0], [1.0, -1.0, 1.0]]), np.zeros(3))]
    X = np.array([[0.0, 0.0], [np.inf, np.inf], [1.0, 1.0], [-1.0, 1.0]])
    assert (X @ layers[0][0]).argmax(axis=1).tolist() == [0, 1, 0, 0]
    for y_val in [[0, 1, 0, 0], [0, 0, 0, 1], [-1, 3, 2**40, 1]]:
        results = Workspace(Parameters(layers), 1).run(
            X, np.array([0, 1, 2, 0]), np.array([[0]]), 0.0, 0.0,
            accuracies=Accuracies(np.array([True]), X, np.array(y_val)))
        assert results.accuracies[0, 1] == np.mean(np.array([0, 1, 0, 0]) == y_val)


def test_accuracies_of_chosen_samples_are_those_of_the_scores_after_the_update(rng):
    layers = [(rng.standard_normal((5, 7)), rng.standard_normal(7)), (rng.standard_normal((7, 3)), np.zeros(3))]
    X, y = rng.standard_normal((90, 5)), rng.randint(3, size=90)
    due, chosen = np.array([True, False, True]), rng.randint(90, size=(2, 70)).astype(np.intp)
    batches = rng.randint(90, size=(3, 8)).astype(np.intp)
    parameters = Parameters(layers)
    given = Accuracies(due, X[:4], y[:4], chosen)
    results = Workspace(parameters, 8).run(X, y, batches, 0.1, 0.01, accuracies=given)
    parameters.store(layers)
    right = passes.infer(layers, X)[1] == y
    assert results.accuracies[1].tolist() == [right[chosen[1]].mean(), right[:4].mean()]


@pytest.mark.parametrize("chosen", [np.zeros((2, 3), np.intp), np.full((1, 3), 2), np.full((1, 3), -1),
                                    np.zeros((1, 3), np.int32), np.zeros(3, np.intp)])
def test_chosen_samples_are_checked_before_anything_is_changed(chosen):
    parameters = Parameters([(np.ones((4, 3)), np.ones(3))])
    given = Accuracies(np.ones(1, bool), np.ones((2, 4)), np.zeros(2, int), chosen)
    with pytest.raises(ValueError, match="chosen must be"):
        Workspace(parameters, 2).run(np.ones((2, 4)), np.array([0, 1]), np.array([[0, 1]]), 0.1, 0.0, accuracies=given)


@pytest.mark.parametrize("change", [{"due": np.ones(2, bool)}, {"y": np.zeros(3, int)}, {"X": np.ones((2, 3))}])
def test_accuracies_are_checked_before_anything_is_changed(change):
    workspace = Workspace(Parameters([(np.ones((4, 3)), np.ones(3))]), 2)
    given = Accuracies(np.ones(1, bool), np.ones((2, 4)), np.zeros(2, int))._replace(**change)
    with pytest.raises(ValueError, match=r"accuracies|X must be"):
        workspace.run(np.ones((2, 4)), np.array([0, 1]), np.array([[0, 1]]), 0.1, 0.0, accuracies=given)
