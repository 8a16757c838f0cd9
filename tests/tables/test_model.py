
import numpy as np
import pandas as pd
import pytest

import fastnet
from fastnet import TwoLayerNet
from fastnet.files.models import StoredModel
from fastnet.sklearn import MLPClassifier, MLPRegressor
from fastnet.tables import TableModel
from fastnet.tables.columns import Columns
from tests.archives import put_together, taken_apart, without_each

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

FRAME = pd.DataFrame({"a": [1.0, -3.0, None, 5.0], "b": ["x", None, "y", "x"]})


def model(output="softmax", classes=("no", "perhaps", "yes"), dtype=np.float32, seed=0):
    random = np.random.RandomState(seed)
    width = 1 if output != "softmax" else len(classes)
    columns = Columns(2, ("a", "b"), (), {1: ("x", "y")}, np.array([2.0, 0]), np.zeros(3), np.ones(3))
    layers = tuple((random.randn(rows, units).astype(dtype), random.randn(units).astype(dtype))
                   for rows, units in ((3, 4), (4, 5), (5, width)))
    names = None if classes is None else np.array(classes)
    return TableModel(columns, layers, output=output, classes=names, target="t")


def scores(table, X):
    for W, b in table.layers[:-1]:
        X = np.maximum(X @ W + b, 0)
    W, b = table.layers[-1]
    return X @ W + b


SEEN = np.array([[1.0, 1, 0], [-3, 0, 0], [2, 0, 1], [5, 1, 0]])


def test_several_classes():
    table = model(dtype=np.float64)
    Z = scores(table, SEEN)
    P = np.exp(Z) / np.exp(Z).sum(axis=1, keepdims=True)
    assert np.allclose(table.predict_proba(FRAME), P, rtol=1e-12)
    names = table.predict(FRAME)
    assert names.tolist() == [table.classes[place] for place in P.argmax(axis=1)]
    assert table.score(FRAME, names) == table.score(FRAME, pd.Series(names)) == 1
    assert table.score(FRAME, [*names[:3], "never"]) == 0.75
    assert (table.predict(FRAME[["b", "a"]].assign(other=1)) == names).all()


def test_two_classes_of_one_output():
    table = model("logistic", [-1, 1], np.float64)
    p = 1 / (1 + np.exp(-scores(table, SEEN)[:, 0]))
    assert np.allclose(table.predict_proba(FRAME), np.column_stack([1 - p, p]), rtol=1e-12)
    assert table.predict(FRAME).tolist() == np.where(p > 0.5, 1, -1).tolist()
    assert table.score(FRAME, table.predict(FRAME).astype(float)) == 1
    assert table.class_indices(["1", "-1", "2"]).tolist() == [1, 0, -1]


@pytest.mark.parametrize("output", ["identity", "exp"])
def test_regression(output):
    table = model(output, None, np.float64)
    expected = scores(table, SEEN)[:, 0]
    expected = np.exp(expected) if output == "exp" else expected
    assert np.allclose(table.predict(FRAME), expected, rtol=1e-12)
    y = expected + np.array([0.1, 0, 0, 0])
    assert table.score(FRAME, y) == pytest.approx(1 - 0.01 / ((y - y.mean()) ** 2).sum())
    with pytest.raises(AttributeError, match="regression has no predict_proba"):
        table.predict_proba(FRAME)
    with pytest.raises(ValueError, match="row 2 has none"):
        table.score(FRAME, [1, None, 2, 3])


@pytest.mark.parametrize("name", ["m.npz", "m.safetensors"])
@pytest.mark.parametrize("table", [model(), model("logistic", ["a", "b"]), model("exp", None, np.float64)],
                         ids=["softmax", "logistic", "exp"])
def test_comes_back_the_same(tmp_path, table, name):
    fastnet.save(table, tmp_path / name)
    loaded = fastnet.load(tmp_path / name)
    assert type(loaded) is TableModel
    assert loaded.predict(FRAME).tolist() == table.predict(FRAME).tolist()
    assert (repr(loaded), loaded._repr_html_(), loaded.target) == (repr(table), table._repr_html_(), "t")
    loaded.save(tmp_path / f"again.{name}")
    assert (tmp_path / f"again.{name}").read_bytes() == (tmp_path / name).read_bytes()


@pytest.mark.parametrize(("change", "message"), [
    ({"layers": 4}, "lacks W4"), ({"layers": 2}, "'W3'"), ({"layers": 10**9}, "layers"), ({"layers": 0}, "layers"),
    ({"activation": "evil"}, "activation"), ({"output": "evil"}, "output"), ({"output": "identity"}, "has no classes"),
    ({"output": "logistic"}, r"classes must have the shape \(2,\)"), ({"classes": None}, "needs classes"),
    ({"classes": ["a", "b"]}, "classes must have the shape"), ({"classes": ["a", "b", "b"]}, "twice"),
    ({"classes": ["a", "b", 3]}, "classes"), ({"target": 3}, "target"), ({"columns": ["a"]}, "names"),
    ({"more": 1}, "'more'"), ({"W1": np.ones((3, 4))}, "must be float64"),
    ({"W2": np.ones((4, 5))}, "W2 and b2 must be"), ({"b3": np.full(3, np.nan, np.float32)}, "not finite"),
    ({"W2": np.ones((3, 5), np.float32)}, "W2 and b2 must have the shapes"),
    ({"W1": np.ones((3, 4), int)}, "float32 or float64"),
])
def test_files_of_no_model(tmp_path, change, message):
    path = tmp_path / "m.npz"
    model().save(path)
    fields, arrays = taken_apart(path)
    for name, value in change.items():
        (arrays if name in arrays else fields)[name] = value
    put_together(path, fields, arrays)
    with pytest.raises(ValueError, match=rf"(?s)m\.npz is not a model that fastnet can read: .*({message})"):
        fastnet.load(path)


def test_every_field_and_array_is_needed(tmp_path):
    path = tmp_path / "m.npz"
    model().save(path)
    for _ in without_each(path):
        with pytest.raises(ValueError, match=r"m\.npz"):
            fastnet.load(path)


def test_the_same_of_every_other_model(rng):
    X, y = rng.standard_normal((40, 3)), rng.randint(3, size=40)
    net = TwoLayerNet(3, 5, 3, std=1, rng=rng)
    stored = StoredModel({name: array.copy() for name, array in net.params.items()}, np.array(["a", "b", "c"]),
                         X.mean(axis=0), X.std(axis=0), features=np.array(["p", "q", "r"]))
    assert (TableModel.of(net).predict(X) == net.predict(X)).all()
    assert (TableModel.of(net).predict_proba(X) == net.predict_proba(X)).all()
    frame = pd.DataFrame(X, columns=list("pqr"))
    assert (TableModel.of(stored).predict(frame) == np.array(["a", "b", "c"])[net.predict(stored.transform(X))]).all()
    for truth, options in ((y, {}), (y > 0, {}), (np.array(["no", "yes"])[y % 2], {"activation": "tanh"}),
                           (y * 1.0, {"activation": "logistic"}), (y, {"activation": "identity"})):
        estimator = MLPClassifier((4, 3), max_iter=3, random_state=0, **options).fit(frame, truth)
        table = TableModel.of(estimator)
        assert table.columns.names == ("p", "q", "r")
        assert [str(name) for name in table.predict(frame)] == [
            str(int(name)) if isinstance(name, float) else str(name) for name in estimator.predict(frame).tolist()]
        assert np.allclose(table.predict_proba(frame), estimator.predict_proba(frame), rtol=1e-6)
        assert table.score(frame, truth) == estimator.score(frame, truth)
    regressor = MLPRegressor(hidden_layer_sizes=(4,), max_iter=3, random_state=0).fit(X, X[:, 0])
    assert np.allclose(TableModel.of(regressor).predict(X), regressor.predict(X))
    assert TableModel.of(regressor).score(X, X[:, 0]) == pytest.approx(regressor.score(X, X[:, 0]))
    several = MLPClassifier((4,), max_iter=3, random_state=0).fit(X, rng.randint(2, size=(40, 2)))
    for wrong, error in ((several, ValueError), (MLPClassifier(), ValueError), (3, TypeError)):
        with pytest.raises(error, match=r"several labels|not fitted|fastnet's"):
            TableModel.of(wrong)


def test_faults_of_data():
    table = model()
    with pytest.raises(ValueError, match="too large for float32"):
        table.predict(FRAME.assign(a=1e300))
    with pytest.raises(ValueError, match="an entry for each of the 4 samples, got 3"):
        table.score(FRAME, ["no"] * 3)
    with pytest.raises(ValueError, match="one dimension"):
        table.score(FRAME, np.ones((4, 2)))


def test_how_it_is_shown():
    assert repr(model()) == "TableModel(3, 4, 5, 3, float32)"
    assert repr(model("logistic", ["<b>", "x"])) == "TableModel(3, 4, 5, 2, float32)"
    html = model("logistic", ["<b>", "x"])._repr_html_()
    assert "&lt;b&gt;, x" in html
    assert "<b>, x" not in html
    assert "1 of numbers, 1 of categories" in html


def test_labels_of_which_none_is_a_class_are_refused(rng):
    model, X = TableModel.of(TwoLayerNet(5, 3, 3, std=1, rng=0)), rng.standard_normal((4, 5))
    assert model.score(X, np.array([0, 1, 2, 7])) <= 0.75  # one that is none is wrong
    for y in (["a", "b", "a", "b"], [7, 8, 9, 10], [0.5, 1.5, 2.5, 3.5]):
        with pytest.raises(ValueError, match=r"none of the labels in y is a class .*: it knows 0, 1, 2, and"):
            model.score(X, y)
