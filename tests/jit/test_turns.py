"""Who compiles, where several processes need the same: one of them, whatever happens; and nobody waits for ever."""

import errno
import gc
import os
import signal
import subprocess
import sys
import time

import pytest

from fastnet.jit import announcements, turns

from ..conftest import COMPILED, within_seconds

locks = pytest.mark.skipif(turns.fcntl is None, reason="there are no such locks here")
compiled = pytest.mark.skipif(not COMPILED, reason="nothing is compiled")


def opener(path, flags):
    return os.open(path, flags, 0o600)


def nothing():
    pass


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "function.lock")


def is_free(path):
    """Whether somebody else could have the turn."""
    script = "import fcntl, sys; fcntl.flock(open(sys.argv[1], 'ab'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    return subprocess.run([sys.executable, "-c", script, path], capture_output=True, check=False).returncode == 0


HOLDER = """
import os, sys, time
from fastnet.jit import turns
with turns.turn():
    turns.take(sys.argv[1], lambda path, flags: os.open(path, flags, 0o600), lambda: None)
    assert turns._now.turn().taken
    print("has it", flush=True)
    what = sys.stdin.readline().strip()
    if what == "done":
        turns.done()
    elif what == "fails":
        raise ValueError
    elif what == "hangs":
        time.sleep(600)
"""


@pytest.fixture
def holder(path):
    process = subprocess.Popen([sys.executable, "-c", HOLDER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, text=True)
    assert process.stdout.readline() == "has it\n"
    yield process
    process.kill()
    process.communicate()


def tell(process, what):
    process.stdin.write(what + "\n")
    process.stdin.flush()


def take(path, waiting=nothing):
    """Return whether one gets the turn, which is given back; and how often there was a wait for it."""
    waits = []
    with turns.turn():
        turns.take(path, opener, lambda: (waits.append(True), waiting()))
        got = turns._now.turn().taken
        turns.done()
    return got, len(waits)


@locks
def test_a_turn_leaves_nothing_behind(path):
    for _ in range(3):
        with turns.turn():
            turns.take(path, opener, nothing)
            assert os.path.exists(path)
            assert not is_free(path)
            turns.done()
            assert not os.path.exists(path)
    assert not turns._HELD
    assert os.listdir(os.path.dirname(path)) == []


@locks
def test_who_waited_for_work_that_is_done_has_no_turn(path, holder):
    assert take(path, lambda: tell(holder, "done") if holder.stdin else None)[0] is False
    assert not os.path.exists(path)
    assert take(path) == (True, 0)


@locks
@pytest.mark.parametrize("what", ["fails", "kill"])
def test_who_waited_for_work_that_is_not_done_does_it(path, holder, what):
    def end(ended=[]):  # noqa: B006
        if not ended:
            ended.append(True)
            holder.kill() if what == "kill" else tell(holder, what)

    got, waits = within_seconds(60, take, path, end)
    assert got
    assert waits
    assert not os.path.exists(path)


@locks
def test_nobody_waits_for_ever(path, holder, monkeypatch):
    os.kill(holder.pid, signal.SIGSTOP)
    monkeypatch.setattr(turns, "PATIENCE", 0.3)
    start = time.monotonic()
    got, waits = take(path)
    assert (got, waits > 1) == (False, True)
    assert 0.2 < time.monotonic() - start < 30
    assert os.path.exists(path)  # it is still the other one's


@locks
def test_an_exception_from_outside_ends_the_waiting(path, holder):
    def fail(*_):
        raise TimeoutError  # an OSError, as those of locks are

    previous = signal.signal(signal.SIGALRM, fail)
    try:
        for _ in range(5):
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            with pytest.raises(TimeoutError):
                take(path)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert not turns._HELD
    tell(holder, "ends")
    holder.wait()
    assert take(path)[0]


@locks
def test_an_exception_gives_the_turn_back(path):
    def compile_and_fail():
        with turns.turn():
            turns.take(path, opener, nothing)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        compile_and_fail()
    assert is_free(path)
    assert caught.value.__traceback__ is not None  # which holds the frame
    assert turns._now.turn() is None


@locks
def test_a_turn_that_nobody_refers_to_is_given_back(path):
    mine = turns._Turn()  # as after an exception within the context's own end
    mine.take(path, opener, nothing)
    assert not is_free(path)
    del mine
    gc.collect()
    assert is_free(path)
    assert not turns._HELD


@locks
def test_nobody_waits_for_oneself(path):
    """A signal handler may call what is being compiled."""
    with turns.turn():
        turns.take(path, opener, nothing)
        assert within_seconds(20, take, path) == (False, 0)
        inner = path + "2"
        assert take(inner) == (True, 0)  # what is called has a turn of its own
        assert not is_free(path)
        turns.done()
    assert take(path) == (True, 0)


@locks
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # it forks, and has threads perhaps
def test_a_child_neither_keeps_a_turn_nor_ends_it(path):
    read, write = os.pipe()
    with turns.turn():
        turns.take(path, opener, nothing)
        child = os.fork()
        if not child:
            try:
                turns.done()
                turns._now.turn().give_back(work_is_done=True)
            finally:
                os.close(write)
                os.read(read, 1)  # lives on, with all that it has of the parent
                os._exit(0)
        os.close(read)
        time.sleep(0.2)
        assert os.path.exists(path)
        assert not is_free(path)
        turns.done()
        assert not os.path.exists(path)
    assert take(path) == (True, 0)
    os.close(write)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


@pytest.mark.parametrize("where", ["no folder", "read-only", "no locks", "no module", "a folder", "a pipe"])
def test_without_locks_everybody_compiles(path, monkeypatch, where):
    opens = opener
    if where == "no folder":
        path += "/there/is/none.lock"
    elif where == "read-only":
        def opens(path, flags):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
    elif where == "no locks" and turns.fcntl is not None:
        def no_locks(*_):
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
        monkeypatch.setattr(turns.fcntl, "flock", no_locks)
    elif where == "no module":
        monkeypatch.setattr(turns, "fcntl", None)
    elif where == "a folder":
        os.mkdir(path)
    elif where == "a pipe" and hasattr(os, "mkfifo"):
        os.mkfifo(path)

        def opens(path, flags):
            return os.open(path, flags | os.O_NONBLOCK, 0o600)
    with turns.turn():
        within_seconds(20, turns.take, path, opens, nothing)
        turns.done()
    turns.take(path, opens, nothing)  # and outside of a context nothing is taken
    turns.done()
    assert not turns._HELD


def test_what_is_said_once(monkeypatch, capsys):
    monkeypatch.setattr(announcements, "_said", set())
    monkeypatch.setattr(announcements, "_is_for_people", lambda: True)
    for _ in range(2):
        announcements.waits("steps")
    assert capsys.readouterr().err == "fastnet: waiting for another process, which compiles steps\n"
    with pytest.warns(RuntimeWarning, match=r"no room.*NUMBA_CACHE_DIR"):
        announcements.not_kept("no room")
    announcements.not_kept("which is an error here, if it is a warning")
    monkeypatch.setattr(announcements, "_said", set())
    announcements.not_kept("warnings are errors here, and no call fails for it")


# ---- compiled --------------------------------------------------------------------------------------------------------

FUNCTION = """
import os, sys, threading, time, warnings
import numpy as np
from fastnet import kernels
from fastnet.jit import announcements, decorators, disk_cache

def new():
    return decorators.task(kernels.all_finite.py_func)

def outcome(kernel):
    assert kernel(np.ones(9))
    return "loaded" if sum(kernel.stats.cache_hits.values()) else "compiled"
"""


@pytest.mark.slow
@compiled
def test_threads_compile_once(run_python, tmp_path):
    run_python(FUNCTION + """
kernel = new()
barrier = threading.Barrier(6)

def call():
    barrier.wait()
    assert kernel(np.ones(9))

threads = [threading.Thread(target=call) for _ in range(6)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert sum(kernel.stats.cache_misses.values()) == 1 and not kernel.stats.cache_hits
""", NUMBA_CACHE_DIR=str(tmp_path))


@compiled
@locks
@pytest.mark.parametrize("end", ["killed", "interrupted"])
def test_a_process_that_ends_while_it_compiles(tmp_path, run_python, end):
    """The one that waits takes over, at once, and keeps what it compiles."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    stuck = subprocess.Popen([sys.executable, "-c", FUNCTION + """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background ignores it

def began(name):
    print("compiling", flush=True)
    time.sleep(600)

announcements.began = began
outcome(new())
"""], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert stuck.stdout.readline() == "compiling\n"
        waiting = subprocess.Popen([sys.executable, "-W", "error", "-c", FUNCTION + """
announcements.waits = lambda name, said=[]: said or (said.append(1), print("waits", flush=True))
print(outcome(new()), outcome(new()), flush=True)
"""], env=environment, stdout=subprocess.PIPE, text=True)
        try:
            assert waiting.stdout.readline() == "waits\n"
            stuck.send_signal(signal.SIGKILL if end == "killed" else signal.SIGINT)
            assert waiting.communicate(timeout=turns.PATIENCE / 2)[0].split() == ["compiled", "loaded"]
        finally:
            waiting.kill()
            waiting.communicate()
    finally:
        stuck.kill()
        stuck.communicate()
    assert not [*tmp_path.rglob("*.lock")]


@pytest.mark.slow
@compiled
@locks
def test_an_error_of_a_compilation_ends_the_turn(run_python, tmp_path):
    run_python(FUNCTION + """
kernel = new()
for error in (KeyboardInterrupt, ValueError):
    def began(name):
        raise error

    before, announcements.began = announcements.began, began
    try:
        kernel(np.ones(9))
    except error as caught:
        kept = caught  # and with it all frames
    else:
        raise AssertionError
    announcements.began = before
start = time.monotonic()
assert [outcome(new()), outcome(kernel)] == ["compiled", "loaded"]
assert time.monotonic() - start < 60
""", NUMBA_CACHE_DIR=str(tmp_path))
    assert not [*tmp_path.rglob("*.lock")]


@pytest.mark.slow
@compiled
def test_where_nothing_can_be_kept_one_warning_says_so(run_python, tmp_path):
    (tmp_path / "blocked").write_text("")
    for script, environment in (
            # No place at all.
            ("places.InTreeCacheLocator.get_cache_path = lambda self: '/dev/null/cache'\n"
             "places.UserWideCacheLocator.get_cache_path = lambda self: '/dev/null/cache'\n",
             {"NUMBA_CACHE_DIR": str(tmp_path / "blocked")}),
            # A place that has become full, or read-only.
            ("from fastnet.jit import disk_cache\n"
             "def no_room(*_): raise OSError(28, 'No space left on device')\n"
             "os.replace = no_room\n",
             {"NUMBA_CACHE_DIR": str(tmp_path / "full")})):
        said = run_python("import os, warnings\nfrom numba.core import caching as places\n" + script
                          + "with warnings.catch_warnings(record=True) as caught:\n"
                          + "    warnings.simplefilter('always')\n"
                          + FUNCTION.replace("\n", "\n    ")
                          + "\n    outcome(new()), outcome(new())\n"
                          + "print(*(warning.message for warning in caught), sep='\\n')", **environment)
        assert said.count("fastnet cannot keep what it compiles") == 1, said
        assert len(said.splitlines()) == 1
