"""`fastnet warmup`: what it compiles is what a first call would wait for."""

import sys

import pytest

from fastnet.jit import announcements, decorators

from ..conftest import COMPILED


def prepared(monkeypatch, compiles=()):
    """Have both warm-ups compile nothing, or what is said; return the list of what was asked for."""
    asked = []

    def prepare(*args):
        asked.append(args)
        announcements.compiled.extend(compiles)
        return 1.25

    monkeypatch.setattr("numba.config.DISABLE_JIT", 0)
    monkeypatch.setattr("fastnet.cli.warmup.warmup", prepare)
    monkeypatch.setattr("fastnet.sklearn.warmup", prepare)
    monkeypatch.setattr(announcements, "compiled", [])
    monkeypatch.setattr(announcements, "_said", set())
    return asked


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(decorators, "cache_directory", lambda: str(tmp_path))
    (tmp_path / "code.bin").write_bytes(bytes(2**20))
    return tmp_path


def test_what_is_asked_for(succeed, monkeypatch, folder):
    asked = prepared(monkeypatch)
    assert succeed("warmup").splitlines()[:2] == [
        f"{name}   TwoLayerNet: 1.2 s, all was there, and is loaded" for name in ("float32", "float64")]
    assert asked == [("float32",), ("float64",)]
    asked.clear()
    out = succeed("warmup", "--dtype", "float64", "--layers", "1", "2")
    assert asked == [("float64",), ("float64", 1), ("float64", 2)]
    assert "estimators, 1 hidden layer: 1.2 s" in out
    assert out.splitlines()[-1] == f"kept in   {folder}: 1 files, 1.0 MiB"


def test_what_was_compiled(succeed, monkeypatch, folder):
    prepared(monkeypatch, compiles=["training_steps", "infer"])
    assert "1.2 s, compiled 2: training_steps, infer\n" in succeed("warmup", "--dtype", "float32")


def test_what_cannot_be_kept_is_an_error(run, fail, monkeypatch, folder):
    prepared(monkeypatch)
    announcements._said.add("not kept")
    status, out, err = run("warmup", "--dtype", "float32")
    assert (status, out[:7]) == (2, "float32")
    assert err == f"fastnet: error: {folder}: what has been compiled could not be kept there\n"
    monkeypatch.setattr(decorators, "cache_directory", lambda: None)
    assert "NUMBA_CACHE_DIR" in fail("warmup")
    monkeypatch.setattr("numba.config.DISABLE_JIT", 1)
    assert "NUMBA_DISABLE_JIT" in fail("warmup")


def test_bad_arguments(fail):
    for argv in (["--dtype", "int8"], ["--layers", "0"], ["--layers"], ["--hidden", "3"]):
        assert "--help" in fail("warmup", *argv)


def test_without_scikit_learn(run, monkeypatch, folder):
    prepared(monkeypatch)
    for name in [*sys.modules]:
        if name.partition(".")[0] == "sklearn" or name.startswith("fastnet.sklearn"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    status, _, err = run("warmup", "--dtype", "float32", "--layers", "1")
    assert status == 2
    assert err.startswith("fastnet: error: ")


@pytest.mark.skipif(not COMPILED, reason="nothing is compiled")
def test_after_it_nothing_is_left_to_compile(succeed, run_python):
    succeed("warmup", "--dtype", "float64")
    run_python("""
import numpy as np
import fastnet
from fastnet.jit import announcements
net = fastnet.TwoLayerNet(6, 5, 3, rng=0)
X, y = np.ones((40, 6)), np.arange(40) % 3
net.train(X, y, X, y, num_iters=3, batch_size=10)
net.loss(X, y), net.loss(X), net.predict(X), net.predict(X[:1]), net.predict_proba(X)
assert not announcements.compiled, announcements.compiled
""")
