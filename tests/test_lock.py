"""What is installed is exactly what was looked at: pinned, hashed, from whatever index the installer uses."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).parents[1]
LOCKS = ("requirements.lock", "requirements-dev.lock")
EVERY_LOCK = (
    *LOCKS,
    "requirements-image.lock",
    "requirements-kserve.lock",
    "requirements-ops.lock",
    "requirements-audit.lock",
)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
HASHED = re.compile(r"--hash=sha256:[0-9a-f]{64}\b")
PIN = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==(?P<version>\S+)")


def requirements(text: str) -> list[str]:
    """Return the requirements of a lock, each as one line, without comments."""
    joined = re.sub(r"\\\n\s*", " ", text)
    return [line.strip() for line in joined.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(text: str) -> set[str]:
    return {normal(found["name"]) for line in requirements(text) if (found := PIN.match(line))}


def names(dependencies: Iterable[str]) -> set[str]:
    return {normal(found[0]) for each in dependencies if (found := NAME.match(each))}


def flaws(text: str) -> list[str]:
    """Return the lines of a lock that name a place, change the index, or do not say exactly what is meant."""
    found = [line for line in text.splitlines() if "://" in line or "file:" in line]
    return found + [
        line for line in requirements(text) if line.startswith("-") or not PIN.match(line) or not HASHED.search(line)
    ]


@pytest.mark.parametrize("lock", EVERY_LOCK)
def test_a_lock_names_versions_and_hashes_and_no_place(lock: str) -> None:
    assert flaws((ROOT / lock).read_text()) == []


@pytest.mark.parametrize("lock", EVERY_LOCK)
def test_a_lock_holds_something(lock: str) -> None:
    assert len(locked((ROOT / lock).read_text())) > 10


HASH = "--hash=sha256:" + "a" * 64


@pytest.mark.parametrize(
    "text",
    [
        "starlette==1.10.0\n",
        f"starlette>=1.10 {HASH}\n",
        f"--index-url somewhere\nstarlette==1.10.0 {HASH}\n",
        f"-i somewhere\nstarlette==1.10.0 {HASH}\n",
        f"--extra-index-url=somewhere\nstarlette==1.10.0 {HASH}\n",
        f"-e .\nstarlette==1.10.0 {HASH}\n",
        f"starlette @ https://example.org/starlette.whl {HASH}\n",
        f"# from https://example.org\nstarlette==1.10.0 {HASH}\n",
        "starlette==1.10.0 \\\n    --hash=md5:aa\n",
    ],
)
def test_a_lock_that_says_less_or_more_is_found(text: str) -> None:
    assert flaws(text)


def test_a_sound_lock_is_let_be() -> None:
    text = f"# made by scripts/lock\nstarlette==1.10.0 ; python_version < '4' \\\n    {HASH} \\\n    {HASH}\n"

    assert flaws(text) == []
    assert locked(text) == {"starlette"}


def test_every_dependency_is_locked() -> None:
    wanted = names(PROJECT["project"]["dependencies"])

    assert wanted - locked((ROOT / "requirements.lock").read_text()) == set()


def test_the_development_lock_holds_every_extra_too() -> None:
    extras = PROJECT["project"]["optional-dependencies"].values()
    wanted = names(PROJECT["project"]["dependencies"]).union(*(names(extra) for extra in extras))

    assert wanted - locked((ROOT / "requirements-dev.lock").read_text()) == set()


@pytest.mark.parametrize("name", ["kserve", "ops", "audit"])
def test_the_lock_of_an_environment_of_its_own_holds_what_it_was_made_from(name: str) -> None:
    wanted = names(requirements((ROOT / f"requirements-{name}.in").read_text()))

    assert wanted
    assert wanted - locked((ROOT / f"requirements-{name}.lock").read_text()) == set()


def test_the_locks_agree() -> None:
    run, develop, image = (
        {line.split(" ")[0] for line in requirements((ROOT / lock).read_text())}
        for lock in (*LOCKS, "requirements-image.lock")
    )

    assert run - image == set()
    assert image - develop == set()


def test_the_image_holds_every_extra_that_serves() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    wanted = names(PROJECT["project"]["dependencies"]).union(
        *(names(extras[each]) for each in ("grpc", "otel", "s3", "signing"))
    )

    assert wanted - locked((ROOT / "requirements-image.lock").read_text()) == set()
