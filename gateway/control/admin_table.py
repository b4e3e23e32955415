"""The endpoints of the admin API: one table makes the routes, the access checks and the OpenAPI document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.responses import JSONResponse

from gateway.control import admin_answers as answers
from gateway.control.auth import Role
from gateway.control.endpoint import Endpoint
from gateway.control.openapi import describe_api

if TYPE_CHECKING:
    from starlette.responses import Response

MODEL: Final = "/api/v1/models/{model}"
VERSION: Final = MODEL + "/versions/{version}"

WEIGHTS: Final = {"$ref": "#/components/schemas/Split"}
REASON: Final = {"type": "string", "maxLength": 500}
ROUTE: Final = {"$ref": "#/components/schemas/Route"}
ORDER: Final = {"type": "object", "properties": {"reason": REASON}, "additionalProperties": False}


async def show_index(call: answers.Call) -> Response:
    """Name what is here, for somebody who found the port."""
    listed = [
        {"method": e.method, "path": e.path, "role": e.role.name.lower() if e.role else None, "summary": e.summary}
        for e in ENDPOINTS
    ]
    return JSONResponse({**call.admin.about, "endpoints": listed})


async def show_openapi(call: answers.Call) -> Response:
    return JSONResponse(describe_api(ENDPOINTS, version=str(call.admin.about.get("version", "0"))))


ENDPOINTS: Final = (
    Endpoint("GET", "/api/v1/models", Role.VIEWER, answers.list_models, "All models, their routes and versions"),
    Endpoint("GET", MODEL, Role.VIEWER, answers.show_model, "One model, its route and versions"),
    Endpoint("GET", MODEL + "/versions", Role.VIEWER, answers.list_versions, "The versions of a model"),
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
        query=("reason",), body=ROUTE, needs_match=True,
    ),
    Endpoint(
        "PATCH", MODEL + "/route/weights", Role.OPERATOR, answers.patch_weights,
        "Replace the split; the rest of the route stays", needs_match=True,
        body={
            "type": "object", "required": ["weights"], "additionalProperties": False,
            "properties": {"weights": WEIGHTS, "reason": REASON},
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
        "GET", MODEL + "/history", Role.VIEWER, answers.show_history, "Who did what and why, newest first",
        query=("limit",),
    ),
    Endpoint(
        "GET", MODEL + "/explain", Role.VIEWER, answers.explain,
        "Which version a key gets and why; also ?header:x-tenant=acme and the like", query=("key",),
    ),
    Endpoint("GET", "/metrics", None, answers.metrics, "Prometheus metrics of all workers", media_type="text/plain"),
    Endpoint("GET", "/healthz", None, answers.live, "This process answers"),
    Endpoint("GET", "/readyz", None, answers.ready, "Every worker is ready; 503 with reasons otherwise"),
    Endpoint("GET", "/openapi.json", None, show_openapi, "This API as an OpenAPI 3.1 document"),
    Endpoint("GET", "/", None, show_index, "What is here"),
)  # fmt: skip
