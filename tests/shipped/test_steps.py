"""Each server of the ladder does what its step says, and what the steps add makes up the whole."""

from __future__ import annotations

import asyncio
import json
import math
import socket
from typing import TYPE_CHECKING, Any

import pytest

from load_tests import reference, turns, work
from load_tests.generator import post
from load_tests.results import REFERENCE
from load_tests.servers import Server
from load_tests.steps import __main__ as steps
from load_tests.steps import ladder, report
from load_tests.steps.ladder import NAMES, Stepped
from load_tests.steps.server import KEYS, PARSER, STATISTICS, serving
from load_tests.steps.step import SAID, Step
from load_tests.turns import Series

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("sklearn", reason="the rows of the benchmark come with the `convert` extra")

TIMES = 3
"""A head is known from its third time on."""


async def answers(port: int, *requests: bytes) -> list[bytes]:
    """Send *requests* one after the other over one connection and return the bodies of their answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    found = []
    for request in requests:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n"), head
        length = next(line for line in head.lower().splitlines() if line.startswith(b"content-length: "))
        found.append(await reader.readexactly(int(length.partition(b" ")[2])))
    writer.close()
    await writer.wait_closed()
    return found


@pytest.mark.parametrize("key", KEYS)
async def test_the_server_of_a_step_answers_the_row_once_it_can_and_a_constant_before(key: str, tmp_path: Path) -> None:
    sock, item = socket.create_server(("127.0.0.1", 0)), work.items()[0]
    step = Step.LOOP if key == PARSER else Step[key.upper()]

    async with asyncio.timeout(20), serving(key, sock, tmp_path):
        port = sock.getsockname()[1]
        *found, told = await answers(
            port, *[post(work.PATH, item.body)] * TIMES, f"GET {STATISTICS} HTTP/1.1\r\nhost: here\r\n\r\n".encode()
        )

    assert [item.fault(each) if step.answers else each for each in found] == TIMES * (
        [""] if step.answers else [reference.ANSWER]
    )
    counted = json.loads(told).get("model_stats", [{"execution_count": 0}])
    assert [each["execution_count"] for each in counted] == [TIMES * step.runs]


def test_every_step_says_what_it_adds_and_is_above_all_that_it_holds() -> None:
    assert list(SAID) == list(Step) == sorted(Step)
    assert [step.is_whole for step in Step] == sorted(step.is_whole for step in Step)
    assert {*KEYS, *(step.key for step in Step if step.is_whole)} == {PARSER, *(step.key for step in Step)}


def series(**cpu_us: list[float]) -> Series:
    rounds = {
        name: [Stepped(name, 64, 100, 0, 1000.0, 1.0, 2.0, each, each / 4, rows_per_run=8.0) for each in found]
        for name, found in cpu_us.items()
    }
    return Series("any", rounds)


def test_what_the_steps_add_makes_up_the_whole() -> None:
    cpu: Any = {NAMES[step]: [10.0 + step, 11.5 + step**2, 12.0 + step] for step in Step}
    found = series(**cpu, **{PARSER: [9.0], REFERENCE: [50.0]})

    head, rows = report.ladder(found, tuple(Step))

    at, whole = head.index("rises by"), found.median(NAMES[Step.GATEWAY], "cpu_us")
    assert math.isclose(sum(float(row[at]) for row in rows if row[at]), whole)
    assert rows[Step.GATEWAY][head.index("of raw uvicorn")] == f"{whole / 50:.2f}"
    assert len({len(row) for row in (head, *rows)}) == 1
    assert [row[0] for row in rows[-2:]] == list(report.BESIDE.values())


def test_the_curve_holds_the_gateway_beside_its_reference_at_each_number_of_connections() -> None:
    found = series(gateway=[30.0], reference=[60.0])

    head, rows = report.curve([(8, found), (64, found)], "gateway", "reference")

    assert [row[0] for row in rows] == ["8", "64"]
    assert {row[head.index("CPU, ratio")] for row in rows} == {"0.50"}
    assert {row[head.index("user")] + row[head.index("system")] for row in rows} == {"22.57.5"}


@pytest.mark.long
def test_a_run_measures_what_is_asked_for_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(turns, "WARM_UP_SECONDS", 1)
    monkeypatch.setattr(ladder, "CURVE", (8,))
    pasted = tmp_path / "pasted.md"

    status = steps.main(["--only", "connections", "--rounds", "1", "--seconds", "1", "--markdown", str(pasted)])

    shown = capsys.readouterr()
    assert status == 0, shown.err
    [row] = [line for line in pasted.read_text().splitlines() if line.startswith("| 8 |")]
    assert 1 <= float(row.split("|")[-2]) <= 8
    assert "ladder" not in shown.err


def test_a_server_that_answers_something_else_than_its_step_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Answer:
        def read(self) -> bytes:
            return b"{}"

    class Connection:
        def __init__(self, *where: Any, **how: Any) -> None: ...

        def request(self, *asked: Any) -> None: ...

        def getresponse(self) -> Answer:
            return Answer()

        def close(self) -> None: ...

    monkeypatch.setattr("http.client.HTTPConnection", Connection)

    with pytest.raises(work.NotMeasurable, match=r"read must answer the constant, nothing is timed: b'\{\}'"):
        ladder.check(Server("read", 1, 1, 0.0), Step.READ)
