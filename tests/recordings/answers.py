"""Answered requests as the request path leaves them, for the tests of what is recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gateway.core.recording import read_record
from gateway.core.signature import Signature, TensorSpec
from gateway.ports.observing import Answered
from tests.serving.fakes import FakeCells

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.ports.engine import Tensor

ASKED = Signature((TensorSpec("x", "FP32", (-1, 3)), TensorSpec("email", "BYTES", (-1, 1))), ())
SAID = Signature((), (TensorSpec("label", "INT64", (-1,)), TensorSpec("score", "FP32", (-1,))))


def answered(
    *,
    redact: dict[str, Any] | None = None,
    x: Sequence[float] = (0.1, 2.5, 3.0),
    email: str = "ada@example.com",
    cells: FakeCells | None = None,
    model: str = "fraud",
    **record: Any,
) -> Answered:
    """Return a request of one row; *record* is further members of the route's."""
    rows: Tensor = np.array([x], np.float32)
    texts: Tensor = np.array([[email]], object)
    return Answered(
        read_record({"percent": 100, "redact": redact or {}, **record}), model, 2, "split", 7, "user-5-request",
        asked=ASKED, feeds=(rows, texts),
        answered=SAID, outputs=[np.array([1]), np.array([0.75], np.float32)],
        cells=cells or FakeCells(),
    )  # fmt: skip
