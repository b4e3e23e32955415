"""The inference port: which path is answered by what.

Inference goes straight to its own callable; everything else (health, metadata, the index of
versions) is a small table of Starlette routes.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from gateway import __version__
from gateway.core.errors import GatewayError
from gateway.core.names import version_number
from gateway.core.trace_context import TRACEPARENT, read_trace
from gateway.rest.asgi import answer as answer_inference
from gateway.rest.bounded import BoundedExchange, BoundedPrediction
from gateway.rest.exchange import Exchange
from gateway.rest.extensions import Extensions
from gateway.rest.feedback import FeedbackDoor
from gateway.rest.openapi import describe_port
from gateway.rest.problems import Problem
from gateway.rest.responses import answer
from gateway.rest.v1 import PREDICT, Version1
from gateway.rest.v1_exchange import PredictionExchange
from gateway.serving.description import EXTENSIONS, PLATFORM, SERVER, Description

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, MutableMapping, Sequence

    from starlette.requests import Request

    from gateway.models.catalog import Catalog
    from gateway.ports.labels import Feedback
    from gateway.ports.metrics import Statistics
    from gateway.ports.workers import RepositoryControl
    from gateway.rest.asgi import Receive, Scope, Send
    from gateway.rest.exchange import Inference
    from gateway.serving.lanes import Lanes
    from gateway.serving.live import LiveTable


INFER: Final = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?/infer")

OFFERED: Final = ["binary_tensor_data", *EXTENSIONS]
"""What this door offers beyond the protocol, and nothing else."""


class InferencePort:
    """The ASGI application of a data worker."""

    def __init__(self, inference: Inference, others: Starlette) -> None:
        self._inference = inference
        self._others = others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or refuse one that is not HTTP."""
        if scope["type"] != "http":
            return
        path, by_post = scope["path"], scope["method"] == "POST"
        match = (INFER.fullmatch(path) or PREDICT.fullmatch(path)) if by_post else None
        if match is None:
            await self._describe(scope, receive, send)
            return
        model, version, *label = match.groups()
        number = version_number(version) if version is not None else None
        if version is not None and number is None:
            await self._describe(scope, receive, send)
            return
        begin = self._begin(scope, label)
        await answer_inference(self._inference, model, number, scope, receive, send, begin=begin)

    def _begin(self, scope: Scope, label: Sequence[str | None]) -> Callable[..., Exchange]:
        """Return what makes the exchange: of v1 where there is a *label*, or the place for one."""
        if self._inference.callers is None:
            return partial(PredictionExchange, label=label[0]) if label else Exchange
        address = scope["client"][0] if scope["client"] else ""
        if label:
            return partial(BoundedPrediction, address=address, label=label[0])
        return partial(BoundedExchange, address=address)

    async def _describe(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer anything but inference, under a request id as well."""
        given = next((value for name, value in scope["headers"] if name == b"x-request-id"), None)
        scope["request_id"] = request_id = self._inference.request_id(given)
        scope["trace_id"] = _trace_id(scope["headers"])

        async def stamped(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"].append((b"x-request-id", request_id.encode()))
            await send(message)

        await self._others(scope, receive, stamped)


def _trace_id(headers: Sequence[tuple[bytes, bytes]]) -> str:
    """Return the trace that a caller names, empty where it names none."""
    trace = read_trace([value for name, value in headers if name == TRACEPARENT.encode()], ())
    return "" if trace is None else trace.trace_id


def problem(error: GatewayError, request_id: str, trace_id: str = "") -> Response:
    """Return the answer for *error*."""
    made = Problem(error, request_id, trace_id)
    response = Response(made.body, made.status)
    response.raw_headers.extend(made.headers)
    return response


class Metadata:
    """The endpoints that describe: health, server, models, versions."""

    def __init__(
        self,
        table: LiveTable,
        lanes: Lanes,
        catalog: Catalog,
        not_ready: Callable[[], Mapping[str, str]],
        control: RepositoryControl,
        statistics: Statistics,
        *,
        feedback: Feedback | None = None,
    ) -> None:
        """*feedback* is None where it is off."""
        self._described = Description(table, lanes, catalog)
        self._extensions = Extensions(self._described, control, statistics)
        self._feedback = FeedbackDoor(self._described, feedback)
        self._not_ready = not_ready

    def app(self) -> Starlette:
        """Return the Starlette application of these endpoints."""
        model = "/v2/models/{model}"
        version = model + "/versions/{version}"
        app = Starlette(
            routes=[
                Route("/v2", self._server),
                Route("/v2/", self._server),
                Route("/v2/health/live", self._live),
                Route("/v2/health/ready", self._ready),
                Route("/v2/models", self._models),
                *self._extensions.routes(),
                *self._feedback.routes(),
                Route(model, self._model),
                Route(version, self._model),
                Route(model + "/ready", self._model_ready),
                Route(version + "/ready", self._model_ready),
                Route(model + "/infer", self._infer_by_post, methods=["POST"]),
                Route(version + "/infer", self._infer_by_post, methods=["POST"]),
                Route("/openapi.json", self._openapi),
                *Version1(self._described).routes(),
            ],
            exception_handlers={GatewayError: _gateway_error, HTTPException: _http_error},
        )
        app.router.redirect_slashes = False
        return app

    async def _server(self, _: Request) -> Response:
        return answer({"name": SERVER, "version": __version__, "extensions": OFFERED})

    async def _openapi(self, _: Request) -> Response:
        return answer(describe_port())

    async def _live(self, _: Request) -> Response:
        return answer({"live": True})

    async def _ready(self, _: Request) -> Response:
        reasons = self._not_ready()
        if reasons:
            return answer({"ready": False, "reasons": dict(reasons)}, 503)
        return answer({"ready": True})

    async def _models(self, _: Request) -> Response:
        return answer({"models": self._described.models()})

    async def _model(self, request: Request) -> Response:
        model, version = self._named(request)
        signature = self._described.signature(model, version)
        return answer(
            {
                "name": model,
                "versions": self._described.ready_versions(model),
                "platform": PLATFORM,
                "inputs": [_tensor(spec) for spec in signature.inputs],
                "outputs": [_tensor(spec) for spec in signature.outputs],
            }
        )

    async def _model_ready(self, request: Request) -> Response:
        model, version = self._named(request)
        ready = self._described.is_ready(model, version)
        return answer({"name": model, "ready": ready}, 200 if ready else 503)

    async def _infer_by_post(self, request: Request) -> Response:
        """Refuse what only looks like inference: a version that is no number, a line break behind the path.

        Inference itself never gets here. The route also gives other verbs their 405 with Allow.
        """
        self._named(request)
        raise HTTPException(404)

    def _named(self, request: Request) -> tuple[str, int | None]:
        model = request.path_params["model"]
        return model, self._described.named(model, request.path_params.get("version"))


def _tensor(spec: Any) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": list(spec.shape)}


async def _gateway_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, GatewayError)
    return problem(error, request.scope["request_id"], request.scope["trace_id"])


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    text = {
        404: "there is nothing at this path",
        405: "this path does not answer that verb",
        501: "this gateway predicts only; ask :predict",
    }
    code = {404: "unknown_path", 405: "wrong_verb", 501: "not_offered"}.get(error.status_code, "refused")
    body = {
        "error": text.get(error.status_code, error.detail),
        "code": code,
        "request_id": request.scope["request_id"],
        **({"trace_id": trace_id} if (trace_id := request.scope["trace_id"]) else {}),
    }
    made = answer(body, error.status_code)
    for name, value in (error.headers or {}).items():
        made.headers[name] = value
    return made
