"""A recording of live traffic, from the route to a replay: hidden on disk, replayed, gone when it is deleted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from gateway.cli.main import main
from tests.flows import metrics
from tests.flows.gateway_process import eventually
from tests.flows.models import request

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    from tests.flows.gateway_process import Gateway

REQUESTS = 40
ROUTE = 'split: {"1": 1}\nrecord: {percent: 100, redact: {"x[1]": {constant: 7}}}'


def kept(gateway: Gateway) -> float:
    samples = metrics.scrape(gateway).get("gateway_recordings_total", {})
    return sum(value for labels, value in samples.items() if ("outcome", "kept") in set(labels))


def asked(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """Return the report of a replay, but for its times."""
    main([*words, "--json"])
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    return {name: value for name, value in report.items() if name != "latency_ms"}


def test_what_callers_asked_is_recorded_hidden_and_replayed(
    begin: Callable[..., Gateway], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway = begin(route=ROUTE)
    for number in range(REQUESTS):
        assert gateway.ask("POST", "/v2/models/echo/infer", request([number, 4242.0])).status == 200
    eventually(lambda: kept(gateway) == REQUESTS, 5, "every request is recorded")
    address = ("--url", gateway.admin)

    assert main(["recordings", "export", "echo", "--out", str(tmp_path / "requests.jsonl"), *address]) == 0
    lines: list[dict[str, Any]] = [json.loads(each) for each in (tmp_path / "requests.jsonl").read_bytes().splitlines()]
    words = ["models", "replay", "echo", "--version", "2", "--models", str(gateway.models), *address]
    assert main(words) == 1, "inputs were hidden"
    capsys.readouterr()
    reports = [asked(capsys, *words, "--against", "1", *more) for more in ((), ("--ask", gateway.inference))]
    assert main([*words, "--against", "2", "--ask", gateway.inference]) == 0, "the same version answers the same"
    assert main(["recordings", "delete", "echo", *address]) == 0

    assert sorted(each["inputs"][0]["data"][0] for each in lines) == list(range(REQUESTS))
    assert all(each["inputs"][0]["data"][1] == 7 for each in lines)
    assert not any(b"4242" in path.read_bytes() for path in gateway.state.rglob("*.jsonl"))
    assert gateway.ask_admin("GET", "/api/v1/recordings").json() == {"recordings": []}
    assert "40 of 40 requests agree" in capsys.readouterr().out
    assert reports[0] == reports[1], "a running gateway answers as a process of its own does"
    assert (reports[0]["agreed"], reports[0]["requests"]) == (0, 40)
