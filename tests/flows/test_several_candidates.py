"""Two canaries side by side over real processes: one crashes and goes unnoticed, the other becomes the baseline."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from tests.flows import metrics
from tests.flows.gateway_process import eventually
from tests.flows.load import Load
from tests.flows.models import MODEL, crashing, publish, repository

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.flows.gateway_process import Gateway

ROLLOUTS: Final = f"/api/v1/models/{MODEL}/rollouts"
PLAN: Final = {
    "candidates": ["2", "3"],
    "steps": [{"weight": {"2": 40, "3": 5}, "for": "1s"}],
    "holdback": {"weight": 95, "for": "1s"},
    "guards": {"errors": {"certify": "2%"}, "invalid": {}},
}
WALK_SECONDS: Final = 40.0


def now(gateway: Gateway) -> dict[str, Any]:
    seen: dict[str, Any] = gateway.ask_admin("GET", f"{ROLLOUTS}/current").json()
    return seen


async def test_of_two_canaries_the_one_that_crashes_goes_unnoticed_and_the_other_is_promoted(
    begin: Callable[..., Gateway], tmp_path: Path
) -> None:
    models = repository(tmp_path / "models", (1, 2))
    publish(models, 3, crashing(3))
    gateway = begin(models=models, route='split: {"1": 100}\nbaseline: "1"')

    async with Load(gateway.port, rate=300) as load:
        started = await asyncio.to_thread(gateway.ask_admin, "POST", ROLLOUTS, PLAN, if_match="*")
        assert started.status == 201, started.body
        await asyncio.to_thread(eventually, lambda: now(gateway)["is_over"], WALK_SECONDS, "it ends")
        await load.answered(150)

    seen = now(gateway)
    assert load.faults == []
    assert {outcome.version for outcome in load.outcomes} == {"1", "2"}
    assert any(outcome.fallback_from == "3" for outcome in load.outcomes)
    assert (seen["phase"], seen["split"]) == ("succeeded", {"1": 0, "2": 100, "3": 0})
    assert [each["state"] for each in seen["candidates"]] == ["live", "failed"]
    assert seen["candidates"][1]["reason"].startswith("errors: version 3: ")
    rollbacks = metrics.scrape(gateway)["gateway_rollbacks_total"]
    assert [value for labels, value in rollbacks.items() if ("reason", "errors") in labels] == [1]
