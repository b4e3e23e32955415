"""The answers of the admin API, one function per endpoint.

They translate between HTTP and ``operations`` and decide nothing.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response

from gateway.control import admin_requests as ask
from gateway.control import admin_views as views
from gateway.control.notification_answers import NobodyIsTold
from gateway.control.recording_answers import NothingRecorded
from gateway.core.errors import InvalidDocument, InvalidModel, UnknownModel, UnknownVersion
from gateway.core.lineage import Lineage
from gateway.core.members import shown
from gateway.core.tags import matches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from starlette.requests import Request

    from gateway.control.auth import Door, Principal
    from gateway.control.drift_answers import Boards
    from gateway.control.events import Events
    from gateway.control.fleet import FleetVersion
    from gateway.control.links import Links
    from gateway.control.operations import Operations
    from gateway.control.route_reader import CurrentRoute
    from gateway.core.document import RouteDocument
    from gateway.ports.metrics import Traffic, TrafficFigures
    from gateway.ports.notifications import NotificationDesk
    from gateway.ports.observing import RecordingShelf
    from gateway.ports.workers import Workers


def _no_metadata(_model: str, _version: int) -> Mapping[str, Any] | None:
    return None


def _no_lineage() -> Lineage:
    return Lineage({})


def _no_tags(_model: str, _versions: Iterable[int]) -> Mapping[int, Mapping[str, str]]:
    return {}


class Uncounted:
    """Implements ``ports.TrafficFigures`` where nothing counts."""

    def of(self, model: str) -> Mapping[str, Traffic]:  # noqa: ARG002 - the port's
        """Return no figures."""
        return {}


@dataclass(frozen=True, slots=True)
class Admin:
    """What the answers are made from.

    *events* tells what changes, *about* names this gateway, *describe* returns a version's metadata, *lineage* that of
    all, *tags* what is said of versions of a model; all may block. *notifications* knows who is told of decisions,
    *recordings* what was recorded, *drift* what is known of drift and anomalies; None where nobody looks. *links* are
    those of notifications, None where there are none. *inference_api* makes the inference port's OpenAPI document.
    *metrics_auth*: a scrape is for viewers, not for everybody.
    """

    operations: Operations
    workers: Workers
    door: Door
    render_metrics: Callable[[str], tuple[bytes, str]]
    events: Events
    about: Mapping[str, Any] = field(default_factory=dict)
    describe: Callable[[str, int], Mapping[str, Any] | None] = _no_metadata
    lineage: Callable[[], Lineage] = _no_lineage
    tags: Callable[[str, Iterable[int]], Mapping[int, Mapping[str, str]]] = _no_tags
    traffic: TrafficFigures = field(default_factory=Uncounted)
    notifications: NotificationDesk = field(default_factory=NobodyIsTold)
    recordings: RecordingShelf = field(default_factory=NothingRecorded)
    drift: Boards | None = None
    links: Links | None = None
    inference_api: Callable[[], Mapping[str, Any]] = dict
    metrics_auth: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """One request that was let in, and who made it."""

    admin: Admin
    request: Request
    who: Principal

    @property
    def model(self) -> str:
        name: str = self.request.path_params["model"]
        return name

    @property
    def operations(self) -> Operations:
        return self.admin.operations


async def list_models(call: Call) -> Response:
    """Answers also while the store is away, from what the workers say and what was served last."""
    fleets = {model: call.operations.versions(model) for model in call.operations.models() if call.who.reaches(model)}
    reports = call.admin.workers.reports()
    now = await call.operations.routes(list(fleets))
    models = [views.model_view(model, now.of(model), fleet, reports) for model, fleet in fleets.items()]
    return JSONResponse({"store": "up" if now.store_up else "unavailable", "models": models})


async def show_model(call: Call) -> Response:
    model, fleet, current = await _model(call)
    return JSONResponse(views.model_view(model, current, fleet, call.admin.workers.reports()))


async def list_versions(call: Call) -> Response:
    """With ``?tag=KEY=VALUE`` or ``?tag=KEY`` only those that have it, all of them where it is written repeatedly."""
    wanted = ask.wanted_tags(call.request)
    model, fleet, current = await _model(call)
    tags = await asyncio.to_thread(call.admin.tags, model, list(fleet))
    traffic = await asyncio.to_thread(call.admin.traffic.of, model)
    versions = [
        {
            **views.version_view(version, current.document),
            "usage": views.usage_view(traffic.get(str(number))),
            "tags": tags.get(number, {}),
        }
        for number, version in fleet.items()
        if matches(tags.get(number, {}), wanted)
    ]
    return JSONResponse({"model": model, "versions": versions})


async def show_version(call: Call) -> Response:
    model, fleet, current = await _model(call)
    version = ask.version_in_path(call.request)
    if version not in fleet:
        raise UnknownVersion(model, str(version))
    try:
        metadata = await asyncio.to_thread(call.admin.describe, model, version)
    except InvalidModel as exc:
        metadata = {"error": exc.reason}
    tags = await asyncio.to_thread(call.admin.tags, model, [version])
    traffic = await asyncio.to_thread(call.admin.traffic.of, model)
    detail = views.version_detail(fleet[version], current.document, metadata)
    usage = views.usage_view(traffic.get(str(version)))
    return JSONResponse({"model": model, **detail, "usage": usage, "tags": tags.get(version, {})})


async def load_version(call: Call) -> Response:
    model, version, reason = await _order(call)
    await call.operations.load(model, version, who=call.who.actor, reason=reason)
    return JSONResponse({"model": model, "version": str(version), "order": "load"}, 202)


async def unload_version(call: Call) -> Response:
    model, version, reason = await _order(call)
    await call.operations.unload(model, version, who=call.who.actor, reason=reason)
    return JSONResponse({"model": model, "version": str(version), "order": "unload"}, 202)


async def show_route(call: Call) -> Response:
    route, stored = await call.operations.read_route(call.model)
    return _route(route, stored.revision)


async def put_route(call: Call) -> Response:
    expected = ask.expected_revision(call.request)
    data = await ask.json_body(call.request)
    query = ask.query_members(call.request, ("reason", "force"))
    return _route(
        *await call.operations.put_route(
            call.model, data, expected=expected, who=call.who.actor, reason=query.get("reason", ""),
            force=ask.truth(query.get("force", "false"), "force"),
        )
    )  # fmt: skip


async def check_route(call: Call) -> Response:
    """Answer as the write would, with the same problem documents, and write nothing."""
    data = await ask.json_body(call.request)
    force = ask.truth(ask.query_members(call.request, ("force",)).get("force", "false"), "force")
    return JSONResponse((await call.operations.check_route(call.model, data, force=force)).as_dict())


async def patch_weights(call: Call) -> Response:
    expected = ask.expected_revision(call.request)
    data = ask.members(await ask.json_body(call.request), ("weights", "reason", "force"), needed=("weights",))
    reason, force = ask.text_member(data, "reason"), ask.truth_member(data, "force")
    return _route(
        *await call.operations.set_weights(
            call.model, data["weights"], expected=expected, who=call.who.actor, reason=reason, force=force
        )
    )


async def restore_route(call: Call) -> Response:
    """Bringing the snapshot back needs no If-Match: it is written only where there is nothing."""
    data = await ask.optional_members(call.request, ("revision", "reason"))
    revision, reason = data.get("revision"), ask.text_member(data, "reason")
    if revision is not None and (type(revision) is not int or revision < 1):
        raise InvalidDocument(
            "revision", f"{shown(revision)} is no revision; write a number from 1 up, or leave it out"
        )
    expected = None if revision is None else ask.expected_revision(call.request)
    return _route(
        *await call.operations.restore(call.model, revision, expected=expected, who=call.who.actor, reason=reason)
    )


async def show_history(call: Call) -> Response:
    entries = await call.operations.history(call.model, ask.limit(call.request))
    return JSONResponse(views.history_view(entries))


async def explain(call: Call) -> Response:
    keys = call.request.query_params.getlist("key")
    if len(keys) != 1:
        raise InvalidDocument("key", "write it once: the value that assigns a unit, such as ?key=user-17")
    values = ask.source_values(call.request, own=("key",))
    return JSONResponse(await call.operations.explain(call.model, keys[0].encode(), values))


async def metrics(call: Call) -> Response:
    accept = call.request.headers.get("accept", "")
    # A scrape of many versions takes tens of milliseconds: an operator's write must not wait for it.
    content, media_type = await asyncio.to_thread(call.admin.render_metrics, accept)
    return Response(content, headers={"content-type": media_type})


async def live(_call: Call) -> Response:
    """This process answers; that is all it says."""
    return JSONResponse({"live": True})


async def ready(call: Call) -> Response:
    view = views.readiness_view(call.admin.workers.reports())
    return JSONResponse(view, 200 if view["ready"] else 503)


async def _model(call: Call) -> tuple[str, Mapping[int, FleetVersion], CurrentRoute]:
    model = call.model
    fleet = call.operations.versions(model)
    if not fleet:
        raise UnknownModel(model)
    return model, fleet, (await call.operations.routes([model])).of(model)


async def _order(call: Call) -> tuple[str, int, str]:
    version = ask.version_in_path(call.request)
    data = await ask.optional_members(call.request, ("reason",))
    return call.model, version, ask.text_member(data, "reason")


def _route(route: RouteDocument, revision: int) -> Response:
    return JSONResponse(route.as_dict(), headers={"etag": f'"{revision}"'})
