"""The certificate that a command shows to an admin port that wants one. Its key is read, and never kept or shown."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.cli.errors import CommandMisused

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """The files, PEM, of a certificate and of its key; without *key* the key lies in the certificate's file."""

    cert: Path
    key: Path | None = None

    def context(self) -> ssl.SSLContext:
        """Return what a connection shows it with; whom it speaks to is checked as ever. Raises CommandMisused."""
        context = ssl.create_default_context()
        try:
            context.load_cert_chain(self.cert, self.key, password=_no_password)
        except (OSError, ValueError) as exc:  # ssl.SSLError is an OSError
            files = repr(str(self.cert)) + (f" with the key {str(self.key)!r}" if self.key else "")
            raise CommandMisused(
                f"the client certificate {files} cannot be used: {_reason(exc)}; both must be PEM, "
                f"and the key the certificate's own, without a password"
            ) from exc
        return context


def client_certificate(cert: Path | None, key: Path | None) -> ClientCertificate | None:
    """Return the certificate that both flags name, None for neither. Raises CommandMisused for a key alone."""
    if cert is None:
        if key is not None:
            raise CommandMisused("--client-key means nothing without --client-cert; give that too")
        return None
    return ClientCertificate(cert.expanduser().absolute(), None if key is None else key.expanduser().absolute())


def _no_password() -> str:
    """Refuse a key with a password; without this OpenSSL would ask for it at the terminal."""
    raise ValueError("the key has a password")


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason.lower().replace("_", " ") if error.reason else "there is nothing in it that is PEM"
    return getattr(error, "strerror", None) or str(error)
