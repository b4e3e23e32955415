"""``gateway versions tag``: what people say of a version after it was published, kept in the repository."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gateway.cli.errors import CommandFailed, CommandMisused
from gateway.cli.output import plain, print_json
from gateway.cli.repository import add_models, opened
from gateway.core.names import version_number
from gateway.core.tags import InvalidTag, read_tag

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from gateway.models.working_copy import WorkingCopy

MOST_TRIES: Final = 10
"""Against others who change the tags of the same version in a store."""

EXAMPLE: Final = """example: gateway versions tag fraud 3 stage=production owner=risk --remove draft

Written to the repository: it needs no gateway, and changes nothing that a worker looks at.
Without a tag it shows those there are. `gateway versions list fraud --tag stage=production` finds versions by them."""


def add_parser(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser("tag", help="say something of a version, such as stage=production", epilog=EXAMPLE)
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("version", metavar="VERSION")
    parser.add_argument("tags", nargs="*", metavar="KEY=VALUE", help="tags to set, in place of those of their keys")
    parser.add_argument("--remove", action="append", default=[], metavar="KEY", help="a tag to remove")
    add_models(parser)
    parser.add_argument("--json", action="store_true", help="print JSON for scripts")


def run(args: argparse.Namespace) -> int:
    """Set and remove the tags, print what there is then, and return 0."""
    from gateway.models.tags import InvalidTags

    version = version_number(args.version)
    if version is None:
        raise CommandMisused(f"{args.version!r} is no version; write a number from 1 up")
    try:
        setting = dict(read_tag(text) for text in args.tags)
        with opened(args.models) as copy:
            tags = _changed(copy, args, version, setting)
    except InvalidTag as exc:
        raise CommandMisused(str(exc)) from exc
    except InvalidTags as exc:
        raise CommandFailed(str(exc)) from exc
    except OSError as exc:
        raise CommandFailed(
            f"the tags cannot be written below {args.models}: {exc.strerror or exc}; may this user write there?"
        ) from exc
    if args.json:
        print_json({"model": args.model, "version": str(version), "tags": tags})
    else:
        print(plain(" ".join(f"{key}={value}" for key, value in tags.items()) or "no tags"))
    return 0


def _changed(copy: WorkingCopy, args: argparse.Namespace, version: int, setting: Mapping[str, str]) -> dict[str, str]:
    """Set and remove the tags, again where somebody else was first, and return what there is then."""
    from gateway.models.tags import TAGS_FILE, change_tags
    from gateway.models.working_copy import ChangedMeanwhile

    for left in reversed(range(MOST_TRIES)):
        if not copy.fetch(args.model, version, [TAGS_FILE]):
            raise InvalidTag(f"there is no version {version} of {args.model} in {copy.name}; name another one")
        tags = change_tags(copy.root, args.model, version, setting, args.remove)
        try:
            copy.send(args.model, version, [TAGS_FILE] if setting or args.remove else [])
        except ChangedMeanwhile:
            if not left:
                raise
        else:
            break
    return tags
