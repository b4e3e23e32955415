"""What skl2onnx has to be told of SGDClassifier: of several classes it answers the one with the highest score.

The converter takes the class with the highest probability instead. Those are of 32 bits and rounded to 1 from a score
of 17 on (with the loss ``modified_huber``: cut off from 1 on), so that of several sure classes the first was answered.
"""

from __future__ import annotations

from typing import Any


def register() -> None:
    """Replace the converter of SGDClassifier by one that answers as scikit-learn does; twice does no harm."""
    from skl2onnx import update_registered_converter
    from skl2onnx.common._registration import get_shape_calculator
    from skl2onnx.operator_converters.sgd_classifier import convert_sklearn_sgd_classifier
    from sklearn.linear_model import SGDClassifier

    def convert(scope: Any, operator: Any, container: Any) -> None:
        before = len(container.nodes)
        convert_sklearn_sgd_classifier(scope, operator, container)
        if len(operator.raw_operator.classes_) > 2:
            _choose_by_scores(container.nodes[before:])

    alias = "SklearnSGDClassifier"
    options = {name: [True, False] for name in ("zipmap", "nocl", "output_class_labels", "raw_scores")}
    update_registered_converter(SGDClassifier, alias, get_shape_calculator(alias), convert, options=options)


def _choose_by_scores(nodes: Any) -> None:
    """Have the class chosen among the sums behind the matrix product, which the probabilities are made of."""
    (product,) = (each.output[0] for each in nodes if each.op_type == "MatMul")
    (scores,) = (each.output[0] for each in nodes if each.op_type == "Add" and product in each.input)
    (choice,) = (each for each in nodes if each.op_type == "ArgMax")
    choice.input[0] = scores
