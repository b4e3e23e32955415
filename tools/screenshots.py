"""Take the pictures of the console that the README shows, from a gateway that serves the shipped models.

    python -m tools.screenshots

Needs the extras ``browser`` and ``convert``, and Debian's chromium. Starts a gateway of its own on free ports and
ends it.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
IMAGES: Final = ROOT / "docs" / "images"
SIZE: Final = {"width": 1100, "height": 900}
MODEL: Final = "breast-cancer"
INPUT: Final = "input"
REQUESTS: Final = 1_500
PLAN: Final = {"candidate": "2", "steps": [{"weight": 5, "for": "60s"}, {"weight": 50, "for": "60s"}]}


def started(state: str) -> tuple[subprocess.Popen[str], str, str]:
    """Return a gateway that is ready, and the addresses of its inference and admin ports."""
    command = [sys.executable, "-m", "gateway", "serve", "--port", "0", "--grpc-port", "0", "--admin-port", "0"]
    process = subprocess.Popen(
        [*command, "--workers", "1", "--state-dir", state], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    banner = ""
    for line in process.stdout or ():
        banner += line
        if "stop with" in line:
            break
    found = re.search(r"inference +(\S+)\n +admin +(\S+)\n", banner)
    if found is None:
        raise SystemExit(f"the gateway did not start; it wrote: {banner or 'nothing'}")
    return process, found[1], found[2]


def asked(address: str, body: object, method: str = "POST") -> None:
    """Send JSON and read the answer."""
    headers = {"content-type": "application/json", "if-match": "*"}
    request = urllib.request.Request(address, json.dumps(body).encode(), headers, method=method)  # noqa: S310 - our own gateway
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        answer.read()


def busy(inference: str, admin: str) -> None:
    """Start a rollout and send traffic through it, so that there is something to see."""
    from sklearn.datasets import load_breast_cancer

    asked(f"{admin}/api/v1/models/{MODEL}/rollouts", PLAN)
    rows = load_breast_cancer().data.astype("float32")
    for place in range(REQUESTS):
        row = rows[place % len(rows)].tolist()
        tensor = {"name": INPUT, "shape": [1, len(row)], "datatype": "FP32", "data": row}
        asked(f"{inference}/v2/models/{MODEL}/infer", {"inputs": [tensor]})


def taken(browser: Any, admin: str) -> None:
    """Write the pictures: all models, and one model."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    page = browser.new_context(viewport=SIZE, color_scheme="light").new_page()
    page.goto(admin)
    page.get_by_role("link", name=MODEL).wait_for()
    time.sleep(2.5)  # two events of the stream, so that rates are drawn
    page.screenshot(path=IMAGES / "console-models.png")
    page.get_by_role("link", name=MODEL).click()
    page.get_by_label("weight of version 2", exact=True).wait_for()
    time.sleep(2.5)
    page.evaluate("scrollTo(0, 0)")
    page.screenshot(path=IMAGES / "console-model.png")


def main() -> int:
    """Take them all."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    if chromium is None:
        print("there is no chromium on the path; `make programs` installs it where it may", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as state, sync_playwright() as playwright:
        process, inference, admin = started(state)
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        try:
            busy(inference, admin)
            taken(browser, admin)
        finally:
            browser.close()
            process.terminate()
            process.wait(60)
    return 0


if __name__ == "__main__":
    sys.exit(main())
