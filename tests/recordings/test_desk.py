"""What a worker does with requests that are to be recorded: what is written, what is dropped, what is counted."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from gateway.recordings.desk import MOST_WAITING, RecordingDesk
from gateway.recordings.files import RecordingFiles
from gateway.recordings.line import MAX_BYTES
from tests.recordings.answers import answered
from tests.serving.fakes import FakeCells

if TYPE_CHECKING:
    from pathlib import Path


class Worker:
    """A desk over a directory; *busy* is whether a caller waits."""

    def __init__(self, root: Path) -> None:
        self.files = RecordingFiles(root)
        self.busy = False
        self.cells = FakeCells()
        self.desk = RecordingDesk(self.files, lambda: self.busy)

    @property
    def outcomes(self) -> Counter[str]:
        return Counter(self.cells.recordings)

    def lines(self, model: str = "fraud") -> list[bytes]:
        return list(self.files.read(model))


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    return Worker(tmp_path / "recordings")


async def test_what_was_taken_is_written_and_counted(worker: Worker) -> None:
    for model in ("fraud", "iris", "fraud"):
        worker.desk.offer(answered(cells=worker.cells, model=model))

    await worker.desk.finish()

    assert (len(worker.lines()), len(worker.lines("iris"))) == (2, 1)
    assert worker.outcomes == {"kept": 3}


async def test_nothing_is_written_while_a_caller_waits(worker: Worker) -> None:
    worker.busy = True
    task = asyncio.create_task(worker.desk.run_forever())
    worker.desk.offer(answered(cells=worker.cells))

    await asyncio.sleep(0.25)
    assert worker.lines() == []
    worker.busy = False
    async with asyncio.timeout(5):
        while not worker.lines():  # noqa: ASYNC110 - a thread writes, which sets no event
            await asyncio.sleep(0.01)
    task.cancel()


async def test_what_does_not_fit_into_the_queue_is_dropped_and_counted(worker: Worker) -> None:
    for _ in range(MOST_WAITING + 3):
        worker.desk.offer(answered(cells=worker.cells))

    assert worker.outcomes == {"full": 3}
    await worker.desk.finish()
    assert worker.outcomes == {"full": 3, "kept": MOST_WAITING}


async def test_large_requests_do_not_pile_up(worker: Worker) -> None:
    for _ in range(20):
        worker.desk.offer(answered(cells=worker.cells, email="a" * (MAX_BYTES - 1000)))
    worker.desk.offer(answered(cells=worker.cells, email="a" * MAX_BYTES))

    await worker.desk.finish()

    assert worker.outcomes == {"kept": 16, "full": 4, "large": 1}


async def test_a_request_that_lacks_what_is_to_be_hidden_is_not_written_and_said_once(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            worker.desk.offer(answered(cells=worker.cells, redact={"phone": "drop"}))
        await worker.desk.finish()

    assert worker.lines() == []
    assert worker.outcomes == {"unhidden": 3}
    (record,) = caplog.records
    assert "'phone'" in record.message
    assert "record.redact" in record.message


async def test_a_disk_that_fails_costs_recordings_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "recordings").write_text("a file in its place")
    worker = Worker(tmp_path / "recordings")
    worker.desk.offer(answered(cells=worker.cells))

    await worker.desk.finish()

    assert worker.outcomes == {"failed": 1}
    assert "state directory" in caplog.text


async def test_what_was_kept_long_enough_goes_without_any_new_request(tmp_path: Path) -> None:
    now = 1_790_000_000.0
    files = RecordingFiles(tmp_path / "recordings", lambda: now)
    files.append("fraud", [b'{"n":1}\n'], keep_seconds=60, max_bytes=8 << 20)
    now += 60
    task = asyncio.create_task(RecordingDesk(files, lambda: False).run_forever())

    async with asyncio.timeout(5):
        while list(tmp_path.rglob("*.jsonl")):  # noqa: ASYNC110, ASYNC240 - a thread deletes, which sets no event
            await asyncio.sleep(0.01)
    task.cancel()
