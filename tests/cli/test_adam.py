"""`fastnet train` with Adam, on tables: what is learned, what is said, and how a run goes on."""

import os
import signal
import sys

import numpy as np
import pandas as pd
import pytest

import fastnet
from fastnet.cli import main
from fastnet.cli.training import adam
from fastnet.tables import TableModel

from ..conftest import COMPILED
from .conftest import blobs, rows, write_csv

SMALL = ("--hidden", "4", "--epochs", "8", "--batch", "20", "--rate", "0.03", "--no-progress")


@pytest.fixture(autouse=True)
def python_handles_signals():
    """Python's own handler, which what is run in the background may be born without."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def mixed(samples=90):
    """A table with whatever there can be, and the kind of each row."""
    X, names = blobs(samples)
    random = np.random.RandomState(1)
    frame = pd.DataFrame({"x1": X[:, 0] * 100 + 1e4, "x2": X[:, 1], "hue": random.choice(["red", "blue"], samples),
                          "wild": random.rand(samples) < 0.5, "kind": names})
    frame.loc[::9, "x1"] = None
    frame.loc[::7, "hue"] = None
    return frame


@pytest.fixture
def table(tmp_path):
    mixed().to_csv(tmp_path / "table.csv", index=False)
    return tmp_path / "table.csv"


def test_a_table_with_everything_and_its_model_in_python(tmp_path, table, succeed):
    model = tmp_path / "model.npz"
    out = succeed("train", table, "--label", "kind", *SMALL[:2], "--epochs", "30", *SMALL[4:], "--out", model)
    for words in ("81 for training, 9 for validation, 4 features each, 6 inputs", "classes   3", "epochs    30",
                  "loss ", "accuracy ", "in validation\nclass", "confusion", "compiling"):
        assert words in out
    loaded = fastnet.load(model)
    assert type(loaded) is TableModel
    assert loaded.classes.tolist() == ["ant", "bee", "cow"]
    frame = mixed()
    assert loaded.score(frame, frame["kind"]) > 0.9
    assert loaded.columns.categories == {2: ("", "blue", "red")}
    labels = [row[0] for row in rows(succeed("predict", model, table))[1:]]
    assert labels == loaded.predict(frame).tolist() == loaded.predict(frame.drop(columns="kind")).tolist()
    header, *values = rows(succeed("predict", model, table, "--proba"))
    assert header == ["ant", "bee", "cow"]
    assert np.allclose(np.array(values, float), loaded.predict_proba(frame))
    assert f"accuracy  {loaded.score(frame, frame['kind']):.4f}" in succeed("evaluate", model, table)


@pytest.mark.parametrize("name", ["table.tsv.gz", "table.parquet", "table.npz"])
def test_the_same_from_other_files(tmp_path, succeed, name):
    frame = mixed().drop(columns=["hue", "wild"]).fillna(1e4)
    frame.to_csv(tmp_path / "table.csv", index=False)
    label = ("--label", "kind")
    if name.endswith(".npz"):
        np.savez(tmp_path / name, X=frame[["x1", "x2"]].to_numpy(), y=frame["kind"].to_numpy(str))
        label = ()
    elif name.endswith(".parquet"):
        frame.to_parquet(tmp_path / name)
    else:
        frame.to_csv(tmp_path / name, sep="\t", index=False)
    succeed("train", tmp_path / "table.csv", "--label", "kind", *SMALL, "--out", tmp_path / "a.npz")
    succeed("train", tmp_path / name, *label, *SMALL, "--out", tmp_path / "b.npz")
    a, b = fastnet.load(tmp_path / "a.npz"), fastnet.load(tmp_path / "b.npz")
    assert all((a.params[key] == b.params[key]).all() for key in a.params)


def test_two_classes_weights_and_several_layers(tmp_path, succeed):
    X, names = blobs(120)
    y = np.where(names == "ant", "rare", "frequent")[np.argsort(names != "ant", kind="stable")]
    data = write_csv(tmp_path / "data.csv", ["x", "y", "label"], *X[np.argsort(names != "ant", kind="stable")].T, y)
    succeed("train", data, *SMALL[2:], "--hidden", "5,4", "--class-weight", "balanced", "--early-stopping", "--out",
            tmp_path / "m.npz")
    model = fastnet.load(tmp_path / "m.npz")
    assert (model.output, model.sizes) == ("logistic", (2, 5, 4, 1))
    assert repr(model) == "TableModel(2, 5, 4, 2, float32)"
    succeed("train", data, *SMALL[2:], "--hidden", "5,4", "--early-stopping", "--out", tmp_path / "plain.npz")
    frame = pd.read_csv(data)
    rare = [fastnet.load(tmp_path / name).predict_proba(frame)[:, 1].mean() for name in ("m.npz", "plain.npz")]
    assert rare[0] > rare[1]


@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_regression(tmp_path, succeed, loss):
    random = np.random.RandomState(0)
    X = random.rand(80, 2)
    y = 1000 + 500 * X[:, 0] if loss == "squared_error" else np.exp(2 * X[:, 0])
    data = write_csv(tmp_path / "data.csv", ["a", "b", "price"], *X.T, y)
    options = ("--target", "price", "--loss", loss, "--dtype", "float64", "--epochs", "40")
    out = succeed("train", data, *SMALL, *options, "--out", tmp_path / "m.npz")
    assert "classes" not in out
    assert "R2  " in out
    assert "root mean square" in out
    model = fastnet.load(tmp_path / "m.npz")
    frame = pd.read_csv(data)
    assert model.score(frame, frame["price"]) > 0.8
    header, *values = rows(succeed("predict", tmp_path / "m.npz", data))
    assert header == ["price"]
    assert [float(row[0]) for row in values] == model.predict(frame).tolist()
    assert f"R2        {model.score(frame, frame['price']):.4f}" in succeed("evaluate", tmp_path / "m.npz", data)
    np.savez(tmp_path / "data.npz", X=X, y=y)
    succeed("train", tmp_path / "data.npz", *SMALL, *options[:1], "y", *options[2:], "--out", tmp_path / "n.npz")
    assert np.allclose(fastnet.load(tmp_path / "n.npz").predict(X), model.predict(frame))
    assert "R2  " in succeed("evaluate", tmp_path / "n.npz", tmp_path / "data.npz")


def test_regression_of_targets_that_are_the_same_in_training(tmp_path, succeed, fail):
    data = write_csv(tmp_path / "d.csv", ["a", "t"], [1, 2], [3, 4])
    succeed("train", data, "--target", "t", *SMALL, "--out", tmp_path / "m.npz")
    data = write_csv(tmp_path / "d.csv", ["a", "t"], [1, 2, 3, 4], [1e308, -1e308] * 2)
    assert "targets are too large" in fail("train", data, "--target", "t", *SMALL, "--out", tmp_path / "n.npz")


def test_what_is_remarkable_is_said(tmp_path, run):
    frame = mixed().assign(nr=np.arange(90), remark=[f"r{number}" for number in range(90)])
    frame.loc[0, "kind"] = None
    frame.to_csv(tmp_path / "t.csv", index=False)
    status, _, err = run("train", tmp_path / "t.csv", "--label", "kind", *SMALL, "--out", tmp_path / "m.npz")
    assert status == 0
    for words in ("'nr' looks like an identifier", "--drop 'nr'", "'remark' holds text that is different",
                  "1 rows have no label"):
        assert words in err
    status, out, err = run("predict", tmp_path / "m.npz", write_csv(
        tmp_path / "new.csv", ["x1", "x2", "hue", "wild", "nr"], [1], [2], ["green"], [True], [3]))
    assert status == 0
    assert "column 'hue' holds categories that the training has not seen, or left out: 'green'" in err
    assert len(rows(out)) == 2


def test_no_model_is_replaced_without_force(tmp_path, table, fail, succeed, monkeypatch):
    model = tmp_path / "model.npz"
    model.write_bytes(b"precious")
    assert "--force replaces it" in fail("train", table, "--label", "kind", *SMALL, "--out", model)
    assert "--force replaces it" in fail("train", table, "--optimizer", "sgd", "--out", model)
    assert model.read_bytes() == b"precious"
    succeed("train", table, "--label", "kind", *SMALL, "--force", "--out", model)
    assert fastnet.load(model).classes.tolist() == ["ant", "bee", "cow"]


@pytest.mark.parametrize(("options", "message"), [
    (["--target", "x1"], "--label is for classes and --target for numbers"),
    (["--decay", "0.9"], "--decay is not an option of --optimizer adam"),
    (["--std", "0.9"], "--std is not an option of --optimizer adam"),
    (["--loss", "poisson"], "--loss poisson is for numbers, with --target"),
    (["--loss", "hinge"], "--loss"), (["--hidden", "5,,4"], "--hidden"), (["--hidden", "5,0"], "--hidden"),
    (["--drop", "none"], "no column 'none' for --drop"), (["--separator", "ab"], "--separator"),
    (["--rate", "1e30"], "diverged in epoch"), (["--out", "m.onnx"], "ending .onnx"),
    (["--class-weight", "equal"], "--class-weight"), (["--val-fraction", "0.001"], None),
])
def test_bad_options(tmp_path, table, fail, succeed, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    if message is None:  # one sample is held back at least
        assert "89 for training, 1 for validation" in succeed("train", table, "--label", "kind", *SMALL, *options)
        return
    assert message in fail("train", table, "--label", "kind", *SMALL, *options)
    assert os.listdir(tmp_path) == ["table.csv"]


@pytest.mark.parametrize(("content", "options", "message"), [
    ("a,label\n" + "".join(f"{number},{number / 7}\n" for number in range(50)), [], "holds fractions, which are no"),
    ("a,label\n" + "".join(f"1,n{number}\n" for number in range(50)), [], "different in nearly every row"),
    ("a,b\n1,2\n", [], "no column 'label'; name the column of the labels with --label"),
    ("a label\n1 2\n", [], "is --separator right?"),
    ("label\nx\ny\n", [], "no features"), ("a,label\n1,x\n2,x\n", [], "at least two classes"),
    ("a,label\n1,x\n2,y\n", [], "too few"), ("a,b\n1,q\n2,3\n", ["--target", "b"], "column 'b', row 1: 'q'"),
    ("a,b\n" + "1,-1\n2,3\n" * 5, ["--target", "b", "--loss", "poisson"], "for targets of 0 or more, got -1"),
    ("a,label\n" + "1e39,x\n1,y\n" * 9, ["--no-standardize"], "too large for float32"),
    ("a,label\n" + "1e308,x\n-1e308,y\n" * 9, [], "too large to standardize"),
])
def test_bad_data(tmp_path, fail, content, options, message):
    (tmp_path / "data.csv").write_text(content)
    err = fail("train", tmp_path / "data.csv", *SMALL, *options, "--out", tmp_path / "m.npz")
    assert message in err
    assert os.listdir(tmp_path) == ["data.csv"]


# Without the extra


def test_without_pandas_numbers_are_trained_with_plain_sgd(tmp_path, data, run, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    status, _, err = run("train", data, *SMALL, "--out", tmp_path / "m.npz")
    assert status == 0
    assert err.startswith("fastnet: the extra table is not installed")
    status, out, err = run("predict", tmp_path / "m.npz", data)
    assert (status, err) == (0, "")
    assert len(rows(out)) == 91
    for argv in (("train", data, "--optimizer", "adam", "--out", tmp_path / "n.npz"),
                 ("evaluate", tmp_path / "m.npz", data)):
        status, _, err = run(*argv)
        assert status == 2
        assert 'pip install pandas pyarrow scikit-learn' in err


# Going on


def interrupt_after(monkeypatch, epochs):
    """Have Ctrl-C come in the course of an epoch."""
    taken = []
    epoch = adam._epoch

    def spy(*args):
        epoch(*args)
        taken.append(1)
        if len(taken) == epochs + 1:  # the first is one of the preparation
            os.kill(os.getpid(), signal.SIGINT)
    monkeypatch.setattr(adam, "_epoch", spy)


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
@pytest.mark.parametrize("options", [["--label", "kind"], ["--label", "kind", "--early-stopping"], ["--target", "x2"]])
def test_ctrl_c_writes_a_checkpoint_from_which_the_run_goes_on_to_the_bit(tmp_path, table, run, succeed, monkeypatch,
                                                                       options):
    command = ("train", table, *options, *SMALL)
    whole = succeed(*command, "--out", tmp_path / "whole.npz")
    with monkeypatch.context() as patch:
        interrupt_after(patch, 3)
        status, out, err = run(*command, "--checkpoint", tmp_path / "run.npz", "--out", tmp_path / "m.npz")
    assert (status, out) == (130, "")
    assert f"interrupted after 3 epochs, which are in {tmp_path / 'run.npz'}" in err
    assert f"--resume {tmp_path / 'run.npz'}" in err
    assert not (tmp_path / "m.npz").exists()
    again = succeed(*command, "--resume", tmp_path / "run.npz", "--checkpoint", tmp_path / "run.npz", "--out",
                    tmp_path / "m.npz")
    assert (tmp_path / "m.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()

    def same(text):
        return [line for line in text.splitlines() if not line.startswith(("time", "model"))]
    assert same(again) == same(whole)


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_ctrl_c_without_a_checkpoint(tmp_path, table, run, monkeypatch):
    interrupt_after(monkeypatch, 2)
    status, out, err = run("train", table, "--label", "kind", *SMALL, "--out", tmp_path / "m.npz")
    assert (status, out, err.strip()) == (130, "", "fastnet: interrupted")
    assert os.listdir(tmp_path) == ["table.csv"]


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_ctrl_c_of_plain_sgd(tmp_path, data, run, succeed, monkeypatch):
    command = ("train", data, "--optimizer", "sgd", *SMALL)
    succeed(*command, "--out", tmp_path / "whole.npz")
    train, taken = fastnet.TwoLayerNet.train, []

    def spy(self, *args, **options):
        taken.append(1)
        if len(taken) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return train(self, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(fastnet.TwoLayerNet, "train", spy)
        status, _, err = run(*command, "--checkpoint", tmp_path / "run.npz", "--out", tmp_path / "m.npz")
    assert status == 130
    assert "interrupted after 3 epochs" in err
    succeed(*command, "--resume", tmp_path / "run.npz", "--out", tmp_path / "m.npz")
    assert (tmp_path / "m.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_without_a_file_to_go_on_from_the_training_starts_anew(tmp_path, data, run, succeed, optimizer):
    command = ("train", data, "--optimizer", optimizer, *SMALL)
    succeed(*command, "--out", tmp_path / "a.npz")
    run_file = tmp_path / "run.npz"
    status, _, err = run(*command, "--resume", run_file, "--checkpoint", run_file, "--out", tmp_path / "b.npz")
    assert status == 0
    assert err == f"fastnet: there is no {run_file} to go on from: the training starts anew\n"
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert run_file.exists()


def test_checkpoints_of_another_run(tmp_path, table, succeed, fail):
    run_file, command = tmp_path / "run.npz", ("train", table, "--label", "kind", *SMALL)
    succeed(*command, "--checkpoint", run_file, "--out", tmp_path / "m.npz")
    for options, message in ((["--rate", "0.02"], "rate 0.03, and it is 0.02"), (["--hidden", "5"], "hidden [4]"),
                             (["--seed", "1"], "seed 0"), (["--early-stopping"], "early_stopping False"),
                             (["--epochs", "7"], "--epochs must be at least 8"), (["--drop", "x2"], "other data")):
        assert message in fail(*command, *options, "--resume", run_file, "--out", tmp_path / "n.npz")
    assert "it holds 'table model'" in fail(*command, "--resume", tmp_path / "m.npz", "--out", tmp_path / "n.npz")
    assert not (tmp_path / "n.npz").exists()


def test_checkpoints_by_the_clock(tmp_path, table, succeed, monkeypatch):
    monkeypatch.setattr(adam, "CHECKPOINT_SECONDS", 0.0)
    written = []
    monkeypatch.setattr(adam, "write_run", lambda path, run, estimator, history, best: written.append(
        len(history["loss"])))
    succeed("train", table, "--label", "kind", *SMALL, "--checkpoint", tmp_path / "run.npz", "--out",
            tmp_path / "m.npz")
    assert written == list(range(1, 9))


def test_training_ends_when_nothing_improves(tmp_path, data, succeed):
    out = succeed("train", data, *SMALL[:2], *SMALL[4:], "--epochs", "300", "--patience", "2", "--rate", "0.3",
                  "--early-stopping", "--out", tmp_path / "m.npz")
    line = next(line for line in out.splitlines() if line.startswith("epochs"))
    assert "no more progress" in line
    assert int(line.split()[1]) < 300
    assert int(line.split()[-1]) <= int(line.split()[1])


@pytest.mark.skipif(not COMPILED, reason="two hundred epochs take a minute uncompiled")
@pytest.mark.parametrize("name", ["iris", "wine"])
def test_defaults_learn_common_tables(tmp_path, succeed, name):
    datasets = pytest.importorskip("sklearn.datasets")
    frame = getattr(datasets, f"load_{name}")(as_frame=True).frame
    frame.to_csv(tmp_path / "t.csv", index=False)
    succeed("train", tmp_path / "t.csv", "--label", "target", "--no-progress", "--out", tmp_path / "m.npz")
    assert fastnet.load(tmp_path / "m.npz").score(frame, frame["target"]) > 0.93


def test_a_bug_is_not_dressed_up(table, tmp_path, monkeypatch):
    def stumble(*args):
        raise TypeError("a bug")

    monkeypatch.setattr(adam, "fit", stumble)
    with pytest.raises(TypeError, match="a bug"):
        main(["train", str(table), "--label", "kind", *SMALL, "--out", str(tmp_path / "m.npz")])
