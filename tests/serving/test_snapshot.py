"""The last good routes on disk: whole or not at all, the one before kept, never older over newer."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import multiprocessing
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.ports.routes import StoredRoute
from gateway.serving.snapshot import Snapshot

if TYPE_CHECKING:
    from pathlib import Path


def route(revision: int, incarnation: str = "a") -> StoredRoute:
    payload = f"payload {revision}".encode()
    return StoredRoute(incarnation, revision, hashlib.sha256(payload).hexdigest(), payload)


def keep(directory: Path, model: str, kept: StoredRoute) -> None:
    snapshot = Snapshot(directory)
    snapshot.remember(model, kept)
    snapshot.write()


def current(directory: Path) -> Path:
    return directory / "routes.snapshot"


def damaged(content: bytes, how: str) -> bytes:
    if how == "empty":
        return b""
    if how == "cut":
        return content[: len(content) // 2]
    if how == "flipped":
        middle = content.index(b"payload") + 12
        return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    if how == "other schema":
        return content.replace(b'"schema": 1', b'"schema": 9')
    if how == "garbage":
        return b"\xff\xfe\x00"
    body = {"members missing": b'{"fraud":{}}', "no object": b"[1]", "no text": b'{"fraud":{"payload":1}}'}[how]
    head = {"schema": 1, "sha256": hashlib.sha256(body).hexdigest()}
    return json.dumps(head).encode() + b"\n" + body


DAMAGES = [
    "empty", "cut", "flipped", "other schema", "garbage", "members missing", "no object", "no text",
]  # fmt: skip


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    keep(tmp_path, "fraud", route(7))

    assert Snapshot(tmp_path).read() == {"fraud": route(7)}


def test_every_model_stays_in_the_file_when_another_one_changes(tmp_path: Path) -> None:
    keep(tmp_path, "fraud", route(7))

    keep(tmp_path, "digits", route(2))

    assert Snapshot(tmp_path).read() == {"fraud": route(7), "digits": route(2)}


def test_without_a_file_there_are_no_routes(tmp_path: Path) -> None:
    assert Snapshot(tmp_path).read() == {}


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_file_gives_way_to_the_one_before_and_is_told(
    tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    keep(tmp_path, "fraud", route(7))
    keep(tmp_path, "fraud", route(8))
    current(tmp_path).write_bytes(damaged(current(tmp_path).read_bytes(), how))

    with caplog.at_level(logging.ERROR):
        found = Snapshot(tmp_path).read()

    assert found == {"fraud": route(7)}
    assert "routes.snapshot" in caplog.text


@pytest.mark.parametrize("how", DAMAGES)
def test_two_damaged_files_are_no_routes_and_no_error(tmp_path: Path, how: str) -> None:
    keep(tmp_path, "fraud", route(7))
    keep(tmp_path, "fraud", route(8))
    for path in (current(tmp_path), tmp_path / "routes.snapshot.prev"):
        path.write_bytes(damaged(path.read_bytes(), how))

    assert Snapshot(tmp_path).read() == {}


def test_a_damaged_file_is_never_kept_as_the_one_before(tmp_path: Path) -> None:
    keep(tmp_path, "fraud", route(7))
    keep(tmp_path, "fraud", route(8))
    current(tmp_path).write_bytes(b"damaged")

    keep(tmp_path, "fraud", route(9))
    current(tmp_path).unlink()

    assert Snapshot(tmp_path).read() == {"fraud": route(7)}


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_no_flipped_bit_is_ever_served(tmp_path: Path, position: float, bit: int) -> None:
    directory = tmp_path / f"{position}-{bit}"
    directory.mkdir(exist_ok=True)
    keep(directory, "fraud", route(7))
    content = bytearray(current(directory).read_bytes())
    content[int(position * len(content))] ^= 1 << bit
    current(directory).write_bytes(content)

    found = Snapshot(directory).read()

    assert found in ({}, {"fraud": route(7)})  # a bit of the head that says nothing, such as a blank, may flip


def test_an_older_revision_never_replaces_a_newer_one(tmp_path: Path) -> None:
    keep(tmp_path, "fraud", route(8))

    keep(tmp_path, "fraud", route(7))

    assert Snapshot(tmp_path).read() == {"fraud": route(8)}


def test_another_incarnation_replaces_whatever_its_revision_is(tmp_path: Path) -> None:
    keep(tmp_path, "fraud", route(8))

    keep(tmp_path, "fraud", route(1, incarnation="b"))

    assert Snapshot(tmp_path).read() == {"fraud": route(1, incarnation="b")}


def test_a_snapshot_that_says_nothing_new_keeps_the_one_before(tmp_path: Path) -> None:
    keep(tmp_path, "fraud", route(7))
    keep(tmp_path, "fraud", route(8))

    keep(tmp_path, "fraud", route(8))
    current(tmp_path).unlink()

    assert Snapshot(tmp_path).read() == {"fraud": route(7)}


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    keep(tmp_path, "fraud", route(7))
    keep(tmp_path, "fraud", route(8))

    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.glob("routes.snapshot*")}

    assert modes["routes.snapshot"] == modes["routes.snapshot.prev"] == 0o600


def test_nothing_half_written_is_left_behind(tmp_path: Path) -> None:
    keep(tmp_path, "fraud", route(7))
    keep(tmp_path, "fraud", route(8))

    assert {path.name for path in tmp_path.iterdir()} == {
        "routes.snapshot", "routes.snapshot.prev", "routes.snapshot.lock",
    }  # fmt: skip


def test_a_disk_that_refuses_is_told_and_tried_again_at_the_next_change(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = tmp_path / "state"
    snapshot = Snapshot(directory)
    snapshot.remember("fraud", route(7))
    with caplog.at_level(logging.ERROR):
        snapshot.write()

    directory.mkdir()
    snapshot.remember("digits", route(2))
    snapshot.write()

    assert "could not be written" in caplog.text
    assert Snapshot(directory).read() == {"fraud": route(7), "digits": route(2)}


def _write_revisions(directory: Path, model: str, revisions: range) -> None:
    snapshot = Snapshot(directory)
    for revision in revisions:
        snapshot.remember(model, route(revision))
        snapshot.remember("shared", route(revision))
        snapshot.write()


def test_two_writers_lose_nothing_of_each_other(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    writers = [
        spawn.Process(target=_write_revisions, args=(tmp_path, model, revisions))
        for model, revisions in (("fraud", range(1, 12)), ("digits", range(5, 15)))
    ]

    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)

    assert [writer.exitcode for writer in writers] == [0, 0]
    assert Snapshot(tmp_path).read() == {"fraud": route(11), "digits": route(14), "shared": route(14)}


async def reaches_the_disk(directory: Path, model: str) -> None:
    async with asyncio.timeout(5):
        while model not in Snapshot(directory).read():  # noqa: ASYNC110 - a file sets no event
            await asyncio.sleep(0.005)


async def test_what_is_remembered_before_and_after_the_start_reaches_the_disk_by_itself(tmp_path: Path) -> None:
    snapshot = Snapshot(tmp_path)
    snapshot.remember("early", route(1))
    task = asyncio.create_task(snapshot.write_forever())

    await reaches_the_disk(tmp_path, "early")
    snapshot.remember("late", route(2))
    await reaches_the_disk(tmp_path, "late")
    task.cancel()

    assert Snapshot(tmp_path).read() == {"early": route(1), "late": route(2)}
