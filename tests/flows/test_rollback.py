"""A canary that is bad is taken back before its users notice: by the fleet, or without a store by each worker."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.flows import metrics
from tests.flows.gateway_process import eventually
from tests.flows.load import Load
from tests.flows.models import MODEL, crashing, publish, repository

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.flows.gateway_process import Gateway

ROUTE: Final = 'split: {"1": 100}\nbaseline: "1"'
PLAN: Final = {"candidate": "2", "steps": [{"weight": 5, "for": "60s"}]}
ROLLOUTS: Final = f"/api/v1/models/{MODEL}/rollouts"
ROLLBACKS: Final = 4
STARTED_SECONDS: Final = 10.0
SECONDS: Final = 1.0
"""From the first failure of the canary to the last request that it got, in the middle one of all rollbacks."""

WORST_SECONDS: Final = 4.0
"""The same in the worst of them, on a machine that does other things too."""


def with_a_crashing_canary(begin: Callable[..., Gateway], tmp_path: Path) -> Gateway:
    models = repository(tmp_path / "models", (1,))
    publish(models, 2, crashing(2))
    return begin(models=models, route=ROUTE)


def split_of(gateway: Gateway) -> dict[str, int]:
    split: dict[str, int] = gateway.ask_admin("GET", f"/api/v1/models/{MODEL}/route").json()["split"]
    return split


def history(gateway: Gateway) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = gateway.ask_admin("GET", f"/api/v1/models/{MODEL}/history").json()
    return entries


def rollbacks(gateway: Gateway) -> list[dict[str, Any]]:
    """Return the entries that took the canary from a share to nothing."""
    entries = [each for each in history(gateway) if each["before"] and each["after"]]
    return [each for each in entries if each["before"]["split"].get("2") and not each["after"]["split"].get("2")]


def until_rolled_back(gateway: Gateway, times: int) -> None:
    eventually(lambda: len(rollbacks(gateway)) == times, STARTED_SECONDS, "it is taken back")


def begin_rollout(gateway: Gateway, path: str, body: object) -> None:
    answer = gateway.ask_admin("POST", path, body, if_match="*")
    assert answer.status in {200, 201}, answer.body


@pytest.mark.long
async def test_a_canary_that_always_fails_is_gone_within_a_second_and_nobody_saw_a_failure(
    begin: Callable[..., Gateway], tmp_path: Path
) -> None:
    gateway = with_a_crashing_canary(begin, tmp_path)
    took = []

    async with Load(gateway.port, rate=300) as load:
        for number in range(1, ROLLBACKS + 1):
            seen = len(load.outcomes)
            path, body = (f"{ROLLOUTS}/current/retry", {}) if number > 1 else (ROLLOUTS, PLAN)
            await asyncio.to_thread(begin_rollout, gateway, path, body)
            await asyncio.to_thread(until_rolled_back, gateway, number)
            await load.answered(150)
            hit = [outcome.due for outcome in load.outcomes[seen:] if outcome.fallback_from == "2"]
            took.append(max(hit) - min(hit))
        await load.answered(300)

    assert load.faults == []
    assert sorted(took)[len(took) // 2] < SECONDS, took
    assert max(took) < WORST_SECONDS, took
    entries = rollbacks(gateway)
    assert len(entries) == ROLLBACKS
    assert all(entry["reason"].startswith("errors: ") for entry in entries)
    assert split_of(gateway) == {"1": 100, "2": 0}


async def test_with_the_store_frozen_each_worker_stops_asking_a_canary_that_fails(
    begin: Callable[..., Gateway], tmp_path: Path
) -> None:
    gateway = with_a_crashing_canary(begin, tmp_path)
    begin_rollout(gateway, ROLLOUTS, PLAN)
    eventually(lambda: split_of(gateway) == {"1": 95, "2": 5}, STARTED_SECONDS, "the canary has its first step")
    revision = history(gateway)[0]["revision"]
    eventually(lambda: metrics.adopted(gateway) == revision, STARTED_SECONDS, "every worker follows")
    store = gateway.store_pid()

    os.kill(store, signal.SIGSTOP)
    try:
        async with Load(gateway.port, rate=300) as load:
            await asyncio.to_thread(eventually, lambda: ejected(gateway) > 10, 20, "the breaker answers")
            while_frozen = failures(gateway)
            await load.answered(300)
            os.kill(store, signal.SIGCONT)
            await asyncio.to_thread(until_rolled_back, gateway, 1)
            await load.answered(150)
    finally:
        os.kill(store, signal.SIGCONT)

    assert load.faults == []
    assert while_frozen <= 2 * (8 + 3), "eight in a row, and three probes, on each of two workers"
    assert len(rollbacks(gateway)) == 1


def fallbacks(gateway: Gateway, reason: str) -> float:
    found = metrics.scrape(gateway).get("gateway_fallbacks_total", {})
    return sum(value for labels, value in found.items() if ("reason", reason) in labels and ("version", "2") in labels)


def ejected(gateway: Gateway) -> float:
    return fallbacks(gateway, "breaker")


def failures(gateway: Gateway) -> float:
    return fallbacks(gateway, "error")
