"""The reference's own formulas: oracles from outside, derivatives by differences, and extremes."""

import numpy as np
import pytest

from fastnet import reference


def steps(start, stop):
    return np.linspace(start, stop, 20).reshape(4, 5)


def test_momentum_oracle():
    w, v = steps(-0.4, 0.6), steps(0.6, 0.9)
    reference.momentum_step(w, steps(-0.6, 0.4), v, 1e-3, 0.9)
    np.testing.assert_allclose(w[0], [0.1406, 0.20738947, 0.27417895, 0.34096842, 0.40775789], rtol=0, atol=5e-9)


def test_rmsprop_oracle():
    w = steps(-0.4, 0.6)
    reference.rmsprop_step(w, steps(-0.6, 0.4), steps(0.6, 0.9), 1e-2, 0.99, 1e-8)
    np.testing.assert_allclose(w[0], [-0.39223849, -0.34037513, -0.28849239, -0.23659121, -0.18467247], rtol=0,
                               atol=5e-9)


def test_adam_oracle():
    w, t = steps(-0.4, 0.6), 6  # t = 5 before the step
    reference.adam_step(w, steps(-0.6, 0.4), steps(0.6, 0.9), steps(0.7, 0.5), reference.adam_rate(1e-2, t, 0.9, 0.999),
                        0.9, 0.999, 1e-8 * np.sqrt(1 - 0.999**t))
    np.testing.assert_allclose(w[0], [-0.40094747, -0.34836187, -0.29577703, -0.24319299, -0.19060977], rtol=0,
                               atol=5e-9)


def test_nesterov_is_momentum_that_looks_ahead(rng):
    w, v, dw = (rng.standard_normal(7) for _ in range(3))
    expected = w + 0.9 * (0.9 * v - 0.1 * dw) - 0.1 * dw
    reference.nesterov_step(w, dw, v, 0.1, 0.9)
    np.testing.assert_allclose(w, expected, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("activation", sorted(reference.ACTIVATIONS))
def test_masks_are_derivatives(rng, activation):
    function, mask = reference.ACTIVATIONS[activation]
    Z = rng.uniform(0.1, 3, (5, 4)) * rng.choice([-1, 1], (5, 4))  # away from the kink of ReLU
    h = 1e-6
    numeric = (function(Z + h) - function(Z - h)) / (2 * h)
    np.testing.assert_allclose(mask(np.ones_like(Z), function(Z)), numeric, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("head", sorted(reference.HEADS))
@pytest.mark.parametrize("activation", sorted(reference.ACTIVATIONS))
@pytest.mark.parametrize("weighted", [False, True])
def test_gradients_equal_central_differences(rng, head, activation, weighted):
    near = True
    while near:  # a unit that ReLU switches off between the two sides of a difference has no derivative there
        layers = [(rng.standard_normal(shape) / 2, rng.standard_normal(shape[1]) / 2)
                  for shape in [(4, 5), (5, 3), (3, 3)]]
        X = rng.standard_normal((6, 4))
        maps = [X @ layers[0][0] + layers[0][1]]
        maps.append(reference.ACTIVATIONS[activation][0](maps[0]) @ layers[1][0] + layers[1][1])
        near = any(np.abs(Z).min() < 1e-4 for Z in maps)
    Y = {"softmax": np.eye(3)[rng.randint(3, size=6)], "logistic": rng.randint(2, size=(6, 3)),
         "squared_error": rng.standard_normal((6, 3)), "poisson": rng.randint(5, size=(6, 3))}[head].astype(float)
    weights = rng.uniform(0, 2, 6) if weighted else None

    def loss():
        return reference.loss_and_grads(layers, X, Y, 0.3, activation, head, weights)

    _, grads = loss()
    outputs = 3 if head == "squared_error" else 1  # see HEADS: its loss is a mean over these, its gradient is not
    h = 1e-6
    for layer, gradients in zip(layers, grads, strict=True):
        for parameter, gradient in zip(layer, gradients, strict=True):
            penalty = 0.3 * parameter if parameter.ndim == 2 else 0
            for index in np.ndindex(parameter.shape):
                before, values = parameter[index], []
                for sign in (1, -1):
                    parameter[index] = before + sign * h
                    values.append(loss()[0])
                parameter[index] = before
                numeric = (values[0] - values[1]) / (2 * h)
                expected = (gradient - penalty)[index] / outputs + np.broadcast_to(penalty, parameter.shape)[index]
                assert numeric == pytest.approx(expected, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extremes(dtype):
    Z = np.array([[-1e4, -800, 0, 800, 1e4]], dtype)
    np.testing.assert_array_equal(reference.logistic(Z), np.array([[0, 0, 0.5, 1, 1]], dtype))
    eps = np.finfo(dtype).eps
    worst = reference.log_loss(np.array([[0.0], [1.0]], dtype), np.array([[1], [0]]))
    np.testing.assert_allclose(worst, -np.log(eps), rtol=1e-6)
    np.testing.assert_array_equal(reference.poisson_loss(np.ones((1, 2), dtype), np.zeros((1, 2), dtype)), [2])
    assert np.isnan(reference.logistic(np.array([np.nan], dtype))).all()
