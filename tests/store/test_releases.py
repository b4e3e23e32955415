"""What released gateways left in their stores is read by this one, whole, and gone on with.

Each file in ``releases/`` is the store of a release that was really run: ``python -m tests.store.store_of_release``.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from gateway.core.evidence import Arms, read_evidence
from gateway.core.phases import Phase
from gateway.core.quality import read_quality
from gateway.core.stored import decode, encode
from gateway.ports.routes import AuditEntry
from gateway.store.backup import Backups, read_document
from tests.store.store_of_release import ASKED, WRONG_EVERY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.core.stored import Held
    from gateway.store.embedded import EmbeddedServer
    from gateway.store.redis_store import RedisRouteStore

MODEL: Final = "echo"
HERE: Final = Path(__file__).parent
FILES: Final = sorted((HERE / "releases").glob("*.json"))
WITHOUT_ROLLOUTS: Final = {"0.1.0"}
"""Released before there was anything here that a later release has to go on with."""


@pytest.fixture(params=FILES, ids=lambda file: file.stem)
async def of_release(request: pytest.FixtureRequest, server: EmbeddedServer, store: RedisRouteStore) -> RedisRouteStore:
    """The store as a release left it."""
    backups = Backups(server.start())
    try:
        await backups.put(read_document(request.param.read_bytes()), force=False)
    finally:
        await backups.close()
    return store


async def held_in(store: RedisRouteStore) -> tuple[int, Held]:
    """Return the revision of the route and what it holds."""
    stored = await store.read(MODEL)
    assert stored is not None
    return stored.revision, decode(MODEL, stored.payload, stored.digest)


def test_every_release_has_left_its_store_here() -> None:
    changelog = (HERE.parents[1] / "CHANGELOG.md").read_text(encoding="utf-8")

    released = set(re.findall(r"^## \[(\d[^]]*)\]", changelog, re.MULTILINE))

    assert {file.stem for file in FILES} == released - WITHOUT_ROLLOUTS
    assert all(json.loads(file.read_bytes())["release"] == file.stem for file in FILES)


async def test_its_route_its_rollout_and_what_it_took_back_are_read(of_release: RedisRouteStore) -> None:
    _, held = await held_in(of_release)

    rollout = held.rollout
    assert held.document.as_dict()["split"] == {"1": 50, "2": 50, "3": 0}
    assert rollout is not None
    assert (rollout.phase, rollout.candidates, rollout.baseline) == (Phase.STEP, (2,), 1)
    assert [(each.version, each.reason.split(":")[0]) for each in held.quarantine] == [(3, "errors")]


async def test_its_history_is_read_to_the_first_entry(of_release: RedisRouteStore) -> None:
    revision, held = await held_in(of_release)

    entries: Sequence[AuditEntry] = await of_release.history(MODEL, limit=100)

    assert entries[0].after == held.document.as_dict()
    assert [entry.revision for entry in entries] == list(range(revision, 0, -1))
    assert {entry.action for entry in entries} == {"route", "rollout"}
    assert sum(entry.reason.startswith("errors: ") for entry in entries) == 1


async def test_its_evidence_is_read_under_the_revisions_of_its_rollout(of_release: RedisRouteStore) -> None:
    revision, held = await held_in(of_release)
    assert held.rollout is not None

    evidence = read_evidence(await of_release.totals(MODEL, held.rollout.id))

    assert evidence.newest() == revision
    assert evidence.total(2, "n") > 0 < evidence.total(1, "n")
    assert evidence.strata(Arms(2, 1), "error") == ()


async def test_its_labels_make_the_accuracy_that_they_made(of_release: RedisRouteStore) -> None:
    quality = read_quality(await of_release.quality(MODEL))

    right = sum(each.count("correct") for each in quality.values())
    assert set(quality) == {1, 2}
    assert sum(each.count("labelled") for each in quality.values()) == ASKED
    assert right == ASKED - ASKED // WRONG_EVERY


async def test_it_is_gone_on_with(of_release: RedisRouteStore) -> None:
    revision, held = await held_in(of_release)
    after: dict[str, Any] = held.document.as_dict()
    entry = AuditEntry(revision, "ada", "upgraded", "route", after, after)

    await of_release.write(MODEL, encode(held), entry, expected=revision)

    assert await held_in(of_release) == (revision + 1, held)
    assert [each.reason for each in await of_release.history(MODEL, limit=1)] == ["upgraded"]
