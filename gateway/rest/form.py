"""How the bytes of one request are laid out, and those of its answer, where that is not all plain JSON.

A request without any of the three headers, and without a wish for binary outputs, has no form at all:
what is in this module costs it nothing.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gateway.core.errors import InvalidRequest, UnsupportedMediaType
from gateway.rest import binary_codec, envelope
from gateway.rest.binary_codec import Tail
from gateway.rest.bounded_json import check_size
from gateway.rest.compression import coding_of, compressed
from gateway.rest.problems import JSON
from gateway.rest.room import Room
from gateway.serving.inflating import Inflater
from gateway.serving.parameters import check_parameters

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.core.limits import Limits
    from gateway.serving.live import Headers

JSON_BYTES: Final = b"inference-header-content-length"
ENCODING: Final = b"content-encoding"
ACCEPTED: Final = b"accept-encoding"
HEADERS: Final = frozenset({JSON_BYTES, ENCODING, ACCEPTED})

NUMBER: Final = re.compile(rb"[0-9]{1,18}")
CONTENT_TYPES: Final = frozenset(
    {b"application/json", b"application/octet-stream", b"application/x-www-form-urlencoded"}
)
"""What is read as an inference request. The form type is what a bare ``curl -d`` sends; most clients send none."""

LARGE_BYTES: Final = 65_536
"""Of binary outputs: more are written piece by piece, for which the event loop asks a little more than for one."""

MAX_CONTENT_TYPE_BYTES: Final = 1024

OCTETS: Final = (b"content-type", b"application/octet-stream")


class Form:
    """The form of one exchange, and its body as it comes.

    *binary* says whether outputs are binary that do not say otherwise; None where the whole answer is JSON.
    """

    __slots__ = ("_accepted", "_inflater", "_json_bytes", "_pieces", "binary", "room")

    def __init__(
        self,
        json_bytes: int | None = None,
        inflater: Inflater | None = None,
        accepted: bytes | None = None,
        body_bytes: int = 0,
    ) -> None:
        """*inflater*: of a compressed body. *body_bytes*: how long the body will be, 0 where that is not known."""
        self._json_bytes = json_bytes
        self._accepted = accepted
        self._inflater = inflater
        self._pieces: list[bytes] = []
        is_placed = json_bytes is not None and inflater is None and body_bytes > 0
        self.room = Room(body_bytes, json_bytes or 0) if is_placed else None
        """Where the body is put together, None where its length is not known or it is plain JSON."""
        self.binary: bool | None = None

    def take(self, piece: bytes) -> int:
        """Keep a piece of the body, inflated; return to how many bytes a compressed one has inflated so far, else 0.

        Raises RequestTooLarge and InvalidRequest.
        """
        inflater = self._inflater
        if self.room is not None:
            self.room.take(piece)
        else:
            self._pieces.append(piece if inflater is None else inflater.take(piece))
        return 0 if inflater is None else inflater.inflated

    def _body(self) -> bytes | memoryview:
        """Return the body, inflated. Raises InvalidRequest where it was cut short."""
        if self._inflater is not None:
            self._inflater.end()
        return b"".join(self._pieces) if self.room is None else self.room.whole()

    def open(self, limits: Limits) -> tuple[envelope.Envelope, Tail | None]:
        """Return the envelope of the body, and what lies behind it. Raises as ``envelope.read`` does."""
        body = self._body()
        size = self._json_bytes
        if size is None:
            return envelope.read(bytes(body), limits), None
        if size == 0:
            self.binary = True
            return envelope.Envelope(inputs=[]), Tail(body, 0, is_raw=True)
        if size > len(body):
            raise InvalidRequest(
                f"inference-header-content-length: is {size}, and the body has {len(body)} bytes",
                "invalid_header_length",
            )
        check_size(size, limits)
        return envelope.read(bytes(body[:size]), limits), Tail(body, size)

    def whole(self) -> bytes:
        """Return the body, inflated, for a protocol without binary tensors. Raises InvalidRequest."""
        body = self._body()
        if self._json_bytes is not None:
            raise InvalidRequest(
                "inference-header-content-length: a v1 request is JSON only; ask …/infer of v2 with binary tensors",
                "invalid_header_length",
            )
        return bytes(body)

    def answer(
        self, document: bytes, behind: tuple[bytes | memoryview, ...] = ()
    ) -> tuple[bytes, tuple[bytes | memoryview, ...], Headers]:
        """Return an answer, JSON and the binary tensors *behind* it: its body, what is sent behind that, its headers.

        Large tensors are not joined with the rest, which would copy them; a compressed answer is one piece.
        """
        headers = [OCTETS, (JSON_BYTES, b"%d" % len(document))] if behind else [JSON]
        if self._accepted is not None:
            body, coding = compressed(b"".join((document, *behind)), self._accepted)
            if coding is not None:
                headers.append((ENCODING, coding))
            return body, (), tuple(headers)
        if sum(map(len, behind)) > LARGE_BYTES:
            return document, behind, tuple(headers)
        return b"".join((document, *behind)), (), tuple(headers)


def check_content_type(declared: bytes | None) -> None:
    """Refuse what is declared and foreign; whether a body is binary is said by JSON_BYTES, never by its type.

    Raises UnsupportedMediaType, and InvalidRequest for what is longer than any type.
    """
    if declared is not None and declared not in CONTENT_TYPES:
        if len(declared) > MAX_CONTENT_TYPE_BYTES:
            raise InvalidRequest(
                f"content-type: is over {MAX_CONTENT_TYPE_BYTES} bytes; send application/json", "invalid_content_type"
            )
        kind, _, parameters = declared.partition(b";")
        if kind.strip().lower() not in CONTENT_TYPES or b"utf-16" in parameters.lower():
            raise UnsupportedMediaType("content-type: send the request as application/json in UTF-8")


def form_of(headers: Sequence[tuple[bytes, bytes]], found: Mapping[bytes, bytes], limit: int) -> Form:
    """Return the form that a request's headers declare; called where one of HEADERS is among them.

    *found* maps those of *headers* that are read at all to their last value; *limit* is the most bytes of an
    inflated body. Raises InvalidRequest and UnsupportedMediaType.
    """
    coding = coding_of([value for name, value in headers if name == ENCODING]) if ENCODING in found else None
    sizes = {value for name, value in headers if name == JSON_BYTES}
    if len(sizes) > 1 or any(NUMBER.fullmatch(each) is None for each in sizes):
        raise InvalidRequest(
            "inference-header-content-length: must be one whole number of bytes, that of the JSON in the body",
            "invalid_header_length",
        )
    inflater = None if coding is None else Inflater(coding, limit)
    size = min(int(found.get(b"content-length", b"0")), limit)
    return Form(int(sizes.pop()) if sizes else None, inflater, found.get(ACCEPTED), size)


def wishes(request: envelope.Envelope, form: Form | None) -> Form | None:
    """Return the *form* of the exchange with what the body says of it: which outputs are to be binary, if any.

    Raises InvalidRequest.
    """
    default = form is not None and form.binary is True
    if request.parameters:
        default = binary_codec.flag(request.parameters, binary_codec.WANTED_BY_DEFAULT, default)
    outputs = request.outputs or ()
    for each in outputs:
        if each.parameters:
            check_parameters(each.parameters, f"output {each.name!r}")
    asked = [binary_codec.is_wanted(each, default) for each in outputs] if outputs else [default]
    if not any(asked):
        return form
    form = form or Form()
    form.binary = default
    return form
