"""The estimators: scikit-learn's own, with another stochastic fit and another forward pass.

Parameters, validation, attributes, metadata routing, pickling and everything else are inherited. What is not
accelerated (parameters of unusual types, what SciPy does between two gradients of ``lbfgs``) is left to their code.
"""

from __future__ import annotations

import copy
import os
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn import neural_network
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils.validation import check_is_fitted, validate_data

from ..aliases import Layer
from ..files import containers, onnx
from ..network import passes
from ..parallel.threads import threads_of_task, using_threads
from . import private, storage
from .stochastic import FLOATS, OUTPUT_HEADS, fit_stochastic, own, trained_layers
from .whole_batch import whole_batch

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
        return super()._validate_input(X, y, incremental, reset)  # type: ignore[misc]

    def _plain_truth(self, y: NDArray[Any]) -> NDArray[Any] | None:
        """What `_validate_input` makes of y in a further `partial_fit`; None if that is for scikit-learn to say."""
        raise NotImplementedError

    def _fit_stochastic(self, X: Any, y: Any, *rest: Any) -> None:
        if (self._overrides("_backprop", "_forward_pass", "_compute_loss_grad")
                or not fit_stochastic(self, X, y, rest, self._overrides("_update_no_improvement_count"))):
            super()._fit_stochastic(X, y, *rest)  # type: ignore[misc]

    def _fit_lbfgs(self, X: Any, y: Any, *rest: Any) -> None:
        if not self._overrides("_backprop", "_forward_pass", "_compute_loss_grad"):
            batch = whole_batch(self, X, y, rest)
            if batch is not None:
                self._backprop = batch.backprop
        try:
            with private.without_bar(self):  # its iterations are SciPy's
                super()._fit_lbfgs(X, y, *rest)  # type: ignore[misc]
        finally:
            vars(self).pop("_backprop", None)

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
            X = validate_data(self, X, accept_sparse=["csr", "csc"], reset=False)
            X = X if issparse(X) else own(X)
            check_input = False
        head = OUTPUT_HEADS.get(self.out_activation_)  # type: ignore[attr-defined]
        if layers is not None and head is not None and not issparse(X) and X.shape[1] == len(layers[0][0]):
            dtype = np.result_type(X, layers[0][0])
            if dtype in FLOATS:
                try:
                    return self._inferred(layers, X, dtype, head)
                except ValueError:
                    if check_input:  # NaN or inf: scikit-learn says so, unless it has been told not to look
                        validate_data(self, X, reset=False)
        return super()._forward_pass_fast(X, check_input=False), None  # type: ignore[misc]

    def _inferred(self, layers: list[Layer], X: NDArray[Any], dtype: np.dtype[Any],
                  head: str) -> tuple[NDArray[Any], NDArray[np.intp]]:
        samples = np.require(X, dtype, ["C", "A"])
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


def _converted(estimator: Any, cls: Any) -> Any:
    result = cls.__new__(cls)
    vars(result).update(copy.deepcopy(vars(estimator)))
    if result.verbose == "progress" and not issubclass(cls, _Accelerated):
        result.verbose = False
    return result


def _documented(original: type, what: str) -> str:
    return f"""{what} on fastnet's engine: scikit-learn's estimator, faster, with the same results.

    ``verbose`` may also be ``"progress"``, for a progress bar over the epochs on standard error. `to_sklearn` and
    `from_sklearn` convert to and from scikit-learn's own class. All else is as scikit-learn documents it:

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
