"""What a worker counted comes out of the store as it went in, and garbage does not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.core.drift_counts import MAX_BIN, MAX_ROWS, Sample, read_sample
from gateway.core.errors import InvalidDocument
from gateway.core.reference import MAX_COLUMNS

SAMPLE = Sample(3, "ab", "cd", 5, {"amount": {0: 2, 7: 3}, "empty": {}})


def test_a_sample_is_read_back_as_it_was_written() -> None:
    assert read_sample(SAMPLE.encoded()) == SAMPLE


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"version": 0}, "version"),
        ({"version": "3"}, "version"),
        ({"rows": MAX_ROWS + 1}, "rows"),
        ({"digest": 7}, "digest"),
        ({"bins": "x" * 401}, "bins"),
        ({"counts": []}, "counts"),
        ({"counts": {str(n): [] for n in range(MAX_COLUMNS + 1)}}, "counts"),
        ({"counts": {"amount": {"0": 1}}}, "counts"),
        ({"counts": {"amount": [[0]]}}, "counts"),
        ({"counts": {"amount": [[MAX_BIN + 1, 1]]}}, "counts"),
        ({"counts": {"amount": [[0, -1]]}}, "counts"),
        ({"counts": {"amount": [7]}}, "counts"),
        ({"more": 1}, "more"),
    ],
)
def test_what_is_no_sample_is_refused_with_the_culprit(changed: dict[str, Any], field: str) -> None:
    data = json.loads(SAMPLE.encoded()) | changed

    with pytest.raises(InvalidDocument) as refused:
        read_sample(json.dumps(data).encode())

    assert refused.value.field == field
