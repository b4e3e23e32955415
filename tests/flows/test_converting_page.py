"""The example in docs/converting.md does what the page says."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.flows.gateway_process import ROOT

if TYPE_CHECKING:
    from pathlib import Path

for package in ("pandas", "skl2onnx", "skops"):
    pytest.importorskip(package, reason="conversions need the `convert` extra")

CONFINED = r"this kernel could not keep the process that read the file to: .*\n"
"""What is said where a kernel, or root, cannot be confined in every way; that is no fault of the example."""

pytestmark = pytest.mark.timeout(600)  # the converters take long to import on a busy machine


def test_the_example_becomes_a_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "converting.md").read_text(encoding="utf-8")
    script = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)[0]
    own, _, _ = page.partition("## From MLflow")  # behind it a server is asked
    commands = re.findall(r"^\$ gateway (.+)$", own, re.MULTILINE)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))

    lines = [["-c", script], *(["-m", "gateway", *shlex.split(each)] for each in commands)]
    done = [
        subprocess.run([sys.executable, *each], cwd=tmp_path, capture_output=True, text=True, timeout=150, check=False)
        for each in lines
    ]

    assert [(each.returncode, re.sub(CONFINED, "", each.stderr)) for each in done] == [(0, "")] * 3
    assert {path.name for path in (tmp_path / "models" / "wine" / "1").iterdir()} == {"model.onnx", "metadata.yaml"}
