"""Where numba's inside is not as it is known: one warning, numba's public ways, and the same results."""

import contextlib
import importlib
import inspect
import re
import types
import warnings
from pathlib import Path

import numba
import pytest

import fastnet
from fastnet.jit import numba_internals
from fastnet.jit.numba_internals import FEATURES

from ..conftest import COMPILED


@contextlib.contextmanager
def changed(path, *replacement):
    """Within, a name leads to something else, or nowhere: it is gone from a module, or from a class and its bases."""
    module, _, names = path.partition(":")
    *owners, name = names.split(".")
    owner = importlib.import_module(module)
    for part in owners:
        owner = getattr(owner, part)
    classes = [] if isinstance(owner, types.ModuleType) else (
        owner if isinstance(owner, type) else type(owner)).__mro__[:-1]
    places = [cls for cls in classes if name in vars(cls)] or [owner]
    values = [vars(place)[name] if classes else getattr(place, name) for place in places]
    try:
        for place in places:
            delattr(place, name)
        for thing in replacement:
            setattr(places[0], name, thing)
        yield
    finally:
        for place, value in zip(places, values, strict=True):
            setattr(place, name, value)


LOOKS = list({look: None for feature in FEATURES.values() for look in feature.looks})

HIDING = """
import contextlib, importlib, sys, types, warnings
import numba
import numba.np.ufunc.parallel
""" + inspect.getsource(changed) + '''
numba.__version__ = "1.2.3"
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    with contextlib.ExitStack() as hidden:
        for path in sys.argv[1].split():
            hidden.enter_context(changed(path))
        import fastnet.jit.numba_internals as internals
        import fastnet.kernels, fastnet.parallel.regions, fastnet.model
messages = [str(warning.message) for warning in caught]
assert [warning.category for warning in caught] == [RuntimeWarning], messages
assert "numba 1.2.3 " in messages[0] and sys.argv[1].replace(":", ".").rpartition(".")[2] in messages[0], messages
'''
"""With the names in the first argument gone while fastnet is imported; numba itself needs some of them afterwards."""

HIDDEN = {
    numba_internals.WIDE_VECTORS: "numba.core.codegen:JITCodeLibrary.enable_object_caching",
    numba_internals.PARTS: "numba.core.codegen:JITCodeLibrary._optimize_final_module",
    numba_internals.NO_WRAPPERS: "numba.core.cpu:CPUTargetOptions.no_cfunc_wrapper",
    numba_internals.NO_REFERENCES: "numba.core.cpu:CPUTargetOptions._nrt",
    numba_internals.ARRAY_BOXING: "numba.core.pythonapi:PythonAPI._get_function",
    numba_internals.DISK_CACHE: "numba.core.caching:FunctionCache",
    numba_internals.SHARED_CODE: "numba.core.codegen:JITCodeLibrary.serialize_using_object_code",
    numba_internals.ARGUMENT_TYPES: "numba.core.dispatcher:Dispatcher._compile_for_args",
    numba_internals.THREADS_IN_KERNELS: "numba.np.ufunc.parallel:_iget_num_threads",
    numba_internals.THREADS_WITHOUT_LOCK: "numba.np.ufunc.parallel:_load_threading_functions",
    numba_internals.FORK_LOCKS: "numba.np.ufunc.parallel:_backend_init_process_lock",
}
"""A name of each feature."""

ALL = " ".join([*HIDDEN.values(), "numba.core.compiler:Compiler.compile_extra"])


def looked(monkeypatch):
    """Look for everything again; return the warnings and the features that are missing."""
    monkeypatch.setattr(numba_internals, "MISSING", {})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        numba_internals._look_for_all()
    return caught, numba_internals.MISSING


def test_nothing_is_missing_in_this_version(monkeypatch):
    assert numba_internals.MISSING == {}
    assert looked(monkeypatch) == ([], {})
    assert {*HIDDEN} == {*FEATURES}


@pytest.mark.parametrize("look", LOOKS, ids=[look.name for look in LOOKS])
def test_a_name_that_is_gone_or_takes_something_else(monkeypatch, look):
    with_it = {name for name, feature in FEATURES.items() if look in feature.looks}
    ways = [()] if look.path != "numba:njit" else []  # whose trial would have nothing to try
    if (look.trial is not None and COMPILED) or look.arguments is not None or look.speaks_of:
        ways.append((lambda changed, /, *more: None,))
    for replacement in ways:
        with changed(look.path, *replacement):
            (warning,), missing = looked(monkeypatch)
        assert missing.keys() >= with_it
        assert warning.category is RuntimeWarning
        message = str(warning.message)
        assert f"numba {numba.__version__} " in message
        assert "\n" not in message
        assert all(name in message and FEATURES[name].cost in message for name in with_it)
        assert {name.rpartition(".")[2] for name in missing.values()} == {look.name.rpartition(".")[2]}
    assert looked(monkeypatch) == ([], {})


@pytest.mark.parametrize("look", numba_internals._NEEDED, ids=lambda look: look.name)
def test_what_nothing_can_be_done_without(look):
    with (changed(look.path),
          pytest.raises(ImportError, match=re.escape(f"{look.name} as numba 0.68 has it, and does not find it in numba "
                                                     f"{numba.__version__}")) as caught):
        numba_internals._check_needed()
    assert "\n" not in str(caught.value)


def test_an_import_error_is_one_line(run_python):
    script = """
import numba
from numba.core import cgutils
del cgutils.unpack_tuple
numba.__version__ = "1.2.3"
from fastnet import TwoLayerNet
"""
    result = run_python(script, check=False)
    last = result.stderr.strip().splitlines()[-1]
    assert result.returncode == 1
    assert last.startswith("ImportError: fastnet needs numba.core.cgutils.unpack_tuple")
    assert "1.2.3" in last


SMALL = """
import numpy as np
from numba import prange
import fastnet
from fastnet.jit import decorators, libraries
from fastnet.jit.argument_types import takes
from fastnet.llvm.arrays import flat
from fastnet.parallel import threads
print("|".join(internals.MISSING))

@decorators.shared
def twice(x):
    return 2 * x

@decorators.block
def fill(v, start, stop):
    for i in range(start, stop):
        v[i] = twice(i)

@takes(n=0)
@decorators.kernel
def ramp(n):
    v = np.empty(n)
    count = threads.shares(n, n)
    for share in prange(count):
        fill(flat(v, 0, n), n * share // count, n * (share + 1) // count)
    return v

@decorators.worker
def first(v):
    return v[0]

result = ramp(9)
assert type(result) is np.ndarray and result.tolist() == [2.0 * i for i in range(9)]
assert first(result) == 0 and ramp(9)[8] == 16
assert fastnet.get_num_threads() >= 1 and threads.threading_layer()
fastnet.set_num_threads(1)
assert fastnet.get_num_threads() == 1
try:
    ramp("9")
except Exception as error:  # of numba's, at length
    ours = type(error) is TypeError and str(error).startswith("ramp: n must be")
    assert ours == (internals.ARGUMENT_TYPES not in internals.MISSING), error
"""


@pytest.mark.skipif(not COMPILED, reason="nothing is compiled")
@pytest.mark.parametrize("feature", HIDDEN)
def test_without_a_feature(run_python, feature):
    missing = run_python(HIDING + SMALL, HIDDEN[feature]).strip().split("|")
    assert feature in missing
    assert missing == [feature] or feature == numba_internals.WIDE_VECTORS


def test_the_cache_is_numbas_own(run_python, tmp_path):
    script = HIDING + """
import numpy as np
from pathlib import Path
from fastnet.jit import disk_cache
folder = Path(disk_cache.cache_directory())
assert folder.is_relative_to(sys.argv[2]) and folder.name.startswith("numba-"), folder
kernel = fastnet.kernels.all_finite
assert kernel(np.ones(9)) and not kernel(np.full(9, np.nan))
if not numba.config.DISABLE_JIT:
    print(sum(kernel.stats.cache_hits.values()), *sorted({path.suffix for path in folder.rglob("*.nb?")}))
    assert Path(kernel.stats.cache_path).is_relative_to(folder)
"""
    place = tmp_path / "place"
    runs = [run_python(script, HIDDEN[numba_internals.DISK_CACHE], place, NUMBA_CACHE_DIR=str(place)).split()
            for _ in range(2)]
    assert runs == ([["0", ".nbc", ".nbi"], ["1", ".nbc", ".nbi"]] if COMPILED else [[], []])
    assert {path.stat().st_mode & 0o777 for path in [*place.iterdir(), *(next(place.iterdir())).iterdir()]} == {0o700}


@pytest.mark.slow
def test_training_by_public_ways_alone(run_python, tmp_path):
    script = HIDING + """
assert internals.MISSING.keys() == internals.FEATURES.keys(), internals.MISSING
import numpy as np
from fastnet import TwoLayerNet, reference
random = np.random.RandomState(0)
X, y = random.standard_normal((30, 5)), random.randint(3, size=30)

def trained(cls):
    net = cls(5, 4, 3, std=0.1, rng=1)
    history = net.train(X, y, X, y, num_iters=20, batch_size=10, reg=0.1, learning_rate=0.5)
    return [np.array(history["loss_history"]), *net.params.values(), net.predict(X)]

for ours, theirs in zip(trained(TwoLayerNet), trained(reference.TwoLayerNet), strict=True):
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)
"""
    run_python(script, ALL, NUMBA_CACHE_DIR=str(tmp_path))


def test_the_documentation_has_every_name():
    text = (Path(fastnet.__file__).parents[1] / "docs" / "numba.md").read_text()
    names = {look.name.rpartition(".")[2] for look in [*LOOKS, *numba_internals._NEEDED]}
    assert {name for name in names if not re.search(rf"[`.]{name}`", text)} == set()
    assert {name for name in FEATURES if f"### {name}\n" not in text} == set()
