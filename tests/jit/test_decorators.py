"""Compilation: nothing at import, kept on disk, never stale."""

import os
import shutil
from pathlib import Path

import pytest

import fastnet
from fastnet.llvm.target import ISA

from ..conftest import COMPILED

PACKAGE = Path(fastnet.__file__).parent
needs_compilation = pytest.mark.skipif(not COMPILED, reason="nothing is compiled")

RUN_KERNEL = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np
import fastnet
from fastnet import kernels
assert fastnet.__file__.startswith(sys.argv[1])
def run(kernel, *args):
    result = kernel(*args)
    print(result, sum(kernel.stats.cache_hits.values()), sum(kernel.stats.cache_misses.values()))
run(kernels.all_finite, np.ones(9))
"""


@pytest.fixture
def copied_package(tmp_path):
    shutil.copytree(PACKAGE, tmp_path / "site" / "fastnet", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "site"


def test_import_compiles_nothing(run_python):
    script = """
import sys
import numba
before = set(sys.modules)
import fastnet, fastnet.kernels, fastnet.model, fastnet.cli.train, fastnet.cli.predict, fastnet.cli.demo
from numba.core.dispatcher import Dispatcher
modules = [module for name, module in sys.modules.items() if name.startswith("fastnet")]
dispatchers = {thing for module in modules for thing in vars(module).values() if isinstance(thing, Dispatcher)}
print(len(dispatchers), sum(len(dispatcher.signatures) for dispatcher in dispatchers))
new = {name.split(".")[0] for name in set(sys.modules) - before}
heavy = new & {"scipy", "matplotlib", "tqdm", "sklearn", "torch", "jax"}
assert not heavy, heavy
"""
    count, signatures = map(int, run_python(script).split())
    assert count > 10 or not COMPILED
    assert signatures == 0


@pytest.mark.slow
@needs_compilation
def test_second_process_loads_from_the_cache(run_python, copied_package, tmp_path):
    cache = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    script = RUN_KERNEL + "run(kernels.bias_gradient, np.ones((3, 1)))"
    assert run_python(script, copied_package, **cache).split() == ["True", "0", "1", "[3.]", "0", "1"]
    assert run_python(script, copied_package, **cache).split() == ["True", "1", "0", "[3.]", "1", "0"]


@pytest.mark.slow
@needs_compilation
def test_a_change_in_any_source_file_makes_the_cache_stale(run_python, copied_package, tmp_path):
    cache = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    assert run_python(RUN_KERNEL, copied_package, **cache).split() == ["True", "0", "1"]
    for module in ("kernels.py", "parallel/threads.py", "llvm/tile.py", "reference.py"):
        path = copied_package / "fastnet" / module
        path.write_text(path.read_text() + "\n")
        assert run_python(RUN_KERNEL, copied_package, **cache).split() == ["True", "0", "1"], module
    # The same length and the same time stamp, in a function that the kernel calls.
    path = copied_package / "fastnet" / "blocks" / "rows.py"
    times = path.stat()
    source = path.read_text()
    edited = source.replace("return largest <", "return largest >")
    assert edited != source
    path.write_text(edited)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    for folder in [*(copied_package / "fastnet").rglob("__pycache__")]:  # Python's own goes by time and size
        shutil.rmtree(folder)
    assert run_python(RUN_KERNEL, copied_package, **cache).split() == ["False", "0", "1"]


@needs_compilation
def test_parts_of_kernels_are_no_machine_code_of_their_own(run_python):
    script = """
import numba
import numpy as np
from fastnet.jit.decorators import block
@block
def part(v):
    return np.float64(1)
@numba.njit
def whole(v):
    return part(v)
print(whole(np.ones(3)))
for argument in (np.ones(3), 3):  # one that can be a key, and one that cannot
    try:
        part(argument)
    except (KeyError, TypeError):
        print("refused")
for function in (part, whole):
    code = next(iter(function.overloads.values()))
    print(whole.overloads[whole.signatures[0]].library.codegen._engine.is_symbol_defined(code.fndesc.llvm_func_name))
"""
    assert run_python(script).split() == ["1.0", "refused", "refused", "False", "True"]


@needs_compilation
@pytest.mark.skipif(ISA.name != "AVX-512", reason="the vectors of other processors are not halved")
@pytest.mark.parametrize("decorator", ["block", "task"])
def test_loops_have_the_widest_vectors(run_python, decorator):
    script = f"""
import numpy as np
from fastnet.jit import decorators
@decorators.{decorator}
def double(v):
    for n in range(v.shape[0]):
        v[n] += v[n]
@decorators.task
def whole(v):
    double(v)
v = np.ones(99)
whole(v)
code, = whole.overloads.values()
print("zmm" in code.library.get_asm_str(), v.sum())
"""
    assert run_python(script).split() == ["True", "198.0"]


@pytest.mark.slow
@needs_compilation
def test_no_folder_to_write_to(run_python, copied_package, tmp_path):
    # A file where the folder would be: refused to root as well, whom permissions do not stop.
    (tmp_path / "blocked").write_text("")
    script = """
import sys
sys.path.insert(0, sys.argv[1])
from numba.core import caching
for locator in (caching.InTreeCacheLocator, caching.UserWideCacheLocator):
    locator.get_cache_path = lambda self: sys.argv[2] + "/cache"
from fastnet.jit.decorators import cache_directory
assert cache_directory() is None
""" + RUN_KERNEL
    for chosen in ("", str(tmp_path / "blocked" / "chosen")):
        output = run_python(script, copied_package, tmp_path / "blocked", NUMBA_CACHE_DIR=chosen)
        assert output.split() == ["True", "0", "1"]


@needs_compilation
def test_cache_directory_is_where_files_appear(run_python, tmp_path):
    script = "from fastnet.jit.decorators import cache_directory; print(cache_directory())"
    folder = run_python(script, NUMBA_CACHE_DIR=str(tmp_path)).strip()
    assert Path(folder).is_relative_to(tmp_path)


def test_import_of_the_package_alone_is_light(run_python):
    script = """
import sys, fastnet
assert not {"numba", "numpy"} & set(sys.modules)
assert {"TwoLayerNet", "kernels", "reference", "warmup"} <= set(dir(fastnet))
assert fastnet.reference.TwoLayerNet is not fastnet.TwoLayerNet
assert all(getattr(fastnet, name) is not None for name in fastnet.__all__)
try:
    fastnet.nothing
except AttributeError as error:
    print(error)
"""
    assert run_python(script).strip() == "module 'fastnet' has no attribute 'nothing'"
