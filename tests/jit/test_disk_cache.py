"""The disk cache when things go wrong: damage, other users, no room, no home, many processes, other versions."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from fastnet.jit import disk_cache, turns

from ..conftest import COMPILED

pytestmark = pytest.mark.skipif(not COMPILED, reason="nothing is compiled")
needs_posix = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no owners and permissions as POSIX has them")

PROCESS = """
import os, sys
from pathlib import Path
import numpy as np
from numba.core import caching as places
chosen, in_tree, user_wide = sys.argv[1:4]
places.UserProvidedCacheLocator.get_cache_path = lambda self: chosen
places.InTreeCacheLocator.get_cache_path = lambda self: in_tree
places.UserWideCacheLocator.get_cache_path = lambda self: user_wide
from fastnet import kernels
from fastnet.jit import disk_cache
from fastnet.jit import decorators

def outcome(dtype="float64"):
    # A new dispatcher looks for a folder and for files as one in a new process does.
    disk_cache._usable.cache_clear()
    kernel = decorators.task(kernels.all_finite.py_func)
    assert kernel(np.ones(9, dtype)) and not kernel(np.full(9, np.nan, dtype))
    return "loaded" if sum(kernel.stats.cache_hits.values()) else "compiled"

def folder():
    disk_cache._usable.cache_clear()
    return Path(disk_cache.cache_directory())

def the_file():
    [path] = folder().iterdir()
    return path
"""


@pytest.fixture
def run(run_python, tmp_path):
    """Run a script that calls `outcome`, with three places that begin empty."""
    places = [tmp_path / name for name in ("chosen", "in_tree", "user_wide")]

    def run(script, *args, **environment):
        return run_python(PROCESS + script, *places, *args, **{"NUMBA_CACHE_DIR": str(places[0]), **environment})

    run.places = places
    return run


@pytest.mark.slow
def test_a_damaged_file_is_compiled_again_and_replaced(run):
    run("""
assert outcome() == "compiled"
path = the_file()
intact = path.read_bytes()
start = len(disk_cache._FORMAT) + disk_cache._DIGEST_BYTES

def flipped(position):
    return intact[:position] + bytes([intact[position] ^ 1]) + intact[position + 1:]

damaged = {
    "empty": b"", "half": intact[:len(intact) // 2], "no digest": intact[:start - 1], "no pickle": intact[:start],
    "one byte short": intact[:-1], "one byte more": intact + b".", "twice": intact * 2,
    "garbage": bytes(range(256)) * 99, "zeros": bytes(len(intact)), "numba's own": intact[start:],
    "another format": intact.replace(b"cache 1", b"cache 2", 1), "flipped in the format": flipped(3),
    "in the digest": flipped(start - 5), "in the pickle": flipped(start + 5), "in the code": flipped(len(intact) // 2),
    "in the last byte": flipped(len(intact) - 1),
}
for name, content in damaged.items():
    path.write_bytes(content)
    assert outcome() == "compiled", name
    assert outcome() == "loaded", name
    assert the_file() == path

path.unlink()
path.mkdir()
assert [outcome(), outcome()] == ["compiled", "loaded"], "a folder in its place"

if hasattr(os, "mkfifo"):
    path.unlink()
    os.mkfifo(path)
    assert [outcome(), outcome()] == ["compiled", "loaded"], "a pipe in its place, which waits for a writer"
""")
    assert run("print(outcome())").split() == ["loaded"]


@pytest.mark.slow
def test_what_is_valid_but_not_what_was_asked_for(run):
    run("""
outcome("float64")
path = the_file()
of_float64 = path.read_bytes()
path.unlink()
outcome("float32")
the_file().write_bytes(of_float64)  # the machine code of another signature, intact
assert [outcome("float32"), outcome("float32")] == ["compiled", "loaded"]

def sealed(body):
    import hashlib
    the_file().write_bytes(disk_cache._FORMAT + hashlib.sha256(body).digest() + body)

import pickle
key, data = pickle.loads(the_file().read_bytes()[len(disk_cache._FORMAT) + disk_cache._DIGEST_BYTES:])
for body in (b"", b"not a pickle", pickle.dumps(1), pickle.dumps((1, 2)), disk_cache.dumps((key, None)),
             disk_cache.dumps((key, data[1:])), disk_cache.dumps((key, (("name", "bitcode", b"none"), *data[1:]))),
             b"cfastnet\\nnothing\\n.", b"cnumba.core.types\\nNoneTypeOfLater\\n."):
    sealed(body)  # what another version could have written
    assert [outcome("float32"), outcome("float32")] == ["compiled", "loaded"], body[:20]
""")


def test_mutations_of_a_file(tmp_path, rng):
    files = disk_cache._Files(str(tmp_path / "folder"), disk_cache.cache_directory)
    data = {"code": rng.bytes(300), "name": "x" * 50}
    files.save("key", data)
    path = Path(files.path("key"))
    intact = path.read_bytes()
    draw = random.Random(int(rng.randint(2**31)))
    for _ in range(500):
        content = bytearray(intact)
        for _ in range(draw.choice([1, 1, 2, 5])):
            at = draw.randrange(len(content) + 1)
            step = draw.choice(["flip", "set", "cut", "insert", "drop"])
            if step == "flip" and at < len(content):
                content[at] ^= 1 << draw.randrange(8)
            elif step == "set":
                content[at:at + 4] = draw.randbytes(4)
            elif step == "cut":
                del content[at:]
            elif step == "insert":
                content[at:at] = draw.randbytes(draw.randrange(1, 9))
            else:
                del content[at:at + 3]
        path.write_bytes(content)
        assert files.load("key") == (data if content == intact else None)
    path.write_bytes(intact)
    assert files.load("key") == data


@needs_posix
def test_what_others_can_write_to_is_not_used(run):
    run("""
os.umask(0)  # as careless as can be
assert [outcome(), outcome()] == ["compiled", "loaded"]
first, path = folder(), the_file()
assert first.is_relative_to(chosen) and first.stat().st_mode & 0o777 == 0o700 and path.stat().st_mode & 0o777 == 0o600

for mode in (0o660, 0o606, 0o620, 0o602, 0o666):
    path.chmod(mode)
    assert [outcome(), outcome()] == ["compiled", "loaded"]
    assert path.stat().st_mode & 0o777 == 0o600  # it is a new one

content = path.read_bytes()
elsewhere = Path(user_wide + "-file")
elsewhere.write_bytes(content)
elsewhere.chmod(0o600)
path.unlink()
path.symlink_to(elsewhere)
assert [outcome(), outcome()] == ["compiled", "loaded"]
assert not path.is_symlink() and elsewhere.read_bytes() == content

kernel = decorators.task(kernels.all_finite.py_func)  # which has found its folder already
for mode in (0o770, 0o707, 0o720, 0o702, 0o777):
    first.chmod(mode)
    assert folder().is_relative_to(in_tree), oct(mode)
assert not kernel(np.full(9, np.nan)) and not kernel.stats.cache_hits
assert [outcome(), outcome()] == ["compiled", "loaded"]  # in the next place

second = folder()
second.rename(in_tree + "/moved")
second.symlink_to(in_tree + "/moved")
assert folder().is_relative_to(user_wide)

folder().chmod(0o777)
assert disk_cache.cache_directory() is not None  # it was usable when it was looked at
disk_cache._usable.cache_clear()
assert disk_cache.cache_directory() is None
assert [outcome(), outcome()] == ["compiled", "compiled"]
first.chmod(0o700)
assert outcome() == "loaded" and folder() == first
""")


@needs_posix
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() != 0, reason="only root can give files away")
def test_what_belongs_to_another_user_is_not_used(run):
    run("""
assert [outcome(), outcome()] == ["compiled", "loaded"]
first, path = folder(), the_file()
os.chown(path, 54321, -1)
assert [outcome(), outcome()] == ["compiled", "loaded"]
assert path.stat().st_uid == 0
os.chown(first, 54321, -1)
assert folder().is_relative_to(in_tree)
assert [outcome(), outcome()] == ["compiled", "loaded"]
""")


def test_no_room_for_a_file(run):
    pytest.importorskip("resource")
    run("""
import errno, resource
limits = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, limits[1]))  # a write that fails on its way, as on a full disk
assert [outcome(), outcome()] == ["compiled", "compiled"]
assert not list(folder().iterdir())  # the half of a file is gone
resource.setrlimit(resource.RLIMIT_FSIZE, limits)

def no_room(*args):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

replace, os.replace = os.replace, no_room
assert [outcome(), outcome()] == ["compiled", "compiled"]
assert not list(folder().iterdir())
os.replace = replace
assert [outcome(), outcome()] == ["compiled", "loaded"]

kernel = decorators.task(kernels.all_finite.py_func)
the_file().unlink()
first = folder()
first.rmdir()  # after the kernel has found it
assert kernel(np.ones(9)) and [outcome(), first] == ["loaded", folder()]

kernel.recompile()  # which throws away what is on disk
assert kernel(np.ones(9)) and outcome() == "loaded"
""")


@needs_posix
def test_nothing_can_be_written(run):
    for place in run.places:
        place.mkdir()
    run("""
outcome()
the_file().unlink()
folder().rmdir()
if os.geteuid() == 0:
    os.setuid(54321)  # whom permissions stop
else:
    for place in (chosen, in_tree, user_wide):
        os.chmod(place, 0o555)
disk_cache._usable.cache_clear()
assert disk_cache.cache_directory() is None
assert [outcome(), outcome()] == ["compiled", "compiled"]
""")
    assert not [path for place in run.places for path in place.iterdir()]


def test_a_folder_that_has_become_read_only(run):
    run("""
import errno
writable = disk_cache._open

def read_only(path, flags):
    if flags & os.O_CREAT:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))
    return writable(path, flags)

outcome()
first = folder()
disk_cache._open = read_only
assert outcome() == "loaded" and folder() == first
assert [outcome("float32"), outcome("float32")] == ["compiled", "compiled"]

path = the_file()
path.rename(path.with_name(path.name.replace(disk_cache._file_stamp(), "0" * 16)))
disk_cache._usable.cache_clear()
assert disk_cache.cache_directory() is None  # what is there was compiled from another source
""")


@needs_posix
def test_no_home(run_python, tmp_path):
    # A file where the package's own folder would be, and the user's home is nowhere.
    (tmp_path / "blocked").write_text("")
    script = """
import os, pwd, sys
def unknown(uid):
    raise KeyError(f"getpwuid(): uid not found: {uid}")
pwd.getpwuid = unknown
for name in ("HOME", "XDG_CACHE_HOME"):
    os.environ.pop(name, None)
os.chdir(sys.argv[1])
from numba.core import caching as places
places.InTreeCacheLocator.get_cache_path = lambda self: sys.argv[1] + "/blocked/cache"
import numpy as np
from fastnet import kernels
from fastnet.jit import disk_cache
assert kernels.all_finite(np.ones(9)) and not kernels.all_finite.stats.cache_hits
assert disk_cache.cache_directory() is None, disk_cache.cache_directory()
"""
    run_python(script, tmp_path, NUMBA_CACHE_DIR="")
    assert [path.name for path in tmp_path.iterdir()] == ["blocked"]  # no folder of the name "~"


@pytest.mark.slow
def test_many_processes_at_once(run, tmp_path):
    script = """
import time
print("ready", flush=True)
while not os.path.exists(sys.argv[4]):
    time.sleep(0.001)
print(outcome(sys.argv[5]), outcome(sys.argv[5]))
"""
    go = tmp_path / "go"
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(run.places[0])}
    processes = [subprocess.Popen([sys.executable, "-c", PROCESS + script, *map(str, run.places), str(go), dtype],
                                  env=environment, stdout=subprocess.PIPE, text=True)
                 for dtype in ["float64", "float32"] * 4]
    try:
        assert all(process.stdout.readline() == "ready\n" for process in processes)
        go.touch()
        outputs = [process.communicate(timeout=300)[0].split() for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert all(output in (["compiled", "loaded"], ["loaded", "loaded"]) for output in outputs), outputs
    if turns.fcntl is not None:  # of each dtype, one process compiles, and the others wait for its file
        assert sorted(outputs)[:3] == [["compiled", "loaded"]] * 2 + [["loaded", "loaded"]], outputs
    assert run('print(outcome("float64"), outcome("float32"), len(list(folder().iterdir())))').split() == [
        "loaded", "loaded", "2"]


@pytest.mark.slow
def test_processors_have_files_of_their_own(run):
    script = "print(outcome(), outcome(), len(list(folder().iterdir())))"
    for count, processor in enumerate([{}, {"NUMBA_CPU_NAME": "generic"}, {"NUMBA_CPU_FEATURES": ""}], 1):
        assert run(script, **processor).split() == ["compiled", "loaded", str(count)]
    assert run(script).split() == ["loaded", "loaded", "3"]


@pytest.mark.slow
def test_versions_and_options_have_files_of_their_own(run):
    run("""
import llvmlite, numba
assert [outcome(), outcome()] == ["compiled", "loaded"]
for module, name, value in ((numba, "__version__", "0"), (llvmlite, "__version__", "0"), (np, "__version__", "0"),
                            (sys, "version", "4.0"), (numba.config, "OPT", 1), (numba.config, "BOUNDSCHECK", 1),
                            (numba.config, "SLP_VECTORIZE", 1)):
    before = getattr(module, name)
    setattr(module, name, value)
    assert outcome() == "compiled", (module, name)
    setattr(module, name, before)
    assert outcome() == "loaded"

first = folder()
decorators._cached(kernels.all_finite.py_func, nogil=False)(np.ones(9))
assert len(list(first.iterdir())) == 9  # and another with other options of the decorator
""")


def test_files_of_another_source_are_removed(run):
    run("""
outcome()
path = the_file()
name, stamp, key, suffix = path.name.rsplit(".", 3)
assert stamp == disk_cache._file_stamp()
stale = [path.with_name(f"{name}.{'0' * 12}.{key}.{suffix}"), path.with_name(f"{name}.{'1' * 12}.{key}.tmp")]
others = [path.with_name(f"{name.replace('all_finite', other)}.{'0' * 12}.{key}.{suffix}") for other in ("all", "z")]
for other in stale + others:
    other.write_bytes(path.read_bytes())
assert outcome() == "loaded" and all(other.exists() for other in stale)  # reading removes nothing
outcome("float32")
assert sorted(folder().iterdir()) == sorted([path, *others, *(set(folder().glob(f"{name}.{stamp}.*")) - {path})])
assert len(list(folder().iterdir())) == 4
""")


def test_what_the_stamp_does_not_cover_is_not_kept(run, tmp_path):
    (tmp_path / "outside.py").write_text("def increment(x):\n    return x + 1\n")
    assert run("""
sys.path.insert(0, sys.argv[4])
from outside import increment
kernel = decorators.task(increment)
assert kernel(1) == 2 and kernel.stats.cache_path is None  # its file is none of the package's

disk_cache._PACKAGE = Path(chosen)  # a frozen application or an archive: no source to be seen
disk_cache._source_stamp.cache_clear()
try:
    print(disk_cache._source_stamp())
except OSError:
    print("no stamp")
""", tmp_path).strip() == "no stamp"


def test_without_owners_and_permissions(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "file").chmod(0o666)
    status = (tmp_path / "file").stat()
    assert disk_cache._only_ours(status) == (not hasattr(os, "geteuid"))
    monkeypatch.delattr(os, "geteuid", raising=False)
    assert disk_cache._only_ours(status)
    assert disk_cache._own_folder(str(tmp_path)) == str(tmp_path / "fastnet-cache")
