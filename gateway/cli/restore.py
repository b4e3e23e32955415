"""``gateway restore``: what ``gateway backup`` wrote, back into a store."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.cli.errors import CommandFailed
from gateway.cli.output import print_json, say
from gateway.cli.stored import add_store_flags, store_url

if TYPE_CHECKING:
    import argparse


def add_parser(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "restore",
        help="put what a backup holds into the store",
        description="Put the models of a backup into the store. Gateways that run on it follow at once.",
        epilog="example: gateway restore gateway.json --redis-url redis://cache",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="what `gateway backup` wrote")
    parser.add_argument("--force", action="store_true", help="replace models that the store holds")
    parser.add_argument("--dry-run", action="store_true", help="check the file and change nothing")
    add_store_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Restore and return 0. Raises GatewayError for a file that cannot be used, and where nothing may be replaced."""
    from gateway.store.backup import read_document

    try:
        text = args.file.read_bytes()
    except OSError as exc:
        raise CommandFailed(f"{args.file} cannot be read: {exc.strerror}") from exc
    models = read_document(text)
    if not args.dry_run:
        asyncio.run(_put(store_url(args), models, force=args.force))
    if args.json:
        print_json({"file": str(args.file), "models": sorted(models), "restored": not args.dry_run})
    else:
        say(f"{len(models)} models of {args.file} " + ("could be restored" if args.dry_run else "are in the store"))
    return 0


async def _put(url: str, models: dict[str, Any], *, force: bool) -> None:
    from gateway.store.backup import Backups

    backups = Backups(url)
    try:
        await backups.put(models, force=force)
    finally:
        await backups.close()
