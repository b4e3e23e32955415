"""The page of the APIs in a browser: what an operation takes, an example that runs when pasted, and no mouse needed."""

from __future__ import annotations

import shlex
import subprocess
from typing import TYPE_CHECKING

from tests.browser.test_accessibility import findings
from tests.browser.test_console import ROUTE

if TYPE_CHECKING:
    from tests.browser.test_console import Begin, Look


def test_the_page_shows_operations_and_their_examples_work(begin: Begin, look: Look) -> None:
    gateway = begin(route=ROUTE)
    page = look(f"{gateway.admin}/docs")

    page.locator("#admin-show_route-get > summary").focus()
    page.keyboard.press("Enter")
    operation = page.locator("details.operation[open]")
    operation.locator("pre.curl").wait_for()
    example = operation.locator("pre.curl").inner_text().replace("breast-cancer", "echo")
    parameters = operation.locator("table").first.inner_text()

    assert "model" in parameters
    assert (
        '"split"' in subprocess.run(shlex.split(example), capture_output=True, text=True, timeout=20, check=True).stdout
    )
    operation.get_by_role("button", name="Copy").click()
    page.locator("#state", has_text="cop").wait_for()
    page.locator("#inference-infer-post > summary").click()
    page.locator("details.operation[open] pre.curl").nth(1).wait_for()
    assert "/v2/models/breast-cancer/infer" in page.locator("pre.curl").nth(1).inner_text()
    assert findings(page) == []
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_without_javascript_every_operation_is_listed(begin: Begin, look: Look) -> None:
    page = look(f"{begin(route=ROUTE).admin}/docs", java_script_enabled=False)

    assert page.get_by_text("/v2/models/{model}/infer").first.is_visible()
    assert page.get_by_text("/api/v1/models/{model}/route/weights").first.is_visible()
