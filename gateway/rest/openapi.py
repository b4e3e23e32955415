"""The inference port as an OpenAPI 3.1 document: one row per verb and path, every status that is sent.

A path of the port has its row in OPERATIONS; a test compares the two. The statuses of errors are read out of
``rest/problems.py``, so that a row says what can go wrong and never which number that is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gateway import __version__
from gateway.core import errors
from gateway.core.names import MODEL_NAME, VERSION_NUMBER
from gateway.rest.problems import TABLE
from gateway.rest.schemas import SCHEMAS, TEXT, ref

if TYPE_CHECKING:
    from gateway.core.errors import GatewayError

MODEL: Final = "/v2/models/{model}"
VERSION: Final = MODEL + "/versions/{version}"


@dataclass(frozen=True, slots=True)
class Operation:
    """One verb of one path. *answer* names the schema of a good answer, which has *status*, and of the statuses in
    *also*; without one there is no good answer, and those are errors.

    *errors* are those that end here; *body* names the schema of what is read. *is_inference* adds the headers
    that only inference reads and sends. *is_order* adds what an order is asked
    with, and lets its body be left out.
    """

    method: str
    path: str
    name: str
    summary: str
    answer: str
    also: tuple[int, ...] = ()
    errors: tuple[type[GatewayError], ...] = ()
    body: str = ""
    is_inference: bool = False
    is_order: bool = False
    status: int = 200

    @property
    def is_binary(self) -> bool:
        """Say whether its bodies have a binary form: those of version 1 have none."""
        return self.path.endswith("/infer")


UNKNOWN: Final = (errors.UnknownModel, errors.UnknownVersion)
DESCRIBED: Final = (*UNKNOWN, errors.Starting, errors.VersionUnavailable)
READ: Final = (errors.InvalidRequest, errors.RequestTooLarge)
ORDERS: Final = (
    errors.Unauthenticated, errors.Forbidden, errors.TooManyAttempts, errors.VersionInUse, errors.LoadFailed,
    errors.StoreUnavailable,
)  # fmt: skip
"""What only an order to load or unload can end in."""
ORDERED: Final = (*READ, *UNKNOWN, *ORDERS)
LABELLED: Final = (*DESCRIBED, errors.UnknownAlias)
JUDGED: Final = (errors.UnknownPrediction, errors.LabelTooLate, errors.LabelConflict)
"""What only feedback can end in."""
PREDICTED: Final = tuple(error for error in TABLE if error not in (*ORDERS, *JUDGED))
INFERRED: Final = tuple(error for error in PREDICTED if error is not errors.UnknownAlias)

VERSION_1: Final = "/v1/models/{model}"
NAMED_BY_1: Final = (("", ""), ("/versions/{version}", "OfVersion"), ("/labels/{label}", "OfLabel"))
"""How v1 names a version: by the route, by its number, by a label."""

OPERATIONS: Final = (
    Operation("GET", "/v2", "showServer", "Name, version and extensions of the server", "Server"),
    Operation("GET", "/v2/", "showServerToo", "The same, as some clients ask", "Server"),
    Operation("GET", "/v2/health/live", "isLive", "The worker answers", "Live"),
    Operation("GET", "/v2/health/ready", "isReady", "Every model has a route it can serve", "Ready", (503,)),
    Operation("GET", "/v2/models", "listModels", "The names of the models", "Models"),
    Operation(
        "POST", "/v2/repository/index", "listVersions", "Every version and its state, or those that are READY", "Index",
        errors=READ, body="IndexRequest", is_order=True,
    ),
    *(
        Operation(
            "POST", f"/v2/repository/models/{{model}}{version}/{verb}", f"{verb}{which}", summary, answer,
            errors=ORDERED, body="Order", is_order=True,
        )
        for version, which in (("", "Model"), ("/versions/{version}", "Version"))
        for verb, summary, answer in (
            ("load", "Load, and wait until it is READY", "Loaded"),
            ("unload", "Take out of service, and wait until it is", "Unloaded"),
        )
    ),
    Operation("GET", "/v2/models/stats", "showAllStatistics", "Statistics of every READY version", "Statistics"),
    Operation("GET", MODEL + "/stats", "showStatistics", "Statistics of the READY versions", "Statistics", (), UNKNOWN),
    Operation("GET", VERSION + "/stats", "showVersionStatistics", "Of one version", "Statistics", (), DESCRIBED),
    Operation("GET", MODEL + "/config", "showConfig", "Configuration of the baseline", "Config", errors=DESCRIBED),
    Operation("GET", VERSION + "/config", "showVersionConfig", "Of one version", "Config", errors=DESCRIBED),
    Operation("GET", MODEL, "showModel", "Signature of the baseline", "Model", errors=DESCRIBED),
    Operation("GET", VERSION, "showVersion", "Signature of one version", "Model", errors=DESCRIBED),
    Operation("GET", MODEL + "/ready", "isModelReady", "The model is served", "ModelReady", (503,), UNKNOWN),
    Operation("GET", VERSION + "/ready", "isVersionReady", "The version is READY", "ModelReady", (503,), UNKNOWN),
    Operation(
        "POST", MODEL + "/infer", "infer", "Inference, by the route", "InferAnswer",
        errors=INFERRED, body="InferRequest", is_inference=True,
    ),
    Operation(
        "POST", VERSION + "/infer", "inferByVersion", "Inference by one version: no assignment, no fallback",
        "InferAnswer", errors=INFERRED, body="InferRequest", is_inference=True,
    ),
    Operation(
        "POST", MODEL + "/feedback", "giveFeedback", "What the answers to these ids should have been", "FeedbackTaken",
        errors=(*READ, errors.UnknownModel, *JUDGED, errors.Forbidden, errors.StoreUnavailable), body="Feedback",
        status=202,
    ),
    Operation("GET", "/", "isAlive", "The worker answers, in the words of KServe's v1", "Alive"),
    Operation("GET", "/v1/models", "listModels1", "The names of the models", "Models"),
    *(
        Operation("GET", f"{VERSION_1}{named}", f"showStatus1{which}", "Versions' states", "Status1", (503,), LABELLED)
        for named, which in NAMED_BY_1
    ),
    *(
        Operation(
            "GET", f"{VERSION_1}{named}/metadata", f"showMetadata1{which}", "Signature", "Metadata1", errors=LABELLED
        )
        for named, which in NAMED_BY_1
    ),
    *(
        Operation(
            "POST", f"{VERSION_1}{named}:predict", f"predict1{which}", "Inference", "PredictAnswer",
            errors=PREDICTED, body="PredictRequest", is_inference=True,
        )
        for named, which in NAMED_BY_1
    ),
    *(
        Operation("POST", f"{VERSION_1}{named}:{{verb}}", f"notOffered1{which}", "Not offered", "", (404, 501))
        for named, which in NAMED_BY_1
    ),
    Operation("GET", "/openapi.json", "showOpenapi", "This port as an OpenAPI 3.1 document", "OpenApi"),
)  # fmt: skip

EVERYWHERE: Final = {500: "a fault of the gateway"}
"""Statuses that any path may send, beside those of its own errors."""

BEFORE: Final = {
    400: "framed strangely", 408: "too slow", 413: "too many chunks", 414: "the URL is too long",
    417: "an unknown expectation", 431: "the headers are too large", 503: "too many connections", 505: "not HTTP/1.1",
}  # fmt: skip
"""Statuses of what is refused before it is a request (by the guard of the connection)."""

NAMED: Final = {
    "model": {**TEXT, "pattern": f"^(?:{MODEL_NAME.pattern})$"},
    "version": {**TEXT, "pattern": f"^(?:{VERSION_NUMBER.pattern})$"},
    "label": {**TEXT, "pattern": "^[a-zA-Z0-9_]+$"},
    "verb": {"enum": ["classify", "regress", "explain"]},
}

TIMED: Final = {"x-request-timeout-ms": {"type": "integer", "minimum": 1, "maximum": 999_999_999}}
"""What only inference reads."""

SIZED: Final = {"inference-header-content-length": {"type": "integer", "minimum": 0}}
"""What only inference with binary tensors reads."""

REQUEST_ID: Final = {"x-request-id": {"required": True, "schema": TEXT}}

TOLD: Final = {f"x-gateway-{name}": {"schema": TEXT} for name in ("version", "revision", "rule", "fallback-from")}
"""Headers of an answer that a version was chosen for, an error too."""

RETRY: Final = {"retry-after": {"schema": {"type": "integer"}}}


def describe_port() -> dict[str, Any]:
    """Return the OpenAPI document."""
    paths: dict[str, dict[str, Any]] = {}
    for each in OPERATIONS:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Gateway inference port", "version": __version__},
        "paths": paths,
        "components": {"schemas": {**SCHEMAS, "OpenApi": {"type": "object", "required": ["openapi", "paths"]}}},
    }


def _operation(each: Operation) -> dict[str, Any]:
    described = {
        "operationId": each.name,
        "summary": each.summary,
        "parameters": _parameters(each),
        "responses": {str(status): answer for status, answer in sorted(_answers(each).items())},
    }
    if each.body:
        described["requestBody"] = {"required": not each.is_order, "content": _content(each, each.body)}
    return described


def _parameters(each: Operation) -> list[dict[str, Any]]:
    in_path = [
        {"name": name, "in": "path", "required": True, "schema": NAMED[name]}
        for name in re.findall(r"{(\w+)}", each.path)
    ]
    asked = {"x-request-id": TEXT, **(TIMED if each.is_inference else {}), **(SIZED if each.is_binary else {})}
    if each.is_order and "{model}" in each.path:
        asked["authorization"] = TEXT
        in_path.append({"name": "version", "in": "query", "schema": NAMED["version"]})
    return [*in_path, *({"name": name, "in": "header", "schema": schema} for name, schema in asked.items())]


def _answers(each: Operation) -> dict[int, dict[str, Any]]:
    """Return status → what is answered with it. A status that is both its own answer and an error's has either."""
    own = [ref(each.answer or "Error")]
    found = {each.status: _answer(each, each.status, each.summary, _content(each, each.answer))} if each.answer else {}
    causes = {status: [why] for status, why in EVERYWHERE.items()}
    for error in each.errors:
        causes.setdefault(TABLE[error][0], []).append(error.__name__)
    for status in {*causes, *each.also}:
        why = [
            *causes.get(status, ()),
            *(["not ready" if each.answer else "not offered"] if status in each.also else []),
        ]
        either = [*(own if status in each.also else []), *([ref("Error")] if status in causes else [])]
        schema = either[0] if len(either) == 1 else {"anyOf": either}
        found[status] = _answer(each, status, ", ".join(why), {"application/json": {"schema": schema}})
    return found | {status: _refused(status, why) for status, why in BEFORE.items() if status not in found}


def _refused(status: int, why: str) -> dict[str, Any]:
    headers = {**REQUEST_ID, **(RETRY if status == 503 else {})}
    return {"description": why, "headers": headers, "content": {"application/json": {"schema": ref("Error")}}}


def _answer(each: Operation, status: int, why: str, content: dict[str, Any]) -> dict[str, Any]:
    if status in BEFORE:
        why = f"{why}, {BEFORE[status]}"
        schema = content["application/json"]["schema"]
        content = {
            "application/json": {"schema": schema if schema == ref("Error") else {"anyOf": [schema, ref("Error")]}}
        }
    headers = {**REQUEST_ID, **(TOLD if each.is_inference else {}), **(RETRY if status in {429, 503} else {})}
    return {"description": why, "headers": headers, "content": content}


def _content(each: Operation, schema: str) -> dict[str, Any]:
    """Return the media types of a body; the binary form is the JSON and then the tensors."""
    binary: dict[str, Any] = {"application/octet-stream": {"schema": {}}} if each.is_binary else {}
    return {"application/json": {"schema": ref(schema)}, **binary}
