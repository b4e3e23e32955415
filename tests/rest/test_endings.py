"""How requests end at the inference port when something fails, and where each is counted."""

from __future__ import annotations

import asyncio
import json
import logging

import numpy as np
import pytest

from tests.rest.door import ROW, FakeDoor, buggy, ours, raising, send_all_to
from tests.serving.fakes import SLOW, Gate, a_turn


async def test_a_failing_canary_is_invisible_but_declared(door: FakeDoor) -> None:
    door.floor.held.hold("fraud", 2, raising)
    send_all_to(door, 2)

    reply = await door.infer("fraud", ROW)

    assert reply.status == 200
    assert reply.json["model_version"] == "1"
    assert reply.json["outputs"][0]["data"] == [101.0, 102.0]
    assert ours(reply) == ("1", "7", "split")
    assert reply.headers["x-gateway-fallback-from"] == "2"
    assert (door.floor.cells(2).fallbacks, door.outcomes(2), door.outcomes(1)) == (["error"], [], ["ok"])


async def test_the_error_of_a_pinned_version_reaches_the_caller(door: FakeDoor) -> None:
    door.floor.held.hold("fraud", 2, raising)

    reply = await door.infer("fraud", ROW, version=2)

    assert (reply.status, reply.json["code"]) == (500, "model_error")
    assert ours(reply) == ("2", "7", "pinned")
    assert "x-gateway-fallback-from" not in reply.headers


async def test_an_output_that_is_not_finite_is_the_models_error(door: FakeDoor) -> None:
    door.floor.held.hold("fraud", 2, lambda feeds: [feeds["x"] * np.nan])

    reply = await door.infer("fraud", ROW, version=2)

    assert (reply.status, reply.json["code"]) == (500, "nonfinite_output")
    assert door.outcomes(2) == ["model_error"]


async def test_when_both_fail_the_answer_names_the_one_that_was_asked_last(door: FakeDoor) -> None:
    door.floor.held.hold("fraud", 1, raising)
    door.floor.held.hold("fraud", 2, raising)
    send_all_to(door, 2)

    reply = await door.infer("fraud", ROW)

    assert reply.status == 500
    assert ours(reply) == ("1", "7", "split")
    assert reply.headers["x-gateway-fallback-from"] == "2"
    assert (door.outcomes(1), door.outcomes(2)) == (["model_error"], [])


async def test_a_bug_of_ours_is_logged_and_says_nothing_to_the_caller(
    door: FakeDoor, caplog: pytest.LogCaptureFixture
) -> None:
    door.floor.held.hold("fraud", 1, buggy)
    door.adoption.settle()

    with caplog.at_level(logging.ERROR):
        reply = await door.infer("fraud", ROW)

    assert (reply.status, reply.json["code"]) == (500, "gateway_error")
    assert b"secret" not in reply.body
    assert "/secret/path is on fire" in caplog.text
    assert door.outcomes(1) == ["gateway_error"]


async def test_a_full_queue_is_told_with_when_to_try_again() -> None:
    door = FakeDoor(max_queue=1)
    gate = Gate()
    door.floor.held.hold("fraud", 1, gate, run_seconds=SLOW)
    door.floor.held.hold("fraud", 2)
    send_all_to(door, 1)
    accepted = [asyncio.create_task(door.infer("fraud", ROW))]
    await gate.begun.wait()
    accepted.append(asyncio.create_task(door.infer("fraud", ROW)))
    await a_turn()

    shed = await door.infer("fraud", ROW)
    gate.open()
    replies = await asyncio.gather(*accepted)

    assert (shed.status, shed.json["code"], shed.headers["retry-after"]) == (503, "overloaded", "1")
    assert ours(shed) == ("1", "7", "split")
    assert [reply.status for reply in replies] == [200, 200]
    assert sorted(door.outcomes(1)) == ["ok", "ok", "overload"]


async def test_each_request_is_counted_once_under_the_version_that_served_it(door: FakeDoor) -> None:
    await door.infer("fraud", ROW)
    await door.infer("fraud", b"{}")
    await door.infer("fraud", {**ROW, "inputs": []})
    await door.infer("fraud", ROW, version=2)

    assert door.outcomes(1) == ["ok", "client_error"]
    assert door.outcomes(2) == ["ok"]
    assert door.outcomes("_none") == ["client_error"]  # the body was no request, so no version was chosen


async def test_a_caller_that_hangs_up_in_its_body_is_counted_as_cancelled_and_as_nobodys_fault(door: FakeDoor) -> None:
    reply = await door.ask("POST", "/v2/models/fraud/infer", [b'{"inputs":'], hangs_up=True)

    assert reply.status == 0
    assert door.outcomes("_none") == ["cancelled"]
    assert (door.outcomes(1), door.inference.in_flight) == ([], 0)


@pytest.mark.parametrize("runs", [False, True], ids=["while it waits", "while it runs"])
async def test_a_caller_that_hangs_up_frees_its_place_and_is_nobodys_fault(door: FakeDoor, runs: bool) -> None:
    gate = Gate()
    door.floor.held.hold("fraud", 1, gate, run_seconds=SLOW)
    door.adoption.settle()
    leaves, body = asyncio.Event(), json.dumps(ROW).encode()
    staying = None if runs else asyncio.create_task(door.infer("fraud", ROW))
    if staying is not None:
        await gate.begun.wait()
    leaving = asyncio.create_task(door.ask("POST", "/v2/models/fraud/infer", body, leaves=leaves))
    await a_turn()

    leaves.set()
    reply = await asyncio.wait_for(leaving, 5)
    in_flight = door.inference.in_flight
    gate.open()
    last = await door.infer("fraud", ROW)

    assert (reply.status, last.status) == (0, 200)
    assert in_flight == (0 if runs else 1)
    assert door.outcomes(1).count("cancelled") == 1
    assert door.outcomes(1).count("ok") == (1 if runs else 2)
    assert staying is None or (await staying).status == 200


async def test_a_caller_whose_task_is_cancelled_while_it_waits_frees_its_place(door: FakeDoor) -> None:
    gate = Gate()
    door.floor.held.hold("fraud", 1, gate, run_seconds=SLOW)
    door.adoption.settle()
    running = asyncio.create_task(door.infer("fraud", ROW))
    await gate.begun.wait()
    waiting = asyncio.create_task(door.infer("fraud", ROW))
    await a_turn()

    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    in_flight = door.inference.in_flight
    gate.open()
    await running
    await a_turn()

    assert in_flight == 1
    assert sorted(door.outcomes(1)) == ["cancelled", "ok"]
    assert door.floor.held.sessions["fraud", 1].rows == [1]


async def test_nothing_stays_in_flight_however_requests_end(door: FakeDoor) -> None:
    door.floor.held.hold("fraud", 2, buggy)

    await asyncio.gather(
        door.infer("fraud", ROW),
        door.infer("ghost", ROW),
        door.infer("fraud", b""),
        door.infer("fraud", ROW, version=2),
        door.infer("fraud", ROW, [("content-type", "text/plain")]),
        door.ask("POST", "/v2/models/fraud/infer", [b"x" * 6000] * 2),
        door.ask("POST", "/v2/models/fraud/infer", [b""], hangs_up=True),
    )

    assert door.inference.in_flight == 0
    assert [door.floor.lane(version).version.in_flight for version in (1, 2)] == [0, 0]


async def test_ten_thousand_invented_models_add_one_series_and_blame_nobody(door: FakeDoor) -> None:
    before = set(door.floor.metrics.cells)

    for number in range(5000):
        await door.infer(f"ghost-{number}", ROW)
        await door.infer("fraud", ROW, version=1000 + number)

    added = set(door.floor.metrics.cells) - before
    assert added == {("_unknown", "_none"), ("fraud", "_none")}
    assert set(door.outcomes("_none", "_unknown")) == {"client_error"}
