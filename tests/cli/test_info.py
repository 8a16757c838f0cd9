import numpy as np

import fastnet


def test_info(succeed):
    out = succeed("info")
    names = [line.split()[0] for line in out.splitlines()]
    assert names == ["fastnet", "python", "numpy", "numba", "llvmlite", "processor", "vectors", "tiles", "threads",
                     "cache"]
    assert fastnet.__version__ in out
    assert np.__version__ in out
