"""The book's Trainer and optimizers against plain NumPy, compiled and in Python.

Source: contracts of the book's public repository (oreilly-japan/deep-learning-from-scratch).
"""

import numpy as np
import pytest

from fastnet.blocks.optimizers import MOMENTUM, Optimizer
from fastnet.dlfs.common import optimizer as optimizers
from fastnet.dlfs.common import trainer as trainer_module
from fastnet.dlfs.common.trainer import Trainer
from fastnet.engine.workspace import Workspace
from fastnet.training.loop import prepare
from tests.dlfs import book
from tests.dlfs.test_networks import CHAPTERS, data, pair

OPTIONS = {"SGD": {"lr": 0.1}, "Momentum": {"lr": 0.05, "momentum": 0.8}, "Nesterov": {"lr": 0.05}, "AdaGrad": {},
           "RMSprop": {"lr": 0.002}, "Adam": {"lr": 0.005, "beta2": 0.99}}


@pytest.fixture
def ways(monkeypatch):
    """Each compiled run of a Trainer, or None."""
    found, looked = [], trainer_module._compiled_steps

    def compiled_steps(trainer):
        found.append(looked(trainer))
        return found[-1]

    monkeypatch.setattr(trainer_module, "_compiled_steps", compiled_steps)
    return found


def run(rng, chapter, name, batch_size=10, labels=False, samples=None, epochs=2, kind=np.float64, verbose=False,
        capsys=None):
    theirs, ours = pair(chapter)
    X, y, one_hot = data(rng, 60)
    X, t = X.astype(kind), y if labels else one_hot
    sets = X[:43], t[:43], X[43:], t[43:]
    np.random.seed(7)
    expected = book.train(theirs, sets[0].astype(float), t[:43], sets[2].astype(float), t[43:], epochs, batch_size,
                          book.Optimizer(name, **OPTIONS[name]), samples, verbose)
    told, draw = capsys and capsys.readouterr().out, np.random.rand()
    np.random.seed(7)
    trainer = Trainer(ours, *sets, epochs, batch_size, name.lower(), OPTIONS[name] or None, samples, verbose)
    trainer.train()
    assert np.random.rand() == draw
    for found, values in zip((trainer.train_loss_list, trainer.train_acc_list, trainer.test_acc_list), expected,
                             strict=True):
        np.testing.assert_allclose(found, values, rtol=1e-9)
    for key, array in theirs.params.items():
        np.testing.assert_allclose(ours.params[key], array, rtol=0, atol=1e-9)
    return trainer, told


@pytest.mark.parametrize("chapter", CHAPTERS)
@pytest.mark.parametrize("name", OPTIONS)
def test_trainings_are_the_books(rng, chapter, name, ways):
    trainer, _ = run(rng, chapter, name)
    assert [way is None for way in ways] == [name == "AdaGrad"]
    assert type(trainer.train_loss_list[0]) is np.float64


@pytest.mark.parametrize("name", OPTIONS)
def test_steps_in_python_are_the_books(rng, name, monkeypatch):
    monkeypatch.setattr(trainer_module, "_compiled_steps", lambda _: None)
    run(rng, 5, name)


@pytest.mark.parametrize("options", [{"batch_size": 43}, {"batch_size": 100}, {"samples": 5}, {"labels": True},
                                     {"kind": np.float32}, {"epochs": 0}], ids=str)
def test_any_epochs_and_data(rng, options, ways):
    trainer, _ = run(rng, 5, "Momentum", **options)
    assert len(trainer.train_loss_list) == trainer.max_iter
    assert all(way is not None for way in ways)


def test_training_again_goes_on(rng):
    """What an optimizer remembers is kept: two trainings are one of twice the length."""
    X, _, t = data(rng, 40)
    for name in OPTIONS:
        results = []
        for epochs in ([4], [2, 2]):
            _, net = pair(5)
            np.random.seed(1)
            trainer = Trainer(net, X, t, X, t, epochs[0], 10, name, verbose=False)
            for _ in epochs:
                trainer.train()
            results.append(trainer)
        assert results[0].train_loss_list == results[1].train_loss_list
        for key, array in results[0].network.params.items():
            assert np.array_equal(array, results[1].network.params[key])


def test_it_prints_what_the_book_prints(rng, capsys):
    _, told = run(rng, 5, "SGD", verbose=True, capsys=capsys)
    ours = capsys.readouterr().out.splitlines()
    theirs = told.splitlines()
    assert [line.split(":")[0] for line in ours] == [line.split(":")[0] for line in theirs]
    losses = [[float(line.split(":")[1]) for line in lines if line.startswith("train loss")]
              for lines in (ours, theirs)]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-9)
    assert ours[1:2] == theirs[1:2] == [line for line in ours if line.startswith("=== epoch:1,")]
    assert ours[-2:] == theirs[-2:]


def test_functions_of_somebodys_own_are_called(rng, ways, monkeypatch):
    X, _, t = data(rng, 40)
    calls = []

    def train(change):
        _, net = pair(5)
        np.random.seed(1)
        trainer = Trainer(net, X, t, X, t, 1, 10, verbose=False)
        change(trainer)
        trainer.train()
        return trainer.train_loss_list

    expected = train(lambda trainer: None)

    def own_gradient(trainer):
        gradient = trainer.network.gradient
        trainer.network.gradient = lambda x, t: calls.append(1) or gradient(x, t)

    class Own(optimizers.SGD):
        def update(self, params, grads):
            calls.append(2)
            super().update(params, grads)

    kept = []

    def own_array(trainer):
        kept.append(trainer.network.params["W1"])
        trainer.network.params["W1"] = kept[0].copy()
        kept.append(trainer.network)

    np.testing.assert_allclose(train(own_gradient), expected, rtol=1e-10)
    np.testing.assert_allclose(train(lambda trainer: setattr(trainer, "optimizer", Own())), expected, rtol=1e-10)
    before = pair(5)[1].params["W1"]
    train(own_array)
    assert np.array_equal(kept[0], before)  # predictions go on with it, as in the book, and it is not trained
    assert not np.array_equal(kept[1].params["W1"], before)
    assert calls == [1] * 4 + [2] * 4
    assert [way is None for way in ways] == [False, True, True, True]


@pytest.mark.parametrize("name", ["Momentum", "Adam"])
def test_an_exception_right_after_a_compiled_step(rng, monkeypatch, name):
    """Parameters, what the optimizer remembers, and its count are those after a whole step."""
    X, _, t = data(rng, 40)
    trainers = []
    for stop in (5, 0):
        count, take = [0], Workspace.take

        def interrupted(self, *args, count=count, take=take, stop=stop):
            take(self, *args)
            count[0] += 1
            if count[0] == stop:
                raise TimeoutError

        trainer = Trainer(pair(5)[1], X, t, X, t, 2, 10, name, verbose=False)
        prepare(np.dtype(np.float64), True, ("relu", "softmax", Optimizer(MOMENTUM, 0.0)))
        np.random.seed(3)
        with monkeypatch.context() as patch:
            patch.setattr(Workspace, "take", interrupted)
            if stop:
                with pytest.raises(TimeoutError):
                    trainer.train()
            else:
                trainer.max_iter = 5
                trainer.train()
        trainers.append(trainer)
    first, second = trainers
    assert len(first.train_loss_list) == 4
    for key, array in second.network.params.items():
        assert np.array_equal(first.network.params[key], array)
        assert np.array_equal(first.optimizer.v[key], second.optimizer.v[key])
    assert vars(first.optimizer).get("iter") == vars(second.optimizer).get("iter") == (5 if name == "Adam" else None)


@pytest.mark.parametrize(("options", "message"), [
    ({"optimizer": "adamw"}, "optimizer must be one of"), ({"epochs": -1}, "epochs"),
    ({"mini_batch_size": 0}, "mini_batch_size"), ({"evaluate_sample_num_per_epoch": 0}, "evaluate_sample_num")])
def test_errors_name_the_argument(rng, options, message):
    X, _, t = data(rng, 40)
    with pytest.raises(ValueError, match=message):
        Trainer(pair(5)[1], X, t, X, t, **options)
    bad = np.where(X.max() == X, np.nan, X)
    _, net = pair(5)
    before = {name: array.copy() for name, array in net.params.items()}
    with pytest.raises(ValueError, match="x_train must be finite"):
        Trainer(net, bad, t, X, t, verbose=False).train()
    assert all(np.array_equal(before[name], array) for name, array in net.params.items())
