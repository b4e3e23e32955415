"""What the admin API reads of a request: JSON bodies under a cap, entity tags, query members.

Whatever is not understood is refused by its name; nothing is ignored.
"""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from gateway.core.errors import InvalidDocument, InvalidRequest, RequestTooLarge, UnknownVersion, UnsupportedMediaType
from gateway.core.guards import check_truth
from gateway.core.members import at, check_choice, shown
from gateway.core.names import version_number
from gateway.core.strict_json import strict_json

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from starlette.requests import Request

    from gateway.core.routing import Values

BODY_BYTES: Final = 1 << 20
BODY_SECONDS: Final = 10.0
"""How long a body may take to arrive."""

ENTITY_TAG: Final = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
"""RFC 9110 section 8.8.3."""
REVISION: Final = re.compile(r"0|[1-9][0-9]{0,14}", re.ASCII)

DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = 1_000


async def json_body(request: Request) -> object:
    """Return what the body says.

    Raises UnsupportedMediaType, RequestTooLarge, InvalidRequest for what is not JSON, InvalidDocument
    for JSON that parsers would read in different ways.
    """
    _check_media_type(request)
    body = await _body(request)
    try:
        return strict_json(body, limit=BODY_BYTES)
    except InvalidDocument as exc:
        if isinstance(exc.__cause__, json.JSONDecodeError | UnicodeDecodeError):
            raise InvalidRequest(f"the body {exc.reason}", "not_json") from exc
        raise


async def optional_members(request: Request, allowed: Collection[str]) -> Mapping[str, Any]:
    """Return the members of the body, none where there is no body."""
    if "content-type" not in request.headers and not await _body(request):
        return {}
    _check_media_type(request)
    if not await _body(request):
        return {}
    return members(await json_body(request), allowed)


def members(data: object, allowed: Collection[str], needed: Collection[str] = ()) -> Mapping[str, Any]:
    """Return *data* if it is an object with no members but *allowed* and at least *needed*. Raises InvalidDocument."""
    if not isinstance(data, dict):
        raise InvalidDocument("", f"{shown(data)} is no object; write one with {', '.join(allowed)}")
    for name in data:
        if name not in allowed:
            raise InvalidDocument(str(name)[:64], f"is not known here; write {', '.join(allowed)}")
    for name in needed:
        if name not in data:
            raise InvalidDocument(name, "is missing")
    return data


def text_member(data: Mapping[str, Any], name: str) -> str:
    """Return the text under *name*, empty where there is none. Raises InvalidDocument."""
    value = data.get(name, "")
    if not isinstance(value, str):
        raise InvalidDocument(name, f"{shown(value)} is not text")
    return value


def truth_member(data: Mapping[str, Any], name: str) -> bool:
    """Return whether *name* is true; false where it is not written. Raises InvalidDocument."""
    with at(name):
        return check_truth(data.get(name, False))


def truth(text: str, name: str) -> bool:
    """Return what a query's member *name* says, ``true`` or ``false``. Raises InvalidDocument."""
    with at(name):
        check_choice(text, ("true", "false"))
    return text == "true"


def expected_revision(request: Request) -> int | None:
    """Return the revision that If-Match names, None for ``*``.

    428 without the header, 400 for what is no entity tag, 412 for a tag that can be no revision. A
    weak tag never matches (RFC 9110 section 13.1.1).
    """
    given = ", ".join(request.headers.getlist("if-match")).strip()
    if not given:
        raise HTTPException(
            428,
            'a write needs If-Match: the ETag of the route as you read it, such as "7", or * for whatever is current',
        )
    if given == "*":
        return None
    tag = ENTITY_TAG.fullmatch(given)
    if tag is None:
        raise InvalidRequest(
            'If-Match is not one entity tag; write the quoted revision, such as "7", or *', "bad_if_match"
        )
    if tag[1] or REVISION.fullmatch(tag[2]) is None:
        raise HTTPException(412, "the entity tag in If-Match is none of this route; read the route again")
    return int(tag[2])


def limit(request: Request) -> int:
    """Return the query's ``limit``. Raises InvalidDocument for one that is no number from 1 to MAX_LIMIT."""
    text = query_members(request, ("limit",)).get("limit", str(DEFAULT_LIMIT))
    if re.fullmatch(r"[1-9][0-9]{0,3}", text, re.ASCII) is None or int(text) > MAX_LIMIT:
        raise InvalidDocument("limit", f"{shown(text)} is not a number from 1 to {MAX_LIMIT}")
    return int(text)


def query_members(request: Request, allowed: Collection[str]) -> Mapping[str, str]:
    """Return the query's members, each at most once. Raises InvalidDocument for one that is not *allowed*."""
    found: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name not in allowed:
            raise InvalidDocument(name[:64], f"is not known here; write {', '.join(allowed)}")
        if name in found:
            raise InvalidDocument(name, "is written twice; write it once")
        found[name] = value
    return found


def wanted_tags(request: Request) -> list[str]:
    """Return what the query's ``tag`` members ask for. Raises InvalidDocument for another member."""
    for name in request.query_params:
        if name != "tag":
            raise InvalidDocument(name[:64], "is not known here; write tag=KEY or tag=KEY=VALUE")
    return request.query_params.getlist("tag")


def source_values(request: Request, own: Collection[str]) -> Values:
    """Return the values of a pretended request: query members such as ``header:x-tenant=acme``, without *own*."""
    found: dict[tuple[str, str], list[bytes]] = {}
    for name, value in request.query_params.multi_items():
        if name in own:
            continue
        kind, colon, source = name.partition(":")
        if not colon or kind not in {"header", "cookie", "query", "parameter"} or not source:
            raise InvalidDocument(name[:64], "is not known here; write key, or a source such as header:x-tenant")
        found.setdefault((kind, source.lower() if kind == "header" else source), []).append(value.encode())

    def values(kind: str, name: str) -> Sequence[bytes]:
        return found.get((kind, name), ())

    return values


def version_in_path(request: Request) -> int:
    """Return the version that the path names. Raises UnknownVersion for what can be none."""
    text: str = request.path_params["version"]
    number = version_number(text)
    if number is None:
        raise UnknownVersion(request.path_params["model"], text[:32])
    return number


def _check_media_type(request: Request) -> None:
    """JSON only: what a form on a hostile page can send is none (CSRF)."""
    given = request.headers.get("content-type", "")
    if given.partition(";")[0].strip().lower() != "application/json":
        raise UnsupportedMediaType("send JSON, with `content-type: application/json`")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType("send the body as it is, without content-encoding")


async def _body(request: Request) -> bytes:
    """Return the body, kept for a second call; never more than BODY_BYTES, never longer than BODY_SECONDS."""
    kept: bytes | None = getattr(request.state, "body", None)
    if kept is not None:
        return kept
    declared = request.headers.get("content-length", "0")
    if not declared.isascii() or not declared.isdigit() or int(declared[:18]) > BODY_BYTES:
        raise _too_large()
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > BODY_BYTES:
                    raise _too_large()
    except TimeoutError as exc:
        raise HTTPException(408, f"the body did not arrive within {BODY_SECONDS:g} s") from exc
    except ClientDisconnect as exc:
        raise HTTPException(400, "the client left before its body had arrived") from exc
    request.state.body = bytes(body)
    return request.state.body  # type: ignore[no-any-return]  # Starlette's state is untyped


def _too_large() -> RequestTooLarge:
    return RequestTooLarge(f"the body is over {BODY_BYTES} bytes")
