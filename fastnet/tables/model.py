"""The model that a table gives: its columns, a network of any depth, and what the outputs mean."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..aliases import Layer
from ..checks import shortened
from ..files import containers
from ..files.containers import Contents, FaultError
from ..files.models import StoredModel, checked_names, names_of
from ..network import passes
from ..notebook import html_table, line
from .columns import Columns
from .values import as_array, numbers, texts

__all__ = ["ACTIVATIONS", "KIND", "OUTPUTS", "TableModel"]

Array = NDArray[Any]

KIND = "table model"
"""Kind of file."""

OUTPUTS = ("softmax", "logistic", "identity", "exp")
"""What becomes of the last affine map: probabilities of several classes or of the second of two; numbers."""

ACTIVATIONS = ("relu", "tanh", "logistic", "identity")


@dataclass(frozen=True, eq=False, repr=False)
class TableModel:
    """A trained network, the columns of its table and the names of its classes; creating one checks that they agree.

    What `fastnet train` writes and `fastnet.load` returns.

    Attributes
    ----------
    columns : Columns
        The columns of the table: names, categories, what takes the place of missing values, standardization.
    layers : sequence of (W, b)
        Weights (D, H) and biases (H,) of each layer, all float32 or all float64. D of the first is ``columns.width``.
    activation : {"relu", "tanh", "logistic", "identity"}
        Of the hidden layers.
    output : {"softmax", "logistic", "identity", "exp"}
        What becomes of the last affine map. The first two are of classifiers; "logistic" is one output for two classes.
    classes : array (C,) or None
        Names of the classes, int64 or strings; None for regression.
    target : str or None
        Name of the column with the labels, or the numbers to predict, in the table of the training.
    """

    columns: Columns
    layers: tuple[Layer, ...]
    activation: str = "relu"
    output: str = "softmax"
    classes: Array | None = None
    target: str | None = None

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise FaultError(f"activation must be one of {', '.join(ACTIVATIONS)}, got {self.activation!r:.60}")
        if self.output not in OUTPUTS:
            raise FaultError(f"output must be one of {', '.join(OUTPUTS)}, got {self.output!r:.60}")
        if not self.layers:
            raise FaultError("there must be a layer")
        dtype, rows = self.layers[0][0].dtype, self.columns.width
        if dtype not in (np.float32, np.float64):
            raise FaultError(f"W1 must be float32 or float64, got {dtype}")
        for number, (W, b) in enumerate(self.layers, 1):
            if W.ndim != 2 or len(W) != rows or not W.shape[1] or b.shape != W.shape[1:]:
                raise FaultError(f"W{number} and b{number} must have the shapes ({rows}, n) and (n,), got {W.shape} "
                                 f"and {b.shape}")
            if W.dtype != dtype or b.dtype != dtype:
                raise FaultError(f"W{number} and b{number} must be {dtype}, as W1 is, got {W.dtype} and {b.dtype}")
            if not np.isfinite(W).all() or not np.isfinite(b).all():
                raise FaultError(f"W{number} or b{number} holds numbers that are not finite")
            rows = W.shape[1]
        if (self.classes is None) != (self.output in ("identity", "exp")):
            raise FaultError(f"a model with the output {self.output} "
                             f"{'has no classes' if self.classes is not None else 'needs classes'}")
        if self.classes is not None:
            checked_names("classes", self.classes, 2 if self.output == "logistic" else rows)
            if self.output == "logistic" and rows != 1:
                raise FaultError(f"a logistic model must have one output, got {rows}")
        if self.target is not None and not isinstance(self.target, str):
            raise FaultError(f"target must be the name of a column, got {self.target!r:.60}")

    @classmethod
    def of(cls, model: Any) -> TableModel:
        """Return the table model that predicts what another model does.

        Parameters
        ----------
        model : TableModel, StoredModel, TwoLayerNet, MLPClassifier or MLPRegressor

        Raises
        ------
        TypeError
            If it is something else.
        ValueError
            If it is an estimator that is not fitted, or gives several labels for a sample.
        """
        if isinstance(model, cls):
            return model
        if isinstance(model, StoredModel):
            features = None if model.features is None else model.features.tolist()
            columns = Columns.of_numbers(model.sizes[0], features, model.mean, model.scale)
            return cls(columns, _pairs(model.params), classes=model.classes)
        params = getattr(model, "params", None)
        if isinstance(params, dict):
            layers = model._layers()
            return cls(Columns.of_numbers(len(layers[0][0])), tuple(layers),
                       classes=np.arange(len(layers[-1][1]), dtype=np.int64))
        if not hasattr(model, "hidden_layer_sizes"):
            raise TypeError(f"model must be one of fastnet's, got {shortened(model)}")
        if not hasattr(model, "coefs_"):
            raise ValueError("the estimator is not fitted: it can predict nothing")
        classes = getattr(model, "classes_", None)
        if classes is not None:
            if model.out_activation_ == "logistic" and (model.n_outputs_ != 1 or len(classes) != 2):
                raise ValueError("the estimator gives several labels for each sample, or knows one class only")
            names = classes.tolist()
            whole = classes.dtype.kind in "iu" and all(-2**63 <= name < 2**63 for name in names)
            classes = np.array(names, np.int64) if whole else np.array(texts(classes))
        features = getattr(model, "feature_names_in_", None)
        layers = list(zip(model.coefs_, model.intercepts_, strict=True))
        return cls(Columns.of_numbers(len(layers[0][0]), features), tuple(layers), model.activation,
                   model.out_activation_, classes)

    @property
    def params(self) -> dict[str, Array]:
        """Weights and biases by name: W1, b1, W2 and so on; the model's own arrays."""
        return {f"{letter}{number}": array for number, layer in enumerate(self.layers, 1)
                for letter, array in zip("Wb", layer, strict=True)}

    @property
    def dtype(self) -> np.dtype[Any]:
        """What the network computes in."""
        return self.layers[0][0].dtype

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many numbers the network sees of a sample, hidden units of each layer, and outputs."""
        return (self.columns.width, *(len(b) for _, b in self.layers))

    # Predictions

    def predict(self, X: Any) -> Array:
        """Return the class of each sample by its name, or the number that is predicted.

        Parameters
        ----------
        X : data frame, or array_like (N, columns)
            Samples as they are in the table, before anything is filled in or scaled. Of a data frame the columns are
            found by their names, and further ones passed over.

        Returns
        -------
        array (N,) of names of classes, or of floats; (N, outputs) where a regression has several

        Raises
        ------
        TypeError, ValueError
            If X is not as described; the message says where.
        """
        if self.classes is not None:
            return self.classes[self.places(X)]
        scores, _ = self._scores(X)
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def places(self, X: Any) -> NDArray[np.intp]:
        """Return the place in `classes` of the class of each sample, as `predict` does its name."""
        if self.classes is None:
            raise ValueError("a model of regression has no classes")
        scores, largest = self._scores(X)
        return largest if self.output == "softmax" else (scores[:, 0] > 0).astype(np.intp)

    def predict_proba(self, X: Any) -> Array:
        """Return the probability of each class for each sample, (N, C), in the order of `classes`; rows sum to 1.

        Parameters
        ----------
        X : data frame, or array_like (N, columns)
            As for `predict`.

        Raises
        ------
        AttributeError
            If this is a regression, which has no probabilities.
        TypeError, ValueError
            As for `predict`.
        """
        if self.classes is None:
            raise AttributeError("a model of regression has no predict_proba: it predicts numbers, not classes")
        return self.probabilities(self._scores(X)[0])

    def score(self, X: Any, y: Any) -> float:
        """Return the share of samples whose class is found, or for regression R2.

        Parameters
        ----------
        X : data frame, or array_like (N, columns)
            As for `predict`.
        y : array_like (N,)
            The names of their classes, or the numbers.

        Raises
        ------
        TypeError, ValueError
            As for `predict`, or if there are more or fewer of them than samples, or none of them is a class of this
            model. (Some that are none count as wrong.)
        """
        predicted = self.predict(X)
        truth = self.class_indices(y) if self.classes is not None else numbers(_flat(y), "y")
        if len(truth) != len(predicted):
            raise ValueError(f"y must have an entry for each of the {len(predicted)} samples, got {len(truth)}")
        if self.classes is not None:
            self.refuse_unknown(truth, y)
            return float((self.class_indices(predicted) == truth).mean())
        if np.isnan(truth).any():
            raise ValueError(f"y must be numbers, and row {int(np.isnan(truth).argmax()) + 1} has none")
        if predicted.ndim != 1:
            raise ValueError("score is for one output; this model has several")
        residual, spread = ((truth - predicted) ** 2).sum(), ((truth - truth.mean()) ** 2).sum()
        return float(1 - residual / spread) if spread else float(residual == 0)

    def refuse_unknown(self, truth: Array, y: Any) -> None:
        """Raise ValueError where none of the labels y is a class of this model; `truth` has their places in it."""
        if self.classes is not None and len(truth) and (truth < 0).all():
            known = ", ".join(map(repr, self.classes[:5].tolist())) + (", ..." if len(self.classes) > 5 else "")
            raise ValueError(f"none of the labels in y is a class of this model: it knows {known}, and the first is "
                             f"{shortened(_flat(y).tolist()[0])}")

    def class_indices(self, y: Any) -> NDArray[np.intp]:
        """Return the place in `classes` of each name in y, -1 for what is no class of this model."""
        if self.classes is None:
            raise ValueError("a model of regression has no classes")
        y = _flat(y)
        classes = self.classes
        if classes.dtype.kind == "i" and y.dtype.kind in "biuf":
            known = {name: place for place, name in enumerate(classes.tolist())}
            return np.array([known.get(value, -1) for value in y.tolist()], np.intp)
        index = {str(name): place for place, name in enumerate(classes.tolist())}
        return np.array([index.get(text, -1) for text in texts(y)], np.intp)

    def probabilities(self, scores: Array) -> Array:
        """Return the probabilities that the scores of a classifier stand for."""
        if self.output == "softmax":
            return passes.probabilities(scores)
        with np.errstate(over="ignore"):
            second = 1 / (1 + np.exp(-scores[:, :1]))
        return np.concatenate([1 - second, second], axis=1)

    def _scores(self, X: Any) -> tuple[Array, NDArray[np.intp]]:
        """What the network gives (of `exp` the exponential), and the place of the largest."""
        values = self.columns.transform(X)
        with np.errstate(over="ignore"):
            samples = np.ascontiguousarray(values, self.dtype)
        if not np.isfinite(samples).all():
            raise ValueError(f"the features are too large for {self.dtype}")
        return outputs(self.layers, samples, self.activation, self.output)

    # Files

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to a file: whole or not at all, without pickles.

        Parameters
        ----------
        path : path
            The file to write or to replace; with a name that ends in ``.safetensors`` in that format (extra
            `safetensors`), else as an ``.npz``.

        Raises
        ------
        OSError
            If the file cannot be written; an old one is as it was.
        ValueError
            If its name has the ending of another format.
        """
        fields, arrays = self.columns.described()
        containers.write(path, KIND, {
            **fields, "layers": len(self.layers), "activation": self.activation, "output": self.output,
            "classes": None if self.classes is None else self.classes.tolist(), "target": self.target,
        }, {**self.params, **arrays})

    @classmethod
    def restored(cls, contents: Contents) -> TableModel:
        """Return the model that a file describes.

        Raises
        ------
        ValueError
            If it describes none.
        """
        if "layers" not in contents.fields:
            raise FaultError("it lacks layers")
        depth = contents.integer("layers", 1, max(1, len(contents.arrays)))
        names = [f"{letter}{number}" for number in range(1, depth + 1) for letter in "Wb"]
        contents.expect((*Columns.FIELDS, "layers", "activation", "output", "classes", "target"),
                        (*names, *Columns.ARRAYS))
        classes = contents.fields["classes"]
        return cls(Columns.restored(contents), _pairs({name: contents.arrays[name] for name in names}),
                   contents.choice("activation", ACTIVATIONS), contents.choice("output", OUTPUTS),
                   None if classes is None else names_of(classes, "classes"), contents.fields["target"])

    # How it is shown

    def __repr__(self) -> str:
        return line(self, self._shown_sizes(), self.dtype)

    def _repr_html_(self) -> str:
        columns = self.columns
        kinds = [(columns.count - len(columns.booleans) - len(columns.categories), "numbers"),
                 (len(columns.categories), "categories"), (len(columns.booleans), "booleans")]
        rows = [("columns", ", ".join(f"{count} of {kind}" for count, kind in kinds if count)),
                ("layers", " - ".join(map(str, self._shown_sizes()))), ("activation", self.activation),
                ("computes in", str(self.dtype))]
        if self.classes is not None:
            rows.append(("classes", shown_names(self.classes.tolist())))
        if self.target is not None:
            rows.append(("predicts" if self.classes is None else "label", self.target))
        return html_table(type(self).__name__, rows)

    def _shown_sizes(self) -> tuple[int, ...]:
        """`sizes`, with the number of classes where one output stands for two."""
        return (*self.sizes[:-1], self.sizes[-1] if self.classes is None else len(self.classes))


def outputs(layers: Sequence[Layer], samples: Array, activation: str, output: str) -> tuple[Array, NDArray[np.intp]]:
    """Return what a network gives for samples in its dtype: scores, or for `exp` numbers; and the place of the largest.

    Softmax and the logistic function are left to `TableModel.probabilities`.
    """
    if activation == "relu":
        scores, largest = passes.infer(layers, samples)
    else:
        scores, largest = passes.infer(layers, samples, activation=activation, head="squared_error")
    if output == "exp":
        with np.errstate(over="ignore"):
            return np.exp(scores), largest
    return scores, largest


def shown_names(names: Sequence[Any], most: int = 8) -> str:
    """Return names as text, a few of them where there are many."""
    shown = ", ".join(map(str, names[:most]))
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def _pairs(params: dict[str, Array]) -> tuple[Layer, ...]:
    return tuple((_computable(params[f"W{number}"]), _computable(params[f"b{number}"]))
                 for number in range(1, len(params) // 2 + 1))


def _computable(array: Array) -> Array:
    return np.require(array, requirements=["C", "A"])


def _flat(y: Any) -> Array:
    """Labels or numbers as an array of one dimension; a column of a data frame, or a frame of one column."""
    array = as_array(y)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise ValueError(f"y must have one dimension, (samples,), got the shape {array.shape}")
    return array
