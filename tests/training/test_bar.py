"""The progress bar of `train`: what it says, and that it ends with the training, however that ends."""

import os
import signal
import sys

import numpy as np
import pytest

from fastnet import TwoLayerNet, progress
from fastnet.datasets import load_digits
from fastnet.training.loop import DivergenceWarning

OPTIONS = {"num_iters": 12, "batch_size": 20, "learning_rate": 0.1}


def digits():
    X, y = load_digits()
    return X[:40], y[:40], X[40:60], y[40:60]


@pytest.fixture(params=["tqdm", "plain"], autouse=True)
def shown(request, monkeypatch, capsys):
    """Returns the pictures that were drawn; each of them is."""
    if request.param == "plain":
        monkeypatch.setitem(sys.modules, "tqdm", None)
    else:
        tqdm = pytest.importorskip("tqdm").tqdm
    monkeypatch.setattr(progress, "_BETWEEN", 0)

    def pictures():
        if request.param == "tqdm":
            assert not tqdm._instances, "it has not been closed"
        err = capsys.readouterr().err
        assert err.endswith("\n")
        return err.replace("\r", "\n").splitlines()

    return pictures


def net():
    return TwoLayerNet(64, 5, 10, std=0.1, rng=0)


def test_it_has_the_last_figures_of_the_histories(shown):
    history = net().train(*digits(), **OPTIONS, progress="digits")
    last = shown()[-1]
    assert last.startswith("digits: ")
    assert "12/12" in last
    assert f"loss={history['loss_history'][-1]:.4g}, val_acc={history['val_acc_history'][-1]:.4g}" in last


def test_the_numbers_are_the_same(shown):
    plain, watched = net(), net()
    assert plain.train(*digits(), **OPTIONS) == watched.train(*digits(), **OPTIONS, progress=True)
    for name, array in plain.params.items():
        np.testing.assert_array_equal(array, watched.params[name])
    assert plain._rng.randint(2**31) == watched._rng.randint(2**31)


def test_it_ends_where_a_callback_stops(shown):
    net().train(*digits(), **OPTIONS, progress=True, callback=lambda it, _: it >= 4)
    assert "5/12" in shown()[-1]


def test_it_ends_where_a_callback_raises(shown):
    def fail(it, _):
        if it >= 4:
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        net().train(*digits(), **OPTIONS, progress=True, callback=fail)
    assert "5/12" in shown()[-1]


def test_it_ends_at_ctrl_c(shown):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            net().train(*digits(), **OPTIONS, progress=True,
                        callback=lambda it, _: os.kill(os.getpid(), signal.SIGINT) if it == 4 else None)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert "5/12" in shown()[-1]


def test_divergence_is_seen(shown):
    with pytest.warns(DivergenceWarning), np.errstate(all="ignore"):
        net().train(*digits(), **{**OPTIONS, "learning_rate": 1e300}, progress=True)
    last = shown()[-1]
    assert "12/12" in last
    assert "loss=nan" in last


def test_a_run_that_goes_on_counts_from_where_it_was(shown, tmp_path):
    path = tmp_path / "run"
    net().train(*digits(), **{**OPTIONS, "num_iters": 8}, checkpoint=path)
    net().train(*digits(), **OPTIONS, resume=path, progress=True)
    pictures = shown()
    counts = [int(line.split("/12")[0].split()[-1].rpartition("|")[2]) for line in pictures if "/12" in line]
    assert min(counts) >= 8
    assert counts[-1] == 12


def test_a_bar_that_fails_changes_nothing(monkeypatch, capsys):
    class Broken:
        closed = False

        def write(self, text):
            raise BrokenPipeError

        def flush(self):
            raise BrokenPipeError

    plain, watched = net(), net()
    history = plain.train(*digits(), **OPTIONS)
    monkeypatch.setattr(sys, "stderr", Broken())
    assert watched.train(*digits(), **OPTIONS, progress=True) == history
    for name, array in plain.params.items():
        np.testing.assert_array_equal(array, watched.params[name])
