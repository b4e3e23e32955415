"""Questions and answers between workers and the verifier, when either side is gone."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

from gateway.ports.engine import Candidate, Finding
from gateway.verification.asking import UNANSWERED, RemoteVerifier, answer_next, pair
from gateway.verification.findings import Findings

if TYPE_CHECKING:
    from pathlib import Path

ASKED = Candidate("/model.onnx", "ab" * 32, "fraud", 3, 1, "{}")


def answering(hears: socket.socket, times: int) -> threading.Thread:
    """Answer so many questions, each with its version as the memory."""

    def answer() -> None:
        for _ in range(times):
            answer_next(hears, lambda candidate: Finding(memory_bytes=candidate.version))

    thread = threading.Thread(target=answer)
    thread.start()
    return thread


def test_answers_of_two_who_ask_at_once_are_not_mixed_up() -> None:
    asked, hears = pair()
    found: dict[int, Finding] = {}

    def ask(version: int) -> None:
        found[version] = RemoteVerifier(asked).verify(Candidate("/m", "ab", "fraud", version, 1, "{}"))

    threads = [threading.Thread(target=ask, args=(version,)) for version in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in [*threads, answering(hears, 8)]:
        thread.join()

    assert {version: each.memory_bytes for version, each in found.items()} == {n: n for n in range(1, 9)}
    asked.close()
    hears.close()


def test_without_anybody_who_hears_there_is_no_answer(nobody: socket.socket) -> None:
    assert RemoteVerifier(nobody).verify(ASKED) == UNANSWERED


def test_a_verifier_that_ends_over_a_question_leaves_it_unanswered() -> None:
    asked, hears = pair()

    def die() -> None:
        _, descriptors, _, _ = socket.recv_fds(hears, 1 << 20, 1)
        socket.close(descriptors[0])

    thread = threading.Thread(target=die)
    thread.start()

    assert RemoteVerifier(asked).verify(ASKED) == UNANSWERED
    thread.join()
    asked.close()
    hears.close()


def test_a_verifier_that_takes_too_long_is_not_waited_for() -> None:
    asked, hears = pair()

    assert RemoteVerifier(asked, seconds=0.05).verify(ASKED) == UNANSWERED
    asked.close()
    hears.close()


def test_a_worker_that_went_meanwhile_and_a_question_without_a_way_back_end_nothing() -> None:
    asked, hears = pair()
    asked.send(b"{}")
    RemoteVerifier(asked, seconds=0.05).verify(ASKED)

    answer_next(hears, lambda _: Finding())
    answer_next(hears, lambda _: Finding())

    answers = answering(hears, 1)
    assert RemoteVerifier(asked).verify(ASKED).memory_bytes == 3
    answers.join()
    asked.close()
    hears.close()


def test_findings_that_nobody_asked_for_in_a_day_are_forgotten(tmp_path: Path) -> None:
    now = [1e9]
    findings = Findings(tmp_path / "findings", "runtime", clock=lambda: now[0])
    findings.prune()
    findings.keep(ASKED, Finding(memory_bytes=5))
    (kept,) = (tmp_path / "findings").iterdir()

    now[0] = kept.stat().st_mtime + 86_000
    findings.prune()
    assert findings.find(ASKED) == Finding(memory_bytes=5)
    now[0] = kept.stat().st_mtime + 86_401
    findings.prune()

    assert findings.find(ASKED) is None


def test_a_lack_of_memory_is_not_remembered(tmp_path: Path) -> None:
    findings = Findings(tmp_path, "runtime")

    findings.keep(ASKED, Finding("no_memory", "it took more than there is"))

    assert findings.find(ASKED) is None
