"""Requests hardly wait while a large version loads beside them."""

from __future__ import annotations

import http.client
import json
import time
from contextlib import closing
from typing import TYPE_CHECKING, Final

import numpy as np
import pytest
from onnx import helper

from tests.engine import graphs
from tests.engine.graphs import INT64, node, value
from tests.flows.models import MODEL, request

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.flows.gateway_process import Gateway

PATH: Final = f"/v2/models/{MODEL}/versions/1/infer"
BODY: Final = json.dumps(request([1, 2])).encode()
MEGABYTES: Final = 200

EVERY_SECONDS: Final = 0.005
QUIET_SECONDS: Final = 3.0
LONGEST_SECONDS: Final = 60.0
ADDED_SECONDS: Final = 0.5
"""Beyond twice what requests take else: room for a machine that does other work."""


def large(megabytes: int = MEGABYTES) -> bytes:
    """y = x + the row of a table of so many *megabytes*."""
    values = np.ones((megabytes * 125_000, 2), np.float32)
    table = helper.make_tensor("table", graphs.FLOAT, values.shape, values.tobytes(), raw=True)
    return graphs.graph(
        node("Shape", ["x"], ["rows"], start=0, end=1),
        node("Gather", ["table", "rows"], ["row"]),
        node("Add", ["x", "row"], ["y"]),
        node("ConstantOfShape", ["rows"], ["version"], value=graphs.weights("number", [3], [1], INT64)),
        inputs=[value("x", shape=["n", 2])],
        outputs=[value("y", shape=["n", 2]), value("version", INT64, ["n"])],
        tensors=[table],
    )


def p99(latencies: list[float]) -> float:
    return sorted(latencies)[len(latencies) * 99 // 100]


class Caller:
    """Asks every few milliseconds, with the next request behind the last answer.

    While one answer is waited for, the requests that would have been due meanwhile are counted as having waited too,
    each from when it was due: a stall is as many slow requests as it held up.
    """

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def ask(self, until: Callable[[], bool]) -> list[float]:
        """Return the latencies, seconds, of the requests that were due before *until* holds."""
        latencies: list[float] = []
        end = time.monotonic() + LONGEST_SECONDS
        while not until():
            assert time.monotonic() < end
            for _ in range(20):
                latency = self._once()
                latencies += np.arange(latency, 0, -EVERY_SECONDS).tolist()
                time.sleep(EVERY_SECONDS)
        return latencies

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def _once(self) -> float:
        began = time.perf_counter()
        self._connection.request("POST", PATH, BODY)
        answer = self._connection.getresponse()
        text = answer.read()
        assert answer.status == 200, text
        return time.perf_counter() - began


def put(models: Path, version: int, content: bytes) -> None:
    """Make a version appear whole."""
    aside = models.parent / "aside"
    aside.mkdir()
    (aside / "model.onnx").write_bytes(content)
    aside.rename(models / MODEL / str(version))


@pytest.mark.long
def test_requests_hardly_wait_while_a_version_of_200_megabytes_loads(begin: Callable[..., Gateway]) -> None:
    gateway = begin(versions=(1,), workers=1)
    content = large()
    with closing(Caller(gateway.port)) as caller:
        end = time.monotonic() + QUIET_SECONDS
        before = caller.ask(lambda: time.monotonic() > end)

        put(gateway.models, 3, content)
        during = caller.ask(lambda: (gateway.index().get((MODEL, "3")) or {}).get("state") == "READY")

    print(
        f"p99 {p99(before) * 1e3:.1f} ms before, {p99(during) * 1e3:.1f} ms in {len(during)} requests beside the load"
    )
    assert len(during) > 50
    assert p99(during) <= 2 * p99(before) + ADDED_SECONDS
