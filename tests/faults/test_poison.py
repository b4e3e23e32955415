"""An input that kills whoever runs it kills few, and is then refused; what is sent beside it is answered."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import pytest

from tests.engine import killers
from tests.faults import inside, thresholds
from tests.flows import metrics
from tests.flows.conftest import seeded
from tests.flows.gateway_process import COMMAND, eventually
from tests.flows.load import Load
from tests.flows.models import publish
from tests.flows.test_hot_life import reach
from tests.flows.test_killers import SMALLEST, ask, event, integers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.faults.table import Table
    from tests.flows.gateway_process import Answer, Gateway

pytestmark = pytest.mark.fault

ROUTE: Final = 'split: {"1": 95, "2": 5}\nassign: {by: random}\nbaseline: "1"'
DIVIDE: Final = "divide"
PATH: Final = f"/v2/models/{DIVIDE}/infer"
TIMES: Final = 20
CONTROL_TIMES: Final = 4
PATIENCE_SECONDS: Final = 15.0


def is_back(gateway: Gateway) -> bool:
    """Say whether every worker lives and has the version that the input kills."""
    if len(gateway.worker_pids()) < gateway.workers:
        return False
    sound = ask(gateway, PATH, integers(-9, -1))
    return sound is not None and sound.status == 200


def deaths(gateway: Gateway) -> float:
    return metrics.gauge(gateway, "gateway_worker_deaths_total") or 0


async def poison(
    begin: Callable[..., Gateway], times: int, command: Sequence[str] = COMMAND
) -> tuple[Gateway, Load, list[Answer | None]]:
    """Send the input that kills so often under load, each time to workers that are back; return the gateway, the load,
    and the answers, None for each that killed."""
    gateway = begin(route=ROUTE, command=command)
    publish(gateway.models, 1, killers.divided(), model=DIVIDE)
    await reach(gateway, "READY", 1, model=DIVIDE)
    await asyncio.to_thread(eventually, lambda: seeded(gateway), PATIENCE_SECONDS, "the version has its route")
    answers = []
    async with Load(gateway.port) as load:
        await load.answered(100)
        for _ in range(times):
            answers.append(await asyncio.to_thread(ask, gateway, PATH, integers(SMALLEST, -1)))
            await asyncio.to_thread(eventually, lambda: is_back(gateway), PATIENCE_SECONDS, "the workers are back")
        await load.answered(100)
    return gateway, load, answers


def refused_otherwise(answers: Sequence[Answer | None]) -> int:
    """Return how many that did not kill were answered otherwise than that the input is quarantined."""
    return sum(each is not None and (each.status, each.json().get("code")) != (503, "quarantined") for each in answers)


async def test_an_input_that_kills_is_refused_after_two_deaths_and_others_are_answered(
    begin: Callable[..., Gateway], table: Table
) -> None:
    gateway, load, answers = await poison(begin, TIMES)

    killed = answers.count(None)
    died = await asyncio.to_thread(deaths, gateway)
    answered, counted = load.by_model(), metrics.requests(gateway)
    refusals = event(gateway, DIVIDE, "1", "quarantined")
    with table.promise("R15", f"INT_MIN / -1 sent {TIMES} times") as found:
        found("workers that died", max(killed, died), thresholds.POISONED_WORKERS)
        found("deaths seen at all", died, thresholds.SOME)
        found("answers to it other than 503 quarantined", refused_otherwise(answers), thresholds.NONE)
        found("refusals that no metric counts", abs(len(answers) - killed - refusals), thresholds.NONE)
        found("other requests lost", len(load.faults) / max(1, killed), thresholds.IN_FLIGHT)
        found("answers that no metric counts", (answered - counted).total(), thresholds.NONE)
        found(
            "counted, and neither answered nor lost",
            max(0, (counted - answered).total() - len(load.faults)),
            thresholds.NONE,
        )
    assert load.by_header() == answered


async def test_control_without_a_quarantine_an_input_kills_as_often_as_it_is_sent(
    begin: Callable[..., Gateway], table: Table
) -> None:
    gateway, _, answers = await poison(begin, CONTROL_TIMES, inside.command("no-quarantine"))

    with table.control("R15", "nothing is quarantined") as found:
        found("workers that died", max(answers.count(None), deaths(gateway)), thresholds.POISONED_WORKERS)
