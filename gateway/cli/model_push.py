"""``gateway models push``: a version on this disk becomes the next version in an object store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gateway.cli.errors import CommandFailed, CommandMisused
from gateway.cli.output import print_json
from gateway.core.lineage import InvalidLineage, read_name
from gateway.settings import store_url

if TYPE_CHECKING:
    import argparse

EXAMPLE: Final = """example: gateway models push fraud/3 s3://bucket/models --models ./models

The store numbers it: of two that are pushed at once each gets a number of its own. Keys and endpoint of S3 come from
the environment and files of AWS. A gateway with --models s3://bucket/models has the version within some seconds."""


def add_parser(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser("push", help="add a version to an object store that gateways read", epilog=EXAMPLE)
    parser.add_argument("version", metavar="MODEL/VERSION", help="the version on this disk")
    parser.add_argument("store", type=Path, metavar="URL", help="s3://BUCKET/PREFIX, gs://…, abfs://…")
    parser.add_argument("--models", type=Path, default=Path("models"), metavar="DIR", help="the repository [./models]")
    parser.add_argument("--json", action="store_true", help="print JSON for scripts")


def run(args: argparse.Namespace) -> int:
    """Push the version and return 0."""
    from gateway.models.objects import ObjectStore, StoreAway
    from gateway.models.shared import FILES, publish_shared

    url = store_url(args.store)
    if not url:
        raise CommandMisused(f"{args.store} is no address of an object store; write such as s3://bucket/models")
    try:
        name = read_name(args.version)
    except InvalidLineage as exc:
        raise CommandMisused(str(exc)) from exc
    place = args.models / name.model / str(name.version)
    if not (place / "model.onnx").is_file():
        raise CommandMisused(f"there is no version {name} in {args.models}; name another repository with --models")
    try:
        files = {each: (place / each).read_bytes() for each in FILES if (place / each).is_file()}
        number = publish_shared(ObjectStore(url), name.model, files)
    except StoreAway as exc:
        raise CommandFailed(f"{exc}; look there before you push again") from exc
    except OSError as exc:
        raise CommandFailed(f"{name} cannot be read: {exc.strerror or exc}; may this user read {place}?") from exc
    if args.json:
        print_json({"model": name.model, "version": str(number), "url": url})
    else:
        print(f"{name} is version {number} of {name.model} in {url}; it gets no traffic until a route names it")
    return 0
