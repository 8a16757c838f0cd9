"""Exceptions from outside, and threads that change what was checked: small runs of attacks.py."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from ..conftest import COMPILED

SCRIPT = Path(__file__).with_name("attacks.py")

pytestmark = pytest.mark.skipif(not COMPILED or not sys.platform.startswith("linux"),
                                reason="what is attacked is compiled code, with signals and pages as Linux has them")


def run(layer, seconds, *attacks):
    path = os.pathsep.join(filter(None, [str(SCRIPT.parents[2]), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path, "NUMBA_THREADING_LAYER": layer, "NUMBA_NUM_THREADS": "2"}
    name, version = platform.libc_ver()
    if name == "glibc" and tuple(map(int, version.split(".")[:2])) >= (2, 34) and not os.environ.get("LD_PRELOAD"):
        environment |= {"LD_PRELOAD": "libc_malloc_debug.so.0", "MALLOC_CHECK_": "3"}
    command = [sys.executable, str(SCRIPT), "--inside", *attacks, "--seconds", str(seconds)]
    result = subprocess.run(command, text=True, capture_output=True, timeout=1200, check=False, env=environment)
    assert result.returncode == 0, f"status {result.returncode}\n{result.stdout}{result.stderr}"
    return result.stdout


@pytest.mark.parametrize("layer", ["default", "workqueue"])
def test_exceptions_from_outside(layer):
    print(run(layer, 4, "alarm", "keyboard", "asynchronous"))


def test_what_was_checked_is_what_is_used():
    pytest.importorskip("sklearn")
    print(run("default", 3, "shapes", "callback", "resized", "draws", "indices"))
