"""What operators see and do in the console, with real clicks on a real gateway."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

import pytest

from gateway.core.quality import ENOUGH_LABELS
from tests.flows.gateway_process import eventually
from tests.flows.models import MODEL, repository, request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.flows.gateway_process import Gateway

    Begin = Callable[..., Gateway]
    Look = Callable[..., Any]

HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
ROUTE = 'split: {"1": 100, "2": 0}'
SERVED_SECONDS = 15.0
"""How long a change may take to be served on a busy machine; only waited for. How soon it must be is judged in
``tests/faults/test_following.py``."""


def model_page(look: Look, gateway: Gateway, model: str = MODEL, **given: Any) -> Any:
    """Return the model's page, reached by its link."""
    page = look(gateway.admin, **given)
    page.get_by_role("link", name=model, exact=True).click()
    page.get_by_label("weight of version 2", exact=True).wait_for()
    return page


def shown(where: Any, text: str) -> None:
    where.get_by_text(re.compile(text)).first.wait_for()


def served(gateway: Gateway) -> str:
    return gateway.ask("POST", "/v2/models/echo/infer", request([1, 2])).headers["x-gateway-version"]


def labelled(gateway: Gateway, name: str, label: int, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Ask under the id *name* and return feedback for the answer."""
    answer = gateway.ask("POST", "/v2/models/echo/infer", {"id": name, **request([1.0, 2.0])}, headers)
    assert answer.status == 200
    return {"id": name, "label": label}


def test_a_weight_that_is_applied_is_served(begin: Begin, look: Look) -> None:
    gateway = begin(route=ROUTE)
    page = model_page(look, gateway)

    page.get_by_label("weight of version 1", exact=True).fill("0")
    page.get_by_label("weight of version 2", exact=True).fill("100")
    page.get_by_label("Reason", exact=True).fill("all of it")
    page.get_by_role("button", name="Apply").click()

    shown(page, "Applied, now at revision 2")
    eventually(lambda: served(gateway) == "2", SERVED_SECONDS, "version 2 answers")
    shown(page.get_by_label("history").first, "all of it")


def test_a_slider_moves_by_keyboard_and_takes_its_number_along(begin: Begin, look: Look) -> None:
    page = model_page(look, begin(route=ROUTE))

    page.get_by_label("weight of version 2, slider").focus()
    page.keyboard.press("ArrowRight")

    assert page.get_by_label("weight of version 2", exact=True).input_value() == "1"


def test_what_was_typed_survives_the_change_of_somebody_else(begin: Begin, look: Look) -> None:
    gateway = begin(route=ROUTE)
    page = model_page(look, gateway)
    page.get_by_label("weight of version 2", exact=True).fill("30")

    assert gateway.set_weights("echo", {"1": 60, "2": 40}).status == 200

    shown(page, "Somebody changed the route to revision 2: 1=60 2=40")
    assert page.get_by_label("weight of version 2", exact=True).input_value() == "30"
    page.get_by_role("button", name="Apply").click()
    shown(page, "Not applied")
    page.get_by_role("button", name="Keep mine").click()
    page.get_by_role("button", name="Apply").click()
    shown(page, "Applied, now at revision 3")
    assert gateway.ask_admin("GET", "/api/v1/models/echo/route").json()["split"] == {"1": 100, "2": 30}


def test_a_rollout_that_is_aborted_is_seen_live_and_its_revision_can_be_restored(begin: Begin, look: Look) -> None:
    plan = "rollout: {steps: [{weight: 50, for: 60s}]}"
    gateway = begin(route=f"{ROUTE}\n{plan}")
    page = model_page(look, gateway)
    panel = page.get_by_label("rollout", exact=True)
    panel.get_by_label("Candidate version").fill("2")
    panel.get_by_role("button", name="Start").click()
    page.get_by_role("button", name="Confirm").click()
    shown(panel, "step 1 of 1")

    answer = gateway.ask_admin("POST", "/api/v1/models/echo/rollouts/current/abort", {"reason": HOSTILE}, if_match="*")

    assert answer.status == 200
    shown(panel, "aborted")
    shown(panel, "onerror=")
    page.get_by_role("button", name="restore revision 1", exact=True).click()
    page.get_by_role("button", name="Confirm").click()
    shown(page, "Revision 1 is back")
    assert page.title() == "canary-gateway"
    assert page.locator("img").count() == 0


def test_of_several_candidates_the_one_that_is_chosen_is_promoted(begin: Begin, look: Look, tmp_path: Path) -> None:
    models = repository(tmp_path / "several", (1, 2, 3))
    gateway = begin(models=models, route=f"{ROUTE}\nrollout: {{steps: [{{weight: 20, for: 60s}}]}}")
    page = model_page(look, gateway)
    panel = page.get_by_label("rollout", exact=True)
    panel.get_by_label("Candidate version").fill("2, 3")
    panel.get_by_role("button", name="Start").click()
    page.get_by_role("button", name="Confirm").click()
    shown(panel, "Version 2, 3 against 1")
    shown(panel, "step 1 of 1")

    panel.get_by_label("Promote version").select_option("3")
    panel.get_by_role("button", name="promote").click()
    page.get_by_role("button", name="Confirm").click()

    shown(panel, "Version 3 against 1: bake")
    shown(panel, "Version 2 passed over: version 3 was promoted")


def test_the_quality_of_a_rule_with_few_labels_is_grey_and_said_to_be(begin: Begin, look: Look) -> None:
    rule = 'rules: [{when: {"header:x-tenant": [acme]}, split: {"2": 100}}]'
    gateway = begin(route=f"{ROUTE}\n{rule}")
    feedback = [labelled(gateway, f"s-{n}", 1 if n % 4 else 7) for n in range(ENOUGH_LABELS)]
    feedback += [labelled(gateway, f"r-{n}", 2, {"x-tenant": "acme"}) for n in range(5)]
    assert gateway.ask("POST", "/v2/models/echo/feedback", {"feedback": feedback}).status == 202

    page = model_page(look, gateway)
    panel = page.get_by_label("quality", exact=True)
    panel.get_by_role("row", name=re.compile("rule-1")).wait_for()

    rows = [row.inner_text().split("\t") for row in panel.get_by_role("row").all()]
    assert [row[:5] for row in rows[1:]] == [
        ["1", "all", "100", "75 %", "100 %"],
        ["1", "split", "100", "75 %", "–"],
        ["2", "all", "5", "100 % (too few labels)", "100 %"],
        ["2", "rule-1", "5", "100 % (too few labels)", "–"],
    ]
    colours = {text: panel.get_by_text(text, exact=True).first.evaluate("e => getComputedStyle(e).color")
               for text in ("75 %", "100 % (too few labels)")}  # fmt: skip
    assert len(set(colours.values())) == 2
    page.get_by_label("Labels of").select_option("the last five minutes")
    assert panel.get_by_role("row").nth(1).inner_text().split("\t")[:5] == ["1", "all", "100", "75 %", "–"]
    shown(panel, f"Grey figures are of fewer than {ENOUGH_LABELS} labels")


def test_hostile_reasons_are_text(begin: Begin, look: Look) -> None:
    gateway = begin(route=ROUTE)
    body = {"weights": {"1": 1, "2": 1}, "reason": HOSTILE}
    gateway.ask_admin("PATCH", "/api/v1/models/echo/route/weights", body, if_match="*", x_gateway_actor=HOSTILE[:60])

    page = model_page(look, gateway)

    shown(page.get_by_label("history").first, "onerror=")
    assert page.title() == "canary-gateway"
    assert page.locator("img").count() == 0


def test_explain_says_which_version_a_user_gets(begin: Begin, look: Look) -> None:
    page = model_page(look, begin(route=f'{ROUTE}\nassign: {{by: "header:x-user-id"}}'))

    page.get_by_label("User", exact=True).fill("user-5")
    page.get_by_role("button", name="Explain").click()

    shown(page, r"Version 1\.")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_scrolls_sideways_at_390_pixels(begin: Begin, look: Look, scheme: str) -> None:
    page = model_page(look, begin(route=ROUTE), viewport={"width": 390, "height": 844}, color_scheme=scheme)

    for name in ("", "#/fleet", "#/models/echo"):
        page.goto(page.url.split("#", maxsplit=1)[0] + name)
        page.locator("table").first.wait_for()
        assert page.locator("html").evaluate("e => e.scrollWidth") <= 390


def test_a_viewer_logs_in_sees_and_cannot_change(begin: Begin, look: Look, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.yaml"
    digest = hashlib.sha256(b"open sesame").hexdigest()
    tokens.write_text(f"tokens: [{{name: vic, sha256: {digest}, role: viewer}}]\n")
    page = look(begin(route=ROUTE, flags=("--admin-token-file", str(tokens))).admin)
    page.get_by_label("Token").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    shown(page, "this token is not known here")

    page.get_by_label("Token").fill("open sesame")
    page.get_by_role("button", name="Log in").click()

    shown(page, r"vic \(viewer\)")
    assert "sesame" not in page.url
    page.get_by_role("link", name="echo").click()
    assert page.get_by_role("button", name="Apply").is_disabled()
    page.get_by_role("button", name="Log out").click()
    page.get_by_label("Token").wait_for()


def test_a_gateway_stops_at_once_although_a_console_is_open(begin: Begin, look: Look) -> None:
    gateway = begin(route=ROUTE)
    page = model_page(look, gateway, gateway_ends=True)
    shown(page.get_by_role("status").first, "live")

    assert gateway.stop(within=10) == 0


def test_weights_that_labels_move_say_so(begin: Begin, look: Look) -> None:
    gateway = begin(route='split: {"1": 50, "2": 50}\noptimize: {by: reward, floor: 10%}')

    shown(model_page(look, gateway), "Labels move these weights by reward every 1m: at least 10% each, at most 10%")
