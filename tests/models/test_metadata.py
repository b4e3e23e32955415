"""What metadata.yaml may say, and what is said about it when it may not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.core.errors import InvalidModel
from gateway.models.metadata import (
    MAX_BYTES,
    Metadata,
    Serving,
    TrainingData,
    WarmUpInput,
    parse_metadata,
    read_metadata,
)

if TYPE_CHECKING:
    from pathlib import Path

WHOLE = b"""
created: 2026-01-31T10:00:00Z
sha256: "ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789"
training_data: {name: transactions, digest: "sha256:12", rows: 284807, licence: CC0}
parameters: {C: 1.0, class_weight: {0: 1, 1: 20}}
metrics: {accuracy: 0.97, rows: 100}
parents: [1, "2"]
source_revision: 4f2a
converter: skl2onnx 1.20
libraries: {scikit-learn: "1.9.1"}
notes: trained on a quiet Sunday
serving:
  max_batch_rows: 32
  max_delay_ms: 1.5
  nonfinite: null
  nonfinite_in: refuse
  threads: 2
  latency_target_ms: 250
  warm_up: {image: {shape: [1, 3, 224, 224], values: [0.25, 0.75]}}
reviewed_by: somebody
"""


def refusal(content: bytes) -> str:
    with pytest.raises(InvalidModel) as caught:
        parse_metadata(content)
    assert caught.value.code == "bad_metadata"
    return caught.value.reason


def test_everything_that_is_said_is_read() -> None:
    assert parse_metadata(WHOLE) == Metadata(
        created="2026-01-31T10:00:00Z",
        sha256="abcdef0123456789" * 4,
        training_data=TrainingData("transactions", "sha256:12", 284807, {"licence": "CC0"}),
        parameters={"C": 1.0, "class_weight": {"0": 1, "1": 20}},
        metrics={"accuracy": 0.97, "rows": 100.0},
        parents=("1", "2"),
        source_revision="4f2a",
        converter="skl2onnx 1.20",
        libraries={"scikit-learn": "1.9.1"},
        notes="trained on a quiet Sunday",
        serving=Serving(
            32,
            1.5,
            "null",
            2,
            {"image": WarmUpInput((1, 3, 224, 224), (0.25, 0.75))},
            nonfinite_in="refuse",
            latency_target_ms=250.0,
        ),
        extra={"reviewed_by": "somebody"},
    )


@pytest.mark.parametrize("content", [b"", b"# nothing yet\n", b"{}", b"notes:\n"])
def test_nothing_said_is_the_defaults(content: bytes) -> None:
    assert parse_metadata(content) == Metadata()


def test_the_defaults_are_a_batch_of_64_without_delay_and_errors_for_nan() -> None:
    assert Metadata().serving == Serving(max_batch_rows=64, max_delay_ms=0.0, nonfinite="error", threads=None)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"created: [1]", "created"),
        (b"sha256: abc", "sha256"),
        (b"training_data: iris", "training_data"),
        (b"training_data: {rows: -1}", "training_data.rows"),
        (b"training_data: {rows: true}", "training_data.rows"),
        (b"metrics: {accuracy: high}", "metrics.accuracy"),
        (b"metrics: {accuracy: .nan}", "metrics.accuracy"),
        (b"metrics: [1]", "metrics"),
        (b"parents: 1", "parents"),
        (b"parents: [1.5]", "parents"),
        (b"libraries: {onnx: 1.10}", "libraries.onnx"),
        (b"serving: 3", "serving"),
        (b"serving: {max_batch_rows: 0}", "serving.max_batch_rows"),
        (b"serving: {max_batch_rows: 4097}", "serving.max_batch_rows"),
        (b"serving: {max_batch_rows: 8.0}", "serving.max_batch_rows"),
        (b"serving: {max_delay_ms: -1}", "serving.max_delay_ms"),
        (b"serving: {max_delay_ms: .inf}", "serving.max_delay_ms"),
        (b"serving: {max_delay_ms: true}", "serving.max_delay_ms"),
        (b"serving: {latency_target_ms: -1}", "serving.latency_target_ms"),
        (b"serving: {latency_target_ms: 600001}", "serving.latency_target_ms"),
        (b"serving: {latency_target_ms: true}", "serving.latency_target_ms"),
        (b"serving: {latency_target_ms: 250ms}", "serving.latency_target_ms"),
        (b"serving: {nonfinite: maybe}", "serving.nonfinite"),
        (b"serving: {allow_empty: 1}", "serving.allow_empty"),
        (b"serving: {threads: 0}", "serving.threads"),
        (b"serving: {max_batch_size: 8}", "serving.max_batch_size"),
        (b"serving: {warm_up: [1]}", "serving.warm_up"),
        (b"serving: {warm_up: {x: {shape: [0]}}}", "serving.warm_up.x.shape"),
        (b"serving: {warm_up: {x: {shape: [true]}}}", "serving.warm_up.x.shape"),
        (b"serving: {warm_up: {x: {values: [1]}}}", "serving.warm_up.x.values"),
        (b"serving: {warm_up: {x: {size: 1}}}", "serving.warm_up.x.size"),
    ],
)
def test_what_cannot_be_is_refused_by_its_name(content: bytes, named: str) -> None:
    assert refusal(content).startswith(f"metadata.yaml: {named}: ")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"notes: a\nnotes: b\n", "line 2, column 1: 'notes' is written twice"),
        (b"serving: {threads: 1, threads: 2}", "'threads' is written twice"),
        (b"a: &a [1]\nb: *a\n", "anchor"),
        (b"a: !!python/object:os.system x", "tag"),
        (b"a: !!binary aGk=", "tag"),
        (b"[1, 2]: 3", "a key must be plain text"),
        (b"notes: [1, 2", "line 1"),
        (b"notes: \xff\xfe\xfd", "UTF-8"),
        (b"notes: \x00", "#x0000"),
        (b"[" * 5000, "nested too deep"),
        (b"a: 1\n--- \nb: 2\n", "document"),
        (b"just a sentence", "mapping"),
        (b"- a list", "mapping"),
    ],
)
def test_what_can_be_read_in_two_ways_is_not_read(content: bytes, said: str) -> None:
    assert said in refusal(content)


def test_a_number_without_end_is_refused() -> None:
    assert refusal(b"notes: " + b"9" * 5000)


def test_a_date_stays_as_it_was_written() -> None:
    assert parse_metadata(b"created: 2026-13-45").created == "2026-13-45"


def test_a_file_over_the_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "metadata.yaml"
    path.write_bytes(b"#" * (MAX_BYTES + 1))

    with pytest.raises(InvalidModel) as caught:
        read_metadata(path)

    assert caught.value.code == "too_large"


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_bytes(b"notes: hello")
    (tmp_path / "metadata.yaml").symlink_to("other.yaml")

    with pytest.raises(InvalidModel):
        read_metadata(tmp_path / "metadata.yaml")
