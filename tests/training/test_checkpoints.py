"""A run that is interrupted, killed or crashed, and goes on from its checkpoint, gives what it would have given."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import fastnet
from fastnet import TwoLayerNet
from fastnet.datasets import load_digits
from fastnet.training import pace

from ..conftest import COMPILED, compiled_only

ITERATIONS = 60
RNGS = {"global": lambda: None, "RandomState": lambda: np.random.RandomState(3),
        "Generator": lambda: np.random.default_rng(3)}


def data(dtype=np.float64):
    X, y = load_digits()
    return X[:300, :20].astype(dtype), y[:300], X[300:340, :20].astype(dtype), y[300:340]


def make_net(rng=None, dtype=np.float64, **params):
    np.random.seed(5)
    net = TwoLayerNet(20, 7, 10, std=0.1, dtype=dtype, rng=rng)
    net.params.update(params)
    return net


def train(net, num_iters=ITERATIONS, **options):
    return net.train(*data(net.dtype), num_iters=num_iters,
                     **{"batch_size": 20, "learning_rate": 0.3, "reg": 0.01, **options})


def assert_same(net, history, other, other_history):
    assert history == other_history
    for name, array in net.params.items():
        assert array.dtype == other.params[name].dtype
        assert array.tobytes() == other.params[name].tobytes(), name


@pytest.mark.parametrize(("file", "dtype"), [
    ("run.safetensors", np.float32), *compiled_only([("run.npz", np.float64)])])
@pytest.mark.parametrize("rng", RNGS)
@pytest.mark.parametrize("first", [1, 15, 23, 59] if COMPILED else [23])
def test_goes_on_bit_for_bit(tmp_path, file, dtype, rng, first):
    whole = make_net(RNGS[rng](), dtype)
    history = train(whole)
    expected = (np.random if whole._rng is None else whole._rng).standard_normal()
    train(make_net(RNGS[rng](), dtype), first, checkpoint=tmp_path / file, checkpoint_every=10)
    np.random.seed(99)
    resumed = TwoLayerNet(20, 7, 10, dtype=dtype, rng=RNGS[rng]())
    arrays = dict(resumed.params)
    assert_same(resumed, train(resumed, resume=tmp_path / file), whole, history)
    assert all(resumed.params[name] is array for name, array in arrays.items())  # the user's arrays, as ever
    assert (np.random if whole._rng is None else resumed._rng).standard_normal() == expected


@pytest.mark.parametrize("params", [
    lambda: {"W1": np.asfortranarray(make_net().params["W1"]), "b1": np.zeros((1, 7))},
    lambda: {"W2": make_net().params["W2"].astype(np.float16)},
], ids=["Fortran order", "float16"])
def test_parameters_that_are_not_trained_in_place(tmp_path, params):
    whole = make_net(**params())
    history = train(whole)
    train(make_net(**params()), 30, checkpoint=tmp_path / "run.npz")
    resumed = make_net(**params())
    assert_same(resumed, train(resumed, resume=tmp_path / "run.npz"), whole, history)


@pytest.mark.parametrize("every", [7, 1e-9, *compiled_only([1, 15, 1000, 1e9])])
def test_how_often(tmp_path, monkeypatch, every):
    monkeypatch.setattr(pace, "FIRST_WORK", 1)  # more than one run of steps
    written = []
    real = fastnet.training.checkpoints.Checkpoints.write
    monkeypatch.setattr("fastnet.training.checkpoints.Checkpoints.write",
                        lambda self, progress: (written.append(progress.iteration), real(self, progress)))
    plain = make_net()
    history = train(plain)
    net = make_net()
    assert_same(net, train(net, checkpoint=tmp_path / "run.npz", checkpoint_every=every), plain, history)
    if isinstance(every, int):
        assert set(written) == {*range(every, ITERATIONS, every), ITERATIONS}
    else:
        assert written[-1] == ITERATIONS
        assert (len(written) > 1) == (every < 1)


def test_a_finished_or_stopped_run_is_over(tmp_path):
    net = make_net()
    history = train(net, checkpoint=tmp_path / "run.npz")
    again = TwoLayerNet(20, 7, 10)
    assert_same(again, train(again, resume=tmp_path / "run.npz"), net, history)
    whole = make_net()
    expected = train(whole, 80)
    longer = TwoLayerNet(20, 7, 10)
    assert_same(longer, train(longer, 80, resume=tmp_path / "run.npz"), whole, expected)
    with pytest.raises(ValueError, match="num_iters must be at least 60"):
        train(make_net(), 59, resume=tmp_path / "run.npz")
    stopped = make_net()
    history = train(stopped, checkpoint=tmp_path / "run.npz", callback=lambda it, _: it == 30)
    assert len(history["loss_history"]) == 31
    again = TwoLayerNet(20, 7, 10)
    assert_same(again, train(again, resume=tmp_path / "run.npz"), stopped, history)


def test_a_crash_in_a_callback(tmp_path):
    def fail(iteration, history):
        if iteration == 45:
            raise OSError("no more")

    net = make_net()
    with pytest.raises(OSError, match="no more"):
        train(net, checkpoint=tmp_path / "run.npz", checkpoint_every=8, callback=fail)
    resumed = make_net()
    history = train(resumed, resume=tmp_path / "run.npz")
    whole = make_net()
    assert_same(resumed, history, whole, train(whole))


def test_ctrl_c_writes_a_checkpoint(tmp_path, monkeypatch):
    whole = make_net()
    expected = train(whole)
    runs = []
    real = pace.Pace.learn

    def press(self, seconds, steps):
        runs.append(steps)
        if len(runs) == 4:
            signal.raise_signal(signal.SIGINT)
        return real(self, seconds, steps)

    monkeypatch.setattr(pace.Pace, "learn", press)
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            train(make_net(), checkpoint=tmp_path / "run.npz", checkpoint_every=7)
    finally:
        signal.signal(signal.SIGINT, previous)
    resumed = TwoLayerNet(20, 7, 10)
    assert_same(resumed, train(resumed, resume=tmp_path / "run.npz"), whole, expected)


# Other runs, and files that are no checkpoints


@pytest.mark.parametrize(("change", "message"), [
    ({"learning_rate": 0.2}, "learning_rate 0.3, and it is 0.2 now"),
    ({"learning_rate_decay": 0.5}, "learning_rate_decay"),
    ({"reg": 0.02}, "l2 0.02"),
    ({"batch_size": 21}, "batch_size 20"),
])
def test_a_checkpoint_of_another_run(tmp_path, change, message):
    path = tmp_path / "run.npz"
    train(make_net(), 5, checkpoint=path)
    net = make_net()
    before, state = {name: array.copy() for name, array in net.params.items()}, np.random.get_state()[1].copy()
    with pytest.raises(ValueError, match=rf"run\.npz is not a checkpoint of this run.*{message}"):
        train(net, resume=path, **change)
    X, y, X_val, y_val = data()
    for arrays in ((X + 1, y, X_val, y_val), (X, y[::-1], X_val, y_val), (X, y, X_val[:-1], y_val[:-1])):
        with pytest.raises(ValueError, match="other data"):
            net.train(*arrays, num_iters=9, batch_size=20, learning_rate=0.3, reg=0.01, resume=path)
    with pytest.raises(ValueError, match="dtype"):
        train(TwoLayerNet(20, 7, 10, rng=0, dtype=np.float32), resume=path)
    with pytest.raises(ValueError, match="W1 must have the shape"):
        train(TwoLayerNet(20, 8, 10, rng=0), resume=path)
    with pytest.raises(ValueError, match="RandomState"):
        train(TwoLayerNet(20, 7, 10, rng=np.random.default_rng(0)), resume=path)
    with pytest.raises(FileNotFoundError):
        train(net, resume=tmp_path / "missing.npz")
    net.save(tmp_path / "net.npz")
    with pytest.raises(ValueError, match="holds 'TwoLayerNet'"):
        train(net, resume=tmp_path / "net.npz")
    assert all((net.params[name] == array).all() for name, array in before.items())
    assert (np.random.get_state()[1] == state).all()


def test_bad_arguments(tmp_path):
    for every in (0, -1, 0.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="checkpoint_every must be above 0"):
            train(make_net(), checkpoint=tmp_path / "run.npz", checkpoint_every=every)
    for every in (True, "1", None, [1]):
        with pytest.raises(TypeError, match="checkpoint_every must be a number"):
            train(make_net(), checkpoint=tmp_path / "run.npz", checkpoint_every=every)
    with pytest.raises(FileNotFoundError, match="no folder"):
        train(make_net(), checkpoint=tmp_path / "missing" / "run.npz")
    assert os.listdir(tmp_path) == []


CHANGES = [
    (lambda fields: fields.update(iteration=-1), "iteration"),
    (lambda fields: fields.update(iteration=6), "loss_history"),
    (lambda fields: fields.update(iteration=2**63), "iteration"),
    (lambda fields: fields.update(iteration=5.0), "iteration"),
    (lambda fields: fields.update(learning_rate="x"), "learning_rate"),
    (lambda fields: fields.update(learning_rate=float("nan")), "learning_rate"),
    (lambda fields: fields.update(stopped=0), "stopped"),
    (lambda fields: fields.update(run=[]), "made of"),
    (lambda fields: fields["run"].pop("data"), "made of"),
    (lambda fields: fields["run"].update(batch_size=20.0), "batch_size"),
    (lambda fields: fields.update(rng=None), "generator"),
    (lambda fields: fields["rng"]["state"]["state"].update(pos=625), "pos"),
    (lambda fields: fields["rng"]["state"]["state"].update(key=[0] * 624), "all zeros"),
    (lambda fields: fields["rng"].update(generator="Generator"), "Generator"),
    (lambda fields: fields.pop("rng"), "lacks rng"),
    (lambda fields: fields.update(more=1), "more"),
]


@pytest.mark.parametrize("number", range(len(CHANGES)))
def test_descriptions_of_no_run(tmp_path, number):
    change, message = CHANGES[number]
    train(make_net(), 5, checkpoint=tmp_path / "run.npz")
    arrays = dict(np.load(tmp_path / "run.npz"))
    fields = json.loads(arrays["fastnet"].tobytes())
    change(fields)
    arrays["fastnet"] = np.frombuffer(json.dumps(fields).encode(), np.uint8)
    np.savez(tmp_path / "run.npz", **arrays)
    with pytest.raises(ValueError, match=rf"run\.npz.*{message}"):
        train(make_net(), resume=tmp_path / "run.npz")


# Divergence


@pytest.mark.parametrize("in_place", [True, False])
def test_divergence_is_told_with_its_iteration(in_place):
    net = make_net()
    if not in_place:
        net.params["W1"] = np.asfortranarray(net.params["W1"])
    with pytest.warns(fastnet.DivergenceWarning, match="at iteration") as caught, np.errstate(all="ignore"):
        history = train(net, learning_rate=1e200)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    bad = int(np.flatnonzero(~np.isfinite(history["loss_history"]))[0])
    assert f"at iteration {bad};" in str(caught[0].message)
    assert len(history["loss_history"]) == ITERATIONS


def test_divergence_in_the_last_step():
    net = make_net()
    with pytest.warns(fastnet.DivergenceWarning, match="last step"), np.errstate(all="ignore"):
        history = train(net, 1, learning_rate=1e308, reg=1e10)
    assert np.isfinite(history["loss_history"]).all()


# Killed at any moment


KILLED = """
import sys
import numpy as np
from fastnet import TwoLayerNet
from fastnet.datasets import load_digits
path, every, resume = sys.argv[1], eval(sys.argv[2]), sys.argv[3] == "resume"
X, y = load_digits()
np.random.seed(11)
net = TwoLayerNet(64, 100, 10, std=0.1)
print("ready", flush=True)
net.train(X[:1500], y[:1500], X[1500:], y[1500:], num_iters=int(sys.argv[4]), batch_size=100, learning_rate=0.2,
          checkpoint=path, checkpoint_every=every, resume=path if resume else None)
net.save(path + ".result.npz")
"""


def run_and_kill(path, iterations, every, random, most_seconds):
    """Start the run, or go on with it, kill it at a random moment; return whether it had ended."""
    resume = "resume" if path.exists() else "begin"
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", KILLED, str(path), repr(every), resume, str(iterations)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n", process.stderr.read()
    try:
        process.wait(random.uniform(0, most_seconds))
    except subprocess.TimeoutExpired:
        process.kill()
    _, errors = process.communicate(timeout=60)
    assert process.returncode in (0, -9), errors
    return process.returncode == 0


def check_kills(folder, kills, seed, iterations=3000, every=0.002):
    """Kill a run so many times, and begin another one when it is through; return how many ended and were right."""
    folder.mkdir(exist_ok=True)
    random, done, right, expected = np.random.RandomState(seed), 0, 0, None
    reference = folder / "whole.npz"
    while not run_and_kill(reference, iterations, 1e9, random, 600):
        pass
    expected = (folder / "whole.npz.result.npz").read_bytes()
    path = folder / "run.npz"
    while done < kills:
        if run_and_kill(path, iterations, every, random, 0.4):
            assert (folder / "run.npz.result.npz").read_bytes() == expected
            path.unlink()
            right += 1
        else:
            done += 1
    while not run_and_kill(path, iterations, every, random, 600):
        pass
    assert (folder / "run.npz.result.npz").read_bytes() == expected
    return right + 1


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL") or not COMPILED, reason="no SIGKILL, or too slow for it")
def test_killed_at_random_moments(tmp_path):
    seed = int(time.time())
    print(f"seed {seed}")
    assert check_kills(tmp_path / "kills", 4, seed) >= 1


if __name__ == "__main__":  # python -m tests.test_checkpoints FOLDER KILLS [SEED]
    from pathlib import Path

    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 0
    print(check_kills(Path(sys.argv[1]), int(sys.argv[2]), seed), "runs ended, all right")
