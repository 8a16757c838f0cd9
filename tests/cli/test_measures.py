import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, log_loss, mean_poisson_deviance, r2_score

from fastnet.cli.results.measures import calibration, class_lines, confusion, losses, number_lines, r2


def test_losses(rng):
    scores, y = 3 * rng.standard_normal((30, 4)), np.arange(30) % 4
    P = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    assert losses("softmax", scores, y).mean() == pytest.approx(log_loss(y, P))
    p = 1 / (1 + np.exp(-scores[:, 0]))
    assert losses("logistic", scores[:, :1], y % 2).mean() == pytest.approx(log_loss(y % 2, p))
    assert losses("identity", scores[:, :1], y).mean() == pytest.approx(((scores[:, 0] - y) ** 2).mean() / 2)
    assert losses("exp", np.exp(scores[:, :1]), y).mean() == pytest.approx(
        mean_poisson_deviance(y, np.exp(scores[:, 0])) / 2)
    assert np.isfinite(losses("softmax", np.array([[1e4, -1e4]], np.float32), np.array([1]))).all()


def test_r2(rng):
    y, predicted = rng.standard_normal((2, 20))
    assert r2(y, predicted) == pytest.approx(r2_score(y, predicted))
    assert r2(np.ones(3), np.ones(3)) == 1
    assert r2(np.ones(3), np.zeros(3)) == 0
    assert dict(number_lines(np.array([1.0, 2]), np.array([2.0, 2])))["error"] == (
        "0.5 in the mean, 0.707107 root mean square, 1 at most")


def test_confusion(rng):
    y, predicted = rng.randint(3, size=(2, 50))
    assert (confusion(y, predicted, 4)[:3, :3] == confusion_matrix(y, predicted, labels=range(3))).all()
    assert confusion(np.array([-1, 1]), np.array([0, 1]), 2).tolist() == [[0, 0], [0, 1]]


def test_class_lines():
    lines = "\n".join(class_lines(np.array([[3, 1, 0], [0, 0, 0], [2, 0, 2]]), ["ant", "a\nb", 3])).splitlines()
    assert lines[0].split() == ["class", "samples", "accuracy", "precision"]
    assert [line.split() for line in lines[1:4]] == [
        ["ant", "4", "0.7500", "0.6000"], ["a", "b", "0", "-", "0.0000"], ["3", "4", "0.5000", "1.0000"]]
    assert lines[-3].split() == ["ant", "3", "1", "0"]
    many = np.diag(np.full(30, 5))
    many[3, 4] = 7
    assert class_lines(many, range(30))[-1].split() == ["7", "3", "was", "taken", "for", "4"]


def test_calibration():
    confidence, hits, counts = calibration(np.array([True, False, True, True]), np.array([0.5, 0.55, 1.0, 0.95]))
    assert np.allclose(confidence, [0.525, 0.975])
    assert hits.tolist() == [0.5, 1]
    assert counts.tolist() == [2, 2]
