"""Triton's extensions over HTTP: the repository, statistics, configurations. Translates, decides nothing.

An order is refused for its caller before a byte of its body is read.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from starlette.requests import ClientDisconnect
from starlette.routing import Route

from gateway.core.errors import InvalidDocument, InvalidRequest, RequestTooLarge
from gateway.core.members import shown
from gateway.core.strict_json import strict_json
from gateway.ports.workers import Caller
from gateway.rest.responses import answer
from gateway.serving.bodies import SMALL_BYTES
from gateway.serving.configuration import model_config
from gateway.serving.orders import ordered_version
from gateway.serving.statistics import model_stats

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from gateway.ports.metrics import Statistics
    from gateway.ports.workers import RepositoryControl
    from gateway.serving.description import Description

BODY_BYTES: Final = 1 << 20
"""The largest body of an order: a model's file does not belong in it."""
BODY_SECONDS: Final = 10.0


class Extensions:
    """The endpoints of the extensions."""

    def __init__(self, described: Description, control: RepositoryControl, statistics: Statistics) -> None:
        self._described = described
        self._control = control
        self._statistics = statistics

    def routes(self) -> list[Route]:
        """Return the routes; they come before those of the models, one of which would take ``/v2/models/stats``."""
        model = "/v2/models/{model}"
        ordered = "/v2/repository/models/{model}"
        routes = [
            Route("/v2/models/stats", self._stats),
            Route("/v2/repository/index", self._index, methods=["POST"]),
        ]
        for version in ("", "/versions/{version}"):
            routes += [
                Route(f"{model}{version}/stats", self._stats),
                Route(f"{model}{version}/config", self._config),
                Route(f"{ordered}{version}/load", self._load, methods=["POST"]),
                Route(f"{ordered}{version}/unload", self._unload, methods=["POST"]),
            ]
        return routes

    async def _index(self, request: Request) -> Response:
        wanted = (await object_of(request, SMALL_BYTES)).get("ready", False)
        if not isinstance(wanted, bool):
            raise InvalidRequest(f"ready: {shown(wanted)} is neither true nor false", "invalid_parameter")
        members = ("name", "version", "state", "reason")
        rows = self._described.index(only_ready=wanted)
        return answer([dict(zip(members, row, strict=True)) for row in rows])

    async def _config(self, request: Request) -> Response:
        model = request.path_params["model"]
        version = self._described.named(model, request.path_params.get("version"))
        return answer(model_config(model, self._described.signature(model, version)))

    async def _stats(self, request: Request) -> Response:
        model, version = request.path_params.get("model"), request.path_params.get("version")
        versions = self._described.counted_versions(model, version)
        return answer(model_stats(versions, await asyncio.to_thread(self._statistics.figures)))

    async def _load(self, request: Request) -> Response:
        who = self._control.admit(_caller(request), request.path_params["model"])
        model, version = await _ordered(request)
        await self._control.load(model, version, who=who)
        return answer({"name": model, "load": True})

    async def _unload(self, request: Request) -> Response:
        who = self._control.admit(_caller(request), request.path_params["model"])
        model, version = await _ordered(request)
        await self._control.unload(model, version, who=who)
        return answer({"name": model, "unload": True})


def _caller(request: Request) -> Caller:
    return Caller(request.client.host if request.client else None, request.headers)


async def _ordered(request: Request) -> tuple[str, int | None]:
    """Return the model and the version that an order names."""
    model: str = request.path_params["model"]
    parameters = (await object_of(request)).get("parameters", {})
    if not isinstance(parameters, dict):
        raise InvalidRequest(f"parameters: {shown(parameters)} is no object", "invalid_parameter")
    queried = request.query_params.getlist("version")
    return model, ordered_version(model, parameters, request.path_params.get("version"), *queried)


async def object_of(request: Request, most: int = BODY_BYTES) -> Mapping[str, Any]:
    """Return the object in the body, an empty one where there is no body. Unknown members are the reader's to ignore.

    *most*: the bytes of it; few where anybody may ask, for what is read here has no part of ``Bodies``.

    Content types are not looked at: Triton's client sends none.
    """
    return object_in(await body_of(request, most))


def object_in(body: bytes) -> Mapping[str, Any]:
    """Return the object that *body* holds, as ``object_of`` does."""
    if not body.strip():
        return {}
    try:
        value = strict_json(body, limit=BODY_BYTES)
    except InvalidDocument as exc:
        raise InvalidRequest(f"the body cannot be read: {exc.reason}", "invalid_json") from exc
    if not isinstance(value, dict):
        raise InvalidRequest(f"the body is {shown(value)}; send an object, or nothing", "invalid_json")
    return value


async def body_of(request: Request, most: int = BODY_BYTES) -> bytes:
    """Return the body; never more than *most* bytes, never later than BODY_SECONDS."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > most:
                    raise RequestTooLarge(f"the body is over the {most} bytes that this path reads")
    except TimeoutError as exc:
        raise InvalidRequest(
            f"the body did not arrive within {BODY_SECONDS:g} s; send it whole", "invalid_json"
        ) from exc
    except ClientDisconnect as exc:
        raise InvalidRequest("the client left before its body had arrived", "invalid_json") from exc
    return bytes(body)
