"""What a token file may say: who, until when, for which models."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from gateway.control.auth import Principal, Role
from gateway.control.token_file import TokenFile, read_access
from gateway.core.errors import Forbidden, InvalidSettings, Unauthenticated

if TYPE_CHECKING:
    from pathlib import Path

DIGEST = hashlib.sha256(b"s3cret").hexdigest()
BEARER = {"authorization": "Bearer s3cret"}
NOON = 1_800_000_000.0
"""2027-01-15, 08:00 UTC."""


def write(path: Path, more: str = "", role: str = "operator") -> Path:
    path.write_text(f"tokens: [{{name: ci, sha256: {DIGEST}, role: {role}{more}}}]", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("expires", "ended_at"),
    [
        ("2027-01-14", 1_799_971_200.0),
        ("2027-01-15T08:00:00Z", NOON),
        ('"2027-01-15T10:00:00+02:00"', NOON),
    ],
)
def test_a_token_is_good_up_to_its_end_and_no_longer(tmp_path: Path, expires: str, ended_at: float) -> None:
    now = ended_at - 1
    door = TokenFile(write(tmp_path / "t.yaml", f", expires: {expires}"), now=lambda: now)
    who = door.identify("10.0.0.1", BEARER)

    now = ended_at
    with pytest.raises(Unauthenticated) as told:
        door.identify("10.0.0.1", BEARER)

    assert who.name == "ci"
    assert "expired at 2027-01-15" in str(told.value)


def test_who_shows_an_expired_token_is_not_shut_out(tmp_path: Path) -> None:
    door = TokenFile(write(tmp_path / "t.yaml", ", expires: 2020-01-01"))
    for _ in range(30):
        with pytest.raises(Unauthenticated):
            door.identify("10.0.0.1", BEARER)


@pytest.mark.parametrize(
    "expires", ["tomorrow", "2027-02-30", "2027-01-15T08:00:00", "1800000000", "[]", "9999-12-31", "null", "''"]
)
def test_an_end_that_two_readers_could_take_for_two_is_refused(tmp_path: Path, expires: str) -> None:
    with pytest.raises(InvalidSettings, match=r"entry 1: expires is a date"):
        read_access(write(tmp_path / "t.yaml", f", expires: {expires}"))


@pytest.mark.parametrize(
    ("models", "reached", "foreign"),
    [
        ('["fraud*"]', ["fraud", "fraud-eu"], ["frau", "churn", "Fraud"]),
        ('["fraud", "churn-*"]', ["fraud", "churn-1", "churn-"], ["fraud-eu", "churn"]),
        ('["*"]', ["fraud", "churn"], []),
    ],
)
def test_a_token_reaches_the_models_it_names_and_no_others(
    tmp_path: Path, models: str, reached: list[str], foreign: list[str]
) -> None:
    who = TokenFile(write(tmp_path / "t.yaml", f", models: {models}")).identify("10.0.0.1", BEARER)

    for model in reached:
        who.check_model(model)
    for model in foreign:
        with pytest.raises(Forbidden):
            who.check_model(model)


@pytest.mark.parametrize("models", ["[]", "fraud", '["*fraud"]', '["a*b"]', '[""]', '["../x"]', '["fraud**"]', "null"])
def test_models_that_mean_nothing_are_refused(tmp_path: Path, models: str) -> None:
    with pytest.raises(InvalidSettings, match=r"entry 1: models is a list"):
        read_access(write(tmp_path / "t.yaml", f", models: {models}"))


def test_somebody_is_known_with_the_address_of_the_call(tmp_path: Path) -> None:
    door = TokenFile(write(tmp_path / "t.yaml"))

    assert door.identify("10.0.0.1", BEARER) == Principal("ci", Role.OPERATOR, ("*",), "10.0.0.1")
    assert door.identify(None, BEARER).actor.address == ""


@pytest.mark.parametrize(
    "content",
    [
        "groups: [{group: a}]",
        "groups: [{group: a, role: king}]",
        "groups: [{group: a, role: viewer, sha256: x}]",
        "groups: {a: viewer}",
        "groups: [{group: a, role: viewer}]\nusers: []",
    ],
)
def test_a_bad_list_of_groups_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "t.yaml").write_text(content, encoding="utf-8")

    with pytest.raises(InvalidSettings):
        read_access(tmp_path / "t.yaml")
