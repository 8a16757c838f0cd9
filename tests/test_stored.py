"""Samples that are read in parts: which they are, what is read, and that the numbers are those of an array."""

import threading

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from fastnet import TwoLayerNet, stored
from fastnet.stored import StoredSamples, in_a_file, is_stored

from .slices import Slices, bytes_of

FLOAT64 = np.dtype(np.float64)


def trained(X, y, X_val, y_val, **options):
    """All that a network is and says after some steps."""
    net = TwoLayerNet(12, 5, 3, std=0.1, rng=1)
    history = net.train(X, y, X_val, y_val, learning_rate=1e-3, num_iters=30, batch_size=20, **options)
    return (history, {name: array.tobytes() for name, array in net.params.items()}, net.predict(X_val).tolist(),
            net.loss(X_val).tobytes(), net.score(X_val, y_val))


def test_training_gives_the_same_bits_as_with_an_array(rng, tmp_path):
    X, y = bytes_of(rng, 100, 12, 3)
    expected = trained(X, y, X[:40], y[:40])
    calls = []
    assert trained(Slices(X), y, Slices(X[:40]), y[:40]) == expected
    assert trained(Slices(X.reshape(100, 3, 4)), y, X[:40], y[:40], callback=lambda *_: calls.append(1)) == expected
    assert len(calls) == 6
    np.save(tmp_path / "X.npy", X)
    assert trained(np.load(tmp_path / "X.npy", mmap_mode="r"), y, X[:40], y[:40]) == expected
    np.save(tmp_path / "half.npy", X.astype(">f2"))  # which compiled code does not read
    half = np.load(tmp_path / "half.npy", mmap_mode="r")
    assert isinstance(stored.samples(half, "X", columns=12, dtype=FLOAT64), StoredSamples)
    assert trained(half, y, half[:40], y[:40]) == expected


def test_a_run_goes_on_from_a_checkpoint(rng, tmp_path):
    X, y = bytes_of(rng, 100, 12, 3)
    options = {"num_iters": 30, "batch_size": 20, "learning_rate": 1e-3}
    whole, first = (TwoLayerNet(12, 5, 3, std=0.1, rng=1) for _ in range(2))
    whole.train(X, y, X, y, **options)
    first.train(Slices(X), y, Slices(X), y, **{**options, "num_iters": 10}, checkpoint=tmp_path / "run.npz")
    second = TwoLayerNet(12, 5, 3, rng=2)
    second.train(Slices(X), y, X, y, **options, resume=tmp_path / "run.npz")
    for name, array in whole.params.items():
        np.testing.assert_array_equal(second.params[name], array)


@pytest.mark.parametrize("kind", ["h5py", "zarr"])
def test_files_of_others(rng, tmp_path, kind):
    module = pytest.importorskip(kind)
    X, y = bytes_of(rng, 100, 12, 3)
    expected = trained(X, y, X[:40], y[:40])
    if kind == "h5py":
        file = module.File(tmp_path / "X.h5", "w")
        arrays = [file.create_dataset("rows", data=X), file.create_dataset("chunks", data=X, chunks=(30, 12),
                                                                           compression="gzip")]
    else:
        arrays = [module.open_array(store=str(tmp_path / "X.zarr"), mode="w", shape=X.shape, chunks=(30, 12),
                                    dtype="u1")]
        arrays[0][:] = X
    for array in arrays:
        assert is_stored(array)
        assert trained(array, y, array, y)[1:3] == trained(X, y, X, y)[1:3]
        assert trained(array, y, X[:40], y[:40]) == expected
    if kind == "h5py":
        file.close()


def test_which_are_known_to_be_stored(tmp_path):
    X = np.zeros((3, 4))
    assert is_stored(Slices(X))
    for other in (X, X[0, 0], X.tolist(), Slices(X[0]), pd.DataFrame(X), sparse.csr_matrix(X), sparse.csr_array(X),
                  memoryview(X), None):
        assert not is_stored(other)
    mapped = np.memmap(tmp_path / "X", np.float32, "w+", shape=(3, 4))
    assert in_a_file(mapped)
    assert in_a_file(np.asarray(mapped)[1:].T)
    assert not in_a_file(X[1:])


def test_what_is_read(rng):
    X = rng.randint(0, 100, (1000, 1 << 14)).astype(np.uint8)  # four samples are near to each other
    given = Slices(X)
    samples = StoredSamples(given, "X", columns=None, dtype=FLOAT64)
    which = np.array([900, 3, 900, 5, 4, 500])
    np.testing.assert_array_equal(samples[which], X[which])
    assert given.asked == [slice(3, 6), slice(500, 501), slice(900, 901)]
    given.asked.clear()
    given.chunks = (600, 1 << 14)  # one read for each chunk, unless that were too much
    samples = StoredSamples(given, "X", columns=None, dtype=FLOAT64)
    np.testing.assert_array_equal(samples[which], X[which])
    assert given.asked == [slice(3, 501), slice(900, 901)]
    some = samples.take(which)
    np.testing.assert_array_equal(some[1:4], X[which[1:4]])
    np.testing.assert_array_equal(some.take(np.array([5, 0]))[:], X[[500, 900]])
    (portion,) = some.portions([np.array([[0, 2, 5], [2, 1, 1]])])
    np.testing.assert_array_equal(portion.X[portion.batches], X[which[[[0, 2, 5], [2, 1, 1]]]])
    assert portion.X.dtype == np.uint8
    assert not np.may_share_memory(portion.X, X)


def test_reading_is_done_by_another_thread_which_ends(rng, monkeypatch):
    monkeypatch.setattr("fastnet.training.session.PORTION_BYTES", 1)  # a step at a time: a single portion has no thread
    X, y = bytes_of(rng, 100, 12, 3)
    readers, before = set(), threading.active_count()

    def note(part):
        readers.add(threading.current_thread())
        return part

    trained(Slices(X, note), y, X[:40], y[:40])
    assert readers - {threading.main_thread()}  # which reads for accuracies
    assert threading.active_count() == before


@pytest.mark.parametrize(("given", "error", "message"), [
    (Slices(np.full((100, 12), np.nan)), ValueError,
     r"X must be finite \(in float64\), got nan at sample \d+, feature 0"),
    (Slices(np.zeros((100, 12)), lambda part: part[:, :3]), ValueError,
     r"X\[\d+:\d+\] must be float64 of shape \(\d+, 12\), as its dtype and shape say, got float64 \(\d+, 3\)"),
    (Slices(np.zeros((100, 12)), lambda part: part.astype("f4")), ValueError, "must be float64 .* got float32"),
    (Slices(np.zeros((100, 11))), ValueError, "X must have 12 features for each sample"),
    (Slices(np.zeros((99, 12))), ValueError, "y must have one label for each sample: expected 99, got 100"),
    (Slices(np.zeros((100, 12), "U1")), TypeError, "X must be an array of real numbers"),
])
def test_what_is_wrong_is_said(given, error, message):
    y = np.zeros(100, int)
    with pytest.raises(error, match=message):
        trained(given, y, np.zeros((40, 12)), y[:40])


def test_what_goes_wrong_while_reading_leaves_whole_steps(rng):
    X, y = bytes_of(rng, 100, 12, 3)
    reads = []

    def fail_late(part):
        reads.append(1)
        if len(reads) > 8:
            raise OSError("the disk is gone")
        return part

    net, same = (TwoLayerNet(12, 5, 3, std=0.1, rng=1) for _ in range(2))
    before, states = net.params["W1"].tobytes(), []
    with pytest.raises(OSError, match="the disk is gone"):
        net.train(Slices(X, fail_late), y, X[:1], y[:1], num_iters=1000, batch_size=100)
    same.train(X, y, X[:1], y[:1], num_iters=20, batch_size=100,
               callback=lambda *_: states.append(same.params["W1"].tobytes()))
    assert before != net.params["W1"].tobytes() in states
