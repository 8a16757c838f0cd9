"""Canaries around every array, and data of more than 2**31 elements: small runs of guard.py."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from ..conftest import COMPILED

SCRIPT = Path(__file__).with_name("guard.py")


def run(*arguments, **environment):
    path = os.pathsep.join(filter(None, [str(SCRIPT.parents[2]), os.environ.get("PYTHONPATH")]))
    result = subprocess.run([sys.executable, "-W", "error", str(SCRIPT), *map(str, arguments)], text=True,
                            capture_output=True, timeout=600, check=False,
                            env={**os.environ, "PYTHONPATH": path, **environment})
    assert result.returncode == 0, f"status {result.returncode}\n{result.stdout}{result.stderr}"
    return result.stdout


def test_nothing_is_touched_outside(rng):
    shapes = ("--shapes", 60) if COMPILED else ("--shapes", 3, "--most", 20)
    # glibc then looks at the end of each block of memory when it is freed.
    checked = {"LD_PRELOAD": "libc_malloc_debug.so.0", "MALLOC_CHECK_": "3"} if glibc_checks() else {}
    print(run(*shapes, "--seed", rng.randint(2**31), **checked))


def glibc_checks():
    name, version = platform.libc_ver()
    return name == "glibc" and tuple(map(int, version.split(".")[:2])) >= (2, 34) and not os.environ.get("LD_PRELOAD")


@pytest.mark.skipif(not COMPILED or sys.platform != "linux", reason="as Linux counts, and with compiled kernels")
def test_more_elements_than_fit_an_int32_without_a_copy():
    print(run("--virtual", "memory"))
