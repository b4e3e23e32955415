"""KServe's manifests, held against the models of KServe's own SDK: its custom resource definitions in Python."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.deploy.environment import ROOT
from tests.flows.kserve_environment import PYTHON, needs_kserve

MANIFESTS: Final = ROOT / "deploy" / "kserve"
JUDGE: Final = Path(__file__).with_name("kserve_judge.py")
MISTAKES: Final = (
    ("inference-service.yaml", "storageUri:", "storageUrl:", "storageUrl: V1beta1ModelSpec has no such member"),
    ("inference-service.yaml", "minReplicas: 2", "minReplicas: two", "minReplicas: 'two' is no int"),
    ("serving-runtime.yaml", "containerPort: 8080", "containerPrt: 8080", "V1ContainerPort has no such member"),
    ("serving-runtime.yaml", "  containers:", "  container:", "`containers`, must not be `None`"),
    ("serving-runtime.yaml", "args: [serve]", "args: serve", "args: 'serve' is no list"),
)
"""Manifest, what stands in it, what somebody might write instead, and what is to be said of that."""

pytestmark = needs_kserve


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What is found in each manifest, by file name, and in each mistake, by number. One run: the SDK loads slowly."""
    directory = tmp_path_factory.mktemp("mistakes")
    for number, (manifest, right, wrong, _) in enumerate(MISTAKES):
        text = (MANIFESTS / manifest).read_text()
        assert right in text
        (directory / str(number)).write_text(text.replace(right, wrong))
    paths = [*MANIFESTS.glob("*.yaml"), *directory.iterdir()]
    done = subprocess.run([PYTHON, JUDGE, *paths], capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr[-3000:]
    return {Path(path).name: found for path, found in json.loads(done.stdout).items()}


@pytest.mark.parametrize("manifest", ["inference-service.yaml", "serving-runtime.yaml"])
def test_kserve_would_take_every_manifest(report: dict[str, list[str]], manifest: str) -> None:
    assert report[manifest] == []


def test_every_manifest_is_judged(report: dict[str, list[str]]) -> None:
    assert {name for name in report if not name.isdigit()} == {path.name for path in MANIFESTS.iterdir()}


@pytest.mark.parametrize("number", range(len(MISTAKES)))
def test_control_a_mistake_in_a_manifest_is_found(report: dict[str, list[str]], number: int) -> None:
    told = MISTAKES[number][-1]

    assert any(told in each for each in report[str(number)]), report[str(number)]
