"""``gateway versions sign``: write the digests of a version beside it, signed by a key."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gateway.cli.errors import CommandFailed, CommandMisused
from gateway.cli.output import plain, print_json
from gateway.cli.repository import add_models, need, opened
from gateway.core.errors import InvalidModel
from gateway.core.names import is_model_name, version_number

if TYPE_CHECKING:
    import argparse

EXAMPLE: Final = """example: gateway versions sign fraud 3 --key release

`ssh-keygen -t ed25519 -N '' -f release` makes a key. A gateway that is started with --trusted-keys release.pub serves
what it signed and nothing else. Sign last: golden requests and metadata that change later undo the signature.
Without --key the digests alone are written; every gateway holds a version to those. It needs no gateway."""


def add_parser(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser("sign", help="write a version's digests beside it, signed by a key", epilog=EXAMPLE)
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("version", metavar="VERSION")
    parser.add_argument("--key", type=Path, metavar="FILE", help="a private Ed25519 key, as ssh-keygen writes it")
    add_models(parser)
    parser.add_argument("--json", action="store_true", help="print JSON for scripts")


def run(args: argparse.Namespace) -> int:
    """Write the digests; return 0."""
    from gateway.models.digests import digests_of
    from gateway.models.publishing import amend
    from gateway.models.repository import DIGESTS_FILE
    from gateway.models.signing import CannotSign, sign

    version = version_number(args.version)
    if version is None or not is_model_name(args.model):
        raise CommandMisused(f"{args.model!r} {args.version!r} is no model and version; write such as fraud 3")
    try:
        with opened(args.models) as copy:
            digests = digests_of(need(copy, args.model, version), args.model, version)
            if args.key is not None:
                digests = sign(digests, args.key)
            amend(copy.root, args.model, version, {DIGESTS_FILE: digests.encoded()})
            copy.send(args.model, version, [DIGESTS_FILE])
    except CannotSign as exc:
        raise CommandMisused(str(exc)) from exc
    except InvalidModel as exc:
        raise CommandFailed(f"version {version} of {args.model} cannot be signed: {exc.reason}") from exc
    except OSError as exc:
        raise CommandFailed(
            f"{DIGESTS_FILE} cannot be written below {args.models}: {exc.strerror or exc}; may this user write there?"
        ) from exc
    keys = [each.key for each in digests.signatures]
    if args.json:
        print_json({"model": args.model, "version": str(version), "files": dict(digests.files), "signed_by": keys})
    else:
        by = f"signed by {', '.join(keys)}" if keys else "signed by nobody"
        print(plain(f"{', '.join(digests.files)} of version {version} of {args.model}: {by}"))
    return 0
