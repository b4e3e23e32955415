"""The answers for somebody who watches: the stream of changes, figures, the fleet, and who one is."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, StreamingResponse

from gateway.control import admin_views as views
from gateway.control.events import MODEL_TOPIC, TooManyWatchers
from gateway.core.errors import UnknownModel

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send

    from gateway.control.admin_answers import Call
    from gateway.control.events import Events
    from gateway.control.operations import Operations
    from gateway.ports.metrics import Traffic
    from gateway.ports.workers import WorkerReport, Workers


class EventStream(StreamingResponse):
    """A stream whose watcher is forgotten however it ends, also before its first byte."""

    def __init__(self, events: Events, headers: Mapping[str, str], reaches: Callable[[str], bool]) -> None:
        """*reaches* says whose models are told. Raises TooManyWatchers."""
        self._events = events
        self._watcher = events.watch(reaches)
        super().__init__(events.stream(self._watcher), headers=headers, media_type="text/event-stream")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._events.leave(self._watcher)


async def stream_events(call: Call) -> Response:
    """Stream what changes. A HEAD is answered without opening a stream."""
    headers = {"x-accel-buffering": "no"}
    if call.request.method == "HEAD":
        return JSONResponse(None, headers=headers, media_type="text/event-stream")
    try:
        return EventStream(call.admin.events, headers, call.who.reaches)
    except TooManyWatchers:
        detail = "as many streams are open as this gateway allows; close a console, or ask again later"
        raise HTTPException(503, detail, headers={"retry-after": "5"}) from None


async def show_figures(call: Call) -> Response:
    model = call.model
    if model not in call.operations.models():
        raise UnknownModel(model)
    found = await asyncio.to_thread(call.admin.traffic.of, model)
    return JSONResponse(figures_view(model, found, live_shares(model, call.admin.workers.reports())))


async def show_fleet(call: Call) -> Response:
    reports = call.admin.workers.reports()
    return JSONResponse(fleet_view(reports, store_up=await store_answers(call.operations)))


async def show_me(call: Call) -> Response:
    """Say who the gateway takes the caller for."""
    who = call.who
    return JSONResponse({"name": who.name, "role": who.role.name.lower(), "models": list(who.models)})


async def look(operations: Operations, workers: Workers) -> dict[str, dict[str, Any]]:
    """Return what the stream of events tells: one view per model, as ``GET /api/v1/models/{model}``, and the fleet."""
    reports = workers.reports()
    models = operations.models()
    now = await operations.routes(models)
    topics = {
        f"{MODEL_TOPIC} {model}": views.model_view(model, now.of(model), operations.versions(model), reports)
        for model in models
    }
    return {**topics, "fleet": fleet_view(reports, store_up=now.store_up)}


async def store_answers(operations: Operations) -> bool:
    """Say whether the store answers this process now."""
    return (await operations.routes(())).store_up


def fleet_view(reports: Sequence[WorkerReport], *, store_up: bool) -> dict[str, Any]:
    """Return the workers of this replica and what keeps each from being ready."""
    workers = [
        {
            "slot": report.slot,
            "pid": report.pid,
            "ready": not report.not_ready,
            "not_ready": dict(report.not_ready),
            "store_up": report.store_up,
            "revisions": dict(report.revisions),
        }
        for report in reports
    ]
    return {"store": "up" if store_up else "unavailable", "workers": workers}


def figures_view(model: str, found: Mapping[str, Traffic], shares: Mapping[str, float]) -> dict[str, Any]:
    """Return the figures of a model's versions. *latency_seconds* holds p50, p95 and p99, empty before any request."""
    versions = {
        version: {
            "share": shares.get(version, 0.0),
            "requests": dict(traffic.requests),
            "fallbacks": traffic.fallbacks,
            "latency_seconds": {f"p{percent}": seconds for percent, seconds in traffic.quantiles.items()},
            "usage": views.usage_view(traffic),
        }
        for version, traffic in found.items()
    }
    return {"model": model, "versions": versions}


def live_shares(model: str, reports: Sequence[WorkerReport]) -> dict[str, float]:
    """Return version → share of one in the highest revision of *model* that a worker serves."""
    best = max(reports, key=lambda report: report.revisions.get(model, -1), default=None)
    return {str(version): share for version, share in best.shares.get(model, {}).items()} if best else {}
