"""scikit-learn's multi-layer perceptrons on fastnet's engine: the same estimators and results, in less time.

``from fastnet.sklearn import MLPClassifier, MLPRegressor`` takes the place of the import from
``sklearn.neural_network``. :func:`patch_sklearn` does that for code that is not to be edited, and
``python -m fastnet.sklearn script.py`` for a whole script.
"""

from .estimators import MLPClassifier, MLPRegressor
from .onnx import register_onnx
from .patch import patch_sklearn, unpatch_sklearn
from .warm import warmup

__all__ = ["MLPClassifier", "MLPRegressor", "patch_sklearn", "register_onnx", "unpatch_sklearn", "warmup"]
