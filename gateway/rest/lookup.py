"""Where a route's sources are found in an HTTP request: header, cookie, query, request parameter."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from gateway.serving.parameters import key_values

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.rest.request_head import RequestHead
    from gateway.serving.parameters import Parameter


class HttpValues:
    """Implements ``core.routing.Values`` over one request; looks only for what a route asks."""

    __slots__ = ("_head", "_parameters")

    def __init__(self, head: RequestHead, parameters: Mapping[str, Parameter] | None) -> None:
        self._head = head
        self._parameters = parameters

    def __call__(self, kind: str, name: str) -> Sequence[bytes]:
        """Return every value of the source, as received."""
        head = self._head
        if kind == "header":
            wanted = name.encode()
            if len(head.found) == len(head.headers):  # none is repeated
                value = head.found.get(wanted)
                return () if value is None else (value,)
            return [value for key, value in head.headers if key == wanted]
        if kind == "query":
            return self._pairs(head.query.split(b"&"), name, decode=True)
        if kind == "cookie":
            jars = [value for key, value in head.headers if key == b"cookie"]
            return self._pairs([each.strip() for jar in jars for each in jar.split(b";")], name, decode=False)
        return key_values(self._parameters, name)

    @staticmethod
    def _pairs(items: Sequence[bytes], name: str, *, decode: bool) -> list[bytes]:
        wanted, found = name.encode(), []
        for item in items:
            key, separator, value = item.partition(b"=")
            if decode:
                key, value = unquote_to_bytes(key.replace(b"+", b" ")), unquote_to_bytes(value.replace(b"+", b" "))
            if separator and key == wanted:
                found.append(value)
        return found
