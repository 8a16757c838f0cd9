import os
import subprocess
import sys

import pytest

import fastnet
from fastnet.cli import main

from .conftest import blobs, posix, write_csv


def test_help(capsys):
    for argv in (["--help"], ["train", "-h"], ["evaluate", "-h"], ["predict", "-h"], ["demo", "-h"], ["info", "-h"],
                 ["warmup", "-h"]):
        with pytest.raises(SystemExit) as caught:
            main(argv)
        assert caught.value.code == 0
        assert "usage: fastnet" in capsys.readouterr().out


@pytest.mark.parametrize("argv", ["--help", "--version", "train --help", "predict --help", "train --rate none",
                                  "warmup --dtype int"])
def test_help_does_not_wait_for_numba(run_python, argv):
    script = ("import sys\nfrom fastnet.cli import main\ntry:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
              "print([name for name in ('numba', 'numpy') if name in sys.modules])")
    assert run_python(script, *argv.split()).splitlines()[-1] == "[]"


def test_no_arguments_print_help(run):
    status, out, err = run()
    assert status == 2
    assert "train" in out
    assert err == ""


def test_version_as_a_process():
    done = subprocess.run([sys.executable, "-m", "fastnet", "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, f"fastnet {fastnet.__version__}", "")


@pytest.mark.parametrize("argv", [["learn"], ["train"], ["predict", "model.npz"], ["info", "more"], ["--what"]])
def test_bad_command_lines(fail, argv):
    assert "--help" in fail(*argv)


def test_ctrl_c(tmp_path, data, run, monkeypatch):
    def interrupt(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(fastnet.TwoLayerNet, "train", interrupt)
    monkeypatch.setattr(fastnet, "warmup", lambda dtype: 0.0)
    status, out, err = run("train", data, "--optimizer", "sgd", "--no-progress", "--out", tmp_path / "model")
    assert (status, out, err.strip()) == (130, "", "fastnet: interrupted")
    assert os.listdir(tmp_path) == ["data.csv"]


def test_a_bug_is_not_dressed_up_as_an_error_of_the_user(tmp_path, data, monkeypatch):
    def stumble(*args, **options):
        raise TypeError("a bug")

    monkeypatch.setattr(fastnet.TwoLayerNet, "train", stumble)
    monkeypatch.setattr(fastnet, "warmup", lambda dtype: 0.0)
    with pytest.raises(TypeError, match="a bug"):
        main(["train", str(data), "--optimizer", "sgd", "--no-progress", "--out", str(tmp_path / "model")])


def test_more_than_memory_holds(fail, tmp_path, monkeypatch):
    def greedy(*_):
        raise MemoryError

    monkeypatch.setattr("fastnet.cli.training.sgd.train_sgd", greedy)
    X, names = blobs()
    data = write_csv(tmp_path / "data.csv", ["x", "y", "label"], *X.T, names)
    assert "not enough memory" in fail("train", data, "--optimizer", "sgd", "--out", tmp_path / "model.npz")


@posix
def test_no_file_takes_the_place_of_a_closed_stream(tmp_path):
    script = ("import sys; from fastnet.cli import main; main(['--no-such-option'])\n"
              "with open(sys.argv[1], 'w') as file: file.write(str(file.fileno()))")
    subprocess.run(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-c", script, tmp_path / "number"],
                   check=True)
    assert int((tmp_path / "number").read_text()) > 2


def test_errors_go_nowhere_where_there_is_no_standard_error(capsys, monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    status = main(["learn"])
    monkeypatch.undo()
    assert (status, capsys.readouterr()) == (2, ("", ""))
