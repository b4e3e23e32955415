"""Shadows under load: callers see nothing of them, and ``/metrics`` sees every copy."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, Final

import pytest

from tests.flows import metrics
from tests.flows.gateway_process import eventually
from tests.flows.load import Load
from tests.flows.models import publish, repository
from tests.flows.reconcile import DEVIATIONS, METRICS_SECONDS, assert_counts_agree

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.flows.gateway_process import Gateway
    from tests.flows.load import Outcome

RATE: Final = 200
REQUESTS: Final = 1_000
ROUTE: Final = 'split: {"1": 1}'
NOISE: Final = 1.5
NOISE_SECONDS: Final = 0.002
"""What the median of callers may differ by on a machine that does other things: half, and two milliseconds."""


def shadow_sum(gateway: Gateway, name: str, version: str, **labels: str) -> float:
    """Return the sum over the samples of a metric of shadows that have these labels."""
    wanted = {"version": version, **labels}.items()
    samples = metrics.scrape(gateway).get(f"gateway_shadow_{name}", {})
    return sum(count for named, count in samples.items() if wanted <= dict(named).items())


def median(outcomes: list[Outcome]) -> float:
    return statistics.median(outcome.latency for outcome in outcomes)


def put_shadow(gateway: Gateway, shadow: dict[str, int]) -> int:
    """Replace the route of the echo model by one with *shadow*, and return its status once every worker has it."""
    answer = gateway.ask_admin("PUT", "/api/v1/models/echo/route", {"split": {"1": 1}, "shadow": shadow}, if_match="*")
    if answer.status == 200:
        revision = int(answer.headers["etag"].strip('"'))
        eventually(lambda: metrics.adopted(gateway) == revision, METRICS_SECONDS, "every worker has the shadow")
    return answer.status


@pytest.mark.alone
async def test_callers_notice_nothing_of_a_shadow_and_every_copy_is_counted(begin: Callable[..., Gateway]) -> None:
    gateway = begin(versions=(1, 2, 3), route=ROUTE)
    async with Load(gateway.port, rate=RATE, keep_alive=False) as before:
        await before.answered(REQUESTS)

    assert put_shadow(gateway, {"3": 100, "2": 20}) == 200
    async with Load(gateway.port, rate=RATE, keep_alive=False) as load:
        await load.answered(REQUESTS)

    copies = len(load.outcomes)

    def ended(version: str) -> float:
        return shadow_sum(gateway, "requests_total", version) + shadow_sum(gateway, "dropped_total", version)

    eventually(lambda: ended("3") == copies, METRICS_SECONDS, f"all {copies} copies are accounted for")
    assert (before.faults, load.faults) == ([], [])
    assert len({outcome.worker for outcome in load.outcomes}) == 2
    assert_counts_agree(gateway, [before, load], before={})
    assert set(metrics.all_requests(gateway)) == {("1", "ok")}
    ran = shadow_sum(gateway, "requests_total", "3", outcome="ok")
    assert ran == shadow_sum(gateway, "requests_total", "3") > 0.5 * copies
    assert shadow_sum(gateway, "disagreements_total", "3") == ran
    assert shadow_sum(gateway, "agreements_total", "3") == 0
    assert shadow_sum(gateway, "max_difference_bucket", "3", le="0.0") == ran
    assert shadow_sum(gateway, "duration_seconds_count", "3") == ran
    assert abs(ended("2") - 0.2 * copies) <= DEVIATIONS * math.sqrt(copies * 0.16)
    assert median(load.outcomes) <= NOISE * median(before.outcomes) + NOISE_SECONDS


async def test_a_shadow_that_cannot_be_loaded_harms_no_caller_and_shows_in_the_metrics(
    begin: Callable[..., Gateway], tmp_path: Path
) -> None:
    models = repository(tmp_path / "models", (1,))
    publish(models, 3, b"no model")
    gateway = begin(models=models, route=ROUTE)

    assert put_shadow(gateway, {"3": 100}) == 200
    async with Load(gateway.port, rate=RATE) as load:
        await load.answered(200)

    assert load.faults == []
    dropped = len(load.outcomes)
    eventually(
        lambda: shadow_sum(gateway, "dropped_total", "3", reason="unavailable") == dropped, METRICS_SECONDS, "drops"
    )
    assert_counts_agree(gateway, [load], before={})
    assert gateway.set_weights("echo", {"1": 2}).status == 200
    assert gateway.is_ready()


async def test_explain_names_the_shadows_and_one_that_is_nowhere_is_refused(begin: Callable[..., Gateway]) -> None:
    gateway = begin(versions=(1, 2), route=ROUTE)

    assert put_shadow(gateway, {"9": 100}) == 422
    assert put_shadow(gateway, {"2": 40}) == 200

    assert gateway.ask_admin("GET", "/api/v1/models/echo/explain?key=ann").json()["copied"] == {"2": 40.0}
    assert gateway.ask_admin("GET", "/api/v1/models/echo/route").json()["shadow"] == {"2": 40}


async def test_the_canary_of_a_shadow_phase_gets_copies_and_answers_nobody(begin: Callable[..., Gateway]) -> None:
    gateway = begin(versions=(1, 2), route=ROUTE)
    plan = {"candidate": "2", "steps": [{"weight": 10, "for": "1m"}], "shadow": {"for": "1m", "share": "50%"}}

    assert gateway.ask_admin("POST", "/api/v1/models/echo/rollouts", plan, if_match="*").status < 300
    async with Load(gateway.port, rate=RATE) as load:
        await load.answered(REQUESTS)

    assert load.faults == []
    assert load.by_header().keys() == {"1"}
    eventually(lambda: shadow_sum(gateway, "disagreements_total", "2") > 0.2 * REQUESTS, METRICS_SECONDS, "pairs")
