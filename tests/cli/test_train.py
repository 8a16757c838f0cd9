import os
import sys

import numpy as np
import pytest

import fastnet
from fastnet.files.models import load_model

from ..conftest import COMPILED
from .conftest import QUICK, blobs, posix, rows, without, write_csv


def test_train_then_predict(tmp_path, data, succeed):
    path = tmp_path / "model.npz"
    summary = succeed("train", data, *QUICK, "--out", path)
    for words in ("72 for training, 18 for validation, 2 features", "classes   3", "loss ", "accuracy ", "compiling",
                  "training", str(path)):
        assert words in summary
    header, *labels = rows(succeed("predict", path, data))
    assert header == ["label"]
    _, names = blobs()
    assert np.mean(np.array(labels)[:, 0] == names) > 0.95


def test_the_same_seed_gives_the_same_file(tmp_path, data, succeed):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        succeed("train", data, *QUICK, "--seed", seed, "--out", tmp_path / name)
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_npz(tmp_path, succeed, fail):
    X, names = blobs()
    np.savez(tmp_path / "data.npz", X=X.reshape(-1, 2, 1), y=names)
    np.savez(tmp_path / "new.npz", X=X)
    np.savez(tmp_path / "wide.npz", X=np.ones((4, 3)))
    path = tmp_path / "model.npz"
    succeed("train", tmp_path / "data.npz", *QUICK, "--out", path)
    expected = succeed("predict", path, tmp_path / "data.npz")
    assert succeed("predict", path, tmp_path / "new.npz") == expected
    # No names of features in the model: the columns of a .csv count in their order.
    table = write_csv(tmp_path / "table.csv", ["p", "label", "q"], X[:, 0], names, X[:, 1])
    assert succeed("predict", path, table) == expected
    assert "has 3 features, and the model was trained on 2" in fail("predict", path, tmp_path / "wide.npz")


def test_numbers_as_classes(tmp_path, succeed):
    X, names = blobs()
    y = np.array([{"ant": 10, "bee": 9, "cow": -1}[name] for name in names])
    np.savez(tmp_path / "data.npz", X=X, y=y)
    write_csv(tmp_path / "data.csv", ["x1", "x2", "label"], *X.T, y)
    for suffix in ("npz", "csv"):
        succeed("train", tmp_path / f"data.{suffix}", *QUICK, "--force", "--out", tmp_path / "model")
        assert succeed("predict", tmp_path / "model", tmp_path / "data.npz", "--proba").startswith("-1,9,10\n")


def test_names_of_classes_are_kept(tmp_path, succeed):
    X, names = blobs()
    strange = {"ant": 'a "b", c', "bee": "Bienenstöcke 🐝", "cow": "007"}
    labels = [strange[name] for name in names]
    data = write_csv(tmp_path / "data.csv", ["x1", "x2", "label"], *X.T, labels)
    succeed("train", data, *QUICK, "--out", tmp_path / "model")
    printed = [row[0] for row in rows(succeed("predict", tmp_path / "model", data))[1:]]
    assert set(printed) == set(strange.values())
    assert np.mean(np.array(printed) == labels) > 0.95


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_standardize(tmp_path, dtype, succeed):
    X, names = blobs(scale=1000, offset=1e6)
    X = np.column_stack([X, np.full(len(X), 0.1)])  # a constant feature
    data = write_csv(tmp_path / "data.csv", ["x1", "x2", "constant", "label"], *X.T, names)
    succeed("train", data, *QUICK, "--standardize", "--dtype", dtype, "--out", tmp_path / "model")
    model = load_model(tmp_path / "model")
    assert model.params["W1"].dtype == dtype
    assert model.scale[2] == 1
    assert np.allclose(model.mean, X.mean(axis=0), rtol=1e-3)
    printed = np.array(rows(succeed("predict", tmp_path / "model", data))[1:])[:, 0]
    assert np.mean(printed == names) > 0.95


def test_epochs_are_whole_and_the_rate_decays_once_in_each(tmp_path, data, succeed, monkeypatch):
    calls = []
    train = fastnet.TwoLayerNet.train

    def spy(self, X, y, X_val, y_val, **options):
        calls.append((len(X), len(X_val), options["num_iters"], options["learning_rate"]))
        return train(self, X, y, X_val, y_val, **options)

    fastnet.warmup(np.float32)
    monkeypatch.setattr(fastnet, "warmup", lambda dtype: 0.0)
    monkeypatch.setattr(fastnet.TwoLayerNet, "train", spy)
    succeed("train", data, "--optimizer", "sgd", "--epochs", "3", "--batch", "10", "--rate", "0.5", "--decay",
            "0.5", "--val-fraction", "0.1", "--hidden", "2", "--no-progress", "--out", tmp_path / "model")
    assert calls == [(81, 9, 9, 0.5), (81, 9, 9, 0.25), (81, 9, 9, 0.125)]


@pytest.mark.skipif(not COMPILED, reason="two thousand iterations take half a minute uncompiled")
def test_defaults_learn_the_digits(tmp_path, succeed):
    from fastnet.datasets import load_digits
    X, y = load_digits()
    X = X[:600]
    y = y[:600]
    for name, scale, options in (("raw", 16, ("--no-standardize",)), ("standardized", 16, ())):
        np.savez(tmp_path / "digits.npz", X=X * scale, y=y)
        summary = succeed("train", tmp_path / "digits.npz", "--optimizer", "sgd", "--no-progress", "--out",
                          tmp_path / name, *options)
        assert float(summary.split("in training, ")[1].split()[0]) > 0.92


@pytest.mark.parametrize("tqdm", [True, False])
def test_progress_goes_to_standard_error(tmp_path, data, run, monkeypatch, tqdm):
    if tqdm:
        pytest.importorskip("tqdm")
    else:
        monkeypatch.setitem(sys.modules, "tqdm", None)
    status, out, err = run("train", data, "--epochs", "3", "--hidden", "2", "--out", tmp_path / "model")
    assert status == 0
    assert "3/3" in err
    assert "3/3" not in out


# Errors


@pytest.mark.parametrize(("options", "message"), [
    (["--epochs", "-3"], "--epochs: must be a whole number from 1 to 2147483647, got -3"),
    (["--epochs", "1.5"], "--epochs"),
    (["--hidden", "0"], "--hidden"),
    (["--batch", "none"], "--batch"),
    (["--rate", "nan"], "--rate"),
    (["--rate", "0"], "--rate"),
    (["--decay", "1.1"], "--decay"),
    (["--reg", "-1"], "--reg"),
    (["--std", "inf"], "--std"),
    (["--seed", "-1"], "--seed"),
    (["--seed", "4294967296"], "--seed"),
    (["--val-fraction", "1"], "--val-fraction"),
    (["--dtype", "float16"], "--dtype"),
    (["--threads", "0"], "--threads"),
    (["--threads", "100000"], "threads must be"),
    (["--epoch", "3"], "--epoch"),  # no abbreviations
    (["--label", "kind"], "no column 'kind'"),
    (["--rate", "1e30", "--no-standardize"], "diverged in epoch 2: lower --rate or leave out --no-standardize"),
    (["--rate", "1e30"], "diverged in epoch 2: lower --rate"),
    (["--out", "missing/model.npz"], "there is no folder"),
    (["--out", "."], "not a regular file"),
    (["--out", "data.csv"], "the ending .csv is that of tables"),
    (["--out", "model.onnx"], "the ending .onnx is that of ONNX"),
    (["--checkpoint", "run.pkl"], "the ending .pkl is that of pickle"),
    (["--hidden", "8,4"], "--optimizer sgd trains one hidden layer"),
    (["--early-stopping"], "--early-stopping is not an option of --optimizer sgd"),
    (["--target", "x1"], "--target is not an option of --optimizer sgd"),
])
def test_bad_options_of_train(tmp_path, data, fail, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    before = data.read_bytes()
    assert message in fail("train", "data.csv", "--optimizer", "sgd", "--no-progress", "--epochs", "2", "--hidden",
                           "2", *options)
    assert os.listdir(tmp_path) == ["data.csv"]
    assert data.read_bytes() == before


@pytest.mark.parametrize(("content", "message"), [
    (None, "data.csv: No such file or directory"),
    ("", "is empty"),
    ("x,label\n1,a\n", "at least two classes"),
    ("x,label\n1,a\nb,a\n", "line 3, column 'x': 'b' is not a number"),
    ("x,label\n1e308,a\n-1e308,b\n1e308,a\n3,b\n", "too large to standardize"),
])
def test_bad_data(tmp_path, fail, content, message):
    if content is not None:
        (tmp_path / "data.csv").write_text(content)
    assert message in fail("train", tmp_path / "data.csv", "--optimizer", "sgd", "--no-progress", "--out",
                           tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_features_too_large_to_standardize(tmp_path, fail):
    data = write_csv(tmp_path / "data.csv", ["x", "label"], [1e308, -1e308, 1e308, -1e308], "abab")
    assert "too large to standardize" in fail("train", data, "--optimizer", "sgd", "--out", tmp_path / "model")


# What could not be written and read back


def wide(path):
    """A .csv with so many labels, one of them long, that an array of them would take a gigabyte."""
    names = ["x" * 100_000, *map(str, range(3000))]
    return write_csv(path, ["x", "label"], range(len(names)), names)


@pytest.mark.parametrize(("content", "message"), [
    ("x,label\n1,a\n2,x\0\n3,x\n", "line 3, column 'label': the label ends in a NUL character"),
    ("x,label\n1,a\n2,\0\n", "line 3, column 'label': the label ends in a NUL character"),
    ("x,x\0,label\n1,2,a\n2,3,b\n", "line 1, column 2: the name of the column ends in a NUL character"),
    (wide, "the column of the labels holds text that is too long: NumPy would keep 3001 strings of 100000 characters"),
    (lambda path: write_csv(path, ["x" * 100_000, *map(str, range(3000)), "label"], *[[1, 2, 3]] * 3001, "aba"),
     "the header holds text that is too long"),
])
def test_names_that_a_model_could_not_keep_are_refused_before_the_training(tmp_path, fail, monkeypatch, content,
                                                                           message):
    monkeypatch.setattr("fastnet.cli.training.sgd.train_sgd", None)
    data = tmp_path / "data.csv"
    if callable(content):
        content(data)
    else:
        data.write_text(content)
    assert message in fail("train", data, *QUICK, "--out", tmp_path / "model.npz")
    assert os.listdir(tmp_path) == ["data.csv"]


def test_the_same_in_npz(tmp_path, fail, monkeypatch):
    monkeypatch.setattr("fastnet.cli.training.sgd.train_sgd", None)
    for y, message in ((["a", "b\ud800", "c"], "not Unicode"), (["a", "\0", "b"], "empty label"),
                       (["x" * 2000, *map(str, range(3000))], "too long")):
        np.savez_compressed(tmp_path / "data.npz", X=np.ones((len(y), 1)), y=np.array(y))
        assert message in fail("train", tmp_path / "data.npz", *QUICK, "--out", tmp_path / "model.npz")


def test_names_that_a_model_only_just_keeps(tmp_path, succeed):
    names = ["a\0b", "x" * 1000, *map(str, range(200))]
    data = write_csv(tmp_path / "data.csv", ["\0x", "label"], range(404), names * 2)
    for model in ("model.npz", "model.safetensors"):
        succeed("train", data, *QUICK[:4], "--epochs", "1", "--no-progress", "--out", tmp_path / model)
        assert rows(succeed("predict", tmp_path / model, data, "--proba"))[0] == sorted(names)


def test_a_format_without_its_package_is_refused_before_the_training(tmp_path, data, fail, model, monkeypatch):
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"")
    for name in ("safetensors", "safetensors.numpy"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr("fastnet.cli.training.sgd.train_sgd", None)
    for argv in (("train", data, *QUICK, "--force", "--out", file),
                 ("train", data, *QUICK, "--checkpoint", file, "--out", tmp_path / "m.npz"), ("predict", file, data)):
        assert "pip install safetensors" in fail(*argv)


# Closed streams


@posix
@pytest.mark.skipif(not COMPILED, reason="nothing that is compiled has a part in it")
@pytest.mark.parametrize(("streams", "tqdm"), [
    ("2>&-", True), ("<&- >&- 2>&-", True), (">&-", True), ("2>&-", False)])
def test_train_without_standard_error(tmp_path, data, model, streams, tqdm, monkeypatch):
    if not tqdm:  # a module that cannot be imported
        (tmp_path / "hidden").mkdir()
        (tmp_path / "hidden" / "tqdm.py").write_text("raise ImportError")
        monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'hidden'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    status, out, err = without(streams, "train", data, *QUICK[:-1], "--out", tmp_path / "again.npz")
    assert status == 0
    assert (tmp_path / "again.npz").read_bytes() == model.read_bytes()
    assert "compiling" not in out.replace("s compiling or loading", "")
    assert ("15/15" in err) == (streams == ">&-")
    assert without(streams, "train", tmp_path / "missing.csv")[:2] == (2, "")


# Checkpoints


def test_the_model_never_overwrites_the_checkpoint_that_it_goes_on_from(tmp_path, data, succeed, fail, monkeypatch):
    run = tmp_path / "run.npz"
    succeed("train", data, *QUICK, "--checkpoint", run, "--out", tmp_path / "model.npz")
    before = run.read_bytes()
    (tmp_path / "link.npz").symlink_to(run)
    os.link(run, tmp_path / "hard.npz")
    monkeypatch.setattr("fastnet.cli.training.sgd.train_sgd", None)
    for resume, out in (("run", "run"), ("run", "link"), ("link", "run"), ("run", "hard")):
        assert "the model would overwrite the checkpoint" in fail(
            "train", data, *QUICK, "--resume", tmp_path / f"{resume}.npz", "--out", tmp_path / f"{out}.npz")
    assert run.read_bytes() == before


def test_training_goes_on_from_a_checkpoint(tmp_path, data, succeed, fail, monkeypatch):
    whole, resumed = tmp_path / "whole.npz", tmp_path / "resumed.npz"
    options = ("train", data, "--optimizer", "sgd", "--hidden", "8", "--batch", "10", "--no-progress", "--force")
    out = succeed(*options, "--epochs", "15", "--out", whole)
    succeed(*options, "--epochs", "6", "--out", resumed, "--checkpoint", tmp_path / "run.npz")
    again = succeed(*options, "--epochs", "15", "--out", resumed, "--resume", tmp_path / "run.npz")
    assert resumed.read_bytes() == whole.read_bytes()
    assert [line for line in again.splitlines() if not line.startswith(("time", "model"))] == [
        line for line in out.splitlines() if not line.startswith(("time", "model"))]
    assert "batch 10, and it is 11" in fail(*options, "--batch", "11", "--resume", tmp_path / "run.npz",
                                            "--out", resumed)
    assert "--epochs must be at least 6" in fail(*options, "--epochs", "5", "--resume", tmp_path / "run.npz")
    assert "it holds 'labelled" in fail(*options, "--resume", whole, "--out", resumed)
    assert "files of their own" in fail(*options, "--checkpoint", resumed, "--out", resumed)
    data.rename(tmp_path / "data.npz")  # no name of a table is one of a checkpoint
    np.savez(tmp_path / "data.npz", X=np.ones((4, 2)), y=np.arange(4) % 2)
    assert "would overwrite the data" in fail(*options[:1], tmp_path / "data.npz", *options[2:], "--checkpoint",
                                              tmp_path / "data.npz", "--out", resumed)


def test_checkpoints_by_the_clock(tmp_path, data, succeed, monkeypatch):
    from fastnet.training import checkpoints

    monkeypatch.setattr("fastnet.cli.training.sgd.CHECKPOINT_SECONDS", 1e-9)
    written = []
    monkeypatch.setattr(checkpoints.Checkpoints, "write", lambda self, so_far: written.append(so_far.iteration))
    succeed("train", data, *QUICK, "--out", tmp_path / "m.npz", "--checkpoint", tmp_path / "run.npz")
    assert written == list(range(1, 16))
