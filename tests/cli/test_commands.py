import csv
import io
import os
import subprocess
import sys

import numpy as np
import pytest

import fastnet
from fastnet import reference
from fastnet.cli import main
from fastnet.files.models import load_model

from ..conftest import COMPILED

CENTRES = {"ant": (0, 0), "bee": (3, 0), "cow": (0, 3)}
QUICK = ("--hidden", "8", "--epochs", "15", "--batch", "10", "--no-progress")


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


# train and predict


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


def test_probabilities(data, model, succeed):
    header, *probabilities = rows(succeed("predict", model, data, "--proba"))
    assert header == list(CENTRES)
    values = np.array(probabilities, dtype=float)
    assert np.allclose(values.sum(axis=1), 1, rtol=0, atol=1e-6)
    labels = [row[0] for row in rows(succeed("predict", model, data))[1:]]
    assert [header[best] for best in values.argmax(axis=1)] == labels


def test_the_same_seed_gives_the_same_file(tmp_path, data, succeed):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        succeed("train", data, *QUICK, "--seed", seed, "--out", tmp_path / name)
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b
    assert a != c


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
        succeed("train", tmp_path / f"data.{suffix}", *QUICK, "--out", tmp_path / "model")
        assert succeed("predict", tmp_path / "model", tmp_path / "data.npz", "--proba").startswith("-1,9,10\n")


def test_predict_out(tmp_path, data, model, succeed):
    expected = succeed("predict", model, data)
    before = set(os.listdir(tmp_path))
    assert succeed("predict", model, data, "--out", tmp_path / "labels.csv") == ""
    assert (tmp_path / "labels.csv").read_bytes().decode() == expected
    assert set(os.listdir(tmp_path)) == before | {"labels.csv"}


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
    succeed("train", data, "--epochs", "3", "--batch", "10", "--rate", "0.5", "--decay", "0.5", "--val-fraction", "0.1",
            "--hidden", "2", "--no-progress", "--out", tmp_path / "model")
    assert calls == [(81, 9, 9, 0.5), (81, 9, 9, 0.25), (81, 9, 9, 0.125)]


@pytest.mark.skipif(not COMPILED, reason="two thousand iterations take half a minute uncompiled")
def test_defaults_learn_the_digits(tmp_path, succeed):
    from fastnet.datasets import load_digits
    X, y = load_digits()
    X = X[:600]
    y = y[:600]
    for name, scale, options in (("raw", 16, ()), ("standardized", 16, ("--standardize",))):
        np.savez(tmp_path / "digits.npz", X=X * scale, y=y)
        summary = succeed("train", tmp_path / "digits.npz", "--no-progress", "--out", tmp_path / name, *options)
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
    (["--rate", "1e30"], "diverged in epoch 2: lower --rate or use --standardize"),
    (["--rate", "1e30", "--standardize"], "diverged in epoch 2: lower --rate"),
    (["--out", "missing/model.npz"], "there is no folder"),
    (["--out", "."], "not a regular file"),
    (["--out", "data.csv"], "overwrite the data"),
])
def test_bad_options_of_train(tmp_path, data, fail, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    before = data.read_bytes()
    assert message in fail("train", "data.csv", "--no-progress", "--epochs", "2", "--hidden", "2", *options)
    assert os.listdir(tmp_path) == ["data.csv"]
    assert data.read_bytes() == before


@pytest.mark.parametrize(("content", "message"), [
    (None, "data.csv: No such file or directory"),
    ("", "is empty"),
    ("x,label\n1,a\n", "at least two classes"),
    ("x,label\n1,a\nb,a\n", "line 3, column 'x': 'b' is not a number"),
    ("x,label\n1e39,a\n1,b\n2,a\n3,b\n", "too large for float32"),
])
def test_bad_data(tmp_path, fail, content, message):
    if content is not None:
        (tmp_path / "data.csv").write_text(content)
    assert message in fail("train", tmp_path / "data.csv", "--no-progress", "--out", tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_features_too_large_to_standardize(tmp_path, fail):
    data = write_csv(tmp_path / "data.csv", ["x", "label"], [1e308, -1e308, 1e308, -1e308], "abab")
    assert "too large to standardize" in fail("train", data, "--standardize", "--out", tmp_path / "model")


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


@pytest.mark.parametrize("argv", [["learn"], ["train"], ["predict", "model.npz"], ["info", "more"], ["--what"]])
def test_bad_command_lines(fail, argv):
    assert "--help" in fail(*argv)


def test_ctrl_c(tmp_path, data, run, monkeypatch):
    def interrupt(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(fastnet.TwoLayerNet, "train", interrupt)
    monkeypatch.setattr(fastnet, "warmup", lambda dtype: 0.0)
    status, out, err = run("train", data, "--no-progress", "--out", tmp_path / "model")
    assert (status, out, err.strip()) == (130, "", "fastnet: interrupted")
    assert os.listdir(tmp_path) == ["data.csv"]


def test_a_bug_is_not_dressed_up_as_an_error_of_the_user(tmp_path, data, monkeypatch):
    def stumble(*args, **options):
        raise TypeError("a bug")

    monkeypatch.setattr(fastnet.TwoLayerNet, "train", stumble)
    monkeypatch.setattr(fastnet, "warmup", lambda dtype: 0.0)
    with pytest.raises(TypeError, match="a bug"):
        main(["train", str(data), "--no-progress", "--out", str(tmp_path / "model")])


# demo


def check_demo(out, iterations):
    """Check what the demo printed; return the accuracies and the difference of the losses."""
    assert f"{iterations} minibatches of 200" in out
    table = {line[:22].strip(): line[22:].split() for line in out.splitlines()}
    assert set(table) >= {"final loss", "time per iteration", "training", "compiling or loading"}
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


def test_demo_without_extras(tmp_path, run, monkeypatch):
    for name in ("matplotlib", "tqdm"):
        monkeypatch.setitem(sys.modules, name, None)
    status, out, err = run("demo", "--iterations", "5", "--dtype", "float32", "--out", tmp_path / "pictures")
    assert status == 0
    _, difference = check_demo(out, 5)
    assert difference < 1e-5
    assert 'pip install "fastnet[plot]"' in out
    assert err.count("5/5") == 2
    assert not (tmp_path / "pictures").exists()


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


# info, help, version


def test_info(succeed):
    out = succeed("info")
    names = [line.split()[0] for line in out.splitlines()]
    assert names == ["fastnet", "python", "numpy", "numba", "llvmlite", "processor", "vectors", "tiles", "threads",
                     "cache"]
    assert fastnet.__version__ in out
    assert np.__version__ in out


def test_help(capsys):
    for argv in (["--help"], ["train", "-h"], ["predict", "-h"], ["demo", "-h"], ["info", "-h"]):
        with pytest.raises(SystemExit) as caught:
            main(argv)
        assert caught.value.code == 0
        assert "usage: fastnet" in capsys.readouterr().out


def test_no_arguments_print_help(run):
    status, out, err = run()
    assert status == 2
    assert "train" in out
    assert err == ""


def command(*argv, **options):
    return subprocess.Popen([sys.executable, "-m", "fastnet", *map(str, argv)], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, **options)


def test_version_as_a_process():
    with command("--version") as process:
        out, err = process.communicate()
    assert (process.returncode, out.decode().strip(), err) == (0, f"fastnet {fastnet.__version__}", b"")


@pytest.mark.skipif(os.name != "posix", reason="pipes break otherwise elsewhere")
def test_a_broken_pipe_is_quiet(data, model):
    with command("predict", model, data, "--proba") as process:
        process.stdout.close()
        err = process.stderr.read()
    assert (process.returncode, err) == (141, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no such device")
def test_a_full_disk_is_an_error(data, model):
    with open("/dev/full", "wb") as full:
        process = subprocess.run([sys.executable, "-m", "fastnet", "predict", str(model), str(data)], stdout=full,
                                 stderr=subprocess.PIPE, check=False)
    assert process.returncode == 2
    assert process.stderr.startswith(b"fastnet: error: ")
    assert process.stderr.count(b"\n") == 1


def test_predictions_never_overwrite_what_they_are_made_of(succeed, fail, tmp_path):
    data, model = tmp_path / "data.csv", tmp_path / "model.npz"
    X, names = blobs()
    write_csv(data, ["x", "y", "label"], *X.T, names)
    succeed("train", data, "--out", model, *QUICK)
    for path in (data, model):
        before = path.read_bytes()
        assert "would overwrite" in fail("predict", model, data, "--out", path)
        assert path.read_bytes() == before


def test_more_than_memory_holds(fail, tmp_path, monkeypatch):
    def greedy(*_):
        raise MemoryError

    monkeypatch.setattr("fastnet.cli.commands._fit", greedy)
    X, names = blobs()
    data = write_csv(tmp_path / "data.csv", ["x", "y", "label"], *X.T, names)
    assert "not enough memory" in fail("train", data, "--out", tmp_path / "model.npz")


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
    monkeypatch.setattr("fastnet.cli.commands._fit", None)
    data = tmp_path / "data.csv"
    if callable(content):
        content(data)
    else:
        data.write_text(content)
    assert message in fail("train", data, *QUICK, "--out", tmp_path / "model.npz")
    assert os.listdir(tmp_path) == ["data.csv"]


def test_the_same_in_npz(tmp_path, fail, monkeypatch):
    monkeypatch.setattr("fastnet.cli.commands._fit", None)
    for y, message in ((["a", "b\ud800", "c"], "not Unicode"), (["a", "\0", "b"], "empty label"),
                       (["x" * 2000, *map(str, range(3000))], "too long")):
        np.savez_compressed(tmp_path / "data.npz", X=np.ones((len(y), 1)), y=np.array(y))
        assert message in fail("train", tmp_path / "data.npz", *QUICK, "--out", tmp_path / "model.npz")


def test_names_that_a_model_only_just_keeps(tmp_path, succeed):
    names = ["a\0b", "x" * 1000, *map(str, range(200))]
    data = write_csv(tmp_path / "data.csv", ["\0x", "label"], range(404), names * 2)
    for model in ("model.npz", "model.safetensors"):
        succeed("train", data, *QUICK[:2], "--epochs", "1", "--no-progress", "--out", tmp_path / model)
        assert rows(succeed("predict", tmp_path / model, data, "--proba"))[0] == sorted(names)


def test_a_format_without_its_package_is_refused_before_the_training(tmp_path, data, fail, model, monkeypatch):
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"")
    for name in ("safetensors", "safetensors.numpy"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr("fastnet.cli.commands._fit", None)
    for argv in (("train", data, "--out", file), ("train", data, "--checkpoint", file, "--out", tmp_path / "m.npz"),
                 ("predict", file, data)):
        assert "pip install safetensors" in fail(*argv)


# Closed streams


def without(streams, *argv):
    """Run the command line with some standard streams closed; return status, standard output and standard error."""
    process = subprocess.run(["sh", "-c", f'exec "$@" {streams}', "sh", sys.executable, "-m", "fastnet",
                              *map(str, argv)], capture_output=True, text=True, check=False)
    return process.returncode, process.stdout, process.stderr


posix = pytest.mark.skipif(os.name != "posix", reason="the shell is POSIX's")


@posix
def test_predict_without_standard_output(tmp_path, data, model, succeed):
    status, _, err = without(">&-", "predict", model, data)
    assert (status, err) == (2, "fastnet: error: there is no standard output to write the predictions to; name a file "
                                "with --out\n")
    assert without(">&- 2>&-", "predict", model, data)[0] == 2
    assert without("<&- >&- 2>&-", "predict", model, data, "--out", tmp_path / "labels.csv")[0] == 0
    assert (tmp_path / "labels.csv").read_text() == succeed("predict", model, data)


@posix
@pytest.mark.parametrize("streams", ["2>&-", "<&- >&- 2>&-", ">&-"])
@pytest.mark.parametrize("tqdm", [True, False])
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


# Checkpoints


def test_the_model_never_overwrites_the_checkpoint_that_it_goes_on_from(tmp_path, data, succeed, fail, monkeypatch):
    run = tmp_path / "run.npz"
    succeed("train", data, *QUICK, "--checkpoint", run, "--out", tmp_path / "model.npz")
    before = run.read_bytes()
    (tmp_path / "link.npz").symlink_to(run)
    os.link(run, tmp_path / "hard.npz")
    monkeypatch.setattr("fastnet.cli.commands._fit", None)
    for resume, out in (("run", "run"), ("run", "link"), ("link", "run"), ("run", "hard")):
        assert "the model would overwrite the checkpoint" in fail(
            "train", data, *QUICK, "--resume", tmp_path / f"{resume}.npz", "--out", tmp_path / f"{out}.npz")
    assert run.read_bytes() == before


def test_training_goes_on_from_a_checkpoint(tmp_path, data, succeed, fail, monkeypatch):
    whole, resumed = tmp_path / "whole.npz", tmp_path / "resumed.npz"
    options = ("train", data, "--hidden", "8", "--batch", "10", "--no-progress", "--standardize")
    out = succeed(*options, "--epochs", "15", "--out", whole)
    succeed(*options, "--epochs", "6", "--out", resumed, "--checkpoint", tmp_path / "run.npz")
    again = succeed(*options, "--epochs", "15", "--out", resumed, "--resume", tmp_path / "run.npz")
    assert resumed.read_bytes() == whole.read_bytes()
    assert [line for line in again.splitlines() if not line.startswith(("time", "model"))] == [
        line for line in out.splitlines() if not line.startswith(("time", "model"))]
    assert "batch 10, and it is 11" in fail("train", data, "--hidden", "8", "--batch", "11", "--no-progress",
                                            "--standardize", "--resume", tmp_path / "run.npz", "--out", resumed)
    assert "--epochs must be at least 6" in fail(*options, "--epochs", "5", "--resume", tmp_path / "run.npz")
    assert "it holds 'labelled" in fail(*options, "--resume", whole, "--out", resumed)
    assert "files of their own" in fail(*options, "--checkpoint", resumed, "--out", resumed)
    assert "would overwrite the data" in fail(*options, "--checkpoint", data, "--out", resumed)


def test_checkpoints_by_the_clock(tmp_path, data, succeed, monkeypatch):
    from fastnet.cli import commands
    from fastnet.training import checkpoints

    monkeypatch.setattr(commands, "_CHECKPOINT_SECONDS", 1e-9)
    written = []
    monkeypatch.setattr(checkpoints.Checkpoints, "write", lambda self, so_far: written.append(so_far.iteration))
    succeed("train", data, *QUICK, "--out", tmp_path / "m.npz", "--checkpoint", tmp_path / "run.npz")
    assert written == list(range(1, 16))


def test_predict_with_a_network_by_itself(tmp_path, data, model, succeed):
    stored = load_model(model)
    net = fastnet.TwoLayerNet(*stored.sizes, dtype=np.float32, rng=0)
    net.params.update(stored.params)
    net.save(tmp_path / "net.npz")
    named = succeed("predict", model, data).split()[1:]
    labels = succeed("predict", tmp_path / "net.npz", data).split()[1:]
    assert [str(stored.classes[int(label)]) for label in labels] == named
