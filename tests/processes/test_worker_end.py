"""A worker that ends brings what its last answers told to the store, before it lets go of the store."""

from __future__ import annotations

import asyncio
import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from gateway.processes.worker import Worker

if TYPE_CHECKING:
    from gateway.assemble.worker import WorkerParts


class Part:
    """Any part of a worker; *done* is the list of what was asked of all of them."""

    def __init__(self, name: str, done: list[str], fault: Exception | None = None) -> None:
        self._name = name
        self._done = done
        self._fault = fault

    def subscribe(self, _: object) -> None: ...

    def wake(self) -> None: ...

    async def run_forever(self) -> None:
        await asyncio.Event().wait()

    nudge_forever = write_forever = run_forever

    async def finish(self) -> None:
        self._done.append(f"{self._name} finished")
        if self._fault is not None:
            raise self._fault

    def remove(self) -> None:
        self._done.append(f"{self._name} removed")


class Closing(Part):
    """A part that is closed at the end, a slab among them."""

    async def close(self) -> None:
        self._done.append(f"{self._name} closed")


class Outbox(Part):
    """A part that is closed off the event loop."""

    def close(self) -> None:
        self._done.append(f"{self._name} closed")


class Quiet:
    """A part that has nothing to say, and is closed at once."""

    def close(self) -> None: ...

    def heartbeat(self, *_: float) -> None: ...

    connections = traffic = heartbeat


def parts(done: list[str], fault: Exception | None = None) -> Any:
    """Return the parts of a worker without doors."""
    named = {
        name: Part(name, done)
        for name in ("adoption", "watcher", "snapshot", "labels", "recordings", "report_file", "rehearsals", "drift")
    }
    return SimpleNamespace(
        **named,
        evidence=Part("evidence", done, fault),
        catalog=Closing("catalog", done),
        store=Closing("store", done),
        **{name: Quiet() for name in ("watchdog", "runs", "slab", "server")},
        inference=SimpleNamespace(in_flight=0, last_started=0.0),
        learn_names=named["watcher"].run_forever,
        doors=list,
        outboxes=[Outbox("outbox", done)],
    )


@pytest.mark.parametrize("fault", [None, RuntimeError("a fault of ours")])
async def test_the_last_counts_go_to_the_store_before_it_is_closed(fault: Exception | None) -> None:
    done: list[str] = []
    reading, writing = os.pipe()
    worker = Worker(cast("WorkerParts", parts(done, fault)), writing, accept_after=0)

    await worker.run()

    expected = ["evidence finished", *(["labels finished", "recordings finished"] if fault is None else [])]
    assert done == [*expected, "report_file removed", "outbox closed", "catalog closed", "store closed"]
    os.close(reading)
    os.close(writing)
