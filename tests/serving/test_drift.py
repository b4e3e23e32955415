"""What of the requests of a version is counted, when, and that no request waits or fails for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from gateway.core.drift_counts import read_sample
from gateway.core.outputs import BINS
from gateway.core.reference import PREDICTION, Column, Reference
from gateway.core.signature import FREE, Signature, TensorSpec
from gateway.core.vocabulary import Vocabulary
from gateway.models.counting import column_of_numbers
from gateway.serving.drift import ROWS, ROWS_WITHOUT, DriftDuty, RequestSample
from gateway.store.memory import MemoryRouteStore
from tests.serving.fakes import Caller, FakeSession, loaded_version, pairs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.core.drift_counts import Sample
    from gateway.models.loaded import LoadedVersion
    from gateway.ports.engine import Tensor
    from gateway.serving.batching import Lane

SIGNATURE = Signature(
    (TensorSpec("x", "FP32", (FREE, 2)),), (TensorSpec("label", "INT64", (FREE,)), TensorSpec("all", "FP32", ()))
)
REFERENCE = Reference(
    (
        column_of_numbers("x[0]", np.arange(100.0)), column_of_numbers("x[1]", np.arange(100.0)),
        Column(PREDICTION, "hashed", (50, 50, *[0] * (BINS - 2))),
    ), 100, "rows.csv",
)  # fmt: skip


def labels(feeds: Mapping[str, Tensor]) -> list[Tensor]:
    """Class 1 for whatever is above 50, and a number about the whole run."""
    return [(feeds["x"][:, 0] > 50).astype(np.int64), np.array(7, np.float32)]


async def ask(lane: Lane, *requests: Tensor) -> None:
    for caller in [Caller(lane, tensor) for tensor in requests]:
        await caller.result()


@pytest.fixture
async def lane(make_lane: Callable[..., Lane]) -> Lane:
    return make_lane(FakeSession(labels, SIGNATURE), batchable=False)


async def test_no_request_is_taken_before_it_is_known_what_to_compare_with(lane: Lane) -> None:
    await ask(lane, pairs(1))

    assert (lane.sample.room, lane.sample.read()) == (0, None)


async def test_requests_are_counted_in_the_bins_of_the_reference_with_their_answers(lane: Lane) -> None:
    lane.sample.use(REFERENCE)

    await ask(lane, pairs(10), pairs(60), pairs(5000))

    found = lane.sample.read()
    assert found is not None
    assert (found.version, found.digest, found.bins, found.rows) == (1, f"{1:064x}", REFERENCE.id, 3)
    above = len(REFERENCE.columns[0].edges)
    assert found.counts["x[0]"][above] == 1
    assert sum(found.counts["x[1]"].values()) == 3
    assert found.counts[PREDICTION] == {0: 1, 1: 2}
    assert read_sample(found.encoded()) == found
    assert lane.sample.read() is None


async def test_only_so_many_requests_are_taken_between_two_readings(lane: Lane) -> None:
    for reference, most in ((REFERENCE, ROWS), (None, ROWS_WITHOUT)):
        lane.sample.use(reference)
        for _ in range(2):
            await ask(lane, *(pairs(1) for _ in range(most + 9)))
        found = lane.sample.read()
        assert found is not None
        assert found.rows == most


async def test_of_many_rows_one_is_taken_in_turn_and_nothing_else_is_kept(lane: Lane) -> None:
    lane.sample.use(REFERENCE)
    tensor = pairs(10, 5000, 20)

    for _ in range(3):
        await ask(lane, tensor)

    assert all(held.base is None and len(held) == 1 for feeds in lane.sample._held for held in feeds)
    found = lane.sample.read()
    assert found is not None
    assert found.rows == 3
    assert found.counts["x[0]"][len(REFERENCE.columns[0].edges)] == 1
    assert sum(found.counts[PREDICTION].values()) == 3


async def test_requests_that_fail_are_not_taken(make_lane: Callable[..., Lane]) -> None:
    def fails(_feeds: Mapping[str, Tensor]) -> list[Tensor]:
        raise ValueError

    failing = make_lane(FakeSession(fails, SIGNATURE), batchable=False)
    failing.sample.use(REFERENCE)

    await ask(failing, pairs(1))

    assert failing.sample.read() is None


def a_sample(signature: Signature) -> RequestSample:
    sample = RequestSample(loaded_version(FakeSession(labels, signature)))
    sample.use(None)
    return sample


@pytest.mark.parametrize("shape", [(FREE, 3, 8, 8), (4, 2), (FREE, 100)])
def test_a_version_of_which_nothing_is_looked_at_takes_no_request(shape: tuple[int, ...]) -> None:
    assert a_sample(Signature((TensorSpec("x", "FP32", shape),), ())).room == 0


class Files:
    """References as files that a test may change."""

    def __init__(self) -> None:
        self.found: Reference | None = None

    def of(self, _model: str, _version: int, _digest: str) -> Reference | None:
        return self.found


def no_words(_version: LoadedVersion) -> Mapping[int, Vocabulary]:
    return {}


async def sent(store: MemoryRouteStore) -> list[Sample]:
    found = await store.samples({"fraud": ""})
    return [read_sample(payload) for _, payload in found.get("fraud", [])]


async def test_a_duty_sends_what_was_counted_and_follows_the_file(lane: Lane) -> None:
    store, files = MemoryRouteStore(), Files()
    duty = DriftDuty(lambda: [lane.sample], store, files.of, no_words)

    await duty.go_round()
    await ask(lane, pairs(1))
    await duty.go_round()
    files.found = REFERENCE
    await duty.go_round()
    await ask(lane, pairs(1), pairs(2))
    await duty.go_round()

    assert [(each.bins, each.rows) for each in await sent(store)] == [("", 1), (REFERENCE.id, 2)]


async def test_the_files_of_all_versions_are_looked_at_on_one_errand(
    lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    errands: list[object] = []

    async def to_thread(work: Callable[..., object], *args: object) -> object:
        errands.append(work)
        return work(*args)

    monkeypatch.setattr(asyncio, "to_thread", to_thread)
    files = Files()
    duty = DriftDuty(lambda: [lane.sample] * 3, MemoryRouteStore(), files.of, no_words)

    await duty.go_round()
    files.found = REFERENCE
    await duty.go_round()

    assert len(errands) == 2
    assert lane.sample.reference is REFERENCE


async def test_a_store_that_is_away_costs_the_sample_and_nothing_else(lane: Lane) -> None:
    store = MemoryRouteStore()
    duty = DriftDuty(lambda: [lane.sample], store, Files().of, no_words)
    await duty.go_round()
    store.stop()
    await ask(lane, pairs(1))

    await duty.go_round()
    store.start()
    await ask(lane, pairs(1))
    await duty.go_round()

    assert len(await sent(store)) == 1


async def test_what_cannot_be_counted_ends_nobody_elses_sample(lane: Lane, make_lane: Callable[..., Lane]) -> None:
    store, broken = MemoryRouteStore(), make_lane(FakeSession(labels, SIGNATURE), batchable=False)
    duty = DriftDuty(lambda: [broken.sample, lane.sample], store, Files().of, no_words)
    await duty.go_round()
    hostile: Any = (np.zeros((1, 1, 1)),), (np.zeros((1, 2)),)
    broken.sample._held += hostile
    await ask(lane, pairs(1))

    await duty.go_round()

    assert broken.sample.room == 0
    assert len(await sent(store)) == 1


async def test_words_are_read_once_before_the_first_request_and_only_for_versions_with_texts(
    lane: Lane, make_lane: Callable[..., Lane]
) -> None:
    asked: list[int] = []

    def words(version: LoadedVersion) -> Mapping[int, Vocabulary]:
        asked.append(version.version)
        return {0: Vocabulary(frozenset({"open"}))}

    note = Signature((TensorSpec("note", "BYTES", (FREE,)),), SIGNATURE.outputs[:1])
    texts = make_lane(FakeSession(lambda feeds: [np.zeros(len(feeds["note"]), np.int64)], note), batchable=False)
    store = MemoryRouteStore()
    duty = DriftDuty(lambda: [lane.sample, texts.sample], store, Files().of, words)

    await duty.go_round()
    await ask(texts, np.array([b"open"], object))
    await ask(texts, np.array([b"shut the door"], object))
    await duty.go_round()

    assert asked == [1]
    (found,) = await sent(store)
    assert found.counts["note vocabulary"] == {9: 1, 0: 1}
