"""The image's health check: is the inference port of this container's gateway alive?

Follows GATEWAY_PORT, GATEWAY_TLS_CERT and GATEWAY_TLS_CLIENT_CA. Where callers must show a certificate it has none, and
needs none: that the worker asks for one is its event loop's answer. Ends with 0, or with a traceback and 1.
"""

from __future__ import annotations

import os
import socket
import ssl
import urllib.request

SECONDS = 2
REFUSALS = frozenset({"TLSV13_ALERT_CERTIFICATE_REQUIRED", "SSLV3_ALERT_HANDSHAKE_FAILURE"})
"""What a server says to a caller without a certificate, over TLS 1.3 and 1.2."""


def ask(scheme: str, port: int, context: ssl.SSLContext) -> None:
    """Fail unless the gateway says that it is alive."""
    address = f"{scheme}://127.0.0.1:{port}/v2/health/live"
    urllib.request.urlopen(address, timeout=SECONDS, context=context).close()  # noqa: S310 - http or https, never a file


def be_refused(port: int, context: ssl.SSLContext) -> None:
    """Fail unless the gateway asks for a certificate. Nothing is sent, so that its refusal is what comes first."""
    try:
        with (
            socket.create_connection(("127.0.0.1", port), SECONDS) as plain,
            context.wrap_socket(plain) as secured,
        ):
            secured.recv(1)
    except ssl.SSLError as exc:
        if exc.reason not in REFUSALS:
            raise
    else:
        raise SystemExit(f"port {port} asks nobody for a certificate, and GATEWAY_TLS_CLIENT_CA is set")


def main() -> None:
    """Ask as the settings in the environment say."""
    port, context = int(os.environ.get("GATEWAY_PORT", "8080")), ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # it asks this container, by a number
    if not os.environ.get("GATEWAY_TLS_CERT"):
        ask("http", port, context)
    elif os.environ.get("GATEWAY_TLS_CLIENT_CA"):
        be_refused(port, context)
    else:
        ask("https", port, context)


if __name__ == "__main__":
    main()
