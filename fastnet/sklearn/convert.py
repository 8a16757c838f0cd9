"""`TwoLayerNet` and scikit-learn's classifier, one made of the other."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils.validation import check_is_fitted

from .estimators import MLPClassifier

__all__ = ["classifier_of", "parameters_of"]

_Original = MLPClassifier._original
"""scikit-learn's own class, also where it has been replaced in scikit-learn."""


def classifier_of(params: dict[str, NDArray[Any]]) -> Any:
    """Return scikit-learn's classifier with the parameters of a two-layer network, as if it had been fitted.

    Two classes are one logistic output there: the difference of the two scores, which gives the same probabilities.
    """
    W1, b1, W2, b2 = (np.array(params[name]) for name in ("W1", "b1", "W2", "b2"))
    b1, b2 = b1.reshape(-1), b2.reshape(-1)
    classes = len(b2)
    if classes < 2:
        raise ValueError("a network of one class has no counterpart in scikit-learn, which needs two")
    if classes == 2:
        W2, b2 = W2[:, 1:] - W2[:, :1], b2[1:] - b2[:1]
    result = _Original(hidden_layer_sizes=(len(b1),), activation="relu")
    result.coefs_, result.intercepts_ = [W1, W2], [b1, b2]
    result.n_features_in_, result.n_outputs_, result.n_layers_ = len(W1), len(b2), 3
    result.out_activation_ = "logistic" if classes == 2 else "softmax"
    result._label_binarizer = LabelBinarizer().fit(np.arange(classes))
    result.classes_ = result._label_binarizer.classes_
    result.n_iter_, result.t_, result.loss_, result.loss_curve_ = 0, 0, np.nan, []
    result.best_loss_, result.validation_scores_, result.best_validation_score_ = np.inf, None, None
    result._no_improvement_count = 0
    return result


def parameters_of(classifier: Any) -> dict[str, NDArray[Any]]:
    """Return the parameters of a two-layer network that predicts what a fitted classifier does.

    Its labels are the places of the classes in ``classes_``. One logistic output z becomes the scores 0 and z.

    Raises
    ------
    TypeError
        If it is no MLPClassifier.
    ValueError
        If it is not fitted, or has more or fewer layers, another activation, or several labels for a sample.
    """
    if not isinstance(classifier, _Original):
        raise TypeError(f"estimator must be a MLPClassifier, got {type(classifier).__name__}")
    check_is_fitted(classifier)
    if len(classifier.coefs_) != 2 or classifier.activation != "relu":
        raise ValueError(f"estimator must have one hidden layer with the activation 'relu', got "
                         f"{len(classifier.coefs_) - 1} with {classifier.activation!r}")
    (W1, W2), (b1, b2) = classifier.coefs_, classifier.intercepts_
    if classifier.out_activation_ != "softmax":
        if len(b2) != 1 or len(classifier.classes_) != 2:
            raise ValueError(f"estimator must choose one of several classes, got {len(b2)} outputs for "
                             f"{len(classifier.classes_)} classes")
        W2, b2 = np.concatenate([np.zeros_like(W2), W2], axis=1), np.concatenate([np.zeros_like(b2), b2])
    return {"W1": np.array(W1), "b1": np.array(b1), "W2": np.array(W2), "b2": np.array(b2)}
