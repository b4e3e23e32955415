"""What the README prints under "From fit to production", typed into a shell: from a data set to a promoted version."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.flows.conftest import close_all, prepare
from tests.flows.gateway_process import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.flows.gateway_process import Gateway

for package in ("pandas", "skl2onnx", "skops"):
    pytest.importorskip(package, reason="conversions need the `convert` extra")

PRINTED_ADDRESS = "http://127.0.0.1:8080"
SHELL_SECONDS = 200.0

pytestmark = [
    pytest.mark.timeout(600),  # the converters take long to import on a busy machine
    pytest.mark.skipif(shutil.which("curl") is None, reason="the README asks with curl"),
]


def section(title: str) -> str:
    """Return what the README says under *title*."""
    found = re.search(rf"^## {title}\n(.*?)^## ", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def before_and_after_serving(text: str) -> tuple[str, str]:
    """Return the lines of *text* that are typed into a shell, up to ``gateway serve`` and behind it."""
    before, serve, after = "\n".join(re.findall(r"^\$ (.+)$", text, re.MULTILINE)).partition("gateway serve\n")
    assert serve
    return before, after


@pytest.fixture
def shell(tmp_path: Path) -> Mapping[str, str]:
    """Return the environment of a shell that finds this gateway and this Python by the names that the README gives."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, line in {"python": "", "gateway": "-m gateway "}.items():
        (programs / name).write_text(f'#!/bin/sh\nexec {sys.executable} {line}"$@"\n', "utf-8")
        (programs / name).chmod(0o755)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    return {**inherited, "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    """A gateway over the folder, as ``gateway serve`` there would be, on ports of its own. Not started."""
    folder = tmp_path / "folder"
    (folder / "models").mkdir(parents=True)
    found = prepare(tmp_path, models=folder / "models", routes=folder / "routing_configs", workers=1)
    yield found
    close_all([found])


def typed(lines: str, folder: Path, environment: Mapping[str, str]) -> str:
    """Type *lines* into one bash in *folder* and return what it printed; the first that fails ends it, and the test."""
    process = subprocess.Popen(
        ["bash", "-e", "-c", lines], cwd=folder, env=environment, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    try:
        said, _ = process.communicate(timeout=SHELL_SECONDS)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert process.returncode == 0, said
    return said


def test_the_commands_of_the_readme_take_a_data_set_to_a_promoted_version(
    gateway: Gateway, shell: Mapping[str, str]
) -> None:
    text = section("From fit to production")
    folder = gateway.models.parent
    (script,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    (folder / "fit.py").write_text(script, "utf-8")
    before, after = before_and_after_serving(text)

    typed(before, folder, shell)
    gateway.start()
    address = {**shell, "GATEWAY_URL": gateway.admin}
    said = typed(after.replace(PRINTED_ADDRESS, gateway.inference), folder, address)

    assert said.endswith("wine/1\n└─ wine/2 trained-from\n")
    assert "└─ wine/2 trained-from" in text
    assert told(gateway, "route")["split"] == {"1": 0, "2": 100}
    assert told(gateway, "rollouts/current")["phase"] == "succeeded"
    last, *_, first = told(gateway, "history")
    assert (first["after"]["split"], last["after"]["split"]) == ({"1": 100}, {"1": 0, "2": 100})
    assert "rollout of version 2: a forest" in [each["reason"] for each in told(gateway, "history")]
    assert told(gateway, "lineage")["parents"] == [{"child": "wine/2", "parent": "wine/1", "relation": "trained-from"}]


def told(gateway: Gateway, what: str) -> Any:
    return gateway.ask_admin("GET", f"/api/v1/models/wine/{what}").json()
