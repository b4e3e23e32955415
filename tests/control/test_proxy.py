"""Who is at the door when a proxy says so."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import pytest
from starlette.datastructures import Headers

from gateway.control.auth import Role
from gateway.control.proxy import ProxyDoor, read_secrets
from gateway.control.token_file import TokenFile
from gateway.core.errors import Forbidden, InvalidSettings, TooManyAttempts, Unauthenticated

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "0123456789abcdef"
FILE = f"""
tokens: [{{name: ci, sha256: {hashlib.sha256(b"s3cret").hexdigest()}, role: admin}}]
groups:
  - {{group: ml-ops, role: operator, models: ["fraud*"]}}
  - {{group: everybody, role: viewer}}
  - {{group: boss, role: admin}}
"""
ANN = {"x-forwarded-user": "ann@example.org", "x-forwarded-groups": "everybody,ml-ops"}
PROXY = {"x-gateway-proxy-secret": SECRET}


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text(SECRET + "\n", encoding="ascii")
    return path


@pytest.fixture
def door(tmp_path: Path, secret: Path) -> ProxyDoor:
    (tmp_path / "tokens.yaml").write_text(FILE, encoding="utf-8")
    return ProxyDoor(TokenFile(tmp_path / "tokens.yaml"), secret)


def test_with_the_secret_the_proxy_says_who_somebody_is(door: ProxyDoor) -> None:
    who = door.identify("10.0.0.1", PROXY | ANN)

    assert (who.name, who.address) == ("ann@example.org", "10.0.0.1")


def test_the_first_group_of_the_file_that_somebody_is_in_decides(door: ProxyDoor) -> None:
    who = door.identify("10.0.0.1", PROXY | ANN)

    assert (who.role, who.models) == (Role.OPERATOR, ("fraud*",))


def test_blanks_around_a_group_do_not_count(door: ProxyDoor) -> None:
    assert door.identify("10.0.0.1", PROXY | ANN | {"x-forwarded-groups": "staff , boss"}).role is Role.ADMIN


@pytest.mark.parametrize("groups", ["", "boss2", "BOSS", "bos"])
def test_who_is_in_no_listed_group_may_nothing(door: ProxyDoor, groups: str) -> None:
    with pytest.raises(Forbidden, match="no group of"):
        door.identify("10.0.0.1", PROXY | ANN | {"x-forwarded-groups": groups})


@pytest.mark.parametrize("shown", ["", "wrong", SECRET + "0", SECRET[:-1]])
def test_without_the_secret_nobody_is_believed(door: ProxyDoor, shown: str) -> None:
    with pytest.raises(Unauthenticated):
        door.identify("127.0.0.1", ANN | {"x-gateway-proxy-secret": shown})
    with pytest.raises(Unauthenticated, match="only beside the secret"):
        door.identify("127.0.0.1", ANN)


def test_a_wrong_secret_is_not_saved_by_a_token(door: ProxyDoor) -> None:
    with pytest.raises(Unauthenticated):
        door.identify("10.0.0.1", {"x-gateway-proxy-secret": "wrong", "authorization": "Bearer s3cret"})


def test_a_token_alone_still_lets_in_and_a_claim_beside_it_counts_for_nothing(door: ProxyDoor) -> None:
    assert door.identify("10.0.0.1", {"authorization": "Bearer s3cret"}).name == "ci"
    assert door.identify("10.0.0.1", {"authorization": "Bearer s3cret"} | ANN).name == "ci"


@pytest.mark.parametrize("user", [None, "", " ", "a" * 65, "änn", "a\x01"])
def test_a_proxy_that_names_nobody_lets_nobody_in(door: ProxyDoor, user: str | None) -> None:
    headers = PROXY | {"x-forwarded-groups": "boss"} | ({} if user is None else {"x-forwarded-user": user})

    with pytest.raises(Unauthenticated, match="names nobody"):
        door.identify("10.0.0.1", headers)


@pytest.mark.parametrize("name", ["x-forwarded-user", "x-forwarded-groups", "x-gateway-proxy-secret"])
def test_a_header_that_a_caller_put_beside_the_proxys_is_refused(door: ProxyDoor, name: str) -> None:
    once = PROXY | ANN
    headers = Headers(raw=[(k.encode(), v.encode()) for k, v in [*once.items(), (name, once[name])]])

    with pytest.raises(Unauthenticated, match="twice"):
        door.identify("10.0.0.1", headers)


@pytest.mark.parametrize(
    ("said", "address"),
    [
        ({"x-forwarded-for": "6.6.6.6, 192.0.2.7"}, "192.0.2.7"),
        ({"x-forwarded-for": "<b>"}, "10.0.0.1"),
        ({}, "10.0.0.1"),
    ],
)
def test_the_audit_knows_whom_the_proxy_was_asked_by(door: ProxyDoor, said: dict[str, str], address: str) -> None:
    assert door.identify("10.0.0.1", PROXY | ANN | said).actor.address == address


def test_who_guesses_the_secret_is_shut_out(door: ProxyDoor) -> None:
    for number in range(10):
        with pytest.raises(Unauthenticated):
            door.identify("10.0.0.1", ANN | {"x-gateway-proxy-secret": f"guess-{number}"})

    with pytest.raises(TooManyAttempts):
        door.identify("10.0.0.1", PROXY | ANN)


def test_while_the_secret_is_changed_both_are_good_and_a_broken_file_changes_nothing(
    door: ProxyDoor, secret: Path, caplog: pytest.LogCaptureFixture
) -> None:
    new = {"x-gateway-proxy-secret": "fedcba9876543210"}
    secret.write_text(f"fedcba9876543210\n{SECRET}\n", encoding="ascii")
    os.utime(secret, ns=(1, 1))
    both = [door.identify("10.0.0.1", shown | ANN).name for shown in (PROXY, new)]
    secret.write_text("short", encoding="ascii")
    os.utime(secret, ns=(2, 2))

    assert both == ["ann@example.org"] * 2
    assert door.identify("10.0.0.1", new | ANN).name == "ann@example.org"
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_a_secret_that_is_gone_is_still_the_one_read_before(door: ProxyDoor, secret: Path) -> None:
    secret.unlink()

    assert door.identify("10.0.0.1", PROXY | ANN).name == "ann@example.org"


@pytest.mark.parametrize("content", [b"", b"\n\n", b"short", b"x" * 15, b"a" * 16 + b"\n" + b"b" * 3, b"\xff" * 20])
def test_a_secret_that_could_be_guessed_or_sent_by_nobody_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "s").write_bytes(content)

    with pytest.raises(InvalidSettings):
        read_secrets(tmp_path / "s")


def test_a_secret_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="nowhere"):
        read_secrets(tmp_path / "nowhere")
