"""Secrets that a real gateway was given show up nowhere: not in what it writes, says, keeps or hands on."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from gateway.control.admin_table import ENDPOINTS
from load_tests import proc
from tests.flows.conftest import close_all, prepare
from tests.flows.models import MODEL, request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.flows.gateway_process import Answer, Gateway

TOKEN: Final = "canary-token-7d1f"
WRONG: Final = "canary-wrong-5c2a"
HOOK: Final = base64.b64encode(b"canary-hook" * 3).decode()
PASSWORD: Final = "canary-password-4f8d"
SENT: Final = "canary-header-2e6b"
GIVEN: Final = (TOKEN, WRONG, HOOK, PASSWORD, SENT)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway that logs all it can and was given a secret of every kind, with answers and refusals behind it."""
    root = tmp_path_factory.mktemp("secrets")
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    (root / "tokens.yaml").write_text(f"tokens:\n  - {{name: ann, role: admin, sha256: {digest}}}\n")
    (root / "hooks.yaml").write_text(
        "targets: [{name: ops, url: 'https://ops.invalid/x', secret: {env: CANARY_HOOK}}]\n"
    )
    started = prepare(
        root,
        flags=("--admin-token-file", str(root / "tokens.yaml"), "--webhooks", str(root / "hooks.yaml"),
               "--metrics-auth", "true", "--log-level", "debug", "--log-format", "json"),
        environment={
            "CANARY_HOOK": HOOK,
            "GATEWAY_PROMETHEUS_URL": f"http://ann:{PASSWORD}@127.0.0.1:1/",
        },
    )  # fmt: skip
    try:
        started.start()
        for token in (TOKEN, WRONG):
            asked(started, "/api/v1/models", token)
        authorised = {"authorization": f"Bearer {TOKEN}", "if-match": "*"}
        weights = {"weights": {"1": 1, "2": 1}}
        started.ask("PATCH", f"/api/v1/models/{MODEL}/route/weights", weights, authorised, base=started.admin)
        for body in (request([1.0, 2.0]), {"inputs": "wrong"}):
            headers = {"authorization": f"Bearer {SENT}", "cookie": f"a={SENT}"}
            started.ask("POST", f"/v2/models/{MODEL}/infer", body, headers)
        yield started
    finally:
        close_all([started])


def asked(gateway: Gateway, path: str, token: str) -> Answer:
    return gateway.ask("GET", path, None, {"authorization": f"Bearer {token}"}, base=gateway.admin)


def found(content: bytes, *, but: str = "") -> list[str]:
    """Return the secrets that are in *content*."""
    return [each for each in GIVEN if each != but and each.encode() in content]


def test_no_secret_is_in_any_log(gateway: Gateway) -> None:
    written = (gateway.stdout() + gateway.stderr()).encode()

    assert len(written) > 500
    assert found(written) == []


def test_no_secret_is_in_any_answer(gateway: Gateway) -> None:
    paths = {
        each.path.replace("{model}", MODEL).replace("{version}", "1") for each in ENDPOINTS if each.method == "GET"
    }
    paths = {path for path in paths if "{" not in path and not path.endswith("/events")}
    shown = {path: asked(gateway, path, TOKEN) for path in sorted(paths)}
    refused = [asked(gateway, "/api/v1/models", WRONG), asked(gateway, f"/api/v1/models/{WRONG[:6]}", WRONG)]

    assert sum(answer.status == 200 for answer in shown.values()) > 8
    for path, answer in shown.items():
        assert found(answer.body + json.dumps(dict(answer.headers)).encode()) == [], path
    assert [found(answer.body) for answer in refused] == [[], []]


def test_metrics_that_are_for_tokens_are_shown_to_nobody_else(gateway: Gateway) -> None:
    answers = [gateway.ask("GET", "/metrics", base=gateway.admin), asked(gateway, "/metrics", TOKEN)]

    assert [answer.status for answer in answers] == [401, 200]


def test_no_secret_is_in_the_list_of_processes(gateway: Gateway) -> None:
    for pid in proc.tree(gateway.pid):
        assert found(Path(f"/proc/{pid}/cmdline").read_bytes()) == []
        assert found(Path(f"/proc/{pid}/comm").read_bytes()) == []


def test_a_program_that_the_gateway_starts_gets_none_of_its_environment(gateway: Gateway) -> None:
    own = Path(f"/proc/{gateway.pid}/environ").read_bytes()
    handed = Path(f"/proc/{gateway.store_pid()}/environ").read_bytes()

    assert found(own) == [HOOK, PASSWORD]  # else there would be nothing to find
    assert found(handed) == []
    assert b"GATEWAY_" not in handed


def test_no_process_leaves_a_core_dump(gateway: Gateway) -> None:
    for pid in proc.tree(gateway.pid):
        limits = Path(f"/proc/{pid}/limits").read_text().splitlines()
        (core,) = [line.split() for line in limits if line.startswith("Max core file size")]

        assert core[4] in {"0", "1"}, pid


def test_no_secret_is_kept_and_what_is_kept_is_the_owners_alone(gateway: Gateway) -> None:
    kept = [path for path in gateway.state.rglob("*") if path.is_file()]

    assert gateway.state.stat().st_mode & 0o077 == 0
    assert len(kept) > 3
    for path in kept:
        assert found(path.read_bytes()) == [], path
    open_to_others = [path for path in gateway.state.iterdir() if path.is_dir() and path.stat().st_mode & 0o022]
    assert open_to_others == []
