import os
import subprocess
import sys

import numpy as np
import pytest

import fastnet
from fastnet.files.models import load_model

from .conftest import CENTRES, QUICK, blobs, posix, rows, without, write_csv


def test_probabilities(data, model, succeed):
    header, *probabilities = rows(succeed("predict", model, data, "--proba"))
    assert header == list(CENTRES)
    values = np.array(probabilities, dtype=float)
    assert np.allclose(values.sum(axis=1), 1, rtol=0, atol=1e-6)
    labels = [row[0] for row in rows(succeed("predict", model, data))[1:]]
    assert [header[best] for best in values.argmax(axis=1)] == labels


def test_predict_finds_columns_by_name(tmp_path, data, model, succeed, fail):
    X, names = blobs()
    expected = succeed("predict", model, data)
    other = write_csv(tmp_path / "other.csv", ["id", "x2", "label", "x1"], names, X[:, 1], names, X[:, 0])
    assert succeed("predict", model, other) == expected
    unlabelled = write_csv(tmp_path / "unlabelled.csv", ["x1", "x2"], *X.T)
    assert succeed("predict", model, unlabelled) == expected
    assert succeed("predict", model, write_csv(tmp_path / "kind.csv", ["x1", "kind", "x2"], X[:, 0], names, X[:, 1]),
                   "--label", "kind") == expected
    missing = write_csv(tmp_path / "missing.csv", ["x1", "x3"], *X.T)
    assert "needs 'x2'" in fail("predict", model, missing)


def test_predict_out(tmp_path, data, model, succeed):
    expected = succeed("predict", model, data)
    before = set(os.listdir(tmp_path))
    assert succeed("predict", model, data, "--out", tmp_path / "labels.csv") == ""
    assert (tmp_path / "labels.csv").read_bytes().decode() == expected
    assert set(os.listdir(tmp_path)) == before | {"labels.csv"}


def test_predict_with_a_network_by_itself(tmp_path, data, succeed):
    model = tmp_path / "model.npz"
    succeed("train", data, *QUICK, "--no-standardize", "--out", model)
    stored = load_model(model)
    net = fastnet.TwoLayerNet(*stored.sizes, dtype=np.float32, rng=0)
    net.params.update(stored.params)
    net.save(tmp_path / "net.npz")
    named = succeed("predict", model, data).split()[1:]
    labels = succeed("predict", tmp_path / "net.npz", data).split()[1:]
    assert [str(stored.classes[int(label)]) for label in labels] == named


def test_bad_arguments_of_predict(tmp_path, data, model, fail):
    assert "missing.npz" in fail("predict", tmp_path / "missing.npz", data)
    assert "missing.csv" in fail("predict", model, tmp_path / "missing.csv")
    assert "intact" in fail("predict", data, data)
    assert "no folder" in fail("predict", model, data, "--out", tmp_path / "missing" / "labels.csv")
    (tmp_path / "cut.npz").write_bytes(model.read_bytes()[:-100])
    assert "cut.npz" in fail("predict", tmp_path / "cut.npz", data)
    np.savez(tmp_path / "arrays.npz", X=np.ones((2, 2)))
    assert "not a model" in fail("predict", tmp_path / "arrays.npz", data)
    big = write_csv(tmp_path / "big.csv", ["x1", "x2"], [1e300], [0])
    assert "too large" in fail("predict", model, big)


def test_predictions_never_overwrite_what_they_are_made_of(succeed, fail, tmp_path):
    data, model = tmp_path / "data.csv", tmp_path / "model.npz"
    X, names = blobs()
    write_csv(data, ["x", "y", "label"], *X.T, names)
    succeed("train", data, "--out", model, *QUICK)
    for path in (data, model):
        before = path.read_bytes()
        assert "would overwrite" in fail("predict", model, data, "--out", path)
        assert path.read_bytes() == before


@pytest.mark.skipif(os.name != "posix", reason="pipes break otherwise elsewhere")
def test_a_broken_pipe_is_quiet(data, model):
    command = [sys.executable, "-m", "fastnet", "predict", str(model), str(data), "--proba"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        err = process.stderr.read()
    assert (process.returncode, err) == (141, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no such device")
def test_a_full_disk_is_an_error(data, model):
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with open("/dev/full", "wb") as full:
        process = subprocess.run([sys.executable, "-m", "fastnet", "predict", str(model), str(data)], stdout=full,
                                 stderr=subprocess.PIPE, env=buffered, check=False)
    assert process.returncode == 2
    assert process.stderr.startswith(b"fastnet: error: ")
    assert process.stderr.count(b"\n") == 1


@posix
def test_predict_without_standard_output(tmp_path, data, model, succeed):
    status, _, err = without(">&-", "predict", model, data)
    assert (status, err) == (2, "fastnet: error: there is no standard output to write the predictions to; name a file "
                                "with --out\n")
    assert without(">&- 2>&-", "predict", model, data)[0] == 2
    assert without("<&- >&- 2>&-", "predict", model, data, "--out", tmp_path / "labels.csv")[0] == 0
    assert (tmp_path / "labels.csv").read_text() == succeed("predict", model, data)
