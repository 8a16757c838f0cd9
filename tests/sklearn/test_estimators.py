"""The estimators beside scikit-learn's own, from the same random state: the same numbers, attributes and draws."""

import contextlib
import copy
import pickle
import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn import config_context, neural_network
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import GridSearchCV, LearningCurveDisplay
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_info, threadpool_limits

import fastnet
from fastnet import TwoLayerNet
from fastnet import sklearn as accelerated
from fastnet.engine.idle import Idle
from fastnet.sklearn import MLPClassifier, MLPRegressor, estimators, private, whole_batch
from fastnet.training import session
from fastnet.tuning import IDLE_WORKSPACES

from ..conftest import COMPILED, compiled_only

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

EPOCHS, SAMPLES = (20, 230) if COMPILED else (3, 70)
BATCH = 60 if COMPILED else 30  # the last minibatch of an epoch is smaller
CLASSIFIERS, REGRESSORS = [(getattr(neural_network, name), getattr(accelerated, name))
                           for name in ("MLPClassifier", "MLPRegressor")]
needs_weights = pytest.mark.skipif(not private.has_sample_weight, reason="from scikit-learn 1.7 on")


def digits(task="multiclass"):
    """A part of the digits, with targets for a task."""
    X, y = load_digits(return_X_y=True)
    X, y = X[:SAMPLES] / 16, y[:SAMPLES]
    return X, {"multiclass": y, "binary": y > 4, "strings": np.array(list("abcdefghij"))[y],
               "multilabel": np.stack([y > 4, y % 2 == 0, y % 3 == 0], axis=1).astype(int),
               "regression": y / 3.0, "several outputs": np.stack([y, y**2], axis=1) / 10.0, "counts": y}[task]


def fitted(pair, X, y, fit_parameters=None, **parameters):
    """Both estimators of a pair, fitted from one random state."""
    estimators = [cls(**{"max_iter": EPOCHS, "random_state": 3, "batch_size": BATCH, **parameters}) for cls in pair]
    for estimator in estimators:
        estimator.fit(X, y, **(fit_parameters or {}))
    return estimators


def assert_same(theirs, ours, rtol=1e-6):
    """The same parameters, curves, counters and state of the optimizer."""
    assert ours.n_iter_ == theirs.n_iter_
    assert ours.t_ == theirs.t_
    assert ours._no_improvement_count == theirs._no_improvement_count
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=rtol)
    assert ours.loss_ == pytest.approx(theirs.loss_, rel=rtol)
    for name in ("best_loss_", "best_validation_score_", "validation_scores_"):
        if getattr(theirs, name) is None:
            assert getattr(ours, name) is None
        else:
            np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=rtol)
    groups = [(theirs.coefs_ + theirs.intercepts_, ours.coefs_ + ours.intercepts_)]
    for one, other in zip(private.moments(theirs._optimizer), private.moments(ours._optimizer), strict=True):
        groups += [(list(layer), list(own)) for layer, own in zip(one, other, strict=True)]
    for one, other in groups:
        for expected, actual in zip(one, other, strict=True):
            assert actual.dtype == expected.dtype
            assert actual.shape == expected.shape
            # What cancels to nearly nothing is compared by the size of its array.
            np.testing.assert_allclose(actual, expected, rtol=rtol, atol=1e-9 * np.abs(expected).max())
    assert ours._optimizer.learning_rate == pytest.approx(theirs._optimizer.learning_rate, rel=1e-12)
    assert getattr(ours._optimizer, "t", None) == getattr(theirs._optimizer, "t", None)
    assert vars(ours).keys() == vars(theirs).keys()
    for one, other in zip(ours._random_state.get_state(), theirs._random_state.get_state(), strict=True):
        np.testing.assert_array_equal(one, other)


SOLVERS = {
    "sgd": {"solver": "sgd", "momentum": 0, "learning_rate_init": 0.05},
    "momentum": {"solver": "sgd", "nesterovs_momentum": False, "learning_rate_init": 0.02},
    "nesterov": {"solver": "sgd", "learning_rate_init": 0.02},
    "invscaling": {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.1},
    "adaptive": {"solver": "sgd", "learning_rate": "adaptive", "learning_rate_init": 0.05, "n_iter_no_change": 1,
                 "tol": 0.05},
    "adam": {"solver": "adam"},
}


@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic", "identity"])
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("hidden", [(20, 9), *compiled_only([(20,), (12, 9, 7)])], ids=str)
def test_classification(activation, solver, hidden):
    X, y = digits()
    theirs, ours = fitted(CLASSIFIERS, X, y, activation=activation, hidden_layer_sizes=hidden, **SOLVERS[solver])
    assert_same(theirs, ours)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    assert ours.score(X, y) == theirs.score(X, y)


@pytest.mark.parametrize("task", ["binary", "strings", "multilabel", "regression", "several outputs", "counts"])
@pytest.mark.parametrize("solver", ["adam", *compiled_only(["nesterov"])])
@pytest.mark.parametrize("weighted", [False, pytest.param(True, marks=needs_weights)])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_other_tasks(task, solver, weighted, early_stopping):
    if task == "strings" and early_stopping and not private.has_sample_weight:
        pytest.skip("scikit-learn 1.6 itself fails: it asks whether strings are NaN")
    X, y = digits(task)
    pair, extra = CLASSIFIERS, {}
    if task in ("regression", "several outputs", "counts"):
        pair = REGRESSORS
        if task == "counts":
            if not private.has_sample_weight:
                pytest.skip("Poisson: from scikit-learn 1.7 on")
            extra = {"loss": "poisson"}
    weights = {"sample_weight": np.random.RandomState(0).uniform(0, 2, len(X))} if weighted else {}
    theirs, ours = fitted(pair, X, y, weights, hidden_layer_sizes=(20,), early_stopping=early_stopping, **extra,
                          **{**SOLVERS[solver], "learning_rate_init": 1e-3})
    assert_same(theirs, ours)
    expected, actual = theirs.predict(X), ours.predict(X)
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    if pair is CLASSIFIERS:
        np.testing.assert_array_equal(actual, expected)
        np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(ours.predict_log_proba(X), theirs.predict_log_proba(X), rtol=1e-6, atol=1e-9)
    else:
        np.testing.assert_allclose(actual, expected, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["csr_matrix", "csc_array", *compiled_only(["csc_matrix", "csr_array"])])
@pytest.mark.parametrize("solver", ["nesterov", "adam"])
def test_sparse_input(kind, solver):
    X, y = digits()
    theirs, ours = fitted(CLASSIFIERS, getattr(sparse, kind)(X), y, hidden_layer_sizes=(20,), **SOLVERS[solver],
                          early_stopping=kind == "csr_matrix")
    assert_same(theirs, ours)
    np.testing.assert_allclose(ours.predict_proba(getattr(sparse, kind)(X)), ours.predict_proba(X), rtol=1e-9)
    unsorted = sparse.csr_matrix(X)
    for row in range(len(X)):
        part = slice(unsorted.indptr[row], unsorted.indptr[row + 1])
        unsorted.indices[part], unsorted.data[part] = unsorted.indices[part][::-1], unsorted.data[part][::-1]
    unsorted.has_sorted_indices = False
    before = unsorted.indices.copy()
    other = fitted([MLPClassifier], unsorted, y, hidden_layer_sizes=(20,), **SOLVERS[solver],
                   early_stopping=kind == "csr_matrix")[0]
    assert_same(theirs, other)
    np.testing.assert_array_equal(unsorted.indices, before)


@pytest.mark.parametrize("solver", ["invscaling", "adaptive", "adam"])
def test_warm_start_and_partial_fit(solver):
    X, y = digits()
    theirs, ours = fitted(CLASSIFIERS, X, y, warm_start=True, hidden_layer_sizes=(20,), batch_size=25,
                          **SOLVERS[solver])
    for estimator in (theirs, ours):
        estimator.fit(X, y)
        for start in (0, 20, 40):
            estimator.partial_fit(X[start:start + 30], y[start:start + 30])
    assert_same(theirs, ours)
    fresh = [cls(random_state=0, hidden_layer_sizes=(20,), **SOLVERS[solver]) for cls in CLASSIFIERS]
    for estimator in fresh:
        for start in (0, 20, 40):
            estimator.partial_fit(X[start:start + 30], y[start:start + 30], classes=np.arange(10))
    assert_same(*fresh)


@pytest.mark.parametrize("parameters", [
    {"shuffle": False}, {"batch_size": 1, "max_iter": 2}, {"batch_size": SAMPLES}, {"alpha": 0},
    {"hidden_layer_sizes": 7}, {"hidden_layer_sizes": []}, {"n_iter_no_change": np.inf}, {"tol": 10.0},
    {"random_state": np.random.RandomState(4)}, {"batch_size": "auto"}], ids=str)
def test_parameters(parameters):
    X, y = digits()
    pair = [copy.deepcopy(parameters), copy.deepcopy(parameters)]
    theirs, ours = (fitted([cls], X, y, **own)[0] for cls, own in zip(CLASSIFIERS, pair, strict=True))
    assert_same(theirs, ours)


@pytest.mark.slow
def test_float32_is_computed_in_float32():
    X, y = digits()
    theirs, ours = fitted(CLASSIFIERS, X.astype(np.float32), y, hidden_layer_sizes=(20,))
    assert all(array.dtype == np.float32 for array in ours.coefs_ + ours.intercepts_)
    assert ours.predict_proba(X.astype(np.float32)).dtype == np.float32
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-3)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=1e-2, atol=1e-3)
    assert ours.predict_proba(X).dtype == theirs.predict_proba(X).dtype == np.float64


@pytest.mark.parametrize("convert", [np.asfortranarray, lambda X: X[::2], lambda X: (16 * X).astype(int),
                                     lambda X: X.tolist(), lambda X: X.astype(">f8")])
def test_any_input_that_scikit_learn_takes(convert):
    X, y = digits()
    X = convert(X)
    theirs, ours = fitted(CLASSIFIERS, X, y[:len(X)] if len(X) == SAMPLES else y[::2])
    assert_same(theirs, ours)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=1e-6, atol=1e-12)


def test_warmup():
    assert accelerated.warmup(np.float64, 1) > 0
    for arguments, error in [((int,), ValueError), ((np.float64, 1.5), TypeError), ((np.float64, -1), ValueError)]:
        with pytest.raises(error):
            accelerated.warmup(*arguments)


OLD_OPTIONS = pytest.mark.filterwarnings("ignore:scipy.optimize:DeprecationWarning")
"""Of options of SciPy's that scikit-learn 1.6 gives."""


def compared(pair, X, y, fit_parameters=None, rtol=1e-7, **parameters):
    """Both estimators of a pair after some iterations of lbfgs: the same path, to rounding."""
    options = {"solver": "lbfgs", "max_iter": 8, "hidden_layer_sizes": (20,), **parameters}
    theirs, ours = fitted(pair, X, y, fit_parameters, **options)
    assert vars(ours).keys() == vars(theirs).keys()
    assert ours.n_iter_ == theirs.n_iter_
    assert ours.loss_ == pytest.approx(theirs.loss_, rel=rtol)
    for name in ("coefs_", "intercepts_"):
        for expected, actual in zip(getattr(theirs, name), getattr(ours, name), strict=True):
            assert actual.dtype == expected.dtype
            assert actual.shape == expected.shape
            np.testing.assert_allclose(actual, expected, rtol=100 * rtol, atol=rtol * np.abs(expected).max())


@pytest.fixture
def gradients_seen(monkeypatch):
    """What the engine has made gradients with, each time."""
    seen = []
    take = whole_batch.WholeBatch.backprop
    monkeypatch.setattr(whole_batch.WholeBatch, "backprop",
                        lambda self, *given: seen.append(self) or take(self, *given))
    return seen


@OLD_OPTIONS
@pytest.mark.parametrize("task", ["multiclass", "binary", "strings", "multilabel", "regression", "several outputs",
                                  "counts"])
@pytest.mark.parametrize("weighted", [False, pytest.param(True, marks=needs_weights)])
def test_lbfgs(gradients_seen, task, weighted):
    X, y = digits(task)
    regression = task in ("regression", "several outputs", "counts")
    weights = {"sample_weight": np.random.RandomState(0).uniform(0, 2, len(X))} if weighted else None
    compared(REGRESSORS if regression else CLASSIFIERS, X, y, weights)
    assert len(gradients_seen) > 8


@OLD_OPTIONS
@pytest.mark.parametrize("activation", ["tanh", "logistic", "identity"])
@pytest.mark.parametrize("hidden", [(), (9, 7)], ids=str)
def test_lbfgs_of_any_network(gradients_seen, activation, hidden):
    compared(CLASSIFIERS, *digits(), activation=activation, hidden_layer_sizes=hidden)
    assert gradients_seen


@OLD_OPTIONS
def test_lbfgs_has_one_thread_of_blas_meanwhile(monkeypatch):
    def threads():
        return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]

    X, y = digits()
    fitted([MLPClassifier], X, y, solver="lbfgs", max_iter=1)  # all libraries are loaded then
    seen, backprop = [], whole_batch.WholeBatch.backprop
    monkeypatch.setattr(whole_batch.WholeBatch, "backprop",
                        lambda *args: (seen.append({*threads()}), backprop(*args))[1])
    with threadpool_limits(3, "blas"):
        before = threads()
        fitted([MLPClassifier], X, y, solver="lbfgs", max_iter=1)
        assert threads() == before
    assert seen
    assert all(found == {1} for found in seen)


@OLD_OPTIONS
def test_fits_that_overlap_leave_blas_as_it_was(monkeypatch):
    class Libraries:
        """As threadpoolctl has them: what is brought back is what was found when the limit was set."""

        threads = 4

        @contextlib.contextmanager
        def limit(self, limits, user_api):
            assert user_api == "blas"
            found, self.threads = self.threads, limits
            yield
            self.threads = found

    libraries = Libraries()
    monkeypatch.setattr(whole_batch, "_libraries", lambda: libraries)
    for _ in range(2):
        first, second = contextlib.ExitStack(), contextlib.ExitStack()
        for fit in first, second:
            fit.enter_context(whole_batch.one_blas_thread())
            assert libraries.threads == 1
        first.close()
        second.close()
        assert libraries.threads == 4


@pytest.mark.slow
@OLD_OPTIONS
@pytest.mark.parametrize("convert", [np.float32, np.asfortranarray, sparse.csr_matrix, sparse.csc_matrix,
                                     lambda X: sparse.csr_matrix(X.astype(np.float32))],
                         ids=["float32", "Fortran", "CSR", "CSC", "CSR float32"])
def test_lbfgs_of_data_as_they_come(gradients_seen, convert):
    X, y = digits()
    compared(CLASSIFIERS, convert(X), y, rtol=1e-4 if convert(X).dtype == np.float32 else 1e-7)
    assert gradients_seen


@OLD_OPTIONS
@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_lbfgs_by_parts(monkeypatch, task):
    monkeypatch.setattr(whole_batch, "BLOCK_ROWS", 1)
    monkeypatch.setattr(whole_batch, "PART_BYTES", 50 * 64 * 8)  # 50 samples at a time, the last fewer
    assert SAMPLES % 50
    compared(REGRESSORS if task == "regression" else CLASSIFIERS, *digits(task))


@OLD_OPTIONS
def test_lbfgs_goes_on_from_where_it_was():
    X, y = digits()
    pair = fitted(CLASSIFIERS, X, y, solver="lbfgs", max_iter=4, warm_start=True)
    for estimator in pair:
        estimator.fit(X, y)
    theirs, ours = pair
    assert ours.loss_ == pytest.approx(theirs.loss_, rel=1e-6)
    assert "_backprop" not in vars(ours)
    assert ours.score(X, y) == theirs.score(X, y)


@OLD_OPTIONS
def test_lbfgs_of_a_class_of_ones_own():
    called = []

    class Own(MLPClassifier):
        def _backprop(self, *given):
            called.append(len(given))
            return super()._backprop(*given)

    X, y = digits()
    Own(solver="lbfgs", max_iter=3, random_state=0).fit(X, y)
    assert called


@OLD_OPTIONS
@pytest.mark.parametrize("shape", [(64, 21), (65, 20), (63, 20)])
def test_lbfgs_refuses_parameters_of_other_shapes(monkeypatch, shape):
    """Somebody else may set them at any time: they are looked at whenever gradients are made."""
    unpack = MLPClassifier._unpack

    def other(self, packed):
        unpack(self, packed)
        self.coefs_[0] = np.ones(shape)

    monkeypatch.setattr(MLPClassifier, "_unpack", other)
    with pytest.raises(ValueError, match=r"layers must have the shapes"):
        MLPClassifier((20,), solver="lbfgs", random_state=0).fit(*digits())


@OLD_OPTIONS
def test_nothing_is_left_of_lbfgs_where_it_fails(monkeypatch):
    X, y = digits()
    monkeypatch.setattr(whole_batch.WholeBatch, "backprop", lambda *given: 1 / 0)
    ours = MLPClassifier(solver="lbfgs", random_state=0)
    with pytest.raises(ZeroDivisionError):
        ours.fit(X, y)
    assert "_backprop" not in vars(ours)


@OLD_OPTIONS
def test_lbfgs_shows_no_bar():
    fitted([MLPClassifier], *digits(), solver="lbfgs", hidden_layer_sizes=(5,), verbose="progress")


@pytest.mark.parametrize("parameters", [{}, {"learning_rate": "adaptive", "solver": "sgd", "tol": 1.0,
                                             "n_iter_no_change": 1}, {"early_stopping": True}])
def test_verbose_prints_the_same(capsys, parameters):
    X, y = digits()
    printed = []
    for cls in CLASSIFIERS:
        fitted([cls], X, y, verbose=True, **parameters)
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    assert "Iteration 2, loss = " in printed[0]


def test_progress_bar(capsys):
    X, y = digits()
    fitted([MLPClassifier], X, y, verbose="progress")
    captured = capsys.readouterr()
    assert "MLPClassifier" in captured.err
    assert f"{EPOCHS}/{EPOCHS}" in captured.err
    assert captured.out == ""
    with pytest.raises(ValueError, match="'verbose' parameter"):
        fitted([MLPClassifier], X, y, verbose="loud")


def test_a_bar_ends_where_training_stops_early(capsys):
    tqdm = pytest.importorskip("tqdm").tqdm
    X, y = digits()
    net = MLPClassifier((5,), early_stopping=True, n_iter_no_change=1, tol=10, max_iter=50, random_state=0,
                        verbose="progress").fit(X[:200], y[:200])
    assert not tqdm._instances
    last = capsys.readouterr().err.replace("\r", "\n").splitlines()[-1]
    assert net.n_iter_ < 50
    assert f" {net.n_iter_}/50 [" in last
    assert f"loss={net.loss_:.4g}, val_score={net.validation_scores_[-1]:.4g}" in last
    assert "epoch" in last


def test_warnings_are_the_same():
    X, y = digits()
    messages = []
    for cls in CLASSIFIERS:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            fitted([cls], X, y, batch_size=10 * SAMPLES, max_iter=2)
        messages.append([(str(warning.message), warning.category) for warning in caught])
    assert messages[0] == messages[1]
    assert messages[0][-1][1] is ConvergenceWarning


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("rows", [1, 5])
def test_not_finite(bad, rows):
    X, y = digits()
    theirs, ours = fitted(CLASSIFIERS, X, y, max_iter=2)
    X = X[:rows].copy()
    X[-1, 3] = bad
    messages = []
    for estimator in (theirs, ours):
        with pytest.raises(ValueError, match="Input X contains") as caught:
            estimator.predict(X)
        messages.append(str(caught.value).replace("MLPClassifier", ""))
    assert messages[0] == messages[1]
    with config_context(assume_finite=True), np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(np.isnan(ours.predict_proba(X)), np.isnan(theirs.predict_proba(X)))


@pytest.mark.parametrize("X", [np.zeros((2, 63)), np.zeros(64), np.zeros((0, 64)), np.zeros((2, 64), complex),
                               np.array([["a"] * 64])])
def test_wrong_input_has_scikit_learn_s_message(X):
    theirs, ours = fitted(CLASSIFIERS, *digits(), max_iter=2)
    messages = []
    for estimator in (theirs, ours):
        with pytest.raises(ValueError) as caught:  # noqa: PT011 (the messages are compared)
            estimator.predict(X)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


def test_not_fitted():
    for cls in (MLPClassifier, MLPRegressor):
        with pytest.raises(NotFittedError):
            cls().predict(np.zeros((1, 2)))


@needs_weights
def test_a_minibatch_without_weight_is_refused_as_by_scikit_learn():
    X, y = digits()
    for cls in CLASSIFIERS:
        with pytest.raises(ZeroDivisionError, match="Weights sum to zero"):
            cls(max_iter=1, batch_size=10).fit(X, y, sample_weight=np.arange(len(X)) == 0)


@pytest.mark.parametrize("change", [
    lambda estimator: setattr(estimator, "coefs_", [np.asfortranarray(W) for W in estimator.coefs_]),
    lambda estimator: setattr(estimator, "coefs_", [W.astype(np.float32) for W in estimator.coefs_]),
    lambda estimator: [W.setflags(write=False) for W in estimator.coefs_]])
def test_parameters_of_unusual_kinds_are_left_to_scikit_learn(change):
    X, y = digits()
    theirs, ours = fitted(CLASSIFIERS, X, y, max_iter=2)
    change(theirs)
    change(ours)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=1e-5)


@pytest.mark.parametrize("change", [
    lambda estimator: estimator.coefs_.pop(), lambda estimator: estimator.intercepts_.pop(),
    lambda estimator: estimator.coefs_.reverse(), lambda estimator: estimator.intercepts_.reverse(),
    lambda estimator: estimator.coefs_.__setitem__(0, estimator.coefs_[0][:-1]),
    lambda estimator: estimator.coefs_.__setitem__(1, estimator.coefs_[1][:-1]),
    lambda estimator: estimator.coefs_.__setitem__(1, np.ascontiguousarray(estimator.coefs_[1][:, :-1])),
    lambda estimator: setattr(estimator, "n_features_in_", 63)])
def test_parameters_that_do_not_fit_each_other(change):
    X, y = digits()
    outcomes = []
    for estimator in fitted(CLASSIFIERS, X, y, max_iter=2):
        change(estimator)
        for method, arguments in [("predict", (X,)), ("predict", (X[:, :63],)), ("partial_fit", (X, y))]:
            try:
                getattr(estimator, method)(*arguments)
                outcomes.append(None)
            except Exception as error:  # whatever NumPy and scikit-learn say
                outcomes.append((type(error), str(error)))
    assert outcomes[:3] == outcomes[3:]
    assert any(outcomes)


def test_unpickled_estimators_are_as_fast(monkeypatch):
    X, y = digits()
    (ours,) = fitted([MLPClassifier], X, y, max_iter=2)
    calls = []
    real = estimators.passes.infer
    monkeypatch.setattr(estimators.passes, "infer", lambda *args, **options: calls.append(1) or real(*args, **options))
    for estimator in (ours, pickle.loads(pickle.dumps(ours)), copy.deepcopy(ours), MLPClassifier.from_sklearn(ours)):
        estimator.predict(X)
    assert len(calls) == 4


def test_conversions_and_copies():
    X, y = digits()
    (ours,) = fitted([MLPClassifier], X, y, verbose="progress")
    theirs = ours.to_sklearn()
    assert type(theirs) is neural_network.MLPClassifier
    assert theirs.verbose is False
    np.testing.assert_allclose(theirs.predict_proba(X), ours.predict_proba(X), rtol=1e-12)
    back = MLPClassifier.from_sklearn(theirs)
    assert type(back) is MLPClassifier
    before = ours.predict_proba(X)
    for estimator in (theirs, back, pickle.loads(pickle.dumps(ours)), copy.deepcopy(ours)):
        estimator.partial_fit(X, y)
        np.testing.assert_array_equal(ours.predict_proba(X), before)  # nothing is shared
        np.testing.assert_allclose(estimator.coefs_[0], theirs.coefs_[0], rtol=1e-9, atol=1e-12)
    assert clone(ours).get_params() == ours.get_params()
    assert not hasattr(clone(ours), "coefs_")
    assert MLPRegressor.from_sklearn(neural_network.MLPRegressor(alpha=7)).alpha == 7
    with pytest.raises(TypeError, match=r"estimator must be a sklearn\.neural_network\.MLPClassifier, got MLPR"):
        MLPClassifier.from_sklearn(neural_network.MLPRegressor())


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_two_layer_net_to_scikit_learn_and_back(classes, dtype):
    X, y = digits()
    X, y = X.astype(dtype), y % classes
    net = TwoLayerNet(64, 12, classes, std=0.3, dtype=dtype, rng=0)
    theirs = net.to_sklearn()
    assert type(theirs) is neural_network.MLPClassifier
    slack = 100 * np.finfo(dtype).eps
    np.testing.assert_allclose(theirs.predict_proba(X), net.predict_proba(X), rtol=slack, atol=slack)
    np.testing.assert_array_equal(theirs.predict(X), net.predict(X))
    before = net.loss(X)
    theirs.partial_fit(X, y)
    np.testing.assert_array_equal(net.loss(X), before)
    back = TwoLayerNet.from_sklearn(theirs, rng=1, l2="half")
    assert back.dtype == dtype
    assert back.l2 == "half"
    np.testing.assert_allclose(back.predict_proba(X), theirs.predict_proba(X), rtol=slack, atol=slack)
    back.train(X, y, X, y, num_iters=1)
    fitted_ones = fitted(CLASSIFIERS, X, np.array(["b", "a", *"cdefghij"])[y], max_iter=2, hidden_layer_sizes=(12,))
    for estimator in fitted_ones:
        labels = estimator.classes_[TwoLayerNet.from_sklearn(estimator).predict(X)]
        np.testing.assert_array_equal(labels, estimator.predict(X))


def test_what_is_no_two_layer_net():
    X, y = digits()
    with pytest.raises(ValueError, match="one class has no counterpart"):
        TwoLayerNet(4, 3, 1).to_sklearn()
    with pytest.raises(TypeError, match="estimator must be a MLPClassifier, got MLPRegressor"):
        TwoLayerNet.from_sklearn(MLPRegressor())
    with pytest.raises(NotFittedError):
        TwoLayerNet.from_sklearn(MLPClassifier())
    for parameters, targets, message in [
            ({"hidden_layer_sizes": (5, 5)}, y, "one hidden layer with the activation 'relu', got 2 with 'relu'"),
            ({"activation": "tanh"}, y, "got 1 with 'tanh'"),
            ({}, digits("multilabel")[1], "must choose one of several classes, got 3 outputs for 3 classes")]:
        with pytest.raises(ValueError, match=message):
            TwoLayerNet.from_sklearn(fitted([MLPClassifier], X, targets, max_iter=1, **parameters)[0])


@pytest.mark.parametrize("task", ["multiclass", "binary", "regression"])
def test_onnx_gives_the_same(task):
    skl2onnx, onnxruntime = pytest.importorskip("skl2onnx"), pytest.importorskip("onnxruntime")
    X, y = digits(task)
    X = X.astype(np.float32)
    (ours,) = fitted([MLPRegressor if task == "regression" else MLPClassifier], X, y)
    options = {} if task == "regression" else {"options": {"zipmap": False}}
    model = skl2onnx.to_onnx(ours.to_sklearn(), X[:1], **options)
    outputs = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"X": X})
    if task == "regression":
        np.testing.assert_allclose(outputs[0][:, 0], ours.predict(X), atol=1e-5)
    else:
        np.testing.assert_array_equal(outputs[0], ours.predict(X))
        np.testing.assert_allclose(outputs[1], ours.predict_proba(X), rtol=0, atol=1e-5)


def test_pipelines_and_data_frames():
    pandas = pytest.importorskip("pandas")
    X, y = digits()
    frame = pandas.DataFrame(X, columns=[f"pixel {n}" for n in range(64)])
    pipeline = make_pipeline(StandardScaler(), MLPClassifier(max_iter=2, random_state=0)).set_output(transform="pandas")
    pipeline.fit(frame, y)
    assert list(pipeline[-1].feature_names_in_) == list(pipeline[0].get_feature_names_out())
    expected = make_pipeline(StandardScaler(), neural_network.MLPClassifier(max_iter=2, random_state=0)).fit(frame, y)
    np.testing.assert_array_equal(pipeline.predict(frame), expected.predict(frame))
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        pipeline[-1].predict(X)


@pytest.mark.slow
@pytest.mark.skipif(not COMPILED, reason="slow without compilation")
@pytest.mark.parametrize(("backend", "layer"), [("loky", "default"), ("threading", "workqueue")])
def test_grid_search(run_python, backend, layer):
    script = """
import sys, warnings
import joblib
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn import neural_network
from fastnet.sklearn import MLPClassifier
warnings.simplefilter("ignore")
if __name__ == "__main__":
    X, y = load_digits(return_X_y=True)
    results = []
    for cls in (neural_network.MLPClassifier, MLPClassifier):
        grid = {"alpha": [1e-4, 1.0], "hidden_layer_sizes": [(9,), (20,)]}
        search = GridSearchCV(cls(max_iter=5, random_state=0), grid, n_jobs=2, cv=2)
        with joblib.parallel_backend(sys.argv[1]):
            results.append(search.fit(X, y).cv_results_["mean_test_score"].tolist())
    assert results[0] == results[1], results
"""
    run_python(script, backend, PYTHONWARNINGS="ignore", NUMBA_THREADING_LAYER=layer)


def test_learning_curve_display():
    pytest.importorskip("matplotlib").use("Agg")
    X, y = digits()
    display = LearningCurveDisplay.from_estimator(MLPClassifier(max_iter=2, random_state=0), X, y, cv=2,
                                                  train_sizes=[0.5, 1.0])
    assert display.test_scores.shape == (2, 2)
    search = GridSearchCV(MLPRegressor(max_iter=1, random_state=0), {"alpha": [1, 2]}, cv=2).fit(X, y)
    assert isinstance(search.best_estimator_, MLPRegressor)


def test_patch_and_back():
    originals = neural_network.MLPClassifier, neural_network.MLPRegressor
    try:
        for _ in range(2):
            fastnet.patch_sklearn()
            assert neural_network.MLPClassifier is MLPClassifier
            assert neural_network.MLPRegressor is MLPRegressor
            assert (neural_network._multilayer_perceptron.MLPClassifier, ) == originals[:1]
        # The originals are still about: they can be pickled and converted.
        X, y = digits()
        theirs = TwoLayerNet(64, 3, 10, rng=0).to_sklearn()
        assert type(pickle.loads(pickle.dumps(theirs))) is originals[0]
        assert TwoLayerNet.from_sklearn(theirs).params["W1"].shape == (64, 3)
        assert type(fitted([MLPClassifier], X, y, max_iter=1)[0].to_sklearn()) is originals[0]
    finally:
        for _ in range(2):
            fastnet.unpatch_sklearn()
    assert (neural_network.MLPClassifier, neural_network.MLPRegressor) == originals


@pytest.mark.slow
@pytest.mark.skipif(not COMPILED, reason="nothing that is compiled has a part in it")
def test_a_script_is_run_unchanged(tmp_path, run_python):
    script = tmp_path / "script.py"
    (tmp_path / "neighbour.py").write_text("value = 7\n")
    script.write_text("import sys, neighbour\nfrom sklearn.neural_network import MLPClassifier\n"
                      "print(MLPClassifier.__module__, sys.argv[1:], __name__, neighbour.value)\n")
    run = "import runpy; runpy.run_module('fastnet.sklearn', run_name='__main__', alter_sys=True)"
    outputs = run_python(run, script, "an argument", check=False)
    assert outputs.stdout.split("\n")[0] == "fastnet.sklearn.estimators ['an argument'] __main__ 7"
    assert "there is no file" in run_python(run, tmp_path / "none.py", check=False).stderr
    assert "usage: " in run_python(run, check=False).stderr
    assert "usage: " in run_python(run, "--help", check=False).stdout


def test_an_unknown_version_is_refused(monkeypatch):
    monkeypatch.setattr(neural_network.MLPClassifier, "_predict", lambda self, X, mode: None)
    with pytest.raises(ImportError, match=r"_predict was expected to take .*, it takes \['self', 'X', 'mode'\]"):
        private._check()


def test_a_version_with_other_attributes_is_refused(monkeypatch):
    monkeypatch.setattr(private, "_STATE", ("_optimizer", "_of_old"))
    with pytest.raises(ImportError, match="MLPClassifier has no _of_old"):
        private._check()


SPAWNS = """
import multiprocessing
class Own:
    pass
if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print([type(result).__name__ for result in pool.map(type, [Own()])], __file__)
"""


@pytest.mark.skipif(not COMPILED, reason="nothing that is compiled has a part in it")
def test_a_script_may_start_processes(tmp_path, run_python):
    (tmp_path / "script.py").write_text(SPAWNS)
    run = "import runpy; runpy.run_module('fastnet.sklearn', run_name='__main__', alter_sys=True)"
    assert run_python(run, tmp_path / "script.py").split() == ["['type']", str(tmp_path / "script.py")]


def both(X, y, steps, **parameters):
    """What each of some steps does with both classifiers: None, or the error; and the two."""
    pair = [cls(**{"max_iter": 4, "random_state": 1, "batch_size": 30, "hidden_layer_sizes": (9,), **parameters})
            for cls in CLASSIFIERS]
    outcomes = []
    for estimator in pair:
        outcomes.append([])
        for step in steps:
            try:
                step(estimator)
                outcomes[-1].append(None)
            except Exception as error:  # to be compared
                outcomes[-1].append(error)
    assert [type(error) for error in outcomes[0]] == [type(error) for error in outcomes[1]]
    return outcomes[1], *pair


@pytest.mark.parametrize("changes", [
    {"beta_1": 0.5}, {"beta_2": 0.9}, {"epsilon": 0.1}, {"solver": "sgd"}, {"alpha": 1.0}, {"activation": "tanh"},
    {"shuffle": False}, {"learning_rate_init": 0.5}], ids=str)
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_parameters_that_are_set_between_calls(changes, solver):
    X, y = digits()
    changes = {name: "adam" if (name, solver) == ("solver", "sgd") else value for name, value in changes.items()}
    changes |= {"momentum": 0.3, "nesterovs_momentum": False} if solver == "sgd" else {}
    errors, theirs, ours = both(X, y, [
        lambda estimator: estimator.partial_fit(X, y, classes=np.arange(10)),
        lambda estimator: estimator.set_params(**changes).partial_fit(X, y)], solver=solver)
    assert errors == [None, None]
    assert_same(theirs, ours)


@pytest.mark.parametrize("sizes", [((9,), (12, 5)), ((9, 4), (9,)), ((9, 4), ()), ((9,), (12,))])
def test_hidden_layers_that_are_set_between_fits(sizes):
    X, y = digits()
    both(X, y, [lambda estimator: estimator.fit(X, y),
                lambda estimator: estimator.set_params(hidden_layer_sizes=sizes[1]).fit(X, y)],
         warm_start=True, hidden_layer_sizes=sizes[0])


@pytest.mark.parametrize("output", ["tanh", "relu", "softmax", "logistic", pytest.param("exp", marks=needs_weights)])
def test_outputs_of_one_s_own(output):
    X, y = digits("regression")
    y = np.stack([y, y / 2], axis=1) / 4
    pair = [cls(hidden_layer_sizes=(9,), random_state=0, batch_size=30).partial_fit(X, y) for cls in REGRESSORS]
    for estimator in pair:
        estimator.out_activation_ = output
        estimator.partial_fit(X, y)
    assert_same(*pair)
    np.testing.assert_allclose(pair[1].predict(X), pair[0].predict(X), rtol=1e-6, atol=1e-9)


def test_loss_that_is_changed():
    X, y = digits()
    pair = [cls(hidden_layer_sizes=(9,), random_state=0, batch_size=30) for cls in CLASSIFIERS]
    for estimator in pair:
        estimator.partial_fit(X, y, classes=np.arange(10))
        estimator.loss = "squared_error"
        estimator.partial_fit(X, y)
    assert_same(*pair)


def test_methods_of_one_s_own():
    X, y = digits()
    results = []
    for cls in CLASSIFIERS:
        class Own(cls):
            def _backprop(self, *args):
                loss, coefs, intercepts = super()._backprop(*args)
                return loss, [2 * gradient for gradient in coefs], intercepts

        class Watching(cls):
            def _update_no_improvement_count(self, *args):
                self.__dict__.setdefault("seen", []).append(self.coefs_[0].copy())
                super()._update_no_improvement_count(*args)

        class Sure(cls):
            def _forward_pass_fast(self, X, check_input=True):
                return np.eye(10)[np.full(len(X), 3)]

        own, watching, sure = fitted([Own, Watching, Sure], X, y)
        results.append([*own.coefs_, *watching.seen, sure.predict(X)])
    for expected, actual in zip(*results, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-12)


def test_attributes_that_are_set_by_hand():
    X, y = digits()
    for estimator in fitted(CLASSIFIERS, X, y, max_iter=2):
        estimator.classes_ = np.array(list("abcdefghij"))
        assert estimator.predict(X).dtype.kind == "i"
        del estimator.n_features_in_
        assert len(estimator.predict(X)) == len(X)


def test_targets_that_are_no_numbers():
    X, _ = digits()
    for cls in REGRESSORS:
        with pytest.raises(TypeError):  # NumPy's
            cls(hidden_layer_sizes=(9,), max_iter=2).fit(X, ["1.0"] * len(X))


@needs_weights
def test_a_minibatch_without_weight_ends_a_fit_where_it_comes():
    X, y = digits()
    weights = np.append(np.ones(45), np.zeros(len(X) - 45))
    for shuffle in (False, True):
        errors, theirs, ours = both(X, y, [lambda estimator: estimator.fit(X, y, sample_weight=weights)],
                                    shuffle=shuffle, batch_size=10)
        assert shuffle or type(errors[0]) is ZeroDivisionError
        assert ours._optimizer.t == theirs._optimizer.t
        assert shuffle or ours._optimizer.t > 0
        for expected, actual in zip(theirs.coefs_, ours.coefs_, strict=True):
            np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-12)


def test_parameters_that_share_memory():
    X, y = digits()

    def tie(estimator):
        estimator.coefs_[2] = estimator.coefs_[1]

    _, theirs, ours = both(X, y, [lambda estimator: estimator.partial_fit(X, y, classes=np.arange(10)), tie,
                                  lambda estimator: estimator.partial_fit(X, y)], hidden_layer_sizes=(10, 10))
    assert_same(theirs, ours)


def test_numbers_beyond_float32():
    X, y = digits("regression")
    theirs, ours = fitted(REGRESSORS, X.astype(np.float32), y * 1e39, max_iter=2)
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-5)


@pytest.mark.slow
def test_a_stale_flag_of_a_sparse_matrix():
    X, y = digits()
    matrix = sparse.csr_matrix(X)
    assert matrix.has_sorted_indices  # SciPy remembers that
    matrix.indices = np.random.RandomState(0).permutation(64).astype(np.int32)[matrix.indices]
    theirs, ours = fitted(CLASSIFIERS, matrix, y)
    assert_same(theirs, ours)


INTERRUPTED = """
import os, signal, sys, warnings
import numpy as np
from fastnet.sklearn import MLPRegressor
from fastnet.training.session import Session
signal.signal(signal.SIGINT, signal.default_int_handler)  # what is run in the background may be born without
random = np.random.RandomState(0)
X, y = random.standard_normal((300, 5)), random.standard_normal(300)
calls = []
real = Session.run

def interrupted(*args):
    calls.append(1)
    if len(calls) == 4:
        os.kill(os.getpid(), signal.SIGINT)
    return real(*args)

Session.run = interrupted
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    net = MLPRegressor(max_iter=100000, tol=0, n_iter_no_change=100000, random_state=0).fit(X, y)
assert [str(warning.message) for warning in caught] == ["Training interrupted by user."], caught
assert 0 < net.n_iter_ == len(net.loss_curve_) < 100000
assert len(calls) == 4
assert np.isfinite(net.predict(X)).all()
"""


def test_ctrl_c_warns_and_keeps_what_was_learned(run_python):
    run_python(INTERRUPTED, PYTHONWARNINGS="ignore")


@pytest.mark.parametrize("classes", [[0, 1, 2], [-5, 3], [7, 1000, 2**40]])
@pytest.mark.parametrize("dtype", [np.int64, np.int8, np.uint16])
def test_plain_labels_of_partial_fit_are_taken_as_scikit_learn_takes_them(rng, monkeypatch, classes, dtype):
    # What scikit-learn's validation makes of labels, and which it refuses, for those that are looked at here alone.
    X = rng.standard_normal((30, 3))
    ours = MLPClassifier((4,), random_state=0)
    ours.partial_fit(X, np.resize(classes, 30), classes=classes)
    validated = []
    original = neural_network.MLPClassifier._validate_input
    monkeypatch.setattr(neural_network.MLPClassifier, "_validate_input",
                        lambda *args: validated.append(1) or original(*args))
    for labels in (classes[:1], [classes[1]] * 3, classes * 15, [classes[0]] * 25, [1, *classes], [100]):
        if max(labels) > np.iinfo(dtype).max or min(labels) < np.iinfo(dtype).min:
            continue
        y, results = np.array(labels, dtype), []
        for call in (ours._validate_input, lambda *args: original(ours, *args)):
            try:
                results.append(call(X[:1].repeat(len(y), axis=0), y, True, False)[1])
            except ValueError as error:
                results.append(str(error))
        if isinstance(results[1], str):
            assert results[0] == results[1]
        else:
            assert results[0].dtype == results[1].dtype
            np.testing.assert_array_equal(*results)
    count = len(validated)
    ours.partial_fit(X, np.resize(classes, 30))
    assert len(validated) == count  # the short way
    for X_bad, y_bad in [(np.full((30, 3), np.nan), np.resize(classes, 30)), (X, np.full(30, 77)),
                         (X[:, :2].copy(), np.resize(classes, 30)), (X, np.resize(classes, 29))]:
        with pytest.raises(ValueError, match=r"NaN|classes|features|inconsistent"):
            ours.partial_fit(X_bad, y_bad)


def test_scores_of_early_stopping_are_scikit_learns(rng):
    for size in (2, 3, 17, 100, 1001):
        noise, ones, steps = rng.standard_normal(size), np.ones(size), np.arange(size) * 1.0
        for y, predicted in [(noise, steps), (steps, noise), (ones, ones), (ones, noise), (steps, steps)]:
            assert estimators._r2(y, predicted) == r2_score(y, predicted)
            assert estimators._r2(y.reshape(-1, 1), predicted) == r2_score(y, predicted)
            assert estimators._r2(y.astype(np.float32), predicted) == r2_score(y.astype(np.float32), predicted)
        labels, others = rng.randint(3, size=size), rng.randint(3, size=size)
        for y, predicted in [(labels, others), (labels.astype(str), others.astype(str))]:
            assert estimators._accuracy(y, predicted) == accuracy_score(y, predicted)
            weights = rng.uniform(size=size)
            assert estimators._accuracy(y, predicted, weights) == accuracy_score(y, predicted, sample_weight=weights)
        both = rng.randint(2, size=(size, 2))
        assert estimators._accuracy(both, both[::-1]) == accuracy_score(both, both[::-1])


@pytest.mark.parametrize("solver", ["momentum", "adam"])
def test_partial_fit_by_turns(monkeypatch, solver):
    """Two estimators of the same sizes work on the same buffers in turn, after one that has broken them."""
    idle = Idle()
    monkeypatch.setattr(session, "_idle", idle)
    X, y = digits()
    broken = MLPClassifier((20,), random_state=0, batch_size=BATCH, **SOLVERS[solver])
    broken.partial_fit(X, y, classes=np.unique(y))
    for array in broken.coefs_ + broken.intercepts_:
        array.fill(np.inf)
    with contextlib.suppress(ValueError), np.errstate(all="ignore"):
        broken.partial_fit(X, y)
    pairs = [[cls((20,), random_state=seed, batch_size=BATCH, **SOLVERS[solver]) for cls in CLASSIFIERS]
             for seed in (1, 2)]
    for part in (X, -X, X[::-1]):
        for scale, pair in enumerate(pairs, start=1):
            for estimator in pair:
                estimator.partial_fit(part / scale, y, classes=np.unique(y))
    for theirs, ours in pairs:
        assert_same(theirs, ours)
    assert 0 < len(idle) <= IDLE_WORKSPACES
    assert all(workspace._checked_labels is None for _, workspace in idle._things.values())


def test_large_workspaces_are_not_kept(monkeypatch):
    idle = Idle()
    monkeypatch.setattr(session, "_idle", idle)
    monkeypatch.setattr(session, "IDLE_BYTES", 0)
    theirs, ours = fitted(CLASSIFIERS, *digits())
    assert_same(theirs, ours)
    assert len(idle) == 0
