"""What this release writes is read by the releases before it, as long as no member is used that they do not know.

Their own code reads it, out of the history of this repository.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest

from gateway.core import document
from gateway.core.document import parse
from gateway.core.phases import Phase
from gateway.core.plan import read_plan
from gateway.core.rollout import start
from gateway.core.seating import seat_route
from gateway.core.stored import Held, Quarantined, digest, encode
from tests.store.released import ROOT, before_this, source_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gateway.core.rollout import Rollout

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


class Later(NamedTuple):
    """An example, and the member of it that a release refuses that does not know it."""

    refused: str
    members: dict[str, Any]


LATER: Final[dict[str, dict[str, Later]]] = {
    "0.4.0": {
        "feedback": Later("feedback", {"feedback": {"inputs": "all", "redact": {}}}),
        "drift": Later("drift", {"drift": {"pause": True}}),
        "optimize": Later("optimize", {"optimize": {"by": "accuracy", "floor": "5%"}}),
        "labels.least": Later("least", {"rollout": {**STEPS, "guards": {"labels": {"least": 100}}}}),
    },
}
"""Release → what it was the first to know."""


@pytest.fixture(scope="module", params=before_this(2))
def older(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A release before this one, and where its source is."""
    release: str = request.param
    return release, source_of(release, tmp_path_factory.mktemp("older"))


def held(walk: Rollout | None = None, taken_back: tuple[Quarantined, ...] = (), **members: Any) -> Held:
    """Return what is stored of a route with these *members*, in the rollout *walk*, after what was *taken_back*."""
    route = parse({**ROUTE, **members})
    return Held(route, seat_route(route), walk, taken_back)


def begun(plan: Mapping[str, Any], *candidates: int) -> Rollout:
    """Return a rollout as it is started."""
    read = read_plan(plan)
    return start("r1", candidates=candidates, baseline=1, plan=read, before={1: 100}, baseline_rate=0.01, now=1.5)


def over(plan: Mapping[str, Any]) -> Rollout:
    """Return a rollout that was given up."""
    return replace(begun(plan, 2), phase=Phase.ABORTED, reason="abort by ada", stopped=9.5)


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

    taken_back = (Quarantined("0" * 64, 3, "errors: too many"),)
    written = {name: held(**members) for name, members in KNOWN.items()}
    written |= {f"rolls out {each}": held(begun(STEPS, *each), taken_back) for each in ((2,), (2, 3))}

    said = said_of(source, written)

    assert set(said.values()) == {""}, said


def test_a_later_member_is_refused_by_name_by_every_release_that_does_not_know_it(older: tuple[str, Path]) -> None:
    release, source = older
    unknown = {
        name: later for first, found in LATER.items() if is_later(first, release) for name, later in found.items()
    }
    known = {name: later for found in LATER.values() for name, later in found.items() if name not in unknown}

    said = said_of(source, {name: held(**each.members) for name, each in (unknown | known).items()})

    assert [name for name in known if said[name]] == []
    assert [name for name, each in unknown.items() if f"{each.refused}: is no member" not in said[name]] == [], said


def test_a_rollout_that_is_over_is_refused_for_its_plan_until_the_next_one_takes_its_place(
    older: tuple[str, Path],
) -> None:
    release, source = older
    plans = {"after": LATER["0.4.0"]["labels.least"].members["rollout"], "then": STEPS}

    said = said_of(source, {name: held(over(plan)) for name, plan in plans.items()})

    assert bool(said["after"]) == is_later("0.4.0", release)
    assert said["then"] == ""


def test_every_member_of_a_route_is_tried_here() -> None:
    tried = {member for members in KNOWN.values() for member in members}
    tried |= {member for found in LATER.values() for each in found.values() for member in each.members}

    assert tried | {"model", "split", "baseline", "fallback", "schema"} == set(document.MEMBERS)


def test_the_page_for_operators_says_which_release_was_the_first_to_know_a_member() -> None:
    page = (ROOT / "docs/operations.md").read_text(encoding="utf-8")

    rows = {line for line in page.splitlines() if line.startswith("| `")}
    for release, found in LATER.items():
        for name in found:
            assert any(line.startswith(f"| `{name}` ") and f"| {release} |" in line for line in rows), name
