import sys

import pytest

import fastnet
from fastnet import reference

from ..conftest import COMPILED, compiled_only


def check_demo(out, iterations):
    """Check what the demo printed; return the accuracies and the difference of the losses."""
    assert f"{iterations} minibatches of 200" in out
    table = {line[:22].strip(): line[22:].split() for line in out.splitlines()}
    assert set(table) >= {"final loss", "time per iteration", "training", "threads", "compiling or loading"}
    assert "speed-up: " in out
    difference = float(out.split("two loss histories: ")[1].split()[0])
    return [float(word) for word in table["validation accuracy"]], difference


def test_demo_draws_pictures(tmp_path, succeed):
    pytest.importorskip("matplotlib")
    out = succeed("demo", "--iterations", "10", "--out", tmp_path / "a" / "b", "--no-progress", "--threads", "1")
    _, difference = check_demo(out, 10)
    assert difference < 1e-12
    for name in ("histories.png", "weights.png"):
        assert str(tmp_path / "a" / "b" / name) in out
        assert (tmp_path / "a" / "b" / name).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("limited", [True, *compiled_only([False])])
def test_demo_gives_each_side_its_best_number_of_threads(limited, tmp_path, succeed, monkeypatch):
    pytest.importorskip("threadpoolctl")
    iterations, train = [], reference.TwoLayerNet.train
    monkeypatch.setattr(reference.TwoLayerNet, "train", lambda net, *data, num_iters, **options: (
        iterations.append(num_iters) or train(net, *data, num_iters=num_iters, **options)))
    if not limited:
        monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    before = fastnet.get_num_threads()
    out = succeed("demo", "--iterations", "20", "--no-progress", "--out", tmp_path)
    counts = [1] if before == 1 else [1, before]
    assert iterations == [4] * (3 * len(counts) if limited and len(counts) > 1 else 0) + [20]
    numpy_threads, threads = next(line for line in out.splitlines() if line.startswith("threads")).split()[1:]
    assert numpy_threads in ([str(count) for count in counts] if limited else ["-"])
    assert int(threads) in counts
    assert fastnet.get_num_threads() == before


@pytest.mark.slow
def test_demo_without_extras(tmp_path, run, monkeypatch):
    for name in ("matplotlib", "tqdm"):
        monkeypatch.setitem(sys.modules, name, None)
    status, out, err = run("demo", "--iterations", "5", "--dtype", "float32", "--out", tmp_path / "pictures")
    assert status == 0
    _, difference = check_demo(out, 5)
    assert difference < 1e-5
    assert 'pip install matplotlib' in out
    assert err.count("5/5") == 2
    assert not (tmp_path / "pictures").exists()


@pytest.mark.slow
@pytest.mark.skipif(not COMPILED, reason="a thousand iterations take a minute uncompiled")
def test_demo_learns(succeed, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    accuracies, difference = check_demo(succeed("demo", "--no-progress"), 1000)
    assert min(accuracies) >= 0.96
    assert difference < 1e-9  # rounding, which a thousand iterations may let grow


def test_demo_folder_is_a_file(tmp_path, fail, monkeypatch):
    pytest.importorskip("matplotlib")
    (tmp_path / "file").write_text("")
    assert "file" in fail("demo", "--out", tmp_path / "file")


def test_both_networks_of_the_demo_have_one_interface():
    assert {name for name in dir(reference.TwoLayerNet) if not name.startswith("_")} <= set(dir(fastnet.TwoLayerNet))
