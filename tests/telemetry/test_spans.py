"""Requests as spans, as a collector of OpenTelemetry gets them over HTTP."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from typing import Any

import pytest

from gateway.core.trace_context import TraceContext
from gateway.ports.observing import Seen, SeenRun
from gateway.telemetry.outbox import Outbox
from gateway.telemetry.spans import SpanSender, SpanWitness
from tests.telemetry.collecting import OtlpCollector, attributes

pytest.importorskip("opentelemetry.sdk", reason="OpenTelemetry is not installed: it is in the extra `otel`")

CALLER = TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", True, "congo=1")
SEEN = Seen(
    request_id="abc", trace=CALLER, door="v2", status=200, model="fraud", pinned=None, version=2, revision=7,
    rule="split", fallback_from=None, outcome="ok", error="", cause="", started=10.0, ended=10.5, at=1_000.0,
    run=SeenRun(10.1, 10.2, 0.25, 8),
)  # fmt: skip
SERVER, INTERNAL, FAULT = 2, 1, 2


def drawn() -> Any:
    numbers = itertools.count(1)
    return lambda _: next(numbers)


def sent(*seen: Seen) -> list[Any]:
    """Return the spans that a collector gets of *seen*."""
    with OtlpCollector() as collector:
        assert SpanSender(collector.endpoint, drawn())(seen)
        return list(collector.spans())


def test_a_request_is_a_span_below_its_caller_with_its_wait_and_its_run_below_it() -> None:
    request, queue, run = sent(SEEN)

    assert [each.trace_id.hex() for each in (request, queue, run)] == [CALLER.trace_id] * 3
    assert request.parent_span_id.hex() == CALLER.parent_id
    assert queue.parent_span_id == run.parent_span_id == request.span_id
    assert len({request.span_id, queue.span_id, run.span_id}) == 3
    assert {each.trace_state for each in (request, queue, run)} == {"congo=1"}
    assert (request.kind, queue.kind, run.kind) == (SERVER, INTERNAL, INTERNAL)
    assert [each.name for each in (request, queue, run)] == ["POST /v2/models/{model}/infer", "queue", "run"]


def test_spans_lie_on_the_wall_clock_where_they_were() -> None:
    spans = sent(SEEN)

    times = [(each.start_time_unix_nano / 1e9, each.end_time_unix_nano / 1e9) for each in spans]
    assert times == [pytest.approx(each) for each in [(999.5, 1000.0), (999.6, 999.7), (999.7, 999.95)]]


def test_a_span_says_which_version_answered_and_why() -> None:
    request, queue, run = sent(dataclasses.replace(SEEN, fallback_from=3))

    assert attributes(request) == {
        "http.request.method": "POST", "http.route": "/v2/models/{model}/infer", "http.response.status_code": 200,
        "gateway.request.id": "abc", "gateway.outcome": "ok", "gateway.model.name": "fraud",
        "gateway.model.version": 2, "gateway.route.revision": 7, "gateway.route.rule": "split",
        "gateway.fallback.from": 3,
    }  # fmt: skip
    assert attributes(queue) == {"gateway.model.name": "fraud", "gateway.model.version": 2}
    assert attributes(run)["gateway.batch.rows"] == 8


@pytest.mark.parametrize(
    ("door", "pinned", "name"),
    [
        ("v2", 1, "POST /v2/models/{model}/versions/{version}/infer"),
        ("v1", None, "POST /v1/models/{model}:predict"),
        ("v1", 1, "POST /v1/models/{model}/versions/{version}:predict"),
        ("grpc", 1, "inference.GRPCInferenceService/ModelInfer"),
    ],
)
def test_a_span_has_one_of_few_names(door: str, pinned: int | None, name: str) -> None:
    assert sent(dataclasses.replace(SEEN, door=door, pinned=pinned, status=0))[0].name == name


def test_a_call_of_grpc_is_described_in_the_words_for_that() -> None:
    said = attributes(sent(dataclasses.replace(SEEN, door="grpc", status=14, outcome="overload"))[0])

    assert said["rpc.system.name"] == "grpc"
    assert said["rpc.response.status_code"] == "UNAVAILABLE"
    assert not any(name.startswith("http.") for name in said)


@pytest.mark.parametrize(
    ("outcome", "is_fault"),
    [("model_error", True), ("timeout", True), ("client_error", False), ("cancelled", False), ("ok", False)],
)
def test_only_what_is_not_the_caller_s_fault_is_an_error_of_the_span(outcome: str, is_fault: bool) -> None:
    [request] = sent(dataclasses.replace(SEEN, outcome=outcome, error="ModelFailed", cause="no", run=None))

    assert (request.status.code == FAULT) == is_fault
    assert request.status.message == ("no" if is_fault else "")
    assert attributes(request)["error.type"] == "ModelFailed"


def test_a_request_without_a_trace_begins_one() -> None:
    request, *below = sent(dataclasses.replace(SEEN, trace=None))

    assert request.parent_span_id == b""
    assert int.from_bytes(request.trace_id, "big") == 1
    assert {each.trace_id for each in below} == {request.trace_id}


@pytest.mark.parametrize(("trace", "takes"), [(CALLER, True), (dataclasses.replace(CALLER, is_sampled=False), False)])
@pytest.mark.parametrize("share", [0.0, 1.0])
def test_the_caller_decides_for_its_own_trace(trace: TraceContext, takes: bool, share: float) -> None:
    outbox = Outbox[Seen]("spans", lambda _: True, lambda *_: None)

    assert SpanWitness(share, outbox, lambda: 0).takes(trace) == takes


def test_of_requests_without_a_trace_a_share_gets_spans() -> None:
    outbox = Outbox[Seen]("spans", lambda _: True, lambda *_: None)
    draws = iter([0, 2**63, 2**62, 2**64 - 1])

    witness = SpanWitness(0.5, outbox, lambda: next(draws))

    assert [witness.takes(None) for _ in range(4)] == [True, False, True, False]


def test_a_dead_collector_holds_nothing_up_and_what_is_lost_is_counted() -> None:
    with OtlpCollector(status=500) as collector:
        counted: Counter[str] = Counter()
        sender = SpanSender(collector.endpoint, drawn())
        outbox = Outbox("spans", sender, lambda outcome, many: counted.update({outcome: many}), stop=sender.stop)

        for _ in range(10):
            outbox.put(SEEN)
        assert collector.asked.wait(10)
        outbox.close()

    assert counted == {"failed": 10}
