"""The stream of events: everything first, then what changes, bounded in number, time and memory."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from gateway.control.events import Events, TooManyWatchers
from gateway.control.watching_answers import EventStream, look
from tests.control.fakes import FAILED, House

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.control.events import Watcher


class World:
    """What a look finds, and how often it was taken."""

    def __init__(self) -> None:
        self.views: dict[str, dict[str, Any]] = {"model fraud": {"revision": 1}, "fleet": {}}
        self.looks = 0

    async def look(self) -> dict[str, dict[str, Any]]:
        self.looks += 1
        return dict(self.views)


def events_of(world: World, **given: Any) -> Events:
    return Events(world.look, **{"look_seconds": 0.01, "beat_seconds": 0.2, **given})


def read(content: bytes) -> list[tuple[str, str, Any]]:
    """Return name, about and view of each event in *content*."""
    found = []
    for block in content.decode().split("\n\n"):
        fields = dict(row.split(": ", 1) for row in block.split("\n") if row)
        if "data" in fields:
            data = json.loads(fields["data"])
            found.append((fields["event"], data["about"], data["view"]))
    return found


async def until(told: AsyncIterator[bytes], wanted: tuple[str, str, Any]) -> None:
    async with asyncio.timeout(2):
        async for content in told:
            if wanted in read(content):
                return
    raise AssertionError(f"the stream ended without {wanted}")


async def test_a_stream_begins_with_everything_and_goes_on_with_what_changes() -> None:
    world = World()
    events = events_of(world)
    stream = events.stream(watcher := events.watch())

    first = [await anext(stream), await anext(stream)]
    world.views["model fraud"] = {"revision": 2}
    second = read(await anext(stream))

    assert first[0].startswith(b"retry: ")
    assert read(first[1]) == [("model", "fraud", {"revision": 1}), ("fleet", "", {})]
    assert second == [("model", "fraud", {"revision": 2})]
    events.leave(watcher)


async def test_a_second_watcher_is_told_everything_too() -> None:
    events = events_of(World())
    watchers = [events.watch()]
    await until(events.stream(watchers[0]), ("fleet", "", {}))

    watchers.append(events.watch())

    await until(events.stream(watchers[1]), ("model", "fraud", {"revision": 1}))
    for each in watchers:
        events.leave(each)


async def test_a_model_that_is_gone_is_told_as_null() -> None:
    world = World()
    events = events_of(world)
    stream = events.stream(watcher := events.watch())
    await until(stream, ("fleet", "", {}))

    del world.views["model fraud"]

    await until(stream, ("model", "fraud", None))
    events.leave(watcher)


async def test_a_slow_reader_gets_the_latest_view_only() -> None:
    world = World()
    events = events_of(world)
    watcher = events.watch()
    for revision in range(2, 9):
        world.views["model fraud"] = {"revision": revision}
        await asyncio.sleep(0.03)

    told = await watcher.wait(1)

    assert told["model fraud"] == b'{"revision":8}'
    events.leave(watcher)


async def test_a_nudge_is_told_without_waiting_for_the_next_look() -> None:
    world, nudge = World(), asyncio.Event()

    async def nudges() -> AsyncIterator[None]:
        await nudge.wait()
        yield

    events = events_of(world, look_seconds=60, nudges=nudges)
    stream = events.stream(watcher := events.watch())
    await until(stream, ("fleet", "", {}))
    world.views["fleet"] = {"store": "up"}
    nudge.set()

    await until(stream, ("fleet", "", {"store": "up"}))
    events.leave(watcher)


async def test_silence_is_broken_by_a_heartbeat() -> None:
    events = events_of(World(), beat_seconds=0.01)
    stream = events.stream(watcher := events.watch())

    beats = [content async for content in _first(stream, 6) if content.startswith(b":")]

    assert beats
    events.leave(watcher)


async def _first(stream: AsyncIterator[bytes], count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield await anext(stream)


async def test_more_watchers_than_allowed_are_refused_and_one_that_leaves_makes_room() -> None:
    events = events_of(World(), max_watchers=1)
    watcher = events.watch()
    with pytest.raises(TooManyWatchers):
        events.watch()

    events.leave(watcher)

    events.leave(events.watch())
    assert events.watchers == 0


async def test_nobody_looks_while_nobody_watches() -> None:
    world = World()
    events = events_of(world)
    watcher: Watcher = events.watch()
    await until(events.stream(watcher), ("fleet", "", {}))

    events.leave(watcher)
    looks = world.looks
    await asyncio.sleep(0.05)

    assert world.looks == looks


async def test_a_stop_ends_every_stream() -> None:
    events = events_of(World(), beat_seconds=60, look_seconds=60)
    stream = events.stream(watcher := events.watch())
    await until(stream, ("fleet", "", {}))

    events.close()

    async with asyncio.timeout(1):
        assert all([content == b": beat\n\n" async for content in stream])
    with pytest.raises(TooManyWatchers):
        events.watch()
    events.leave(watcher)


async def test_a_stream_ends_when_its_time_is_up() -> None:
    events = events_of(World(), stream_seconds=0.05, beat_seconds=0.01)
    watcher = events.watch()

    async with asyncio.timeout(2):
        assert [content async for content in events.stream(watcher)]
    events.leave(watcher)


async def test_a_look_that_fails_is_logged_and_the_next_one_tells(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    failures = iter([RuntimeError("once")])

    async def fails_once() -> dict[str, dict[str, Any]]:
        for failure in failures:
            raise failure
        return await world.look()

    events = Events(fails_once, look_seconds=0.01)
    watcher = events.watch()

    await until(events.stream(watcher), ("fleet", "", {}))

    assert "the look at the models failed" in caplog.text
    events.leave(watcher)


async def test_a_caller_that_is_gone_before_the_first_byte_is_forgotten() -> None:
    events = events_of(World())
    response = EventStream(events, {}, lambda _model: True)

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(_message: Any) -> None:
        await asyncio.sleep(0)

    await response({"type": "http", "asgi": {"spec_version": "2.3"}}, receive, send)

    assert events.watchers == 0


async def test_a_look_shows_each_model_as_the_admin_api_does(house: House) -> None:
    await house.route({"1": 95, "2": 5})
    house.workers.say("fraud", 3, FAILED, "broken")

    found = await look(house.operations, house.workers)

    assert found["model fraud"]["revision"] == 1
    assert found["model fraud"]["versions"][2]["reason"] == "broken"
    assert found["fleet"]["store"] == "up"
    assert [worker["slot"] for worker in found["fleet"]["workers"]] == [0, 1]
