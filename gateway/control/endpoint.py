"""What the admin API's table says of one method of one path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.responses import Response

    from gateway.control.admin_answers import Call
    from gateway.control.auth import Role


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method of one path. *role* None is open to everybody; *body* is the JSON schema of what it reads."""

    method: str
    path: str
    role: Role | None
    answer: Callable[[Call], Awaitable[Response]]
    summary: str
    status: int = 200
    query: tuple[str, ...] = ()
    body: Mapping[str, Any] | None = None
    needs_match: bool = False
    media_type: str = "application/json"
