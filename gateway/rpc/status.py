"""The status that a call ends with. Source: gRPC, "Status codes and their use in gRPC"."""

from __future__ import annotations

from enum import IntEnum


class Status(IntEnum):
    """Those of gRPC's codes that the door gives."""

    OK = 0
    CANCELLED = 1
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16
