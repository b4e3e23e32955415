"""``gateway doctor``: what it finds, and that it says what to do."""

from __future__ import annotations

import fcntl
import hashlib
import json
import socket
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Terminal
    from tests.control.fakes import House


@pytest.fixture
def flags(tmp_path: Path) -> list[str]:
    """A machine on which everything is well."""
    (tmp_path / "models/fraud/1").mkdir(parents=True)
    (tmp_path / "models/fraud/1/model.onnx").write_bytes(b"x")
    (tmp_path / "routes").mkdir()
    (tmp_path / "routes/fraud.yaml").write_text("model: fraud\nsplit: {1: 1}\n", encoding="utf-8")
    return [
        "--models", str(tmp_path / "models"), "--routes", str(tmp_path / "routes"),
        "--state-dir", str(tmp_path / "state"), "--port", "0", "--admin-port", "0", "--grpc-port", "0",
    ]  # fmt: skip


def verdicts(terminal: Terminal, flags: list[str], *more: str) -> tuple[int, dict[str, tuple[str, str]]]:
    result = terminal.run("doctor", "--json", *flags, *more)
    return result.code, {f["check"]: (f["verdict"], f["found"]) for f in json.loads(result.out)}


def test_a_machine_on_which_all_is_well_is_ok(terminal: Terminal, flags: list[str]) -> None:
    code, found = verdicts(terminal, flags)

    assert (code, {verdict for verdict, _ in found.values()}) == (0, {"ok"})


def test_each_check_is_a_line_for_people(terminal: Terminal, flags: list[str]) -> None:
    lines = terminal.run("doctor", *flags).out.splitlines()

    assert [line.split()[0] for line in lines] == ["ok"] * len(lines)


def test_a_models_directory_that_is_not_there_fails(terminal: Terminal, flags: list[str], tmp_path: Path) -> None:
    code, found = verdicts(terminal, flags, "--models", str(tmp_path / "nowhere"))

    assert (code, found["models"][0]) == (1, "fail")
    assert "--models" in found["models"][1]


def test_a_broken_route_file_fails_with_its_name(terminal: Terminal, flags: list[str], tmp_path: Path) -> None:
    (tmp_path / "routes/b.yaml").write_text("model: [", encoding="utf-8")

    code, found = verdicts(terminal, flags)

    assert (code, found["route files"][0], "b.yaml" in found["route files"][1]) == (1, "fail", True)


def test_a_state_directory_in_use_is_told(terminal: Terminal, flags: list[str], tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    with (tmp_path / "state/lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)

        _, found = verdicts(terminal, flags)

    assert "in use" in found["state directory"][1]


def test_a_port_that_somebody_else_has_fails(terminal: Terminal, flags: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])

        code, found = verdicts(terminal, flags, "--port", port, "--url", "http://127.0.0.1:1")

    assert (code, found["inference port"][0]) == (1, "fail")


def test_a_port_beyond_this_machine_without_tokens_fails(terminal: Terminal, flags: list[str]) -> None:
    _, found = verdicts(terminal, flags, "--admin-host", "0.0.0.0")

    assert found["admin tokens"][0] == "fail"
    assert "--admin-token-file" in found["admin tokens"][1]


def test_tokens_are_counted_and_not_shown(terminal: Terminal, flags: list[str], tmp_path: Path) -> None:
    digest = hashlib.sha256(b"x").hexdigest()
    (tmp_path / "tokens.yaml").write_text(f"tokens: [{{name: ci, sha256: {digest}, role: admin}}]", encoding="utf-8")

    result = terminal.run("doctor", *flags, "--admin-token-file", str(tmp_path / "tokens.yaml"))

    assert "1 tokens" in result.out
    assert digest not in result.out


def test_a_password_in_the_address_of_the_store_is_not_shown(terminal: Terminal, flags: list[str]) -> None:
    result = terminal.run("doctor", *flags, "--redis-url", "redis://me:hunter2@127.0.0.1:1")

    assert "hunter2" not in result.out + result.err


def test_a_gateway_whose_store_is_away_fails(terminal: Terminal, flags: list[str], house: House) -> None:
    house.store.stop()

    code, found = verdicts(terminal, flags)

    assert (code, found["gateway"][0]) == (1, "fail")


def test_no_gateway_is_a_warning_only(terminal: Terminal, flags: list[str]) -> None:
    code, found = verdicts(terminal, flags, "--url", "http://127.0.0.1:1")

    assert (code, found["gateway"][0]) == (0, "warn")
