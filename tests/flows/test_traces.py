"""One gateway that tells of its requests: spans and metrics to a collector, lines on stderr, counts in /metrics."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.flows import metrics
from tests.flows.conftest import prepare
from tests.flows.gateway_process import eventually
from tests.telemetry.collecting import OtlpCollector, attributes

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("opentelemetry.sdk", reason="OpenTelemetry is not installed: it is in the extra `otel`")

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
BODY = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1.0, 2.0]}]}


def test_a_request_is_told_of_in_its_caller_s_trace_and_a_lost_collector_costs_no_answer(tmp_path: Path) -> None:
    with OtlpCollector() as collector:
        flags = ("--otlp-endpoint", collector.endpoint, "--access-log", "100%", "--log-format", "json")
        gateway = prepare(tmp_path, workers=1, flags=flags)
        try:
            gateway.start()
            headers = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01", "x-request-id": "told"}
            answer = gateway.ask("POST", "/v2/models/echo/infer", BODY, headers)
            eventually(lambda: len(list(collector.spans())) == 3, 10, "three spans at the collector")
            collector.status = 503
            assert gateway.ask("POST", "/v2/models/echo/infer", BODY, headers).status == answer.status == 200
            eventually(lambda: gateway.stderr().count('"gateway.access"') == 2, 10, "two lines of the access log")
            counts = metrics.scrape(gateway)["gateway_telemetry_records_total"]
            assert gateway.stop() == 0
        finally:
            gateway.close()

    request, *_ = collector.spans()
    assert {span.trace_id.hex() for span in collector.spans()} == {TRACE}
    assert attributes(request)["gateway.model.name"] == "echo"
    line = next(json.loads(each) for each in gateway.stderr().splitlines() if '"gateway.access"' in each)
    assert (line["request_id"], line["trace_id"], line["status"]) == ("told", TRACE, 200)
    assert sum(counts.values()) >= 2
