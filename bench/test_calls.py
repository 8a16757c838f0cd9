"""bench/calls.py: whole calls of sides that do the same make tables, and a side that does something else makes none."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numba
import numpy as np
import pytest

from bench import calls, rows
from fastnet import kernels

ROOT = Path(__file__).resolve().parent.parent
needs_compilation = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="nothing is compiled")
RELU = "kernels-5x4x10-relu"


def run(*arguments, cwd=None, **environment):
    command = [sys.executable, ROOT / "bench" / "calls.py", "--repeats", "1", "--threads", "1", "--dtypes", "float64"]
    return subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=500, check=False, cwd=cwd,
                          env={**os.environ, **environment})


@needs_compilation
def test_tables_of_fastnet_and_numpy(tmp_path):
    done = run("--rows", "toy", RELU, "--json", tmp_path / "out.json", "--markdown", tmp_path / "out.md")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.md").read_text() == done.stdout
    figures = json.loads((tmp_path / "out.json").read_text())
    assert list(figures["calls"]) == ["toy float64", f"{RELU} float64"]
    for roles in figures["calls"].values():
        (numpy,), (ours,) = (roles[role]["1"] for role in ("other", "ours"))
        assert f"| {calls.duration(numpy)} | {calls.duration(ours)} | **{numpy / ours:.2f}** |" in done.stdout


@needs_compilation
def test_another_checkout_is_the_other_side(tmp_path):
    cache = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}  # of a checkout that will not be there again
    shutil.copytree(ROOT / "fastnet", tmp_path / "fastnet", ignore=shutil.ignore_patterns("__pycache__"))
    done = run("--rows", RELU, "start-import", "--against", tmp_path, "--json", tmp_path / "out.json", **cache)
    assert done.returncode == 0, done.stderr
    assert "| old, 1 thread | new, 1 thread | new / old |" in done.stdout
    figures = json.loads((tmp_path / "out.json").read_text())
    (old,), (new,) = (figures["calls"][f"{RELU} float64"][role]["1"] for role in ("other", "ours"))
    assert f"**{new / old:.2f}**" in done.stdout
    for role in ("other", "ours"):
        (look,) = figures["starts"]["start-import"][role]
        assert all(0 < look[state][clock] < 100 for state in ("none", "all") for clock in ("clock", "work"))

    source = tmp_path / "fastnet" / "reference.py"
    source.write_text(source.read_text().replace("np.maximum(Z, 0)", "np.maximum(Z, 0.5)"))
    done = run("--rows", RELU, "--against", tmp_path, **cache)
    assert done.returncode != 0
    assert not done.stdout
    assert "no table: kernels-5x4x10" in done.stderr

    (tmp_path / "fastnet" / "__init__.py").write_text("raise ImportError('of the other checkout')")
    done = run("--rows", "start-import", "--against", tmp_path, cwd=ROOT, **cache)
    assert done.returncode != 0
    assert "ImportError: of the other checkout" in done.stderr


def test_where_fastnet_comes_from_is_looked_at(monkeypatch, tmp_path):
    monkeypatch.setattr(calls, "answer", lambda *_, **environment: {"checkout": str(ROOT), "figures": {}})
    assert calls.in_process(ROOT, 1, "a row") == {}
    with pytest.raises(SystemExit, match=f"a row: fastnet was imported from {ROOT} instead of {tmp_path}"):
        calls.in_process(tmp_path, 1, "a row")


def test_checkouts_that_do_other_work_are_found_out(monkeypatch):
    monkeypatch.setattr(calls, "in_process", lambda checkout, *_: {"a float64": 1.0 if checkout == ROOT else other})
    contest, row = calls.Contest(ROOT.parent, []), rows.Row("call", None, None)
    other = 1 + 1e-12
    calls.verify({"a": row}, contest, [1, 2], [])
    other = 1 + 1e-6
    with pytest.raises(SystemExit, match=f"no table: a float64 of {ROOT} is other work"):
        calls.verify({"a": row}, contest, [1, 2], [])
    assert rows.size(({"a": np.array([-1, 2]), "b": [3.0]}, SimpleNamespace(loss_=4.0))) == 10


def test_who_prints_other_numbers_is_found_out():
    calls.check_start("start-toy", [[1.0, 2.0], [0, 1]], [[1.0, 2.0 + 1e-12], [0, 1]])
    for ours in ([[1.0, 2.1], [0, 1]], [[1.0, 2.0], [1, 1]], [[1.0, 2.0]]):
        with pytest.raises(SystemExit, match="no table: the sides of start-toy have other results"):
            calls.check_start("start-toy", [[1.0, 2.0], [0, 1]], ours)


@pytest.mark.parametrize("name", ["loss_history", "train_acc_history", "val_acc_history"])
@pytest.mark.parametrize("dtype", rows.DTYPES)
def test_histories_that_differ_are_found_out(name, dtype):
    history = {"loss_history": [2.0, 1.0], "train_acc_history": [0.5], "val_acc_history": [0.25]}
    rows._same_history(history, history, dtype)
    with pytest.raises(AssertionError, match=name):
        rows._same_history({**history, name: [value + 0.02 for value in history[name]]}, history, dtype)
    with pytest.raises(AssertionError):
        rows._same_history({**history, name: history[name] * 2}, history, dtype)


@pytest.mark.parametrize("check", [rows._same_fit, rows._same_minimum])
def test_fits_that_differ_are_found_out(check):
    def fit(label=0, loss=1.0):
        return SimpleNamespace(predict=lambda X: np.full(len(X), label), loss_curve_=[loss], loss_=loss, n_iter_=10)

    check(fit(), fit(), "float64")
    for other in (fit(label=1), fit(loss=1.3), fit(loss=np.nan)):
        with pytest.raises(AssertionError):
            check(other, fit(), "float64")


def test_rows_are_found_by_their_names_and_by_how_these_begin():
    names = ["predict-1", "predict-100", "toy", "loss-toy"]
    assert calls.selected(names, None) == names
    assert calls.selected(names, ["predict-1", "loss"]) == ["predict-1", "loss-toy"]
    assert calls.selected(names, ["toy", "predict"]) == ["predict-1", "predict-100", "toy"]
    with pytest.raises(ValueError, match="no row is called 'fit'"):
        calls.selected(names, ["predict", "fit"])


def test_every_kernel_is_measured_and_its_shape_shares_a_process():
    all_rows = rows.all_rows(100)
    assert set(rows.KERNELS) == {*kernels.__all__} - {"all_finite"}
    titles = calls.processes(all_rows)
    assert {title for title, names in titles.items() if len(names) > 1} == {
        f"kernels-{'x'.join(map(str, shape))}" for shape in rows.KERNEL_SHAPES}
    assert all_rows["cifar-one-thread"].threads([1, 2]) == [1]
    assert all_rows["cifar-default"].threads([1, 2]) == [1, 2]


def test_the_last_ratio_is_of_each_side_at_its_best():
    row = rows.Row("call", None, None)
    figures = {"a float64": {"other": {1: [2.0, 3.0, 9.0], 2: [5.0]}, "ours": {1: [1.5], 2: [1.0]}}}
    line = calls.table({"a": row}, figures, calls.Contest(None, ["fastnet", "NumPy"])).splitlines()[-1]
    assert line == ("| call | float64 | NumPy | 3.00 s | 1.50 s | **2.00** | 5.00 s | 1.00 s | **5.00** | **3.00** |")
    line = calls.table({"a": row}, figures, calls.Contest(ROOT, [])).splitlines()[-1]
    assert line == "| call | float64 | 3.00 s | 1.50 s | **0.50** | 5.00 s | 1.00 s | **0.20** | **0.33** |"


def test_where_a_side_is_not_measured_there_is_no_ratio():
    row = rows.Row("call", None, None)
    line = calls.table({"a": row}, {"a float64": {"ours": {1: [2e-3]}}}, calls.Contest(None, ["fastnet"]))
    assert line.splitlines()[-1] == "| call | float64 | NumPy |  | 2.00 ms |  |  |"
