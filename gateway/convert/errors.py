"""How a conversion ends when it does not end well. Each message says what happened, where, and what to do."""

from __future__ import annotations

from gateway.core.errors import GatewayError


class CannotConvert(GatewayError):
    """The estimator, its file or its sample does not become a version; nothing was written."""


class NotTrusted(CannotConvert):
    """Reading the file may run code that it holds, and nobody said that it may."""


class LibraryMissing(CannotConvert):
    """A package of an extra is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed; install it with: pip install 'canary-gateway[{extra}]'")
        self.package = package
        self.extra = extra
