"""What the head of an inference request says, as far as it is asked before the body is read.

A head that comes again and again is read once (``known_heads``): nothing here may depend on anything but its bytes
and what holds as long as the worker does.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gateway.core.errors import InvalidRequest
from gateway.rest.form import CONTENT_TYPES, check_content_type
from gateway.rest.form import HEADERS as FORM_HEADERS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TIMEOUT_MS: Final = re.compile(rb"[1-9][0-9]{0,8}")


class RequestHead:
    """The headers of one request; requests with the same head may share it, so nobody changes what is in it.

    *found* is *headers* by name, of a repeated one the last; names are lower-case. *query* is that of the URL.
    """

    __slots__ = ("body_bytes", "found", "has_form", "headers", "is_read", "query", "request_id", "timeout")

    def __init__(
        self, headers: Sequence[tuple[bytes, bytes]], found: Mapping[bytes, bytes], query: bytes = b""
    ) -> None:
        self.headers = headers
        self.found = found
        self.query = query
        self.request_id = found.get(b"x-request-id")
        """As the caller gave it, None where it gave none."""
        self.is_read = False
        """Whether what follows is there."""
        self.has_form = False
        """Whether the body, or the answer, may be other than plain JSON."""
        self.body_bytes = 0
        """The declared length of the body, 0 where none is."""
        self.timeout: float | None = None
        """Seconds that the caller gives, None where it does not say."""

    def read(self) -> None:
        """Read what the headers say. Raises InvalidRequest and UnsupportedMediaType; then they are read again."""
        found = self.found
        declared = found.get(b"content-type")
        if declared is not None and declared not in CONTENT_TYPES:
            check_content_type(declared)
        self.has_form = not FORM_HEADERS.isdisjoint(found)
        self.body_bytes = int(found.get(b"content-length", b"0"))
        timeout = found.get(b"x-request-timeout-ms")
        if timeout is not None:
            self.timeout = _seconds(timeout)
        self.is_read = True


def _seconds(milliseconds: bytes) -> float:
    if TIMEOUT_MS.fullmatch(milliseconds) is None:
        raise InvalidRequest(
            "x-request-timeout-ms: must be a whole number of milliseconds, 1 or more", "invalid_timeout"
        )
    return int(milliseconds) / 1000
