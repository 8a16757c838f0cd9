"""Kills a worker of Dask by SIGKILL in the middle of fits, at random moments: each must end with the same bits.

    python tests/programs/dask_kills.py [--kills 20] [--seed SEED]

It starts a cluster of its own on this machine, with two workers that are started again when they are gone.
"""

import argparse
import os
import signal
import sys
import threading
import time
import warnings

import dask
import dask.array as da
import numpy as np
from distributed import Client, LocalCluster
from sklearn.exceptions import ConvergenceWarning

from fastnet.dask import MLPClassifier

EPOCHS, PARTS = 30, 4


def fitted(X, y):
    """The bytes of all parameters and losses of a fit, and how many seconds it took."""
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = MLPClassifier((8,), max_iter=EPOCHS, random_state=0, batch_size=10, early_stopping=True,
                              n_iter_no_change=EPOCHS).fit(X, y)
    learned = [*model.coefs_, *model.intercepts_, np.array(model.loss_curve_), np.array(model.validation_scores_)]
    return b"".join(array.tobytes() for array in learned), time.perf_counter() - start


def kill_one(client, rng, seconds, killed):
    """Wait for so long, then kill a worker by its process id."""
    time.sleep(seconds)
    workers = client.scheduler_info()["workers"]
    processes = sorted(client.run(os.getpid).values()) if workers else []
    if processes:
        process = processes[rng.randint(len(processes))]
        os.kill(process, signal.SIGKILL)
        killed.append(process)


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=int(np.random.SeedSequence().entropy % 2**32))
    options = parser.parse_args(arguments)
    print(f"--seed {options.seed}", flush=True)
    rng = np.random.RandomState(options.seed)
    data = np.random.RandomState(0)
    X, y = data.normal(size=(400, 5)), data.randint(0, 3, 400)
    # A LocalCluster gives up what comes back later than that, though it has come back under the same name; and half a
    # minute is how long a worker tries to reach one that is gone.
    two = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0", "host": "127.0.0.1", "silence_logs": 50}
    times = {"distributed.deploy.lost-worker-timeout": "1 hour", "distributed.comm.timeouts.connect": "5s"}
    with dask.config.set(times), LocalCluster(**two) as cluster, Client(cluster) as client, \
            Client(cluster, set_as_default=False) as other:
        X, y = da.from_array(X, chunks=(400 // PARTS, -1)), da.from_array(y, chunks=400 // PARTS)
        fitted(X, y)  # compiles, or loads
        expected, seconds = fitted(X, y)
        print(f"undisturbed: {seconds:.2f} s", flush=True)
        kills = 0
        while kills < options.kills:
            client.wait_for_workers(2, timeout=60)
            killed = []
            # What runs besides answers late: only kills while the fit was at work are counted.
            killer = threading.Thread(target=kill_one, args=(other, rng, rng.uniform(0, 0.8 * seconds), killed))
            killer.start()
            found, took = fitted(X, y)
            in_time = bool(killed)
            killer.join()
            assert found == expected, f"other bits after kill {kills}"
            kills += in_time
            print(f"{'killed' if in_time else 'too late'} {killed}: the same bits after {took:.2f} s", flush=True)
    print(f"{kills} kills, the same bits each time")


if __name__ == "__main__":
    main(sys.argv[1:])
