import csv
import html.parser
import sys

import numpy as np
import pandas as pd
import pytest

import fastnet

from .conftest import QUICK, write_csv
from .test_adam import SMALL, mixed

pytest.importorskip("matplotlib")


class Page(html.parser.HTMLParser):
    """The tags of a page, and what it would load."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.loads = [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.loads += [value for name, value in attributes if name in ("src", "href")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def check_page(path, pictures):
    page = Page()
    text = path.read_text(encoding="utf-8")
    page.feed(text)
    assert page.open == []
    assert page.tags.count("img") == len(pictures)
    assert all(load.startswith("data:image/png;base64,") for load in page.loads)
    assert "url(" not in text
    for name in pictures:
        assert (path.parent / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    return text


def test_report_of_a_training_and_of_an_evaluation(tmp_path, succeed):
    frame = mixed()
    frame["kind"] = frame["kind"].map({"ant": "<b>$x$", "bee": "bee & co", "cow": "日本"})
    frame.to_csv(tmp_path / "t.csv", index=False)
    folder = tmp_path / "new" / "report"
    out = succeed("train", tmp_path / "t.csv", "--label", "kind", *SMALL, "--out", tmp_path / "m.npz", "--report",
                  folder)
    assert out.splitlines()[-1] == f"report    {folder / 'report.html'}"
    text = check_page(folder / "report.html", ["curves", "confusion", "calibration"])
    assert "&lt;b&gt;$x$" in text
    assert "<b>$x$" not in text
    with open(folder / "history.csv", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["epoch", "loss", "validation_loss", "validation_score"]
    assert [int(row[0]) for row in rows] == list(range(1, 9))
    out = succeed("evaluate", tmp_path / "m.npz", tmp_path / "t.csv", "--report", tmp_path / "again")
    assert "report" in out
    check_page(tmp_path / "again" / "report.html", ["confusion", "calibration"])
    assert not (tmp_path / "again" / "history.csv").exists()


def test_report_of_a_regression(tmp_path, succeed):
    mixed().to_csv(tmp_path / "t.csv", index=False)
    succeed("train", tmp_path / "t.csv", "--target", "x2", *SMALL, "--out", tmp_path / "m.npz", "--report",
            tmp_path / "r")
    assert "R2" in check_page(tmp_path / "r" / "report.html", ["curves", "predictions"])


def test_report_of_plain_sgd(tmp_path, data, succeed):
    succeed("train", data, *QUICK, "--out", tmp_path / "m.npz", "--report", tmp_path / "r")
    check_page(tmp_path / "r" / "report.html", ["curves", "confusion", "calibration"])


def test_what_is_in_the_way_is_told_before_the_training(tmp_path, data, fail, monkeypatch):
    monkeypatch.setattr("fastnet.cli.training.sgd.train_sgd", None)
    (tmp_path / "file").write_text("")
    assert "file" in fail("train", data, *QUICK, "--report", tmp_path / "file", "--out", tmp_path / "m.npz")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert 'pip install matplotlib' in fail("train", data, *QUICK, "--report", tmp_path / "r", "--out",
                                                 tmp_path / "m.npz")
    assert not (tmp_path / "r").exists()


# `fastnet evaluate` itself


def test_evaluate_models_of_every_kind(tmp_path, data, model, succeed, run):
    from fastnet.sklearn import MLPClassifier

    frame = pd.read_csv(data)
    X, y = frame[["x1", "x2"]], frame["label"]
    estimator = MLPClassifier((4,), max_iter=300, learning_rate_init=0.03, random_state=0).fit(X, y)
    estimator.save(tmp_path / "estimator.npz")
    places = y.map({"ant": 0, "bee": 1, "cow": 2})
    net = fastnet.TwoLayerNet(2, 4, 3, std=1, rng=0)
    net.save(tmp_path / "net.npz")
    other = write_csv(tmp_path / "other.csv", ["truth", "x1", "x2"], places, *X.to_numpy().T)
    for file, table, options, score in (
            (model, data, (), fastnet.load(model).score(X, y)), ("estimator.npz", data, (), estimator.score(X, y)),
            ("net.npz", other, ("--label", "truth"), net.score(X, places))):
        out = succeed("evaluate", tmp_path / file, table, *options)
        assert out.startswith("samples   90\n")
        assert f"accuracy  {score:.4f}" in out
        assert "confusion" in out
    np.savez(tmp_path / "data.npz", X=X.to_numpy(), y=y.to_numpy(str))
    assert succeed("evaluate", model, tmp_path / "data.npz") == succeed("evaluate", model, data)


def test_evaluate_what_the_model_does_not_know(tmp_path, data, model, run, fail):
    frame = pd.read_csv(data)
    frame.loc[0, "label"] = "dog"
    frame.loc[1, "label"] = None
    frame.to_csv(tmp_path / "d.csv", index=False)
    status, out, err = run("evaluate", model, tmp_path / "d.csv")
    assert status == 0
    assert "unknown   1 samples are of classes that the model does not know" in out
    assert "1 rows have no label" in err
    assert "no column 'truth'" in fail("evaluate", model, data, "--label", "truth")
    assert "d.csv: none of the labels in y is a class of this model" in fail("evaluate", model, tmp_path / "d.csv",
                                                                            "--label", "x1")
    frame.drop(columns="label").to_csv(tmp_path / "d.csv", index=False)
    assert "there is no column 'label' with the truth" in fail("evaluate", model, tmp_path / "d.csv")
    pd.read_csv(data).drop(columns="x1").to_csv(tmp_path / "d.csv", index=False)
    assert "d.csv: the model needs 'x1'" in fail("evaluate", model, tmp_path / "d.csv")
    assert "d.xlsx: data must be a table" in fail("evaluate", model, tmp_path / "d.xlsx")
