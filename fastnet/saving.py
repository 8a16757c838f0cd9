"""`save` and `load` for every kind of model, told apart by what the file says."""

from __future__ import annotations

import os
from typing import Any

from .files import containers, models
from .files.models import StoredModel
from .model import TwoLayerNet
from .tables import model as tables
from .tables.model import TableModel

__all__ = ["load", "save"]

_ESTIMATORS = ("MLPClassifier", "MLPRegressor")

_HOME = f"{__package__}.sklearn.estimators"
"""Where these are, asked by name: scikit-learn is not imported for that."""


def save(model: Any, path: str | os.PathLike[str]) -> None:
    """Write a model to a file: whole or not at all, without pickles.

    Parameters
    ----------
    model : fastnet.TwoLayerNet, fastnet.tables.TableModel, or MLPClassifier or MLPRegressor of fastnet.sklearn
        What to write. An estimator keeps all of its state: after `load`, `partial_fit` goes on as if nothing had been.
    path : path
        The file to write or to replace; with a name that ends in ``.safetensors`` in that format (extra
        `safetensors`), in ``.onnx`` for other programs (extra `onnx`; not a TableModel), else as an ``.npz``.

    Raises
    ------
    TypeError
        If it is something else.
    ValueError
        If its parameters are not finite, or not as they should be, or the name of the file has the ending of another
        format.
    OSError
        If the file cannot be written; an old one is as it was.
    """
    if isinstance(model, StoredModel):
        models.save_model(path, model)
    elif isinstance(model, TwoLayerNet | TableModel) or any(cls.__module__ == _HOME for cls in type(model).__mro__):
        model.save(path)
    else:
        kind = f"{type(model).__module__}.{type(model).__qualname__}"
        hint = " (its from_sklearn makes one)" if kind.startswith("sklearn.") else ""
        raise TypeError(f"model must be a TwoLayerNet, a TableModel, or an MLPClassifier or MLPRegressor of "
                        f"fastnet.sklearn, got a {kind}{hint}")


def load(path: str | os.PathLike[str]) -> Any:
    """Return the model that a file holds; nothing in the file is trusted.

    Parameters
    ----------
    path : path
        A file that `save`, the `save` of a model, or ``fastnet train`` wrote.

    Returns
    -------
    TwoLayerNet, MLPClassifier, MLPRegressor or fastnet.tables.TableModel
        Whichever it is, it has `predict`, `predict_proba` (where there are classes), `score` and `save`, and takes
        arrays and data frames. The last is what ``fastnet train`` writes, with the columns of its table and the names
        of its classes: it takes samples as they are in the table.

    Raises
    ------
    OSError
        If the file cannot be opened.
    ValueError
        If it is no intact model file; the message says what is wrong with it.
    ImportError
        If it holds an estimator, and scikit-learn is not installed (extra `sklearn`).
    """
    contents = containers.read(path, (models.NETWORK, models.LABELLED, tables.KIND, *_ESTIMATORS), "a model")
    try:
        if contents.kind in _ESTIMATORS:
            from .sklearn import estimators

            return getattr(estimators, contents.kind)._from_contents(contents)
        if contents.kind == models.NETWORK:
            return TwoLayerNet._from_params(*models.network_parameters(contents))
        if contents.kind == tables.KIND:
            return TableModel.restored(contents)
        return TableModel.of(models.labelled_model(contents))
    except ValueError as error:
        raise containers.described(error, path, "a model") from None
