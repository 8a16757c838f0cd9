"""The clock of compiled code."""

import time

import numba
import pytest

from fastnet.llvm.clock import nanoseconds


def now():
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


@numba.njit
def read():
    return nanoseconds()


@pytest.mark.skipif(not hasattr(time, "CLOCK_MONOTONIC"), reason="it stands still here")
def test_it_is_pythons():
    for _ in range(100):
        before, seen, after = now(), read(), now()
        assert before <= seen <= after
