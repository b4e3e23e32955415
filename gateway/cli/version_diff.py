"""``gateway versions diff``: what differs between two versions, from their metadata to what their callers notice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gateway.cli.errors import CommandMisused
from gateway.cli.output import print_json, print_table
from gateway.core.compatibility import compare, worst
from gateway.core.lineage import InvalidLineage, read_name
from gateway.core.signature import Signature, TensorSpec

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping

    from gateway.cli.client import Client

MAPPINGS: Final = ("parameters", "metrics", "training_data", "libraries", "serving", "adapter", "extra")
"""Members of the metadata that are compared by their own members."""

EXAMPLE: Final = "example: gateway versions diff fraud/1 fraud/2"

Row = tuple[str, str, Any, Any]
"""What kind of thing differs, which one, how it is in the first version, and in the second; None where it is not."""


def run(args: argparse.Namespace, client: Client) -> int:
    """Compare the two versions and print what differs; return 0."""
    old, new = (_version(client, text) for text in (args.old, args.new))
    rows = list(differences(old, new))
    findings, verdict = _findings(old, new)
    if args.json:
        names = ("kind", "name", "old", "new")
        print_json({
            "old": args.old, "new": args.new, "verdict": verdict,
            "differences": [dict(zip(names, row, strict=True)) for row in rows], "findings": findings,
        })  # fmt: skip
        return 0
    rows += [(each["verdict"], f"{each['tensor']}: {each['rule']}", each["old"], each["new"]) for each in findings]
    print_table(("WHAT", "NAME", args.old, args.new, "CHANGE"), [(*row, _change(row)) for row in rows])
    print(f"to callers: {verdict or 'unknown, as one of the two was never READY here'}")
    return 0


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Row]:
    """Yield what differs between two versions as the admin API shows them, but for their signatures."""
    for name in ("digest", "state"):
        if old[name] != new[name]:
            yield "version", name, old[name], new[name]
    mine, theirs = old["metadata"] or {}, new["metadata"] or {}
    for name in [*mine, *(each for each in theirs if each not in mine)]:
        was, now = mine.get(name), theirs.get(name)
        if name in MAPPINGS and (isinstance(was, dict) or isinstance(now, dict)):
            yield from _members(name, was or {}, now or {})
        elif (was or None) != (now or None):
            yield "metadata", name, was, now


def _members(kind: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Row]:
    for name in [*was, *(each for each in now if each not in was)]:
        if was.get(name) != now.get(name):
            yield kind, name, was.get(name), now.get(name)


def _change(row: Row) -> str | None:
    """Return how far a number moved."""
    _, _, was, now = row
    is_number = all(isinstance(each, int | float) and not isinstance(each, bool) for each in (was, now))
    return f"{now - was:+.6g}" if is_number else None


def _findings(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[list[dict[str, str]], str | None]:
    """Return what callers of *old* meet at *new*, and the verdict; None where a signature is not known."""
    if old["signature"] is None or new["signature"] is None:
        return [], None
    classes = [(each["metadata"] or {}).get("classes") or [] for each in (old, new)]
    found = compare(_signature(old["signature"]), _signature(new["signature"]), *classes)
    shown = [
        {"verdict": each.verdict.value, "rule": each.rule, "tensor": each.tensor, "old": each.old, "new": each.new}
        for each in found
    ]
    return shown, worst(found).value


def _signature(given: Mapping[str, Any]) -> Signature:
    inputs, outputs = (
        tuple(TensorSpec(each["name"], each["datatype"], tuple(each["shape"])) for each in given[side])
        for side in ("inputs", "outputs")
    )
    return Signature(inputs, outputs)


def _version(client: Client, text: str) -> Mapping[str, Any]:
    try:
        name = read_name(text)
    except InvalidLineage as exc:
        raise CommandMisused(str(exc)) from exc
    found: Mapping[str, Any] = client.get(name.model, "versions", str(name.version)).data
    return found
