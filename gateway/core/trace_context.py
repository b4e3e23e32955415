"""The trace that a caller says its request belongs to, by the W3C recommendation "Trace Context".

What is wrong in ``traceparent`` makes all of it as if it had not been sent; what is wrong in ``tracestate`` makes that
one so and leaves the trace: a request is never refused for either.

Source: W3C Trace Context Level 2, sections 3.2 (traceparent) and 3.3 (tracestate).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"

SAMPLED: Final = 0x01

_PARENT: Final = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
_NO_TRACE: Final = b"0" * 32
_NO_PARENT: Final = b"0" * 16
_NO_VERSION: Final = b"ff"
_OLDEST: Final = b"00"

MOST_MEMBERS: Final = 32

_KEY: Final = rb"(?:[a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})"
_VALUE: Final = rb"[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
_MEMBER: Final = re.compile(rb"(" + _KEY + rb")=" + _VALUE)


@dataclass(frozen=True, slots=True)
class TraceContext:
    """Where a request stands in its trace: ids in lower-case hexadecimal, 32 and 16 digits.

    *is_sampled*: whoever sent it records it. *state* is what others along the way keep there, perhaps nothing.
    """

    trace_id: str
    parent_id: str
    is_sampled: bool
    state: str = ""


def read_trace(parents: Sequence[bytes], states: Sequence[bytes]) -> TraceContext | None:
    """Return what the values of both headers say, each in the order it came; None without one readable traceparent."""
    if len(parents) != 1 or (match := _PARENT.fullmatch(parents[0])) is None:
        return None
    version, trace_id, parent_id, flags, more = match.groups()
    if version == _NO_VERSION or (version == _OLDEST and more is not None):
        return None
    if trace_id == _NO_TRACE or parent_id == _NO_PARENT:
        return None
    is_sampled = bool(int(flags, 16) & SAMPLED)
    return TraceContext(trace_id.decode(), parent_id.decode(), is_sampled, _state(states) if states else "")


def _state(values: Sequence[bytes]) -> str:
    """Return the members of all *values* as one, empty where a member is wrong, repeated, or one too many."""
    members = [stripped for each in values for member in each.split(b",") if (stripped := member.strip(b" \t"))]
    matches = [_MEMBER.fullmatch(member) for member in members]
    keys = {match[1] for match in matches if match is not None}
    return b",".join(members).decode() if len(keys) == len(members) <= MOST_MEMBERS else ""
