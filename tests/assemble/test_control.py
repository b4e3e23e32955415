"""What the control process makes of its settings."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from gateway.assemble.control import targets_of
from gateway.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

GOOD = "targets: [{name: ops, url: 'https://hooks.example.com', secret: {env: OPS_SECRET}}]"


def test_who_is_told_comes_from_the_file_and_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "webhooks.yaml"
    path.write_text(GOOD)
    monkeypatch.setenv("OPS_SECRET", "whsec_" + base64.b64encode(b"k" * 24).decode())

    assert [target.secrets for target in targets_of(Settings(webhooks=path))] == [(b"k" * 24,)]
    assert targets_of(Settings()) == ()


def test_a_file_that_was_broken_since_the_start_keeps_no_control_process_from_living(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "webhooks.yaml"
    path.write_text("targets: [")

    assert targets_of(Settings(webhooks=path)) == ()
    assert "nobody is told of decisions until" in caplog.text
