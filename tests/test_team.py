"""A team of workers: nobody waits for who has not come, errors are raised, forks and threads are safe."""

import gc
import threading
import time
import weakref

import pytest

from fastnet import team

from .conftest import COMPILED

needs_helpers = pytest.mark.skipif(not COMPILED, reason="without compilation there is one worker")


def test_the_first_worker_is_the_caller():
    seen = []
    team.run(lambda worker: seen.append((worker, threading.get_ident())), 1)
    assert seen == [(0, threading.get_ident())]


@needs_helpers
def test_helpers_come_and_are_waited_for():
    came, finished = threading.Event(), []

    def work(worker):
        if worker:
            came.set()
            finished.append(worker)
        else:
            assert came.wait(30)

    team.run(work, 2)
    assert finished == [1]


@needs_helpers
def test_helpers_that_do_not_come_are_not_waited_for():
    release, blocked = threading.Event(), threading.Event()
    helpers = team._Helpers()

    def block():
        blocked.set()
        release.wait(30)

    helpers.put([team._Job(block)])
    assert blocked.wait(30)
    late, seen = team._Job(lambda: seen.append("late")), []
    helpers.put([late])
    late.end()  # withdrawn: the only helper is busy
    release.set()
    last = team._Job(lambda: seen.append("last"))
    helpers.put([last])
    while "last" not in seen:
        pass
    assert seen == ["last"]


def test_what_is_made_ahead_is_made_once(monkeypatch):
    made, makers = threading.Event(), []

    def call():
        makers.append(threading.get_ident())
        made.set()
        return len(makers)

    ahead = team.Ahead(call)
    assert made.wait(30)
    assert ahead.value() == 1
    assert makers != [threading.get_ident()]
    monkeypatch.setattr(team._Helpers, "put", lambda self, jobs: None)  # nobody comes
    assert team.Ahead(call).value() == 2
    assert makers[1:] == [threading.get_ident()]


def test_what_was_made_ahead_is_not_kept():
    class Made:
        pass

    def call():
        begun.set()
        return Made()

    begun, deadline = threading.Event(), time.monotonic() + 30
    gc.disable()
    try:
        ahead = team.Ahead(call)
        assert begun.wait(30)  # else the caller would make it
        made = weakref.ref(ahead.value())
        del ahead
        while made() is not None:  # the helper may be at its last line still
            assert time.monotonic() < deadline
    finally:
        gc.enable()


def test_an_error_ahead_is_raised_where_the_value_is_asked_for():
    def fail():
        begun.set()
        raise ArithmeticError("ahead")

    begun = threading.Event()
    ahead = team.Ahead(fail)
    assert begun.wait(30)
    with pytest.raises(ArithmeticError, match="ahead"):
        ahead.value()


@needs_helpers
@pytest.mark.parametrize("culprit", [0, 1])
def test_errors_of_workers_are_raised(culprit):
    came = threading.Event()

    def work(worker):
        if worker:
            came.set()
        else:
            assert came.wait(30)
        if worker == culprit:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        team.run(work, 2)


TRAIN = """
import os, threading
import numba, numpy as np
import fastnet
iterations = 2 if numba.config.DISABLE_JIT else 30
random = np.random.RandomState(0)
X, y = random.standard_normal((400, 600)).astype(np.float32), random.randint(10, size=400)

def trained():
    net = fastnet.TwoLayerNet(600, 64, 10, std=0.05, dtype=np.float32, rng=0)
    net.train(X, y, X[:50], y[:50], num_iters=iterations, batch_size=150)
    return net.params["W1"].tobytes()

expected = trained()
"""


@pytest.mark.parametrize("layer", ["default", "workqueue"])
def test_several_threads_may_train_at_once(run_python, layer):
    script = TRAIN + """
results = []
threads = [threading.Thread(target=lambda: results.append(trained())) for _ in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert results == 4 * [expected]
"""
    run_python(script, NUMBA_THREADING_LAYER=layer, NUMBA_NUM_THREADS="2")


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="there is no fork here")
def test_a_forked_child_may_train(run_python):
    script = TRAIN + """
import warnings
warnings.simplefilter("ignore")  # newer Pythons warn of forks where there are threads
for _ in range(3):
    child = os.fork()
    if not child:
        os._exit(0 if trained() == expected else 1)
    assert os.waitpid(child, 0)[1] == 0
"""
    run_python(script, NUMBA_NUM_THREADS="2")
