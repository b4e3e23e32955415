"""What is told of single requests, over HTTP: to witnesses, in problems, and in the log."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import pytest

from gateway.core.errors import Overloaded
from gateway.core.trace_context import TraceContext
from gateway.core.watching import Mark
from gateway.serving.witnessing import LINES_PER_SECOND
from tests.rest.door import ROW, FakeDoor, raising, send_all_to
from tests.rest.in_memory import connected
from tests.serving.fakes import a_turn, compiled, rollout_of

if TYPE_CHECKING:
    from gateway.core.rollout import Rollout
    from gateway.ports.observing import Seen

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
BODY = json.dumps(ROW).encode()
TRACED = (("traceparent", PARENT), ("tracestate", "congo=1"), ("x-request-id", "abc"))
INFER = "/v2/models/fraud/infer"


class Notebook:
    """Implements ``ports.Witness``: remembers, of what it wants to see."""

    def __init__(self, *, wants: bool = True) -> None:
        self.wants = wants
        self.asked: list[TraceContext | None] = []
        self.seen: list[Seen] = []

    def takes(self, trace: TraceContext | None) -> bool:
        self.asked.append(trace)
        return self.wants

    def see(self, seen: Seen) -> None:
        self.seen.append(seen)


@pytest.fixture
async def door() -> FakeDoor:
    made = FakeDoor()
    made.floor.held.hold("fraud", 1)
    send_all_to(made, 1)
    return made


@pytest.fixture
def notebook(door: FakeDoor) -> Notebook:
    made = Notebook()
    door.inference.witnesses = (made,)
    return made


def fail(door: FakeDoor) -> None:
    """Let version 1 fail from now on, behind which nobody answers."""
    door.floor.held.hold("fraud", 1, raising)
    door.adoption.settle()


async def over_the_short_cut(door: FakeDoor) -> None:
    [(protocol, _)] = connected(door, 1)
    head = "".join(f"{name}: {value}\r\n" for name, value in TRACED)
    request = f"POST {INFER} HTTP/1.1\r\nHost: here\r\n{head}Content-Length: {len(BODY)}\r\n\r\n"
    protocol.data_received(request.encode() + BODY)
    await a_turn()


@pytest.mark.parametrize("way", ["asgi", "short cut"])
async def test_a_witness_sees_trace_model_version_rule_and_run(door: FakeDoor, notebook: Notebook, way: str) -> None:
    if way == "asgi":
        await door.ask("POST", INFER, BODY, TRACED)
    else:
        await over_the_short_cut(door)

    [seen] = notebook.seen
    assert seen.trace == TraceContext(TRACE, "00f067aa0ba902b7", True, "congo=1")
    assert (seen.request_id, seen.door, seen.status, seen.outcome, seen.error) == ("abc", "v2", 200, "ok", "")
    assert (seen.model, seen.pinned, seen.version, seen.rule) == ("fraud", None, 1, "split")
    assert seen.run is not None
    assert seen.started <= seen.run.queued <= seen.run.began <= seen.ended
    assert seen.run.rows == 1


async def test_a_request_that_reaches_no_run_is_seen_with_what_went_wrong(door: FakeDoor, notebook: Notebook) -> None:
    await door.ask("POST", INFER, b"{")
    await door.ask("POST", "/v2/models/nobody/infer", BODY)

    bad, unknown = notebook.seen
    assert (bad.error, bad.outcome, bad.status, bad.run) == ("InvalidRequest", "client_error", 400, None)
    assert (unknown.error, unknown.version, unknown.trace) == ("UnknownModel", None, None)


async def test_a_pinned_version_and_a_prediction_of_v1_are_seen_as_such(door: FakeDoor, notebook: Notebook) -> None:
    await door.ask("POST", "/v2/models/fraud/versions/1/infer", BODY)
    await door.ask("POST", "/v1/models/fraud:predict", b'{"instances": [[1, 2]]}')

    assert [(seen.door, seen.pinned) for seen in notebook.seen] == [("v2", 1), ("v1", None)]


async def test_a_witness_that_does_not_want_a_request_is_not_told(door: FakeDoor, notebook: Notebook) -> None:
    notebook.wants = False

    await door.ask("POST", INFER, BODY)

    assert (notebook.asked, notebook.seen) == ([None], [])


@pytest.mark.parametrize("path", [INFER, "/v2/models/nobody", "/v2/nothing"])
async def test_a_problem_names_the_trace_of_its_caller(door: FakeDoor, path: str) -> None:
    method = "POST" if path == INFER else "GET"

    traced = await door.ask(method, path, b"{", TRACED)
    plain = await door.ask(method, path, b"{", [("traceparent", "00-wrong")])

    assert traced.json["trace_id"] == TRACE
    assert "trace_id" not in plain.json


async def test_a_failure_is_logged_once_with_its_cause_and_where_it_happened(
    door: FakeDoor, caplog: pytest.LogCaptureFixture
) -> None:
    fail(door)

    with caplog.at_level(logging.WARNING, "gateway.serving.witnessing"):
        answer = await door.ask("POST", INFER, BODY, TRACED)

    [record] = [each for each in caplog.records if each.name == "gateway.serving.witnessing"]
    assert answer.json["error"] == record.getMessage()
    said = vars(record)
    assert (said["request_id"], said["trace_id"]) == ("abc", TRACE)
    assert (said["model"], said["version"], said["rule"], said["error"]) == ("fraud", 1, "split", "ModelFailed")


async def test_failures_do_not_flood_the_log_and_those_left_out_are_told(
    door: FakeDoor, caplog: pytest.LogCaptureFixture
) -> None:
    fail(door)
    now = [0.0]
    door.inference.failures._clock = lambda: now[0]

    with caplog.at_level(logging.WARNING, "gateway.serving.witnessing"):
        for _ in range(int(LINES_PER_SECOND) + 7):
            await door.ask("POST", INFER, BODY)
        now[0] = 1.0
        await door.ask("POST", INFER, BODY)

    lines = [each for each in caplog.records if each.name == "gateway.serving.witnessing"]
    assert len(lines) == LINES_PER_SECOND + 1
    assert vars(lines[-1])["failures_left_out"] == 7
    assert "failures_left_out" not in vars(lines[0])


@pytest.mark.parametrize("rollout", [None, rollout_of(2)], ids=["by weight", "in a rollout"])
async def test_a_failure_in_whose_place_the_baseline_answers_is_logged_as_the_canarys(
    door: FakeDoor, caplog: pytest.LogCaptureFixture, rollout: Rollout | None
) -> None:
    door.floor.held.hold("fraud", 2, raising)
    door.adoption.want(Mark("a", 8, "d8"), compiled({"1": 0, "2": 1}, baseline="1"), rollout)

    with caplog.at_level(logging.WARNING, "gateway.serving.witnessing"):
        answer = await door.ask("POST", INFER, BODY, TRACED)

    [record] = [each for each in caplog.records if each.name == "gateway.serving.witnessing"]
    said = vars(record)
    assert (answer.status, answer.headers["x-gateway-fallback-from"]) == (200, "2")
    assert (said["request_id"], said["trace_id"], said["error"]) == ("abc", TRACE, "ModelFailed")
    assert (said["version"], said["answered_by"], said["revision"], said["rule"]) == (2, 1, 8, "split")


async def test_fallbacks_and_failures_share_the_lines_of_a_second(
    door: FakeDoor, caplog: pytest.LogCaptureFixture
) -> None:
    door.floor.held.hold("fraud", 2, raising)
    send_all_to(door, 2, revision=8)
    door.inference.failures._clock = lambda: 0.0

    with caplog.at_level(logging.WARNING, "gateway.serving.witnessing"):
        for _ in range(int(LINES_PER_SECOND) + 7):
            await door.ask("POST", INFER, BODY)

    assert len([each for each in caplog.records if each.name == "gateway.serving.witnessing"]) == LINES_PER_SECOND


async def test_a_fallback_from_a_full_queue_is_counted_and_not_logged(
    door: FakeDoor, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    door.floor.held.hold("fraud", 2)
    send_all_to(door, 2, revision=8)

    def full(*_: object) -> None:
        raise Overloaded("fraud", 2)

    monkeypatch.setattr(door.floor.table.route("fraud").lanes[2], "submit", full)

    answer = await door.ask("POST", INFER, BODY)

    assert answer.headers["x-gateway-fallback-from"] == "2"
    assert door.floor.cells(2).fallbacks == ["overload"]
    assert not [each for each in caplog.records if each.name == "gateway.serving.witnessing"]


async def test_what_the_caller_did_wrong_is_not_logged(door: FakeDoor, caplog: pytest.LogCaptureFixture) -> None:
    await door.ask("POST", INFER, b"{")

    assert not [each for each in caplog.records if each.name == "gateway.serving.witnessing"]
