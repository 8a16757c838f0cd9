"""bench/peers.py: sides that do the same work make a table, a side that does not makes none."""

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

from bench import peers, scaling
from bench.machine import cores, cpu_name, description
from bench.registry import CASES, step_products
from bench.sides import SIDES

COMPILED = not numba.config.DISABLE_JIT
ROOT = Path(__file__).resolve().parent.parent
needs_compilation = pytest.mark.skipif(not COMPILED, reason="there is no peak of the processor to compare with")


@needs_compilation
def test_tables_of_fastnet_and_numpy(tmp_path):
    command = [sys.executable, ROOT / "bench" / "peers.py", "--sides", "NumPy", "fastnet", "--cases", "tiny",
               "--repeats", "1", "--json", tmp_path / "out.json", "--markdown", tmp_path / "out.md", "--png",
               tmp_path / "out.png"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.md").read_text() == done.stdout
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")
    figures = json.loads((tmp_path / "out.json").read_text())
    ours, numpy = (figures["medians"]["train"][name]["tiny float32"] for name in ("fastnet", "NumPy"))
    assert f"**{numpy / ours:.2f}**" in done.stdout
    assert all(value > 0 for value in figures["peak"].values())


def test_a_busy_machine_makes_no_negative_duration():
    class Side:
        calls = 0

        def seconds(self, problem, steps):
            self.calls += 1
            return steps * 1e-3 + (5 if self.calls in (5, 7) else 0)  # somebody else had the cores then

    assert peers.seconds_per_step(Side(), None) == pytest.approx(1e-3)


def runs_of(name):
    side = SIDES[name]()
    result = {"losses": {}, "labels": {}}
    for dtype in peers.DTYPES:
        problem = peers.problem_of(CASES["tiny"], dtype)
        result["losses"][f"tiny {dtype}"] = side.losses(problem, peers.CHECKED_STEPS)
        problem = peers.problem_of(peers.INFERENCE, dtype, max(peers.ROWS))
        result["labels"][dtype] = side.predictor(problem)(problem.X[:100]).tolist()
    return {name: [result]}


@needs_compilation
def test_who_does_other_work_is_found_out():
    runs = runs_of("fastnet")
    peers.check(runs, ["tiny"])
    (result,) = runs["fastnet"]
    result["losses"]["tiny float32"][2] *= 1.001
    with pytest.raises(SystemExit, match=r"losses of fastnet on tiny, float32"):
        peers.check(runs, ["tiny"])
    result["losses"]["tiny float32"][2] /= 1.001
    result["labels"]["float64"][7] ^= 1
    with pytest.raises(SystemExit, match=r"fastnet predicts other labels than NumPy, float64"):
        peers.check(runs, ["tiny"])


def test_a_side_that_cannot_start_is_not_installed():
    assert peers.begins(sys.executable, "NumPy") == np.__version__
    assert peers.begins(sys.executable, "nothing of that name") == ""


def test_a_library_is_measured_by_its_fastest_setting():
    figures = {"fastnet": {"a": 1.0}, "X": {"a": 3.0, "b": 1.0}, "X, 1 thread": {"a": 2.0}, "X 2": {"a": 5.0}}
    assert peers.best_settings(figures) == {"fastnet": {"a": 1.0}, "X": {"a": 2.0, "b": 1.0}, "X 2": {"a": 5.0}}
    lines = peers.table(["case"], [("a", ["a"]), ("b", ["b"])], figures, {}).splitlines()
    assert lines[0] == "| case | fastnet | X | X 2 | best peer / fastnet |"
    assert lines[2] == "| a | 1000000 | 2000000 | 5000000 | **2.00** |"


@pytest.mark.parametrize("name", [name for name in SIDES if name not in ("fastnet", "NumPy", "scikit-learn")])
@needs_compilation
def test_peers_do_the_same_work(name):
    """Whoever has them installed: a fresh machine has not."""
    try:
        importlib.metadata.version(peers.PACKAGES[peers.library(name)])
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("not installed")
    command = [sys.executable, ROOT / "bench" / "peers.py", "--sides", "NumPy", name, "--cases", "tiny"]
    done = subprocess.run([*command, "--repeats", "1"], capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    assert f"| {peers.library(name)} |" in done.stdout


def test_the_machine_has_a_name_and_cores():
    assert cpu_name()
    assert cores() >= 1


def test_what_openblas_takes_the_processor_for_is_said(monkeypatch):
    threadpoolctl = pytest.importorskip("threadpoolctl")
    loaded = [{"internal_api": "openblas", "architecture": "Haswell"}, {"internal_api": "openmp", "architecture": "no"}]
    monkeypatch.setattr(threadpoolctl, "threadpool_info", lambda: loaded)
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    assert description().endswith("; OpenBLAS for Haswell")
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    assert description().endswith("; OpenBLAS for Haswell, as OPENBLAS_CORETYPE says")
    loaded.clear()
    assert "OpenBLAS" not in description()


def test_curves_vary_one_thing_each():
    curves = scaling.sizes()
    for curve in ("batch", "hidden", "inputs"):
        assert [case._replace(**{curve: getattr(scaling.MIDDLE, curve)}) for _, case, _ in curves[curve]] == [
            scaling.MIDDLE] * len(curves[curve])
    assert len({case for _, case, _ in curves["random"]}) == len(curves["random"])


@needs_compilation
def test_a_point_of_a_curve(monkeypatch):
    monkeypatch.setattr(scaling, "LOOK", 0.001)
    case = scaling.Case(20, 30, 4, 16)
    assert scaling.seconds_per_step(case, "float32") > 0
    assert step_products(case) == 16 * (2 * 20 * 30 + 3 * 30 * 4)
    assert scaling.moved(case, "float32") == 4 * (16 * 20 + 2 * 30 * 24)
    assert np.isfinite(scaling.bandwidth())
