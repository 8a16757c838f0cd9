"""What the tests of the command line share: ways to run it, and data."""

import csv
import io
import os
import subprocess
import sys

import numpy as np
import pytest

import fastnet
from fastnet.cli import main

CENTRES = {"ant": (0, 0), "bee": (3, 0), "cow": (0, 3)}
QUICK = ("--optimizer", "sgd", "--hidden", "8", "--epochs", "15", "--batch", "10", "--no-progress")


@pytest.fixture(autouse=True)
def _same_threads_afterwards():
    before = fastnet.get_num_threads()
    yield
    fastnet.set_num_threads(before)


@pytest.fixture
def run(capsys):
    def run_main(*argv):
        """Return exit status, standard output and standard error."""
        status = main([str(word) for word in argv])
        return status, *capsys.readouterr()
    return run_main


@pytest.fixture
def succeed(run):
    def run_well(*argv):
        """Return standard output of a command that must succeed quietly."""
        status, out, err = run(*argv)
        assert (status, err) == (0, "")
        return out
    return run_well


@pytest.fixture
def fail(run):
    def run_badly(*argv):
        """Return the message of a command that must fail in one line."""
        status, out, err = run(*argv)
        assert (status, out) == (2, "")
        assert err.startswith("fastnet: error: ")
        assert err.count("\n") == 1
        assert err.endswith("\n")
        return err
    return run_badly


def blobs(samples=90, scale=1.0, offset=0.0):
    """Three clouds of points that hardly overlap, and their names."""
    random = np.random.RandomState(3)
    names = np.array(list(CENTRES))[np.arange(samples) % 3]
    X = np.array([CENTRES[name] for name in names]) + 0.4 * random.randn(samples, 2)
    return X * scale + offset, names


def write_csv(path, header, *columns):
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(zip(*columns, strict=True))
    return path


@pytest.fixture
def data(tmp_path):
    X, names = blobs()
    return write_csv(tmp_path / "data.csv", ["x1", "x2", "label"], *X.T, names)


@pytest.fixture
def model(tmp_path, data, succeed):
    path = tmp_path / "model.npz"
    succeed("train", data, *QUICK, "--out", path)
    return path


def rows(text):
    return list(csv.reader(io.StringIO(text)))


posix = pytest.mark.skipif(os.name != "posix", reason="the shell is POSIX's")


def without(streams, *argv):
    """Run the command line with some standard streams closed; return status, standard output and standard error."""
    process = subprocess.run(["sh", "-c", f'exec "$@" {streams}', "sh", sys.executable, "-m", "fastnet",
                              *map(str, argv)], capture_output=True, text=True, check=False)
    return process.returncode, process.stdout, process.stderr
