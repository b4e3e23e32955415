"""Two gateways of two workers on one store, under open-loop load: bad canaries go, and nobody sees them fail.

What is measured is what callers see: how long after the failure that decides a worker still answered under a split
in which the canary had a share. The figures of ``docs/measurements.md`` are these tests'.
"""

from __future__ import annotations

import asyncio
import math
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest

from tests.flows import metrics
from tests.flows.gateway_process import eventually
from tests.flows.load import Load
from tests.flows.models import MODEL, busy, crashing, failing_every, hanging, nowhere_finite, publish, tagged
from tests.flows.test_rollouts import store_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from tests.flows.gateway_process import Gateway
    from tests.flows.load import Outcome

ROUTE: Final = 'split: {"1": 100}\nbaseline: "1"'
ROLLOUTS: Final = f"/api/v1/models/{MODEL}/rollouts"
RATE: Final = 130.0
"""Requests per second to each of the two gateways."""

DECIDING: Final = 3
"""So many failures of a canary at 5 % decide, where the baseline has none."""

SECONDS: Final = 1.0
BACK_SECONDS: Final = 20.0
JUDGED_SECONDS: Final = 90.0


def fleet(begin: Callable[..., Gateway], models: Path, *flags: str) -> list[Gateway]:
    """Return two gateways that share the store of the first."""
    first = begin("one", models=models, route=ROUTE, flags=flags)
    return [first, begin("two", models=models, route=ROUTE, flags=(*flags, "--redis-url", store_url(first)))]


def begin_rollout(gateway: Gateway, weight: int, *, again: bool) -> None:
    path, body = (f"{ROLLOUTS}/current/retry", {}) if again else (ROLLOUTS, plan(weight))
    answer = gateway.ask_admin("POST", path, body, if_match="*")
    assert answer.status in {200, 201}, answer.body


def plan(weight: int) -> dict[str, Any]:
    """Return a plan without the guard of outputs: these versions answer with their numbers, each always the same."""
    guards: dict[str, Any] = {"errors": {}, "invalid": {}, "latency": {}}
    return {"candidate": "2", "steps": [{"weight": weight, "for": "10m"}], "guards": guards}


def rollbacks(gateway: Gateway) -> list[dict[str, Any]]:
    """Return the entries that took the canary from a share to nothing, the newest first."""
    entries = gateway.ask_admin("GET", f"/api/v1/models/{MODEL}/history?limit=1000").json()
    moved = [each for each in entries if each["before"] and each["after"]]
    return [each for each in moved if each["before"]["split"].get("2") and not each["after"]["split"].get("2")]


def taken_back(gateways: list[Gateway], times: int, seconds: float) -> dict[str, Any]:
    """Return the newest of so many rollbacks, when every worker of all follows it."""
    eventually(lambda: len(rollbacks(gateways[0])) == times, seconds, "it is taken back")
    newest = rollbacks(gateways[0])[0]

    def is_followed() -> bool:
        return all((metrics.adopted(gateway) or 0) >= newest["revision"] for gateway in gateways)

    eventually(is_followed, 5, "every worker follows")
    return newest


async def roll_back(
    gateways: list[Gateway], loads: list[Load], number: int, *, weight: int, seconds: float
) -> tuple[dict[str, Any], list[Outcome]]:
    """Start a rollout, wait until it is taken back, and return that entry and what came of all requests meanwhile."""
    seen = [len(load.outcomes) for load in loads]
    await asyncio.to_thread(begin_rollout, gateways[0], weight, again=number > 1)
    newest = await asyncio.to_thread(taken_back, gateways, number, seconds)
    for load in loads:
        await load.answered(60)
    outcomes = [each for load, before in zip(loads, seen, strict=True) for each in load.outcomes[before:]]
    return newest, sorted(outcomes, key=lambda each: each.due)


class TakenBack(NamedTuple):
    """How many seconds after its first failure, and after the deciding one, the last request was due that some worker
    answered by a split in which a canary had its share."""

    from_first: float
    from_deciding: float


async def crashes(begin: Callable[..., Gateway], models: Path, times: int) -> list[TakenBack]:
    """Roll a canary that always fails out so often, and return how fast each was taken back."""
    publish(models, 1, tagged(1))
    publish(models, 2, crashing(2))
    gateways = fleet(begin, models)
    took = []
    async with AsyncExitStack() as stack:
        loads = [await stack.enter_async_context(Load(gateway.port, rate=RATE)) for gateway in gateways]
        for number in range(1, times + 1):
            entry, outcomes = await roll_back(gateways, loads, number, weight=5, seconds=BACK_SECONDS)
            assert entry["reason"].startswith("errors: ")
            failed = sorted(each.due + each.latency for each in outcomes if each.fallback_from == "2")
            last = max(each.due for each in outcomes if each.revision < entry["revision"])
            took.append(TakenBack(max(0.0, last - failed[0]), max(0.0, last - failed[DECIDING - 1])))
    assert [fault for load in loads for fault in load.faults] == []
    return took


def at(percent: int, seconds: Iterable[float]) -> float:
    """Return a percentile."""
    found = sorted(seconds)
    return found[math.ceil(len(found) * percent / 100) - 1]


async def test_three_canaries_that_always_fail_are_gone_from_every_worker_of_two_gateways(
    begin: Callable[..., Gateway], tmp_path: Path
) -> None:
    took = await crashes(begin, tmp_path / "models", 3)

    assert at(50, (each.from_first for each in took)) < SECONDS, took


@pytest.mark.long
async def test_nineteen_of_twenty_canaries_that_always_fail_are_gone_within_a_second(
    begin: Callable[..., Gateway], tmp_path: Path
) -> None:
    took = await crashes(begin, tmp_path / "models", 20)

    print("seconds from the first failure to weight 0 everywhere:", [round(each.from_first, 3) for each in took])
    assert at(95, (each.from_first for each in took)) < SECONDS, took


@pytest.mark.long
@pytest.mark.parametrize(
    ("baseline", "canary", "weight", "guards"),
    [
        (tagged(1), failing_every(2, 10), 5, {"errors"}),
        (tagged(1), nowhere_finite(2), 5, {"invalid", "errors"}),
        (busy(1, 150), busy(2, 450), 50, {"latency", "errors"}),
        (tagged(1), hanging(2), 5, {"errors", "breaker"}),
    ],
    ids=["fails one in ten", "answers NaN", "three times as slow", "hangs"],
)
async def test_a_bad_canary_of_another_kind_is_taken_back_and_no_caller_sees_a_failure(
    begin: Callable[..., Gateway], tmp_path: Path, baseline: bytes, canary: bytes, weight: int, guards: set[str]
) -> None:
    models = tmp_path / "models"
    publish(models, 1, baseline)
    publish(models, 2, canary)
    gateways = fleet(begin, models, "--request-timeout", "4s")

    async with AsyncExitStack() as stack:
        loads = [await stack.enter_async_context(Load(gateway.port, rate=RATE)) for gateway in gateways]
        entry, outcomes = await roll_back(gateways, loads, 1, weight=weight, seconds=JUDGED_SECONDS)

    touched = [each for each in outcomes if "2" in (each.version, each.fallback_from)]
    took = max(each.due for each in touched) - min(each.due for each in touched)
    print(f"{entry['reason']}\n{len(touched)} requests of the canary in {took:.2f} s")
    assert [fault for load in loads for fault in load.faults] == []
    assert entry["reason"].partition(":")[0] in guards, entry["reason"]
