"""What a load test holds the gateway to: a user keeps a version, and errors and latency stay below limits.

Pure, so that it can be tested without locust, which patches the standard library when it is imported.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Assignment:
    """The version that one user is assigned to, as the answers' headers tell it."""

    def __init__(self) -> None:
        self._revision: str | None = None
        self._version: str | None = None

    def fault(self, headers: Mapping[str, str]) -> str:
        """Say what is wrong with an answer that has *headers*; empty if nothing is.

        A user may change its version when the route's revision does, never else. After a fallback the
        version that answers is not the one assigned; the header x-gateway-fallback-from names that.
        """
        revision = headers.get("x-gateway-revision")
        version = headers.get("x-gateway-fallback-from") or headers.get("x-gateway-version")
        if revision is None or version is None:
            return "the answer does not say which version and revision gave it"
        before, self._version = self._version, version
        same_route, self._revision = revision == self._revision, revision
        if same_route and version != before:
            return f"at revision {revision} this user was on version {before} and is now on version {version}"
        return ""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a run may not exceed. *error_ratio* is failed / all requests."""

    p95_ms: float = 100.0
    error_ratio: float = 0.0

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Limits:
        """Return what LOCUST_MAX_P95_MS and LOCUST_MAX_ERROR_RATIO set. Raises ValueError naming the variable."""
        return cls(
            _number(environ, "LOCUST_MAX_P95_MS", cls().p95_ms),
            _number(environ, "LOCUST_MAX_ERROR_RATIO", cls().error_ratio),
        )

    def exceeded(self, requests: int, error_ratio: float, p95_ms: float) -> list[str]:
        """Return in words which limits a run broke; a run without *requests* proves nothing, so that is one too."""
        broken = []
        if not requests:
            broken.append("no request was made")
        if error_ratio > self.error_ratio:
            broken.append(
                f"{error_ratio:.3%} of the requests failed, {self.error_ratio:.3%} may (LOCUST_MAX_ERROR_RATIO)"
            )
        if p95_ms > self.p95_ms:
            broken.append(f"p95 is {p95_ms:.0f} ms, {self.p95_ms:g} ms are allowed (LOCUST_MAX_P95_MS)")
        return broken


def _number(environ: Mapping[str, str], name: str, default: float) -> float:
    text = environ.get(name, "")
    try:
        number = float(text) if text else default
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise ValueError(f"{name} must be a number from 0 up, not {text!r}")
    return number
