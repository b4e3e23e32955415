"""What this release writes is read by the releases before it, as long as no member is used that they do not know.

Their own code reads it, out of the history of this repository.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from gateway.core import document
from gateway.core.document import parse
from gateway.core.plan import read_plan
from gateway.core.rollout import start
from gateway.core.seating import seat_route
from gateway.core.stored import Held, Quarantined, digest, encode
from tests.store.released import ROOT, before_this, source_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MODEL: Final = "echo"
READER: Final = """
import base64, json, sys
from gateway.core.errors import CorruptRoute
from gateway.core.stored import decode
said = {}
for name, (payload, digest) in json.load(sys.stdin).items():
    try:
        decode("echo", base64.b64decode(payload), digest)
        said[name] = ""
    except CorruptRoute as exc:
        said[name] = str(exc)
print(json.dumps(said))
"""
ROUTE: Final[dict[str, Any]] = {"model": MODEL, "split": {"1": 95, "2": 5}, "baseline": "1", "fallback": "none"}
STEPS: Final[dict[str, Any]] = {"steps": [{"weight": 5, "for": "1m"}]}
KNOWN: Final[dict[str, dict[str, Any]]] = {
    "weights": {},
    "assign": {"assign": {"by": "header:x-user-id", "salt": "ü", "missing": "baseline"}},
    "rules": {"rules": [{"when": {"header:x-tenant": ["Zoë", "acme*"]}, "split": {"3": 1}}]},
    "aliases": {"aliases": {"champion": "1"}},
    "shadow": {"shadow": {"3": 20}},
    "rollout": {"rollout": {**STEPS, "guards": {"errors": {"tolerate": "1%"}, "labels": {"margin": "10%"}}}},
    "record": {"record": {"percent": 1, "redact": {}}},
}
"""What routes may hold → an example, for what both releases before this one know."""

LATER: Final[dict[str, dict[str, tuple[str, dict[str, Any]]]]] = {
    "0.4.0": {
        "feedback": ("feedback", {"feedback": {"inputs": "all", "redact": {}}}),
        "drift": ("drift", {"drift": {"pause": True}}),
        "optimize": ("optimize", {"optimize": {"by": "accuracy", "floor": "5%"}}),
        "labels.least": ("least", {"rollout": {**STEPS, "guards": {"labels": {"least": 100}}}}),
    },
}
"""Release → what it was the first to know: the name, the member that an older one refuses, and an example."""


@pytest.fixture(scope="module", params=before_this(2))
def older(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A release before this one, and where its source is."""
    release: str = request.param
    return release, source_of(release, tmp_path_factory.mktemp("older"))


def held(**members: Any) -> Held:
    route = parse({**ROUTE, **members})
    return Held(route, seat_route(route))


def rollouts() -> Mapping[str, Held]:
    """Return a route in a rollout as it is started, of one canary and of two, and what an earlier one took back."""
    plain = held()
    plan = read_plan(STEPS)
    walks = {
        f"a rollout of {len(candidates)}": start(
            "r1", candidates=candidates, baseline=1, plan=plan, before={1: 100}, baseline_rate=0.01, now=1.5
        )
        for candidates in ((2,), (2, 3))
    }
    taken_back = (Quarantined("0" * 64, 3, "errors: too many"),)
    return {name: Held(plain.document, plain.seating, walk, taken_back) for name, walk in walks.items()}


def said_of(source: Path, written: Mapping[str, Held]) -> dict[str, str]:
    """Return name → what the release at *source* says of what this one wrote; empty where it reads it."""
    payloads = {name: encode(each) for name, each in written.items()}
    given = {name: [base64.b64encode(payload).decode(), digest(payload)] for name, payload in payloads.items()}
    done = subprocess.run(
        [sys.executable, "-c", READER],
        input=json.dumps(given), capture_output=True, text=True, check=True, cwd=source,
        env={**os.environ, "PYTHONPATH": str(source)},
    )  # fmt: skip
    said: dict[str, str] = json.loads(done.stdout)
    return said


def is_later(release: str, other: str) -> bool:
    return [int(part) for part in release.split(".")] > [int(part) for part in other.split(".")]


def test_whatever_uses_no_later_member_is_read_by_the_releases_before(older: tuple[str, Path]) -> None:
    _, source = older

    said = said_of(source, {**{name: held(**members) for name, members in KNOWN.items()}, **rollouts()})

    assert set(said.values()) == {""}, said


def test_a_later_member_is_refused_by_name_by_every_release_that_does_not_know_it(older: tuple[str, Path]) -> None:
    release, source = older
    examples = {name: (first, *rest) for first, found in LATER.items() for name, rest in found.items()}

    said = said_of(source, {name: held(**members) for name, (_, _, members) in examples.items()})

    refused = {name: text for name, text in said.items() if text}
    assert set(refused) == {name for name, (first, _, _) in examples.items() if is_later(first, release)}
    assert all(f"{examples[name][1]}: is no member" in text for name, text in refused.items()), refused


def test_every_member_of_a_route_is_tried_here() -> None:
    tried = {member for members in KNOWN.values() for member in members}
    tried |= {member for found in LATER.values() for _, members in found.values() for member in members}

    assert tried | {"model", "split", "baseline", "fallback", "schema"} == set(document.MEMBERS)


def test_the_page_for_operators_says_which_release_was_the_first_to_know_a_member() -> None:
    page = (ROOT / "docs/operations.md").read_text(encoding="utf-8")

    rows = {line for line in page.splitlines() if line.startswith("| `")}
    for release, found in LATER.items():
        for name in found:
            assert any(line.startswith(f"| `{name}` ") and f"| {release} |" in line for line in rows), name
