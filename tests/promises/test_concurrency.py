"""Threads and processes: one parallel region at a time, none in a forked child; small runs of the stress script."""

import ast
import os
import subprocess
import sys
import threading
from pathlib import Path

import numba
import numpy as np
import pytest

from fastnet import kernels
from fastnet.network import inference
from fastnet.parallel import regions
from fastnet.parallel.regions import enter_region, leave_region

from ..conftest import COMPILED

compiled = pytest.mark.skipif(not COMPILED, reason="without compilation there are no parallel regions")
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")


def test_one_at_a_time():
    @numba.njit
    def tried():
        first, second = enter_region(), enter_region()
        leave_region()
        third = enter_region()
        leave_region()
        return first, second, third

    assert tried() == (True, False, True)
    assert not regions.regions_closed()


@compiled
def test_nobody_slips_in():
    @numba.njit(nogil=True)
    def count_up(counter, times):
        done = 0
        while done < times:
            if enter_region():
                counter[0] += 1  # no atomic operation
                leave_region()
                done += 1

    counter = np.zeros(1, np.int64)
    threads = [threading.Thread(target=count_up, args=(counter, 100_000)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter[0] == 400_000


@pytest.mark.parametrize("module", [kernels, inference])
def test_every_parallel_loop_is_a_region(module):
    def is_call(node, name):
        return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name

    tree = ast.parse(Path(module.__file__).read_text())
    loops = [node for node in ast.walk(tree) if isinstance(node, ast.For) and is_call(node.iter, "prange")]
    guarded = []
    for node in ast.walk(tree):
        # if ... or not enter_region(): serial; else: for ... in prange(...): ...; leave_region()
        if isinstance(node, ast.If) and any(is_call(part, "enter_region") for part in ast.walk(node.test)):
            loop, end = node.orelse
            assert is_call(node.test.values[-1].operand, "enter_region")
            assert is_call(end.value, "leave_region")
            guarded.append(loop)
    assert len(loops) == len(guarded) > 0
    assert set(loops) == set(guarded)


FORKED = """
import ctypes, os, sys, threading, warnings
import numba, numpy as np
import fastnet
from fastnet.parallel import regions
from fastnet.parallel import team
from fastnet.parallel import threads
from fastnet.parallel.regions import enter_region, leave_region

warnings.simplefilter("ignore")  # newer Pythons warn of forks where there are threads
samples, inputs = (4, 5) if numba.config.DISABLE_JIT else (200, 500)
X = np.random.RandomState(0).standard_normal((samples, inputs))
net = fastnet.TwoLayerNet(inputs, 64, 10, rng=0)
expected = net.predict(X).tobytes()
if numba.config.DISABLE_JIT:
    enter, leave = enter_region, leave_region
else:
    enter, leave = numba.njit(lambda: enter_region()), numba.njit(lambda: leave_region())
assert not threads.slow_regions() or numba.threading_layer() == "workqueue"
if sys.argv[1] == "Python":
    came = threading.Event()
    team.Ahead(came.set)  # there is a helper, which the child will not have
    assert came.wait(30)
assert enter()
if sys.argv[2] == "free":
    leave()

# Some web servers fork in C, without what Python runs around a fork. Python has no other threads then.
fork = os.fork if sys.argv[1] == "Python" else ctypes.PyDLL(None).fork

def check(depth):
    assert regions.regions_closed()
    assert not enter()
    if fork is os.fork:
        assert threads.slow_regions() is not numba.config.DISABLE_JIT
    assert net.predict(X).tobytes() == expected
    counts, before = [], fastnet.get_num_threads()
    thread = threading.Thread(target=lambda: counts.append(fastnet.get_num_threads()))
    thread.start()
    thread.join()
    assert counts == [before]
    if not numba.config.DISABLE_JIT:
        came = threading.Event()
        team.Ahead(came.set)  # a helper of this process
        assert came.wait(30)
    if depth:
        run(depth - 1)

def run(depth):
    child = fork()
    if not child:
        status = 1
        try:
            check(depth)
            status = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0

run(1 if fork is os.fork else 0)
"""


@pytest.mark.slow
@forks
@pytest.mark.parametrize("layer", ["default", "workqueue"])
@pytest.mark.parametrize("state", ["free", "taken"])
def test_a_forked_child_is_not_let_in(run_python, layer, state):
    for who in ("Python", "C"):
        run_python(FORKED, who, state, NUMBA_THREADING_LAYER=layer, NUMBA_NUM_THREADS="2")


LOCKED = """
import os, threading, time, warnings
import fastnet
from fastnet.parallel import regions

warnings.simplefilter("ignore")
assert len(regions._LOCKS) == 3
for lock in regions._LOCKS:
    held, released = threading.Event(), []

    def hold():
        with lock:
            held.set()
            time.sleep(0.1)
            released.append(True)

    def use():
        with lock:
            pass

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    child = os.fork()
    if not child:
        user = threading.Thread(target=use, daemon=True)
        user.start()
        user.join(30)
        os._exit(not released or user.is_alive())
    thread.join()
    use()
    assert os.waitpid(child, 0)[1] == 0
"""


@forks
def test_a_fork_waits_for_numbas_locks(run_python):
    run_python(LOCKED)


def test_all_imports_share_one_region(run_python):
    run_python("""
import sys
from fastnet.parallel import regions
del sys.modules["fastnet.parallel.regions"]
import fastnet.parallel.regions as again
import ctypes
assert again is not regions
assert ctypes.addressof(again._owner) == ctypes.addressof(regions._owner)
""")


# The stress script compares everything with what one thread gives.
@pytest.mark.slow
@compiled
@pytest.mark.parametrize(("layer", "scenario"), [
    ("workqueue", "in_threads"), ("default", "in_forks"), ("workqueue", "in_forks"), ("default", "in_processes"),
    ("default", "in_joblib"), ("workqueue", "in_web_workers"), ("default", "while_training")])
def test_stress(layer, scenario):
    if scenario in ("in_forks", "in_web_workers") and not hasattr(os, "fork"):
        pytest.skip("there are no forks here")
    script = Path(__file__).parents[1] / "programs" / "stress_concurrency.py"
    command = [sys.executable, "-W", "error", script, "--inside", scenario, "--predictions", "10", "--forks", "2"]
    environment = {**os.environ, "NUMBA_THREADING_LAYER": layer, "NUMBA_NUM_THREADS": "4"}
    result = subprocess.run(command, env=environment, text=True, capture_output=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr
