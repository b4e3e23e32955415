"""Whoever has the README finds out why a canary was taken back and undoes a wrong weight, by commands or clicks."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.browser import incident
from tests.browser.test_console import shown
from tests.flows.conftest import close_all
from tests.flows.gateway_process import ROOT, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.browser.test_console import Look
    from tests.flows.gateway_process import Gateway

TITLE: Final = "Find out why, and undo"
WHY: Final = r"errors: E \S+ of all guards has reached 100.*canary \d+ error in \d+ requests, baseline 0 error"
UNDER_A_MINUTE: Final = 60.0
SERVED_SECONDS: Final = 2.0


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The gateway whose canary was taken back."""
    gateway = incident.prepared(tmp_path_factory.mktemp("night"))
    try:
        incident.happened(gateway)
        yield gateway
    finally:
        close_all([gateway])


@pytest.fixture
def wrong(night: Gateway) -> Gateway:
    """The same with the wrong weight on top, whatever a test before this one has undone."""
    assert night.set_weights(incident.MODEL, incident.WRONG).status == 200
    eventually(lambda: incident.served(night) == "3", incident.SECONDS, "callers get the wrong version")
    return night


def section() -> str:
    found = re.search(rf"^## {TITLE}\n(.*?)^## ", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


def typed(line: str, gateway: Gateway) -> str:
    """Type *line* into a terminal whose path has the commands, as the README says, and return what is on its screen."""
    inherited = {name: text for name, text in os.environ.items() if not name.startswith("GATEWAY_")}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    ours, terminal = pty.openpty()
    try:
        process = subprocess.Popen(
            ["bash", "-c", line], cwd=ROOT, stdin=terminal, stdout=terminal, stderr=terminal,
            env={**inherited, "PATH": path, "PYTHONPATH": str(ROOT), "GATEWAY_URL": gateway.admin},
        )  # fmt: skip
        os.close(terminal)
        screen = b""
        while chunk := _read(ours):
            screen += chunk
        assert process.wait(10) == 0, screen
    finally:
        os.close(ours)
    return screen.decode().replace("\r\n", "\n")


def _read(terminal: int) -> bytes:
    """Return what is there; nothing once everybody left the terminal, which Linux tells by an error."""
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""


def test_the_commands_of_the_readme_say_why_and_undo(wrong: Gateway) -> None:
    listed, history, restore = re.findall(r"^\$ (.+)$", section(), re.MULTILINE)
    began = time.monotonic()

    why = typed(listed, wrong)
    lines = typed(history, wrong).splitlines()

    assert re.search(rf"rolled_back.*{WHY}", why)
    assert any(re.search(rf"gateway +rollout +1=100 2=0 +{WHY}", line) for line in lines)
    slip = next(number for number, line in enumerate(lines) if "3=95" in line)
    right = lines[slip + 1].split()[0]
    said = typed(re.sub(r"(restore \S+) \d+", rf"\1 {right}", restore), wrong)
    assert re.search(r"breast-cancer is restored, now at revision \d+: 1=100 2=0", said)
    eventually(lambda: incident.served(wrong) == "1", SERVED_SECONDS, "callers get version 1 again")
    assert time.monotonic() - began < UNDER_A_MINUTE
    assert incident.told(wrong, "history")[0]["reason"] == "nobody wanted version 3"


@pytest.mark.parametrize("given", [{}, {"viewport": {"width": 390, "height": 844}}], ids=["desk", "phone"])
def test_the_console_says_why_and_undoes_as_the_readme_tells(wrong: Gateway, look: Look, given: Any) -> None:
    assert all(f"*{name}*" in section() for name in ("Rollout", "Because", "History", "Restore"))
    revision = incident.told(wrong, "history")[0]["revision"]
    began = time.monotonic()
    page = look(wrong.admin, **given)

    page.get_by_role("link", name=incident.MODEL, exact=True).click()

    rollout = page.get_by_label("rollout", exact=True)
    shown(rollout, "rolled_back")
    shown(rollout, f"Because: {WHY}")
    history = page.get_by_label("history", exact=True).first
    shown(history, WHY)
    slip = history.get_by_role("row").filter(has_text=f"{revision}").filter(has_text="3=95").first
    right = slip.locator("xpath=following-sibling::tr[1]")
    assert "1=100 2=0" in right.inner_text()
    right.get_by_role("button", name="Restore").click()
    page.get_by_label("reason", exact=True).fill("nobody wanted version 3")
    page.get_by_role("button", name="Confirm").click()
    shown(page, "is back")
    eventually(lambda: incident.served(wrong) == "1", SERVED_SECONDS, "callers get version 1 again")
    assert time.monotonic() - began < UNDER_A_MINUTE
    assert incident.told(wrong, "route")["split"] == incident.RIGHT
