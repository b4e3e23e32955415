"""The endpoints of the admin API: one table makes the routes, the access checks and the OpenAPI document."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final

from starlette.responses import JSONResponse

from gateway.control import admin_answers as answers
from gateway.control import console, docs
from gateway.control import drift_answers as drift
from gateway.control import experiment_answers as experiments
from gateway.control import history_answers as history
from gateway.control import lineage_answers as lineage
from gateway.control import link_answers as links
from gateway.control import notification_answers as notifications
from gateway.control import quality_answers as quality
from gateway.control import recording_answers as recordings
from gateway.control import rollout_answers as rollouts
from gateway.control import watching_answers as watching
from gateway.control.auth import Role
from gateway.control.endpoint import Endpoint
from gateway.control.openapi import PLAN, describe_api
from gateway.core.candidates import MAX_CANDIDATES

if TYPE_CHECKING:
    from starlette.responses import Response

MODEL: Final = "/api/v1/models/{model}"
VERSION: Final = MODEL + "/versions/{version}"
ROLLOUTS: Final = MODEL + "/rollouts"
CURRENT: Final = ROLLOUTS + "/current"
LINK: Final = "/links/{model}/{token}"
METRICS: Final = "/metrics"

WEIGHTS: Final = {"$ref": "#/components/schemas/Split"}
REASON: Final = {"type": "string", "maxLength": 500}
ROUTE: Final = {"$ref": "#/components/schemas/Route"}
ORDER: Final = {"type": "object", "properties": {"reason": REASON}, "additionalProperties": False}
FORCE: Final = {"type": "boolean", "default": False}
CANDIDATE: Final = {"type": ["string", "integer"], "minimum": 1, "pattern": "^[1-9][0-9]{0,9}$"}

START: Final = {
    "type": "object", "additionalProperties": False,
    "oneOf": [{"required": ["candidate"]}, {"required": ["candidates"]}],
    "properties": {
        "candidate": CANDIDATE,
        "candidates": {"type": "array", "items": CANDIDATE, "minItems": 1, "maxItems": MAX_CANDIDATES},
        "reason": REASON, "supersede": FORCE, "force": FORCE, "dry_run": FORCE,
        **PLAN["properties"],
    },
}  # fmt: skip
PROMOTE: Final = {
    "type": "object", "additionalProperties": False,
    "properties": {"reason": REASON, "force": FORCE, "full": FORCE, "version": CANDIDATE},
}  # fmt: skip


async def show_index(call: answers.Call) -> Response:
    """Show the console to a browser, and anybody else what is here."""
    if console.wants_page(call.request.headers.get("accept", "")):
        return console.show_page()
    listed = [
        {"method": e.method, "path": e.path, "role": e.role.name.lower() if e.role else None, "summary": e.summary}
        for e in endpoints_of(metrics_auth=call.admin.metrics_auth)
    ]
    return JSONResponse({**call.admin.about, "endpoints": listed}, headers={"vary": "accept"})


async def show_openapi(call: answers.Call) -> Response:
    endpoints = endpoints_of(metrics_auth=call.admin.metrics_auth)
    return JSONResponse(describe_api(endpoints, version=str(call.admin.about.get("version", "0"))))


async def show_docs(call: answers.Call) -> Response:
    return docs.show_page(call, endpoints_of(metrics_auth=call.admin.metrics_auth))


def endpoints_of(*, metrics_auth: bool) -> tuple[Endpoint, ...]:
    """Return ENDPOINTS as a gateway has them: with *metrics_auth* ``/metrics`` is for viewers, not for everybody."""
    if not metrics_auth:
        return ENDPOINTS
    return tuple(dataclasses.replace(e, role=Role.VIEWER) if e.path == METRICS else e for e in ENDPOINTS)


ENDPOINTS: Final = (
    Endpoint("GET", "/api/v1/models", Role.VIEWER, answers.list_models, "All models, their routes and versions"),
    Endpoint("GET", MODEL, Role.VIEWER, answers.show_model, "One model, its route and versions"),
    Endpoint(
        "GET", MODEL + "/versions", Role.VIEWER, answers.list_versions, "The versions of a model, with their tags",
        query=("tag",),
    ),
    Endpoint(
        "GET", MODEL + "/lineage", Role.VIEWER, lineage.show_lineage,
        "What the versions of a model were made from, and what was made from them", query=("version",),
    ),
    Endpoint("GET", VERSION, Role.VIEWER, answers.show_version, "One version with its signature and metadata"),
    Endpoint(
        "POST", VERSION + "/load", Role.OPERATOR, answers.load_version,
        "Order a version to be loaded; it gets no traffic by that", status=202, body=ORDER,
    ),
    Endpoint(
        "POST", VERSION + "/unload", Role.OPERATOR, answers.unload_version,
        "Order a version to be unloaded; refused while it is needed", status=202, body=ORDER,
    ),
    Endpoint("GET", MODEL + "/route", Role.VIEWER, answers.show_route, "The route; its ETag is the quoted revision"),
    Endpoint(
        "PUT", MODEL + "/route", Role.OPERATOR, answers.put_route, "Replace the route",
        query=("reason", "force"), body=ROUTE, needs_match=True,
    ),
    Endpoint(
        "POST", MODEL + "/route/check", Role.OPERATOR, answers.check_route,
        "Say whether the route would be taken, and write nothing", query=("force",), body=ROUTE,
    ),
    Endpoint(
        "PATCH", MODEL + "/route/weights", Role.OPERATOR, answers.patch_weights,
        "Replace the split; the rest of the route stays", needs_match=True,
        body={
            "type": "object", "required": ["weights"], "additionalProperties": False,
            "properties": {"weights": WEIGHTS, "reason": REASON, "force": FORCE},
        },
    ),
    Endpoint(
        "POST", MODEL + "/route/restore", Role.OPERATOR, answers.restore_route,
        "Bring back an earlier revision (with If-Match), or after a wipe of the store what was served last",
        body={
            "type": "object", "additionalProperties": False,
            "properties": {"revision": {"type": "integer", "minimum": 1}, "reason": REASON},
        },
    ),
    Endpoint(
        "POST", ROLLOUTS, Role.OPERATOR, rollouts.start_rollout,
        "Start a rollout of one candidate or several, by the plan given or the route's", status=201,
        body=START, needs_match=True,
    ),
    Endpoint(
        "GET", CURRENT, Role.VIEWER, rollouts.show_rollout,
        "The last rollout: phase, verdict with reasons, counts, certificate",
    ),
    Endpoint(
        "POST", CURRENT + "/pause", Role.OPERATOR, rollouts.pause_rollout,
        "Stop where it stands; the guards go on watching", body=ORDER, needs_match=True,
    ),
    Endpoint(
        "POST", CURRENT + "/resume", Role.OPERATOR, rollouts.resume_rollout,
        "Go on from a pause, or open a gate", body=ORDER, needs_match=True,
    ),
    Endpoint(
        "POST", CURRENT + "/promote", Role.OPERATOR, rollouts.promote_rollout,
        "Skip the remaining steps; out of a hold with force, to the end with full", body=PROMOTE, needs_match=True,
    ),
    Endpoint(
        "POST", CURRENT + "/abort", Role.OPERATOR, rollouts.abort_rollout,
        "Give up: back to the split from before", body=ORDER, needs_match=True,
    ),
    Endpoint(
        "POST", CURRENT + "/retry", Role.OPERATOR, rollouts.retry_rollout,
        "Start an aborted or rolled back one anew; lifts the quarantine", body=ORDER, needs_match=True,
    ),
    Endpoint(
        "GET", MODEL + "/history", Role.VIEWER, answers.show_history, "Who did what and why, newest first",
        query=("limit",),
    ),
    Endpoint(
        "GET", MODEL + "/history/chain", Role.VIEWER, history.show_chain,
        "Whether the history is what was written: each entry holds the digest of the one before", query=("noted",),
    ),
    Endpoint(
        "GET", MODEL + "/history/export", Role.VIEWER, history.export_history,
        "The whole history, one entry a line, newest first", media_type=history.LINES,
    ),
    Endpoint(
        "GET", MODEL + "/quality", Role.VIEWER, quality.show_quality,
        "What labels said of each version, ever and in the last five minutes, hour and day",
    ),
    Endpoint(
        "GET", MODEL + "/drift", Role.VIEWER, drift.show_drift,
        "Whether each version is asked, answers and behaves as it used to, with reasons",
    ),
    Endpoint(
        "GET", MODEL + "/experiments/report", Role.VIEWER, experiments.show_report,
        "What labels and rewards say of two versions, with intervals that hold at every moment",
        query=experiments.QUERY,
    ),
    Endpoint(
        "GET", MODEL + "/explain", Role.VIEWER, answers.explain,
        "Which version a key gets and why; also ?header:x-tenant=acme and the like", query=("key",),
    ),
    Endpoint(
        "GET", MODEL + "/figures", Role.VIEWER, watching.show_figures,
        "Live shares, requests by outcome, fallbacks and p50, p95, p99 of each version since it was loaded",
    ),
    Endpoint(
        "GET", MODEL + "/recordings", Role.OPERATOR, recordings.export_recordings,
        "What this replica recorded of the model: one request a line, oldest first", media_type=recordings.LINES,
    ),
    Endpoint(
        "DELETE", MODEL + "/recordings", Role.OPERATOR, recordings.delete_recordings,
        "Delete what this replica recorded of the model",
    ),
    Endpoint(
        "GET", "/api/v1/recordings", Role.VIEWER, recordings.list_recordings,
        "How much this replica recorded of each model, since when",
    ),
    Endpoint(
        "GET", "/api/v1/notifications", Role.VIEWER, notifications.list_notifications,
        "Who is told of decisions, how that goes, and what was given up",
    ),
    Endpoint(
        "POST", "/api/v1/notifications/retry", Role.OPERATOR, notifications.retry_notifications,
        "Try again what was given up of a model: one key, or all", status=202, body=notifications.RETRY,
    ),
    Endpoint(
        "GET", LINK, None, links.show_link, "What a link of a notification would do, as a page with a button",
        media_type="text/html",
    ),
    Endpoint(
        "POST", LINK, None, links.use_link, "Do what the link offers, once; the token is the permission",
        media_type="text/html",
    ),
    Endpoint("GET", "/api/v1/fleet", Role.VIEWER, watching.show_fleet, "The workers, what they serve, and the store"),
    Endpoint("GET", "/api/v1/me", Role.VIEWER, watching.show_me, "Who the gateway takes you for, and your role"),
    Endpoint(
        "GET", "/api/v1/events", Role.VIEWER, watching.stream_events,
        "Server-sent events: everything once, then each model and the fleet whenever they change",
        media_type="text/event-stream",
    ),
    Endpoint("GET", METRICS, None, answers.metrics, "Prometheus metrics of all workers", media_type="text/plain"),
    Endpoint("GET", "/healthz", None, answers.live, "This process answers"),
    Endpoint("GET", "/readyz", None, answers.ready, "Every worker is ready; 503 with reasons otherwise"),
    Endpoint("GET", "/openapi.json", None, show_openapi, "This API as an OpenAPI 3.1 document"),
    Endpoint(
        "GET", "/docs", None, show_docs, "The APIs of both ports as a page, with examples", media_type="text/html"
    ),
    Endpoint("GET", "/docs/inference.json", None, docs.show_inference, "The inference port as an OpenAPI document"),
    Endpoint("GET", "/console/{file}", None, console.show_file, "A file of the console", media_type="*/*"),
    Endpoint("GET", "/", None, show_index, "The console for browsers; for others what is here"),
)  # fmt: skip
