"""Asks a running gateway's inference port for one version by its number, request by request, and keeps its answers.

For a version as it is served: behind its adapter, in the workers of that gateway. Such requests are no traffic of a
route: no canary is judged by them, and none is recorded. One at a time, over one connection. Blocks.
"""

from __future__ import annotations

import http.client
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit

import orjson

from gateway.core.errors import InvalidModel
from gateway.evaluation.errors import CannotEvaluate
from gateway.evaluation.replaying import Answers
from gateway.models.golden import parse_request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.evaluation.recorded import RecordedRequest
    from gateway.evaluation.replaying import Outputs

MAX_ANSWER_BYTES: Final = 64 << 20
MAX_REASON: Final = 300


def asked_gateway(url: str, name: str, version: int, requests: Sequence[RecordedRequest], *, seconds: int) -> Answers:
    """Ask version *version* of the model *name* at *url* the *requests*; *seconds* is how long all may take.

    Milliseconds are those of the whole exchange. Raises CannotEvaluate where no gateway answers there, or where it has
    no such version; a request that it refuses or fails is one without an answer.
    """
    path = f"/v2/models/{quote(name, safe='')}/versions/{version}/infer"
    outputs: list[Outputs | str] = []
    milliseconds: list[float] = []
    until = time.monotonic() + seconds
    with closing(_connection(url, seconds)) as connection:
        for each in requests:
            left = until - time.monotonic()
            if left <= 0:
                raise CannotEvaluate(
                    f"{url} answered {len(outputs)} of {len(requests)} requests in {seconds} s; replay fewer, or give "
                    f"it longer with --timeout"
                )
            began = time.perf_counter()
            status, content = _exchange(connection, url, path, _body(each.line), left)
            took = (time.perf_counter() - began) * 1e3
            if status == 404:
                raise CannotEvaluate(
                    f"{url} has no version {version} of {name}: {_said(content)}; name one with --version, or another "
                    f"gateway's inference port with --ask"
                )
            outputs.append(_outputs(each.line, content) if status == 200 else f"fails: {status} {_said(content)}")
            if status == 200:
                milliseconds.append(took)
    return Answers(outputs, milliseconds)


def _connection(url: str, seconds: int) -> http.client.HTTPConnection:
    """Return a connection that is not open yet. Raises CannotEvaluate for what is no address."""
    try:
        parts = urlsplit(url)
        if parts.scheme in {"http", "https"} and parts.hostname:
            kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
            return kind(parts.hostname, parts.port, timeout=seconds)
    except ValueError:  # a port that is none
        pass
    raise CannotEvaluate(f"{url!r} is no address of an inference port; write such as http://127.0.0.1:8080")


def _exchange(
    connection: http.client.HTTPConnection, url: str, path: str, body: bytes, left: float
) -> tuple[int, bytes]:
    """Send one request, and return the status and the answer. Raises CannotEvaluate where there is none."""
    try:
        connection.timeout = left
        if connection.sock is not None:
            connection.sock.settimeout(left)
        connection.request("POST", path, body, {"content-type": "application/json"})
        response = connection.getresponse()
        content = response.read(MAX_ANSWER_BYTES + 1)
    except (OSError, http.client.HTTPException) as exc:
        raise CannotEvaluate(
            f"{url} does not answer ({type(exc).__name__}: {exc}); name the inference port of a running gateway with "
            f"--ask, such as http://127.0.0.1:8080"
        ) from exc
    if len(content) > MAX_ANSWER_BYTES:
        raise CannotEvaluate(f"{url} sent an answer of more than {MAX_ANSWER_BYTES} bytes; leave that request out")
    return response.status, content


def _body(line: bytes) -> bytes:
    """Return the recorded request in *line* as a caller would send it."""
    kept = ("name", "datatype", "shape", "data")
    return orjson.dumps({"inputs": [{key: each[key] for key in kept} for each in orjson.loads(line)["inputs"]]})


def _outputs(line: bytes, content: bytes) -> Outputs | str:
    """Return the outputs in the answer *content*, read as those of golden requests are; in words why it has none."""
    try:
        answer: Any = orjson.loads(content)
        joined = {"inputs": orjson.loads(line)["inputs"], "outputs": answer["outputs"]}
        return parse_request(1, orjson.dumps(joined)).outputs
    except (orjson.JSONDecodeError, TypeError, KeyError, InvalidModel) as exc:
        return f"is answered with what is no answer: {type(exc).__name__}: {exc}"[:MAX_REASON]


def _said(content: bytes) -> str:
    """Return the reason in a refusal, on one line."""
    try:
        text = str(orjson.loads(content)["error"])
    except (orjson.JSONDecodeError, TypeError, KeyError):
        text = content.decode(errors="replace")
    return " ".join(text.split())[:MAX_REASON] or "no reason"
