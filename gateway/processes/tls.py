"""The certificates of the ports. The launcher reads them, and what it forks has them: no child opens a key.

All workers share one context, so a session that began with one of them goes on with another. TLS 1.2 is the least.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.core.errors import InvalidSettings

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.settings import Settings


@dataclass(frozen=True, slots=True)
class Contexts:
    """What each port speaks TLS with; None where it does not."""

    inference: ssl.SSLContext | None = None
    rpc: ssl.SSLContext | None = None
    admin: ssl.SSLContext | None = None


def read_contexts(settings: Settings) -> Contexts:
    """Return the contexts that *settings* ask for. Raises InvalidSettings for files that cannot be used."""
    serving = (settings.tls_cert, settings.tls_key, settings.tls_client_ca)
    admin = (settings.admin_tls_cert, settings.admin_tls_key, settings.admin_tls_client_ca)
    return Contexts(
        _context("--tls", *serving, "http/1.1"), _context("--tls", *serving, "h2"),
        _context("--admin-tls", *admin, "http/1.1"),
    )  # fmt: skip


def _context(
    flags: str, cert: Path | None, key: Path | None, client_ca: Path | None, protocol: str
) -> ssl.SSLContext | None:
    """Return a context for *protocol*, None without *cert*; *flags* is what the names of the settings begin with.

    Where *key* is None the key lies in the file of the certificate. With *client_ca* callers must show a certificate
    that it signed.
    """
    if cert is None:
        if key is not None or client_ca is not None:
            raise InvalidSettings(f"{flags}-key and {flags}-client-ca mean nothing without {flags}-cert; give that too")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols([protocol])
    for file, name in ((cert, "cert"), (key, "key"), (client_ca, "client-ca")):
        if file is not None:
            _check_readable(file, f"{flags}-{name}")
    try:
        context.load_cert_chain(cert, key, password=_no_password)
    except (ssl.SSLError, ValueError) as exc:
        raise InvalidSettings(
            f"{flags}-cert {str(cert)!r} and its key cannot be used: {_reason(exc)}; both must be PEM, the certificate "
            f"first and then those that signed it, and the key the certificate's own, without a password"
        ) from exc
    if client_ca is not None:
        try:
            context.load_verify_locations(client_ca)
        except ssl.SSLError as exc:
            raise InvalidSettings(
                f"{flags}-client-ca {str(client_ca)!r} cannot be used: {_reason(exc)}; it must hold certificates in PEM"
            ) from exc
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _no_password() -> str:
    """Refuse a key with a password; without this OpenSSL would ask for it at the terminal."""
    raise ValueError("the key has a password")


def _check_readable(file: Path, flag: str) -> None:
    try:
        with file.open("rb"):
            pass
    except OSError as exc:
        raise InvalidSettings(f"{flag} {str(file)!r} cannot be read: {exc.strerror}") from exc


def _reason(exc: Exception) -> str:
    return getattr(exc, "reason", None) or str(exc)
