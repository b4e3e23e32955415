"""``gateway doctor``: what it finds, and that it says what to do."""

from __future__ import annotations

import fcntl
import hashlib
import json
import resource
import socket
from typing import TYPE_CHECKING

import pytest

from gateway.cli import machine_checks
from gateway.cli.machine_checks import descriptors, memory
from gateway.cli.store_checks import clock
from gateway.settings import Settings
from gateway.store.embedded import EmbeddedServer
from gateway.store.server_binary import find_server
from tests.processes.certificates import Authority

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

    machine = {"open files", "memory"}  # what this machine has is not ours to promise
    assert (code, {verdict for check, (verdict, _) in found.items() if check not in machine}) == (0, {"ok"})
    assert found.keys() > machine


def test_each_check_is_a_line_for_people(terminal: Terminal, flags: list[str]) -> None:
    lines = terminal.run("doctor", *flags).out.splitlines()

    assert lines
    assert {line.split()[0] for line in lines} <= {"ok", "warn"}


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


def test_metrics_for_tokens_only_without_tokens_fail(terminal: Terminal, flags: list[str]) -> None:
    _, found = verdicts(terminal, flags, "--metrics-auth", "true")

    assert found["admin tokens"] == ("fail", "none, and --metrics-auth needs --admin-token-file too")


def test_tokens_are_counted_and_not_shown(terminal: Terminal, flags: list[str], tmp_path: Path) -> None:
    digest = hashlib.sha256(b"x").hexdigest()
    (tmp_path / "tokens.yaml").write_text(f"tokens: [{{name: ci, sha256: {digest}, role: admin}}]", encoding="utf-8")

    result = terminal.run("doctor", *flags, "--admin-token-file", str(tmp_path / "tokens.yaml"))

    assert "1 tokens" in result.out
    assert digest not in result.out


def test_a_password_in_the_address_of_the_store_is_not_shown(terminal: Terminal, flags: list[str]) -> None:
    result = terminal.run("doctor", *flags, "--redis-url", "redis://me:hunter2@127.0.0.1:1")

    assert result.code == 1
    assert "hunter2" not in result.out + result.err


def test_a_gateway_whose_store_is_away_fails(terminal: Terminal, flags: list[str], house: House) -> None:
    house.store.stop()

    code, found = verdicts(terminal, flags)

    assert (code, found["gateway"][0]) == (1, "fail")


def test_no_gateway_is_a_warning_only(terminal: Terminal, flags: list[str]) -> None:
    code, found = verdicts(terminal, flags, "--url", "http://127.0.0.1:1")

    assert (code, found["gateway"][0]) == (0, "warn")


def test_a_store_that_is_named_is_asked_for_an_answer_and_the_time(
    terminal: Terminal, flags: list[str], tmp_path: Path
) -> None:
    server = EmbeddedServer(tmp_path / "store", find_server(None))
    url = server.start()
    try:
        _, found = verdicts(terminal, flags, "--redis-url", url)
    finally:
        server.stop()

    assert (found["store"], found["clock"][0]) == (("ok", "it answers"), "ok")


def test_a_store_that_does_not_answer_fails_and_says_what_that_means(terminal: Terminal, flags: list[str]) -> None:
    code, found = verdicts(terminal, flags, "--redis-url", "redis://127.0.0.1:1")

    assert (code, found["store"][0], "clock" in found) == (1, "fail", False)
    assert "every change of a route refused" in found["store"][1]


@pytest.mark.parametrize(
    ("ahead", "verdict", "words"),
    [(0.0, "ok", ""), (-2.0, "ok", ""), (2.1, "warn", "2.1 s ahead of"), (-60.0, "warn", "60.0 s behind")],
)
def test_a_clock_that_is_off_is_told_with_its_direction(ahead: float, verdict: str, words: str) -> None:
    found = clock(ahead)

    assert (found.verdict, words in found.found) == (verdict, True)


@pytest.mark.parametrize(
    ("limits", "verdict", "words"),
    [
        ((4352, 4352), "ok", "4352 allowed"),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), "ok", "any number"),
        ((1024, 524288), "warn", "`ulimit -n 4352`"),
        ((1024, 2048), "warn", "hard limit (2048)"),
        ((1024, resource.RLIM_INFINITY), "warn", "--limits connections=768"),
    ],
)
def test_too_few_open_files_are_told_with_what_to_do(limits: tuple[int, int], verdict: str, words: str) -> None:
    found = descriptors(Settings(), limits)

    assert (found.verdict, words in found.found) == (verdict, True)


def test_models_that_do_not_fit_into_memory_are_told(tmp_path: Path) -> None:
    (tmp_path / "big/1").mkdir(parents=True)
    with (tmp_path / "big/1/model.onnx").open("wb") as file:
        file.truncate(1 << 30)
    settings = Settings(models=tmp_path, workers=4)
    enough = 80 + 4 * (32 + 1024)

    found = [memory(settings, running=False, available=(enough + more) << 20) for more in (0, -1)]

    assert [each.verdict for each in found] == ["ok", "warn"]
    assert "--workers" in found[1].found
    assert memory(settings, running=True, available=0).verdict == "ok"


def test_a_container_may_have_less_memory_than_its_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_checks, "CGROUP", tmp_path)
    monkeypatch.setattr(machine_checks, "MEMINFO", tmp_path / "meminfo")
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    8000 kB\n", encoding="ascii")
    seen = [machine_checks._available()]
    for most in ("max", "1000000"):
        (tmp_path / "memory.max").write_text(f"{most}\n", encoding="ascii")
        (tmp_path / "memory.current").write_text("400000\n", encoding="ascii")
        seen.append(machine_checks._available())

    assert seen == [8_192_000, 8_192_000, 600_000]


def test_a_setting_that_cannot_be_used_is_a_finding(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_WORKRES", "2")

    code, found = verdicts(terminal, [])

    assert (code, list(found), found["settings"][0]) == (1, ["settings"], "fail")
    assert "did you mean GATEWAY_WORKERS" in found["settings"][1]


def test_a_token_that_ends_soon_is_named(terminal: Terminal, flags: list[str], tmp_path: Path) -> None:
    entries = "".join(
        f"- {{name: {name}, sha256: {hashlib.sha256(name.encode()).hexdigest()}, role: viewer{more}}}\n"
        for name, more in (("old", ", expires: 2020-01-01"), ("young", ", expires: 2999-01-01"), ("ever", ""))
    )
    (tmp_path / "tokens.yaml").write_text(f"tokens:\n{entries}", encoding="utf-8")

    _, found = verdicts(terminal, flags, "--admin-token-file", str(tmp_path / "tokens.yaml"))

    assert found["admin tokens"][0] == "warn"
    assert found["admin tokens"][1].endswith("within 14 days: old")


def test_tokens_that_cross_the_network_as_they_are_are_worth_a_word(
    terminal: Terminal, flags: list[str], tmp_path: Path
) -> None:
    digest = hashlib.sha256(b"x").hexdigest()
    (tmp_path / "tokens.yaml").write_text(f"tokens: [{{name: ci, sha256: {digest}, role: admin}}]", encoding="utf-8")
    cert, key = Authority(tmp_path).issue("server")
    tokens = ("--admin-token-file", str(tmp_path / "tokens.yaml"), "--admin-host", "0.0.0.0")

    _, without = verdicts(terminal, flags, *tokens)
    _, secured = verdicts(terminal, flags, *tokens, "--admin-tls-cert", str(cert), "--admin-tls-key", str(key))
    _, broken = verdicts(terminal, flags, *tokens, "--admin-tls-cert", str(key))

    assert [each["TLS"][0] for each in (without, secured, broken)] == ["warn", "ok", "fail"]
    assert secured["TLS"][1].endswith("admin")


def test_a_proxy_that_is_believed_needs_groups(terminal: Terminal, flags: list[str], tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("0123456789abcdef", encoding="ascii")
    (tmp_path / "tokens.yaml").write_text("groups: [{group: a, role: viewer}]", encoding="utf-8")
    secret = ("--admin-proxy-secret-file", str(tmp_path / "secret"))

    _, alone = verdicts(terminal, flags, *secret)
    _, both = verdicts(terminal, flags, *secret, "--admin-token-file", str(tmp_path / "tokens.yaml"))

    assert alone["admin tokens"][0] == "fail"
    assert (both["admin tokens"][0], "1 groups" in both["admin tokens"][1]) == ("ok", True)
