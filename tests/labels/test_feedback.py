"""From an answer to its label: remembered in batches, counted once, told to the rollout that served it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from gateway.core.analysis import assess
from gateway.core.errors import FeedbackOverloaded, StoreUnavailable, UnknownPrediction
from gateway.core.evidence import Arms, Counter, read_evidence
from gateway.core.feedback import Fact, Prediction, read_facts
from gateway.core.plan import read_plan
from gateway.core.quality import read_quality
from gateway.core.signature import Signature, TensorSpec
from gateway.core.verdicts import Kind
from gateway.labels import desk as desk_module
from gateway.labels import duty as duty_module
from gateway.labels import memory as memory_module
from gateway.labels.board import QualityBoard
from gateway.labels.desk import AT_WORK, LOOKED_UP_AT_ONCE, FeedbackDesk
from gateway.labels.duty import EVERY_SECONDS, JITTER, LabelDuty, pause_seconds
from gateway.labels.evidence import SIGHTINGS_MOST, LabelEvidence
from gateway.labels.memory import BURST, WorkerMemory
from gateway.ports.labels import REMEMBERED_AT_ONCE, Served
from gateway.ports.routes import AuditEntry, Fence
from gateway.recordings.files import RecordingFiles
from gateway.recordings.inputs import InputWriter
from gateway.store.memory import MemoryRouteStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.core.evidence import Evidence
    from gateway.ports.labels import Remembered

SIGNATURE = Signature((), (TensorSpec("label", "INT64", (-1,)),))
NOWHERE = Path("/nowhere")
ENTRY = AuditEntry(0, "ada", "because", "route", None, None)


class Worker:
    """The labels of one worker, over a store that may be shared."""

    def __init__(
        self, store: MemoryRouteStore, name: str = "w-1", *, ttl_seconds: float = 60, per_second: int = 1_000_000
    ):
        self.memory = WorkerMemory(
            store, InputWriter(RecordingFiles(NOWHERE)), ttl_seconds=ttl_seconds, per_second=per_second
        )
        self.evidence = LabelEvidence(store, name)
        self.desk = FeedbackDesk(store, self.memory, self.evidence, second_look_seconds=0)
        self.duty = LabelDuty(self.memory, self.evidence)

    def serve(self, name: str, *classes: int, version: int = 1, rollout: str = "", point: int | None = None) -> None:
        outputs = [np.array(classes)]
        self.memory.served(name, "fraud", version, SIGNATURE, outputs, "split", 1, rollout, point, None)

    async def take(self, *facts: Fact) -> Sequence[str]:
        came = await self.desk.take("fraud", facts)
        return [each if isinstance(each, str) else type(each).__name__ for each in came]


@pytest.fixture
def store() -> MemoryRouteStore:
    return MemoryRouteStore()


@pytest.fixture
def worker(store: MemoryRouteStore) -> Worker:
    return Worker(store)


def label(name: str, given: object = 1) -> Fact:
    return read_facts({"id": name, "label": given})[0]


async def counts(store: MemoryRouteStore, version: int = 1) -> dict[str, float]:
    return dict(read_quality(await store.quality("fraud"))[version].counts)


async def test_any_worker_takes_a_label_of_what_another_served(store: MemoryRouteStore, worker: Worker) -> None:
    worker.serve("a", 1)
    await worker.duty.go_round()

    came = await Worker(store, "w-2").take(label("a"), label("a", True), label("a", 2), label("ghost"))

    assert came == ["counted", "duplicate", "LabelConflict", "UnknownPrediction"]
    assert (await counts(store))["correct"] == 1


async def test_a_label_that_comes_at_once_finds_its_answer(worker: Worker) -> None:
    worker.serve("a", 1)

    assert await worker.take(label("a")) == ["counted"]


async def test_a_label_that_comes_late_is_not_unknown(store: MemoryRouteStore) -> None:
    worker = Worker(store, ttl_seconds=0.05)
    worker.serve("a", 1)
    await worker.duty.go_round()
    await asyncio.sleep(0.06)

    assert await worker.take(label("a")) == ["LabelTooLate"]


async def test_a_label_for_other_rows_than_were_served_is_invalid(worker: Worker) -> None:
    worker.serve("a", 1, 2)

    assert await worker.take(label("a"), label("a", [1, 2])) == ["InvalidRequest", "counted"]


async def test_an_answer_that_expires_between_look_and_label_is_unknown(
    store: MemoryRouteStore, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(*_: object, **__: object) -> str:
        return "unknown"

    monkeypatch.setattr(store, "label", gone)
    worker.serve("a", 1)

    assert await worker.take(label("a")) == ["UnknownPrediction"]


async def test_a_label_for_another_model_is_unknown(worker: Worker) -> None:
    worker.serve("a", 1)

    (came,) = await worker.desk.take("digits", [label("a")])

    assert isinstance(came, UnknownPrediction)
    assert await worker.take(label("a")) == ["counted"]


# Floods


class SlowStore(MemoryRouteStore):
    """A store that takes as long as it is told, and counts who is there at once."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds
        self.there = self.most = self.largest = 0

    async def recall(self, model: str, ids: Sequence[str]) -> Sequence[Remembered | None]:
        self.there += 1
        self.most, self.largest = max(self.most, self.there), max(self.largest, len(ids))
        await asyncio.sleep(self.seconds)
        self.there -= 1
        return await super().recall(model, ids)


async def test_a_flood_takes_a_few_places_at_the_store_and_small_steps() -> None:
    store = SlowStore(0.001)
    worker = Worker(store)

    came = await asyncio.gather(*(worker.take(*(label(f"{n}-{m}") for m in range(120))) for n in range(20)))

    assert {kind for each in came for kind in each} == {"UnknownPrediction"}
    assert sum(map(len, came)) == 20 * 120
    assert (store.most, store.largest) == (AT_WORK, LOOKED_UP_AT_ONCE)


async def test_feedback_that_waits_too_long_for_its_turn_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk_module, "TURN_SECONDS", 0.01)
    worker = Worker(SlowStore(0.1))

    came = await asyncio.gather(*(worker.take(label(str(n))) for n in range(AT_WORK + 3)), return_exceptions=True)

    assert [type(each) for each in came].count(FeedbackOverloaded) == 3
    assert await worker.take(label("later")) == ["UnknownPrediction"], "the places are given back"


# What is remembered


async def test_nothing_is_lost_while_the_store_is_away(store: MemoryRouteStore, worker: Worker) -> None:
    store.stop()
    for n in range(1_200):
        worker.serve(str(n), 1)
    worker.memory.skipped["fraud", 2] += 1
    await worker.duty.go_round()
    with pytest.raises(StoreUnavailable):
        await worker.take(label("1"))
    store.start()

    await asyncio.gather(worker.duty.go_round(), worker.duty.go_round())

    assert await counts(store) == {"remembered": 1_200}
    assert await counts(store, 2) == {"dropped": 1}


class CountingStore(MemoryRouteStore):
    """Keeps how many predictions each write had, whether or not it was taken."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[int] = []

    async def remember(self, model: str, served: Sequence[Served], **named: Any) -> None:
        self.writes.append(len(served))
        await super().remember(model, served, **named)


async def test_a_store_that_refuses_is_asked_with_few_predictions_once_a_round_however_many_wait() -> None:
    store = CountingStore()
    worker = Worker(store)
    store.stop()
    for n in range(12 * REMEMBERED_AT_ONCE):
        worker.serve(str(n), 1)

    rounds = [await worker.duty.go_round() for _ in range(3)]

    assert rounds == [False] * 3
    assert store.writes == [REMEMBERED_AT_ONCE] * 3, "each one holds the loop up for as long as that takes to pack"
    assert REMEMBERED_AT_ONCE <= 100, "a millisecond of the loop"


async def test_a_store_that_refuses_is_asked_ever_more_rarely_and_as_often_as_before_when_it_takes_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store, asked, is_over = CountingStore(), list[int](), asyncio.Event()
    worker = Worker(store)

    def pause(failures: int) -> float:
        asked.append(failures)
        if len(asked) == 4:
            store.start()
        if len(asked) == 6:
            is_over.set()
        return 0.001

    monkeypatch.setattr(duty_module, "pause_seconds", pause)
    worker.serve("a", 1)
    store.stop()

    rounds = asyncio.create_task(worker.duty.run_forever())
    async with asyncio.timeout(10):
        await is_over.wait()
    rounds.cancel()

    assert asked == [0, 1, 2, 3, 0, 0]
    assert store.writes == [1] * 4
    assert await counts(store) == {"remembered": 1}


def test_an_outage_of_ten_seconds_costs_a_worker_no_more_than_twenty_tries() -> None:
    tries, now = 0, 0.0
    while now < 10.0:
        tries += 1
        now += pause_seconds(tries)

    assert tries <= 20, "a refusal comes back at once"


def test_a_pause_is_drawn_begins_as_short_as_any_and_ends_before_a_label_is_called_unknown() -> None:
    firsts = [pause_seconds(1) for _ in range(50)]
    longest = [pause_seconds(100_000) for _ in range(50)]

    assert pause_seconds(0) == EVERY_SECONDS
    assert max(firsts) <= EVERY_SECONDS * (1 + JITTER)
    assert len(set(longest)) > 1, "or a fleet comes back as one"
    assert max(longest) < desk_module.SECOND_LOOK_SECONDS * (1 + desk_module.THIRD_LOOK_LATER)


class BusyStore(MemoryRouteStore):
    """While it writes, one more request comes that finds no room."""

    memory: WorkerMemory | None = None
    written = 0

    async def remember(self, *given: Any, **named: Any) -> None:
        self.written += 1
        assert self.memory is not None
        self.memory.skipped["fraud", 1] += 1
        assert self.written < 10, "a round has an end"
        await super().remember(*given, **named)


async def test_requests_that_find_no_room_while_others_are_written_wait_for_the_next_round() -> None:
    store = BusyStore()
    worker = Worker(store)
    store.memory = worker.memory
    for n in range(REMEMBERED_AT_ONCE + 20):
        worker.serve(str(n), 1)
    worker.memory.skipped["fraud", 1] += 1

    await worker.duty.go_round()

    assert store.written == 2, "as many as hold what was served"
    assert await counts(store) == {"remembered": REMEMBERED_AT_ONCE + 20, "dropped": 1}
    await worker.duty.go_round()
    assert await counts(store) == {"remembered": REMEMBERED_AT_ONCE + 20, "dropped": 3}


async def test_an_id_is_not_called_unknown_while_others_may_have_it_to_write(
    store: MemoryRouteStore, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    behind = Worker(store, "w-2")
    store.stop()
    for each in (worker, behind):
        each.serve(f"of {id(each)}", 1)
        assert not await each.duty.go_round()
    store.start()
    asked = label(f"of {id(behind)}")

    with pytest.raises(StoreUnavailable, match="send it again"):
        await worker.take(asked)
    await behind.duty.go_round()

    assert await worker.take(asked) == ["counted"]
    monkeypatch.setattr(desk_module, "BEHIND_SECONDS", 0.0)
    assert await worker.take(label("ghost")) == ["UnknownPrediction"], "once all had the time to write"


@pytest.mark.parametrize(("others", "came"), [(0, "counted"), (desk_module.PATIENT, "UnknownPrediction")])
async def test_an_answer_that_is_written_late_is_waited_for_by_few_at_once(
    store: MemoryRouteStore, worker: Worker, others: int, came: str
) -> None:
    worker.desk = FeedbackDesk(store, worker.memory, worker.evidence, second_look_seconds=0.1)
    late = Worker(store, "w-2")
    late.serve("late", 1)
    waiting = [asyncio.create_task(worker.take(label(f"ghost {number}"))) for number in range(others)]
    await asyncio.sleep(0.2)  # they have looked twice

    asked = asyncio.create_task(worker.take(label("late")))
    await asyncio.sleep(0.2)
    await late.duty.go_round()

    assert await asked == [came]
    assert await asyncio.gather(*waiting) == [["UnknownPrediction"]] * others


async def test_a_worker_that_ends_tries_again_to_bring_what_it_served(store: MemoryRouteStore, worker: Worker) -> None:
    worker.serve("a", 1)
    store.stop()
    asyncio.get_running_loop().call_later(EVERY_SECONDS / 2, store.start)

    await worker.duty.finish()

    assert await Worker(store, "w-2").take(label("a")) == ["counted"]


async def test_a_worker_that_ends_gives_up_on_a_store_that_stays_away(
    store: MemoryRouteStore, worker: Worker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(duty_module, "LAST_SECONDS", EVERY_SECONDS)
    worker.serve("a", 1)
    store.stop()

    await worker.duty.finish()

    assert "will be unknown" in caplog.text


async def test_only_answers_of_the_split_are_counted_as_assigned(store: MemoryRouteStore, worker: Worker) -> None:
    for number, rule in enumerate(("split", "split", "rule-1", "pinned", "fallback", "missing")):
        worker.memory.served(f"{number}", "fraud", 2, SIGNATURE, [np.array([1])], rule, 7, "", None, None)
    worker.memory.copied("c", "fraud", 3, SIGNATURE, [np.array([1])], 7, "r-1")

    await worker.duty.go_round()

    assert await store.assigned("fraud") == {"7|2": "2"}


async def test_room_is_bounded_by_the_rate_and_by_what_waits(store: MemoryRouteStore) -> None:
    slow, full = Worker(store, per_second=10), Worker(store)
    slow.memory.room = 0
    full.serve("a", 1)

    slow.memory.make_room(0.25)
    slow.memory.make_room(0.05)
    full.memory.make_room(1)

    assert slow.memory.room == 3
    assert full.memory.room == BURST - 1
    await full.duty.go_round()
    full.memory.make_room(1)
    assert full.memory.room == BURST


async def test_what_is_too_large_is_counted_as_dropped(
    store: MemoryRouteStore, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.serve("i" * 257, 1)
    worker.serve("rows", *range(101))
    await worker.duty.go_round()
    monkeypatch.setattr(memory_module, "PAYLOAD_BYTES", 10)
    worker.serve("payload", 1)

    await worker.duty.go_round()

    assert await counts(store) == {"dropped_large": 3}


# What rollouts learn


async def test_labels_are_evidence_under_the_revision_that_served(store: MemoryRouteStore, worker: Worker) -> None:
    await store.write("fraud", b"{}", ENTRY, expected=0, fence=Fence("r-1", "1:9500,2:500"))
    for name, version in (("a", 1), ("b", 2), ("c", 2)):
        worker.serve(name, 1, version=version, rollout="r-1")
    worker.serve("outside", 1, version=2)

    await worker.take(label("a"), label("b"), label("c", 0), label("c", 0), label("outside", 0))
    await worker.duty.go_round()

    assert read_evidence(await store.totals("fraud", "r-1")).counts == {
        Counter(1, 1, "labelled"): 1, Counter(1, 2, "labelled"): 2, Counter(1, 2, "wrong"): 1,
    }  # fmt: skip


async def test_a_key_of_a_sticky_route_is_wrong_once(store: MemoryRouteStore, worker: Worker) -> None:
    await store.write("fraud", b"{}", ENTRY, expected=0, fence=Fence("r-1", "1:9500,2:500"))
    for name, point in (("a", 5), ("b", 5), ("c", 6)):
        worker.serve(name, 1, version=2, rollout="r-1", point=point)

    await worker.take(*(label(name, 0) for name in "abc"))
    await worker.duty.go_round()

    assert read_evidence(await store.totals("fraud", "r-1")).total(2, "wrong") == 2


async def test_evidence_waits_for_the_store_in_bounded_room_and_is_counted_once(store: MemoryRouteStore) -> None:
    await store.write("fraud", b"{}", ENTRY, expected=0, fence=Fence("r-1", "1:9500,2:500"))
    evidence = LabelEvidence(store, "w-1")
    store.stop()
    for point in range(SIGHTINGS_MOST + 5):
        evidence.labelled("fraud", Prediction(2, 1, "split", ("1",), rollout="r-1", point=point), wrong=True)
    with pytest.raises(StoreUnavailable):
        await evidence.flush()
    store.start()

    await evidence.flush()
    await evidence.flush()

    found = read_evidence(await store.totals("fraud", "r-1"))
    assert (found.total(2, "wrong"), found.total(2, "labelled")) == (SIGHTINGS_MOST, SIGHTINGS_MOST)


# What is shown


async def test_the_board_keeps_what_it_read_while_the_store_is_away(store: MemoryRouteStore) -> None:
    models = ["fraud", "quiet"]
    board = QualityBoard(store, lambda: models)
    await store.remember("fraud", [Served("a", 1, b"p")], ttl_seconds=60)
    await board.look()
    store.stop()

    await board.look()

    assert {model: list(versions) for model, versions in board.qualities().items()} == {"fraud": [1]}
    models.clear()
    await board.look()
    assert board.qualities() == {}


# What pairs tell


async def paired(
    store: MemoryRouteStore, worker: Worker, *served: tuple[int, int], point: int | None = None
) -> Evidence:
    """Label every answer 1, where the baseline and the canary's copy said *served*; return what the rollout counted."""
    await store.write("fraud", b"{}", ENTRY, expected=0, fence=Fence("r-1", "1:10000"))
    for number, (baseline, canary) in enumerate(served):
        worker.serve(f"{number}", baseline, rollout="r-1", point=point)
        worker.memory.copied(f"{number}", "fraud", 2, SIGNATURE, [np.array([canary])], 1, "r-1")
    await worker.duty.go_round()
    await worker.take(*(label(f"{number}") for number in range(len(served))))
    await worker.duty.go_round()
    return read_evidence(await store.totals("fraud", "r-1"))


async def test_a_label_judges_the_shadows_prediction_of_the_same_request(
    store: MemoryRouteStore, worker: Worker
) -> None:
    found = await paired(store, worker, (1, 1), (1, 0), (1, 0), (0, 1), (0, 0))

    assert (found.total(2, "pair_lost"), found.total(2, "pair_won")) == (2, 1)
    assert (found.total(1, "labelled"), found.total(1, "wrong"), found.total(2, "labelled")) == (5, 2, 0)
    assert set(read_quality(await store.quality("fraud"))) == {1}, "no caller saw what a shadow says"


async def test_a_key_of_a_sticky_route_is_lost_once(store: MemoryRouteStore, worker: Worker) -> None:
    found = await paired(store, worker, (1, 0), (1, 0), (0, 1), point=7)

    assert (found.total(2, "pair_lost"), found.total(2, "pair_won")) == (1, 1)


async def test_a_label_judges_every_shadow_that_got_a_copy_and_a_key_counts_for_each(
    store: MemoryRouteStore, worker: Worker
) -> None:
    for canary in (3, 4):
        for number in range(2):
            worker.memory.copied(f"{number}", "fraud", canary, SIGNATURE, [np.array([canary - 3])], 1, "r-1")

    found = await paired(store, worker, (1, 0), (1, 0), point=7)

    assert [found.total(version, "pair_lost") for version in (2, 3, 4)] == [1, 1, 0]


async def test_pairs_alone_take_a_canary_back_that_is_more_often_wrong(store: MemoryRouteStore, worker: Worker) -> None:
    plan = read_plan({"steps": [{"weight": 5, "for": "60s"}], "shadow": {"for": "60s"}, "guards": {"labels": {}}})

    fine = assess(await paired(store, worker, *[(1, 1)] * 40), plan, Arms(2, 1), certify=0.01)
    other = MemoryRouteStore()
    worse = assess(await paired(other, Worker(other), *[(1, 0)] * 40), plan, Arms(2, 1), certify=0.01)

    assert fine.kind is Kind.INCONCLUSIVE
    assert worse.kind is Kind.FAIL
    assert worse.reasons[0].guard == "labels"


@pytest.mark.parametrize("damage", ["of another rollout", "that nobody can read", "without classes"])
async def test_a_copy_that_makes_no_pair_is_left_out_and_its_label_counts(
    store: MemoryRouteStore, worker: Worker, damage: str
) -> None:
    copy = {
        "of another rollout": Prediction(2, 1, "shadow", ("0",), rollout="r-0").encoded(),
        "that nobody can read": b"{",
        "without classes": Prediction(2, 1, "shadow", values=(0.0,), rollout="r-1").encoded(),
    }[damage]
    await store.remember("fraud", [Served("0", 2, copy, is_copy=True)], ttl_seconds=60)

    found = await paired(store, worker, (1, 0))

    assert found.total(1, "labelled") == 1
    assert found.total(2, "pair_lost") == 0


async def test_a_copy_for_which_there_is_no_room_or_that_is_too_large_is_no_dropped_answer(
    store: MemoryRouteStore, worker: Worker
) -> None:
    worker.memory.copied("i" * 257, "fraud", 2, SIGNATURE, [np.array([1])], 1, "r-1")
    worker.memory.room = 0
    worker.memory.copied("a", "fraud", 2, SIGNATURE, [np.array([1])], 1, "r-1")

    await worker.duty.go_round()

    assert await store.quality("fraud") == []
    assert await store.copies("fraud", "a") == []


async def test_a_label_counts_for_the_hour_of_its_answer_under_the_revision_that_served_it(
    store: MemoryRouteStore, worker: Worker
) -> None:
    worker.serve("a", 1, version=2)
    await worker.duty.go_round()
    hours = FeedbackDesk(store, worker.memory, worker.evidence, second_look_seconds=0, clock=lambda: 7 * 3600.0 + 60)

    assert await hours.take("fraud", [label("a")]) == ["counted"]

    assert await store.cohorts("fraud", [6, 7, 8]) == {7: {"1|2|classed": "1", "1|2|correct": "1"}}
