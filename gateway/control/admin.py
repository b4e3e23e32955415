"""The admin port: who may in, and to which answer.

Access is decided by the route that matched, never by the request's URL, and before a byte of the
body is read. What a page of another site can make a browser send is refused.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.routing import Route

from gateway.control.admin_answers import Admin, Call
from gateway.control.admin_table import endpoints_of
from gateway.control.auth import Principal, Role, check_origin
from gateway.control.events import Events
from gateway.control.problems import answer_crash, answer_error, answer_http
from gateway.control.watching_answers import look
from gateway.core.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from gateway.control.auth import Door
    from gateway.control.drift_answers import Boards
    from gateway.control.endpoint import Endpoint
    from gateway.control.links import Links
    from gateway.control.operations import Operations
    from gateway.core.lineage import Lineage
    from gateway.ports.metrics import TrafficFigures
    from gateway.ports.notifications import NotificationDesk
    from gateway.ports.observing import RecordingShelf
    from gateway.ports.workers import Workers

ANYBODY: Final = Principal("anybody", Role.VIEWER)
"""Who is at an endpoint that is open to everybody."""

HEADERS: Final = {
    b"content-security-policy": b"default-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cache-control": b"no-store",
}
"""Sent with every answer: nothing inline, in no frame, in no cache."""


def create_admin(
    operations: Operations,
    workers: Workers,
    door: Door,
    render_metrics: Callable[[str], tuple[bytes, str]],
    about: Mapping[str, Any],
    *,
    describe: Callable[[str, int], Mapping[str, Any] | None] | None = None,
    lineage: Callable[[], Lineage] | None = None,
    tags: Callable[[str, Iterable[int]], Mapping[int, Mapping[str, str]]] | None = None,
    traffic: TrafficFigures | None = None,
    events: Events | None = None,
    notifications: NotificationDesk | None = None,
    recordings: RecordingShelf | None = None,
    drift: Boards | None = None,
    links: Links | None = None,
    inference_api: Callable[[], Mapping[str, Any]] | None = None,
    metrics_auth: bool = False,
) -> Starlette:
    """Return the admin application.

    *render_metrics* turns an Accept header into a scrape and its content type, *about* is what ``/``
    says of this gateway (``name``, ``version``), *describe* returns a version's metadata as JSON
    values or None; it may block, and may raise InvalidModel. *lineage* returns that of all versions, *tags* what is
    said of versions of a model; both may block.
    *events* are what ``/api/v1/events`` streams, by default without nudges. *inference_api* makes the inference
    port's OpenAPI document, for the page that shows it. With *metrics_auth* ``/metrics`` is for viewers only.
    """
    given = {
        "describe": describe, "lineage": lineage, "tags": tags, "traffic": traffic, "notifications": notifications,
        "recordings": recordings, "drift": drift, "links": links, "inference_api": inference_api,
    }  # fmt: skip
    known: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    events = events or Events(partial(look, operations, workers))
    admin = Admin(operations, workers, door, render_metrics, events, about, metrics_auth=metrics_auth, **known)
    paths = _by_path(endpoints_of(metrics_auth=metrics_auth))
    app = Starlette(
        routes=[Route(path, Resource(admin, methods), name=path) for path, methods in paths.items()],
        middleware=[Middleware(SafeHeaders)],
        exception_handlers={GatewayError: answer_error, HTTPException: answer_http, Exception: answer_crash},
    )
    app.router.redirect_slashes = False
    return app


class Resource:
    """One path: the ASGI application that lets somebody in and calls the answer for the method."""

    def __init__(self, admin: Admin, methods: Mapping[str, Endpoint]) -> None:
        self._admin = admin
        self._methods = methods

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        endpoint = self._endpoint(request.method)
        principal = self._admit(request, endpoint)
        response: Response = await endpoint.answer(Call(self._admin, request, principal))
        await response(scope, receive, send)

    def _endpoint(self, method: str) -> Endpoint:
        found = self._methods.get("GET" if method == "HEAD" else method)
        if found is None:
            allowed = sorted([*self._methods, *(["HEAD"] if "GET" in self._methods else [])])
            raise HTTPException(405, f"this takes {', '.join(allowed)}", headers={"allow": ", ".join(allowed)})
        return found

    def _admit(self, request: Request, endpoint: Endpoint) -> Principal:
        if endpoint.role is None:
            return ANYBODY
        principal = self._admin.door.identify(request.client.host if request.client else None, request.headers)
        check_origin(request.headers, changes=request.method not in {"GET", "HEAD"})
        principal.check(endpoint.role)
        if "model" in request.path_params:
            principal.check_model(request.path_params["model"])
        return principal


class SafeHeaders:
    """Adds HEADERS to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *HEADERS.items()]
            await send(message)

        await self._app(scope, receive, send_safely)


def _by_path(endpoints: Iterable[Endpoint]) -> dict[str, dict[str, Endpoint]]:
    paths: dict[str, dict[str, Endpoint]] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method] = endpoint
    return paths
