"""Training and prediction take little memory beside the data, and never copy it."""

import sys
import tracemalloc
import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from fastnet.llvm import memory
from fastnet.sklearn import MLPClassifier

from ..conftest import COMPILED

SCRIPT = """
import resource, sys
import numpy as np
import fastnet
samples = int(sys.argv[1])
random = np.random.RandomState(0)
X = np.empty((samples, 784), np.float32)
X[:] = random.standard_normal(784)
X[:, 0] = np.arange(samples) % 7
if sys.argv[2] == "read-only":
    X.setflags(write=False)
elif sys.argv[2] != "writable":
    X = np.asfortranarray(X) if sys.argv[2] == "Fortran" else X.astype(sys.argv[2])
y = random.randint(10, size=samples)
fastnet.warmup(np.float32)  # the compiler's memory is none of the training's
net = fastnet.TwoLayerNet(784, 128, 10, std=0.05, dtype=np.float32, rng=0)
net.train(X[:3000], y[:3000], X[:3000], y[:3000], num_iters=3, batch_size=128)  # starts threads
net.predict(X[:3000])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
net.train(X, y, X, y, num_iters=300, batch_size=128, learning_rate=0.01)
if sys.argv[2] in ("writable", "read-only"):
    net.predict(X)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not COMPILED or sys.platform != "linux", reason="as Linux counts, and with compiled kernels")
@pytest.mark.parametrize("kind", ["writable", "read-only", "Fortran", "uint8", "float64"])
def test_data_is_not_copied(run_python, kind):
    # 60000 x 784 float32 is 180 MiB. Labels are (a private copy); what is promised is 32 MiB.
    kibibytes = int(run_python(SCRIPT, 60_000, kind))
    print(f"peak memory beyond the data: {kibibytes / 1024:.1f} MiB")
    assert kibibytes < 32 * 1024


@pytest.mark.slow
def test_what_early_stopping_leaves_for_training_is_not_copied():
    X = np.random.RandomState(0).standard_normal((20_000, 256) if COMPILED else (4000, 256)).astype(np.float32)
    y = (X[:, 0] > 0).astype(int)

    def fit():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # one epoch is too few
            MLPClassifier((2,), early_stopping=True, max_iter=1, random_state=0,
                          batch_size=100 if COMPILED else 400).fit(X, y)

    fit()  # compiles
    tracemalloc.start()
    try:
        fit()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < X.nbytes / 2


LARGER = """
import re, resource, sys, warnings
from pathlib import Path
import numpy as np
from fastnet import TwoLayerNet
from fastnet.sklearn import MLPClassifier
SAMPLES, FEATURES, MIBS = 420_000, 784, 128
y = np.arange(SAMPLES) % 3
with open(sys.argv[1], "wb") as file:
    for start in range(0, SAMPLES, 10_000):
        part = np.random.default_rng(start).integers(0, 8, (10_000, FEATURES), np.uint8)
        part[np.arange(10_000), y[start:start + 10_000]] = 255
        file.write(part.tobytes())
X = np.memmap(sys.argv[1], np.uint8, "r", shape=(SAMPLES, FEATURES))

def work(X, y):
    net = TwoLayerNet(FEATURES, 4, 3, std=0.01, dtype=np.float32, rng=0)
    net.train(X, y, X, y, num_iters=300, batch_size=100, learning_rate=1e-4)
    chunks = ((X[start:start + 5000], y[start:start + 5000]) for start in range(0, len(X), 5000))
    net.fit_batches(chunks, batch_size=100, learning_rate=1e-4, window=5000)
    model = MLPClassifier((4,), max_iter=1, batch_size=100, early_stopping=True, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one epoch is no convergence
        model.fit(X, y)
    return net.score(X, y), model.score(X, y)

work(X[:5000], y[:5000])  # compiles, and starts threads
now = int(re.search(r"VmData:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) << 10
resource.setrlimit(resource.RLIMIT_DATA, (now + (MIBS << 20),) * 2)
try:
    np.ones(X.shape, np.uint8)
except MemoryError:
    print(X.nbytes > 2 * (MIBS << 20), min(work(X, y)) > 0.5)
"""


@pytest.mark.slow
@pytest.mark.skipif(not COMPILED or sys.platform != "linux", reason="as Linux counts, and with compiled kernels")
def test_a_file_may_be_larger_than_the_memory_that_there_is(run_python, tmp_path):
    # 314 MiB of bytes, which are 2.5 GiB of float64, with 128 MiB for all that there is beside the file.
    assert run_python(LARGER, tmp_path / "X").split() == ["True", "True"]


def test_all_or_nothing_in_one_call():
    targets, sources = [np.zeros((2, 3)), np.zeros(4)], [np.ones((2, 3)), np.arange(4.0)]
    memory.copy_all(zip(targets, sources, strict=True))
    np.testing.assert_array_equal(np.concatenate([array.ravel() for array in targets]), [1] * 6 + [0, 1, 2, 3])
    memory.add_all([(targets[1], sources[1]), (targets[1], sources[1])])
    np.testing.assert_array_equal(targets[1], [0, 3, 6, 9])
    memory.copy_all([])

    def broken():
        yield targets[0], np.zeros((2, 3))
        raise TimeoutError

    with pytest.raises(TimeoutError):
        memory.copy_all(broken())
    assert (targets[0] == 1).all()
