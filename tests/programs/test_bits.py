"""The program that compares two versions: its digests are the same with one thread and with several."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ..conftest import COMPILED

SCRIPT = Path(__file__).with_name("bits.py")


@pytest.mark.skipif(not COMPILED, reason="minutes without compilation")
def test_digests_do_not_depend_on_the_number_of_threads():
    found = []
    for threads in ("1", str(max(2, os.cpu_count() or 1))):
        environment = {**os.environ, "PYTHONPATH": str(SCRIPT.parents[2]), "NUMBA_NUM_THREADS": threads}
        done = subprocess.run([sys.executable, SCRIPT], env=environment, text=True, capture_output=True, timeout=1500,
                              check=False)
        assert done.returncode == 0, done.stderr
        found.append(json.loads(done.stdout))
    assert len(found[0]) > 100
    assert len(set(found[0].values())) == len(found[0])  # no two cases are the same
    assert found[0] == found[1]
