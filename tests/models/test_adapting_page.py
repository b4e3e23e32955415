"""docs/adapting.md: its table is whole, and its examples are read and do what the page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from gateway.core.adaptation import adapt
from gateway.core.signature import FREE, Signature, TensorSpec
from gateway.models.adapter_document import STEPS, read_adapter
from gateway.strict_yaml import read_document

PAGE: Final = (Path(__file__).parents[2] / "docs" / "adapting.md").read_text(encoding="utf-8")
TABLE: Final = [
    [cell.strip() for cell in line.split("|")[1:-1]]
    for line in PAGE.splitlines()
    if re.match(r"\| `\w+` \|", line)
]  # fmt: skip

SIDES: Final = ("requests", "responses")

LOANS: Final = Signature(
    (
        TensorSpec("features", "FP32", (FREE, 3)),
        TensorSpec("years", "FP64", (FREE, 1)),
        TensorSpec("region", "BYTES", (FREE, 1)),
    ),
    (TensorSpec("risk", "FP64", (FREE, 1)),),
)


def test_every_step_is_described_in_its_order() -> None:
    assert tuple(row[0].strip("`") for row in TABLE) == STEPS


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row[0])
def test_every_form_that_is_shown_is_read(row: list[str]) -> None:
    step = row[0].strip("`")
    written = {"requests": row[1], "responses": row[2]} if step in {"drop", "constant"} else dict.fromkeys(SIDES, "")
    for side, cell in written.items():
        found = re.search(r"`([{\[].*[}\]])`", cell) or re.search(r"`(.*)`", row[3])
        assert found is not None
        read_adapter(read_document(f"{side}: {{{step}: {found[1]}}}".encode()))


def test_the_example_presents_the_old_interface() -> None:
    found = re.search(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None

    presented = adapt(read_adapter(read_document(found[1].encode())["adapter"]), LOANS).presented

    assert presented == Signature(
        (TensorSpec("x", "FP32", (FREE, 3)), TensorSpec("age", "FP32", (FREE, 1))),
        (TensorSpec("score", "FP32", (FREE, 1)),),
    )
