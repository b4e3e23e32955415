"""The series of what labels said."""

from __future__ import annotations

from types import SimpleNamespace

from gateway.core.quality import Quality
from gateway.telemetry.quality import QualityCollector


def samples(*qualities: Quality) -> dict[str, list[float]]:
    board = SimpleNamespace(qualities=lambda: {"fraud": dict(enumerate(qualities, start=1))})
    return {
        sample.name: [each.value for each in family.samples if each.name == sample.name]
        for family in QualityCollector(board).collect()
        for sample in family.samples
    }


def test_counters_begin_with_zero_and_a_figure_that_nobody_told_is_absent() -> None:
    found = samples(Quality({"remembered": 4}, {}), Quality({"labelled": 4, "classed": 4, "correct": 3}, {}))

    assert found["gateway_quality_labels_total"] == [0, 4]
    assert found["gateway_quality_remembered_total"] == [4, 0]
    assert found["gateway_quality_accuracy_ratio"] == [0.75]
    assert found["gateway_quality_coverage_ratio"] == [0.0]
    assert "gateway_quality_reward" not in found
    assert "gateway_quality_precision_ratio" not in found


def test_the_means_over_classes_and_the_calibration_are_those_of_the_quality() -> None:
    cells = {("cat", "cat"): 2, ("dog", "dog"): 1, ("cat", "dog"): 1}
    quality = Quality({}, cells, {9: {"rows": 2.0, "right": 1.0, "sum_confidence": 1.9}})

    found = samples(quality)

    assert found["gateway_quality_precision_ratio"] == [quality.macro()["precision"]]
    assert found["gateway_quality_recall_ratio"] == [quality.macro()["recall"]]
    assert found["gateway_quality_f1_ratio"] == [quality.macro()["f1"]]
    assert found["gateway_quality_calibration_error_ratio"] == [quality.calibration_error]
