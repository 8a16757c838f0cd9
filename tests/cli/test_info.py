import numba
import numpy as np
from llvmlite.binding import get_host_cpu_name

import fastnet


def test_info(succeed):
    out = succeed("info")
    names = [line.split()[0] for line in out.splitlines()]
    assert names == ["fastnet", "python", "numpy", "numba", "llvmlite", "processor", "vectors", "tiles", "threads",
                     "cache"]
    assert fastnet.__version__ in out
    assert np.__version__ in out


def test_the_processor_that_code_is_made_for(succeed, monkeypatch):
    monkeypatch.setattr(numba.config, "CPU_NAME", None)
    assert f"processor {get_host_cpu_name()}\n" in succeed("info")
    monkeypatch.setattr(numba.config, "CPU_NAME", "haswell")
    assert f"processor haswell (NUMBA_CPU_NAME; the machine's is {get_host_cpu_name()})\n" in succeed("info")
