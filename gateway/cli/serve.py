"""``gateway serve``: read the settings, take the state directory, run the launcher, say where everything is."""

from __future__ import annotations

import dataclasses
import importlib.util
import logging
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from gateway.cli import BEGAN
from gateway.cli.samples import BENIGN
from gateway.control.proxy import read_secrets
from gateway.core.errors import GatewayError, InvalidSettings
from gateway.models.signing import need_library, read_trusted
from gateway.notifications.targets import read_targets
from gateway.processes.tls import read_contexts
from gateway.settings import Settings, flag, from_environment, is_chosen, secret_variable, variable

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

log = logging.getLogger(__name__)

SHOWN: Final = "breast-cancer"
"""The shipped model that the banner's example asks."""

EXAMPLE = """example:
  gateway serve --models ./models --routes ./routing_configs --workers 2

Every flag has an environment variable, GATEWAY_<FLAG>; flags win.
SIGTERM drains and stops, SIGHUP replaces the workers one by one."""


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add ``serve`` with one flag per setting."""
    import argparse

    parser = subparsers.add_parser(
        "serve",
        help="serve models",
        description="Serve every model of a repository and split the traffic by the routes in the store.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for each in dataclasses.fields(Settings):
        text = f"{each.metadata['help']} [{each.metadata['default'] or 'none'}] ({variable(each.name)})".replace(
            "%", "%%"
        )
        if each.type == "bool":
            parser.add_argument(flag(each.name), dest=each.name, nargs="?", const="true", metavar="BOOL", help=text)
        else:
            parser.add_argument(flag(each.name), dest=each.name, metavar=each.name.upper(), help=text)


def run(args: argparse.Namespace) -> int:
    """Serve until a signal; return the exit code: 0 after a stop, 2 for settings that cannot be used."""
    from gateway.telemetry.logs import configure

    names = [each.name for each in dataclasses.fields(Settings)]
    flags = {name: value for name in names if (value := getattr(args, name, None)) is not None}
    try:
        settings = from_environment(flags)
        check(settings)
        configure(settings.log_level, human=settings.log_human())
        return _launch(with_what_is_installed(settings, grpc_is_chosen=is_chosen("grpc_port", flags)))
    except GatewayError as exc:
        print(f"gateway: {exc}", file=sys.stderr)
        return 2


def check(settings: Settings) -> None:
    """Refuse what no process could start with. Raises InvalidSettings."""
    if settings.models_url:
        _check_library(settings.models_url)
    elif not settings.models.is_dir():
        raise InvalidSettings(
            f"--models {str(settings.models)!r} is not a directory; name the one that holds NAME/VERSION/model.onnx"
        )
    if settings.admin_token_file is not None and not settings.admin_token_file.is_file():
        raise InvalidSettings(f"--admin-token-file {str(settings.admin_token_file)!r} is not a file")
    if settings.admin_proxy_secret_file is not None:
        _check_proxy(settings.admin_proxy_secret_file, settings.admin_token_file)
    if settings.metrics_auth and settings.admin_token_file is None:
        raise InvalidSettings(
            "--metrics-auth needs --admin-token-file too: without tokens nobody could show one; "
            "give the file, with a viewer for Prometheus, or leave --metrics-auth out"
        )
    if settings.otlp_endpoint:
        _check_exporter(settings.otlp_endpoint)
    read_contexts(settings)
    if settings.trusted_keys is not None:
        need_library()
        read_trusted(settings.trusted_keys)
    if settings.webhooks is not None:
        read_targets(settings.webhooks, secret_variable)
    if settings.admin_token_file is None and settings.admin_host not in {"127.0.0.1", "::1", "localhost"}:
        raise InvalidSettings(
            f"--admin-host {settings.admin_host} would open the admin API to the network without a token; "
            f"give --admin-token-file, or keep it on 127.0.0.1"
        )


def _check_proxy(secret: Path, tokens: Path | None) -> None:
    if tokens is None:
        raise InvalidSettings(
            f"--admin-proxy-secret-file {str(secret)!r} needs --admin-token-file too: what the groups of the proxy's "
            f"users may do stands there, under `groups`"
        )
    read_secrets(secret)


def _check_exporter(endpoint: str) -> None:
    """Refuse a collector that nothing here speaks to, without importing what would."""
    if importlib.util.find_spec("opentelemetry") is None:
        raise InvalidSettings(
            f"--otlp-endpoint {endpoint} needs opentelemetry, which is not installed; "
            f"install it with pip install 'canary-gateway[otel]'"
        )


def _check_library(url: str) -> None:
    """Refuse an object store that no library here reads, without importing one: that starts threads."""
    scheme = url.partition("://")[0]
    needed = ["fsspec", *(["s3fs"] if scheme in {"s3", "s3a"} else [])]
    for name in needed:
        if importlib.util.find_spec(name) is None:
            raise InvalidSettings(
                f"--models {url} needs {name}, which is not installed; install it with pip install 'canary-gateway[s3]'"
            )


def with_what_is_installed(settings: Settings, *, grpc_is_chosen: bool) -> Settings:
    """Return the settings with gRPC off where it is not installed and nobody chose a port for it.

    Raises InvalidSettings where somebody did.
    """
    if not settings.grpc_port or importlib.util.find_spec("hpack") is not None:
        return settings
    what_to_do = "install it with pip install 'canary-gateway[grpc]'"
    if grpc_is_chosen:
        raise InvalidSettings(
            f"--grpc-port {settings.grpc_port} needs hpack, which is not installed; {what_to_do}, or give --grpc-port 0"
        )
    log.warning("hpack is not installed: serving without gRPC; %s", what_to_do)
    return dataclasses.replace(settings, grpc_port=0)


def _launch(settings: Settings) -> int:
    from gateway.processes.launcher import Launcher
    from gateway.store.embedded import EmbeddedServer
    from gateway.store.server_binary import find_server

    store = None
    if not settings.redis_url:
        binary = find_server(str(settings.redis_server) if settings.redis_server else None)
        store = EmbeddedServer(settings.state_dir, binary)
    before = time.monotonic() - BEGAN  # the imports, of which the launcher knows nothing

    def on_ready(inference: str, admin: str, seconds: float) -> None:
        print(banner(settings, inference, admin, before + seconds), flush=True)

    return Launcher(settings, store, on_ready).run()


def grpc_address(settings: Settings) -> str:
    """Return where the gRPC door is reached from this machine: host and port, as its clients take them."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104 - what a server listens on, read as "here"
    return f"[{host}]:{settings.grpc_port}" if ":" in host else f"{host}:{settings.grpc_port}"


def banner(settings: Settings, inference: str, admin: str, seconds: float) -> str:
    """Return what is printed when the gateway is ready: the addresses, and three commands that work when pasted."""
    store = "Redis" if settings.redis_url else "embedded store"
    names = sorted(path.name for path in settings.repository.iterdir() if path.is_dir())
    quietly = "-sk" if inference.startswith("https:") else "-s"  # a certificate of one's own is rarely for 127.0.0.1
    lines = [f"curl {quietly} {inference}/v2/models"]
    if SHOWN in names:
        row = ",".join(map(str, BENIGN))
        body = f'{{"inputs":[{{"name":"input","shape":[1,30],"datatype":"FP32","data":[{row}]}}]}}'
        lines.append(f"curl {quietly}i {inference}/v2/models/{SHOWN}/infer -H 'x-user-id: user-5' -d '{body}'")
    else:
        lines.append(f"curl {quietly} {inference}/v2/health/ready")
    lines.append(f"curl {'-sk' if admin.startswith('https:') else '-s'} {admin}/api/v1/models")
    return "\n".join(
        [
            f"gateway is ready after {seconds:.2f} s: {settings.workers} workers, {store}",
            f"  inference  {inference}",
            f"  admin      {admin}",
            *([f"  gRPC       {grpc_address(settings)}"] if settings.grpc_port else []),
            f"  metrics    {admin}/metrics",
            "",
            "try it:",
            *(f"  {line}" for line in lines),
            "",
            "stop with Ctrl-C",
        ]
    )
