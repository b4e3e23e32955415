"""Where a route's sources are found in an HTTP request: header, cookie, query, request parameter."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from gateway.serving.parameters import key_values

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.serving.parameters import Parameter


class HttpValues:
    """Implements ``core.routing.Values`` over one request; looks only for what a route asks."""

    __slots__ = ("_found", "_headers", "_parameters", "_query")

    def __init__(
        self,
        headers: Sequence[tuple[bytes, bytes]],
        found: Mapping[bytes, bytes],
        query: bytes,
        parameters: Mapping[str, Parameter] | None,
    ) -> None:
        """*found* is *headers* by name, of a repeated one the last."""
        self._found = found
        self._headers = headers
        self._query = query
        self._parameters = parameters

    def __call__(self, kind: str, name: str) -> Sequence[bytes]:
        """Return every value of the source, as received."""
        if kind == "header":
            wanted = name.encode()
            if len(self._found) == len(self._headers):  # none is repeated
                value = self._found.get(wanted)
                return () if value is None else (value,)
            return [value for key, value in self._headers if key == wanted]
        if kind == "query":
            return self._pairs(self._query.split(b"&"), name, decode=True)
        if kind == "cookie":
            jars = [value for key, value in self._headers if key == b"cookie"]
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
