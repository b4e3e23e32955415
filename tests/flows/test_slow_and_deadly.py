"""A canary that is slower than its baseline, and one that kills workers, are taken back over real processes."""

from __future__ import annotations

import asyncio
import json
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, Final

from tests.engine import killers
from tests.flows.gateway_process import eventually
from tests.flows.load import Connection
from tests.flows.models import MODEL, busy, publish, request

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.flows.gateway_process import Gateway

ROUTE: Final = 'split: {"1": 100}\nbaseline: "1"'
PLAN: Final = {
    "candidate": "2",
    "steps": [{"weight": 50, "for": "10m"}],
    "guards": {"errors": {}, "invalid": {}, "latency": {}},
}
"""Without the guard of outputs: these versions answer with their numbers, each always the same."""
SLOW: Final = PLAN | {"guards": {"latency": {}}}
"""On a noisy machine enough runs of a slow version exceed thrice the baseline's for the guard of errors to be first."""
ROLLOUTS: Final = f"/api/v1/models/{MODEL}/rollouts"
INFER: Final = f"/v2/models/{MODEL}/infer"
ROUNDS: Final = 400
SMALLEST: Final = -(2**63)
STARTED_SECONDS: Final = 10.0
JUDGED_SECONDS: Final = 90.0


def start(gateway: Gateway, plan: dict[str, Any] = PLAN) -> None:
    answer = gateway.ask_admin("POST", ROLLOUTS, plan, if_match="*")
    assert answer.status == 201, answer.body
    eventually(lambda: now(gateway)["phase"] == "step", STARTED_SECONDS, "the canary has its first step")


def now(gateway: Gateway) -> dict[str, Any]:
    found: dict[str, Any] = gateway.ask_admin("GET", f"{ROLLOUTS}/current").json()
    return found


def reasons(gateway: Gateway) -> list[str]:
    entries = gateway.ask_admin("GET", f"/api/v1/models/{MODEL}/history").json()
    return [entry["reason"] for entry in entries]


async def ask_until(gateway: Gateway, phase: str) -> list[int]:
    """Ask one request after another, so that each is a run of its own, and return the statuses."""
    statuses: list[int] = []
    body, headers = json.dumps(request([1, 2])).encode(), {"content-type": "application/json"}
    connection = await Connection.open(gateway.port)
    async with asyncio.timeout(JUDGED_SECONDS):
        while len(statuses) % 100 or (await asyncio.to_thread(now, gateway))["phase"] != phase:
            status, _, _ = await connection.post(INFER, body, headers)
            statuses.append(status)
    await connection.aclose()
    return statuses


async def test_a_canary_twice_as_slow_is_taken_back_by_the_guard_latency(
    begin: Callable[..., Gateway], tmp_path: Path
) -> None:
    publish(tmp_path / "models", 1, busy(1, ROUNDS))
    publish(tmp_path / "models", 2, busy(2, 2 * ROUNDS))
    gateway = begin(models=tmp_path / "models", route=ROUTE)
    await asyncio.to_thread(start, gateway, SLOW)

    statuses = await ask_until(gateway, "rolled_back")

    said = reasons(gateway)
    assert set(statuses) == {200}
    assert said[0].startswith("latency: "), said
    assert any("runs of 1 rows" in each for each in said), said
    assert now(gateway)["split"] == {"1": 100, "2": 0}


def division(*pairs: tuple[int, int]) -> dict[str, Any]:
    """Return the body of a request for x / z, or for version 1 x · z, of each pair."""
    inputs = []
    for name, column in zip("xz", zip(*pairs, strict=True), strict=True):
        inputs.append({"name": name, "datatype": "INT64", "shape": [len(pairs), 1], "data": list(column)})
    return {"inputs": inputs}


def kill_one(gateway: Gateway, rows: int) -> None:
    """Ask for what kills a worker in version 2 until one is dead. Every number of *rows* is another input."""
    before = set(gateway.worker_pids())
    body = division((SMALLEST, -1), *[(1, 1)] * rows)

    def is_dead() -> bool:
        try:
            gateway.ask("POST", INFER, body)
        except (OSError, HTTPException):
            return True
        return set(gateway.worker_pids()) != before

    eventually(is_dead, STARTED_SECONDS, "a worker died")


def test_the_first_worker_that_dies_in_a_canary_holds_its_rollout_and_the_second_ends_it(
    begin: Callable[..., Gateway], tmp_path: Path
) -> None:
    publish(tmp_path / "models", 1, killers.divided("Mul"))
    publish(tmp_path / "models", 2, killers.divided())
    gateway = begin(models=tmp_path / "models", route=ROUTE)
    start(gateway)

    kill_one(gateway, 0)
    eventually(lambda: now(gateway)["phase"] == "hold", STARTED_SECONDS, "it is held")
    held = now(gateway)
    kill_one(gateway, 1)
    eventually(lambda: now(gateway)["phase"] == "rolled_back", STARTED_SECONDS, "it is taken back")

    assert held["counts"]["2"]["deaths"] == 1
    assert "deaths: a worker died" in held["reason"]
    assert reasons(gateway)[0].startswith("deaths: 2 workers died")
    assert now(gateway)["split"] == {"1": 100, "2": 0}
