"""Alarms against a real Prometheus, Debian's, that scrapes the real gateway whose rollout it is asked about."""

from __future__ import annotations

import shutil
import socket
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.flows import metrics
from tests.flows.gateway_process import eventually
from tests.flows.prometheus import Prometheus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.flows.gateway_process import Gateway

ROLLOUTS: Final = "/api/v1/models/echo/rollouts"
ALARM: Final = {"query": "gateway_open_connections", "for": "1s", "grace": "2s"}
PLAN: Final = {
    "candidate": "2",
    "policy": {"name": "canary", "size": 5, "wait": "10m"},
    "alarms": [
        ALARM | {"name": "callers", "fires": "> 5"},
        ALARM | {"name": "crowds", "fires": "> 40", "then": "rollback"},
    ],
}
SOON: Final = 15.0

pytestmark = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="prometheus is not installed: scripts/programs installs it"
)


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[Prometheus]:
    process = Prometheus(tmp_path)
    yield process
    process.kill()


@contextmanager
def connected(gateway: Gateway, count: int) -> Iterator[None]:
    """Hold so many connections open that ask for nothing: no fault of any version, and no evidence."""
    with ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(socket.create_connection(("127.0.0.1", gateway.port)))
        yield


def now(gateway: Gateway) -> dict[str, Any]:
    found: dict[str, Any] = gateway.ask_admin("GET", ROLLOUTS + "/current").json()
    return found


def stands(gateway: Gateway, phase: str, **states: str) -> Callable[[], bool]:
    """Return what says whether the rollout is in *phase* and each alarm that is named in its state."""

    def look() -> bool:
        seen = now(gateway)
        found = {each["name"]: each["state"] for each in seen["alarms"]}
        return bool(seen["phase"] == phase and states.items() <= found.items())

    return look


def test_alarms_hold_and_roll_back_and_an_outage_of_prometheus_only_holds(
    begin: Callable[..., Gateway], prometheus: Prometheus
) -> None:
    prometheus.start()
    flags = ("--prometheus-url", f"http://{prometheus.address}", "--admin-port", str(prometheus.target_port))
    gateway = begin(route='split: {"1": 100}', workers=1, flags=flags)
    started = gateway.ask_admin("POST", ROLLOUTS, PLAN, if_match="*")
    assert started.status == 201, started.body
    eventually(stands(gateway, "step", callers="quiet", crowds="quiet"), SOON, "asked, answered, and at its first step")

    prometheus.kill()
    eventually(stands(gateway, "hold", callers="silent", crowds="silent"), SOON, "held for want of an answer")
    silent = now(gateway)
    told = metrics.gauge(gateway, "gateway_rollout_alarm_state", model="echo", alarm="crowds", state="silent")
    prometheus.start()
    eventually(stands(gateway, "step", callers="quiet", crowds="quiet"), SOON, "it goes on when it is answered again")

    with connected(gateway, 10):
        eventually(stands(gateway, "hold", callers="firing", crowds="quiet"), SOON, "held by the alarm that fires")
        firing = now(gateway)
        with connected(gateway, 60):
            eventually(stands(gateway, "rolled_back"), SOON, "taken back by the alarm that may")

    newest = gateway.ask_admin("GET", "/api/v1/models/echo/history").json()[0]
    assert "alarms: alarm callers fires: " in firing["reason"]
    assert firing["split"] == silent["split"] == {"1": 95, "2": 5}
    assert told == 1
    assert "Prometheus cannot be reached: Connection refused" in silent["reason"]
    assert newest["reason"].startswith("alarms: alarm crowds fires: ")
    assert newest["after"]["split"] == {"1": 100, "2": 0}
    assert prometheus.address not in gateway.stderr()
