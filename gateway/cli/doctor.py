"""``gateway doctor``: check what a gateway needs on this machine, and say what to do. Shows nothing secret."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.cli.client import add_flags, connect
from gateway.cli.output import plain, print_json

if TYPE_CHECKING:
    import argparse

FLAGS = (
    "models", "routes", "state_dir", "host", "port", "grpc_port", "admin_host", "admin_port", "admin_token_file",
    "admin_proxy_secret_file", "metrics_auth", "tls_cert", "tls_key", "tls_client_ca", "admin_tls_cert",
    "admin_tls_key", "admin_tls_client_ca", "redis_url", "workers", "limits",
)  # fmt: skip
"""Settings that the checks look at; given as flags they win, as with ``gateway serve``."""


def add_parser(subparsers: Any) -> None:
    """Add the noun."""
    parser = subparsers.add_parser(
        "doctor",
        help="check what a gateway needs, and say what to do",
        description="Check what a gateway needs. Settings are read as `gateway serve` reads them.",
        epilog="example: gateway doctor --models ./models",
    )
    for name in FLAGS:
        parser.add_argument("--" + name.replace("_", "-"), metavar=name.upper(), help="as for `gateway serve`")
    add_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Print one line per check and return 1 if one failed."""
    from gateway.cli.checkup import check_all
    from gateway.cli.findings import Finding
    from gateway.core.errors import InvalidSettings
    from gateway.settings import from_environment

    flags = {name: value for name in FLAGS if (value := getattr(args, name)) is not None}
    client = connect(args)
    try:
        settings = from_environment(flags)
    except InvalidSettings as exc:
        findings = [Finding("settings", "fail", f"{exc}; nothing else can be checked before that is mended")]
    else:
        findings = [Finding("settings", "ok", "every flag and variable can be used"), *check_all(settings, client)]
    if args.json:
        print_json([{"check": f.check, "verdict": f.verdict, "found": f.found} for f in findings])
    else:
        for finding in findings:
            print(f"{finding.verdict:<5} {finding.check}: {plain(finding.found)}")
    return 1 if any(finding.verdict == "fail" for finding in findings) else 0
