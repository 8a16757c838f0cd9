"""How skl2onnx converts the estimators: as it does scikit-learn's own, from which they derive."""

from __future__ import annotations

from .estimators import MLPClassifier, MLPRegressor

__all__ = ["register_onnx"]


def register_onnx() -> None:
    """Have skl2onnx convert fastnet's estimators, in pipelines too (extra `onnx`).

    Afterwards ``skl2onnx.to_onnx(pipeline, X[:1])`` takes them as it takes scikit-learn's.

    Raises
    ------
    ImportError
        If skl2onnx is not installed.
    """
    import skl2onnx
    from skl2onnx.common import shape_calculator
    from skl2onnx.operator_converters import multilayer_perceptron as perceptron

    skl2onnx.update_registered_converter(
        MLPClassifier, "FastnetMLPClassifier", shape_calculator.calculate_linear_classifier_output_shapes,
        perceptron.convert_sklearn_mlp_classifier,
        options={"zipmap": [True, False, "columns"], "nocl": [True, False], "output_class_labels": [False, True]})
    skl2onnx.update_registered_converter(
        MLPRegressor, "FastnetMLPRegressor", shape_calculator.calculate_linear_regressor_output_shapes,
        perceptron.convert_sklearn_mlp_regressor)
