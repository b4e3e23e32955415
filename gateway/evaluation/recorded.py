"""Recorded requests as a file has them: one request of the Open Inference Protocol a line, perhaps with its answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import orjson

from gateway.core.errors import InvalidModel
from gateway.evaluation.errors import CannotEvaluate
from gateway.models.golden import GoldenRequest, parse_request

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAX_BYTES: Final = 512 << 20
MAX_REQUESTS: Final = 100_000


@dataclass(frozen=True, slots=True, eq=False)
class RecordedRequest:
    """A request, the *line* that it was read from, the version that *served* it (empty where nobody says), and whether
    an input *is_redacted*, so that the recorded answer is none to these inputs."""

    request: GoldenRequest
    line: bytes
    served: str = ""
    is_redacted: bool = False


def read_recorded(lines: Iterable[bytes], source: str) -> Sequence[RecordedRequest]:
    """Return the requests in *lines*; empty lines are passed over. *source* names them in errors.

    Raises CannotEvaluate for a line that is no request, for none at all, and for too many.
    """
    found: list[RecordedRequest] = []
    size = 0
    for place, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        size += len(line)
        if size > MAX_BYTES or len(found) == MAX_REQUESTS:
            raise CannotEvaluate(
                f"{source} holds more than {MAX_REQUESTS} requests or {MAX_BYTES} bytes; replay fewer, such as the "
                f"newest: `gateway recordings export MODEL --last 10000 --out FILE`"
            )
        found.append(_read(place, line, source))
    if not found:
        raise CannotEvaluate(f"{source} holds no requests; write one of the Open Inference Protocol per line")
    return found


def _read(place: int, line: bytes, source: str) -> RecordedRequest:
    try:
        request = parse_request(place, line)
    except InvalidModel as exc:
        raise CannotEvaluate(f"{source}: {exc.reason.partition(': ')[2] or exc.reason}") from exc
    body = orjson.loads(line)
    served = body.get("version")
    return RecordedRequest(
        request, line.strip(), served[:20] if isinstance(served, str) else "", body.get("redacted") is True
    )
