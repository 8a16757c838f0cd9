"""The estimators: the local ones' parameters and attributes, on collections of Dask."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any, Self

import numpy as np
from dask.delayed import delayed
from distributed import Client, get_client
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, is_classifier
from sklearn.utils.validation import check_is_fitted

from .. import sklearn as local
from ..checks import integer, number, shortened
from ..sklearn import averaging, replicas
from . import shards
from .predictions import lazily, tallied
from .rounds import Cluster, same

__all__ = ["MLPClassifier", "MLPRegressor"]


def _with_parameters_of(cls: type) -> Callable[..., None]:
    """Return an `__init__` with the parameters of a local class, and those of a cluster."""
    own = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default)
           for name, default in (("client", None), ("sync", "epoch"), ("outer_momentum", 0.0))]
    known = inspect.signature(cls.__init__)  # type: ignore[misc]
    signature = known.replace(parameters=[*known.parameters.values(), *own])

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        for name, value in list(bound.arguments.items())[1:]:
            setattr(self, name, value)

    __init__.__signature__ = signature  # type: ignore[attr-defined]
    return __init__


_OF_A_CLUSTER = ("client", "sync", "outer_momentum")


class _Distributed(BaseEstimator):
    """What the two estimators have in common."""

    _local: Any

    @property
    def client_(self) -> Client:
        """The client whose cluster is used: that of the parameter, or the current one of Dask."""
        if self.client is not None:
            if not isinstance(self.client, Client):
                raise TypeError(f"client must be a distributed.Client or None, got {shortened(self.client)}")
            return self.client
        try:
            return get_client()
        except ValueError:
            raise ValueError("there is no client of Dask: make a distributed.Client first, or hand one in as client="
                             ) from None

    def _fit(self, X: Any, y: Any, sample_weight: Any, classes: Any) -> Self:
        """Train; whatever goes wrong, the estimator is as it was."""
        sync = self._checked_sync()
        momentum = number(self.outer_momentum, "outer_momentum", minimum=0)
        if momentum >= 1:
            raise ValueError(f"outer_momentum must be less than 1, got {momentum:g}")
        if self.solver not in ("sgd", "adam"):
            raise ValueError(f"solver must be 'sgd' or 'adam' on a cluster, got {shortened(self.solver)}")
        classifies = is_classifier(self)
        with Cluster(self.client_) as cluster:
            parts = shards.partitions(X, y, sample_weight)
            raw = cluster.persist([cluster.task(shards.checked, number, *part, classifies, name=f"check-part-{number}")
                                   for number, part in enumerate(parts)])
            del parts
            found = cluster.results([cluster.task(shards.described, part, classifies, name=f"describe-part-{number}")
                                     for number, part in enumerate(raw)])
            total, labels = shards.agreement(found, classes)
            begun = averaging.begun(self._as_local(), *shards.few_samples(total, labels, classifies))
            generators = averaging.generators(begun, len(raw))
            model = cluster.task(same, replicas.model_of(begun), name="model")
            full = [place for place, part in enumerate(found) if part.samples]
            made = cluster.persist([
                cluster.task(_shard, model, place, raw[place], generators[place], len(raw), name=f"shard-part-{place}")
                for place in full])
            sizes = cluster.results([cluster.task(_size, shard, name=f"size-part-{place}")
                                     for place, shard in zip(full, made, strict=True)])
            cluster.release(raw)
            if self.early_stopping and sum(aside for *_, aside in sizes) < 2:
                raise ValueError("The validation set is too small. Increase 'validation_fraction' or the size of your "
                                 "dataset.")
            busy = [place for place, (samples, *_) in enumerate(sizes) if samples]
            cluster.begin(made, full)
            fitted = averaging.fit_replicas(
                begun, [sizes[place][:2] for place in busy], sync, momentum,
                lambda state, places: cluster.take_round(state, [busy[place] for place in places]), cluster.score)
        self._take(fitted)
        return self

    def _checked_sync(self) -> int | None:
        sync = self.sync
        if isinstance(sync, str):
            if sync != "epoch":
                raise ValueError(f"sync must be 'epoch' or a number of steps, got {shortened(sync)}")
            return None
        return integer(sync, "sync", minimum=1)

    def _take(self, fitted: Any) -> None:
        """Take over what a local estimator has learned."""
        names = {*self.get_params(deep=False), "_metadata_request"}
        kept = {name: value for name, value in vars(self).items() if name in names}
        # At once: an exception that comes in here leaves all, or nothing.
        self.__dict__ = {**{name: value for name, value in vars(fitted).items() if name not in names}, **kept}

    def _as_local(self) -> Any:
        """The local estimator with the same parameters and what has been learned, if anything: the same arrays."""
        result = self._local.__new__(self._local)
        vars(result).update({name: value for name, value in vars(self).items() if name not in _OF_A_CLUSTER})
        return result

    def to_local(self) -> Any:
        """Return the fitted estimator of :mod:`fastnet.sklearn`, independent of this one and of any cluster.

        Returns
        -------
        fastnet.sklearn.MLPClassifier or MLPRegressor
            It predicts the same, can be saved, and `partial_fit` goes on from where this fit has ended.
        """
        check_is_fitted(self)
        return copy.deepcopy(self._as_local())

    def _lazily(self, X: Any, method: str, columns: int | None, dtype: Any) -> Any:
        return lazily(X, self._as_local(), method, columns, np.dtype(dtype))

    def _predicted(self) -> tuple[int | None, Any]:
        """How many columns predictions have, None if they have one dimension; and their dtype."""
        raise NotImplementedError

    def predict(self, X: Any) -> Any:
        """Predict the labels, or the values, of samples.

        Parameters
        ----------
        X : dask array, dask dataframe or list of delayed parts, of shape (n_samples, n_features)

        Returns
        -------
        y : dask array, series or dataframe, or list of delayed parts
            Not computed yet. For NumPy's arrays, an array.
        """
        check_is_fitted(self)
        return self._lazily(X, "predict", *self._predicted())

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy, or the coefficient of determination, of predictions of collections.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`, or arrays.

        Returns
        -------
        score : float
        """
        check_is_fitted(self)
        model = self._as_local()
        if not any(map(shards.is_collection, (X, y))):
            return float(model.score(X, y, sample_weight))
        parts = shards.partitions(X, y, sample_weight)
        with Cluster(self.client_) as cluster:
            held = delayed(model)
            tallies = cluster.results([cluster.task(tallied, held, *part, name=f"score-part-{number}")
                                       for number, part in enumerate(parts)])
        known = [found for found in tallies if found is not None]
        if not known:
            raise ValueError(f"X must have at least one sample, got {len(tallies)} empty partitions")
        return replicas.judged(known)

    def __getstate__(self) -> dict[str, Any]:
        """All but the client, which belongs to its process."""
        return {**super().__getstate__(), "client": None}

    def __sklearn_clone__(self) -> Self:
        bare = copy.copy(self)  # without the client, which cannot be copied
        result: Self = BaseEstimator.__sklearn_clone__(bare)
        result.client = self.client
        return result


def _shard(model: replicas.Model, part: int, samples: shards.Samples, generator: np.random.RandomState,
           count: int) -> replicas.Shard:
    try:
        return replicas.shard_of(model, part, samples.X, samples.y, samples.weights, generator, count)
    except ValueError as error:
        raise ValueError(f"partition {part}: {error}") from error


def _size(shard: replicas.Shard) -> tuple[int, int, int]:
    """How many samples a shard trains with, how many steps that is, and how many are set aside."""
    return len(shard.used), shard.steps, 0 if shard.validation is None else shard.validation[0].shape[0]


_PARAMETERS = """
    Parameters
    ----------
    client : distributed.Client, optional
        By default the current client of Dask. It is not pickled.
    sync : "epoch" or int, default "epoch"
        When replicas are averaged: after each epoch, or after so many steps of each.
    outer_momentum : float, default 0.0
        How much of the step between two averages is taken once more with the next (as in SlowMo): 0 to less than 1.

    All else is as in :mod:`fastnet.sklearn`, but for two things. ``batch_size`` is that of a replica; "auto" are 200
    samples shared by the partitions, 25 each at least. ``solver`` is "sgd" or "adam".
"""

_FIT = """Train on collections of Dask, on the cluster of `client_`.

        Parameters
        ----------
        X : dask array, dask dataframe or list of delayed parts, of shape (n_samples, n_features)
            A partition is what a replica is trained on: an array, a dataframe or a sparse matrix (CSR, CSC).
        y : likewise, of shape (n_samples,) or (n_samples, n_outputs)
            Cut as X is.
        sample_weight : likewise, of shape (n_samples,), optional
{classes}
        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            If an argument or a partition is something else; the message names it.
        RuntimeError
            If the cluster is gone, or somebody has cancelled it. The estimator is then as it was, as it is after
            Ctrl-C.
        """


def _documented(method: Any, text: str) -> Any:
    method.__doc__ = text
    return method


class MLPClassifier(ClassifierMixin, _Distributed):  # noqa: D101
    __doc__ = f"""Multi-layer perceptron classifier on collections of Dask: the same bits with any number of workers.
{_PARAMETERS}"""

    _local = local.MLPClassifier
    score = _Distributed.score  # scikit-learn's class, which has to be the first, would collect all predictions
    __init__ = _with_parameters_of(local.MLPClassifier)

    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, classes: Any = None) -> Self:  # noqa: D102
        return self._fit(X, y, sample_weight, classes)

    _documented(fit, _FIT.format(classes="""        classes : array-like, optional
            All labels, where y has no other ones; by default they are looked up in y.
"""))

    def _predicted(self) -> tuple[int | None, Any]:
        several = self.out_activation_ == "logistic" and self.n_outputs_ > 1  # labels for each sample
        return self.n_outputs_ if several else None, self.classes_.dtype

    def predict_proba(self, X: Any) -> Any:
        """Predict the probability of each class, as `predict` does the labels.

        Parameters
        ----------
        X : dask array, dask dataframe or list of delayed parts, of shape (n_samples, n_features)

        Returns
        -------
        probabilities : dask array, dataframe, or list of delayed parts, of shape (n_samples, n_classes)
            Not computed yet.
        """
        check_is_fitted(self)
        return self._lazily(X, "predict_proba", len(self.classes_), self.coefs_[0].dtype)


class MLPRegressor(RegressorMixin, _Distributed):  # noqa: D101
    __doc__ = f"""Multi-layer perceptron regressor on collections of Dask: the same bits with any number of workers.
{_PARAMETERS}"""

    _local = local.MLPRegressor
    score = _Distributed.score  # as above
    __init__ = _with_parameters_of(local.MLPRegressor)

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:  # noqa: D102
        return self._fit(X, y, sample_weight, None)

    _documented(fit, _FIT.format(classes=""))

    def _predicted(self) -> tuple[int | None, Any]:
        return self.n_outputs_ if self.n_outputs_ > 1 else None, self.coefs_[0].dtype
