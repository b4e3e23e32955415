"""The checks of ``gateway doctor`` about who gets in: tokens, the proxy's secret, certificates."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from gateway.cli.findings import Finding
from gateway.control.proxy import read_secrets
from gateway.control.token_file import read_access
from gateway.core.errors import InvalidSettings
from gateway.processes.tls import read_contexts

if TYPE_CHECKING:
    from gateway.settings import Settings

SOON_SECONDS: Final = 14 * 86_400.0
"""A token that ends within this time is worth a word."""


def is_local(settings: Settings) -> bool:
    """Say whether the admin port is reached from this machine only."""
    return settings.admin_host in {"localhost", "::1"} or settings.admin_host.startswith("127.")


def check_tokens(settings: Settings) -> Finding:
    """Say who may use the admin port, and whose token ends soon or has ended; the names are no secret."""
    if settings.admin_token_file is None:
        return _without_tokens(settings)
    try:
        access = read_access(settings.admin_token_file)
        proxy = settings.admin_proxy_secret_file
        believed = f", and {len(access.groups)} groups of a proxy's users" if proxy and read_secrets(proxy) else ""
    except InvalidSettings as exc:
        return Finding("admin tokens", "fail", str(exc))
    soon = time.time() + SOON_SECONDS
    ending = [each.principal.name for each in access.tokens.values() if each.expires and each.expires < soon]
    found = f"{len(access.tokens)} tokens in {str(settings.admin_token_file)!r}{believed}"
    if ending:
        return Finding("admin tokens", "warn", f"{found}; ended or ending within 14 days: {', '.join(sorted(ending))}")
    return Finding("admin tokens", "ok", found)


def check_certificates(settings: Settings) -> Finding:
    """Say which ports speak TLS."""
    try:
        contexts = read_contexts(settings)
    except InvalidSettings as exc:
        return Finding("TLS", "fail", str(exc))
    if contexts.admin is None and settings.admin_token_file is not None and not is_local(settings):
        return Finding(
            "TLS", "warn", "tokens cross the network as they are; set --admin-tls-cert, or end TLS in front of the port"
        )
    ports = {"inference": contexts.inference, "gRPC": contexts.rpc if settings.grpc_port else None}
    spoken = [name for name, context in {**ports, "admin": contexts.admin}.items() if context is not None]
    return Finding("TLS", "ok", f"on the ports for {', '.join(spoken)}" if spoken else "off")


def _without_tokens(settings: Settings) -> Finding:
    if settings.admin_proxy_secret_file is not None:
        return Finding("admin tokens", "fail", "none, and --admin-proxy-secret-file needs --admin-token-file too")
    if settings.metrics_auth:
        return Finding("admin tokens", "fail", "none, and --metrics-auth needs --admin-token-file too")
    if is_local(settings):
        return Finding("admin tokens", "ok", "none: the admin API answers on this machine only")
    return Finding(
        "admin tokens",
        "fail",
        f"none, and the admin API would listen on {settings.admin_host}; set --admin-token-file",
    )
