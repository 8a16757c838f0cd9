"""Data in the course's shapes, and the pickles of CIFAR-10, of which nothing is trusted."""

import pickle

import numpy as np
import pytest

from fastnet.cs231n.data_utils import get_CIFAR10_data, get_digits_data, load_CIFAR10, load_CIFAR_batch


def test_digits_are_the_notebooks_data():
    data = get_digits_data()
    assert {name: array.shape for name, array in data.items()} == {
        "X_train": (1400, 1, 8, 8), "y_train": (1400,), "X_val": (397, 1, 8, 8), "y_val": (397,),
        "X_test": (0, 1, 8, 8), "y_test": (0,)}
    np.testing.assert_allclose(data["X_train"].mean(axis=0), 0, atol=1e-12)
    assert np.bincount(data["y_val"]).min() > 25  # each digit is there
    small = get_digits_data(100, 50, subtract_mean=False)
    assert [len(small[name]) for name in ("y_train", "y_val", "y_test")] == [100, 50, 1647]
    assert small["X_train"].min() == 0
    with pytest.raises(ValueError, match="num_validation must be at most 797"):
        get_digits_data(1000, 1000)


def write_folder(folder, images=20, protocol=2):
    """Files as those of CIFAR-10, in the form that its Python version has."""
    generator = np.random.RandomState(0)
    for name in [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]:
        content = {"data": generator.randint(0, 256, (images, 3072)).astype(np.uint8),
                   "labels": generator.randint(0, 10, images).tolist(), "batch_label": name, "filenames": ["a.png"]}
        (folder / name).write_bytes(pickle.dumps(content, protocol))


def test_a_folder_of_cifar10(tmp_path):
    write_folder(tmp_path)
    X, y, X_test, y_test = load_CIFAR10(tmp_path)
    assert (X.shape, y.shape, X_test.shape, y_test.shape) == ((100, 32, 32, 3), (100,), (20, 32, 32, 3), (20,))
    raw = pickle.loads((tmp_path / "data_batch_2").read_bytes())["data"]
    assert X[21, 5, 7, 2] == raw[1, 2 * 1024 + 5 * 32 + 7]
    data = get_CIFAR10_data(70, 20, 10, folder=tmp_path)
    assert [data[f"X_{part}"].shape for part in ("train", "val", "test")] == [
        (70, 3, 32, 32), (20, 3, 32, 32), (10, 3, 32, 32)]
    np.testing.assert_allclose(data["X_train"].mean(axis=0), 0, atol=1e-10)
    np.testing.assert_allclose(data["X_val"][3], (X[73] - X[:70].mean(axis=0)).transpose(2, 0, 1))
    assert np.array_equal(data["y_val"], y[70:90])
    raw = get_CIFAR10_data(70, 20, 10, subtract_mean=False, folder=tmp_path)
    assert np.array_equal(raw["X_test"], X_test[:10].transpose(0, 3, 1, 2))


def test_files_of_python_2_are_read(tmp_path):
    """Their arrays are of a module that NumPy has renamed, and their strings are bytes."""
    write_folder(tmp_path, images=2)
    content = pickle.loads((tmp_path / "test_batch").read_bytes())
    text = pickle.dumps(content, 2).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    (tmp_path / "old").write_bytes(text)
    X, y = load_CIFAR_batch(tmp_path / "old")
    assert np.array_equal(X[1, :, :, 0].ravel(), content["data"][1, :1024])
    assert y.tolist() == content["labels"]


class Evil:
    def __reduce__(self):
        return print, ("executed",)


@pytest.mark.parametrize("content", [
    pickle.dumps({"data": Evil(), "labels": []}), pickle.dumps({"data": np.zeros((2, 3072)), "labels": [0, 1]}),
    pickle.dumps({"data": np.zeros((2, 10), np.uint8), "labels": [0, 1]}), pickle.dumps([1]), b"", b"garbage",
    pickle.dumps({"data": np.zeros((2, 3072), np.uint8), "labels": [0, 10]}),
    pickle.dumps({"data": np.zeros((2, 3072), np.uint8), "labels": [0]}),
    pickle.dumps({"data": np.array([print, print]), "labels": [0, 1]})],
    ids=["code", "floats", "small", "list", "empty", "garbage", "label", "labels", "objects"])
def test_what_is_no_such_file_is_refused(tmp_path, content, capsys):
    (tmp_path / "batch").write_bytes(content)
    with pytest.raises((ValueError, TypeError), match="batch"):
        load_CIFAR_batch(tmp_path / "batch")
    assert "executed" not in capsys.readouterr().out
    with pytest.raises(FileNotFoundError):
        load_CIFAR_batch(tmp_path / "none")
