"""Code that other compiled code calls by its name: it is there whenever something is loaded that speaks of it."""

import pytest

from fastnet.jit import shared_code

from ..conftest import COMPILED

PRODUCT = """
import sys
import numpy as np
from fastnet import kernels
from fastnet.llvm import tile
for dtype in sys.argv[1:]:
    X = np.arange(6, dtype=dtype).reshape(2, 3)
    np.testing.assert_array_equal(kernels.affine_forward(X, X.T, np.ones(2, dtype)), X @ X.T + 1)
for compiled in (kernels.affine_forward, tile.tile_addresses):
    print(sum(compiled.stats.cache_hits.values()), sum(compiled.stats.cache_misses.values()))
"""


@pytest.fixture
def providers(monkeypatch):
    """None, and what has been linked."""
    linked = []
    monkeypatch.setattr(shared_code, "_SHARED", {})
    monkeypatch.setattr(shared_code, "_LINKED", set())
    monkeypatch.setattr(shared_code.llvm, "add_symbol", lambda name, address: linked.append((name, address)))
    return linked


def share(prefix, addresses):
    shared_code.share(prefix, shared_code.Shared(addresses, lambda group: ""))


def test_names_in_machine_code_are_linked_once(providers):
    share("some_", lambda group: [(f"some_{group}_a", 1), (f"some_{group}_b", 2)])
    share("other_", lambda group: [(f"other_{group}_a", 3)])
    code = b"\0some_x1_a\0some_x1_b\0other\0some_\0some_y_c\0"
    shared_code.link_names_in(code)
    assert sorted(providers) == [("some_x1_a", 1), ("some_x1_b", 2), ("some_y_a", 1), ("some_y_b", 2)]
    shared_code.link_names_in(memoryview(code))
    shared_code.link("some_", "y")
    assert len(providers) == 4


def test_code_may_speak_of_its_own_names(providers):
    def provide(group):
        shared_code.link("some_", group)
        return [(f"some_{group}_a", 1)]

    share("some_", provide)
    shared_code.link("some_", "x")
    assert providers == [("some_x_a", 1)]


def test_what_failed_is_tried_again(providers):
    attempts = []

    def provide(group):
        attempts.append(group)
        if len(attempts) == 1:
            raise MemoryError
        return [("some_x_a", 1)]

    share("some_", provide)
    with pytest.raises(MemoryError):
        shared_code.link("some_", "x")
    shared_code.link("some_", "x")
    assert providers == [("some_x_a", 1)]


@pytest.mark.slow
@pytest.mark.skipif(not COMPILED, reason="nothing is compiled")
def test_a_kernel_from_the_cache_finds_its_tiles(run_python, tmp_path):
    def run(*dtypes):
        return run_python(PRODUCT, *dtypes, NUMBA_CACHE_DIR=str(tmp_path)).split()

    assert run("float64") == ["0", "1", "0", "1"]  # loaded, compiled: the kernel; the tiles
    assert run("float64") == ["1", "0", "1", "0"]
    (tiles,) = tmp_path.rglob("*tile_addresses*.bin")
    tiles.unlink()
    assert run("float64") == ["1", "0", "0", "1"]
    assert run("float64", "float32") == ["1", "1", "1", "1"]
    assert run("float64", "float32") == ["2", "0", "2", "0"]


USER = """
import numpy as np
from numba import njit
from fastnet import kernels

@njit(cache=True)
def scores(X, W, b):
    return kernels.affine_forward(X, W, b)
"""


@pytest.mark.slow
@pytest.mark.skipif(not COMPILED, reason="nothing is compiled")
def test_a_user_s_own_function_may_be_cached(run_python, tmp_path):
    # Numba loads it without a look at the names in it, and before anything else has asked for the tiles.
    (tmp_path / "user.py").write_text(USER)
    script = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np
import user
X = np.arange(6.0).reshape(2, 3)
np.testing.assert_array_equal(user.scores(X, X.T.copy(), np.ones(2)), X @ X.T + 1)
print(sum(user.scores.stats.cache_hits.values()))
"""
    for loaded in "01":
        assert run_python(script, tmp_path, NUMBA_CACHE_DIR=str(tmp_path / "cache")).strip() == loaded
