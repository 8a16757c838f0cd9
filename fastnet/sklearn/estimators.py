"""The estimators: scikit-learn's own, with another stochastic fit and another forward pass.

Parameters, validation, attributes, metadata routing, pickling and everything else are inherited. What is not
accelerated (parameters of unusual types, what SciPy does between two gradients of ``lbfgs``) is left to their code.
"""

from __future__ import annotations

import contextlib
import copy
import os
import warnings
from collections.abc import Iterator
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn import config_context, neural_network
from sklearn.base import is_classifier
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import assert_all_finite, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from ..aliases import Layer
from ..files import containers, onnx
from ..network import passes
from ..parallel.threads import threads_of_task, using_threads
from ..progress import Bar
from ..stored import AnySamples, StoredSamples, in_a_file, is_stored
from ..training.chunks import WINDOW, Chunks
from ..training.interrupts import DeferredInterrupt
from ..training.reading import read_ahead
from . import private, storage
from .stochastic import FLOATS, OUTPUT_HEADS, fit_stochastic, own, trained_layers
from .whole_batch import one_blas_thread, whole_batch

__all__ = ["MLPClassifier", "MLPRegressor"]

_FEW_LABELS = 20
"""With more labels than that, half as many of which differ, scikit-learn warns that they may be no classes."""


class _Accelerated:
    """What the two estimators have in common; comes before scikit-learn's class among the bases."""

    coefs_: list[NDArray[Any]]
    intercepts_: list[NDArray[Any]]
    _original: type

    def _overrides(self, *names: str) -> bool:
        """Whether the class of this object has methods of its own in the place of scikit-learn's."""
        return any(getattr(type(self), name, None) is not getattr(self._original, name, None) for name in names)

    def _fit(self, X: Any, y: Any, *args: Any, **options: Any) -> Any:
        with using_threads(threads_of_task()):
            return super()._fit(own(X), own(y), *args, **options)  # type: ignore[misc]

    def _validate_input(self, X: Any, y: Any, incremental: bool, reset: bool) -> Any:
        """Validate samples and truth. In `partial_fit` that takes longer than a step: what is plain has a look only."""
        if incremental and not reset and self._is_plain(X) and type(y) is np.ndarray and y.shape == (len(X),):
            truth = self._plain_truth(y)
            if truth is not None and np.isfinite(X).all():
                return X, truth
        if not is_stored(X) and not in_a_file(X):
            return super()._validate_input(X, y, incremental, reset)  # type: ignore[misc]
        # What scikit-learn does not take as it is it would read and convert as a whole.
        kind = X.dtype.newbyteorder("=")
        stored = StoredSamples(X, "X", columns=None, dtype=kind if kind in FLOATS else np.dtype(np.float64))
        if stored.array is not None and stored.array.dtype in FLOATS:
            return stored, super()._validate_input(X, y, incremental, reset)[1]  # type: ignore[misc]
        assert_all_finite(y, input_name="y")
        with config_context(assume_finite=True):
            return stored, super()._validate_input(  # type: ignore[misc]
                _stand_in(stored), y, incremental, reset)[1]

    def _plain_truth(self, y: NDArray[Any]) -> NDArray[Any] | None:
        """What `_validate_input` makes of y in a further `partial_fit`; None if that is for scikit-learn to say."""
        raise NotImplementedError

    def _fit_stochastic(self, X: Any, y: Any, *rest: Any) -> None:
        if (self._overrides("_backprop", "_forward_pass", "_compute_loss_grad")
                or not fit_stochastic(self, X, y, rest, self._overrides("_update_no_improvement_count"))):
            super()._fit_stochastic(_in_memory(X), y, *rest)  # type: ignore[misc]

    def _fit_lbfgs(self, X: Any, y: Any, *rest: Any) -> None:
        batch = None
        if not self._overrides("_backprop", "_forward_pass", "_compute_loss_grad"):
            batch = whole_batch(self, X, y, rest)
        if batch is not None:
            self._backprop = batch.backprop
        try:
            # Its iterations are SciPy's.
            with private.without_bar(self), one_blas_thread() if batch else contextlib.nullcontext():
                super()._fit_lbfgs(X if batch else _in_memory(X), y, *rest)  # type: ignore[misc]
        finally:
            vars(self).pop("_backprop", None)

    def fit_batches(self, chunks: Any, *, target: Any = None, classes: Any = None, window: int = WINDOW,
                    epochs: int = 1) -> Self:
        """Train on data that come in chunks, and need never be in memory as a whole: a `partial_fit` of each window.

        As with `partial_fit` an estimator that has been fitted goes on from what it has learned. The next chunks are
        read, in a thread of their own, while steps are taken. Samples go through a window: as many consecutive ones as
        `window` says are shuffled, and make minibatches of `batch_size`. `random_state` begins once, with the call.
        What is learned does not depend on where chunks begin and end.

        Parameters
        ----------
        chunks : iterable, or callable that returns one
            Of (X, y) or (X, y, sample_weight), dense; or of tables, if `target` is given: record batches or tables of
            Arrow, data frames of pandas or polars. A chunk without samples is passed over. All of its code is run by
            the other thread. For several epochs it has to be a list, or a function, which is called for
            each. An endless generator trains for ever: ``itertools.islice(chunks, 1000)`` ends it.
        target : optional
            The column of tables that has the truth; all others are features, in the order of the first table.
        classes : array-like of shape (n_classes,), optional
            For a classifier: all classes that there will be. Needed by the first call.
        window : int, default 10000
            Samples that are shuffled together, rounded up to whole minibatches; 0 to take them as they come, as with
            ``shuffle=False``. Two windows of floats are in memory, and what `chunks` itself keeps.
        epochs : int, default 1
            How often to go through all chunks.

        Returns
        -------
        self
            ``loss_curve_`` has the mean loss of each window.

        Raises
        ------
        TypeError, ValueError
            If an argument is not as described, before anything has been changed; or a chunk: what was learned from the
            windows before is kept. What `chunks` raises goes through in the same way. The thread has ended then, and a
            generator has been closed.

        Warns
        -----
        UserWarning
            On Ctrl-C, which ends the training, as it does that of `fit`.
        """
        private.validate_parameters(self)
        known, more = vars(self), {}
        if known["solver"] == "lbfgs":
            raise ValueError("solver must be 'adam' or 'sgd' for fit_batches, got 'lbfgs'")
        if is_classifier(self):
            if classes is None and not hasattr(self, "classes_"):
                raise ValueError("classes must name all classes in the first call of fit_batches, got None")
            more["classes"] = classes
        elif classes is not None:
            raise TypeError("classes must be None for a regressor")
        fitted = "coefs_" in known
        batch_size = 200 if known["batch_size"] == "auto" else int(known["batch_size"])
        names = list(known["feature_names_in_"]) if fitted and "feature_names_in_" in known else None
        pieces = Chunks(
            chunks, target=target, window=window, batch_size=batch_size, epochs=epochs, truth=_copied,
            columns=known["n_features_in_"] if fitted else None, dtype=self.coefs_[0].dtype if fitted else None,
            weighted=private.has_sample_weight, names=names)
        progress = known["verbose"] == "progress"
        with (Bar(None, description=type(self).__name__, unit="window", shown=progress,
                  figures=lambda: {"loss": known["loss_"]} if "loss_" in known else {}) as bar,
              _for_a_while(self, random_state=check_random_state(known["random_state"]), batch_size=batch_size,
                           shuffle=bool(known["shuffle"] and window), verbose=known["verbose"] and not progress)):
            try:
                with (DeferredInterrupt() as interrupt,
                      contextlib.closing(read_ahead(pieces.windows(), interrupt.check)) as windows):
                    for number, (_, X, y, weights) in enumerate(windows, start=1):
                        known["batch_size"] = min(batch_size, len(X))
                        known.pop("feature_names_in_", None)  # windows have none
                        self.partial_fit(  # type: ignore[attr-defined]
                            X, y, **more, **({} if weights is None else {"sample_weight": weights}))
                        bar.update(number)
                        interrupt.check()
            except KeyboardInterrupt:
                warnings.warn("Training interrupted by user.", stacklevel=2)
            finally:
                if pieces.names is not None and "n_features_in_" in known:
                    known["feature_names_in_"] = np.array(pieces.names, object)
        return self

    def predict(self, X: Any) -> Any:
        """Predict what samples are, as scikit-learn's `predict` does.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            The predicted classes or values; a column for each label or output where there are several.
        """
        if "coefs_" not in vars(self):  # else asking costs more than a prediction
            check_is_fitted(self)
        return self._predict(X)  # type: ignore[attr-defined]

    def _forward_pass_fast(self, X: Any, check_input: bool = True) -> Any:
        return self._outputs(X, check_input)[0]

    def _outputs(self, X: Any, check_input: bool = True) -> tuple[NDArray[Any], NDArray[np.intp] | None]:
        """The outputs (N, C) for X, and the index of the largest of each sample where that is known."""
        layers = trained_layers(self)
        X = X if issparse(X) else own(X)
        if check_input and not self._is_plain(X):
            if is_stored(X):
                stored = StoredSamples(X, "X", columns=None, dtype=X.dtype)
                with config_context(assume_finite=True):
                    validate_data(self, _stand_in(stored), reset=False)
                X = stored
            else:
                X = validate_data(self, X, accept_sparse=["csr", "csc"], reset=False)
                X = X if issparse(X) else own(X)
            check_input = False
        head = OUTPUT_HEADS.get(self.out_activation_)  # type: ignore[attr-defined]
        if layers is not None and head is not None and not issparse(X) and X.shape[1] == len(layers[0][0]):
            dtype = np.result_type(X.dtype, layers[0][0].dtype)
            if dtype in FLOATS:
                try:
                    return self._inferred(layers, X, dtype, head)
                except ValueError:
                    if check_input:  # NaN or inf: scikit-learn says so, unless it has been told not to look
                        validate_data(self, X, reset=False)
                    elif isinstance(X, StoredSamples):  # nobody has looked, and they are not read twice
                        raise
        return super()._forward_pass_fast(_in_memory(X), check_input=False), None  # type: ignore[misc]

    def _inferred(self, layers: list[Layer], X: AnySamples, dtype: np.dtype[Any],
                  head: str) -> tuple[NDArray[Any], NDArray[np.intp]]:
        samples = X.astype(dtype) if isinstance(X, StoredSamples) else X
        if layers[0][0].dtype != dtype:
            layers = [(W.astype(dtype), b.astype(dtype)) for W, b in layers]
        return passes.infer(layers, samples, activation=self.activation, head=head)  # type: ignore[attr-defined]

    def _is_plain(self, X: Any) -> bool:
        """Whether X needs no more validation than a look for NaN and inf."""
        return (type(X) is np.ndarray and X.ndim == 2 and X.dtype in FLOATS and len(X) > 0
                and X.shape[1] == vars(self).get("n_features_in_") and not hasattr(self, "feature_names_in_"))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the estimator to a file, all of its state: whole or not at all, without pickles.

        After `load`, `predict`, `partial_fit` and a `fit` with `warm_start` go on as if nothing had been.

        Parameters
        ----------
        path : path
            The file to write or to replace; with a name that ends in ``.safetensors`` in that format (extra
            `safetensors`), in ``.onnx`` what predictions need, for other programs (extra `onnx`), else as an ``.npz``.

        Raises
        ------
        TypeError
            If a parameter or an attribute is of a kind that the file has no place for, or this is of a class of yours.
        ValueError
            If the parameters are not finite.
        OSError
            If the file cannot be written; an old one is as it was.
        """
        if type(self) not in (MLPClassifier, MLPRegressor):
            raise TypeError(f"{type(self).__name__} is a class of its own: only MLPClassifier and MLPRegressor can be "
                            f"saved")
        if onnx.is_onnx(path):
            check_is_fitted(self)
            onnx.write_onnx(path, self.to_sklearn)
        else:
            containers.write(path, type(self).__name__, *storage.described(self))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Return the estimator that `save` wrote to a file. Nothing in the file is trusted.

        Raises
        ------
        OSError
            If the file cannot be opened.
        ValueError
            If it is no intact file of such an estimator; the message says what is wrong with it.
        """
        what = f"an {cls.__name__}"
        contents = containers.read(path, (cls.__name__,), what)
        try:
            return cls._from_contents(contents)
        except ValueError as error:
            raise containers.described(error, path, what) from None

    @classmethod
    def _from_contents(cls, contents: containers.Contents) -> Self:
        estimator = cls()
        storage.restore(contents, estimator)
        return estimator

    def to_sklearn(self) -> Any:
        """Return scikit-learn's own estimator with the same parameters and the same state, independent of this one.

        Returns
        -------
        sklearn.neural_network.MLPClassifier or MLPRegressor
            It predicts the same, and whatever knows scikit-learn's classes knows it.
        """
        return _converted(self, self._original)

    @classmethod
    def from_sklearn(cls, estimator: Any) -> Self:
        """Return fastnet's estimator with the parameters and the state of one of scikit-learn's.

        Parameters
        ----------
        estimator : sklearn.neural_network.MLPClassifier or MLPRegressor
            The one that this class takes the place of, fitted or not.

        Raises
        ------
        TypeError
            If it is something else.
        """
        if not isinstance(estimator, cls._original):
            raise TypeError(f"estimator must be a sklearn.neural_network.{cls._original.__name__}, got "
                            f"{type(estimator).__name__}")
        converted: Self = _converted(estimator, cls)
        return converted


def _copied(y: Any, name: str, samples: int) -> NDArray[Any]:
    """A copy of what samples are, one entry for each; whether these may be is asked when they are trained with."""
    truth = np.array(y)
    if truth.shape[:1] != (samples,):
        raise ValueError(f"{name} must have one entry for each of {samples} samples, got shape {truth.shape}")
    return truth


@contextlib.contextmanager
def _for_a_while(estimator: Any, **parameters: Any) -> Iterator[None]:
    """Give an estimator other parameters, and then its own again."""
    known = vars(estimator)
    before = {name: known[name] for name in parameters}
    known.update(parameters)
    try:
        yield
    finally:
        known.update(before)


def _stand_in(X: StoredSamples) -> NDArray[Any]:
    """An array of zeros, without memory, for scikit-learn to look at its shape."""
    return np.broadcast_to(np.zeros((), X.dtype), X.given_shape)


def _in_memory(X: Any) -> Any:
    """Samples as scikit-learn's own code takes them."""
    return np.asarray(X) if isinstance(X, StoredSamples) else X


def _converted(estimator: Any, cls: Any) -> Any:
    result = cls.__new__(cls)
    vars(result).update(copy.deepcopy(vars(estimator)))
    if result.verbose == "progress" and not issubclass(cls, _Accelerated):
        result.verbose = False
    return result


def _documented(original: type, what: str) -> str:
    return f"""{what} on fastnet's engine: scikit-learn's estimator, faster, with the same results.

    ``verbose`` may also be ``"progress"``, for a progress bar over the epochs on standard error. `to_sklearn` and
    `from_sklearn` convert to and from scikit-learn's own class. X may also lie in a file, of which no copy is made: a
    `numpy.memmap`, or whatever has `shape`, `dtype` and slices. `fit_batches` takes chunks.

    All else is as scikit-learn documents it:

    {(original.__doc__ or '').strip()}
    """


class MLPClassifier(_Accelerated, neural_network.MLPClassifier):  # noqa: D101
    __doc__ = _documented(neural_network.MLPClassifier, "Multi-layer perceptron classifier")

    _original = neural_network.MLPClassifier
    _parameter_constraints = private.constraints(neural_network.MLPClassifier, verbose="progress")

    def _plain_truth(self, y: NDArray[Any]) -> NDArray[Any] | None:
        binarizer = self._label_binarizer
        classes = binarizer.classes_
        count, integers = len(classes), all(
            array.dtype.kind in "iu" and np.can_cast(array.dtype, np.int64) for array in (y, classes))
        if (self.warm_start or not integers or count < 2
                or binarizer.y_type_ not in ("binary", "multiclass") or _FEW_LABELS < len(y) < 2 * count):
            return None
        places = np.minimum(np.searchsorted(classes, y), count - 1)
        if not (classes[places] == y).all():
            return None
        if binarizer.y_type_ == "binary":
            return places.astype(bool).reshape(-1, 1)
        truth = np.zeros((len(y), count), bool)
        truth[np.arange(len(y)), places] = True
        return truth

    def _score(self, X: Any, y: Any, **weights: Any) -> Any:
        return self._score_with_function(X, y, score_function=_accuracy, **weights)

    def _predict(self, X: Any, check_input: bool = True) -> Any:
        if type(self)._forward_pass_fast is not _Accelerated._forward_pass_fast:
            return super()._predict(X, check_input)
        outputs, largest = self._outputs(X, check_input)
        kind, classes = self._label_binarizer.y_type_, self._label_binarizer.classes_
        if kind == "multiclass" and largest is not None:
            return classes[largest]
        if kind == "binary" and len(classes) == 2 and outputs.shape[1] == 1:
            return classes[(outputs[:, 0] > 0.5).astype(np.intp)]
        return self._label_binarizer.inverse_transform(outputs.ravel() if self.n_outputs_ == 1 else outputs)


class MLPRegressor(_Accelerated, neural_network.MLPRegressor):  # noqa: D101
    __doc__ = _documented(neural_network.MLPRegressor, "Multi-layer perceptron regressor")

    _original = neural_network.MLPRegressor
    _parameter_constraints = private.constraints(neural_network.MLPRegressor, verbose="progress")

    def _plain_truth(self, y: NDArray[Any]) -> NDArray[Any] | None:
        return y if y.dtype in FLOATS and np.isfinite(y).all() else None

    def _score(self, X: Any, y: Any, **weights: Any) -> Any:
        return self._score_with_function(X, y, score_function=_r2, **weights)


def _accuracy(y: Any, predicted: Any, sample_weight: Any = None) -> float:
    """scikit-learn's `accuracy_score`, whose validation takes longer than an epoch of early stopping."""
    if sample_weight is None and y.ndim == 1 and predicted.ndim == 1:
        return float((y == predicted).mean())
    return float(accuracy_score(y, predicted, sample_weight=sample_weight))


def _r2(y: Any, predicted: Any, sample_weight: Any = None) -> float:
    """scikit-learn's `r2_score`, the same numbers in the same order, without its validation."""
    if sample_weight is None and y.size == len(y) == predicted.size and y.dtype == predicted.dtype == np.float64:
        truth = y.reshape(-1, 1)
        numerator = np.sum((truth - predicted.reshape(-1, 1)) ** 2, axis=0)[0]
        denominator = np.sum((truth - np.average(truth, axis=0)) ** 2, axis=0)[0]
        if np.isfinite([numerator, denominator]).all() and numerator != 0 and denominator != 0:
            return float(1 - numerator / denominator)
    return float(r2_score(y, predicted, sample_weight=sample_weight))
