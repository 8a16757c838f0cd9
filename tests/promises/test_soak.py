"""Long training does not make memory grow. In full: ``python -m tests.test_soak 1000000 20000``."""

import sys

import numpy as np
import pytest

from fastnet import TwoLayerNet

from ..conftest import COMPILED

CASES = {"tiny": (4, 10, 3, 32), "mnist": (784, 128, 10, 128)}


def resident():
    """Memory of this process in KiB that is its own, where the system tells."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("RssAnon"))


def soak(case, steps, pieces):
    """Train for so many steps, in as many calls as there are pieces; return the memory after each, in KiB."""
    D, H, C, N = CASES[case]
    random = np.random.RandomState(0)
    X, y = random.standard_normal((1000, D)).astype(np.float32), random.randint(C, size=1000)
    net = TwoLayerNet(D, H, C, std=0.01, dtype=np.float32, rng=0)
    after = []
    for _ in range(pieces):
        history = net.train(X, y, X[:100], y[:100], learning_rate=0.01, num_iters=steps // pieces, batch_size=N)
        assert np.isfinite(history["loss_history"]).all()
        net.predict(X)
        del history
        after.append(resident())
    return after


@pytest.mark.slow
@pytest.mark.skipif(not COMPILED or not sys.platform.startswith("linux"), reason="too slow, or no /proc")
@pytest.mark.parametrize(("case", "steps"), [("tiny", 40_000), ("mnist", 1000)])
def test_memory_does_not_grow(case, steps):
    after = soak(case, steps, 20)
    print(after)
    # The first pieces load code and start threads. What is seen later on is one arena of the allocator more, or less.
    assert after[-1] - after[4] < 3000


if __name__ == "__main__":
    for name, count in zip(CASES, sys.argv[1:], strict=True):
        print(f"{name}: {int(count)} steps, MiB after each tenth: "
              + " ".join(f"{value / 1024:.1f}" for value in soak(name, int(count), 10)))
