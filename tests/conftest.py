"""What all tests share: hypothesis settings, a seeded generator that prints its seed, both implementations."""

import os
import signal
import subprocess
import sys

import hypothesis
import numba
import numpy as np
import pytest

import fastnet
from fastnet import reference

COMPILED = not numba.config.DISABLE_JIT
"""False where kernels run as plain Python loops: sizes are small there."""

hypothesis.settings.register_profile("fastnet", deadline=None, print_blob=True, max_examples=30 if COMPILED else 10)
hypothesis.settings.load_profile("fastnet")


def compiled_only(cases):
    """Cases for compiled code only: in plain Python, where each takes seconds, one of a kind is enough."""
    return cases if COMPILED else []


SLOW = ("tests/jit/", "tests/programs/", "tests/dask/", "tests/test_documentation.py::test_blocks_run")
"""What begins like this is marked as slow, folders as a whole; bench/ says so itself."""

if COMPILED:
    SLOW = *SLOW, "tests/cs231n/test_layers.py"  # which compiles much that no other test needs


@pytest.hookimpl(tryfirst=True)  # before `-m` looks at the marks
def pytest_collection_modifyitems(items):
    """Mark as slow, besides what says so itself, whole folders and files, and the second of two dtypes.

    What is compiled for float32 is a second compilation of all that is compiled for float64.
    """
    for item in items:
        second = COMPILED and "[" in item.nodeid and "float32" in item.nodeid.rpartition("[")[2]
        if second or item.nodeid.startswith(SLOW):
            item.add_marker("slow")


@pytest.fixture
def rng(request):
    """A generator whose seed is printed where a test fails; FASTNET_TEST_SEED repeats a run."""
    seed = int(os.environ.get("FASTNET_TEST_SEED") or np.random.SeedSequence().entropy % 2**32)
    print(f"FASTNET_TEST_SEED={seed}")
    return np.random.RandomState(seed)


@pytest.fixture(params=[fastnet.TwoLayerNet, reference.TwoLayerNet], ids=["fastnet", "reference"])
def net_class(request):
    """Each of the two implementations of the network."""
    return request.param


@pytest.fixture(scope="session")
def run_python():
    """Run a script in a process of its own; return its standard output."""

    def run(script, *args, check=True, **environment):
        env = {**os.environ, **environment}
        result = subprocess.run([sys.executable, "-W", "error", "-c", script, *map(str, args)], env=env, text=True,
                                capture_output=True, timeout=300, check=False)
        if check:
            assert result.returncode == 0, result.stderr
        return result.stdout if check else result

    return run


def within_seconds(seconds, call, *args):
    """Call a function, and raise TimeoutError where it takes longer."""
    def fail(*_):
        raise TimeoutError

    previous = signal.signal(signal.SIGALRM, fail)
    signal.alarm(seconds)
    try:
        return call(*args)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)
