"""JSON within its limits: read by a typed decoder, and looked at where that does not look.

A decoder skips the members that nobody asked for; what is in them has to be within the limits too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from gateway.core.errors import InvalidRequest, RequestTooLarge

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.core.limits import Limits

T = TypeVar("T")

SMALLEST_MEMBER_BYTES: Final = 5
"""So long is a member at least: ``"":1,``."""

MAX_KEY_CHARACTERS: Final = 1024
BRACKETS: Final = bytes.maketrans(b"{}", b"[]")
NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))


def read_json(body: bytes, decode: Callable[[bytes], T], limits: Limits, what: str) -> T:
    """Return what *decode*, of msgspec, makes of *body*; *what* is how a message calls it.

    Raises InvalidRequest, naming the member that is wrong, and RequestTooLarge.
    """
    size = len(body)
    if size > limits.json_bytes:
        check_size(size, limits)
    try:
        if not body.isascii():
            str(body, "utf-8")  # members that are ignored are not decoded below
        found = decode(body)
    except msgspec.ValidationError as exc:
        raise InvalidRequest(f"the request is not {what}: {exc}", "invalid_request") from None
    except msgspec.DecodeError as exc:
        raise InvalidRequest(f"the body is not JSON: {exc}", "invalid_json") from None
    except (RecursionError, UnicodeDecodeError):
        raise InvalidRequest("the body is not JSON: too deeply nested, or not UTF-8", "invalid_json") from None
    if size > SMALLEST_MEMBER_BYTES * limits.json_members or body.count(b"[") + body.count(b"{") > limits.json_depth:
        _check_structure(body, limits)
    return found


def check_size(size: int, limits: Limits) -> None:
    """Refuse JSON of more bytes than it may have. Raises RequestTooLarge."""
    if size > limits.json_bytes:
        raise RequestTooLarge(
            f"the JSON is {size} bytes long and may be {limits.json_bytes}: send the tensors in binary "
            "(inference-header-content-length), or let the operator raise --limits json-bytes"
        )


def _check_structure(body: bytes, limits: Limits) -> None:
    """Refuse JSON that is nested too deep, or holds too many members or too long a key, also where nobody reads it.

    Split at its quotes, a text is in turns outside and inside of a string. Each round takes away the innermost
    pairs of brackets, so that nesting of n needs n rounds.
    """
    parts = body.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')
    bare = b"".join(parts[::2])
    if bare.count(b":") > limits.json_members:
        raise InvalidRequest(f"the body holds more than {limits.json_members} members", "invalid_json")
    if max(map(len, parts[1::2]), default=0) > MAX_KEY_CHARACTERS:
        for text, behind in zip(parts[1::2], parts[2::2], strict=True):
            if len(text) > MAX_KEY_CHARACTERS and behind.lstrip()[:1] == b":":
                raise InvalidRequest(
                    f"the body holds a key of more than {MAX_KEY_CHARACTERS} characters", "invalid_json"
                )
    nest = bare.translate(BRACKETS, NO_BRACKETS)
    for _ in range(limits.json_depth):
        if not nest:
            return
        nest = nest.replace(b"[]", b"")
    if nest:
        raise InvalidRequest(f"the body is nested more than {limits.json_depth} deep", "invalid_json")
