"""What is told leaves the event loop, whoever receives it; what finds no place is counted."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from gateway.telemetry.outbox import BATCH, Outbox

if TYPE_CHECKING:
    from collections.abc import Sequence


@pytest.fixture
def counted() -> Counter[str]:
    return Counter()


def count_into(counted: Counter[str]) -> object:
    def count(outcome: str, many: int) -> None:
        counted[outcome] += many

    return count


def box(send: object, counted: Counter[str], **given: object) -> Outbox[int]:
    return Outbox("things", send, count_into(counted), **given)  # type: ignore[arg-type]  # passed through


def test_everything_is_sent_in_its_order_and_by_the_batch(counted: Counter[str]) -> None:
    batches: list[Sequence[int]] = []

    def send(batch: Sequence[int]) -> bool:
        batches.append(batch)
        return True

    outbox = box(send, counted)

    for number in range(BATCH + 5):
        outbox.put(number)
    outbox.close()

    assert [number for batch in batches for number in batch] == list(range(BATCH + 5))
    assert max(map(len, batches)) <= BATCH
    assert counted == {"sent": BATCH + 5}


def test_a_receiver_that_hangs_holds_nobody_up_and_what_does_not_fit_is_counted(counted: Counter[str]) -> None:
    is_asked, is_freed = threading.Event(), threading.Event()

    def hang(batch: Sequence[int]) -> bool:
        is_asked.set()
        return is_freed.wait(10)

    outbox = box(hang, counted, most=3, stop=is_freed.set)
    outbox.put(0)
    assert is_asked.wait(5)

    began = time.perf_counter()
    for number in range(1000):
        outbox.put(number)

    assert time.perf_counter() - began < 1.0
    assert counted == {"dropped": 997}
    is_freed.set()
    outbox.close()
    assert counted == {"dropped": 997, "sent": 4}


def test_a_receiver_that_fails_is_complained_about_once_and_counted(
    counted: Counter[str], caplog: pytest.LogCaptureFixture
) -> None:
    answers = iter(["no", "crash", "yes"])

    def send(batch: Sequence[int]) -> bool:
        answer = next(answers)
        if answer == "crash":
            raise OSError(answer)
        return answer == "yes"

    outbox = box(send, counted)
    with caplog.at_level("INFO"):
        for so_far in range(1, 4):
            outbox.put(so_far)
            while counted.total() < so_far:
                time.sleep(0.01)
        outbox.close()

    assert counted == {"failed": 2, "sent": 1}
    assert sum("cannot be delivered" in message for message in caplog.messages) == 1
    assert sum("delivered again" in message for message in caplog.messages) == 1


def test_an_outbox_that_nothing_is_put_into_has_no_thread(counted: Counter[str]) -> None:
    before = threading.active_count()

    outbox = box(lambda _: True, counted)

    assert threading.active_count() == before
    outbox.close()
    assert not counted
