"""JSON that says one thing: what parsers let pass, or read differently, is refused."""

from __future__ import annotations

import json
import math
from typing import Final

from gateway.core.errors import InvalidDocument
from gateway.core.members import shown, utf8

MAX_BYTES: Final = 1 << 20
MAX_DEPTH: Final = 32


def strict_json(text: bytes, *, limit: int = MAX_BYTES) -> object:
    """Return what *text* says, where it can only say one thing. Raises InvalidDocument.

    Refuses what parsers let pass or read differently: a member written twice, NaN and Infinity, numbers beyond a
    double, halves of surrogate pairs; and more than *limit* bytes or MAX_DEPTH levels.
    """
    if len(text) > limit:
        raise InvalidDocument("", f"{len(text)} bytes are more than the {limit} that may be sent; write less")
    try:
        value: object = json.loads(text.decode(), object_pairs_hook=_once, parse_constant=_finite, parse_float=_finite)
    except RecursionError as exc:
        raise InvalidDocument("", f"more than {MAX_DEPTH} levels are nested; write fewer") from exc
    except UnicodeDecodeError as exc:
        raise InvalidDocument("", f"byte {exc.start} is not UTF-8; save the text as UTF-8") from exc
    except ValueError as exc:
        raise InvalidDocument("", f"this is not JSON: {exc}") from exc
    _check_tree(value)
    return value


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members: dict[str, object] = {}
    for name, value in pairs:
        if name in members:
            raise InvalidDocument("", f"member {shown(name)} is written twice; write it once")
        members[name] = value
    return members


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise InvalidDocument("", f"{shown(text)} is no number that JSON can carry; write a finite one")
    return number


def _check_tree(value: object) -> None:
    """Refuse what is nested too deeply, or holds text that is none."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        for text in level:
            if isinstance(text, str):
                utf8(text)
        nodes = [node for node in level if isinstance(node, list | dict)]
        if not nodes:
            return
        level = [child for node in nodes for child in (node if isinstance(node, list) else [*node, *node.values()])]
    raise InvalidDocument("", f"more than {MAX_DEPTH} levels are nested; write fewer")
