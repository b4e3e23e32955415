"""``gateway backup``: routes, history, rollouts and counters of all models, into one file."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.cli.output import print_json, say, write_lines
from gateway.cli.stored import add_store_flags, store_url

if TYPE_CHECKING:
    import argparse


def add_parser(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "backup",
        help="write what the store holds into a file",
        description="Write routes, history, rollouts, counters and what is to be told of all models into one file.",
        epilog="example: gateway backup gateway.json --redis-url redis://cache",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="where to; must not be there yet")
    add_store_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Write the file and return 0. Raises GatewayError where the store cannot be read, or the file not be written."""
    from datetime import UTC, datetime

    import gateway
    from gateway.store.backup import write_document

    models = asyncio.run(_take(store_url(args)))
    document = write_document(models, release=gateway.__version__, at=datetime.now(UTC).isoformat(timespec="seconds"))
    write_lines([document], args.file)
    if args.json:
        print_json({"file": str(args.file), "models": sorted(models), "bytes": len(document)})
    else:
        say(f"{len(models)} models are in {args.file}, {len(document)} bytes")
    return 0


async def _take(url: str) -> dict[str, Any]:
    from gateway.store.backup import Backups

    backups = Backups(url)
    try:
        return await backups.take()
    finally:
        await backups.close()
