"""What ``gateway backup`` and ``gateway restore`` have in common: which store, and how it is reached.

They speak to the store itself, for they are wanted when no gateway runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.cli.errors import CommandFailed

if TYPE_CHECKING:
    import argparse

FLAGS = ("redis_url", "state_dir")


def add_store_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say which store is meant."""
    for name in FLAGS:
        parser.add_argument("--" + name.replace("_", "-"), metavar=name.upper(), help="as for `gateway serve`")
    parser.add_argument("--json", action="store_true", help="print JSON")


def store_url(args: argparse.Namespace) -> str:
    """Return the address of the store that settings name, or of the embedded one that runs. Raises CommandFailed."""
    from gateway.settings import from_environment
    from gateway.store.embedded import embedded_url

    settings = from_environment({name: value for name in FLAGS if (value := getattr(args, name)) is not None})
    url = settings.redis_url or embedded_url(settings.state_dir)
    if not url:
        raise CommandFailed(
            f"--redis-url names no store, and no gateway with an embedded one runs on {settings.state_dir}; "
            "name the store, or start the gateway"
        )
    return url
