"""The store's primary stands still and Sentinels make a primary of its replica: requests go on, and so do changes."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import pytest

from tests.faults import thresholds
from tests.faults.sentinels import watched
from tests.flows import metrics
from tests.flows.gateway_process import eventually
from tests.flows.load import Load
from tests.flows.models import MODEL
from tests.flows.reconcile import assert_counts_agree

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.sentinels import Watched
    from tests.faults.table import Table
    from tests.flows.gateway_process import Gateway

__all__ = ["watched"]
pytestmark = pytest.mark.fault

ROUTE: Final = 'split: {"1": 95, "2": 5}\nassign: {by: random}\nbaseline: "1"'
HISTORY: Final = f"/api/v1/models/{MODEL}/history?limit=1000"
WRITE_EVERY_SECONDS: Final = 0.2
PATIENCE_SECONDS: Final = 20.0


@dataclass(slots=True)
class Writer:
    """Changes the route again and again, each change by a reason of its own; what was answered with what."""

    gateway: Gateway
    answers: dict[str, int] = field(default_factory=dict)
    slowest: float = 0.0
    accepted_at: float = -math.inf

    def write(self) -> None:
        """Make one change."""
        reason = f"change {len(self.answers)}"
        change = {"weights": {"1": 1000, "2": 1 + len(self.answers)}, "reason": reason}
        answer = self.gateway.ask_admin("PATCH", f"/api/v1/models/{MODEL}/route/weights", change, if_match="*")
        self.answers[reason] = answer.status
        self.slowest = max(self.slowest, answer.seconds)
        if answer.status == 200:
            self.accepted_at = time.monotonic()

    async def write_forever(self) -> None:
        """Make changes until somebody ends it."""
        while True:
            await asyncio.to_thread(self.write)
            await asyncio.sleep(WRITE_EVERY_SECONDS)

    def seconds_until_accepted(self) -> float:
        """Return how long it takes from now to the next change that is taken; NaN where none is in time."""
        began = time.monotonic()
        while time.monotonic() < began + thresholds.BACK.most:
            if self.accepted_at > began:
                return self.accepted_at - began
            time.sleep(0.02)
        return math.nan

    @property
    def accepted(self) -> set[str]:
        """The reasons of changes that were answered with 200."""
        return {reason for reason, status in self.answers.items() if status == 200}


@dataclass(slots=True)
class Seen:
    """What callers and operators saw of a failover."""

    load: Load
    writer: Writer
    back: float
    agreed: float = math.nan
    last: int = 0


def recorded(gateway: Gateway) -> list[str]:
    """Return the reason of every change that the history holds."""
    reasons = [entry["reason"] for entry in gateway.ask_admin("GET", HISTORY).json()]
    return [reason for reason in reasons if reason.startswith("change ")]


def setbacks(gateway: Gateway) -> float:
    """Return how often a worker said that the store was set back, as it does when one that it served is lost."""
    return metrics.gauge(gateway, "gateway_route_documents_refused_total", reason="rewritten") or 0


def agree(gateway: Gateway) -> bool:
    """Say whether all workers serve the revision that the store holds."""
    route = gateway.ask_admin("GET", f"/api/v1/models/{MODEL}/route")
    return route.status == 200 and metrics.adopted(gateway) == int(route.headers["etag"].strip('"'))


async def fail_over(gateway: Gateway, pair: Watched) -> Seen:
    """Freeze the primary under load and changes until its replica is the primary and a change is taken, at most
    PATIENCE_SECONDS; then let it go on as a replica."""
    writer = Writer(gateway)
    async with Load(gateway.port) as load:
        await load.answered(200)
        writing = asyncio.create_task(writer.write_forever())
        await load.answered(200)
        await asyncio.to_thread(pair.freeze_primary)
        await asyncio.to_thread(eventually, pair.has_failed_over, PATIENCE_SECONDS, "the replica is the primary")
        back = await asyncio.to_thread(writer.seconds_until_accepted)
        await asyncio.to_thread(pair.thaw_primary)
        await load.answered(200)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        seen = Seen(load, writer, back)
        if not math.isnan(back):
            seen.agreed = await asyncio.to_thread(eventually, lambda: agree(gateway), PATIENCE_SECONDS, "all agree")
        await load.answered(100)
    return seen


async def test_after_a_failover_changes_go_on_and_no_request_notices(
    begin: Callable[..., Gateway], watched: Watched, table: Table
) -> None:
    gateway = begin(route=ROUTE, flags=("--redis-url", watched.url))

    seen = await fail_over(gateway, watched)

    held, writer = recorded(gateway), seen.writer
    refused = sum(status == 503 for status in writer.answers.values())
    lost, alarms = len(writer.accepted - set(held)), setbacks(gateway)
    other = sum(status not in {200, 503} for status in writer.answers.values())
    with table.promise("R10", "the primary frozen (SIGSTOP), its replica promoted by Sentinels") as found:
        found("requests not answered with 200", len(seen.load.faults), thresholds.NONE)
        found("changes refused meanwhile", refused, thresholds.SOME)
        found("slowest answer to a change", writer.slowest, thresholds.WRITE)
        found("changes answered other than 200 and 503", other, thresholds.NONE)
        found("until a change is taken again", seen.back, thresholds.BACK)
        found("until all workers agree with the store", seen.agreed, thresholds.AGREED)
        found("accepted changes neither held nor told to be lost", lost if not alarms else 0, thresholds.NONE)
        found("changes that it holds twice", len(held) - len(set(held)), thresholds.NONE)
    assert_counts_agree(gateway, [seen.load], before={})


async def test_control_a_gateway_that_holds_on_to_the_old_primary_takes_no_change(
    begin: Callable[..., Gateway], watched: Watched, table: Table
) -> None:
    gateway = begin(route=ROUTE, flags=("--redis-url", watched.url_of_first))

    seen = await fail_over(gateway, watched)

    with table.control("R10", "the address of the old primary instead of the Sentinels'") as found:
        found("until a change is taken again", seen.back, thresholds.BACK)
