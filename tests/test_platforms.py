"""Other systems, by simulation: what they lack is taken away before fastnet is imported."""

import pytest

from .conftest import COMPILED

WINDOWS = """
import os, signal, sys, threading, time
import multiprocessing, numba, numpy, sklearn.neural_network, sklearn.utils.estimator_checks, tqdm

# All of these know the system they are on, and have been imported.
for module in ("fcntl", "grp", "pwd", "resource", "termios"):
    sys.modules[module] = None
for name in dir(os):
    if name in ("fork", "forkpty", "register_at_fork", "chown", "fchmod", "fchown", "getegid", "geteuid", "getgid",
                "getloadavg", "getuid", "killpg", "mkfifo", "pread", "sched_getaffinity", "sched_yield", "setsid",
                "statvfs", "sysconf", "uname", "O_CLOEXEC", "O_DIRECTORY", "O_NOCTTY", "O_NOFOLLOW", "O_NONBLOCK",
                "O_SYNC"):
        delattr(os, name)
for name in dir(signal):
    if name.startswith("pthread_") or name in ("SIGALRM", "SIGHUP", "SIGKILL", "SIGUSR1", "alarm", "setitimer"):
        delattr(signal, name)
for name in dir(time):
    if name.startswith(("CLOCK_", "clock_", "pthread_")):
        delattr(time, name)
really = os.open

def no_folder(path, *rest, **options):
    if os.path.isdir(path):
        raise PermissionError(13, "Permission denied", path)
    return really(path, *rest, **options)

os.open = no_folder
sys.platform = "win32"
"""


def test_a_system_without_forks_locks_and_owners(run_python, tmp_path):
    out = run_python(WINDOWS + """
import numpy as np

import fastnet
from fastnet import TwoLayerNet, sklearn
from fastnet.cli import main
from fastnet.datasets import load_digits
from fastnet.parallel.regions import regions_closed

model, checkpoint = sys.argv[1:]
X, y = load_digits()
X, y = X[:60], y[:60]
net = TwoLayerNet(64, 8, 10, std=0.1)
history = net.train(X, y, X, y, num_iters=20, batch_size=30, learning_rate=0.5, checkpoint=checkpoint,
                    checkpoint_every=10)["loss_history"]
assert history[-1] < history[0]
net.save(model)
net.save(model)  # over the first
assert (TwoLayerNet.load(model).predict(X) == net.predict(X)).all()
again = TwoLayerNet(64, 8, 10)
again.train(X, y, X, y, num_iters=30, batch_size=30, learning_rate=0.5, resume=checkpoint)
estimator = sklearn.MLPClassifier((8,), max_iter=3, early_stopping=False)
import warnings
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # three epochs do not converge
    estimator.fit(X, y)
assert estimator.predict(X).shape == y.shape
assert not regions_closed()
main(["info"])
""", tmp_path / "model.npz", tmp_path / "checkpoint.npz", NUMBA_DISABLE_JIT="1")
    assert "threads" in out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint.npz", "model.npz"]


@pytest.mark.skipif(not COMPILED, reason="nobody waits then")
def test_waiting_on_windows_calls_nothing_of_posix(run_python, tmp_path):
    run_python(WINDOWS + """
from numba import njit

from fastnet.llvm.atomics import rest
from fastnet.llvm.clock import nanoseconds

@njit
def wait(offer):
    rest(offer)
    return nanoseconds()

assert wait(True) == 0
[code] = wait.inspect_llvm().values()
assert "sched_yield" not in code
assert "clock_gettime" not in code
""", NUMBA_CACHE_DIR=str(tmp_path))
