"""Callers and models misbehave: a run without an end, a caller who leaves, a canary that fails, bytes that hurt."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.engine import killers
from tests.faults import inside, thresholds
from tests.faults.test_overload import percentile
from tests.faults.test_workers import seconds_until
from tests.flows import metrics
from tests.flows.gateway_process import COMMAND, ROOT, eventually
from tests.flows.load import Connection, Load
from tests.flows.models import MODEL, crashing, publish, repository, tagged
from tests.flows.reconcile import assert_counts_agree
from tests.requests import model as mixed
from tests.requests.cases import mutated

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.faults.table import Table
    from tests.flows.gateway_process import Gateway

pytestmark = pytest.mark.fault

ENDLESS: Final = "endless"
ENDLESS_PATH: Final = f"/v2/models/{ENDLESS}/infer"
FOR_EVER: Final = json.dumps(killers.trips_request(10**12)).encode()
DEADLINE_SECONDS: Final = 0.4
EVERY_SECONDS: Final = 0.2
"""Between two requests that do not end: the two workers are never without one."""

LEAVERS: Final = 100
LEAVING_SECONDS: Final = 0.3
"""From the first who leaves to the last."""
PATIENT_SECONDS: Final = 20.0
"""The deadline of those who leave: nothing else ends their runs."""
NOTICED_SECONDS: Final = 10.0
CASES: Final = 400
CONTROL_CASES: Final = 40
LEAKS: Final = (b"Traceback", b"onnxruntime_src", b"/srv/", b"/usr/", b"site-packages", b".py", b".onnx")
HOME: Final = str(Path(ROOT)).encode()


# ---- a run without an end


@dataclass(slots=True)
class Ended:
    """How requests ended whose runs do not: the statuses, and by how many seconds each missed its deadline."""

    statuses: list[int] = field(default_factory=list)
    late: list[float] = field(default_factory=list)


def with_an_endless_model(begin: Callable[..., Gateway], models: Path, command: Sequence[str] = COMMAND) -> Gateway:
    repository(models, [1, 2])
    publish(models, 1, killers.endless(), model=ENDLESS)
    return begin(models=models, command=command)


async def run_for_ever(gateway: Gateway, seconds: float) -> Ended:
    """Ask for a run without an end every EVERY_SECONDS, whether or not those before were answered."""
    ended = Ended()

    async def ask(due: float) -> None:
        async with contextlib.aclosing(await Connection.open(gateway.port)) as line:
            deadline = {"x-request-timeout-ms": str(int(1000 * DEADLINE_SECONDS))}
            status, _, _ = await asyncio.wait_for(line.post(ENDLESS_PATH, FOR_EVER, deadline), NOTICED_SECONDS)
        ended.statuses.append(status)
        ended.late.append(time.monotonic() - due - DEADLINE_SECONDS)

    began = time.monotonic()
    async with asyncio.TaskGroup() as asked:
        for number in range(int(seconds / EVERY_SECONDS)):
            due = began + number * EVERY_SECONDS
            await asyncio.sleep(due - time.monotonic())
            asked.create_task(ask(due))
    return ended


async def test_every_request_is_answered_by_its_deadline_though_its_run_never_ends(
    begin: Callable[..., Gateway], tmp_path: Path, table: Table, fault_seconds: float
) -> None:
    gateway = with_an_endless_model(begin, tmp_path / "models")
    pids = gateway.worker_pids()

    async with Load(gateway.port) as load:
        await load.answered(300)
        before = list(load.outcomes)
        ended = await run_for_ever(gateway, fault_seconds)
        during = load.outcomes[len(before) :]
        await load.answered(50)
    freed = gateway.ask("POST", ENDLESS_PATH, killers.trips_request(3))
    counted = metrics.all_requests(gateway, model=ENDLESS)

    with table.promise("R17", f"{len(ended.late)} runs without an end, deadlines of {DEADLINE_SECONDS} s") as found:
        late_or_stuck = [status in {504, 503} for status in ended.statuses]  # 503: where a run did not stop at once
        found("answers that are neither 504 nor 503", late_or_stuck.count(False), thresholds.NONE)
        found("behind the deadline, at worst", 1000 * max(ended.late), thresholds.LATE)
        found("time-outs that are not counted", len(ended.late) - counted["1", "timeout"], thresholds.NONE)
        found("other models' requests not answered with 200", len(load.faults), thresholds.NONE)
        found("their median grows by", 1000 * (percentile(during, 50) - percentile(before, 50)), thresholds.SLOWER)
        found("their p99 grows by", 1000 * (percentile(during, 99) - percentile(before, 99)), thresholds.RECORDED)
        found("places not freed", freed.status != 200, thresholds.NONE)
        found("workers that are another process", len(set(pids) - set(gateway.worker_pids())), thresholds.NONE)
    assert_counts_agree(gateway, [load], before={})


async def test_control_deadlines_that_are_looked_at_late_are_missed(
    begin: Callable[..., Gateway], tmp_path: Path, table: Table
) -> None:
    gateway = with_an_endless_model(begin, tmp_path / "models", inside.command("answer-late"))

    ended = await run_for_ever(gateway, 1.0)

    with table.control("R17", "deadlines are looked at 3 s late") as found:
        found("behind the deadline, at worst", 1000 * max(ended.late), thresholds.LATE)


# ---- callers who leave


async def leave(gateway: Gateway, count: int) -> tuple[float, float]:
    """Send *count* requests that do not end, and hang up on each once all are in flight.

    Return how many seconds after the last was left nothing was in flight, and the version answered somebody else.
    """
    lines = [await Connection.open(gateway.port) for _ in range(count)]
    patient = {"x-request-timeout-ms": str(int(1000 * PATIENT_SECONDS))}
    asked = [asyncio.create_task(line.post(ENDLESS_PATH, FOR_EVER, patient)) for line in lines]

    def in_flight() -> float:
        return metrics.gauge(gateway, "gateway_requests_in_flight") or 0

    def answers() -> bool:
        with contextlib.suppress(OSError):
            return gateway.ask("POST", ENDLESS_PATH, killers.trips_request(3)).status == 200
        return False

    await asyncio.to_thread(eventually, lambda: in_flight() == count, NOTICED_SECONDS, "all are in flight")
    for waiting, line in zip(asked, lines, strict=True):
        await asyncio.sleep(LEAVING_SECONDS / count)
        waiting.cancel()
        await line.aclose()
    await asyncio.gather(*asked, return_exceptions=True)
    return await asyncio.gather(
        asyncio.to_thread(seconds_until, lambda: not in_flight(), "nothing is in flight"),
        asyncio.to_thread(seconds_until, answers, "somebody else is answered"),
    )


async def test_a_caller_who_leaves_frees_a_place_and_is_nobodys_fault(
    begin: Callable[..., Gateway], tmp_path: Path, table: Table
) -> None:
    gateway = with_an_endless_model(begin, tmp_path / "models")

    async with Load(gateway.port) as load:
        await load.answered(100)
        noticed, answered = await leave(gateway, LEAVERS)
        await load.answered(50)
    counted = metrics.all_requests(gateway, model=ENDLESS)

    with table.promise("R20", f"{LEAVERS} callers leave while their runs do not end") as found:
        found("until no request is in flight", noticed, thresholds.UNSEEN)
        found("until the version answers somebody else", answered, thresholds.FREED)
        found("callers not counted as gone", LEAVERS - counted["1", "cancelled"], thresholds.NONE)
        found("counted as the model's failures", counted["1", "model_error"] + counted["1", "timeout"], thresholds.NONE)
        found("other requests not answered with 200", len(load.faults), thresholds.NONE)
    assert_counts_agree(gateway, [load], before={})


async def test_control_requests_of_callers_who_left_keep_their_places(
    begin: Callable[..., Gateway], tmp_path: Path, table: Table
) -> None:
    gateway = with_an_endless_model(begin, tmp_path / "models", inside.command("serve-those-who-left"))

    noticed, _ = await leave(gateway, LEAVERS // 10)

    with table.control("R20", "nobody looks whether the caller is still there") as found:
        found("until no request is in flight", noticed, thresholds.UNSEEN)


# ---- a canary that fails


def with_a_failing_canary(
    begin: Callable[..., Gateway], models: Path, weight: int, command: Sequence[str] = COMMAND
) -> Gateway:
    publish(models, 1, tagged(1))
    publish(models, 2, crashing(2))
    route = f'split: {{"1": {100 - weight}, "2": {weight}}}\nassign: {{by: random}}\nbaseline: "1"'
    return begin(models=models, route=route, command=command)


def misnamed(load: Load) -> int:
    """Return how many answers name another version than the model itself does."""
    return sum(each.version != each.said for each in load.outcomes if each.status == 200)


@pytest.mark.parametrize("weight", [5, 50])
async def test_what_a_canary_fails_is_answered_by_the_baseline_declared_and_counted(
    begin: Callable[..., Gateway], tmp_path: Path, table: Table, fault_seconds: float, weight: int
) -> None:
    gateway = with_a_failing_canary(begin, tmp_path / "models", weight)

    async with (
        Load(gateway.port) as load,
        Load(gateway.port, rate=20, path=f"/v2/models/{MODEL}/versions/2/infer") as pinned,
    ):
        await asyncio.sleep(fault_seconds)

    failing = [each for each in pinned.outcomes if each.number]  # the first one's row is 0, as in a warm-up
    declared = sum(each.fallback_from == "2" for each in load.outcomes)
    counted = sum(
        number
        for labels, number in metrics.scrape(gateway)["gateway_fallbacks_total"].items()
        if {("model", MODEL), ("version", "2")} <= set(labels)
    )
    with table.promise("R21", f"a canary at {weight} % fails every run") as found:
        found("requests not answered with 200", len(load.faults), thresholds.NONE)
        found("answers that name another version than the model", misnamed(load), thresholds.NONE)
        found("answers in place of the canary", declared, thresholds.SOME)
        found("of these, not counted", abs(counted - declared), thresholds.NONE)
        found("pinned requests that were not refused", sum(o.status == 200 for o in failing), thresholds.NONE)
        found("pinned requests that fell back", sum(bool(o.fallback_from) for o in pinned.outcomes), thresholds.NONE)
    assert_counts_agree(gateway, [load, pinned], before={})


async def test_control_an_answer_that_names_what_was_decided_names_the_wrong_version(
    begin: Callable[..., Gateway], tmp_path: Path, table: Table
) -> None:
    gateway = with_a_failing_canary(begin, tmp_path / "models", 50, inside.command("name-what-was-decided"))

    async with Load(gateway.port) as load:
        await load.answered(100)

    with table.control("R21", "answers name the version that the route chose") as found:
        found("answers that name another version than the model", misnamed(load), thresholds.NONE)


# ---- bytes that hurt


async def send_invented(gateway: Gateway, count: int) -> tuple[int, int, int]:
    """Send mutated requests; return how many were answered with 5xx or not at all, leaked, or left nobody alive."""
    failed = leaked = dead = 0
    for seed in range(count):
        sent = mutated(seed, ("json", "binary")[seed % 2])
        try:
            async with contextlib.aclosing(await Connection.open(gateway.port)) as line:
                headers = {name: text for name, text in sent.headers if name.lower() != "content-length"}
                status, _, body = await line.post(f"/v2/models/{mixed.MODEL}/infer", sent.body, headers)
        except (OSError, EOFError):
            status, body = 0, b""
        failed += not 200 <= status < 500
        leaked += any(leak in body for leak in (*LEAKS, HOME))
        live = await asyncio.to_thread(gateway.ask, "GET", "/v2/health/live")
        dead += live.status != 200
    return failed, leaked, dead


def with_a_mixed_model(begin: Callable[..., Gateway], models: Path, command: Sequence[str] = COMMAND) -> Gateway:
    repository(models, [1, 2])
    mixed.publish(models)
    return begin(models=models, command=command)


async def test_whatever_a_caller_sends_is_no_fault_of_ours_and_says_nothing_of_the_inside(
    begin: Callable[..., Gateway], tmp_path: Path, table: Table
) -> None:
    gateway = with_a_mixed_model(begin, tmp_path / "models")
    pids = gateway.worker_pids()

    async with Load(gateway.port) as load:
        failed, leaked, dead = await send_invented(gateway, CASES)

    with table.promise("R26", f"{CASES} requests that are valid but for up to three mutations") as found:
        found("answered with 5xx, or not at all", failed, thresholds.NONE)
        found("answers that tell of the inside", leaked, thresholds.NONE)
        found("followed by a probe that is not alive", dead, thresholds.NONE)
        found("other requests not answered with 200", len(load.faults), thresholds.NONE)
        found("workers that are another process", len(set(pids) - set(gateway.worker_pids())), thresholds.NONE)
    assert_counts_agree(gateway, [load], before={})


async def test_control_a_fault_of_ours_that_callers_bring_about_is_seen(
    begin: Callable[..., Gateway], tmp_path: Path, table: Table
) -> None:
    gateway = with_a_mixed_model(begin, tmp_path / "models", inside.command("stumble"))

    failed, _, _ = await send_invented(gateway, CONTROL_CASES)

    with table.control("R26", "an exception of ours in each request") as found:
        found("answered with 5xx, or not at all", failed, thresholds.NONE)
    eventually(lambda: "planted" in gateway.stderr(), NOTICED_SECONDS, "the log has the path that no caller saw")
