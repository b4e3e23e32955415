"""What a file of gates may say, and how a gate turns out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.evaluation.errors import InvalidGates
from gateway.evaluation.gates import Gates, Judged, judge, parse_gates, read_gates

if TYPE_CHECKING:
    from pathlib import Path

SCORES = {"accuracy": 0.9, "f1": 0.8, "latency_p99_ms": 2.0, "roc_auc": float("nan"), "mse": 0.0}
CLASSES = {"a b": {"f1": 0.5, "precision": 0.6, "recall": 0.4}}
BASELINE = ({"accuracy": 0.92, "f1": 0.8, "latency_p99_ms": 1.0, "mse": 0.0}, {"a b": {"f1": 0.6}})


def judged(text: str, *, alone: bool = False) -> Judged:
    (gate,) = parse_gates(f"gates: ['{text}']".encode(), "gates.yaml").every
    return judge(gate, SCORES, CLASSES, None if alone else BASELINE)


@pytest.mark.parametrize(
    ("text", "value", "passed"),
    [
        ("accuracy >= 0.9", 0.9, True),
        ("accuracy > 0.9", 0.9, False),
        ("accuracy >= 90 %", 0.9, True),
        ("latency_p99_ms <= 2", 2.0, True),
        ("latency_p99_ms < 2", 2.0, False),
        ("accuracy drop <= 0.019", 0.02, False),
        ("accuracy drop <= 0.021", 0.02, True),
        ("accuracy drop <= 2 %", 0.02 / 0.92, False),
        ("accuracy drop <= 2.2%", 0.02 / 0.92, True),
        ("latency_p99_ms rise <= 100 %", 1.0, True),
        ("latency_p99_ms rise <= 0.5", 1.0, False),
        ("accuracy rise >= -0.03", -0.02, True),
        ("f1 of a b >= 0.5", 0.5, True),
        ("f1 of a b drop <= 0.05", 0.1, False),
        ("f1   >=  0.8", 0.8, True),
    ],
)
def test_a_gate_compares_the_score_or_its_change_from_the_baseline(text: str, value: float, passed: bool) -> None:
    found = judged(text)

    assert found.value == pytest.approx(value)
    assert (found.passed, found.why) == (passed, "")


@pytest.mark.parametrize(
    "text", ["roc_auc >= 0", "r2 <= 1", "f1 of c >= 0", "mse rise <= 5 %", "roc_auc drop <= 1", "log_loss <= 9"]
)
def test_a_gate_on_what_is_not_known_fails_and_says_why(text: str) -> None:
    found = judged(text)

    assert (found.value, found.passed) == (None, False)
    assert "not known" in found.why


def test_a_comparison_without_a_baseline_fails_and_says_why() -> None:
    assert judged("accuracy drop <= 1", alone=True) == Judged(
        "accuracy drop <= 1", None, passed=False, why="there is no baseline to compare with; name two versions"
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "must be a mapping"),
        (b"[f1 >= 1]", "must be a mapping"),
        (b"gates: []", "holds no gate"),
        (b"gates: f1 >= 1", "gates: must be a list"),
        (b"gate: [f1 >= 1]", "gate: is not known here"),
        (b"gates: [f2 >= 1]", "gates[0]: there is no score 'f2'"),
        (b"gates: [f1 >= 1, f1 => 1]", "gates[1]: 'f1 => 1' is no gate"),
        (b"gates: [f1 >= x]", "is no gate"),
        (b"gates: [f1>=1]", "is no gate"),
        (b"gates: [f1 >= 1e9]", "is no gate"),
        (b"gates: [{f1: 1}]", "is no gate"),
        (b"gates: [7]", "is no gate"),
        (b"gates: [accuracy of a >= 1]", "accuracy is not known per class"),
        (b"gates: [latency_p99_ms <= 2 %]", "is no share"),
        (b"versions: [f1 >= 1]", "versions: must be a mapping"),
        (b"versions: {x: [f1 >= 1]}", "versions.x: is no number of a version"),
        (b"versions: {2: [f9 >= 1]}", "versions.2[0]: there is no score 'f9'"),
        (b"gates: [f1 >= 1]\ngates: []", "line 2, column 1: 'gates' is written twice"),
        (b"gates: [f1 >= 1", "line 1"),
        (b"\xff", "not UTF-8"),
        (b"gates: [" + b"f1 >= 1," * 201 + b"]", "may have 200"),
    ],
)
def test_a_file_that_is_no_file_of_gates_is_refused_with_the_place(content: bytes, said: str) -> None:
    with pytest.raises(InvalidGates) as caught:
        parse_gates(content, "gates.yaml")

    assert str(caught.value).startswith("gates.yaml")
    assert said in str(caught.value)


def test_gates_are_for_every_version_or_for_one() -> None:
    found = parse_gates(b'gates: [f1 >= 0.9]\nversions: {"2": [accuracy drop <= 1 %]}', "gates.yaml")

    assert ([each.text for each in found.every], [each.text for each in found.of[2]]) == (
        ["f1 >= 0.9"],
        ["accuracy drop <= 1 %"],
    )
    assert found.needs_baseline()
    assert not Gates(found.every, {}).needs_baseline()


def test_a_file_that_cannot_be_read_is_refused_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "large.yaml").write_bytes(b"#" * 70_000)

    with pytest.raises(InvalidGates, match=r"nowhere\.yaml cannot be read: No such file"):
        read_gates(tmp_path / "nowhere.yaml")
    with pytest.raises(InvalidGates, match="may have 65536 bytes"):
        read_gates(tmp_path / "large.yaml")
