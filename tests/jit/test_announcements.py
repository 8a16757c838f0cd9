"""What a first run says: to people only, once, and how long what took long has taken."""

import io
import sys

import pytest

from fastnet.jit import announcements

from ..conftest import COMPILED


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def began(monkeypatch):
    monkeypatch.setattr(announcements, "_began", {})
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(announcements.time, "perf_counter", lambda: now[0])
    return now


def run(clock):
    for name, seconds in (("training_steps", 12.4), ("pack", 0.9)):
        announcements.began(name)
        clock[0] += seconds
        announcements.ended(name)


def test_what_is_said_at_a_terminal(monkeypatch, began, clock):
    monkeypatch.setattr(sys, "stderr", Terminal())
    run(clock)
    assert sys.stderr.getvalue() == (
        "fastnet: compiling for this processor, for ten to forty seconds; it is kept on disk for the next time\n"
        "fastnet: compiled training_steps in 12 s\n")


def test_a_notebook_is_for_people(monkeypatch, began, clock):
    monkeypatch.setitem(sys.modules, "ipykernel", object())
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    run(clock)
    assert "compiled training_steps in 12 s" in sys.stderr.getvalue()


def test_nothing_is_said_to_a_file(monkeypatch, began, clock):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    run(clock)
    assert not sys.stderr.getvalue()


def test_nothing_fails_where_nothing_can_be_said(monkeypatch, began, clock):
    for stream in (None, io.TextIOWrapper(io.BytesIO())):
        if stream is not None:
            stream.isatty = lambda: True
            stream.close()
        monkeypatch.setattr(sys, "stderr", stream)
        run(clock)
        announcements.ended("what never began")


@pytest.mark.skipif(not COMPILED, reason="nothing is compiled")
def test_a_call_that_compiles_says_so(run_python, tmp_path):
    """In a process whose standard error is taken for a terminal; and nothing where all is on disk."""
    script = """
import sys
import numpy as np
from fastnet.jit import announcements
announcements._LONG = 0.0
announcements._is_for_people = lambda: True
sys.stderr = sys.stdout
from fastnet import kernels
kernels.all_finite(np.ones(3))
"""
    said = run_python(script, NUMBA_CACHE_DIR=str(tmp_path))
    assert said.startswith("fastnet: compiling for this processor")
    assert "fastnet: compiled all_finite in " in said
    assert run_python(script, NUMBA_CACHE_DIR=str(tmp_path)) == ""
