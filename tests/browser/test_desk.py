"""What an operator decides on a model's page: what is loaded, the whole route, the plan of a rollout.

One gateway and one browser for all of it: each test that changes something has a model of its own.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.browser.test_accessibility import PHONE, findings
from tests.browser.test_console import model_page, shown
from tests.flows.conftest import close_all, prepare, seeded
from tests.flows.gateway_process import eventually
from tests.flows.models import publish, route_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.browser.test_console import Look
    from tests.flows.gateway_process import Gateway

MODELS: Final = ("loads", "routed", "torn", "planned", "moved", "family")

STATE_SECONDS: Final = 20.0


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with three versions of each of MODELS; the second of the family comes from the first."""
    root = tmp_path_factory.mktemp("desk")
    for model in MODELS:
        files = [publish(root / "models", version, model=model) for version in (1, 2, 3)]
        if model == "family":
            text = "parents: [family/1:trained-from, family/9:pruned-from]\n"
            (files[1].parent / "metadata.yaml").write_text(text)
        route_file(root / "routes", 'split: {"1": 100, "2": 0}', model=model)
    gateway = prepare(root, models=root / "models", routes=root / "routes", workers=1)
    try:
        gateway.start()
        eventually(lambda: seeded(gateway), STATE_SECONDS, "every route is in the store and on every worker")
        for model in MODELS:
            eventually(partial(is_in, "READY", gateway, model, "3"), STATE_SECONDS, f"{model} is loaded")
        yield gateway
    finally:
        close_all([gateway])


def told(gateway: Gateway, model: str, rest: str = "") -> Any:
    return gateway.ask_admin("GET", f"/api/v1/models/{model}{rest}").json()


def is_in(state: str, gateway: Gateway, model: str, version: str) -> bool:
    states = {each["version"]: each["state"] for each in told(gateway, model)["versions"]}
    return bool(states[version] == state)


def confirm(page: Any, reason: str) -> None:
    page.get_by_label("reason", exact=True).fill(reason)
    page.get_by_role("button", name="Confirm").click()


def test_a_version_is_unloaded_and_loaded_by_its_button_and_the_history_says_why(house: Gateway, look: Look) -> None:
    page = model_page(look, house, "loads")

    page.get_by_role("button", name="unload version 3", exact=True).click()
    confirm(page, "memory is short")

    shown(page, "the order to unload it is given")
    eventually(lambda: is_in("UNAVAILABLE", house, "loads", "3"), STATE_SECONDS, "version 3 is unloaded")
    page.get_by_role("button", name="load version 3", exact=True).click()
    confirm(page, "it is wanted again")
    eventually(lambda: is_in("READY", house, "loads", "3"), STATE_SECONDS, "version 3 is back")
    assert [(each["action"], each["reason"]) for each in told(house, "loads", "/history")[:2]] == [
        ("load", "it is wanted again"), ("unload", "memory is short")
    ]  # fmt: skip


def test_the_unloading_of_a_version_that_a_route_uses_is_refused_in_words(house: Gateway, look: Look) -> None:
    page = model_page(look, house, "loads")

    page.get_by_role("button", name="unload version 1", exact=True).click()
    confirm(page, "")

    shown(page.get_by_label("versions and figures"), "Not done: .*version.* 1.*(split|baseline|route)")
    assert is_in("READY", house, "loads", "1")


def test_an_order_that_is_not_confirmed_is_not_given(house: Gateway, look: Look) -> None:
    page = model_page(look, house, "loads")

    page.get_by_role("button", name="unload version 2", exact=True).click()
    page.get_by_role("button", name="Cancel").click()

    assert is_in("READY", house, "loads", "2")
    assert "unload" not in {each["action"] for each in told(house, "loads", "/history") if each["reason"] == ""}


def test_a_route_is_checked_compared_and_written_as_it_was_typed(house: Gateway, look: Look) -> None:
    page = model_page(look, house, "routed")
    panel = page.get_by_label("route", exact=True)
    text = panel.get_by_label("Route of routed as JSON")
    text.fill(text.input_value().replace('"fallback": "baseline"', '"fallback": "none"'))

    panel.get_by_role("button", name="Check route").click()

    shown(panel, "The gateway would take this route in place of revision 1")
    difference = panel.get_by_label("what would change").inner_text()
    assert '-   "fallback": "baseline"' in difference
    assert '+   "fallback": "none"' in difference
    assert told(house, "routed")["revision"] == 1
    panel.get_by_role("button", name="Write route").click()
    assert '+   "fallback": "none"' in page.get_by_label("what is written").inner_text()
    confirm(page, "nobody second-guesses")
    shown(panel, "Written, now at revision 2")
    assert told(house, "routed", "/route")["fallback"] == "none"
    assert told(house, "routed", "/history")[0]["reason"] == "nobody second-guesses"


DIFFERENCES: Final = [
    ([1, 2, 3], [1, 3]),
    ([1, 3], [1, 2, 3]),
    ([1, 2, 3], [3, 2, 1]),
    ({"a": 1}, {"a": 2, "b": [1]}),
    (None, [1]),
    ([], list(range(9))),
    (list(range(3_000)), list(range(3_000, 6_000))),
]
"""Documents before and after; the last is too long to look for the shortest difference."""


def test_a_difference_names_exactly_the_lines_that_go_and_come(house: Gateway, look: Look) -> None:
    page = look(house.admin)
    script = (
        """async ([before, after]) => (await import("/console/diff.js")).diffBlock("x", before, after).textContent"""
    )

    for before, after in DIFFERENCES:
        rows = page.evaluate(script, [before, after]).splitlines()
        for mark, document in (("-", before), ("+", after)):
            text = "" if document is None else page.evaluate("each => JSON.stringify(each, null, 2)", document)
            assert [row[2:] for row in rows if row[0] in {" ", mark} and row != "  …"] == text.splitlines()


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("split: {1: 100}", "Refused: this is no JSON: .*"),
        ('{"split": {"1": -5}}', "Refused: split.1: -5 is no weight"),
        ('{"split": {"77": 100}}', "Refused: .*77"),
    ],
)
def test_a_route_that_cannot_be_is_refused_in_words_and_kept_to_be_mended(
    house: Gateway, look: Look, typed: str, said: str
) -> None:
    page = model_page(look, house, "torn")
    panel = page.get_by_label("route", exact=True)
    text = panel.get_by_label("Route of torn as JSON")
    text.fill(typed)

    panel.get_by_role("button", name="Write route").click()

    shown(panel, said)
    assert text.input_value() == typed
    assert page.get_by_role("dialog").count() == 0


def test_of_two_who_edit_a_route_neither_loses_anything_unseen(house: Gateway, look: Look) -> None:
    page = model_page(look, house, "torn")
    panel = page.get_by_label("route", exact=True)
    text = panel.get_by_label("Route of torn as JSON")
    typed = text.input_value().replace('"fallback": "baseline"', '"fallback": "none"')
    text.fill(typed)

    assert house.set_weights("torn", {"1": 60, "2": 40}).status == 200

    shown(panel, "Somebody changed the route to revision 2. What you typed is kept")
    assert '+     "2": 40' in panel.get_by_label("what they changed").inner_text()
    assert text.input_value() == typed
    panel.get_by_role("button", name="Write route").click()
    confirm(page, "mine")
    shown(panel, "Not written: .*revision")
    assert told(house, "torn", "/route")["split"] == {"1": 60, "2": 40}
    panel.get_by_role("button", name="Keep mine").click()
    panel.get_by_role("button", name="Check route").click()
    assert '-     "2": 40' in panel.get_by_label("what would change").inner_text()
    panel.get_by_role("button", name="Discard edits").click()
    assert '"2": 40' in text.input_value()


def test_a_rollout_is_previewed_by_its_policy_and_starts_as_it_was_shown(house: Gateway, look: Look) -> None:
    page = model_page(look, house, "planned")
    panel = page.get_by_label("rollout", exact=True)
    panel.get_by_label("Candidate version").fill("2")
    panel.get_by_label("by", exact=True).select_option("canary")
    panel.get_by_label("size").fill("20")
    panel.get_by_text("Guards").click()
    panel.get_by_label("errors tolerates").fill("2%")
    panel.get_by_label("outputs").select_option("does not watch")

    panel.get_by_role("button", name="Preview").click()

    shown(panel, "Version 2 would go, compared with version 1. Nothing was started; the route stays at revision 1")
    rows = [
        row.inner_text().split("\t")
        for row in panel.get_by_label("preview of the rollout").first.get_by_role("row").all()
    ]
    assert [row[:3] for row in rows[1:]] == [["preflight", "0", ""], ["step 1", "20", "10m"], ["bake", "95", "30m"]]
    assert '"tolerate": "2%"' in panel.get_by_label("difference from the route's plan").inner_text()
    assert told(house, "planned")["rollout"] is None
    panel.get_by_role("button", name="Start").click()
    confirm(page, "trained on March")
    shown(panel, "step 1 of 1")
    plan = told(house, "planned", "/rollouts/current")["plan"]
    assert plan["steps"] == [{"weight": 20, "for": "10m"}]
    assert plan["guards"]["errors"]["tolerate"] == "2%"
    assert sorted(plan["guards"]) == ["errors", "invalid", "latency"]


@pytest.mark.parametrize(("steps", "said"), [("5:1m 2:1m", "steps"), ("5", "for"), ("", "steps")])
def test_a_plan_that_cannot_be_is_refused_in_words_before_anybody_is_asked(
    house: Gateway, look: Look, steps: str, said: str
) -> None:
    page = model_page(look, house, "family")
    panel = page.get_by_label("rollout", exact=True)
    panel.get_by_label("Candidate version").fill("2")
    panel.get_by_label("by", exact=True).select_option("own steps")
    panel.get_by_label("Steps, percent:duration").fill(steps)

    panel.get_by_role("button", name="Start").click()

    shown(panel, f"Refused: .*{said}")
    assert page.get_by_role("dialog").count() == 0
    assert told(house, "family")["rollout"] is None


def test_lineage_is_drawn_and_the_list_says_the_same(house: Gateway, look: Look) -> None:
    page = model_page(look, house, "family")
    panel = page.get_by_label("lineage", exact=True)

    shown(panel, "family/2 trained-from family/1")
    shown(panel, r"family/2 pruned-from family/9 \(not in the repository any more\)")
    drawing = panel.get_by_role("img")
    assert drawing.locator("rect").count() == 4
    assert drawing.locator("line").count() == 2
    left = {text: drawing.get_by_text(text, exact=True).bounding_box()["x"] for text in ("family/1", "family/2")}
    assert left["family/1"] < left["family/2"]


def test_a_drift_panel_is_there_only_where_the_gateway_watches_drift(house: Gateway, look: Look) -> None:
    page = look(house.admin)
    drift = page.get_by_label("drift", exact=True)
    page.route("**/drift", lambda route: route.fulfill(status=404, json={"detail": "there is nothing here"}))
    with page.expect_response("**/drift"):
        page.get_by_role("link", name="loads", exact=True).click()
    assert drift.is_hidden()

    column = {"column": "age", "state": "drifted", "psi": 0.31, "rows": 900, "reason": "age: older"}
    version = {"version": "1", "rows": 900, "reference": {"source": "x"}, "drifted": True, "reasons": ["age: older"],
               "columns": [column], "anomalies": []}  # fmt: skip
    page.unroute("**/drift")
    page.route("**/drift", lambda route: route.fulfill(json={"model": "loads", "versions": [version]}))
    page.reload()

    shown(drift, "Version 1, 900 rows: drifted")
    shown(drift, "age: older")


def test_times_are_local_and_utc_when_pointed_at(house: Gateway, look: Look) -> None:
    page = model_page(look, house, "family", timezone_id="Asia/Tokyo", locale="en-GB")
    at = told(house, "family", "/history")[0]["at_ms"]

    moment = page.get_by_label("history").first.locator("time").first

    utc = moment.get_attribute("title")
    assert utc == page.evaluate("ms => new Date(ms).toISOString()", at)
    assert moment.inner_text() == page.evaluate("ms => new Date(ms).toLocaleString('en-GB')", at)
    assert utc[11:16] != moment.inner_text().split(", ")[1][:5]


def test_a_rollout_is_paused_resumed_aborted_and_tried_anew_by_its_buttons(house: Gateway, look: Look) -> None:
    plan = {"candidate": "2", "steps": [{"weight": 20, "for": "10m"}]}
    assert house.ask_admin("POST", "/api/v1/models/moved/rollouts", plan, if_match="*").status == 201
    page = model_page(look, house, "moved")
    panel = page.get_by_label("rollout", exact=True)
    shown(panel, "step, step 1 of 1")

    for verb, said in (
        ("pause", "paused, "),
        ("resume", "step, step 1 of 1"),
        ("abort", "aborted"),
        ("retry", "step, step 1 of 1"),
    ):
        panel.get_by_role("button", name=verb, exact=True).click()
        confirm(page, f"{verb} it")
        shown(panel, f"Version 2 against 1: {said}")

    reasons = [each["reason"] for each in told(house, "moved", "/history")]
    assert all(any(f"{verb} it" in reason for reason in reasons) for verb in ("pause", "resume", "abort", "retry"))


def test_the_fleet_page_shows_each_worker_with_the_revisions_it_serves(house: Gateway, look: Look) -> None:
    page = look(f"{house.admin}#/fleet")
    worker, *_ = told_of_fleet = house.ask_admin("GET", "/api/v1/fleet").json()["workers"]

    row = page.get_by_role("row").nth(1)
    row.wait_for()

    assert len(told_of_fleet) == 1
    assert row.inner_text().split("\t")[:4] == ["0", str(worker["pid"]), "ready", "up"]
    assert "family: 1" in row.inner_text()
    shown(page, "Store: up")


@pytest.mark.parametrize("given", [{}, {"viewport": PHONE, "color_scheme": "dark"}], ids=["light", "dark phone"])
def test_open_editors_and_dialogs_have_nothing_serious_for_axe_and_fit(house: Gateway, look: Look, given: Any) -> None:
    page = model_page(look, house, "family", **given)
    panel = page.get_by_label("rollout", exact=True)
    panel.get_by_label("Candidate version").fill("3")
    panel.get_by_label("by", exact=True).select_option("canary")
    panel.get_by_text("Guards").click()
    panel.get_by_role("button", name="Preview").click()
    shown(panel, "would go")
    text = page.get_by_label("Route of family as JSON")
    text.fill(text.input_value().replace('"fallback": "baseline"', '"fallback": "none"'))

    page.get_by_role("button", name="Write route").click()
    page.get_by_role("dialog").wait_for()

    assert findings(page) == []
    page.get_by_role("button", name="Cancel").click()
    assert findings(page) == []
    width = page.viewport_size["width"]
    assert page.locator("html").evaluate("e => e.scrollWidth") <= width
