"""From a request's tensors to the entry that a label makes of them: hidden, bounded, and once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from gateway.core.errors import StoreUnavailable
from gateway.core.feedback import read_facts
from gateway.core.keeping import read_keeping
from gateway.core.quality import DROPS, read_quality
from gateway.core.signature import Signature, TensorSpec
from gateway.labels import memory as memory_module
from gateway.labels import waiting_inputs
from gateway.labels.desk import FeedbackDesk
from gateway.labels.evidence import LabelEvidence
from gateway.labels.memory import WorkerMemory
from gateway.ports.labels import AskedInputs
from gateway.recordings.files import RecordingFiles
from gateway.recordings.inputs import InputWriter
from gateway.store.memory import MemoryRouteStore

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.core.labelled import Labelled

SIGNATURE = Signature(
    (TensorSpec("x", "FP32", (-1, 2)), TensorSpec("email", "BYTES", (-1, 1))), (TensorSpec("label", "INT64", (-1,)),)
)
ALL = {"inputs": "all", "redact": {}}


class Worker:
    """A worker that keeps what it is asked."""

    def __init__(self, root: Path) -> None:
        self.store = MemoryRouteStore()
        self.memory = WorkerMemory(
            self.store, InputWriter(RecordingFiles(root / "recordings")), ttl_seconds=60, per_second=10
        )
        self.desk = FeedbackDesk(self.store, self.memory, LabelEvidence(self.store, "w"), second_look_seconds=0)

    def serve(self, name: str, keeping: dict[str, Any] | None, x: object = ((0.5, 2.0),)) -> None:
        feeds = (np.array(x, np.float32), np.array([["a@b.c"]], object))
        asked = None if keeping is None else AskedInputs(read_keeping(keeping), "fraud", SIGNATURE, feeds)
        self.memory.served(name, "fraud", 1, SIGNATURE, [np.array([1])], "split", 1, "", None, asked)

    async def say(self, *items: dict[str, Any]) -> list[object]:
        return list(await self.desk.take("fraud", [read_facts(item)[0] for item in items]))

    async def examples(self) -> list[Labelled]:
        return await self.store.labelled("fraud").read("learner", "one", 100, 0)

    async def counts(self) -> dict[str, float]:
        found = read_quality(await self.store.quality("fraud"))
        shown = {"remembered", *DROPS.values()}
        return {kind: many for kind, many in found[1].counts.items() if kind in shown}


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    return Worker(tmp_path)


async def test_a_label_makes_an_example_of_the_inputs_that_were_kept(worker: Worker) -> None:
    worker.serve("a", ALL)

    await worker.say({"id": "a", "label": 0}, {"id": "a", "label": 0}, {"id": "a", "label": 1})

    (found,) = await worker.examples()
    assert (found.id, found.version, found.kind, found.said, found.predicted) == ("a", 1, "label", ("0",), ("1",))
    assert found.inputs == {
        "x": {"datatype": "FP32", "shape": [1, 2], "data": [0.5, 2.0]},
        "email": {"datatype": "BYTES", "shape": [1, 1], "data": ["a@b.c"]},
    }


async def test_a_label_and_a_reward_make_an_example_each(worker: Worker) -> None:
    worker.serve("a", ALL)

    await worker.say({"id": "a", "value": 0}, {"id": "a", "reward": 0.5})

    assert [(each.kind, each.said) for each in await worker.examples()] == [("value", ("0",)), ("reward", (0.5,))]


async def test_an_answer_without_inputs_and_a_refused_label_make_no_example(worker: Worker) -> None:
    worker.serve("bare", None)
    worker.serve("a", ALL)

    came = await worker.say({"id": "bare", "label": 1}, {"id": "a", "label": [1, 2]})

    assert came[0] == "counted"
    assert await worker.examples() == []


async def test_what_the_route_hides_is_in_no_example(worker: Worker) -> None:
    worker.serve("a", {"inputs": "all", "redact": {"email": "drop", "x[1]": {"constant": 7}}})
    worker.serve("b", {"inputs": ["email"], "redact": {"email": "hash"}})
    worker.serve("c", {"inputs": ["email"], "redact": {"email": "hash"}})

    await worker.say(*({"id": name, "label": 0} for name in "abc"))

    first, second, third = [each.inputs for each in await worker.examples()]
    assert first == {"x": {"datatype": "FP32", "shape": [1, 2], "data": [0.5, 7.0]}}
    assert set(second) == {"email"}
    assert second["email"]["data"] == third["email"]["data"] != ["a@b.c"]


async def test_inputs_that_cannot_be_hidden_or_are_too_large_are_dropped_and_the_answer_is_remembered(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.serve("a", {"inputs": "all", "redact": {"x[5]": "hash"}})
    worker.serve("b", ALL, np.zeros((1, 300_000)))
    worker.serve("c", ALL, np.zeros((1, 20_000)))
    await worker.memory.flush()
    monkeypatch.setattr(waiting_inputs, "MOST_BYTES", 10)
    worker.serve("d", ALL)

    assert await worker.say(*({"id": name, "label": 1} for name in "abcd")) == ["counted"] * 4

    assert await worker.examples() == []
    assert await worker.counts() == {"remembered": 4, "inputs_unhidden": 1, "inputs_large": 2, "inputs_full": 1}


async def test_without_the_key_of_the_hashes_nothing_is_kept(tmp_path: Path) -> None:
    (tmp_path / "recordings").write_text("in the way")
    worker = Worker(tmp_path)
    worker.serve("a", {"inputs": "all", "redact": {"email": "hash"}})

    assert await worker.say({"id": "a", "label": 1}) == ["counted"]

    assert await worker.counts() == {"remembered": 1, "inputs_failed": 1}


async def test_what_waits_is_bounded_while_the_store_is_away_and_room_comes_back(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting_inputs, "MOST_BYTES", 1_000)
    worker.store.stop()
    for n in range(30):
        worker.serve(f"{n}", ALL)
        with pytest.raises(StoreUnavailable):
            await worker.memory.flush()
    worker.store.start()
    await worker.memory.flush()
    first = await worker.counts()

    worker.serve("later", ALL)
    await worker.memory.flush()

    assert 0 < first["inputs_full"] < 30
    assert await worker.counts() == first | {"remembered": 31}


async def test_room_comes_back_from_answers_that_are_not_remembered(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting_inputs, "MOST_BYTES", 1_000)
    for _ in range(100):
        worker.serve("i" * 257, ALL)
        await worker.memory.flush()

    assert await worker.counts() == {"dropped_large": 100}


async def test_one_write_carries_a_bounded_number_of_bytes(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_module, "INPUTS_AT_ONCE_BYTES", 300)
    sizes: list[int] = []
    remember = worker.store.remember

    async def counted(model: str, served: Any, **more: Any) -> None:
        sizes.append(sum(len(each.inputs) for each in served))
        await remember(model, served, **more)

    monkeypatch.setattr(worker.store, "remember", counted)
    for n in range(10):
        worker.serve(f"{n}", ALL)
    worker.serve("large", ALL, np.zeros((1, 500)))
    await worker.memory.flush()

    assert len(sizes) > 3
    assert max(sizes[:-1]) <= 300
    assert await worker.counts() == {"remembered": 11}


async def test_nothing_is_lost_where_a_caller_leaves_while_inputs_are_read(worker: Worker) -> None:
    for name in "abc":
        worker.serve(name, ALL)
    flushing = asyncio.create_task(worker.memory.flush())
    await asyncio.sleep(0)
    flushing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await flushing

    assert await worker.say(*({"id": name, "label": 1} for name in "abc")) == ["counted"] * 3

    assert [each.id for each in await worker.examples()] == ["a", "b", "c"]


async def test_what_cannot_be_hidden_is_said_once(worker: Worker, caplog: pytest.LogCaptureFixture) -> None:
    for n in range(3):
        worker.serve(f"{n}", {"inputs": "all", "redact": {"x[5]": "hash"}})

    await worker.memory.flush()

    assert [record.getMessage().count("feedback.redact") for record in caplog.records] == [1]
