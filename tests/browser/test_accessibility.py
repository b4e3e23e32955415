"""The pages of the console as axe-core reads them: nothing serious for those who see less, or use no mouse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.test_console import ROUTE, model_page

if TYPE_CHECKING:
    from tests.browser.test_console import Begin, Look

SERIOUS = {"serious", "critical"}
PHONE = {"width": 390, "height": 844}


def findings(page: Any) -> list[str]:
    """Return what axe-core finds on the page as it is now, where it is serious or worse."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="it is in the extra `browser`")
    found = axe.Axe().run(page).response["violations"]
    return [
        f"{each['id']}: {each['help']}: {node['html']}"
        for each in found
        if each["impact"] in SERIOUS
        for node in each["nodes"]
    ]


@pytest.mark.parametrize("given", [{}, {"color_scheme": "dark"}, {"viewport": PHONE}], ids=["light", "dark", "phone"])
def test_axe_finds_nothing_serious_on_any_page(begin: Begin, look: Look, given: dict[str, Any]) -> None:
    gateway = begin(route=f"{ROUTE}\nrollout: {{steps: [{{weight: 50, for: 60s}}]}}")
    gateway.ask_admin("POST", "/api/v1/models/echo/rollouts", {"candidate": "2"}, if_match="*")
    page = model_page(look, gateway, **given)
    home = page.url.split("#", maxsplit=1)[0]

    found = {"model": findings(page)}
    for name in ("", "#/fleet"):
        page.goto(home + name)
        page.locator("table").first.wait_for()
        found[name] = findings(page)

    assert found == {"model": [], "": [], "#/fleet": []}


def test_control_axe_finds_a_button_without_a_name(begin: Begin, look: Look) -> None:
    page = model_page(look, begin(route=ROUTE))

    page.evaluate("document.querySelector('main').append(document.createElement('button'))")

    assert any(text.startswith("button-name") for text in findings(page))
