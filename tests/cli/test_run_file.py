
import numpy as np
import pytest

from fastnet.cli.training.run_file import HISTORIES, read_run, write_run
from fastnet.sklearn import MLPClassifier
from tests.archives import put_together, taken_apart, without_each

RUN = {"rate": 0.1, "hidden": [3], "data": 5}


def estimator():
    return MLPClassifier(hidden_layer_sizes=(3,), random_state=0, batch_size=5)


def trained(epochs=2):
    model, random = estimator(), np.random.RandomState(0)
    X, y = random.standard_normal((12, 2)), np.arange(12) % 3
    for _ in range(epochs):
        model.partial_fit(X, y, classes=np.arange(3))
    return model


def saved(path, best=True):
    model = trained()
    layers = list(zip(model.coefs_, model.intercepts_, strict=True))
    history = {name: [1.0, 0.5] for name in HISTORIES}
    write_run(path, RUN, model, history, layers if best else None)
    return model, history, layers


@pytest.mark.parametrize("best", [True, False])
@pytest.mark.parametrize("name", ["run.npz", "run.safetensors"])
def test_comes_back_the_same(tmp_path, name, best):
    model, history, layers = saved(tmp_path / name, best)
    again = estimator()
    found, kept = read_run(tmp_path / name, RUN, again)
    assert found == history
    assert (kept is not None) == best
    for ours, theirs in zip(again.coefs_ + ([W for W, _ in kept] if best else []),
                            model.coefs_ + ([W for W, _ in layers] if best else []), strict=True):
        assert (ours == theirs).all()
    X, y = np.ones((6, 2)), np.arange(6) % 3
    assert (again.partial_fit(X, y).coefs_[0] == model.partial_fit(X, y).coefs_[0]).all()


@pytest.mark.parametrize(("change", "message"), [
    ({"run": {**RUN, "rate": 0.2}}, "rate 0.2, and it is 0.1 now"), ({"run": {"rate": 0.1}}, "what the run is made of"),
    ({"run": None}, "what the run is made of"), ({"estimator": []}, "estimator must be an object"),
    ({"estimator": {}}, "parameters"), ({"best": 1}, "best must be one of"), ({"best": False}, "holds kept_W1"),
    ({"more": 1}, "not part of a checkpoint"), ({"history_loss": np.ones(3)}, "history_validation_loss must have"),
    ({"history_loss": np.ones((2, 1))}, "history_loss must have"),
    ({"history_loss": np.ones(2, np.float32)}, "float64"),
    ({"kept_W1": np.ones((2, 4))}, "kept_W1 must have the shape"), ({"kept_W1": np.full((2, 3), np.nan)}, "finite"),
    ({"kept_W3": np.ones(2)}, "holds kept_W3"), ({"other": np.ones(2)}, "holds 'other'"),
    ({name: np.ones(0) for name in ("history_loss", "history_validation_loss", "history_validation_score")},
     "not that of the run"),
])
def test_files_of_no_run(tmp_path, change, message):
    path = tmp_path / "run.npz"
    saved(path)
    fields, arrays = taken_apart(path)
    for name, value in change.items():
        (arrays if isinstance(value, np.ndarray) else fields)[name] = value
    fields["arrays"] = list(arrays)
    put_together(path, fields, arrays)
    with pytest.raises(ValueError, match=rf"(?s)run\.npz is not a checkpoint of this run .*{message}"):
        read_run(path, RUN, estimator())


def test_every_field_and_array_is_needed(tmp_path):
    path = tmp_path / "run.npz"
    saved(path)
    for _ in without_each(path):
        with pytest.raises(ValueError, match=r"run\.npz"):
            read_run(path, RUN, estimator())


def test_an_estimator_with_other_parameters(tmp_path):
    saved(tmp_path / "run.npz")
    with pytest.raises(ValueError, match="not that of the run"):
        read_run(tmp_path / "run.npz", RUN, estimator().set_params(alpha=0.5))
