"""What the gateway is made of is written down, under licences that bind nobody, and can be asked about."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tools import licences, sbom
from tools.packages import DEVELOPMENT, IMAGE, RUNTIME, locked

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[1]


def test_the_page_of_licences_is_what_the_locked_packages_say() -> None:
    assert licences.PAGE.read_text(encoding="utf-8") == licences.page(), "run `make licences`"


def test_no_package_is_under_a_licence_that_binds_who_ships_the_gateway() -> None:
    every = [*licences.here(locked(RUNTIME)), *licences.here(locked(DEVELOPMENT))]

    assert [each.name for each in every if licences.denied(licences.licence_of(each.name, each.installed()))] == []


@pytest.mark.parametrize(
    ("expression", "is_denied"),
    [
        ("MIT", False),
        ("GPL-3.0-only", True),
        ("LGPL-2.1-or-later", True),
        ("AGPL-3.0-only OR MIT", False),
        ("GPL-2.0-only AND MIT", True),
        ("GPL-2.0-only AND (MIT OR BSD-3-Clause)", True),
        ("MPL-2.0 AND (Apache-2.0 OR MIT)", False),
    ],
)
def test_a_licence_is_denied_where_no_way_around_it_is_left(expression: str, is_denied: bool) -> None:
    assert licences.denied(expression) is is_denied


class Said:
    """A package that says this of itself."""

    def __init__(self, **metadata: str) -> None:
        self.metadata = _Metadata(metadata)


class _Metadata(dict[str, str]):
    def __init__(self, given: Mapping[str, str]) -> None:
        super().__init__({name.replace("_", "-"): value for name, value in given.items()})

    def get_all(self, name: str) -> list[str]:
        return [self[name]] if name in self else []


@pytest.mark.parametrize("said", [{}, {"License": "ask my lawyer first"}, {"Classifier": "License :: Other"}])
def test_a_package_that_does_not_say_its_licence_is_told_of(said: dict[str, str]) -> None:
    with pytest.raises(licences.UnknownLicence, match="STATED_ELSEWHERE"):
        licences.licence_of("mystery", Said(**said))  # type: ignore[arg-type]  # all that is looked at


def test_what_is_stated_elsewhere_is_of_packages_that_are_locked() -> None:
    assert licences.STATED_ELSEWHERE.keys() <= {each.name for each in locked(DEVELOPMENT)}


@pytest.mark.parametrize("file", sbom.INSTALLS)
def test_a_bill_of_materials_names_what_is_locked_with_every_hash(file: str) -> None:
    lock, extras = sbom.INSTALLS[file]
    bill = sbom.bill(licences.here(locked(lock)), extras)

    named = {each["name"]: each for each in bill["components"]}
    assert {name: each["version"] for name, each in named.items()} == {
        each.name: each.version for each in locked(lock) if each.is_for_here()
    }
    for package in locked(lock):
        if package.is_for_here():
            (files,) = named[package.name]["externalReferences"]
            assert [each["content"] for each in files["hashes"]] == list(package.hashes) != []


@pytest.mark.parametrize("file", sbom.INSTALLS)
def test_a_bill_of_materials_says_who_needs_whom(file: str) -> None:
    lock, extras = sbom.INSTALLS[file]
    bill = sbom.bill(licences.here(locked(lock)), extras)

    graph = {each["ref"]: each["dependsOn"] for each in bill["dependencies"]}
    refs = {each["bom-ref"] for each in bill["components"]}
    own = bill["metadata"]["component"]["bom-ref"]
    assert graph.keys() == refs | {own}
    assert {other for others in graph.values() for other in others} == refs
    assert f"pkg:pypi/numpy@{version('numpy')}" in graph[f"pkg:pypi/onnxruntime@{version('onnxruntime')}"]


def test_every_install_that_people_have_has_its_bill() -> None:
    assert [lock for lock, _ in sbom.INSTALLS.values()] == [RUNTIME, IMAGE, DEVELOPMENT]
    assert {"s3fs", "cryptography", "opentelemetry-sdk"} <= {each.name for each in locked(IMAGE)}
    assert "s3fs" not in sbom.asked_for(frozenset({"grpc"}))
    assert "s3fs" in sbom.asked_for(sbom.INSTALLS["sbom-image.cdx.json"][1])


def test_equal_locks_give_equal_bills(tmp_path: Path) -> None:
    for name in ("one", "two"):
        assert sbom.main([str(tmp_path / name)]) == 0

    for file in sbom.INSTALLS:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
        assert json.loads((tmp_path / "one" / file).read_bytes())["serialNumber"].startswith("urn:uuid:")


def audit(root: Path, program: str) -> subprocess.CompletedProcess[str]:
    """Run the audit beside a pip-audit that is this shell *program*; none where it is empty."""
    (root / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "audit", root / "scripts")
    if program:
        tool = root / ".venv-audit" / "bin" / "pip-audit"
        tool.parent.mkdir(parents=True)
        tool.write_text(f"#!/bin/sh\n{program}\n")
        tool.chmod(0o755)
    return subprocess.run([root / "scripts" / "audit"], capture_output=True, text=True, check=False, env=os.environ)


@pytest.mark.parametrize(
    ("program", "code", "said"),
    [
        ("echo 'No known vulnerabilities found' >&2", 0, ""),
        ("echo 'Found 1 known vulnerability in 1 package' >&2; exit 1", 1, "Found 1"),
        ("echo 'Found 2 known vulnerabilities in 1 package' >&2; exit 1", 1, "Found 2"),
        ("echo 'ConnectionError: no route to host' >&2; exit 1", 3, "nothing was audited"),
        ('case "$*" in *--strict*) exit 1;; esac', 3, "nothing was audited"),
        ("", 3, "pip-audit is not installed"),
    ],
)
def test_an_audit_that_could_ask_nobody_is_no_clean_one(tmp_path: Path, program: str, code: int, said: str) -> None:
    done = audit(tmp_path, program)

    assert done.returncode == code
    assert said in done.stderr
