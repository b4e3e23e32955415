"""What a described thing looks like on the wire."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.responses import Response

from gateway.rest.problems import JSON


def answer(value: Any, status: int = 200) -> Response:
    """Return *value* as JSON under exactly ``application/json``."""
    response = Response(orjson.dumps(value), status)
    response.raw_headers.append(JSON)
    return response
