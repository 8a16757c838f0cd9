"""`save` and `load` of networks and estimators: the same afterwards, and nothing in a file is trusted."""

import json
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastnet
from fastnet import TwoLayerNet
from fastnet.files import containers
from fastnet.sklearn import MLPClassifier, MLPRegressor, register_onnx, storage
from fastnet.tables import TableModel
from tests.archives import without_each

pytestmark = [pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
              pytest.mark.filterwarnings("ignore:scipy.optimize:DeprecationWarning")]  # an old scikit-learn's
names = pytest.mark.parametrize("name", ["model.npz", "model.safetensors"])


def data(rng, targets="multiclass", samples=60):
    X = rng.standard_normal((samples, 5))
    y = {"multiclass": rng.randint(3, size=samples), "binary": X[:, 0] > 0,
         "strings": np.array(["no", "yes", "maybe"])[rng.randint(3, size=samples)],
         "objects": np.array(["no", "yes"], object)[rng.randint(2, size=samples)],
         "multilabel": rng.randint(2, size=(samples, 3)), "regression": X[:, 0], "outputs": X[:, :2],
         "floats": rng.randint(2, size=samples) * 2.0, "bytes": rng.randint(3, size=samples).astype(np.int8)}[targets]
    return X, y


# Networks


@names
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_network_comes_back_the_same(tmp_path, rng, dtype, name):
    net = TwoLayerNet(4, 3, 2, std=1, dtype=dtype, l2="half", rng=rng)
    net.params["b1"] = rng.standard_normal((1, 3)).astype(dtype)
    net.save(tmp_path / name)
    np.random.seed(3)
    before = np.random.get_state()[1].copy()
    for loaded in (TwoLayerNet.load(tmp_path / name), fastnet.load(tmp_path / name)):
        assert type(loaded) is TwoLayerNet
        assert (loaded.dtype, loaded.l2) == (net.dtype, "half")
        for key, array in loaded.params.items():
            assert array.tobytes() == net.params[key].tobytes()
    assert (np.random.get_state()[1] == before).all()
    assert loaded.params["b1"].shape == (3,)
    X, y = rng.standard_normal((6, 4)), np.array([0, 1, 0, 1, 0, 1])
    assert loaded.predict_proba(X).tobytes() == net.predict_proba(X).tobytes()
    histories = [each.train(X, y, X, y, num_iters=5, batch_size=3) for each in (
        TwoLayerNet.load(tmp_path / name, rng=7), TwoLayerNet.load(tmp_path / name, rng=np.random.RandomState(7)))]
    assert histories[0] == histories[1]


def test_what_cannot_be_saved(tmp_path):
    net = TwoLayerNet(4, 3, 2, rng=0)
    net.save(tmp_path / "model.npz")
    before = (tmp_path / "model.npz").read_bytes()
    net.params["W2"][0, 0] = np.nan
    with pytest.raises(ValueError, match="W2 holds numbers that are not finite"):
        fastnet.save(net, tmp_path / "model.npz")
    with pytest.raises(TypeError, match=r"got a builtins\.dict"):
        fastnet.save({}, tmp_path / "model.npz")
    with pytest.raises(TypeError, match=r"sklearn.*from_sklearn"):
        fastnet.save(MLPClassifier().to_sklearn(), tmp_path / "model.npz")
    with pytest.raises(TypeError, match="warm_start is a object"):
        fastnet.save(MLPClassifier(warm_start=object()), tmp_path / "model.npz")

    class Mine(MLPClassifier):
        pass

    with pytest.raises(TypeError, match="Mine is a class of its own"):
        fastnet.save(Mine(), tmp_path / "model.npz")
    estimator = MLPClassifier()
    estimator.remark_ = "mine"
    with pytest.raises(TypeError, match="remark_"):
        fastnet.save(estimator, tmp_path / "model.npz")
    assert (tmp_path / "model.npz").read_bytes() == before


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("kind", ["class", "classifier", "regressor", "pipeline"])
def test_onnx(tmp_path, rng, kind, dtype):
    skl2onnx, onnxruntime = pytest.importorskip("skl2onnx"), pytest.importorskip("onnxruntime")
    X, y = data(rng)
    X, path = X.astype(dtype), tmp_path / "m.onnx"
    model = (TwoLayerNet(5, 3, 3, std=1, rng=0, dtype=dtype) if kind == "class" else
             (MLPRegressor if kind == "regressor" else MLPClassifier)(hidden_layer_sizes=(4,), max_iter=2,
                                                                      random_state=0).fit(X, y))
    if kind == "pipeline":
        register_onnx()
        model = make_pipeline(StandardScaler(), model).fit(X, y)
        path.write_bytes(skl2onnx.to_onnx(model, X[:1], options={"zipmap": False}).SerializeToString())
    else:
        fastnet.save(model, path)
    outputs = onnxruntime.InferenceSession(path).run(None, {"X": X})
    # A number near zero is a difference of larger ones, so its last bits are the runtime's own.
    np.testing.assert_allclose(outputs[0].ravel(), model.predict(X), rtol=1e-4, atol=1e-5)
    if kind != "regressor":
        np.testing.assert_allclose(outputs[1], model.predict_proba(X), atol=1e-5)


def test_onnx_without_its_converter_is_another_format(tmp_path, monkeypatch, rng):
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    for model in (TwoLayerNet(4, 3, 2, rng=0), MLPClassifier(max_iter=1).fit(*data(rng))):
        with pytest.raises(ValueError, match=r"m\.onnx: the ending .* fastnet writes \.npz"):
            model.save(tmp_path / "m.onnx")
    with pytest.raises(NotFittedError):
        MLPClassifier().save(tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["m.pt", "m.PKL", "m.joblib", "m.h5", "m.json", "m.csv"])
def test_a_name_with_the_ending_of_another_format(tmp_path, name):
    for model in (TwoLayerNet(4, 3, 2, rng=0), MLPClassifier()):
        for write in (model.save, lambda path, model=model: fastnet.save(model, path)):
            with pytest.raises(ValueError, match=rf"{name}: the ending .* fastnet writes \.npz"):
                write(tmp_path / name)
    assert not list(tmp_path.iterdir())
    TwoLayerNet(4, 3, 2, rng=0).save(tmp_path / "m.v2")  # whatever that is, it is no other format


def test_what_load_returns_can_predict_score_and_save(tmp_path, rng):
    X, y = data(rng)
    frame = pd.DataFrame(X, columns=list("abcde"))
    TwoLayerNet(5, 3, 3, std=1, rng=0).save(tmp_path / "class.npz")
    MLPClassifier((4,), max_iter=2, random_state=0).fit(frame, y).save(tmp_path / "estimator.npz")
    TableModel.of(TwoLayerNet(5, 3, 3, std=1, rng=0)).save(tmp_path / "table.npz")
    for name in ("class", "estimator", "table"):
        model = fastnet.load(tmp_path / f"{name}.npz")
        assert model.predict(frame).shape == (60,)
        assert model.predict_proba(frame).shape == (60, 3)
        assert 0 <= model.score(frame, pd.Series(y)) <= 1
        model.save(tmp_path / "again.npz")
        assert (fastnet.load(tmp_path / "again.npz").predict(frame) == model.predict(frame)).all()
        assert len(repr(model)) < 200
        assert "<" in model._repr_html_()


def test_another_kind_of_file(tmp_path):
    TwoLayerNet(4, 3, 2, rng=0).save(tmp_path / "network.npz")
    MLPClassifier().save(tmp_path / "classifier.npz")
    for load, file in ((TwoLayerNet.load, "classifier.npz"), (MLPClassifier.load, "network.npz"),
                       (MLPRegressor.load, "classifier.npz")):
        with pytest.raises(ValueError, match=f"{file} is not an? .*it holds '"):
            load(tmp_path / file)


# Estimators


def same(ours, theirs):
    """Whether two values of attributes are the same in all bits and types."""
    if isinstance(ours, np.ndarray):
        return ours.dtype == theirs.dtype and ours.shape == theirs.shape and ours.tolist() == theirs.tolist()
    if isinstance(ours, list | tuple):
        return type(ours) is type(theirs) and len(ours) == len(theirs) and all(map(same, ours, theirs))
    if isinstance(ours, np.random.RandomState):
        return repr(ours.get_state()) == repr(theirs.get_state())
    if hasattr(ours, "__dict__"):
        return type(ours) is type(theirs) and same_state(ours, theirs)
    return ours == theirs or (ours != ours and theirs != theirs)


def same_state(ours, theirs):
    derived = {"_coef_indptr", "_intercept_indptr"}  # of lbfgs
    assert set(vars(ours)) - derived == set(vars(theirs)) - derived
    for name in set(vars(ours)) - derived:
        assert same(vars(ours)[name], vars(theirs)[name]), name
    return True


@names
@pytest.mark.parametrize(("targets", "options"), [
    ("multiclass", {}), ("binary", {"early_stopping": True}),
    ("strings", {"solver": "sgd", "learning_rate": "adaptive"}),
    ("objects", {"hidden_layer_sizes": [4, 3]}), ("multilabel", {}), ("regression", {"random_state": None}),
    ("outputs", {"solver": "sgd", "momentum": 0.0}), ("floats", {"solver": "lbfgs"}),
    ("bytes", {"random_state": np.random.RandomState(4)}),
])
def test_an_estimator_goes_on_as_if_nothing_had_been(tmp_path, rng, targets, options, name):
    X, y = data(rng, targets)
    cls = MLPRegressor if targets in ("regression", "outputs") else MLPClassifier
    estimator = cls(**{"random_state": 0, "max_iter": 4, "hidden_layer_sizes": (4,), "warm_start": True, **options})
    estimator.save(tmp_path / name)
    assert same_state(cls.load(tmp_path / name), estimator)
    estimator.fit(pd.DataFrame(X, columns=list("abcde")), y)
    fastnet.save(estimator, tmp_path / name)
    loaded = fastnet.load(tmp_path / name)
    assert type(loaded) is cls
    assert same_state(loaded, estimator)
    shared = estimator._random_state is estimator.random_state
    assert (loaded._random_state is loaded.random_state) == shared
    more = pd.DataFrame(X[::-1], columns=list("abcde"))
    for each in (estimator, loaded):
        np.random.seed(5)  # for a random_state of None
        if estimator.random_state is not None:
            each.fit(more, y)
        if estimator.solver != "lbfgs" and not estimator.early_stopping:
            each.partial_fit(more, y)
    if estimator.random_state is not None:
        assert same_state(loaded, estimator)
    assert same(loaded.predict(more), estimator.predict(more))
    clone(loaded).fit(X, y)


CHANGES = [
    (lambda fields: fields.pop("params"), "parameters"),
    (lambda fields: fields["params"].pop("alpha"), "parameters"),
    (lambda fields: fields["params"].update(alpha=-1.0), "alpha"),
    (lambda fields: fields["params"].update(alpha=[1.0]), "alpha"),
    (lambda fields: fields["params"].update(solver="evil"), "solver"),
    (lambda fields: fields["params"].update(hidden_layer_sizes={"list": [4, 2**40]}), "hidden_layer_sizes"),
    (lambda fields: fields["params"].update(hidden_layer_sizes={"list": [5]}), "W1 must have the shape"),
    (lambda fields: fields["params"].update(loss="squared_error"), "loss must be"),
    (lambda fields: fields["params"].update(random_state={"generator": "RandomState", "state": {}}), "state"),
    (lambda fields: fields.update(n_layers_=4), "n_layers_"),
    (lambda fields: fields.update(n_outputs_=2**31), "W2 must have the shape|sizes|classes"),
    (lambda fields: fields.update(n_features_in_=-1), "n_features_in_"),
    (lambda fields: fields.update(n_features_in_=2**70), "n_features_in_"),
    (lambda fields: fields.update(n_iter_=1.5), "n_iter_"),
    (lambda fields: fields.update(loss_="low"), "loss_"),
    (lambda fields: fields.update(out_activation_="evil"), "out_activation_"),
    (lambda fields: fields.update(other_=1), "other_"),
    (lambda fields: fields.pop("n_layers_"), "lacks n_layers_"),
    (lambda fields: fields.pop("optimizer"), "lacks optimizer"),
    (lambda fields: fields.update(optimizer={}), "optimizer"),
    (lambda fields: fields["optimizer"].update(t=1.5), "t of the optimizer"),
    (lambda fields: fields["optimizer"].update(t=10**400), "t of the optimizer"),
    (lambda fields: fields["optimizer"].update(beta_1="x"), "beta_1"),
    (lambda fields: fields["optimizer"].update(epsilon=float("nan")), "epsilon"),
    (lambda fields: fields.update(_random_state={}), "state"),
    (lambda fields: fields.update(_random_state="random_state"), "state of a generator"),
    (lambda fields: fields["_random_state"]["state"]["state"].update(pos=10**6), "pos"),
    (lambda fields: fields["_random_state"]["state"]["state"].update(key=[1] * 623), "built"),
    (lambda fields: fields["_random_state"]["state"]["state"].update(key=[0] * 624), "all zeros"),
    (lambda fields: fields["_random_state"]["state"].update(gauss=float("nan"), has_gauss=1), "finite"),
    (lambda fields: fields["_random_state"]["state"]["state"]["key"].__setitem__(0, -1), "built|takes"),
    (lambda fields: fields.pop("target"), "target"),
    (lambda fields: fields.update(target=["evil", False]), "target"),
    (lambda fields: fields["classes_"].update(values=[0, 1]), "outputs"),
    (lambda fields: fields["classes_"].update(values=[2, 1, 0]), "ascending"),
    (lambda fields: fields["classes_"].update(values=[0, 1, 1]), "ascending"),
    (lambda fields: fields["classes_"].update(values=[0, 1, 2.5]), "fit the dtype"),
    (lambda fields: fields["classes_"].update(values=[0, 1, 2**70]), "fit the dtype"),
    (lambda fields: fields["classes_"].update(values=[0, 1, [2]]), "fit the dtype"),
    (lambda fields: fields["classes_"].update(dtype="O"), "dtype"),
    (lambda fields: fields["classes_"].update(dtype="<U999999999"), "dtype"),
    (lambda fields: fields["classes_"].update(dtype="strings"), "strings"),
    (lambda fields: fields.update(feature_names_in_=["a"]), "feature_names_in_"),
]


@pytest.mark.parametrize("number", range(len(CHANGES)))
def test_descriptions_of_no_estimator(tmp_path, rng, number):
    change, message = CHANGES[number]
    path = tmp_path / "model.npz"
    MLPClassifier((4,), random_state=0, max_iter=1).fit(*data(rng)).save(path)
    arrays = dict(np.load(path))
    fields = json.loads(arrays["fastnet"].tobytes())
    change(fields)
    arrays["fastnet"] = np.frombuffer(json.dumps(fields).encode(), np.uint8)
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=rf"(?s)model\.npz.*({message})"):
        MLPClassifier.load(path)


def test_every_field_and_array_of_an_estimator_is_needed_or_checked(tmp_path, rng):
    path = tmp_path / "model.npz"
    estimator = MLPClassifier((4,), random_state=0, max_iter=1).fit(*data(rng))
    estimator.save(path)
    optional = set()
    for name in without_each(path):
        try:
            loaded = MLPClassifier.load(path)
        except ValueError:
            continue
        optional.add(name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            loaded.predict(np.zeros((2, 5)))
            loaded.fit(*data(rng))
    assert not optional


# What a changed file says of a fit, so that the next one goes on from there

FORGED = {
    "plain": [
        (lambda fields, arrays: arrays.update(loss_curve_=np.array(0.5)), "loss_curve_"),
        (lambda fields, arrays: arrays.update(loss_curve_=np.zeros((2, 2))), "loss_curve_"),
        (lambda fields, arrays: (arrays.pop("loss_curve_"), fields.update(loss_curve_=None)), "loss_curve_"),
        (lambda fields, arrays: arrays.pop("loss_curve_"), "lacks loss_curve_"),
        (lambda fields, arrays: fields.pop("best_loss_"), "lacks best_loss_"),
        (lambda fields, arrays: fields.update(best_loss_=None), "best_loss_"),
        (lambda fields, arrays: fields.update(best_loss_=float("nan")), "best_loss_"),
        (lambda fields, arrays: fields.update(loss_=None), "loss_ must be a number"),
        (lambda fields, arrays: fields.pop("loss_"), "lacks loss_"),
        (lambda fields, arrays: fields.pop("_no_improvement_count"), "lacks _no_improvement_count"),
        (lambda fields, arrays: fields.update(best_validation_score_=0.5), "best_validation_score_"),
        (lambda fields, arrays: (fields.pop("validation_scores_"), arrays.update(validation_scores_=np.ones(1))),
         "best_loss_"),
        (lambda fields, arrays: fields["params"].update(early_stopping=True), "early_stopping"),
        (lambda fields, arrays: fields.update(out_activation_="exp"), "out_activation_"),
        (lambda fields, arrays: fields["optimizer"].update(beta_1=1.5), "beta_1"),
        (lambda fields, arrays: fields["optimizer"].update(beta_2=1.0), "beta_2"),
        (lambda fields, arrays: fields["optimizer"].update(epsilon=0.0), "epsilon"),
        (lambda fields, arrays: fields["optimizer"].update(learning_rate=-1.0), "learning_rate"),
        (lambda fields, arrays: arrays.update(moment1_W1=-np.ones_like(arrays["moment1_W1"])), "second moments"),
        (lambda fields, arrays: fields.update(target=["multiclass", True]), "sparse"),
        (lambda fields, arrays: fields.update(target=["binary", False]), "binary classes"),
        (lambda fields, arrays: fields.update(target=["multilabel-indicator", False],
                                              classes_={"dtype": "strings", "values": ["a", "b", "c"]}), "columns"),
        (lambda fields, arrays: fields["classes_"].update(dtype="<U3000000", values=["a", "b", "c"]), "too long"),
        (lambda fields, arrays: fields["params"].update(hidden_layer_sizes={"list": ["x"]}), "hidden_layer_sizes"),
    ],
    "stopping": [
        (lambda fields, arrays: fields.update(best_validation_score_=None), "best_validation_score_"),
        (lambda fields, arrays: fields.pop("best_validation_score_"), "lacks best_validation_score_"),
        (lambda fields, arrays: fields.update(best_validation_score_=float("nan")), "best_validation_score_"),
        (lambda fields, arrays: fields.update(best_loss_=0.5), "best_loss_"),
        (lambda fields, arrays: arrays.update(validation_scores_=np.array(0.5)), "validation_scores_"),
        (lambda fields, arrays: (arrays.pop("validation_scores_"), fields.update(validation_scores_=None)),
         "best_loss_|best_validation_score_"),
        (lambda fields, arrays: fields.update(best_is_last=False), "lacks best_W1"),
        (lambda fields, arrays: fields["params"].update(early_stopping=False), "early_stopping"),
    ],
    "regressor": [
        (lambda fields, arrays: fields.update(target=["binary", False]), "target"),
        (lambda fields, arrays: fields.update(classes_={"dtype": "<i8", "values": [0, 1]}), "classes_"),
        (lambda fields, arrays: fields["optimizer"].update(momentum=1.5), "momentum"),
        (lambda fields, arrays: fields["optimizer"].update(lr_schedule="x"), "learning_rate"),
        (lambda fields, arrays: fields.pop("best_loss_"), "lacks best_loss_"),
    ],
    "lbfgs": [
        (lambda fields, arrays: arrays.update(loss_curve_=np.ones(1)), "lacks _no_improvement_count"),
        (lambda fields, arrays: fields.update(loss_=None), "loss_"),
        (lambda fields, arrays: fields["params"].update(solver="adam"), "lacks optimizer"),
    ],
    "new": [
        (lambda fields, arrays: fields["params"].update(hidden_layer_sizes={"list": ["x"]}), "hidden_layer_sizes"),
        (lambda fields, arrays: fields["params"].update(hidden_layer_sizes={"tuple": [0]}), "hidden_layer_sizes"),
        (lambda fields, arrays: fields.update(target=["binary", False]), "n_layers_"),
    ],
}


def of_kind(kind, rng):
    """An estimator that has been fitted in one of the ways there are."""
    X, y = data(rng, "regression" if kind == "regressor" else "multiclass")
    if kind == "regressor":
        return MLPRegressor(hidden_layer_sizes=(4,), solver="sgd", max_iter=2, random_state=0, learning_rate_init=1e-3
                            ).fit(X, y)
    options = {"stopping": {"early_stopping": True}, "lbfgs": {"solver": "lbfgs"}}.get(kind, {})
    estimator = MLPClassifier((4,), random_state=0, max_iter=2, **options)
    return estimator if kind == "new" else estimator.fit(X, y)


@pytest.mark.parametrize("file", ["model.npz", "model.safetensors"])
@pytest.mark.parametrize(("kind", "number"), [(kind, at) for kind, changes in FORGED.items()
                                              for at in range(len(changes))])
def test_fits_that_never_were(tmp_path, rng, kind, number, file):
    change, message = FORGED[kind][number]
    estimator = of_kind(kind, rng)
    fields, arrays = storage.described(estimator)
    arrays = {name: array.copy() for name, array in arrays.items()}
    fields = json.loads(json.dumps(fields))
    change(fields, arrays)
    containers.write(tmp_path / file, type(estimator).__name__, fields, arrays)
    with pytest.raises(ValueError, match=rf"(?s)model\..*({message})"):
        fastnet.load(tmp_path / file)


def interrupted(rng):
    """An estimator whose fit was ended by Ctrl-C before the first epoch was through."""
    estimator = MLPClassifier((4,), random_state=0, max_iter=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fastnet.sklearn.stochastic.Run.epochs", raise_interrupt)
        with pytest.warns(UserWarning, match="interrupted"):
            estimator.fit(*data(rng))
    return estimator


def raise_interrupt(*args):
    raise KeyboardInterrupt


def partly(rng, **options):
    X, y = data(rng)
    return MLPClassifier((4,), random_state=0, **options).partial_fit(X, y, classes=[0, 1, 2])


def refitted(rng, first, second, warm=False):
    """An estimator that was fitted with one solver or option, and then with another."""
    estimator = MLPClassifier((4,), random_state=0, max_iter=2, **first).fit(*data(rng))
    return estimator.set_params(**second, warm_start=warm).fit(*data(rng))


STATES = {
    "interrupted": interrupted,
    "partial_fit": partly,
    "partial_fit, sgd": lambda rng: partly(rng, solver="sgd", learning_rate="adaptive"),
    "several partial_fits": lambda rng: partly(rng).partial_fit(*data(rng)).partial_fit(*data(rng)),
    "fit, then partial_fit": lambda rng: of_kind("plain", rng).partial_fit(*data(rng)),
    "adam, then lbfgs": lambda rng: refitted(rng, {}, {"solver": "lbfgs"}),
    "stopping, then lbfgs": lambda rng: refitted(rng, {"early_stopping": True}, {"solver": "lbfgs"}, True),
    "lbfgs, then sgd": lambda rng: refitted(rng, {"solver": "lbfgs"}, {"solver": "sgd"}),
    "stopping, then not": lambda rng: refitted(rng, {"early_stopping": True}, {"early_stopping": False}),
    "not stopping, then so": lambda rng: refitted(rng, {}, {"early_stopping": True}),
    "adam, then sgd": lambda rng: refitted(rng, {}, {"solver": "sgd"}, True),
    "one class": lambda rng: MLPClassifier((4,), max_iter=2).fit(data(rng)[0], np.ones(60)),
    "scores of NaN": lambda rng: nan_scores(rng),
    "converged": lambda rng: MLPClassifier((4,), tol=9.0, n_iter_no_change=1).fit(*data(rng)),
    "multilabel": lambda rng: MLPClassifier((4,), max_iter=2).fit(*data(rng, "multilabel")),
    "no hidden layer": lambda rng: MLPClassifier((), max_iter=2, n_iter_no_change=float("inf")).fit(*data(rng)),
    **{kind: lambda rng, kind=kind: of_kind(kind, rng) for kind in FORGED},
}


def nan_scores(rng):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MLPClassifier, "_score", lambda *args, **options: np.nan)
        return MLPClassifier((4,), max_iter=2, early_stopping=True).fit(*data(rng))


@names
@pytest.mark.parametrize("state", STATES)
def test_every_state_that_a_fit_leaves_comes_back(tmp_path, rng, state, name):
    estimator = STATES[state](rng)
    estimator.save(tmp_path / name)
    loaded = fastnet.load(tmp_path / name)
    assert same_state(loaded, estimator)
    if state not in ("multilabel", "one class"):
        fit_again(loaded, rng)


def fit_again(estimator, rng):
    if estimator.solver != "lbfgs" and not estimator.early_stopping:
        y = data(rng, "regression" if isinstance(estimator, MLPRegressor) else "multiclass")
        classes = {} if hasattr(estimator, "coefs_") else {"classes": [0, 1, 2]}
        estimator.partial_fit(*y, **classes)
    estimator.set_params(warm_start=True, max_iter=2).fit(*data(
        rng, "regression" if isinstance(estimator, MLPRegressor) else "multiclass"))


@pytest.mark.parametrize(("change", "message"), [
    (lambda estimator: estimator.set_params(hidden_layer_sizes=(5,)), "W1 must have the shape"),
    (lambda estimator: estimator.set_params(early_stopping=True), "early_stopping"),
    (lambda estimator: estimator.set_params(alpha=-1), "alpha"),
    (lambda estimator: vars(estimator).pop("_optimizer"), "optimizer"),
    (lambda estimator: vars(estimator).pop("coefs_"), "coefs_|best_is_last"),
    (lambda estimator: vars(estimator).pop("best_loss_"), "best_loss_"),
])
def test_a_state_that_could_not_be_loaded_is_not_saved(tmp_path, rng, change, message):
    estimator = of_kind("plain", rng)
    estimator.save(tmp_path / "model.npz")
    before = (tmp_path / "model.npz").read_bytes()
    change(estimator)
    with pytest.raises(ValueError, match=rf"(?s)could not be loaded again.*({message})"):
        fastnet.save(estimator, tmp_path / "model.npz")
    assert (tmp_path / "model.npz").read_bytes() == before
