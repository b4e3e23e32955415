"""Requests as spans of OpenTelemetry, sent over OTLP/HTTP: request → queue → run.

Only what is sampled costs anything, and that little on the event loop: what a request was is put into an outbox, and
all of OpenTelemetry runs on that one's thread. The decision is parent based: a caller that records its trace gets our
spans, one that does not gets none, and of requests without a trace a share begins one.

The exporter is imported where spans are wanted; it is the extra ``otel``.
Sources: OpenTelemetry, "Semantic conventions for HTTP spans" and "… for RPC spans"; what is ours begins with
``gateway.``.
"""

from __future__ import annotations

import logging
import os
import socket
from typing import TYPE_CHECKING, Any, Final

from gateway import __version__
from gateway.core.sampling import Sampling

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from gateway.core.trace_context import TraceContext
    from gateway.ports.observing import Seen
    from gateway.telemetry.outbox import Outbox

EXPORT_SECONDS: Final = 5.0
"""How long one batch may take, with all that the exporter tries again."""

NANOSECONDS: Final = 1_000_000_000

FAULTS: Final = frozenset({"model_error", "timeout", "overload", "gateway_error"})
"""Outcomes for which a span's status is an error: for a server, what is not the caller's fault."""

GRPC_STATUSES: Final = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
    "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip


class SpanWitness:
    """Implements ``ports.Witness``."""

    def __init__(self, share: float, outbox: Outbox[Seen], draw: Callable[[], int]) -> None:
        """*share*: of the requests without a trace, of one. *draw* gives an integer in [0, DRAWS)."""
        self._sampling = Sampling(share)
        self._draw = draw
        self.see = outbox.put
        """Takes what ended; itself, for one call less."""

    def takes(self, trace: TraceContext | None) -> bool:
        """Say whether the request gets spans."""
        return self._sampling.draws(self._draw()) if trace is None else trace.is_sampled


class SpanSender:
    """Makes spans of what was seen, and sends them. Everything here runs on the outbox's thread, but for *stop*."""

    def __init__(self, endpoint: str, draw: Callable[[int], int]) -> None:
        """*endpoint*: the collector's address without a path of a signal. *draw* gives so many random bits."""
        self._endpoint = endpoint
        self._draw = draw
        self._exporter: Any = None
        self._resource: Any = None

    def __call__(self, batch: Sequence[Seen]) -> bool:
        """Send the spans of a batch; say whether the collector took them."""
        if self._exporter is None:
            self._begin()
        spans = [span for seen in batch for span in self._spans(seen)]
        return bool(self._exporter.export(spans).value == 0)

    def stop(self) -> None:
        """End a delivery that is being tried again."""
        if self._exporter is not None:
            self._exporter.shutdown()

    def _begin(self) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        silence_exporters()
        self._resource = resource()
        self._exporter = OTLPSpanExporter(endpoint=f"{self._endpoint}/v1/traces", timeout=EXPORT_SECONDS)

    def _spans(self, seen: Seen) -> Iterator[Any]:
        """Yield the span of a request, and those of its wait and its run where it was run."""
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.trace import SpanKind, Status, StatusCode

        above, context = self._contexts(seen.trace)
        is_fault = seen.outcome in FAULTS
        yield ReadableSpan(
            name_of(seen),
            context=context,
            parent=above,
            resource=self._resource,
            attributes=attributes_of(seen),
            kind=SpanKind.SERVER,
            status=Status(StatusCode.ERROR, seen.cause or None) if is_fault else Status(StatusCode.UNSET),
            start_time=_nanoseconds(seen, seen.started),
            end_time=_nanoseconds(seen, seen.ended),
        )
        run = seen.run
        if run is None:
            return
        ended = seen.ended if run.seconds is None else min(seen.ended, run.began + run.seconds)
        rows = {} if run.rows is None else {"gateway.batch.rows": run.rows}
        of_version = {name: value for name, value in attributes_of(seen).items() if name.startswith("gateway.model.")}
        for name, start, end, more in (("queue", run.queued, run.began, {}), ("run", run.began, ended, rows)):
            yield ReadableSpan(
                name,
                context=self._below(context),
                parent=context,
                resource=self._resource,
                attributes={**of_version, **more},
                kind=SpanKind.INTERNAL,
                start_time=_nanoseconds(seen, max(start, seen.started)),
                end_time=_nanoseconds(seen, end),
            )

    def _contexts(self, trace: TraceContext | None) -> tuple[Any, Any]:
        """Return where the request's caller stands, None for nobody, and where its own span does."""
        from opentelemetry.trace import SpanContext, TraceFlags, TraceState

        flags = TraceFlags(TraceFlags.SAMPLED)
        if trace is None:
            return None, SpanContext(self._id(128), self._id(64), is_remote=False, trace_flags=flags)
        state = TraceState.from_header([trace.state]) if trace.state else None
        trace_id, parent_id = int(trace.trace_id, 16), int(trace.parent_id, 16)
        above = SpanContext(trace_id, parent_id, is_remote=True, trace_flags=flags, trace_state=state)
        return above, self._below(above)

    def _below(self, context: Any) -> Any:
        """Return where a span below *context* stands."""
        from opentelemetry.trace import SpanContext

        return SpanContext(
            context.trace_id, self._id(64), is_remote=False, trace_flags=context.trace_flags,
            trace_state=context.trace_state,
        )  # fmt: skip

    def _id(self, bits: int) -> int:
        return self._draw(bits) or 1  # all zeros is no id


def name_of(seen: Seen) -> str:
    """Return the name of a request's span: few different ones, without the model's."""
    if seen.door == "grpc":
        return "inference.GRPCInferenceService/ModelInfer"
    return f"POST {_route(seen)}"


def attributes_of(seen: Seen) -> dict[str, str | int]:
    """Return the attributes of a request's span."""
    said: dict[str, str | int | None] = {
        "gateway.request.id": seen.request_id,
        "gateway.outcome": seen.outcome,
        "gateway.model.name": seen.model,
        "gateway.model.version": seen.version,
        "gateway.route.revision": seen.revision,
        "gateway.route.rule": seen.rule or None,
        "gateway.fallback.from": seen.fallback_from,
        "error.type": seen.error or None,
    }
    if seen.door == "grpc":
        said["rpc.system.name"] = "grpc"
        said["rpc.method"] = name_of(seen)
        said["rpc.response.status_code"] = None if seen.status is None else GRPC_STATUSES[seen.status]
    else:
        said["http.request.method"] = "POST"
        said["http.route"] = _route(seen)
        said["http.response.status_code"] = seen.status
    return {name: value for name, value in said.items() if value is not None}


def resource() -> Any:
    """Return who sends, as OpenTelemetry says it; OTEL_RESOURCE_ATTRIBUTES adds to it."""
    from opentelemetry.sdk.resources import Resource

    return Resource.create(
        {
            "service.name": "canary-gateway",
            "service.version": __version__,
            "service.instance.id": f"{socket.gethostname()}:{os.getpid()}",
        }
    )


def silence_exporters() -> None:
    """Keep the exporters' own lines, one for each attempt, out of the log: the outbox says it once."""
    logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)


def _route(seen: Seen) -> str:
    named = "" if seen.pinned is None else "/versions/{version}"
    return f"/v1/models/{{model}}{named}:predict" if seen.door == "v1" else f"/v2/models/{{model}}{named}/infer"


def _nanoseconds(seen: Seen, moment: float) -> int:
    """Return a moment of ``perf_counter`` on the wall clock."""
    return int((seen.at - seen.ended + moment) * NANOSECONDS)
