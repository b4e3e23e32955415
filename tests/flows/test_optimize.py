"""Rewards move the weights of a real gateway, and stop moving them when the route no longer says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.flows.gateway_process import eventually
from tests.flows.models import request

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.flows.gateway_process import Gateway

ROUTE = """
split: {"1": 50, "2": 50}
optimize: {by: reward, every: 5s, min_labels: 10, step: 40%}
"""
MOVED_SECONDS = 12.0


def reward_both(gateway: Gateway) -> None:
    """Let version 2 always be worth a reward of 1 and version 1 one of 0, some twenty of each."""
    items: list[dict[str, Any]] = []
    for number in range(60):
        name = f"r-{number}"
        answer = gateway.ask("POST", "/v2/models/echo/infer", {"id": name, **request([1.0, 2.0])})
        items.append({"id": name, "reward": 1 if answer.headers["x-gateway-version"] == "2" else 0})
    said = gateway.ask("POST", "/v2/models/echo/feedback", {"feedback": items})
    assert {each["status"] for each in said.json()["feedback"]} == {"counted"}


def test_rewards_move_the_weights_once_until_there_are_new_ones(begin: Callable[..., Gateway]) -> None:
    gateway = begin(route=ROUTE)
    reward_both(gateway)

    def route() -> Any:
        return gateway.ask_admin("GET", "/api/v1/models/echo/route").json()

    eventually(lambda: route()["split"] == {"1": 1000, "2": 9000}, MOVED_SECONDS, "version 2 has 40 percent more")

    newest = gateway.ask_admin("GET", "/api/v1/models/echo/history").json()[0]
    assert (newest["who"], newest["revision"]) == ("gateway", 2)
    assert newest["reason"].startswith("optimize: version 2 is the best by reward with a chance of 1.000")
    report = gateway.ask_admin("GET", "/api/v1/models/echo/experiments/report?first=1&second=2").json()["optimize"]
    assert report["reason"].startswith("waits for labels of answers under these weights")
