"""The Solver against the course's in plain NumPy: histories, parameters, draws, printed lines, what a rule remembers.

Sources: contracts of the public course (assignment 2 from 2016, assignment 1 from 2021 on).
"""

import pickle
import signal
import warnings
from pathlib import Path

import numpy as np
import pytest

import fastnet
from fastnet.blocks.optimizers import ADAM, Optimizer
from fastnet.cs231n import optim
from fastnet.cs231n import solver as solver_module
from fastnet.cs231n.classifiers import fc_net
from fastnet.cs231n.solver import Solver
from fastnet.engine import workspace
from fastnet.engine.idle import Idle
from fastnet.engine.workspace import Workspace
from fastnet.training import pace, session
from fastnet.training.loop import prepare
from tests.conftest import COMPILED
from tests.cs231n import course

RULES = {"sgd": {"learning_rate": 0.3}, "sgd_momentum": {"learning_rate": 0.03, "momentum": 0.8},
         "rmsprop": {"learning_rate": 2e-3, "decay_rate": 0.95}, "adam": {"learning_rate": 5e-3, "beta2": 0.99}}
SIZES = [12, 9, 4]
TOLERANCES = {np.float64: 1e-9, np.float32: 2e-4}


def data(rng, samples=90, shape=(3, 2, 2), classes=4, validation=30):
    X = rng.standard_normal((samples + validation, *shape))
    y = (X.reshape(len(X), -1)[:, :classes] + 0.3 * rng.standard_normal((len(X), classes))).argmax(axis=1)
    return {"X_train": X[:samples], "y_train": y[:samples], "X_val": X[samples:], "y_val": y[samples:]}


def models(hidden=(9,), dtype=np.float64, input_dim=12, num_classes=4, **options):
    """The course's network and ours, from the same draws."""
    np.random.seed(3)
    theirs = course.Net(hidden, input_dim, num_classes, weight_scale=0.3, dtype=dtype, **options)
    state = np.random.get_state()
    np.random.seed(3)
    if "keep" in options:
        options["dropout_keep_ratio"] = options.pop("keep")
    if len(hidden) == 1 and dtype == np.float64 and not options.keys() - {"reg"}:
        ours = fc_net.TwoLayerNet(input_dim, hidden[0], num_classes, weight_scale=0.3, **options)
    else:
        ours = fc_net.FullyConnectedNet(list(hidden), input_dim, num_classes, weight_scale=0.3, dtype=dtype, **options)
    assert np.array_equal(np.random.get_state()[1], state[1])
    return theirs, ours


def solvers(nets, given, **options):
    theirs, ours = nets
    pair = course.Solver(theirs, given, **options), Solver(ours, given, **{"verbose": False, **options})
    draws = []
    for solver in pair:
        np.random.seed(11)
        solver.train()
        draws.append(np.random.randint(0, 2**31))
    assert draws[0] == draws[1], "the generator is in another state"
    return pair


def assert_same(theirs, ours, tolerance):
    for name in ("loss_history", "train_acc_history", "val_acc_history"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=tolerance, atol=tolerance)
    assert ours.epoch == theirs.epoch
    assert ours.best_val_acc == pytest.approx(theirs.best_val_acc)
    assert ours.model.params.keys() == theirs.model.params.keys() == ours.best_params.keys()
    for name, array in theirs.model.params.items():
        assert ours.model.params[name].dtype == array.dtype
        np.testing.assert_allclose(ours.model.params[name], array, rtol=0, atol=tolerance * 10)
    for name, config in theirs.optim_configs.items():
        assert config.keys() <= ours.optim_configs[name].keys()
        for key, value in config.items():
            np.testing.assert_allclose(ours.optim_configs[name][key], value, rtol=tolerance, atol=tolerance)


@pytest.fixture
def plain_only(monkeypatch):
    monkeypatch.setattr(solver_module, "compiled_steps", lambda *_: None)


@pytest.fixture
def compiled_only(monkeypatch):
    def looked_at(*args):
        found = compiled_steps(*args)
        assert found is not None, "the steps go through Python"
        return found

    compiled_steps = solver_module.compiled_steps
    monkeypatch.setattr(solver_module, "compiled_steps", looked_at)


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("hidden", [(9,), (8, 7), (6, 5, 7, 6, 5)], ids=["two", "three", "six"])
@pytest.mark.parametrize("rule", RULES)
def test_compiled_steps_are_the_courses(rng, rule, hidden, dtype, compiled_only):
    nets = models(hidden, dtype, reg=0.02)
    pair = solvers(nets, data(rng), update_rule=rule, optim_config=dict(RULES[rule]), lr_decay=0.9, batch_size=20,
                   num_epochs=3)
    assert_same(*pair, TOLERANCES[dtype])


@pytest.mark.parametrize("rule", RULES)
def test_steps_in_python_are_the_courses(rng, rule, plain_only):
    pair = solvers(models(reg=0.02), data(rng), update_rule=rule, optim_config=dict(RULES[rule]), lr_decay=0.9,
                   batch_size=20, num_epochs=3)
    assert_same(*pair, 1e-9)


@pytest.mark.parametrize("options", [
    {"batch_size": 25}, {"batch_size": 200}, {"batch_size": 90}, {"num_train_samples": 40, "num_val_samples": 11},
    {"num_train_samples": None}, {"num_epochs": 1}, {"num_epochs": 0}, {"lr_decay": 0.5, "num_epochs": 5}], ids=str)
@pytest.mark.parametrize("way", ["compiled_only", "plain_only"])
def test_any_epochs_and_samples(rng, options, way, request):
    if options.get("num_epochs", 1):
        request.getfixturevalue(way)
    pair = solvers(models(), data(rng), optim_config={"learning_rate": 0.2}, **{"num_epochs": 2, **options})
    assert_same(*pair, 1e-9)
    if options.get("num_epochs") == 0:
        assert pair[1].model.params == {}


def test_a_rule_without_constants_has_its_defaults(rng, compiled_only):
    for rule in RULES:
        assert_same(*solvers(models(), data(rng), update_rule=rule, batch_size=30, num_epochs=2), 1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("keep", [1, 0.7])
@pytest.mark.parametrize("normalization", [None, "batchnorm", "layernorm"])
def test_normalization_and_dropout(rng, normalization, keep):
    if normalization is None and keep == 1:
        pytest.skip("that has compiled steps")
    for dtype, tolerance in TOLERANCES.items():
        nets = models((8, 7), dtype, normalization=normalization, keep=keep, reg=0.01)
        # Not Adam: below a normalization biases have gradients of rounding errors, which it would make large.
        pair = solvers(nets, data(rng), update_rule="sgd_momentum", optim_config={"learning_rate": 0.02}, batch_size=20,
                       num_epochs=2)
        assert_same(*pair, tolerance)


@pytest.mark.slow
def test_a_seed_of_dropout_resets_the_generator(rng):
    pair = solvers(models((8,), keep=0.5, seed=5, reg=0.01), data(rng), optim_config={"learning_rate": 0.1},
                   batch_size=20, num_epochs=2)
    assert_same(*pair, 1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [np.float32, np.uint8, np.int64], ids=str)
def test_data_of_any_dtype(rng, kind, compiled_only):
    given = data(rng)
    for name in ("X_train", "X_val"):
        given[name] = (10 * np.abs(given[name])).astype(kind)
    for dtype, tolerance in TOLERANCES.items():
        nets = models((9, 8), dtype)
        assert_same(*solvers(nets, given, optim_config={"learning_rate": 0.01}, batch_size=20, num_epochs=2), tolerance)


def test_training_again_goes_on(rng, compiled_only):
    given = data(rng)
    for rule in RULES:
        pair = solvers(models(), given, update_rule=rule, optim_config=dict(RULES[rule]), batch_size=20, num_epochs=2)
        for solver in pair:
            assert solver.model.params is solver.best_params
            np.random.seed(12)
            solver.train()
        assert_same(*pair, 1e-8)


def test_sgd_changes_arrays_in_place_and_the_others_do_not(rng, compiled_only):
    for rule in RULES:
        _, net = models()
        arrays, before = dict(net.params), {name: array.copy() for name, array in net.params.items()}
        solver = Solver(net, data(rng), update_rule=rule, optim_config=dict(RULES[rule]), verbose=False, num_epochs=1,
                        batch_size=20)
        solver.train()
        for name, array in arrays.items():
            assert np.array_equal(array, before[name]) == (rule != "sgd"), (rule, name)


def test_it_prints_what_the_course_prints(rng, capsys, tmp_path):
    given, told = data(rng), []
    for solver in zip((course.Solver, Solver), models(), strict=True):
        np.random.seed(4)
        solver[0](solver[1], given, optim_config={"learning_rate": 0.1}, batch_size=20, num_epochs=3, print_every=3,
                  verbose=True).train()
        told.append(capsys.readouterr().out)
    assert told[0] == told[1]
    assert told[1].startswith("(Iteration 1 / 12) loss: ")
    assert "\n(Epoch 0 / 3) train acc: " in told[1]


def test_numbers_are_numpys(rng):
    for dtype in TOLERANCES:
        _, net = models((9, 8), dtype)
        solver = Solver(net, data(rng), verbose=False, num_epochs=1)
        solver.train()
        assert {type(loss) for loss in solver.loss_history} == {dtype}
        assert {type(value) for value in solver.train_acc_history + solver.val_acc_history} == {np.float64}


class TheirNet:
    """Anybody's own model, with three parameters of any name."""

    def __init__(self):
        self.params = {"scale": np.ones(3), "W": 0.1 * np.random.randn(12, 3), "b": np.zeros(3)}

    def loss(self, X, y=None):
        X = X.reshape(len(X), -1)
        raw = X @ self.params["W"] + self.params["b"]
        scores = raw * self.params["scale"]
        if y is None:
            return scores
        P = np.exp(scores - scores.max(axis=1, keepdims=True))
        P /= P.sum(axis=1, keepdims=True)
        loss = -np.log(P[np.arange(len(y)), y]).mean()
        P[np.arange(len(y)), y] -= 1
        P /= len(y)
        d = P * self.params["scale"]
        return loss, {"scale": (P * raw).sum(axis=0), "W": X.T @ d, "b": d.sum(axis=0)}


@pytest.mark.parametrize("rule", RULES)
def test_anybodys_model(rng, rule):
    given, pair = data(rng, classes=3), []
    for kind in (course.Solver, Solver):
        np.random.seed(8)
        solver = kind(TheirNet(), given, update_rule=rule, optim_config=dict(RULES[rule]), lr_decay=0.8, batch_size=20,
                      num_epochs=3, verbose=False)
        solver.train()
        pair.append(solver)
    assert_same(*pair, 0)


def test_our_model_under_their_solver(rng):
    theirs, ours = models(reg=0.05)
    given, pair = data(rng), []
    for net in (theirs, ours):
        np.random.seed(8)
        pair.append(course.Solver(net, given, update_rule="adam", batch_size=20, num_epochs=3))
        pair[-1].train()
    assert_same(*pair, 1e-9)


def run(net, given, change=None, kind=Solver, **options):
    np.random.seed(6)
    solver = kind(net, given, **{"verbose": False, "batch_size": 20, "num_epochs": 2, **options})
    if change is not None:
        change(solver)
    solver.train()
    return solver


class Watched(Solver):
    steps = 0

    def _step(self):
        self.steps += 1
        super()._step()


def test_functions_of_somebodys_own_are_called(rng, monkeypatch):
    given, calls = data(rng), []

    def rule(w, dw, config):
        calls.append(1)
        return w - config["learning_rate"] * dw, config

    expected = run(models()[1], given, optim_config={"learning_rate": 0.1})
    monkeypatch.setattr(optim, "mine", rule, raising=False)
    assert_same(expected, run(models()[1], given, update_rule="mine", optim_config={"learning_rate": 0.1}), 1e-9)
    assert len(calls) == 8 * 4
    assert run(models()[1], given, kind=Watched).steps == 8
    step = Solver._step
    with monkeypatch.context() as patch:
        patch.setattr(Solver, "_step", lambda self: calls.append(4) or step(self))
        run(models()[1], given)
    assert calls.count(4) == 8
    net = models()[1]
    net.loss = lambda X, y=None: calls.append(2) or type(net).loss(net, X, y)
    run(net, given)
    assert calls.count(2) == 8 + 3 * 2
    patched = fc_net.TwoLayerNet.loss
    monkeypatch.setattr(fc_net.TwoLayerNet, "loss", lambda self, X, y=None: calls.append(3) or patched(self, X, y))
    run(models()[1], given)
    assert calls.count(3) == 8 + 3 * 2


@pytest.mark.parametrize("change", [
    lambda solver: solver.optim_configs["W2"].update(learning_rate=0.01),
    lambda solver: solver.optim_configs["b1"].update(velocity=np.ones(9, np.float32)),
    lambda solver: [config.update(learning_rate=np.full(1, 0.1)) for config in solver.optim_configs.values()],
    lambda solver: [config.update(momentum=np.float32(0.9)) for config in solver.optim_configs.values()],
    lambda solver: solver.model.params.update(W2=solver.model.params["W2"].astype(np.float32)),
    lambda solver: solver.model.params.update(W1=np.asfortranarray(solver.model.params["W1"]))],
    ids=["rate", "velocity", "array", "float32", "dtype", "layout"])
def test_what_the_engine_has_not_goes_through_python(rng, change, monkeypatch):
    """With the same numbers as in the course."""
    found = []
    compiled_steps = solver_module.compiled_steps
    monkeypatch.setattr(solver_module, "compiled_steps", lambda *args: found.append(compiled_steps(*args)) or found[-1])
    given, options = data(rng), {"update_rule": "sgd_momentum", "optim_config": {"learning_rate": 0.05}}
    theirs, ours = models()
    pair = run(theirs, given, change, course.Solver, **options), run(ours, given, change, **options)
    assert found == [None]
    for name in ("loss_history", "val_acc_history"):
        np.testing.assert_allclose(getattr(pair[1], name), getattr(pair[0], name), rtol=1e-6)


def test_checkpoints_have_the_courses_names(rng, tmp_path, capsys):
    given = data(rng)
    name = str(tmp_path / "toy")
    solver = run(models()[1], given, optim_config={"learning_rate": 0.1}, checkpoint_name=name, verbose=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"toy_epoch_{epoch}.pkl" for epoch in range(3)]
    assert f'Saving checkpoint to "{name}_epoch_1.pkl"\n(Epoch 1 / 2) ' in capsys.readouterr().out
    last = pickle.loads((tmp_path / "toy_epoch_2.pkl").read_bytes())
    assert last["loss_history"] == solver.loss_history
    assert last["epoch"] == 2
    assert last["update_rule"] is optim.sgd
    assert np.isfinite(last["model"].loss(given["X_val"])).all()
    assert set(last) == {"model", "update_rule", "lr_decay", "optim_config", "batch_size", "num_train_samples",
                         "num_val_samples", "epoch", "loss_history", "train_acc_history", "val_acc_history"}


def test_attributes_are_the_courses(rng):
    given = data(rng)
    for rule in RULES:
        solver = Solver(models()[1], given, update_rule=rule, optim_config={"learning_rate": 0.1}, verbose=False)
        assert solver.update_rule is getattr(optim, rule)
        assert solver.X_val is given["X_val"]
        assert (solver.epoch, solver.best_val_acc, solver.best_params, solver.lr_decay) == (0, 0, {}, 1.0)
        assert solver.loss_history == solver.train_acc_history == solver.val_acc_history == []
        assert solver.optim_configs == {name: {"learning_rate": 0.1} for name in solver.model.params}
    plain = Solver(models()[1], given)
    assert plain.optim_configs["W1"] is not plain.optim_configs["W2"]
    assert (plain.batch_size, plain.num_epochs, plain.print_every, plain.num_train_samples) == (100, 10, 10, 1000)


@pytest.mark.parametrize("samples", [(None, None), (40, 11)], ids=str)
def test_plain_sgd_takes_accuracies_in_compiled_code(rng, monkeypatch, samples):
    monkeypatch.setattr(solver_module.passes, "infer", lambda *_, **__: pytest.fail("a call by itself"))
    options = {"num_train_samples": samples[0], "num_val_samples": samples[1]}
    pair = solvers(models((8, 7)), data(rng), optim_config={"learning_rate": 0.2}, num_epochs=3, batch_size=20,
                   **options)
    assert_same(*pair, 1e-9)


@pytest.mark.parametrize("batch_size", [20, 90])
@pytest.mark.parametrize("steps_of_a_run", [1, 3, 4, 10, 1000])
def test_runs_end_where_they_may(monkeypatch, capsys, steps_of_a_run, batch_size):
    """Runs take accuracies and keep the best parameters on the way, and end in the middle of an epoch or at its end."""
    rng, runs, run = np.random.RandomState(8), [], Workspace.run
    given = {**data(rng, samples=95), "y_val": rng.randint(4, size=30)}  # the last epochs need not be the best then
    monkeypatch.setattr(pace.Pace, "steps", steps_of_a_run, raising=False)
    monkeypatch.setattr(pace.Pace, "__init__", lambda *_: None)
    monkeypatch.setattr(pace.Pace, "learn", lambda *_: None)
    monkeypatch.setattr(Workspace, "run", lambda *args, **named: (runs.append(len(args[3])), run(*args, **named))[1])
    theirs, ours = solvers(models((8, 7)), given, optim_config={"learning_rate": 0.9}, lr_decay=0.8, num_epochs=9,
                           batch_size=batch_size, num_train_samples=31, print_every=3, verbose=True)
    assert_same(theirs, ours, 1e-9)
    assert np.argmax(ours.val_acc_history) < len(ours.val_acc_history) - 1, "the last ones are the best"
    for name, array in theirs.model.params.items():
        np.testing.assert_allclose(ours.model.params[name], array, rtol=0, atol=1e-9)
    steps = len(ours.loss_history)
    expected = [min(steps_of_a_run, steps - start) for start in range(0, steps, steps_of_a_run)]
    assert runs[-len(expected):] == expected  # the one before may be of what compiles
    printed = capsys.readouterr().out.splitlines()
    assert printed[:len(printed) // 2] == printed[len(printed) // 2:]


def test_checkpoints_hold_the_parameters_of_their_epoch(rng, monkeypatch, tmp_path):
    given, compiled_steps = data(rng), solver_module.compiled_steps
    given["y_val"] = given["y_val"][::-1].copy()  # no epoch need be better than the one before
    nets = models()[1], models()[1]
    for net, name, way in zip(nets, "ab", (compiled_steps, lambda *_: None), strict=True):
        monkeypatch.setattr(solver_module, "compiled_steps", way)
        np.random.seed(4)
        run(net, given, optim_config={"learning_rate": 0.3}, num_epochs=4, checkpoint_name=tmp_path / name)
    for epoch in range(5):
        ours, theirs = (pickle.loads((tmp_path / f"{name}_epoch_{epoch}.pkl").read_bytes())["model"].params
                        for name in "ab")
        for name, array in theirs.items():
            np.testing.assert_allclose(ours[name], array, rtol=0, atol=1e-9)


@pytest.mark.parametrize("convert", [lambda y: y.astype(float), lambda y: np.where(y == 2, 2.5, y),
                                     lambda y: np.where(y == 2, 2**40, y), lambda y: y.astype(np.uint8), list],
                         ids=["floats", "fractions", "of no class", "uint8", "a list"])
def test_labels_of_any_kind_to_validate_with(rng, convert, compiled_only):
    given = data(rng)
    given["y_val"] = convert(given["y_val"])
    pair = solvers(models(), given, optim_config={"learning_rate": 0.2}, num_epochs=3, batch_size=20)
    assert_same(*pair, 1e-9)


def test_accuracies_of_some_samples(rng):
    given = data(rng)
    theirs, ours = models()
    for samples in (None, 30, 90, 1000):
        found = []
        for solver in (course.Solver(theirs, given), Solver(ours, given)):
            np.random.seed(3)
            if isinstance(solver, Solver):
                found.append(solver.check_accuracy(given["X_train"], given["y_train"], num_samples=samples))
            else:
                found.append(solver.accuracy("train", samples))
            found.append(np.random.rand())
        assert found[:2] == found[2:]


@pytest.mark.parametrize(("options", "message"), [
    ({"learning_rate": 0.1}, "Unrecognized arguments 'learning_rate'"), ({"update_rule": "sdg"}, "Invalid update_rule"),
    ({"batch_size": 0}, "batch_size must be at least 1"), ({"print_every": 0}, "print_every"),
    ({"optim_config": 0.1}, "optim_config must be a dict"), ({"num_train_samples": 0}, "num_train_samples")], ids=str)
def test_bad_options(rng, options, message):
    with pytest.raises(ValueError, match=message):
        Solver(models()[1], data(rng), **options)
    with pytest.raises(ValueError, match="got no y_val"):
        Solver(models()[1], {name: value for name, value in data(rng).items() if name != "y_val"})


@pytest.mark.parametrize(("name", "change", "message"), [
    ("X_train", lambda X: np.where(X.max() == X, np.nan, X), "X_train must be finite"),
    ("X_val", lambda X: np.where(X.max() == X, np.inf, X), "X_val must be finite"),
    ("y_train", lambda y: y - 1, "labels from 0 to 3"), ("y_train", lambda y: y[1:], "one label for each"),
    ("y_val", lambda y: y[1:], "y_val must have one label"), ("X_val", lambda X: X[:, :2], "12 features")], ids=str)
def test_bad_data_are_refused_before_anything_has_changed(rng, name, change, message):
    given = data(rng)
    given[name] = change(given[name])
    net = models()[1]
    before = pickle.dumps(net.params)
    np.random.seed(1)
    state = np.random.get_state()[1].copy()
    solver = Solver(net, given, verbose=False)
    with pytest.raises(ValueError, match=message):
        solver.train()
    assert pickle.dumps(net.params) == before
    assert solver.loss_history == []
    assert np.array_equal(np.random.get_state()[1], state)


def test_divergence_is_said_once(rng):
    solver = Solver(models()[1], data(rng), optim_config={"learning_rate": 1e200}, verbose=False, batch_size=20,
                    num_epochs=3)
    with np.errstate(all="ignore"), pytest.warns(fastnet.DivergenceWarning, match="at iteration") as told:
        solver.train()
    assert len(told) == 1
    assert len(solver.loss_history) == 12


CTRL_C = """
import signal, sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from fastnet.cs231n.solver import Solver
from tests.cs231n.test_solver import assert_is_after_its_steps, data, models
net, given = models()[1], data(np.random.RandomState(0))
options = dict(update_rule=sys.argv[2], optim_config={"learning_rate": 1e-3}, batch_size=20, verbose=False)
Solver(models()[1], given, **options, num_epochs=1).train()
solver = Solver(net, given, **options, num_epochs=10**6)
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell may have switched off for what it starts
signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
np.random.seed(2)
signal.setitimer(signal.ITIMER_REAL, 0.3)
try:
    solver.train()
except KeyboardInterrupt:
    assert_is_after_its_steps(solver, net)
    print("whole")
"""


@pytest.mark.skipif(not COMPILED or not hasattr(signal, "setitimer"), reason="takes too long, or there is no alarm")
@pytest.mark.parametrize("rule", ["sgd", "adam"])
def test_ctrl_c_leaves_whole_steps(run_python, rule):
    assert run_python(CTRL_C, Path(__file__).parents[2], rule) == "whole\n"


def assert_is_after_its_checks(solver):
    """Accuracies, epochs and the learning rate are those of as many steps as there are losses, or of a run before.

    The best parameters are those of the best accuracy.
    """
    steps, steps_per_epoch = len(solver.loss_history), max(len(solver.X_train) // solver.batch_size, 1)
    checks = len(solver.val_acc_history)
    assert checks == len(solver.train_acc_history) == (solver.epoch + (steps_per_epoch > 1) if checks else 0)
    assert solver.epoch <= steps // steps_per_epoch
    rate = solver.optim_config["learning_rate"]
    for config in solver.optim_configs.values():
        assert config["learning_rate"] == pytest.approx(rate * solver.lr_decay**solver.epoch)
    assert solver.best_val_acc == max(solver.val_acc_history, default=0)
    if solver.best_params:
        best = pickle.loads(pickle.dumps(solver.model))
        best.params = solver.best_params
        assert np.mean(best.loss(solver.X_val).argmax(axis=1) == solver.y_val) == solver.best_val_acc


def assert_is_after_its_steps(solver, net):
    """Parameters, what the rule remembers and the generator are those after as many steps as there are losses."""
    drawn, steps = np.random.rand(), len(solver.loss_history)
    assert steps > 0
    assert_is_after_its_checks(solver)
    again = Solver(models()[1], {name: getattr(solver, name) for name in ("X_train", "y_train", "X_val", "y_val")},
                   update_rule=solver.update_rule, optim_config=solver.optim_config, batch_size=solver.batch_size,
                   verbose=False)
    np.random.seed(2)
    for _ in range(steps):
        again._step()
    np.testing.assert_allclose(again.loss_history, solver.loss_history, rtol=1e-7)
    for name, array in again.model.params.items():
        np.testing.assert_allclose(net.params[name], array, rtol=1e-6, atol=1e-9)
        config = solver.optim_configs[name]
        assert config.keys() == again.optim_configs[name].keys()
        for key, value in again.optim_configs[name].items():
            np.testing.assert_allclose(config[key], value, rtol=1e-6, atol=1e-9)
    assert np.random.rand() == drawn


@pytest.mark.parametrize("rule", ["sgd", "adam"])
@pytest.mark.parametrize("lines", [0, 3, 8])
def test_an_exception_where_something_is_said(rng, monkeypatch, rule, lines):
    """As where standard output is closed; and of so many epochs, none is thought of before its time."""
    said = []

    def say(line):
        if len(said) == lines:
            raise BrokenPipeError
        said.append(line)

    monkeypatch.setattr("builtins.print", say)
    given = data(rng)
    given["y_val"] = rng.randint(4, size=30)
    solver = Solver(models()[1], given, update_rule=rule, optim_config=dict(RULES[rule]), lr_decay=0.9, batch_size=20,
                    num_epochs=10**12, print_every=3)
    with pytest.raises(BrokenPipeError):
        solver.train()
    assert_is_after_its_checks(solver)
    if rule == "sgd" and COMPILED:
        assert len(solver.val_acc_history) == 1 + len(solver.loss_history) // 4


@pytest.mark.parametrize("warn", [False, True])
def test_a_warning_of_divergence_that_is_an_error(rng, warn):
    solver = Solver(models()[1], data(rng), optim_config={"learning_rate": 1e200}, verbose=False, batch_size=20,
                    num_epochs=3)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("error" if warn else "ignore")
        if warn:
            with pytest.raises(fastnet.DivergenceWarning):
                solver.train()
        else:
            solver.train()
    assert_is_after_its_checks(solver)
    assert solver.epoch == len(solver.loss_history) // 4


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("when", [1, 3])
@pytest.mark.parametrize("place", ["before", "after"])
def test_an_exception_beside_a_compiled_run(rng, monkeypatch, rule, when, place):
    """As a time limit's handler raises it: in `Workspace.run`, right before the compiled call or right after it."""
    count, take = [0], Workspace.take

    def interrupted(self, *args):
        count[0] += 1
        if count[0] == when and place == "before":
            raise TimeoutError
        take(self, *args)
        if count[0] == when:
            raise TimeoutError

    net = models()[1]
    solver = Solver(net, data(rng), update_rule=rule, optim_config=dict(RULES[rule]), batch_size=20, num_epochs=5,
                    verbose=False)
    prepare(np.dtype(np.float64), True)
    prepare(np.dtype(np.float64), True, ("relu", "softmax", Optimizer(ADAM, 0.9, 0.99, 1e-8)))
    np.random.seed(2)
    with monkeypatch.context() as patch:
        patch.setattr(pace, "RUN_INDICES", 100)  # runs of five steps
        patch.setattr(Workspace, "take", interrupted)
        with pytest.raises(TimeoutError):
            solver.train()
    if place == "after":
        assert_is_after_its_steps(solver, net)
    else:  # minibatches were drawn for nothing
        steps = len(solver.loss_history)
        assert (steps == 0) == (when == 1)
        assert solver.optim_configs["W1"].get("t", steps) == steps


@pytest.mark.parametrize("rule", ["sgd", "adam"])
def test_bits_do_not_depend_on_threads(monkeypatch, rule):
    rng, found = np.random.RandomState(12), []
    given = {**data(rng, samples=300), "y_val": rng.randint(4, size=30)}  # the last epochs need not be the best then
    for shares in (1, 2, 3):
        monkeypatch.setattr(session, "_idle", Idle())  # else the workspace of before would serve again
        monkeypatch.setattr(workspace, "share_count", lambda units, work, _, shares=shares: min(shares, units))
        found.append(run(models((9, 8))[1], given, update_rule=rule, optim_config=RULES[rule], num_epochs=6))
    assert found[0].best_val_acc > found[0].val_acc_history[-1], "the last parameters are the best"
    for other in found[1:]:
        if COMPILED:
            assert found[0].loss_history == other.loss_history
            assert found[0].val_acc_history == other.val_acc_history
        for name, array in found[0].model.params.items():
            np.testing.assert_allclose(other.model.params[name], array, rtol=0, atol=0 if COMPILED else 1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES)
def test_a_learning_rate_of_numpy_makes_float64_of_float32(rng, rule):
    """With NumPy 2 a scalar of float64 is no Python number; only sgd changes its arrays in place."""
    rate = np.geomspace(RULES[rule]["learning_rate"], 1, 3)[0]
    pair = []
    for kind, net in zip((course.Solver, Solver), models((9, 8), np.float32, reg=0.01), strict=True):
        pair.append(run(net, data(np.random.RandomState(5)), None, kind, update_rule=rule,
                        optim_config={**RULES[rule], "learning_rate": rate}))
    dtypes = [{name: array.dtype for name, array in solver.model.params.items()} for solver in pair]
    if np.lib.NumpyVersion(np.__version__) >= "2.0.0":
        assert dtypes[0] == dtypes[1]
        assert set(dtypes[1].values()) == {np.dtype(np.float32 if rule == "sgd" else np.float64)}
        assert [type(loss) for loss in pair[0].loss_history] == [type(loss) for loss in pair[1].loss_history]
    np.testing.assert_allclose(pair[1].loss_history, pair[0].loss_history, rtol=1e-4)


@pytest.mark.parametrize("convert", [lambda X: np.asfortranarray(X), lambda X: X[..., ::-1], lambda X: X[::-1],
                                     lambda X: np.swapaxes(X, 1, 3)], ids=["Fortran", "mirrored", "reversed", "axes"])
def test_data_of_any_layout(rng, convert, compiled_only):
    given = data(rng)
    for name in ("X_train", "X_val"):
        given[name] = convert(given[name])
    assert_same(*solvers(models(), given, optim_config={"learning_rate": 0.1}, batch_size=20, num_epochs=2), 1e-9)
