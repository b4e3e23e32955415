"""Who is at the door."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import pytest

from gateway.control.auth import WINDOW_SECONDS, LoopbackDoor, Role
from gateway.control.token_file import TokenFile, read_access
from gateway.core.errors import Forbidden, InvalidSettings, TooManyAttempts, Unauthenticated

if TYPE_CHECKING:
    from pathlib import Path

LOCAL = {"host": "127.0.0.1:9090"}


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def write(path: Path, *entries: tuple[str, str, str]) -> Path:
    lines = [f"  - {{name: {name}, sha256: {digest(token)}, role: {role}}}" for name, token, role in entries]
    path.write_text("\n".join(["tokens:", *lines]), encoding="utf-8")
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / "tokens.yaml", ("ci", "s3cret", "operator"), ("grafana", "look", "viewer"))


def bearer(token: str) -> dict[str, str]:
    return {**LOCAL, "authorization": f"Bearer {token}"}


def test_a_token_is_somebody_with_a_role(file: Path) -> None:
    found = TokenFile(file).identify("10.0.0.1", bearer("s3cret"))

    assert (found.name, found.role) == ("ci", Role.OPERATOR)


@pytest.mark.parametrize(
    "given", ["", "Bearer", "Bearer ", "Basic czNjcmV0", "Bearer wrong", "s3cret", "Bearer " + digest("s3cret")]
)
def test_what_is_no_known_token_is_nobody(file: Path, given: str) -> None:
    with pytest.raises(Unauthenticated):
        TokenFile(file).identify("10.0.0.1", {**LOCAL, "authorization": given})


def test_with_tokens_this_machine_is_nobody_special(file: Path) -> None:
    with pytest.raises(Unauthenticated):
        TokenFile(file).identify("127.0.0.1", LOCAL)


def test_a_new_file_is_read_without_a_restart(file: Path) -> None:
    door = TokenFile(file)
    write(file, ("ci", "rotated", "operator"), ("grafana", "look", "viewer"))
    os.utime(file, ns=(1, 1))

    assert door.identify(None, bearer("rotated")).name == "ci"
    with pytest.raises(Unauthenticated):
        door.identify(None, bearer("s3cret"))


@pytest.mark.parametrize("content", ["tokens: [", "", "tokens: []", "[]", "\x00"])
def test_a_broken_new_file_keeps_the_old_tokens_and_is_told_once(
    file: Path, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    door = TokenFile(file)
    file.write_text(content, encoding="utf-8")
    os.utime(file, ns=(1, 1))

    names = [door.identify(None, bearer("s3cret")).name for _ in range(3)]

    assert names == ["ci"] * 3
    assert len([record for record in caplog.records if "stay in force" in record.getMessage()]) == 1


def test_a_file_that_is_gone_keeps_the_old_tokens(file: Path) -> None:
    door = TokenFile(file)
    file.unlink()

    assert door.identify(None, bearer("s3cret")).name == "ci"


@pytest.mark.parametrize(
    "content",
    [
        "tokens: [{name: a, sha256: abc, role: admin}]",
        f"tokens: [{{name: a, sha256: {'0' * 63}a, role: root}}]",
        f"tokens: [{{name: '', sha256: {'0' * 63}a, role: admin}}]",
        f'tokens: [{{name: "a\\nb", sha256: {"0" * 63}a, role: admin}}]',
        f"tokens: [{{name: a, token: secret, sha256: {'0' * 63}a, role: admin}}]",
        f"tokens: [{{name: a, name: b, sha256: {'0' * 63}a, role: admin}}]",
        f"tokens: [{{name: a, sha256: {'0' * 63}a, role: admin}}, {{name: a, sha256: {'0' * 63}b, role: admin}}]",
        f"tokens: [{{name: a, sha256: {'0' * 63}a, role: admin}}, {{name: b, sha256: {'0' * 63}a, role: admin}}]",
        "tokens: admin",
    ],
)
def test_a_file_that_says_anything_else_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "tokens.yaml"
    path.write_text(content, encoding="utf-8")

    with pytest.raises(InvalidSettings) as refused:
        TokenFile(path)

    assert "secret" not in str(refused.value)


def test_a_file_may_be_json_and_write_its_digests_in_capitals(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    path.write_text(f'{{"tokens": [{{"name": "a", "sha256": "{digest("x").upper()}", "role": "ADMIN"}}]}}')

    assert list(read_access(path).tokens) == [digest("x")]


def test_the_eleventh_wrong_token_in_a_minute_is_too_many(file: Path) -> None:
    door = TokenFile(file, clock=Clock())
    for number in range(10):
        with pytest.raises(Unauthenticated):
            door.identify("10.0.0.1", bearer(f"guess-{number}"))

    with pytest.raises(TooManyAttempts):
        door.identify("10.0.0.1", bearer("guess-11"))


def test_who_guesses_is_shut_out_with_the_right_token_too(file: Path) -> None:
    door = TokenFile(file, clock=Clock())
    for number in range(10):
        with pytest.raises(Unauthenticated):
            door.identify("10.0.0.1", bearer(f"guess-{number}"))

    with pytest.raises(TooManyAttempts):
        door.identify("10.0.0.1", bearer("s3cret"))
    assert door.identify("10.0.0.2", bearer("s3cret")).name == "ci"


def test_a_forgotten_job_with_an_old_token_does_not_lock_out_the_operator(file: Path) -> None:
    door = TokenFile(file, clock=Clock())
    for _ in range(10):
        with pytest.raises(Unauthenticated):
            door.identify("10.0.0.1", bearer("old"))

    with pytest.raises(TooManyAttempts):
        door.identify("10.0.0.1", bearer("old"))
    assert door.identify("10.0.0.1", bearer("s3cret")).name == "ci"


def test_after_a_minute_everybody_may_try_again(file: Path) -> None:
    clock = Clock()
    door = TokenFile(file, clock=clock)
    for number in range(10):
        with pytest.raises(Unauthenticated):
            door.identify("10.0.0.1", bearer(f"guess-{number}"))

    clock.now += WINDOW_SECONDS

    assert door.identify("10.0.0.1", bearer("s3cret")).name == "ci"


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", None])
@pytest.mark.parametrize("host", ["127.0.0.1:9090", "localhost", "localhost:9090", "[::1]:9090", "gw.localhost:1"])
def test_without_tokens_everybody_on_this_machine_is_an_admin(address: str | None, host: str) -> None:
    found = LoopbackDoor().identify(address, {"host": host})

    assert (found.name, found.role) == ("local", Role.ADMIN)


@pytest.mark.parametrize("address", ["10.0.0.1", "::ffff:10.0.0.1", "testclient", "", "0.0.0.0"])
def test_without_tokens_nobody_else_is_anybody(address: str) -> None:
    with pytest.raises(Unauthenticated):
        LoopbackDoor().identify(address, LOCAL)


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:9090", "127.0.0.1.evil.example", "localhost.evil", "", "[::"]
)
def test_without_tokens_a_foreign_name_is_refused(host: str) -> None:
    with pytest.raises(Forbidden):
        LoopbackDoor().identify("127.0.0.1", {"host": host})


@pytest.mark.parametrize(
    ("hint", "name"),
    [
        ("ann", "local:ann"),
        ("Ann B.", "local:Ann B."),
        ("", "local"),
        ("x" * 65, "local"),
        ("a\x1bb", "local"),
        ("ä", "local"),
    ],
)
def test_a_local_caller_may_say_a_name(hint: str, name: str) -> None:
    assert LoopbackDoor().identify("::1", {**LOCAL, "x-gateway-actor": hint}).name == name
