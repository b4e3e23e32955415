"""``gateway routes lint``: whether route files would be taken, without a gateway. For a commit hook or a pipeline.

What only a gateway knows (signatures, states, quarantine) is checked by ``routes apply --dry-run``.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gateway.cli.errors import CommandMisused
from gateway.cli.output import plain, print_json, say
from gateway.core.errors import InvalidDocument, InvalidSettings
from gateway.core.names import version_number
from gateway.core.slots import SLOTS

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping, Sequence

    from gateway.core.document import RouteDocument

EXAMPLE: Final = """example: gateway routes lint routing_configs --models models

Errors are what a gateway would refuse; warnings are what it takes and you may not mean.
Exit code 1 where there is an error, with --strict also where there is a warning."""


@dataclass(frozen=True, slots=True)
class Remark:
    """What is wrong in one file. *severity* is ``error`` or ``warning``; *where* is a member's path, or empty."""

    file: str
    severity: str
    where: str
    says: str


def add_parser(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser("lint", help="check route files, without a gateway", epilog=EXAMPLE)
    parser.add_argument("paths", nargs="+", type=Path, metavar="FILE|DIR", help="route files, or directories of them")
    parser.add_argument("--models", type=Path, metavar="DIR", help="the versions must be in this repository")
    parser.add_argument("--strict", action="store_true", help="exit with 1 for a warning too")
    parser.add_argument("--json", action="store_true", help="print JSON for scripts")


def run(args: argparse.Namespace) -> int:
    """Print what is wrong, one line each; return 1 where a gateway would refuse something."""
    from gateway.control.route_files import collect

    files = collect(_paths(args.paths))
    remarks = [_broken(path, error) for path, error in files.errors.items()]
    for model, document in files.documents.items():
        remarks += _doubts(str(files.sources[model]), document)
        if args.models is not None:
            remarks += _absent(str(files.sources[model]), document, args.models)
    if args.json:
        print_json([asdict(remark) for remark in remarks])
    else:
        for remark in remarks:
            where = f"{remark.where}: " if remark.where else ""
            print(plain(f"{remark.file}: {remark.severity}: {where}{remark.says}"))
        say(f"{len(files.documents)} routes read, {_count(remarks, 'error')}, {_count(remarks, 'warning')}")
    return 1 if any(remark.severity == "error" or args.strict for remark in remarks) else 0


def _paths(named: Sequence[Path]) -> list[Path]:
    """Return the files to read, once each, in the order in which they are named."""
    from gateway.control.route_files import list_files

    found: list[Path] = []
    for path in named:
        if not path.exists():
            raise CommandMisused(f"there is no file or directory {str(path)!r}")
        try:
            here = list_files(path) if path.is_dir() else [path]
        except InvalidSettings as exc:
            raise CommandMisused(str(exc)) from exc
        if not here:
            raise CommandMisused(f"{str(path)!r} holds no route file; their names end in .yaml, .yml or .json")
        found += here
    return list(dict.fromkeys(found))


def _broken(path: Path, error: InvalidDocument) -> Remark:
    where = error.field.removeprefix(path.name).removeprefix(": ")
    return Remark(str(path), "error", where, error.reason)


def _doubts(file: str, document: RouteDocument) -> Iterator[Remark]:
    """Yield a warning for every version that gets more than its weight says, because a seat is the least."""
    splits: Mapping[str, Mapping[int, int]] = {
        "split": document.split, **{f"rules.{index}.split": rule.split for index, rule in enumerate(document.rules)}
    }  # fmt: skip
    for where, split in splits.items():
        total = sum(split.values())
        for version, weight in split.items():
            if 0 < weight * SLOTS < total:
                says = f"asks for {100 * weight / total:.2g} % and gets one of {SLOTS:,} seats, {100 / SLOTS:g} %"
                yield Remark(file, "warning", f"{where}.{version}", says)


def _absent(file: str, document: RouteDocument, repository: Path) -> Iterator[Remark]:
    """Yield an error for every version that *repository* does not hold: a gateway would refuse the route."""
    try:
        there = {version_number(entry.name) for entry in (repository / document.model).iterdir() if entry.is_dir()}
    except OSError:
        yield Remark(file, "error", "model", f"there is no model {document.model!r} in {str(repository)!r}")
        return
    for version in sorted(document.needed() - there):
        yield Remark(file, "error", "", f"version {version} of {document.model!r} is not in {str(repository)!r}")


def _count(remarks: Sequence[Remark], severity: str) -> str:
    number = sum(remark.severity == severity for remark in remarks)
    return f"{number} {severity}{'' if number == 1 else 's'}"
