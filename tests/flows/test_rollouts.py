"""Rollouts over real processes: they walk, they stop when told, and they outlive the process that moves them.

What the workers would count is flushed here by the test, so these hold whatever the workers judge; a canary that
fails is in ``test_rollback.py``.
"""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING, Any, Final

import pytest

from gateway.core.evidence import Counter
from gateway.ports.evidence import Deltas
from gateway.store.redis_store import RedisRouteStore
from tests.flows import metrics
from tests.flows.gateway_process import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.flows.gateway_process import Answer, Gateway

ROUTE: Final = 'split: {"1": 100}\nassign: {by: random}\nbaseline: "1"'
PLAN: Final = {"steps": [{"weight": 5, "for": "1s"}, {"weight": 50, "for": "1s"}],
               "holdback": {"weight": 95, "for": "1s"}}  # fmt: skip
ROLLOUTS: Final = "/api/v1/models/echo/rollouts"
CURRENT: Final = ROLLOUTS + "/current"
WALK_SECONDS: Final = 40.0
TURN_SECONDS: Final = 20.0
"""A few looks of the controller, which a busy machine may cost its lease (3 s) in between."""


@pytest.fixture
def gateway(begin: Callable[..., Gateway]) -> Gateway:
    return begin(route=ROUTE)


def start(gateway: Gateway, **changes: Any) -> Answer:
    return gateway.ask_admin("POST", ROLLOUTS, {"candidate": "2", **PLAN, **changes}, if_match="*")


def order(gateway: Gateway, verb: str, **body: Any) -> Answer:
    return gateway.ask_admin("POST", f"{CURRENT}/{verb}", body, if_match="*")


def now(gateway: Gateway) -> dict[str, Any]:
    answer = gateway.ask_admin("GET", CURRENT)
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json()
    return found


def is_in(gateway: Gateway, phase: str, step: int | None = None) -> Callable[[], bool]:
    def look() -> bool:
        seen = now(gateway)
        return seen["phase"] == phase and step in {None, seen["step"]}

    return look


class Traffic:
    """Flushes good requests of both versions, as a worker does."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._seq = 0

    def count(self, requests: int = 1_000, failed: int = 0) -> None:
        """Count under the revision that is served now; where that changed meanwhile, nothing is counted."""
        seen = now(self._gateway)
        self._seq += 1
        counts = {Counter(seen["revision"], version, "n"): requests for version in (1, 2)}
        bad = {Counter(seen["revision"], 2, kind): failed for kind in ("failed", "error") if failed}
        deltas = Deltas({str(counter): count for counter, count in (counts | bad).items()})
        asyncio.run(self._flush(seen["id"], deltas))

    async def _flush(self, rollout: str, deltas: Deltas) -> None:
        store = RedisRouteStore(store_url(self._gateway))
        try:
            await store.flush("echo", rollout, worker="test", seq=self._seq, deltas=deltas)
        finally:
            await store.close()

    def fail_until(self, holds: Callable[[], bool], what: str) -> None:
        """Count ten failures at a time until something holds: one flush may meet a revision that has just passed."""

        def look() -> bool:
            if holds():
                return True
            self.count(10, failed=10)
            return False

        eventually(look, TURN_SECONDS, what)

    def until(self, holds: Callable[[], bool], what: str) -> None:
        """Count until something holds."""

        def look() -> bool:
            if holds():
                return True
            if now(self._gateway)["phase"] in {"step", "bake", "hold"}:
                self.count()
            return False

        eventually(look, WALK_SECONDS, what)


def store_url(gateway: Gateway) -> str:
    """Return the address of the embedded store."""
    assert gateway._runtime is not None
    (socket,) = (path for path in gateway._runtime.rglob("*") if path.is_socket())
    return f"unix://{socket}"


def test_a_healthy_canary_walks_its_steps_to_the_end(gateway: Gateway) -> None:
    started = start(gateway, reason="new features")
    traffic = Traffic(gateway)

    traffic.until(is_in(gateway, "succeeded"), "the rollout succeeded")

    route = gateway.ask_admin("GET", "/api/v1/models/echo/route").json()
    history = gateway.ask_admin("GET", "/api/v1/models/echo/history").json()
    assert started.status == 201
    assert (route["split"], route["baseline"]) == ({"1": 0, "2": 100}, "2")
    splits = [entry["after"]["split"] for entry in reversed(history)]
    assert splits == [
        {"1": 100}, {"1": 100}, {"1": 100, "2": 0}, {"1": 95, "2": 5}, {"1": 50, "2": 50}, {"1": 5, "2": 95},
        {"1": 0, "2": 100},
    ]  # fmt: skip
    eventually(lambda: metrics.gauge(gateway, "gateway_rollout_phase", model="echo", phase="succeeded") == 1, 5, "told")
    eventually(lambda: metrics.adopted(gateway) == len(history), 5, "every worker follows")
    assert "is succeeded" in gateway.stderr()


def test_a_paused_rollout_stands_still_and_an_aborted_one_is_gone(gateway: Gateway) -> None:
    start(gateway)
    traffic = Traffic(gateway)
    traffic.until(is_in(gateway, "step", 1), "the first step")

    assert order(gateway, "pause", reason="lunch").status == 200
    traffic.count()
    asyncio.run(asyncio.sleep(3))
    paused = now(gateway)
    assert order(gateway, "resume").status == 200
    traffic.until(is_in(gateway, "step", 2), "the second step")
    aborted = order(gateway, "abort", reason="enough")

    assert (paused["phase"], paused["split"]) == ("paused", {"1": 95, "2": 5})
    assert (aborted.status, now(gateway)["split"]) == (200, {"1": 100, "2": 0})
    assert order(gateway, "resume").status == 409


def test_a_canary_whose_evidence_is_bad_is_taken_back_and_needs_a_retry(gateway: Gateway) -> None:
    start(gateway, steps=[{"weight": 5, "for": "10m"}])
    traffic = Traffic(gateway)
    traffic.until(is_in(gateway, "step", 1), "the first step")

    traffic.fail_until(is_in(gateway, "rolled_back"), "taken back")
    by_hand = gateway.set_weights("echo", {"1": 50, "2": 50})

    newest = gateway.ask_admin("GET", "/api/v1/models/echo/history").json()[0]
    assert newest["reason"].startswith("errors: ")
    assert (by_hand.status, by_hand.json()["type"].rpartition(":")[2]) == (409, "version-quarantined")
    told = lambda: metrics.gauge(gateway, "gateway_rollbacks_total", model="echo", reason="errors") == 1  # noqa: E731
    eventually(told, TURN_SECONDS, "counted")
    assert order(gateway, "retry").status == 200
    eventually(is_in(gateway, "step", 1), TURN_SECONDS, "once more")


def test_a_rollout_outlives_the_process_that_moves_it(gateway: Gateway) -> None:
    start(gateway)
    traffic = Traffic(gateway)
    traffic.until(is_in(gateway, "step", 1), "the first step")
    killed = gateway.control_pid()

    os.kill(killed, signal.SIGKILL)
    eventually(lambda: answers(gateway), 15, "another control process")
    traffic.until(is_in(gateway, "succeeded"), "the rollout succeeded")

    splits = [e["after"]["split"] for e in gateway.ask_admin("GET", "/api/v1/models/echo/history").json()]
    assert len(splits) == 7
    assert len({tuple(split.items()) for split in splits}) == 6  # the start alone moved nothing


def test_while_the_store_is_frozen_nothing_moves_and_requests_are_answered(gateway: Gateway) -> None:
    start(gateway)
    traffic = Traffic(gateway)
    traffic.until(is_in(gateway, "step", 1), "the first step")
    before = now(gateway)
    store = gateway.store_pid()

    os.kill(store, signal.SIGSTOP)
    try:
        asyncio.run(asyncio.sleep(4))
        refused = order(gateway, "promote")
        answered = gateway.is_ready()
    finally:
        os.kill(store, signal.SIGCONT)

    assert (refused.status, answered) == (503, True)
    eventually(lambda: now(gateway)["away_seconds"] > 3, 10, "the absence is written down")
    assert before["away_seconds"] == 0
    traffic.until(is_in(gateway, "succeeded"), "the rollout succeeded")


def answers(gateway: Gateway) -> bool:
    try:
        return gateway.ask_admin("GET", "/healthz").status == 200
    except OSError:
        return False
