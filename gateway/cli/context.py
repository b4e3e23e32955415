"""``gateway context``: keep the addresses of several gateways, and choose the one that commands speak to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from gateway.cli.client import Client, add_certificate_flags
from gateway.cli.client_certificate import client_certificate
from gateway.cli.contexts import NAME, Context, Contexts, as_dict, read_contexts, write_contexts
from gateway.cli.errors import CommandMisused
from gateway.cli.output import plain, print_json, print_table, say

if TYPE_CHECKING:
    import argparse


def add_parser(subparsers: Any) -> None:
    """Add the noun."""
    parser = subparsers.add_parser("context", help="keep the addresses of several gateways, and choose one")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    adding = verbs.add_parser(
        "add",
        help="name a gateway, or change what a name means; the first one is used at once",
        epilog="example: gateway context add prod --url https://gateway.example.com:9090 --token-file ~/.prod-token",
    )
    adding.add_argument("--url", required=True, help="address of its admin port")
    adding.add_argument("--token-file", type=Path, metavar="FILE", help="file that holds the token; it is not copied")
    add_certificate_flags(adding)
    using = verbs.add_parser("use", help="choose a gateway", epilog="example: gateway context use prod")
    listing = verbs.add_parser("list", help="the gateways that are named", epilog="example: gateway context list")
    removing = verbs.add_parser("remove", help="forget a gateway", epilog="example: gateway context remove prod")
    for verb in (adding, using, removing):
        verb.add_argument("name", metavar="NAME")
        verb.add_argument(
            "--dry-run", action="store_true", help="show the contexts as they would be, and write nothing"
        )
    for verb in (adding, using, listing, removing):
        verb.add_argument("--json", action="store_true", help="print JSON for scripts")


def run(args: argparse.Namespace) -> int:
    """Run the verb and return the exit code. Each shows all contexts as they are afterwards."""
    contexts = read_contexts()
    if args.verb != "list":
        contexts = {"add": _add, "use": _use, "remove": _remove}[args.verb](args, contexts)
        if not args.dry_run:
            write_contexts(contexts)
    _show(args, contexts)
    return 0


def _add(args: argparse.Namespace, contexts: Contexts) -> Contexts:
    if NAME.fullmatch(args.name) is None:
        raise CommandMisused(f"{args.name!r} is no name of a context; write up to 64 letters, digits and . _ -")
    if urlsplit(args.url).username is not None:
        raise CommandMisused("an address that is kept holds no user and no password; give --token-file")
    file = args.token_file.expanduser().absolute() if args.token_file else None
    if file is not None and not file.is_file():
        say(f"there is no token file {str(file)!r} yet")
    certificate = client_certificate(args.client_cert, args.client_key)
    url = Client(args.url, certificate=certificate).url
    known = {**contexts.known, args.name: Context(url, file, certificate)}
    return Contexts(known, contexts.current or args.name)


def _use(args: argparse.Namespace, contexts: Contexts) -> Contexts:
    contexts.named(args.name)
    return Contexts(contexts.known, args.name)


def _remove(args: argparse.Namespace, contexts: Contexts) -> Contexts:
    contexts.named(args.name)
    known = {name: each for name, each in contexts.known.items() if name != args.name}
    if contexts.current == args.name and known:
        say(f"no context is in use now; choose one with `gateway context use` ({', '.join(known)})")
    return Contexts(known, None if contexts.current == args.name else contexts.current)


def _show(args: argparse.Namespace, contexts: Contexts) -> None:
    if args.json:
        print_json(
            [{"name": name, **as_dict(each), "current": name == contexts.current}
             for name, each in contexts.known.items()]
        )  # fmt: skip
        return
    rows = [
        (
            "*" if name == contexts.current else " ",
            plain(name),
            each.url,
            each.token_file,
            each.certificate.cert if each.certificate else None,
        )
        for name, each in contexts.known.items()
    ]
    print_table((" ", "NAME", "URL", "TOKEN FILE", "CERTIFICATE"), rows)
