"""What becomes of a fit where something happens to the cluster, or to the client; and what it leaves behind."""

import gc
import importlib.util
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from ..conftest import COMPILED
from .conftest import fitted, learned

da = pytest.importorskip("dask.array")
distributed = pytest.importorskip("distributed")

from fastnet import dask as ours  # noqa: E402 (what it needs has been asked for)
from fastnet.dask import rounds  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
compiled_only = pytest.mark.skipif(not COMPILED, reason="minutes in plain Python")

LONG = {"hidden_layer_sizes": (3,), "max_iter": 10_000, "random_state": 0, "n_iter_no_change": 10_000}


def random_parts(rng, samples=40, chunk=10):
    return da.from_array(rng.normal(size=(samples, 3)), chunks=(chunk, 3)), da.from_array(
        rng.randint(0, 3, samples), chunks=chunk)


def wait_until(true, seconds=60):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def keys_of(cluster):
    return [key for key in list(cluster.scheduler.tasks) if str(key).startswith("fastnet-")]


def program(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "tests" / "programs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@compiled_only
def test_a_killed_worker_costs_no_bit(capfd):
    program("dask_kills").main(["--kills", "3"])  # twenty, as docs/howto/dask.md says, take some minutes


def test_fits_leave_nothing_behind(client, cluster, rng):
    parts = random_parts(rng)
    model = ours.MLPClassifier((3,), max_iter=2, random_state=0, tol=10, n_iter_no_change=1)

    def held():
        return sum(client.run(lambda dask_worker: len(dask_worker.data)).values())

    fitted(model, *parts)
    gc.collect()
    wait_until(lambda: not cluster.scheduler.tasks)
    before = len(cluster.scheduler.task_prefixes), len(cluster.scheduler.task_groups)
    for _ in range(5):
        fitted(model, *parts)
    with pytest.raises(ValueError, match=r"partition [01]"):
        model.fit(da.full((4, 3), np.nan, chunks=(2, 3)), da.zeros(4, chunks=2))
    wait_until(lambda: not cluster.scheduler.tasks and not held())
    assert (len(cluster.scheduler.task_prefixes), len(cluster.scheduler.task_groups)) <= (before[0] + 4, before[1])


class Shards(distributed.SchedulerPlugin):
    """How often each shard is made."""

    def __init__(self):
        self.made = Counter()

    def transition(self, key, start, finish, *args, **kwargs):
        if finish == "memory" and str(key).startswith("fastnet-shard"):
            self.made[key] += 1


@compiled_only
def test_shards_are_made_once_and_move_only_to_spread(client, cluster, rng):
    model = ours.MLPClassifier((3,), max_iter=60, random_state=0, n_iter_no_change=100)
    samples = 40_000  # a megabyte a shard: moving it would take longer than a round
    shards, places = Shards(), {}
    cluster.scheduler.add_plugin(shards, name="shards")
    try:
        thread = threading.Thread(target=fitted, args=(model, *random_parts(rng, samples, samples // 4)))
        thread.start()
        while thread.is_alive():
            for key, task in list(cluster.scheduler.tasks.items()):
                where = {worker.address for worker in list(task.who_has or ())}
                if where and str(key).startswith("fastnet-shard"):
                    places.setdefault(key, []).append(where)
            time.sleep(0.01)
        thread.join()
    finally:
        cluster.scheduler.remove_plugin("shards")
    assert list(shards.made.values()) == 4 * [1]
    # Dask gives an idle worker what another one has too much of, so a shard may move: not back and forth.
    moves = [sum(one != other for one, other in itertools.pairwise(seen)) for seen in places.values()]
    assert len(moves) == 4
    assert sum(moves) <= 8  # of 240 rounds of a shard


def test_a_cancelled_fit_says_so_and_changes_nothing(client, cluster, rng):
    model = fitted(ours.MLPClassifier(**{**LONG, "max_iter": 2}), *random_parts(rng))
    before, raised = learned(model), []
    model.set_params(max_iter=10_000, client=client)

    def fit():
        try:
            model.fit(*random_parts(rng))
        except RuntimeError as error:
            raised.append(str(error))

    thread = threading.Thread(target=fit)
    thread.start()
    wait_until(lambda: any("round" in key for key in keys_of(cluster)))
    while thread.is_alive():
        wanted = [key for key, task in list(cluster.scheduler.tasks.items())
                  if task.who_wants and str(key).startswith("fastnet-average")]
        client.cancel([distributed.Future(key, client) for key in wanted], force=True)
        time.sleep(0.05)
    thread.join()
    assert len(raised) == 1
    assert "cancelled" in raised[0]
    assert "as it was" in raised[0]
    assert learned(model) == before
    wait_until(lambda: not keys_of(cluster))


INTERRUPTED = """
import os, signal, sys, threading, time
import numpy as np
import dask.array as da
from distributed import Client
from fastnet.dask import MLPClassifier

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what is run in the background may be born without
    X, y = da.ones((20, 3), chunks=(10, 3)), da.arange(20, chunks=10) % 2
    with Client(sys.argv[1]) as client:
        model = MLPClassifier((3,), max_iter=10**6, tol=0, n_iter_no_change=10**6)
        def interrupt():
            while not any("round" in str(key) for key in client.run_on_scheduler(
                    lambda dask_scheduler: list(dask_scheduler.tasks))):
                time.sleep(0.05)
            os.kill(os.getpid(), signal.SIGINT)
        threading.Thread(target=interrupt).start()
        try:
            model.fit(X, y)
        except KeyboardInterrupt:
            print("interrupted", hasattr(model, "coefs_"))
"""


def test_ctrl_c_ends_a_fit(client, cluster, run_python):
    assert run_python(INTERRUPTED, cluster.scheduler_address) == "interrupted False\n"
    wait_until(lambda: not keys_of(cluster))


ALONE = """
import os, sys, threading, time, signal, logging
logging.disable(logging.CRITICAL)
import dask, dask.array as da
from distributed import Client
from fastnet.dask import MLPClassifier

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what is run in the background may be born without
    X, y = da.ones((20, 3), chunks=(10, 3)), da.arange(20, chunks=10) % 2
    dask.config.set({"distributed.comm.timeouts.connect": "1s"})
    with Client(sys.argv[1]) as client:
        model = MLPClassifier((3,), max_iter=10**6, tol=0, n_iter_no_change=10**6)
        def kill():
            while not any("round" in str(key) for key in client.run_on_scheduler(
                    lambda dask_scheduler: list(dask_scheduler.tasks))):
                time.sleep(0.05)
            os.kill(int(sys.argv[2]), signal.SIGKILL)
        threading.Thread(target=kill).start()
        try:
            model.fit(X, y)
        except RuntimeError as error:
            print(error, hasattr(model, "coefs_"), flush=True)
            os._exit(0)
"""


def test_a_scheduler_that_goes_away_ends_a_fit(tmp_path):
    ready = tmp_path / "scheduler.json"
    options = ["--no-dashboard"]
    commands = [["scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", ready, *options],
                ["worker", "--scheduler-file", ready, "--nthreads", "1", "--no-nanny", "--local-directory", tmp_path,
                 *options]]
    processes, environment = [], {**os.environ, "PYTHONPATH": str(ROOT)}
    try:
        for command in commands:
            processes.append(subprocess.Popen([sys.executable, "-m", "distributed.cli.dask_" + command[0], *map(
                str, command[1:])], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tmp_path,
                env=environment))
            wait_until(ready.exists)
        address = json.loads(ready.read_text())["address"]
        done = subprocess.run([sys.executable, "-c", ALONE, address, str(processes[0].pid)], text=True,
                              capture_output=True, timeout=120, check=False, env=environment)
        assert "the scheduler is gone" in done.stdout, done.stderr[-3000:]
        assert "as it was. False" in done.stdout
    finally:
        for process in processes:
            process.send_signal(signal.SIGKILL)
            process.wait()


def test_threads_are_those_of_a_worker_and_no_more_than_cores(client):
    assert rounds.threads(rounds.Crowd({}, 1)) is None  # outside of a worker
    crowd = rounds.crowd_of(client, 4)
    assert list(crowd.workers.values()) == [2]
    assert crowd.shards == 2
    assert set(client.run(lambda: 1).values()) == {1}
    assert client.submit(rounds.threads, crowd).result() == 1  # which the worker has
    assert client.submit(threads_of_a_local_fit).result() == 1


def threads_of_a_local_fit():
    """How many threads a fit of an estimator has that somebody calls in a task."""
    from fastnet.parallel.threads import most_threads, threads_of_task, using_threads

    with using_threads(threads_of_task()):
        return most_threads(None)
