"""Who is told what: the file is read whole or refused by the member, and no secret is ever shown."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from gateway.core.errors import InvalidSettings
from gateway.core.notification import Kind, Notification
from gateway.notifications.targets import Target, read_targets

if TYPE_CHECKING:
    from pathlib import Path

KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()
OPS = {"name": "ops", "url": "https://hooks.example.com/a?b=c", "secret": {"env": "OPS_SECRET"}}
VARIABLES = {"OPS_SECRET": SECRET, "SLACK": "https://hooks.example.com/services/T0/verysecret", "EMPTY": ""}


def written(directory: Path, *targets: Any) -> Path:
    path = directory / "webhooks.yaml"
    path.write_text(yaml.safe_dump({"targets": list(targets)}))
    return path


def read(directory: Path, *targets: Any) -> tuple[Target, ...]:
    return read_targets(written(directory, *targets), VARIABLES.get)


def news(kind: Kind = Kind.HELD, model: str = "fraud") -> Notification:
    return Notification(kind, model, 1, "ann", "why", {}, {1: 100})


def test_a_target_wants_everything_unless_told(tmp_path: Path) -> None:
    (target,) = read(tmp_path, OPS)

    assert target == Target("ops", "https://hooks.example.com/a?b=c", secrets=(KEY,))
    assert all(target.wants(news(kind)) for kind in Kind)


def test_a_target_wants_the_events_and_the_beginnings_of_names_that_it_lists(tmp_path: Path) -> None:
    (target,) = read(tmp_path, OPS | {"events": ["rollout.held"], "models": ["fraud", "pay-"]})

    assert target.wants(news())
    assert target.wants(news(model="pay-eu"))
    assert not target.wants(news(Kind.PAUSED))
    assert not target.wants(news(model="churn"))


def test_a_secret_is_read_beside_the_file_and_may_be_two(tmp_path: Path) -> None:
    other = bytes(range(1, 33))
    (tmp_path / "key").write_text(f"{SECRET}\n{base64.b64encode(other).decode()}\n")

    (target,) = read(tmp_path, OPS | {"secret": {"file": "key"}})

    assert target.secrets == (KEY, other)


def test_an_address_may_be_a_secret(tmp_path: Path) -> None:
    (target,) = read(tmp_path, {"name": "chat", "url": {"env": "SLACK"}, "format": "slack"})

    assert target.url == VARIABLES["SLACK"]
    assert target.describe()["host"] == "hooks.example.com"


def test_neither_secret_nor_address_is_ever_shown(tmp_path: Path) -> None:
    targets = read(tmp_path, OPS, {"name": "chat", "url": {"env": "SLACK"}, "format": "slack"})

    shown = f"{targets!r} {[target.describe() for target in targets]}"
    assert "verysecret" not in shown
    assert SECRET not in shown
    assert repr(KEY) not in shown


REFUSED: dict[str, tuple[Any, str]] = {
    "no name": ({"url": OPS["url"]}, "name"),
    "a name that is none": (OPS | {"name": "Ops team"}, "name"),
    "another scheme": (OPS | {"url": "ftp://hooks.example.com"}, "url"),
    "a password": (OPS | {"url": "https://me:pw@hooks.example.com"}, "url"),
    "a blank": (OPS | {"url": "https://hooks.example.com/a b"}, "url"),
    "no host": (OPS | {"url": "https:///a"}, "url"),
    "no port": (OPS | {"url": "https://hooks.example.com:99999/"}, "url"),
    "an address in an empty variable": (OPS | {"url": {"env": "EMPTY"}}, "url"),
    "another format": (OPS | {"format": "pigeon"}, "format"),
    "another event": (OPS | {"events": ["rollout.exploded"]}, "events"),
    "events that are no list": (OPS | {"events": "rollout.held"}, "events"),
    "a model that is none": (OPS | {"models": ["../x"]}, "models"),
    "no secret": ({"name": "ops", "url": OPS["url"]}, "secret"),
    "a secret in the file itself": (OPS | {"secret": SECRET}, "secret"),
    "a secret that is too short": (OPS | {"secret": {"env": "SLACK"}}, "secret"),
    "a variable that is not set": (OPS | {"secret": {"env": "NOBODY"}}, "secret"),
    "a file that is not there": (OPS | {"secret": {"file": "nothing"}}, "secret"),
    "two places": (OPS | {"secret": {"file": "a", "env": "b"}}, "secret"),
    "a secret for slack": (OPS | {"format": "slack"}, "secret"),
    "another member": (OPS | {"colour": "red"}, "colour"),
    "no mapping": ("ops", "[0]"),
}


@pytest.mark.parametrize(("target", "culprit"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_used_is_refused_by_its_member_and_shows_no_secret(
    tmp_path: Path, target: Any, culprit: str
) -> None:
    with pytest.raises(InvalidSettings) as refused:
        read(tmp_path, target)

    text = str(refused.value)
    assert "webhooks.yaml" in text
    assert "targets[0]" in text
    assert culprit in text
    assert "verysecret" not in text
    assert ":pw@" not in text


@pytest.mark.parametrize("text", ["", "targets: []", "targets: {}", "hooks: []", "targets: [", "\x00"])
def test_a_file_without_targets_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "webhooks.yaml"
    path.write_text(text)

    with pytest.raises(InvalidSettings, match=r"webhooks\.yaml"):
        read_targets(path, VARIABLES.get)


def test_two_targets_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="written twice"):
        read(tmp_path, OPS, OPS | {"secret": {"env": "OPS_SECRET"}})


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="No such file"):
        read_targets(tmp_path / "gone.yaml", VARIABLES.get)
