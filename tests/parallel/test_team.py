"""A team of workers: nobody waits for who has not come, nobody is left inside, forks and threads are safe."""

import gc
import threading
import time
import weakref

import numba
import numpy as np
import pytest

from fastnet.parallel import phases, team

from ..conftest import COMPILED

needs_helpers = pytest.mark.skipif(not COMPILED, reason="without compilation there is one worker")

IN, OUT, SEEN = 0, 1, 2
"""What `visit` writes: workers that are in, workers that are out, and what the last one saw."""


@numba.njit(nogil=True)
def visit(worker, counters, log, wait_for_helper):
    """Work of a team: each worker says that it is in; the first may wait for another one, and stays no longer."""
    opened = phases.enter(counters, worker)
    if opened == phases.SHUT:
        return
    if phases.claim(counters, worker, 0):
        log[worker, IN] += 1
        phases.complete(counters)
    if worker == 0 and wait_for_helper:
        phases.wait_until(counters, 2)
    log[worker, OUT] += 1
    phases.leave(counters, worker, opened)


@numba.njit(nogil=True)
def slow_helper(worker, counters, log, rounds):
    """The helper goes on for long when the first worker has nothing more to do."""
    opened = phases.enter(counters, worker)
    if opened == phases.SHUT:
        return
    if worker == 0:
        phases.wait_until(counters, 1)
    else:
        phases.complete(counters)
        for at in range(rounds):
            log[1, SEEN] = log[1, SEEN] * 3 + at
    log[worker, OUT] = 1
    phases.leave(counters, worker, opened)


def test_the_first_worker_is_the_caller():
    seen = []
    team.run(lambda worker, counters: seen.append((worker, threading.get_ident())), 1, phases.new_counters(1))
    assert seen == [(0, threading.get_ident())]


@pytest.fixture
def patience(monkeypatch):
    """Helpers wait for the door for as long as it takes, where the first worker waits for them."""
    monkeypatch.setattr(team, "KNOCKS", 10**9)
    for work, last in ((visit, False), (slow_helper, 1)):
        work(1, phases.new_counters(2), np.zeros((2, 3), np.int64), last)  # compiles; there is no door


@needs_helpers
@pytest.mark.usefixtures("patience")
def test_helpers_come_in():
    log = np.zeros((2, 3), np.int64)
    team.run(visit, 2, phases.new_counters(2), log, True)
    assert log[:, IN].tolist() == log[:, OUT].tolist() == [1, 1]


@needs_helpers
@pytest.mark.usefixtures("patience")
def test_helpers_inside_are_waited_for():
    for _ in range(20):
        log = np.zeros((2, 3), np.int64)
        team.run(slow_helper, 2, phases.new_counters(2), log, 1_000_000)
        assert log[1, OUT] == 1


@needs_helpers
def test_helpers_that_do_not_come_are_not_waited_for(monkeypatch):
    late = []
    monkeypatch.setattr(team._Helpers, "put", lambda self, visits: late.extend(visits))
    counters, log = phases.new_counters(2), np.zeros((2, 3), np.int64)
    team.run(visit, 2, counters, log, False)
    assert log[0].tolist() == [1, 1, 0]
    visit(1, counters, log, False)  # the door is closed
    assert not log[1].any()
    (visitor,) = late
    held = weakref.ref(log)
    del log
    assert held() is None  # who has not come keeps nothing
    visitor()


@needs_helpers
def test_nobody_comes_in_before_the_first(monkeypatch):
    monkeypatch.setattr(team, "KNOCK_SECONDS", 0.0)
    counters, log = phases.new_counters(2), np.zeros((2, 3), np.int64)
    team._Visit(visit, 1, counters, (log, False))()  # an exception has come between asking for help and the work
    assert not log.any()


@needs_helpers
def test_a_helper_that_fails_has_taken_nothing():
    failed = threading.Event()

    def work(worker, counters, log):
        if worker:
            failed.set()
            raise ZeroDivisionError
        visit(worker, counters, log, False)
        assert failed.wait(30)

    log = np.zeros((2, 3), np.int64)
    team.run(work, 2, phases.new_counters(2), log)
    assert log[:, OUT].tolist() == [1, 0]
    came = threading.Event()
    team.Ahead(came.set)
    assert came.wait(30)  # it is still there


@needs_helpers
def test_errors_of_the_caller_are_raised():
    def work(worker, counters):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        team.run(work, 2, phases.new_counters(2))


@needs_helpers
def test_an_exception_cannot_come_between_starting_and_counting_threads():
    helpers, together = team._Helpers(), threading.Barrier(4)
    for _ in range(2):
        helpers.put([together.wait] * 3)
        together.wait(30)
    assert len(helpers._threads) == 3
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    assert {names[ident] for ident in helpers._threads} == {"fastnet"}


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
    monkeypatch.setattr(team._Helpers, "put", lambda self, calls: None)  # nobody comes
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


LINGERING = """
import os, sys, threading, time
import numba
import numpy as np
from fastnet import tuning
tuning.LINGERS = int(sys.argv[1])
tuning.OTHERS_NANOSECONDS = int(sys.argv[2])
from fastnet.llvm.atomics import atomic_add, atomic_load, rest
from fastnet.parallel import phases, team

team.KNOCKS = 10**9
BUSY, GO_ON, OPENED = range(3)

@numba.njit(nogil=True)
def work(worker, counters, flags, waits):
    # The helper says that it is busy, and may wait for a word; the first worker waits for the helper.
    opened = phases.enter(counters, worker)
    if opened == phases.SHUT:
        return
    if worker == 0:
        atomic_add(flags, OPENED, 1)
        phases.wait_until(counters, 1)
    else:
        atomic_add(flags, BUSY, 1)
        while waits and atomic_load(flags, GO_ON) == 0:
            rest(True)
        phases.complete(counters)
    phases.leave(counters, worker, opened)

def seen(place, count):
    while flags[place * tuning.COUNTER_SPACING] < count:
        time.sleep(0.001)

flags = np.zeros(3 * tuning.COUNTER_SPACING, np.int64)
work(1, phases.new_counters(2), flags, False)  # compiles; there is no door
"""


@needs_helpers
def test_a_helper_that_is_awake_comes_back(run_python):
    """Where it would never sleep: at the next door, at one that was opened during its work, and when it is called."""
    script = LINGERING + """
for _ in range(2):
    team.run(work, 2, phases.new_counters(2), flags, False)
teams = [threading.Thread(target=team.run, args=(work, 2, phases.new_counters(2), flags, waits))
         for waits in (True, False)]
teams[0].start()
seen(BUSY, 3)
teams[1].start()
seen(OPENED, 4)
flags[GO_ON * tuning.COUNTER_SPACING] = 1
[thread.join() for thread in teams]
called = threading.Event()
ahead = team.Ahead(called.set)
assert called.wait(30)
assert len(team._helpers._threads) == 1
os._exit(0)  # it is awake for ever
"""
    run_python(script, 10**15, 10**15)


@needs_helpers
def test_a_helper_goes_to_sleep(run_python):
    """After so many looks, or when somebody else has had the core; for ever each of the two would be too long."""
    script = LINGERING + """
team.run(work, 2, phases.new_counters(2), flags, False)
time.sleep(0.2)
before = time.process_time()
time.sleep(1)
assert time.process_time() - before < 0.5
"""
    run_python(script, 500, 10**15)
    run_python(script, 10**15, 0)


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


ENDING = TRAIN + """
import time

def forever():
    while True:
        trained()

for _ in range(4):
    threading.Thread(target=forever, daemon=True).start()
time.sleep(random.uniform(0, 0.05))
"""


@needs_helpers
def test_daemon_threads_may_train_when_the_interpreter_ends(run_python):
    for _ in range(3):
        run_python(ENDING, NUMBA_NUM_THREADS="2")


@needs_helpers
def test_nobody_goes_in_when_the_interpreter_ends(run_python):
    script = """
import threading, time
import numpy as np
from fastnet.parallel import team
from fastnet.parallel import interpreter_end
from fastnet.parallel import phases

interpreter_end._wait_until_nobody_is_inside()
ran = []
thread = threading.Thread(target=lambda: team.run(lambda worker, counters: ran.append(worker), 1, None), daemon=True)
thread.start()
thread.join(0.2)
assert thread.is_alive() and not ran  # it stands still
team.run(lambda worker, counters: ran.append(worker), 1, None)
assert ran == [0]  # the thread that ends the interpreter goes on
"""
    run_python(script)
