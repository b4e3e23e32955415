"""A real browser in front of a real gateway; skipped, with the reason, where one of its parts is missing."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.flows.conftest import close_all, prepare, seeded
from tests.flows.gateway_process import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.flows.gateway_process import Gateway

CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
SEEDED_SECONDS = 10.0
"""How long a store that is new may take to have its routes on a busy machine; only waited for, not judged."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test in this directory: each starts a gateway."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker("flow")


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[..., Gateway]]:
    """Start a gateway with versions 1 and 2 of the echo model; ended with the test."""
    started: list[Gateway] = []

    def start(**given: Any) -> Gateway:
        gateway = prepare(tmp_path, workers=1, **given)
        started.append(gateway)
        gateway.start()
        eventually(lambda: seeded(gateway), SEEDED_SECONDS, "every route is in the store and on every worker")
        return gateway

    yield start
    close_all(started)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's chromium, one for all tests of a file; each page has a context of its own."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: it is in the extra `browser`")
    if CHROMIUM is None:
        pytest.skip("there is no chromium on the path: `make programs` installs it where it may")
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield chromium
        chromium.close()


REFUSED_BY_STATUS = "the server responded with a status of"
"""What Chromium writes of every 4xx and 5xx, of which the console shows the reason."""

GONE = "net::ERR_CONNECTION_REFUSED"
"""What it writes of a gateway that ended."""


@pytest.fixture
def look(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open a page of its own; whatever its console says of errors or the policy fails the test.

    A test that ends its gateway beside an open page says so: *gateway_ends*.
    """
    said: list[str] = []
    expected = [REFUSED_BY_STATUS]
    contexts: list[Any] = []

    def open_page(address: str, *, gateway_ends: bool = False, **given: Any) -> Any:
        expected.extend([GONE] if gateway_ends else [])
        contexts.append(browser.new_context(**given))
        page = contexts[-1].new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: said.append(message.text) if message.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [text for text in said if not any(each in text for each in expected)] == []
