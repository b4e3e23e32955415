"""The admin API as an OpenAPI 3.1 document, made from the table of endpoints, so that it cannot say anything else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from gateway.control.problems import MEDIA_TYPE
from gateway.core.alarms import MAX_ALARMS, THEN
from gateway.core.experiment import METRICS, RULE
from gateway.core.keeping import STREAM_MOST
from gateway.core.names import MODEL_NAME, VERSION_NUMBER
from gateway.core.optimize import LEAST_MIN_LABELS, MOST_MIN_LABELS, MOST_VERSIONS
from gateway.core.policies import POLICIES
from gateway.core.reference import MAX_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.control.endpoint import Endpoint

SPLIT: Final = {
    "type": "object",
    "description": "version → weight; any positive sum, 0 means never",
    "propertyNames": {"pattern": f"^(?:{VERSION_NUMBER.pattern})$"},
    "additionalProperties": {"type": "integer", "minimum": 0, "maximum": 1_000_000_000},
    "minProperties": 1,
    "maxProperties": 255,
}

PERCENT: Final = {"type": "string", "examples": ["0.5%"]}
DURATION: Final = {"type": "string", "pattern": "^[1-9][0-9]{0,6}[smh]$", "examples": ["60s", "5m", "1h"]}
WEIGHT: Final = {"type": ["number", "string"], "description": "percent", "examples": [5, "0.5%"]}
WEIGHTS: Final = {
    "description": "percent of each candidate, or candidate → percent",
    "oneOf": [WEIGHT, {"type": "object", "additionalProperties": WEIGHT, "minProperties": 1}],
}
STEP: Final = {
    "type": "object",
    "required": ["weight", "for"],
    "additionalProperties": False,
    "properties": {"weight": WEIGHTS, "for": DURATION, "approve": {"type": "boolean"}},
}

ALARM: Final = {
    "type": "object",
    "required": ["name", "query"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "pattern": "^[a-zA-Z0-9_-]{1,64}$"},
        "query": {"type": "string", "minLength": 1, "maxLength": 2_000, "description": "PromQL"},
        "fires": {"type": "string", "description": "without it, any answer fires", "examples": ["> 0.05"]},
        "for": DURATION,
        "grace": DURATION,
        "then": {"enum": list(THEN)},
    },
}
POLICY: Final[dict[str, Any]] = {
    "description": "stands for steps and holdback",
    "oneOf": [
        {"enum": list(POLICIES)},
        {
            "type": "object",
            "required": ["name"],
            "additionalProperties": False,
            "properties": {
                "name": {"enum": list(POLICIES)}, "size": WEIGHT, "wait": DURATION, "holdback": WEIGHT,
                "bake": DURATION,
            },
        },
    ],
}  # fmt: skip

PLAN: Final[dict[str, Any]] = {
    "type": "object",
    "description": "how a canary is moved",
    "oneOf": [{"required": ["steps"]}, {"required": ["policy"]}],
    "additionalProperties": False,
    "properties": {
        "steps": {"type": "array", "items": STEP, "minItems": 1, "maxItems": 100},
        "holdback": {**STEP, "properties": {"weight": WEIGHT, "for": DURATION}},
        "shadow": {"type": "object", "required": ["for"]},
        "guards": {"type": "object"},
        "alpha": PERCENT,
        "on_insufficient_data": {"enum": ["hold", "advance", "rollback"]},
        "max_hold": DURATION,
        "min_units": {"type": "integer", "minimum": 1},
        "limit": DURATION,
        "confirm": {"enum": ["on", "off"]},
        "golden": {
            "oneOf": [
                {"enum": ["own", "baseline", "off"]},
                {
                    "type": "object",
                    "required": ["of"],
                    "additionalProperties": False,
                    "properties": {
                        "of": {"enum": ["own", "baseline", "off"]},
                        "tolerance": {"type": "number", "minimum": 0},
                    },
                },
            ]
        },
        "require": {"type": "array", "items": {"enum": ["parity", "evaluation"]}, "uniqueItems": True},
        "keep_loaded": DURATION,
        "alarms": {"type": "array", "items": ALARM, "maxItems": MAX_ALARMS},
        "policy": POLICY,
    },
}

REDACT: Final[dict[str, Any]] = {
    "type": "object",
    "description": "tensor, or tensor[column] → how it is hidden",
    "additionalProperties": {
        "oneOf": [
            {"enum": ["drop", "hash"]},
            {
                "type": "object",
                "required": ["constant"],
                "additionalProperties": False,
                "properties": {"constant": {"type": ["number", "string", "boolean"]}},
            },
        ]
    },
    "maxProperties": 1_000,
}

DRIFT: Final[dict[str, Any]] = {
    "type": "object",
    "description": "what is made of drift",
    "required": ["pause"],
    "additionalProperties": False,
    "properties": {
        "pause": {"type": "boolean", "description": "drift of a version of a running rollout holds it"},
        "ignore": {
            "type": "array",
            "description": "columns that are shown and never count",
            "items": {"type": "string", "minLength": 1},
            "maxItems": MAX_COLUMNS,
            "uniqueItems": True,
        },
    },
}

RECORD: Final[dict[str, Any]] = {
    "type": "object",
    "description": "what of the traffic is recorded, and what is hidden in it",
    "required": ["percent", "redact"],
    "additionalProperties": False,
    "properties": {
        "percent": {"type": "number", "minimum": 0, "maximum": 100},
        "redact": REDACT,
        "keep": DURATION,
        "max_bytes": {"type": "string", "pattern": "^[1-9][0-9]{0,6}[mg]$", "examples": ["64m", "2g"]},
    },
}

KEEPING: Final[dict[str, Any]] = {
    "type": "object",
    "description": "which inputs are kept beside the answers, for labels to come, and what is hidden in them",
    "required": ["inputs", "redact"],
    "additionalProperties": False,
    "properties": {
        "inputs": {
            "oneOf": [
                {"const": "all"},
                {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 1_000, "uniqueItems": True},
            ]
        },
        "percent": {"type": "number", "minimum": 0, "maximum": 100},
        "redact": REDACT,
        "stream": {"type": "integer", "minimum": 1, "maximum": STREAM_MOST},
    },
}

OPTIMIZE: Final[dict[str, Any]] = {
    "type": "object",
    "description": "labels move the split between versions",
    "required": ["by"],
    "additionalProperties": False,
    "properties": {
        "by": {"enum": list(METRICS)},
        "versions": {
            "type": "array",
            "items": {"type": ["string", "integer"]},
            "minItems": 2,
            "maxItems": MOST_VERSIONS,
            "uniqueItems": True,
        },
        "floor": WEIGHT,
        "step": WEIGHT,
        "every": DURATION,
        "min_labels": {"type": "integer", "minimum": LEAST_MIN_LABELS, "maximum": MOST_MIN_LABELS},
        "half_life": DURATION,
    },
}

SCHEMAS: Final[dict[str, Any]] = {
    "Split": SPLIT,
    "Route": {
        "type": "object",
        "required": ["split"],
        "additionalProperties": False,
        "properties": {
            "schema": {"const": 1},
            "model": {"type": "string", "pattern": f"^(?:{MODEL_NAME.pattern})$"},
            "split": {"$ref": "#/components/schemas/Split"},
            "assign": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "by": {"type": "string", "examples": ["random", "header:x-user-id"]},
                    "salt": {"type": "string"},
                    "missing": {"enum": ["random", "baseline"]},
                },
            },
            "rules": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["when", "split"],
                    "additionalProperties": False,
                    "properties": {
                        "when": {
                            "type": "object",
                            "additionalProperties": {
                                "oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]
                            },
                        },
                        "split": {"$ref": "#/components/schemas/Split"},
                    },
                },
            },
            "baseline": {"type": ["string", "integer"]},
            "fallback": {"enum": ["baseline", "none"]},
            "aliases": {
                "type": "object",
                "description": "names for versions, to be asked for as labels; not stable, not canary",
                "propertyNames": {"pattern": "^[a-zA-Z0-9_]{1,64}$"},
                "additionalProperties": {"type": ["string", "integer"]},
                "maxProperties": 100,
            },
            "shadow": {
                "type": "object",
                "description": "version → whole percent of the requests that it gets copies of",
                "additionalProperties": {"type": "integer", "minimum": 0, "maximum": 100},
            },
            "rollout": {"$ref": "#/components/schemas/Plan"},
            "record": RECORD,
            "feedback": KEEPING,
            "drift": DRIFT,
            "optimize": OPTIMIZE,
        },
    },
    "Plan": PLAN,
    "Problem": {
        "type": "object",
        "description": "RFC 9457",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": {"type": "string", "format": "uri"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "field": {"type": "string", "description": "path of the member that is wrong, such as split.2"},
            "trace_id": {
                "type": "string",
                "description": "the trace that the request's traceparent names",
                "pattern": "^[0-9a-f]{32}$",
            },
        },
    },
}

QUERY: Final[dict[str, Any]] = {
    "limit": {"schema": {"type": "integer", "minimum": 1, "maximum": 1_000, "default": 100}},
    "reason": {"schema": {"type": "string", "maxLength": 500}},
    "force": {"schema": {"enum": ["true", "false"], "default": "false"}},
    "version": {"schema": {"type": "string", "pattern": f"^(?:{VERSION_NUMBER.pattern})$"}},
    "key": {"schema": {"type": "string"}, "required": True},
    "first": {"schema": {"type": "string", "pattern": f"^(?:{VERSION_NUMBER.pattern})$"}, "required": True},
    "second": {"schema": {"type": "string", "pattern": f"^(?:{VERSION_NUMBER.pattern})$"}, "required": True},
    "rule": {"schema": {"type": "string", "pattern": f"^(?:{RULE.pattern})$", "default": "split"}},
    "apart": {"schema": {**PERCENT, "default": "1%"}},
    "alpha": {"schema": {**PERCENT, "default": "5%"}},
    "noted": {"schema": {"type": "string", "pattern": "^[0-9a-f]{64}$"}},
    "tag": {"schema": {"type": "array", "items": {"type": "string"}}},
}

MATCH: Final = {"type": "string", "pattern": r'^(?:\*|"(?:0|[1-9][0-9]{0,14})")$', "examples": ["*", '"7"']}
"""The header If-Match: the quoted revision, or ``*`` for whatever is current."""

PROBLEM: Final = {
    "description": "what went wrong, and what to do",
    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


def describe_api(endpoints: Iterable[Endpoint], *, version: str) -> dict[str, Any]:
    """Return the OpenAPI document of *endpoints*."""
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Gateway admin API", "version": version},
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": endpoint.summary,
        "operationId": endpoint.answer.__name__,
        "parameters": _parameters(endpoint),
        "responses": {
            str(endpoint.status): {"description": endpoint.summary, "content": {endpoint.media_type: {}}},
            "default": PROBLEM,
        },
        "security": [{"token": []}] if endpoint.role else [],
    }
    if endpoint.role:
        operation["x-role"] = endpoint.role.name.lower()
    if endpoint.body is not None:
        operation["requestBody"] = {"content": {"application/json": {"schema": endpoint.body}}}
    return operation


def _parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    text = {"type": "string"}
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": text} for name in re.findall(r"{(\w+)}", endpoint.path)
    ]
    parameters += [{"name": name, "in": "query", **QUERY[name]} for name in endpoint.query]
    if endpoint.needs_match:
        parameters.append({"name": "If-Match", "in": "header", "required": True, "schema": MATCH})
    return parameters
