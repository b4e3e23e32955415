"""Whatever both OpenAPI documents allow, and what they forbid, sent to a real gateway: no 5xx, nothing undescribed."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.flows.gateway_process import Gateway

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("schemathesis") is None, reason="the extra `peers` is not installed"
)

FEW: Final = ("--max-examples", "4", "--seed", "1")
MANY: Final = ("--max-examples", "500")
PORTS: Final = ("inference", "admin")

LIMIT_SECONDS: Final = 1500

LEFT_OUT: Final = "positive_data_acceptance,ignored_auth"
"""What a document cannot say: which tensors a model takes, which versions are there; and no token is needed here."""

CONFIG: Final = """
[checks.missing_required_header]
expected-statuses = [428]

[checks.negative_data_rejection]
expected-statuses = [400, 403, 404, 405, 412, 413, 415, 422, 428]
"""
"""403 is what every order is told, whatever is in it: taken, they would unload what is tried. 428 and 412 are what a
write without If-Match, and one with a tag that can be no revision, are told."""


def document_of(base: str) -> dict[str, Any]:
    """Return the document of a port, without the tokens that a gateway on loopback does not ask for."""
    import httpx2

    document: dict[str, Any] = httpx2.get(f"{base}/openapi.json").json()
    for methods in document["paths"].values():
        for operation in methods.values():
            operation.pop("security", None)
    return document


def tried(document: dict[str, Any], base: str, directory: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Send what a port's *document* allows and forbids; the exit code is 0 where nothing was found."""
    (directory / "openapi.json").write_text(json.dumps(document))
    (directory / "schemathesis.toml").write_text(CONFIG)
    program = Path(sys.executable).with_name("schemathesis")
    run = ["run", "openapi.json", "--url", base, "--phases", "examples,coverage,fuzzing", "--warnings", "off"]
    checks = ["--checks", "all", "--exclude-checks", LEFT_OUT, "--continue-on-failure"]
    # A path with a verb is there to answer 501, which counts as a failure here; a stream of events has no end.
    checks += ["--exclude-path-regex", r":\{verb\}$|^/api/v1/events$"]
    return subprocess.run(
        [program, *run, *checks, *options],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_SECONDS,
    )


def check(gateway: Gateway, port: str, directory: Path, *options: str) -> None:
    base = getattr(gateway, port)

    found = tried(document_of(base), base, directory, *options)

    assert found.returncode == 0, found.stdout[-6000:] + found.stderr[-2000:]
    assert "Test cases:" in found.stdout
    assert gateway.ask("GET", "/v2/health/live").status == 200


@pytest.mark.timeout(600)
@pytest.mark.parametrize("port", PORTS)
def test_what_the_document_says_is_what_is_answered(begin: Callable[..., Gateway], tmp_path: Path, port: str) -> None:
    check(begin(workers=1), port, tmp_path, *FEW)


def test_control_a_document_that_leaves_out_a_status_is_found(begin: Callable[..., Gateway], tmp_path: Path) -> None:
    gateway, path = begin(workers=1), "/v2/models"
    document = document_of(gateway.inference)
    del document["paths"][path]["get"]["responses"]["200"]

    found = tried(document, gateway.inference, tmp_path, *FEW, "--include-path", path)

    assert found.returncode == 1
    assert "[200] OK" in found.stdout


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("port", PORTS)
def test_many_more_tries_of_each_operation_find_nothing_else(
    begin: Callable[..., Gateway], tmp_path: Path, port: str
) -> None:
    check(begin(workers=1), port, tmp_path, *MANY)
