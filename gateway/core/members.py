"""How a document's members are read: each refusal carries the path of the culprit and what to write instead."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from gateway.core.errors import InvalidDocument

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

MAX_TEXT: Final = 256
"""UTF-8 bytes of a salt, of a source's name and of a rule's value."""

STEP: Final = re.compile(r"[\w:.-]{1,64}", re.ASCII)
CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


@contextmanager
def at(step: str) -> Iterator[None]:
    """Put *step* in front of the path of every refusal inside."""
    try:
        yield
    except InvalidDocument as refused:
        joint = "." if refused.field and not refused.field.startswith("[") else ""
        raise InvalidDocument(f"{step}{joint}{refused.field}", refused.reason) from refused.__cause__


def shown(value: object) -> str:
    """Return *value* as a message may show it: short and printable, whatever it is."""
    if isinstance(value, str):
        return repr(value if len(value) <= 64 else value[:63] + "…")
    if value is None or isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < 10**18):
        return json.dumps(value)
    return f"this {type(value).__name__}"


def text_of(value: object) -> str:
    """Return *value* if it is text of 1 to MAX_TEXT bytes without control characters."""
    if not isinstance(value, str):
        raise InvalidDocument("", f"{shown(value)} is no text; put it in quotes")
    size = len(utf8(value))
    if not 1 <= size <= MAX_TEXT:
        raise InvalidDocument("", f"{size} bytes are too {'many' if size else 'few'}; write 1 to {MAX_TEXT}")
    if CONTROL.search(value):
        raise InvalidDocument("", f"{shown(value)} holds a control character; write it without")
    return value


def utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as exc:
        raise InvalidDocument("", f"{shown(text)} holds half a surrogate pair; write the whole character") from exc


def check_choice(value: object, choices: Collection[str]) -> None:
    if value not in choices:
        raise InvalidDocument("", f"{shown(value)} is not known; write one of {', '.join(choices)}")


def members_of(
    data: object,
    allowed: Collection[str],
    *,
    needed: Collection[str] = (),
    what: str,
) -> Mapping[Any, Any]:
    """Return *data* if it is a mapping that has all members of *needed* and none beside *allowed*.

    *what* is how a message calls the mapping.
    """
    if not isinstance(data, Mapping):
        raise InvalidDocument("", f"{shown(data)} is no {what}; write a mapping with {', '.join(allowed)}")
    for name in data:
        if name not in allowed:
            raise InvalidDocument(step_of(name), f"is no member of a {what}; allowed are {', '.join(allowed)}")
    for name in needed:
        if name not in data:
            raise InvalidDocument(name, f"is missing; every {what} needs one")
    return data


def step_of(key: object) -> str:
    """Return *key*, whatever it is, as one step of a path."""
    return key if isinstance(key, str) and STEP.fullmatch(key) else shown(key)
