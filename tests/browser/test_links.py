"""The link of a notification in a real browser: it asks, and its button acts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.flows.gateway_process import eventually
from tests.flows.test_notifications import Receiver, webhooks

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.flows.gateway_process import Gateway

PUBLIC = "https://gateway.example.com"
PLAN = {"candidate": "2", "steps": [{"weight": 50, "for": "1s"}]}
HELD_SECONDS = 15.0
CURRENT = "/api/v1/models/echo/rollouts/current"


def test_a_rollout_that_is_held_is_rolled_back_by_the_button_behind_its_link_and_not_by_opening_it(
    begin: Callable[..., Gateway], look: Callable[..., Any], tmp_path: Path
) -> None:
    receiver = Receiver()
    receiver.open()
    try:
        flags = ["--webhooks", str(webhooks(tmp_path, receiver.port)), "--public-url", PUBLIC]
        gateway = begin(route='split: {"1": 100}', flags=flags)
        assert gateway.ask_admin("POST", "/api/v1/models/echo/rollouts", PLAN, if_match="*").status == 201
        eventually(lambda: "rollout.held" in receiver.kinds(), HELD_SECONDS, "no traffic: it is held, and told")
    finally:
        receiver.close()
    held = next(each for each in receiver.taken if each["type"] == "rollout.held")
    link = held["data"]["links"]["roll_back"].replace(PUBLIC, gateway.admin)

    page = look(link)
    page.get_by_text("Roll back: give up the rollout of version 2").wait_for()
    page.reload()
    assert gateway.ask_admin("GET", CURRENT).json()["phase"] == "hold"
    page.get_by_role("button", name="Roll back").click()

    page.get_by_role("heading", name="Done").wait_for()
    assert gateway.ask_admin("GET", CURRENT).json()["phase"] == "aborted"
    newest = gateway.ask_admin("GET", "/api/v1/models/echo/history").json()[0]
    assert (newest["who"], "by link sent to" in newest["reason"]) == ("link:ops", True)
    page.reload()
    page.get_by_text("This link was used already").wait_for()
