"""Who is offered what: every button of every page, as an operator and as a viewer, and the test that presses it.

What the API lets whom do is ``tests/control/test_admin_access.py``; the page only asks who somebody is.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.browser.test_console import model_page
from tests.flows.conftest import close_all, prepare, seeded
from tests.flows.gateway_process import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.browser.test_console import Look
    from tests.flows.gateway_process import Gateway

READS: Final = {"Explain": "test_explain_says_which_version_a_user_gets"}
"""What a viewer may press, and the test that does. Log out is offered to whoever has a token."""

WRITES: Final = {
    "load version": "test_a_version_is_unloaded_and_loaded_by_its_button_and_the_history_says_why",
    "unload version": "test_a_version_is_unloaded_and_loaded_by_its_button_and_the_history_says_why",
    "Apply": "test_a_weight_that_is_applied_is_served",
    "pause": "test_a_rollout_is_paused_resumed_aborted_and_tried_anew_by_its_buttons",
    "resume": "test_a_rollout_is_paused_resumed_aborted_and_tried_anew_by_its_buttons",
    "promote": "test_of_several_candidates_the_one_that_is_chosen_is_promoted",
    "abort": "test_a_rollout_is_paused_resumed_aborted_and_tried_anew_by_its_buttons",
    "retry": "test_a_rollout_is_paused_resumed_aborted_and_tried_anew_by_its_buttons",
    "Preview": "test_a_rollout_is_previewed_by_its_policy_and_starts_as_it_was_shown",
    "Start": "test_a_rollout_is_previewed_by_its_policy_and_starts_as_it_was_shown",
    "restore revision": "test_the_console_says_why_and_undoes_as_the_readme_tells",
    "Check route": "test_a_route_is_checked_compared_and_written_as_it_was_typed",
    "Write route": "test_a_route_is_checked_compared_and_written_as_it_was_typed",
    "Discard edits": "test_of_two_who_edit_a_route_neither_loses_anything_unseen",
}
"""What an operator may press too."""

SECONDS: Final = 20.0


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway in which everything can be done: a rollout, an older revision, a version that is not loaded."""
    gateway = prepare(
        tmp_path_factory.mktemp("roles"), versions=(1, 2, 3), route='split: {"1": 100, "2": 0}', workers=1
    )
    try:
        gateway.start()
        eventually(lambda: seeded(gateway), SECONDS, "the route is in the store and on the worker")
        plan = {"candidate": "2", "steps": [{"weight": 20, "for": "10m"}]}
        unload = "/api/v1/models/echo/versions/3/unload"
        eventually(lambda: gateway.ask_admin("POST", unload).status == 202, SECONDS, "version 3 is loaded, and may go")
        assert gateway.ask_admin("POST", "/api/v1/models/echo/rollouts", plan, if_match="*").status == 201
        yield gateway
    finally:
        close_all([gateway])


def buttons(look: Look, gateway: Gateway, role: str) -> set[tuple[str, bool]]:
    """Return how each button on the model's page is called, without its number, and whether it may be pressed."""

    def page_as(address: str) -> Any:
        page = look("about:blank")
        page.route("**/api/v1/me", lambda route: route.fulfill(json={"name": "somebody", "role": role}))
        page.goto(address)
        return page

    page = model_page(page_as, gateway)
    for name in ("load version 3", "restore revision 1", "pause"):
        if name != "restore revision 1" or role != "viewer":
            page.get_by_role("button", name=name, exact=True).wait_for()
    seen = page.locator("button:visible").evaluate_all("all => all.map(e => [e.ariaLabel ?? e.innerText, !e.disabled])")
    return {(re.sub(r" \d+$", "", name), may) for name, may in seen}


def test_an_operator_is_offered_every_action(busy: Gateway, look: Look) -> None:
    assert buttons(look, busy, "operator") == {(name, True) for name in {*READS, *WRITES}}


def test_a_viewer_is_offered_nothing_that_changes_anything(busy: Gateway, look: Look) -> None:
    offered = buttons(look, busy, "viewer")

    refused = {(name, False) for name in WRITES if name != "restore revision"}
    assert offered == {(name, True) for name in READS} | refused


def test_every_action_is_pressed_by_a_test() -> None:
    text = "".join(
        path.read_text("utf-8") for path in Path(__file__).parent.glob("test_*.py") if path != Path(__file__)
    )

    assert {name for name in {*READS.values(), *WRITES.values()} if f"def {name}(" not in text} == set()
