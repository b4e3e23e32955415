"""KServe's SDK, as it is published, against two workers and a route that splits users in halves."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.flows.gateway_process import ROOT
from tests.flows.kserve_environment import PYTHON, needs_kserve
from tests.flows.models import MODEL
from tests.flows.test_grpc import STICKY, free_port

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.flows.gateway_process import Gateway

pytestmark = needs_kserve

USERS = 12
ROWS = [[1.5, -2.0], [3.0, 4.0]]
"""What the script sends."""


@pytest.fixture
def said(begin: Callable[..., Gateway]) -> Any:
    """What the clients read."""
    port = free_port()
    gateway = begin(flags=("--grpc-port", str(port)), route=STICKY)
    script = ROOT / "tests" / "flows" / "kserve_client.py"
    asked = [str(PYTHON), str(script), gateway.inference, f"127.0.0.1:{port}", MODEL, str(USERS)]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_sdk_is_served_over_v1_and_v2_and_grpc_and_its_users_keep_their_version(said: Any) -> None:
    assert [said["live"], said["ready"], said["model ready"]] == [[True] * 3, [True] * 2, [True] * 3]
    versions = set()
    for first, *others in said["answers"]:
        assert others == [first] * 3
        numbers, answered_by = first
        assert numbers == ROWS
        versions.add(tuple(answered_by))
    assert versions == {(1, 1), (2, 2)}
    assert "shape [1, 1]" in said["error"]
