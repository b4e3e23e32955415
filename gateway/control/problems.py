"""Errors of the domain → problem documents of the admin API (RFC 9457), by one table.

Each names the trace that the caller says its request belongs to, as those of the inference port do.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from gateway.core import errors
from gateway.core.phases import MoveRefused
from gateway.core.trace_context import TRACEPARENT, read_trace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response

MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:canary-gateway:problem:"

TABLE: Final[Mapping[type[errors.GatewayError], tuple[int, str, str]]] = {
    errors.InvalidRequest: (400, "invalid-request", "The request cannot be read"),
    errors.Unauthenticated: (401, "unauthenticated", "A token is needed"),
    errors.Forbidden: (403, "forbidden", "This is not allowed"),
    errors.UnknownModel: (404, "unknown-model", "There is no such model"),
    errors.UnknownVersion: (404, "unknown-version", "There is no such version"),
    errors.UnknownRoute: (404, "unknown-route", "The model has no route"),
    errors.NoRollout: (404, "no-rollout", "The model has no rollout"),
    errors.VersionUnavailable: (409, "version-unavailable", "The version cannot take traffic"),
    errors.VersionInUse: (409, "version-in-use", "The version is needed"),
    errors.VersionQuarantined: (409, "version-quarantined", "The version was rolled back"),
    errors.RolloutUnderWay: (409, "rollout-under-way", "A rollout is under way"),
    errors.RouteOptimized: (409, "route-optimized", "Labels move the weights"),
    MoveRefused: (409, "move-refused", "The rollout cannot do this now"),
    errors.NothingToRestore: (409, "nothing-to-restore", "There is nothing to restore"),
    errors.CorruptRoute: (409, "corrupt-route", "The stored route cannot be used"),
    errors.RevisionConflict: (412, "revision-conflict", "Somebody changed the route first"),
    errors.RequestTooLarge: (413, "too-large", "The body is too large"),
    errors.UnsupportedMediaType: (415, "unsupported-media-type", "The body must be JSON"),
    errors.InvalidDocument: (422, "invalid-document", "The request is well-formed and wrong"),
    errors.TooManyAttempts: (429, "too-many-attempts", "Too many wrong tokens"),
    errors.StoreUnavailable: (503, "store-unavailable", "The store does not answer"),
    errors.RecordingsUnreadable: (503, "recordings-unreadable", "The recordings cannot be used"),
    errors.GatewayError: (500, "internal", "The gateway failed"),
}
"""Error → status, last part of the type, title. A subclass has its own row or is answered as its parent."""

MEMBERS: Final = ("field", "actual", "state", "code", "phase")
"""Attributes of an error that a script may want, as extension members of the problem."""

UNREAD: Final = frozenset({401, 403, 408, 413, 415, 429})
"""Answers that are given before the body was read: the connection ends with them, so that nobody goes on sending."""


async def answer_error(request: Request, error: Exception) -> Response:
    """Return the problem document for an error of the domain."""
    assert isinstance(error, errors.GatewayError)
    status, kind, title = _row(error)
    members = {name: value for name in MEMBERS if (value := getattr(error, name, None)) not in {None, ""}}
    return _problem(request, status, kind, title, str(error), headers=_headers(error), **members)


def status_and_title(error: errors.GatewayError) -> tuple[int, str]:
    """Return what a page for people says of an error."""
    status, _, title = _row(error)
    return status, title


def _row(error: errors.GatewayError) -> tuple[int, str, str]:
    return next(TABLE[cls] for cls in type(error).__mro__ if cls in TABLE)


async def answer_http(request: Request, error: Exception) -> Response:
    """Return the problem document for an answer that HTTP itself asks for, such as 404 and 405."""
    assert isinstance(error, HTTPException)
    title = HTTPStatus(error.status_code).phrase
    kind = title.lower().replace(" ", "-")
    return _problem(request, error.status_code, kind, title, error.detail, headers=error.headers)


async def answer_crash(request: Request, _error: Exception) -> Response:
    """Return a 500 that tells the caller nothing; the server logs the traceback, as the error is raised again."""
    return _problem(request, 500, "internal", "The gateway failed", "the log of the gateway holds the reason")


def _problem(
    request: Request,
    status: int,
    kind: str,
    title: str,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    **members: Any,
) -> Response:
    content = {
        "type": TYPE_PREFIX + kind,
        "title": title,
        "status": status,
        "detail": detail,
        **members,
        **_trace(request),
    }
    head = dict(headers or {})
    if status in UNREAD and _has_body(request):
        head["connection"] = "close"
    return JSONResponse(content, status, headers=head, media_type=MEDIA_TYPE)


def _trace(request: Request) -> Mapping[str, str]:
    """Return the member that names the caller's trace; none where it names no readable one."""
    parents = [value.encode("latin-1") for value in request.headers.getlist(TRACEPARENT)]
    trace = read_trace(parents, ())
    return {} if trace is None else {"trace_id": trace.trace_id}


def _headers(error: errors.GatewayError) -> Mapping[str, str]:
    if isinstance(error, errors.Unauthenticated):
        return {"www-authenticate": 'Bearer realm="gateway"'}
    if isinstance(error, errors.StoreUnavailable):
        return {"retry-after": "1"}
    if isinstance(error, errors.TooManyAttempts):
        return {"retry-after": str(error.retry_after_seconds)}
    return {}


def _has_body(request: Request) -> bool:
    return request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers
