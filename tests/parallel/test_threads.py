"""The same call gives the same bits at any number of threads, on every threading layer."""

import os

import numba
import numpy as np
import pytest

from fastnet import TwoLayerNet, kernels, reference
from fastnet.network import passes
from fastnet.parallel import threads
from fastnet.training import loop

from ..conftest import COMPILED
from ..tolerances import assert_within, product_bound

SCRIPT = """
import hashlib, sys
import numpy as np
import fastnet
from fastnet import kernels
fastnet.set_num_threads(int(sys.argv[1]))
small = sys.argv[2] == "small"
digest = hashlib.sha256()
for dtype in (np.float32, np.float64):
    random = np.random.RandomState(0)
    for D, H, C, N in [(8, 6, 3, 9)] if small else [(30, 7, 3, 11), (517, 203, 10, 301), (64, 100, 1500, 400)]:
        X, y = random.standard_normal((N, D)).astype(dtype), random.randint(C, size=N)
        net = fastnet.TwoLayerNet(D, H, C, std=0.1, dtype=dtype, rng=1)
        history = net.train(X, y, X, y, num_iters=4, batch_size=N - 1, reg=0.1, learning_rate=0.1)
        loss, grads = net.loss(X, y, reg=0.1)
        digest.update(repr((history, loss)).encode())
        for array in [*net.params.values(), *grads.values(), net.predict_proba(X), net.loss(X[:1])]:
            digest.update(np.ascontiguousarray(array).tobytes())
    if not small:  # long and flat enough that the elementwise kernels run in parallel too
        Z = random.standard_normal((5000, 700)).astype(dtype)
        kernels.axpy(0.5, kernels.relu(Z).reshape(-1), Z.reshape(-1))
        for array in (Z, kernels.relu_mask(Z, Z), kernels.softmax(Z), kernels.bias_gradient(Z)):
            digest.update(array.tobytes())
        digest.update(repr((kernels.sum_of_squares(Z), kernels.all_finite(Z.reshape(-1)))).encode())
print(digest.hexdigest())
"""


@pytest.mark.slow
@pytest.mark.parametrize("layer", ["default", "workqueue"])
def test_same_bits_at_any_number_of_threads(run_python, layer):
    size = "large" if COMPILED else "small"
    digests = {run_python(SCRIPT, threads, size, NUMBA_NUM_THREADS="4", NUMBA_THREADING_LAYER=layer)
               for threads in (1, 2, 4)}
    assert len(digests) == 1


@pytest.mark.skipif(not COMPILED, reason="there is one thread")
def test_threads_of_a_model(monkeypatch):
    seen = []
    monkeypatch.setattr(loop, "CHECK_WORK", 0)  # accuracies are calls of their own
    real = passes.share_count
    monkeypatch.setattr(passes, "share_count", lambda *args: seen.append(threads.most_threads(args[2])) or real(*args))
    before = threads.get_num_threads()
    X, y = np.ones((4, 3)), np.array([0, 1, 0, 1])
    for count, expected in ((None, before), (1, 1)):
        TwoLayerNet(3, 4, 2, rng=0, threads=count).train(X, y, X, y, num_iters=2, batch_size=2)
        assert seen[-2:] == [expected, expected]  # of the two accuracies
        assert threads.get_num_threads() == before
        seen.clear()


@pytest.mark.parametrize(("wrong", "error"), [(0, ValueError), (10**6, ValueError), (1.5, TypeError)])
def test_bad_threads_of_a_model(wrong, error):
    with pytest.raises(error, match="threads must be"):
        TwoLayerNet(3, 4, 2, threads=wrong)


def test_threading_layer_is_named(run_python):
    script = "from fastnet.parallel.threads import threading_layer; print(threading_layer())"
    assert run_python(script, NUMBA_THREADING_LAYER="workqueue").strip() == "workqueue"


def test_as_many_threads_as_numba_has(run_python):
    script = "import fastnet; print(fastnet.get_num_threads())"
    assert int(run_python(script, NUMBA_NUM_THREADS="3")) == 3
    assert (os.cpu_count() or 1) >= numba.config.NUMBA_NUM_THREADS or "NUMBA_NUM_THREADS" in os.environ


@pytest.mark.skipif(COMPILED, reason="compiled kernels have these as constants")
@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_however_the_work_is_cut(monkeypatch, rng, count):
    N, H, C = 23, 15, 130
    Z, A, W = (rng.standard_normal(shape) for shape in [(N, C), (N, H), (H, C)])
    y, b = rng.randint(C, size=N), rng.standard_normal(C)

    def results():
        moved = Z.copy()
        kernels.axpy(0.5, Z.reshape(-1), moved.reshape(-1))
        loss, delta = kernels.softmax_cross_entropy(Z, y)
        return [
            kernels.affine_forward(A, W, b), kernels.relu(Z), kernels.relu_mask(Z, Z), kernels.softmax(Z), loss, delta,
            kernels.propagate_delta(Z, W, A), kernels.weight_gradient(A, Z), kernels.bias_gradient(Z), moved,
            kernels.sum_of_squares(np.tile(Z, (3, 1))), kernels.all_finite(Z.reshape(-1))]

    whole = results()
    monkeypatch.setattr(threads, "WORK_PER_THREAD", 1)
    monkeypatch.setattr(threads, "current_threads", lambda: count)
    for part, expected in zip(results(), whole, strict=True):
        np.testing.assert_array_equal(part, expected)
    assert_within(whole[0], reference.affine_forward(A, W, b), product_bound(A, W, b))


def test_slow_regions_are_those_of_workqueue(run_python):
    script = "from fastnet.parallel.threads import slow_regions; print(slow_regions())"
    assert run_python(script, NUMBA_THREADING_LAYER="workqueue").strip() == str(COMPILED)


@pytest.mark.skipif(not COMPILED, reason="there is one thread")
def test_slow_regions_are_left_out(monkeypatch, rng):
    seen = []
    forward, few_scores, in_region = passes.forward, passes.few_scores, passes.few_scores_in_region
    one_row_scores = passes.one_row_scores
    monkeypatch.setattr(passes, "forward", lambda *args: seen.append(threads.get_num_threads()) or forward(*args))
    monkeypatch.setattr(passes, "few_scores", lambda *args: seen.append(len(args[2])) or few_scores(*args))
    monkeypatch.setattr(passes, "one_row_scores", lambda *args: seen.append("one") or one_row_scores(*args))
    monkeypatch.setattr(passes, "few_scores_in_region", lambda *args: seen.append("region") or in_region(*args))
    layers = [(rng.standard_normal((300, 100)), np.zeros(100)), (rng.standard_normal((100, 4)), np.zeros(4))]
    X, y = rng.standard_normal((500, 300)), rng.randint(4, size=500)
    monkeypatch.setattr(passes, "slow_regions", lambda: False)
    expected, _ = passes.infer(layers, X)
    loss, _ = passes.loss_and_grads_by_kernels(layers, X, y, 0.1)
    assert seen == ["region" if threads.get_num_threads() > 1 else 500, threads.get_num_threads()]
    seen.clear()
    monkeypatch.setattr(passes, "slow_regions", lambda: True)
    for part in (X, X[:100], X[:1]):
        scores, _ = passes.infer(layers, part)
        np.testing.assert_array_equal(scores, expected[:len(part)])
    assert passes.loss_and_grads_by_kernels(layers, X, y, 0.1)[0] == loss
    assert seen == [100, "one", 1]  # scores of few samples, serial, and of one; and one thread for the loss
