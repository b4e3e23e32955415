"""The client library's errors → StoreUnavailable, in words that say what to check.

What the server or the operating system said is passed on; the URL is not: it may hold a password.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from gateway.core.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

STORE_ERRORS: Final = (RedisError, OSError)
"""All that a call can fail with; the builtin TimeoutError is an OSError."""

WORDS: Final = (
    (AuthenticationError, "refuses the credentials; check the user and the password of --redis-url"),
    (AuthorizationError, "refuses the credentials; check the user and the password of --redis-url"),
    (NoPermissionError, "forbids a command that the gateway needs; check the user's ACL"),
    (ReadOnlyError, "is a read-only replica; let --redis-url name the primary"),
    (OutOfMemoryError, "is full and nothing was written; free memory or raise its maxmemory"),
    (BusyLoadingError, "is still loading its data; wait for it"),
    (RedisTimeoutError, "does not answer; check that it runs and is not overloaded"),
    (RedisConnectionError, "cannot be reached; check that it runs and that --redis-url names it"),
    (TryAgainError, "is moving the keys of this model to another node; try again when they are there"),
    (ResponseError, "refuses the command; check its log"),
    (TimeoutError, "does not answer; check that it runs and is not overloaded"),
    (OSError, "cannot be reached; check that it runs and that --redis-url names it"),
)
"""First match wins, so subclasses stand before what they derive from."""

SAID: Final = 200
"""Characters of a foreign message that are passed on."""


def unavailable(place: str, exc: BaseException) -> StoreUnavailable:
    """Return the error that stands for *exc* at the store called *place*."""
    if isinstance(exc.__cause__, RedisError):
        # A refusal during the handshake comes wrapped in a plain ConnectionError.
        exc = exc.__cause__
    # So a server answers a long first command of a client that did not log in.
    kind = AuthenticationError if "unauthenticated" in str(exc) else type(exc)
    advice = next((words for known, words in WORDS if issubclass(kind, known)), "failed")
    said = " ".join(str(exc).split())[:SAID]
    return StoreUnavailable(f"the store at {place} {advice}" + (f" ({said})" if said else ""))


def place_of(options: Mapping[str, object]) -> str:
    """Return where a store is, from its parsed connection *options*, without user and password."""
    if "path" in options:
        return f"unix socket {options['path']}"
    place = f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"
    return f"{place}, database {options['db']}" if options.get("db") else place


def is_wrong_type(exc: BaseException) -> bool:
    """Say whether the server refused a command because a key holds something of another kind."""
    return isinstance(exc, ResponseError) and str(exc).startswith("WRONGTYPE")
