"""More is asked than can be served: the rest is refused at once, and who matters least goes first."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

import pytest

from tests.faults import inside, thresholds
from tests.faults.test_following import a_line_to_each_worker
from tests.flows import metrics
from tests.flows.load import Connection, Load
from tests.flows.models import MODEL, busy, publish, request, tagged
from tests.flows.reconcile import assert_counts_agree
from tests.flows.test_shadow import shadow_sum

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.faults.table import Table
    from tests.flows.gateway_process import Gateway
    from tests.flows.load import Outcome

pytestmark = pytest.mark.fault

QUEUE: Final = ("--max-queue", "8")
LONG_QUEUE: Final = ("--max-queue", "64")
TARGET: Final = "latency_target_ms: 300"
OPENING_SECONDS: Final = 3.0
"""Until what was let in before the first late answer has been worked off: at most what comes in the target's time."""
UNBOUNDED: Final = ("--max-queue", "1000000", "--request-timeout", "60s")
BOUND: Final = (*QUEUE, "--limits", "caller-in-flight=4")
"""Half of a queue for each caller."""
MODEST_RATE: Final = 7.0
"""Out of step with the greedy caller and with the runs: what is lost does not hang on when the two began."""
MODEST: Final = "127.0.0.2"
"""The address of the modest caller; the greedy one has the usual."""
CALLERS: Final = 8
"""Who wait for their answers: as many as keep two workers busy, and never more than a queue holds."""
SLOW_ROUNDS: Final = 50_000
"""About 100 ms of a processor."""
BEYOND_RATE: Final = 120.0
"""Requests a second of which half are more than two workers can run so, also where a processor is twice as fast."""
SATURATION_SECONDS: Final = 4.0
SERVED_A_SECOND: Final = 40.0
"""By two workers at best, 50 ms a run."""
OVERLOADS: Final = (1, 2, 5)


def slow(begin: Callable[..., Gateway], models: Path, flags: Sequence[str], *wishes: str) -> Gateway:
    """Start a gateway whose one version takes a request at a time, for 50 ms: two workers serve forty a second.

    *wishes*: what else its ``serving`` says.
    """
    file = publish(models, 1)
    file.with_name("metadata.yaml").write_text(f"serving: {{{', '.join(('max_batch_rows: 1', *wishes))}}}\n")
    return begin(models=models, route='split: {"1": 1}', flags=flags, command=inside.command("wait"))


async def saturation(gateway: Gateway) -> float:
    """Return how many requests a second are served to callers who wait for their answers, as many of each worker."""
    body = json.dumps(request([1, 2])).encode()

    async def call(line: Connection, end: float) -> int:
        count = 0
        while time.monotonic() < end:
            status, _, _ = await line.post(f"/v2/models/{MODEL}/infer", body, {})
            count += status == 200
        return count

    async with contextlib.AsyncExitStack() as stack:
        lines = [
            line
            for _ in range(CALLERS // gateway.workers)
            for line in await stack.enter_async_context(a_line_to_each_worker(gateway))
        ]
        end = time.monotonic() + SATURATION_SECONDS
        return sum(await asyncio.gather(*(call(line, end) for line in lines))) / SATURATION_SECONDS


async def overload(gateway: Gateway, rate: float, seconds: float) -> Load:
    """Send so many requests a second, whether or not they are answered."""
    async with Load(gateway.port, rate=rate) as load:
        await asyncio.sleep(seconds)
    return load


def served_a_second(load: Load) -> float:
    """Return the answers a second, from the first one that was due to the last one that came."""
    came = [outcome.due + outcome.latency for outcome in load.outcomes if outcome.status == 200]
    return len(came) / (max(came) - load.outcomes[0].due)


def percentile(outcomes: Sequence[Outcome], percent: int) -> float:
    """Return a percentile of latencies, seconds; nothing took no time."""
    return sorted(outcome.latency for outcome in outcomes)[len(outcomes) * percent // 100] if outcomes else 0.0


async def test_what_cannot_be_served_is_refused_at_once_and_the_rest_is_served_as_before(
    begin: Callable[..., Gateway], tmp_path: Path, table: Table, fault_seconds: float
) -> None:
    gateway = slow(begin, tmp_path / "models", QUEUE)
    first = await saturation(gateway)
    before = metrics.requests(gateway)

    loads = [await overload(gateway, first * times, fault_seconds) for times in OVERLOADS]
    counted = metrics.requests(gateway)
    peak = (first + await saturation(gateway)) / 2  # the machine has other things to do, and not always as many

    good = [served_a_second(load) for load in loads]
    worst = loads[-1]
    shed = [o for o in worst.outcomes if o.status == 503]
    with table.promise("R18", f"{OVERLOADS[-1]} × saturation ({peak:.0f} requests a second)") as found:
        found("goodput", good[-1] / peak, thresholds.GOODPUT)
        found("requests refused", len(shed), thresholds.SOME)
        found("p99 of a refusal", 1000 * percentile(shed, 99), thresholds.SHED)
        found("refusals without Retry-After", sum(not o.retry_after for o in shed), thresholds.NONE)
        found("neither answered nor refused", sum(o.status not in {200, 503} for o in worst.outcomes), thresholds.NONE)
        found("p95 of an answer", percentile([o for o in worst.outcomes if o.status == 200], 95), thresholds.SERVED)
    answered = sum((load.by_model() for load in loads), Counter())
    assert answered == counted - before


async def test_control_without_a_bound_of_the_queue_answers_come_later_and_later(
    begin: Callable[..., Gateway], tmp_path: Path, table: Table, fault_seconds: float
) -> None:
    gateway = slow(begin, tmp_path / "models", UNBOUNDED)
    peak = await saturation(gateway)

    load = await overload(gateway, peak * OVERLOADS[-1], min(fault_seconds, 5.0))

    with table.control("R18", f"{OVERLOADS[-1]} × saturation, no bound of the queue") as found:
        found("p95 of an answer", percentile(load.outcomes, 95), thresholds.SERVED)


def after_opening(load: Load) -> Sequence[Outcome]:
    """Return the answers to what came when the queue had been held to the target for a while, or might have been."""
    since = load.outcomes[0].due + OPENING_SECONDS
    return [outcome for outcome in load.outcomes if outcome.status == 200 and outcome.due >= since]


async def test_a_version_with_a_latency_target_answers_in_time_behind_a_long_queue(
    begin: Callable[..., Gateway], tmp_path: Path, table: Table, fault_seconds: float
) -> None:
    gateway = slow(begin, tmp_path / "models", LONG_QUEUE, TARGET)
    first = await saturation(gateway)

    load = await overload(gateway, first * OVERLOADS[-1], OPENING_SECONDS + fault_seconds)
    limit = metrics.gauge(gateway, "gateway_version_queue_limit", model=MODEL, version="1")
    peak = (first + await saturation(gateway)) / 2

    shed = [o for o in load.outcomes if o.status == 503]
    with table.promise("R18", f"{OVERLOADS[-1]} × saturation, a queue of 64, a latency target of 0.3 s") as found:
        found("goodput", served_a_second(load) / peak, thresholds.GOODPUT)
        found("p95 of an answer", percentile(after_opening(load), 95), thresholds.AIMED)
        found("requests that may wait", limit or 0, thresholds.SOME)
        found("requests refused", len(shed), thresholds.SOME)
        found("refusals without Retry-After", sum(not o.retry_after for o in shed), thresholds.NONE)
        found("neither answered nor refused", sum(o.status not in {200, 503} for o in load.outcomes), thresholds.NONE)


async def test_control_without_a_latency_target_answers_wait_for_the_whole_queue(
    begin: Callable[..., Gateway], tmp_path: Path, table: Table, fault_seconds: float
) -> None:
    gateway = slow(begin, tmp_path / "models", LONG_QUEUE)
    peak = await saturation(gateway)

    load = await overload(gateway, peak * OVERLOADS[-1], OPENING_SECONDS + fault_seconds)

    with table.control("R18", f"{OVERLOADS[-1]} × saturation, a queue of 64, no latency target") as found:
        found("p95 of an answer", percentile(after_opening(load), 95), thresholds.AIMED)


async def one_greedy(gateway: Gateway, rate: float, seconds: float) -> tuple[Load, Load]:
    """Send so many requests a second as one caller, and a few as another; return both loads."""
    async with (
        Load(gateway.port, rate=rate) as greedy,
        Load(gateway.port, rate=MODEST_RATE, source=MODEST) as modest,
    ):
        await asyncio.sleep(seconds)
    return greedy, modest


async def test_a_greedy_caller_is_refused_and_a_modest_one_gets_all_of_its_answers(
    begin: Callable[..., Gateway], tmp_path: Path, table: Table, fault_seconds: float
) -> None:
    gateway = slow(begin, tmp_path / "models", BOUND)

    greedy, modest = await one_greedy(gateway, SERVED_A_SECOND * OVERLOADS[-1], fault_seconds)

    refused = [o for o in greedy.outcomes if o.status == 429]
    with table.promise("R18", f"one caller asks {OVERLOADS[-1]} × what is served, and may have 4 under way") as found:
        found("the modest caller's requests not answered", len(modest.faults), thresholds.NONE)
        found("p95 of its answers", percentile(modest.outcomes, 95), thresholds.SERVED)
        found("the greedy caller's requests refused", len(refused), thresholds.SOME)
        found("refusals without Retry-After", sum(not o.retry_after for o in refused), thresholds.NONE)
        found("answers to the greedy caller", len(greedy.outcomes) - len(greedy.faults), thresholds.SOME)
        found("neither answered nor refused so", len(greedy.faults) - len(refused), thresholds.NONE)
    counted = metrics.all_requests(gateway)
    assert counted["_none", "client_error"] == len(refused)
    assert counted["1", "overload"] == 0


async def test_control_without_a_bound_for_each_caller_the_modest_one_is_refused_too(
    begin: Callable[..., Gateway], tmp_path: Path, table: Table, fault_seconds: float
) -> None:
    gateway = slow(begin, tmp_path / "models", QUEUE)

    _, modest = await one_greedy(gateway, SERVED_A_SECOND * OVERLOADS[-1], min(fault_seconds, 5.0))

    with table.control("R18", f"one caller asks {OVERLOADS[-1]} × what is served, no bound for it") as found:
        found("the modest caller's requests not answered", len(modest.faults), thresholds.NONE)


async def test_shadows_go_first_then_canaries_and_the_baseline_serves_everybody(
    begin: Callable[..., Gateway], tmp_path: Path, table: Table, fault_seconds: float
) -> None:
    publish(tmp_path / "models", 1, tagged(1))
    for version in (2, 3):
        file = publish(tmp_path / "models", version, busy(version, SLOW_ROUNDS))
        file.with_name("metadata.yaml").write_text("serving: {max_batch_rows: 1}\n")
    route = 'split: {"1": 1, "2": 1}\nassign: {by: random}\nbaseline: "1"\nshadow: {"3": 100}'
    gateway = begin(models=tmp_path / "models", route=route, flags=QUEUE)

    load = await overload(gateway, BEYOND_RATE, fault_seconds)

    ended = metrics.all_requests(gateway)
    stood_in = sum(outcome.fallback_from == "2" for outcome in load.outcomes)
    with table.promise("R18 R21", f"a canary and a shadow of 100 ms at {BEYOND_RATE:g} requests a second") as found:
        found("requests not answered with 200", len(load.faults), thresholds.NONE)
        found("copies that the shadow did not run", shadow_sum(gateway, "dropped_total", "3"), thresholds.SOME)
        found("canary's requests that the baseline answered", stood_in, thresholds.SOME)
        found("requests that the baseline refused", ended["1", "overload"], thresholds.NONE)
        found("p99 of the baseline's own",
              1000 * percentile([o for o in load.outcomes if o.version == "1" and not o.fallback_from], 99),
              thresholds.RECORDED)  # fmt: skip
    assert_counts_agree(gateway, [load], before={})
