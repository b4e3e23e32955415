"""What a worker counted reaches the store once, whatever the store does, and a canary that is bad is taken back."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Any

import pytest

from gateway.core.breaker import Breaker
from gateway.core.errors import StoreUnavailable
from gateway.core.evidence import written_slots
from gateway.core.slots import SLOTS
from gateway.core.watching import Mark
from gateway.ports.routes import AuditEntry, Fence
from gateway.serving.evidence import EvidenceDuty
from gateway.serving.run_times import SlowRun
from gateway.store.memory import MemoryRouteStore
from tests.serving.fakes import Dispatched, Floor, compiled, doubled, pairs
from tests.serving.test_watched import EMPTY, REVISION, arm_of, failing_on_negatives, raising, serve, values_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.ports.evidence import Deltas

FENCE = Fence("r1", written_slots({1: SLOTS - 500, 2: 500}))
SPLIT = {"1": 95, "2": 5}


class FakeReverter:
    """Implements ``ports.Reverter``; remembers, and is away as often as *away* says."""

    def __init__(self, away: int = 0) -> None:
        self.away = away
        self.asked: list[tuple[str, str, str]] = []
        self.versions: list[int] = []
        self.alarms: list[tuple[str, int, int, str]] = []

    async def alarm(self, model: str, version: int, revision: int, worker: str) -> None:
        self.alarms.append((model, version, revision, worker))

    async def roll_back(self, model: str, rollout_id: str, version: int, reason: str, guard: str) -> bool:
        self.asked.append((model, rollout_id, guard))
        self.versions.append(version)
        assert reason
        if len(self.asked) <= self.away:
            raise StoreUnavailable("it is away")
        return True


class Forgetful:
    """A store whose answers to the first flushes are lost after they have landed."""

    def __init__(self, store: MemoryRouteStore, lost: int) -> None:
        self._store = store
        self._lost = lost
        self.sent: list[tuple[int, Deltas]] = []

    async def flush(
        self, model: str, rollout: str, *, worker: str, seq: int, deltas: Deltas
    ) -> Mapping[str, str] | None:
        self.sent.append((seq, deltas))
        totals = await self._store.flush(model, rollout, worker=worker, seq=seq, deltas=deltas)
        if len(self.sent) <= self._lost:
            raise StoreUnavailable("the answer is lost")
        return totals

    totals, lease, now = MemoryRouteStore.totals, MemoryRouteStore.lease, MemoryRouteStore.now


async def opened(fence: Fence | None = FENCE) -> MemoryRouteStore:
    """Return a store in which the route is at the revision of these tests."""
    store = MemoryRouteStore()
    for revision in range(REVISION):
        entry = AuditEntry(revision + 1, "test", "", "route", None, None)
        await store.write("fraud", b"{}", entry, expected=revision, fence=fence)
    return store


async def rounds(duty: EvidenceDuty, times: int = 1) -> None:
    """Go round, each time until the store has answered."""
    for _ in range(times):
        async with asyncio.TaskGroup() as exchanges:
            duty.go_round(exchanges)


async def totals(store: MemoryRouteStore) -> dict[str, int]:
    """Return what the store counted, but for outputs."""
    held = await store.totals("fraud", "r1")
    return {name: int(text) for name, text in held.items() if not any(each in name for each in ("slots", "seq", "out"))}


async def ask(floor: Floor, version: int, times: int = 1) -> None:
    for _ in range(times):
        await Dispatched(arm_of(floor, version), pairs(1)).ending()


async def test_what_changed_is_sent_once(floor: Floor) -> None:
    serve(floor, split=SPLIT)
    store = await opened()
    duty = EvidenceDuty(floor.adoption.trials, store, FakeReverter(), "w1")

    await ask(floor, 1, 3)
    await rounds(duty, 2)
    await ask(floor, 2)
    await rounds(duty, 2)

    assert await totals(store) == {"7|1|assigned": 3, "7|1|n": 3, "7|2|assigned": 1, "7|2|n": 1}


async def test_a_flush_whose_answer_was_lost_is_sent_again_as_it_was_and_counts_once(floor: Floor) -> None:
    serve(floor, split=SPLIT)
    store = Forgetful(memory := await opened(), lost=2)
    duty = EvidenceDuty(floor.adoption.trials, store, FakeReverter(), "w1")

    for _ in range(5):
        await ask(floor, 1)
        await rounds(duty)

    assert [number for number, _ in store.sent] == [1, 1, 1, 2, 3]
    assert store.sent[0] == store.sent[1] == store.sent[2]
    assert await totals(memory) == {"7|1|assigned": 5, "7|1|n": 5}


async def test_what_was_counted_while_the_store_was_away_is_sent_in_one_flush_when_it_is_back(floor: Floor) -> None:
    serve(floor, split=SPLIT)
    store = await opened()
    duty = EvidenceDuty(floor.adoption.trials, store, FakeReverter(), "w1")

    store.stop()
    for _ in range(4):
        await ask(floor, 1)
        await rounds(duty)
    store.start()
    await rounds(duty, 2)

    assert await totals(store) == {"7|1|assigned": 4, "7|1|n": 4}


async def test_a_worker_that_stops_sends_all_that_its_last_requests_told(floor: Floor) -> None:
    trial = serve(floor, split=SPLIT)
    store = Forgetful(memory := await opened(), lost=0)
    duty = EvidenceDuty(floor.adoption.trials, store, FakeReverter(), "w1")
    going_round = asyncio.create_task(duty.run_forever())
    await asyncio.sleep(0)

    await ask(floor, 1, 3)
    trial.windows.pass_time(time.monotonic())
    trial.times._slow.append(SlowRun(trial.tally(1), (1, 0.1), ("slow50",), []))
    going_round.cancel()
    await asyncio.gather(going_round, return_exceptions=True)
    await duty.finish()

    assert await totals(memory) == {"7|1|assigned": 3, "7|1|n": 3, "7|1|slow50": 1}


async def test_a_worker_that_stops_waits_once_for_a_store_that_is_away(floor: Floor) -> None:
    serve(floor, split=SPLIT)
    store = Forgetful(await opened(), lost=9)
    duty = EvidenceDuty(floor.adoption.trials, store, FakeReverter(), "w1")

    await ask(floor, 1)
    await duty.finish()

    assert [number for number, _ in store.sent] == [1]


async def test_what_was_counted_for_a_rollout_that_has_ended_is_dropped(floor: Floor) -> None:
    serve(floor, canary=raising, split=SPLIT)
    store = await opened(None)
    reverter = FakeReverter()
    duty = EvidenceDuty(floor.adoption.trials, store, reverter, "w1")

    await ask(floor, 2, 5)
    await rounds(duty, 2)
    floor.adoption.want(Mark("a", REVISION + 1, "e"), compiled({"1": 1}))
    await rounds(duty)

    assert await totals(store) == {}
    assert reverter.asked == []
    assert floor.adoption.trials.under_way == {}


async def test_a_canary_that_always_fails_is_taken_back_once_with_its_guard(floor: Floor) -> None:
    serve(floor, canary=raising, split=SPLIT)
    reverter = FakeReverter()
    duty = EvidenceDuty(floor.adoption.trials, await opened(), reverter, "w1")

    for _ in range(12):
        await ask(floor, 2)
        await rounds(duty)

    assert reverter.asked == [("fraud", "r1", "errors")]


@pytest.mark.parametrize("members", [{}, {"assign": {"by": "header:x-user"}}])
async def test_a_canary_whose_probes_all_fail_is_taken_back_also_when_their_keys_failed_before(
    floor: Floor, members: dict[str, Any]
) -> None:
    trial = serve(floor, canary=raising, split={"1": 50, "2": 50}, **members)
    reverter = FakeReverter()
    duty = EvidenceDuty(floor.adoption.trials, await opened(), reverter, "w1")
    route = floor.table.route("fraud")
    values = next(
        made for number in range(99)
        if route.decide(made := values_of(**{"x-user": f"{number}"}), 0).lane is floor.lane(2) or not members
    )  # fmt: skip
    arm = route.decide(values, 0) if members else arm_of(floor, 2)
    await Dispatched(arm, pairs(1), point=route.routing.point(values)).ending()
    await rounds(duty)

    trial.canaries[2].breaker = Breaker(failures=8, opened=asyncio.get_running_loop().time() - 4, bad_probes=2)
    await Dispatched(arm, pairs(1), point=route.routing.point(values)).ending()
    await rounds(duty)

    assert reverter.asked == [("fraud", "r1", "breaker")]


async def test_a_worker_that_is_alone_with_its_finding_raises_one_alarm(floor: Floor) -> None:
    trial = serve(floor, canary=raising, split=SPLIT)
    reverter = FakeReverter()
    duty = EvidenceDuty(floor.adoption.trials, await opened(), reverter, "w1")
    await ask(floor, 2)
    trial.canaries[2].breaker = Breaker(revision=trial.revision)

    await rounds(duty, 3)

    assert reverter.asked == []
    assert reverter.alarms == [("fraud", 2, trial.revision, "w1")]


async def test_what_nobody_can_read_is_dropped_and_told_once(floor: Floor, caplog: pytest.LogCaptureFixture) -> None:
    serve(floor, split=SPLIT)
    store = await opened()
    duty = EvidenceDuty(floor.adoption.trials, store, FakeReverter(), "w1")
    await ask(floor, 1)
    await rounds(duty)
    store._evidence[next(iter(store._evidence))][b"7|1|n"] = b"many"

    for _ in range(3):
        await ask(floor, 1)
        await rounds(duty)

    assert sum("mend it there" in record.message for record in caplog.records) == 1


async def test_a_rollback_is_tried_again_until_the_store_answers(floor: Floor) -> None:
    serve(floor, canary=raising, split=SPLIT)
    reverter = FakeReverter(away=3)
    duty = EvidenceDuty(floor.adoption.trials, await opened(), reverter, "w1")

    await ask(floor, 2, 8)
    await ask(floor, 1, 1)
    for _ in range(12):
        await ask(floor, 2)
        await rounds(duty)

    assert len(reverter.asked) == 4


async def test_failures_that_nobody_confirmed_take_nobody_back(floor: Floor) -> None:
    serve(floor, canary=raising, split=SPLIT)
    store, reverter = await opened(), FakeReverter()
    duty = EvidenceDuty(floor.adoption.trials, store, reverter, "w1")

    for _ in range(50):
        await Dispatched(arm_of(floor, 2), pairs(1), retries=EMPTY).ending()
    await rounds(duty, 2)

    assert (await totals(store))["7|2|unconfirmed"] == 50
    assert reverter.asked == []


async def test_while_the_store_is_away_the_breaker_alone_takes_the_canary_out(floor: Floor) -> None:
    trial = serve(floor, canary=raising, split=SPLIT)
    store = await opened()
    store.stop()
    reverter = FakeReverter()
    duty = EvidenceDuty(floor.adoption.trials, store, reverter, "w1")

    for _ in range(10):
        await ask(floor, 2)
        await rounds(duty)

    assert trial.canaries[2].breaker.is_open
    assert len(floor.held.sessions["fraud", 2].rows) < 8
    assert reverter.asked == []


async def test_two_workers_together_see_what_neither_sees_alone(floor: Floor) -> None:
    other = Floor()
    store = await opened()
    reverter = FakeReverter()
    duties = []
    for number, each in enumerate((floor, other)):
        serve(each, canary=raising, split=SPLIT)
        duties.append(EvidenceDuty(each.adoption.trials, store, reverter, f"w{number}"))

    await ask(floor, 2, 2)
    await rounds(duties[0])
    alone = list(reverter.asked)
    await ask(other, 2, 1)
    await rounds(duties[1])

    assert alone == []
    assert reverter.asked == [("fraud", "r1", "errors")]


async def test_the_duty_sends_a_canarys_failure_at_once(floor: Floor) -> None:
    serve(floor, canary=raising, split=SPLIT)
    store = await opened()
    duty = asyncio.create_task(EvidenceDuty(floor.adoption.trials, store, FakeReverter(), "w1").run_forever())
    await asyncio.sleep(0.05)

    began = asyncio.get_running_loop().time()
    await ask(floor, 2)
    while not (await totals(store)).get("7|2|error"):  # noqa: ASYNC110 - what is waited for is in the store
        await asyncio.sleep(0.001)
    took = asyncio.get_running_loop().time() - began
    duty.cancel()

    assert took < 0.15
    with pytest.raises(asyncio.CancelledError):
        await duty


@pytest.mark.parametrize("seed", range(8))
async def test_any_interleaving_of_requests_rounds_and_lost_answers_leaves_the_same_totals(
    floor: Floor, seed: int
) -> None:
    chance = random.Random(seed)
    trial = serve(floor, baseline=failing_on_negatives, split=SPLIT)
    floor.held.sessions["fraud", 2]._run = lambda feeds: (
        raising(feeds) if (feeds["x"] < 0).any() or (feeds["x"] > 90).any() else doubled(feeds)
    )
    store = Forgetful(memory := await opened(), lost=2)
    duty = EvidenceDuty(floor.adoption.trials, store, FakeReverter(), "w1")
    expected = {"1 n": 0, "2 n": 0, "1 poison": 0, "2 poison": 0, "2 failed": 0, "2 error": 0}

    for _ in range(60):
        trial.canaries[2].breaker = Breaker()  # what it keeps from the canary is for other tests
        version = 2 if chance.random() < 0.3 else 1
        number = chance.choice([-1, 1, 1, 1, 1, 99])
        await Dispatched(arm_of(floor, version), pairs(number)).ending()
        is_poison, is_bad = number < 0, number > 90 and version == 2
        expected[f"{version} poison" if is_poison else f"{version} n"] += 1
        expected["2 failed"] += is_bad
        expected["2 error"] += is_bad
        if chance.random() < 0.3:
            await rounds(duty)
    await rounds(duty, 4)

    found: dict[str, int] = {}
    for name, many in (await totals(memory)).items():
        _, version_text, kind, *_ = name.split("|")
        if kind != "assigned" and not kind.startswith("took"):
            found[f"{version_text} {kind}"] = found.get(f"{version_text} {kind}", 0) + many
    assert found == {name: many for name, many in expected.items() if many}
