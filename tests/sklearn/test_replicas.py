"""Replicas on shards in one process: rounds are pure, averages are weighted, scores are those of all samples."""

import itertools
import pickle
import sys
import warnings
from functools import reduce

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, r2_score

from fastnet.sklearn import MLPClassifier, MLPRegressor, averaging, replicas

OPTIONS = {"hidden_layer_sizes": (4,), "max_iter": 3, "random_state": 0, "batch_size": 5}


def shards_of(estimator, cuts, X, y, weights=None):
    """The estimator at its beginning, and the shards of samples that are cut at these places."""
    few = np.repeat(np.unique(y), 3) if isinstance(estimator, MLPClassifier) else np.zeros((2, *y.shape[1:]))
    begun = averaging.begun(estimator, np.zeros((len(few), X.shape[1])), few)
    model, generators = replicas.model_of(begun), averaging.generators(begun, len(cuts) - 1)
    return begun, [replicas.shard_of(model, part, X[start:stop], y[start:stop],
                                     None if weights is None else weights[start:stop], generators[part], len(cuts) - 1)
                   for part, (start, stop) in enumerate(itertools.pairwise(cuts))]


def fitted(estimator, cuts, X, y, **options):
    begun, shards = shards_of(estimator, cuts, X, y)

    def take_round(state, busy):
        # Through pickles, as it comes to another process; and once more, as if it had been lost.
        found = [replicas.train(state, shards[place]) for place in busy]
        again = [replicas.train(*pickle.loads(pickle.dumps((state, shards[place])))) for place in busy]
        assert [one.buffer.tobytes() for one in found] == [one.buffer.tobytes() for one in again]
        return reduce(replicas.average, found)

    def score(state):
        tallies = [replicas.of_validation(state, shard) for shard in shards]
        return replicas.judged([tally for tally in tallies if tally is not None])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return averaging.fit_replicas(begun, [(len(shard.used), shard.steps) for shard in shards],
                                      options.get("sync"), options.get("outer_momentum", 0.0), take_round, score)


@pytest.mark.parametrize("options", [{}, {"early_stopping": True, "validation_fraction": 0.3}], ids=["all", "early"])
def test_one_shard_is_a_local_fit(rng, options):
    X, y = rng.normal(size=(30, 3)), rng.randint(0, 3, 30)
    for local, truth in ((MLPClassifier(**OPTIONS, **options), y), (MLPRegressor(**OPTIONS, **options), X[:, :2])):
        ours = fitted(local, [0, 30], X, truth)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            local.fit(X, truth)
        assert all(map(np.array_equal, ours.coefs_ + ours.intercepts_, local.coefs_ + local.intercepts_))
        assert ours.loss_curve_ == local.loss_curve_
        assert ours.validation_scores_ == local.validation_scores_


def test_several_shards_with_momentum_and_rounds_of_a_step(rng):
    X, y = rng.normal(size=(31, 3)), rng.randint(0, 2, 31)
    models = [fitted(MLPClassifier(**OPTIONS, early_stopping=early, validation_fraction=0.4), [0, 14, 30, 31], X, y,
                     sync=sync, outer_momentum=momentum)
              for early, sync, momentum in ((False, None, 0.0), (False, 1, 0.0), (False, 1, 0.9), (True, 1, 0.0))]
    assert len({model.coefs_[0].tobytes() for model in models}) == 4
    assert all(model.t_ == 3 * 31 for model in models[:3])
    # Of a single sample nothing is set aside.
    assert models[3].t_ == 3 * (31 - 6 - 7)


def test_an_order_is_the_same_wherever_it_is_drawn(rng):
    X, y = rng.normal(size=(40, 3)), rng.randint(0, 3, 40)
    _, (shard, other) = shards_of(MLPClassifier(**OPTIONS), [0, 20, 40], X, y)
    orders = [shard.order(epoch).tolist() for epoch in range(4)]
    assert len(set(map(tuple, orders))) == 4
    assert all(sorted(order) == list(range(20)) for order in orders)
    copied = pickle.loads(pickle.dumps(shard))
    assert copied.latest is None
    assert copied.order(3).tolist() == orders[3]
    assert shard.order(1).tolist() == orders[1]  # asked for late: a round is computed once more
    assert other.order(0).tolist() != orders[0]
    assert sys.getsizeof(shard) > shard.X.nbytes


def test_averages_are_weighted():
    one, two = replicas.Partial(np.full(3, 1.0), 1, 2.0, 5), replicas.Partial(np.full(3, 5.0), 3, 1.0, 4)
    found = replicas.average(one, two)
    assert found.buffer.tolist() == [4.0, 4.0, 4.0]
    assert (found.samples, found.loss, found.steps) == (4, 3.0, 5)
    third = replicas.Partial(np.full(3, 0.1), 7, 0.0, 1)
    assert replicas.average(third, third).buffer.tolist() == [0.1, 0.1, 0.1]
    assert two.buffer.tolist() == [5.0, 5.0, 5.0]


def test_tallies_make_the_score_of_all(rng):
    class Known:
        def __init__(self, kind, predicted):
            self._estimator_type, self.predicted = kind, predicted

        def predict(self, X):
            return self.predicted[X]

        def __sklearn_tags__(self):
            return type("Tags", (), {"estimator_type": self._estimator_type})

    w = rng.uniform(0.5, 2, 30)
    parts = [np.arange(4), np.arange(4, 29), np.arange(29, 30)]
    for truth, predicted, kind, metric in (
            (rng.randint(0, 3, 30), rng.randint(0, 3, 30), "classifier", accuracy_score),
            (rng.randint(0, 2, (30, 2)), rng.randint(0, 2, (30, 2)), "classifier", accuracy_score),
            (rng.normal(size=30), rng.normal(size=30), "regressor", r2_score),
            (rng.normal(size=(30, 3)) + 1e3, rng.normal(size=(30, 3)) + 1e3, "regressor", r2_score),
            (np.ones(30), np.ones(30), "regressor", r2_score)):
        for weights in (None, w):
            found = replicas.judged([replicas.tally(Known(kind, predicted), part, truth[part],
                                                    None if weights is None else weights[part]) for part in parts])
            assert found == pytest.approx(metric(truth, predicted, sample_weight=weights), rel=1e-9)
