"""How one route differs from another, in words. Works on bare documents, and imports no YAML."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from gateway.cli.output import plain, print_json, weights

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping

    from gateway.cli.client import Client

MOVES_USERS: Final = ("by", "salt")
"""Members of ``assign`` whose change assigns nearly everybody anew."""


def show_trial(
    args: argparse.Namespace,
    client: Client,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    *,
    force: bool = False,
) -> int:
    """Have the gateway check *after* as a write would and print what it changes; write nothing. Raises Refused."""
    query = {"force": "true"} if force else {}
    checked = client.send("POST", args.model, "route", "check", body=dict(after), query=query).data
    if args.json:
        print_json({"model": args.model, "before": before, "after": checked, "words": in_words(before, checked)})
        return 0
    for line in in_words(before, checked) or ["nothing"]:
        print(f"would change {plain(args.model)}: {plain(line)}")
    return 0


def in_words(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> list[str]:
    """Return one sentence per difference, none where both say the same; *before* None is no route."""
    if before is None:
        return [f"a new route, {weights(after['split'])}"]
    return [
        *_shares(before["split"], after["split"], "version {}: {} -> {} of the traffic"),
        *_assignment(before["assign"], after["assign"]),
        *_rules(before["rules"], after["rules"]),
        *_named("shadow {}: {} -> {} % of the requests", before.get("shadow", {}), after.get("shadow", {})),
        *_plain_members(before, after),
        *_named("alias {}: {} -> {}", before.get("aliases", {}), after.get("aliases", {})),
        *_plan(before.get("rollout"), after.get("rollout")),
    ]


def _shares(before: Mapping[str, int], after: Mapping[str, int], sentence: str) -> Iterator[str]:
    """Compare splits by share: weights of another sum that mean the same are told as such."""
    old, new = sum(before.values()), sum(after.values())
    told = False
    for version in sorted(before.keys() | after.keys(), key=int):
        was, becomes = before.get(version, 0), after.get(version, 0)
        if was * new != becomes * old:
            told = True
            yield sentence.format(version, _percent(was, old), _percent(becomes, new))
    if before != after and not told:
        yield f"weights {weights(before)} -> {weights(after)}, which gives everybody the same share"


def _percent(weight: int, total: int) -> str:
    return f"{100 * weight / total:.4g} %"


def _assignment(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    for member in sorted(before.keys() | after.keys()):
        was, becomes = before.get(member), after.get(member)
        if was != becomes:
            consequence = ", which assigns nearly everybody anew" if member in MOVES_USERS else ""
            yield f"assign.{member}: {was} -> {becomes}{consequence}"


def _rules(before: list[Any], after: list[Any]) -> Iterator[str]:
    old = {_key(rule): rule for rule in before}
    new = {_key(rule): rule for rule in after}
    for key, rule in old.items():
        if key not in new:
            yield f"the rule for {key} goes, it gave {weights(rule['split'])}"
        elif rule["split"] != new[key]["split"]:
            yield f"the rule for {key}: {weights(rule['split'])} -> {weights(new[key]['split'])}"
    for key, rule in new.items():
        if key not in old:
            yield f"a rule for {key} comes, it gives {weights(rule['split'])}"
    if [key for key in old if key in new] != [key for key in new if key in old]:
        yield "the rules are asked in another order"


def _key(rule: Mapping[str, Any]) -> str:
    return json.dumps(rule["when"], sort_keys=True, ensure_ascii=False)


def _plain_members(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    for member in ("baseline", "fallback"):
        if before[member] != after[member]:
            yield f"{member}: {before[member]} -> {after[member]}"


def _named(sentence: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted(before.keys() | after.keys()):
        was, becomes = before.get(name, "none"), after.get(name, "none")
        if was != becomes:
            yield sentence.format(name, was, becomes)


def _plan(before: object, after: object) -> Iterator[str]:
    if before != after:
        what = "goes" if after is None else "comes" if before is None else "is another one"
        yield f"the plan of its rollouts {what}"
