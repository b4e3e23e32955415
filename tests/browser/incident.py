"""A gateway with a bad night behind it: a canary that was taken back, and after it a weight that somebody got wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tests.flows.conftest import prepare, seeded
from tests.flows.gateway_process import eventually
from tests.flows.models import crashing, publish, request, route_file

if TYPE_CHECKING:
    from pathlib import Path

    from tests.flows.gateway_process import Gateway

MODEL: Final = "breast-cancer"
"""The name in the README's commands."""

RIGHT: Final = {"1": 100, "2": 0}
WRONG: Final = {"1": 5, "2": 0, "3": 95}
SECONDS: Final = 30.0
BATCH: Final = 20


def prepared(root: Path) -> Gateway:
    """Return the gateway, not started: version 2 fails for every caller, version 3 is well and nobody's wish."""
    for version, content in ((1, None), (2, crashing(2)), (3, None)):
        publish(root / "models", version, content, model=MODEL)
    route_file(root / "routes", 'split: {"1": 100}', model=MODEL)
    return prepare(root, models=root / "models", routes=root / "routes", workers=1)


def happened(gateway: Gateway) -> None:
    """Start it and let the night pass."""
    gateway.start()
    eventually(lambda: seeded(gateway), SECONDS, "the route is in the store and on every worker")
    plan = {"candidate": "2", "steps": [{"weight": 50, "for": "60s"}], "reason": "trained on March"}
    assert gateway.ask_admin("POST", path("rollouts"), plan, if_match="*").status == 201
    eventually(lambda: asked_until_taken_back(gateway), SECONDS, "version 2 is taken back")
    assert gateway.set_weights(MODEL, WRONG).status == 200
    eventually(lambda: served(gateway) == "3", SECONDS, "callers get the wrong version")


def asked_until_taken_back(gateway: Gateway) -> bool:
    """Send some requests, each answered by the baseline where the canary fails, and say whether it is gone."""
    assert {ask(gateway).status for _ in range(BATCH)} == {200}
    return bool(told(gateway, "rollouts/current")["phase"] == "rolled_back")


def ask(gateway: Gateway) -> Any:
    return gateway.ask("POST", f"/v2/models/{MODEL}/infer", request([3.0, 4.0]))


def served(gateway: Gateway) -> str:
    """Return who answers most of some callers."""
    versions = [str(ask(gateway).headers["x-gateway-version"]) for _ in range(BATCH)]
    return max(set(versions), key=versions.count)


def told(gateway: Gateway, rest: str) -> Any:
    return gateway.ask_admin("GET", path(rest)).json()


def path(rest: str) -> str:
    return f"/api/v1/models/{MODEL}/{rest}"
