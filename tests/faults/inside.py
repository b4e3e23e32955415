"""A gateway that is broken on purpose: a fault from inside of a worker, or the negative control of a promise.

    python -m tests.faults.inside NAME serve …

The processes are forked from the launcher, so what is replaced here is replaced in all of them. A worker's own
faults begin when it gets SIGWINCH, of which a gateway makes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import math
import os
import signal
import sys
import time
from random import getrandbits
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import redis

from gateway.cli.main import main
from gateway.processes import tree, worker
from gateway.processes.relief import Relief
from gateway.processes.reports import ReportFile
from gateway.processes.worker import Worker
from gateway.serving import batching
from gateway.serving.exchange import Exchange
from gateway.serving.running import Runner
from gateway.serving.watcher import Watcher
from tests.faults import broken
from tests.faults.replacing import replace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.core.routing import Values
    from gateway.ports.routes import RouteHead
    from gateway.serving.jobs import Job, Result
    from gateway.serving.live import Arm
    from gateway.serving.running import Execution

STORE_URL: Final = "FAULT_STORE_URL"
BEGIN: Final = signal.SIGWINCH
HANG_SECONDS: Final = 40
LEAK_BYTES: Final = 8 << 20
LEAK_EVERY_SECONDS: Final = 0.2
RUN_SECONDS: Final = 0.05
LEAKED: Final[list[bytearray]] = []


# ---- faults of a worker


def block_the_loop() -> None:
    """Let no task of the event loop run; other threads do."""
    time.sleep(HANG_SECONDS)


def hold_the_gil() -> None:
    """Let no thread of the interpreter run, as a library's call that forgets to give it back."""
    ctypes.PyDLL(None).sleep(HANG_SECONDS)


def leak() -> None:
    """Take 40 MiB more a second, for ever."""
    LEAKED.append(bytearray(b"x") * LEAK_BYTES)
    asyncio.get_running_loop().call_later(LEAK_EVERY_SECONDS, leak)


def on_signal(fault: Callable[[], None]) -> None:
    """Let *fault* begin in a worker that gets BEGIN."""
    run = Worker.run

    async def listening(self: Worker) -> None:
        asyncio.get_running_loop().add_signal_handler(BEGIN, fault)
        await run(self)

    replace(Worker, "run", listening)


def wait_in_each_run() -> None:
    """Let a run take RUN_SECONDS more and no processor, as on another device: what else a machine does matters less."""
    execute = Runner.execute
    replace(batching, "INLINE_SECONDS", 0.0)  # what takes long runs on a thread

    def waiting(self: Runner, batch: Sequence[Job]) -> Execution:
        time.sleep(RUN_SECONDS)
        return execute(self, batch)

    replace(Runner, "execute", waiting)


# ---- negative controls


def ask_the_store_in_each_request() -> None:
    """What no request may do: wait for the store."""
    client = redis.Redis.from_url(os.environ[STORE_URL], socket_timeout=0.4, socket_connect_timeout=0.4)
    routed = Exchange._routed

    def asking(self: Exchange[Any], values: Values) -> Arm:
        with contextlib.suppress(redis.RedisError):
            client.get("route")
        return routed(self, values)

    replace(Exchange, "_routed", asking)


def take_absence_for_an_order() -> None:
    """Drop the route that the store does not hold any more."""
    follow = Watcher._follow

    async def obeying(self: Watcher, model: str, head: RouteHead | None) -> None:
        if head is None or not head.incarnation:
            self._adoption._table.routes = {}
        await follow(self, model, head)

    replace(Watcher, "_follow", obeying)


def poll_when_nudged_only() -> None:
    """A watcher that trusts in publications, of which none need arrive."""

    async def trusting(self: Watcher) -> None:
        while True:
            await self.poll()
            await self._nudged.wait()

    replace(Watcher, "poll_forever", trusting)


def ignore_nudges() -> None:
    """A watcher that looks when its half second is over, whatever is published."""

    async def unmoved(self: Watcher) -> None:
        async for _ in self._store.nudges():
            pass

    replace(Watcher, "nudge_forever", unmoved)


def read_the_table_twice() -> None:
    """A request that looks the table up again for what it says of its answer."""
    ran = Exchange._ran

    def looking_again(self: Exchange[Any], result: Result) -> None:
        self._arm = self._inference.table.routes[self._model].decide(
            lambda _kind, _name: (), getrandbits(64), self._point
        )
        ran(self, result)

    replace(Exchange, "_ran", looking_again)


def let_the_disk_out() -> None:
    """A worker that trusts in its disk."""

    def trusting(self: ReportFile, exc: OSError) -> None:
        raise exc

    replace(ReportFile, "_say_refused", trusting)


class WallLoop(asyncio.SelectorEventLoop):
    """An event loop whose deadlines are of the wall clock."""

    def time(self) -> float:
        """Return what anybody may set."""
        return time.time()


def take_time_from_the_wall() -> None:
    """Workers whose deadlines move when somebody sets the clock."""
    replace(worker, "uvloop", SimpleNamespace(new_event_loop=WallLoop))


def never_look_at_heartbeats() -> None:
    """A launcher that waits for a worker to end by itself."""
    replace(tree, "WEDGED_SECONDS", math.inf)


def relieve_nobody() -> None:
    """A launcher that lets connections wait for the worker that they came to."""
    replace(Relief, "look", lambda *_: None)


def replace_late() -> None:
    """A launcher that notices a dead worker when it looks by chance."""
    replace(tree, "CRASH_LOOP_SECONDS", 1e6)
    bury = tree.Tree._bury

    def leisurely(self: Any, slot: Any, child: Any, *, crashed: bool) -> None:
        bury(self, slot, child, crashed=crashed)
        slot.not_before = time.monotonic() + 8.0

    replace(tree.Tree, "_bury", leisurely)


BREAKS: Final[Mapping[str, Callable[[], None]]] = {
    "block": lambda: on_signal(block_the_loop),
    "gil": lambda: on_signal(hold_the_gil),
    "leak": lambda: on_signal(leak),
    "wait": wait_in_each_run,
    "ask-the-store": ask_the_store_in_each_request,
    "obey-absence": take_absence_for_an_order,
    "poll-when-nudged": poll_when_nudged_only,
    "ignore-nudges": ignore_nudges,
    "read-twice": read_the_table_twice,
    "trust-the-disk": let_the_disk_out,
    "wall-time": take_time_from_the_wall,
    "ignore-heartbeats": never_look_at_heartbeats,
    "relieve-nobody": relieve_nobody,
    "replace-late": replace_late,
    **broken.BREAKS,
}


def command(*names: str) -> Sequence[str]:
    """Return the command of a gateway that is broken in these ways."""
    return sys.executable, "-m", "tests.faults.inside", ",".join(names), "serve"


if __name__ == "__main__":
    for name in sys.argv.pop(1).split(","):
        BREAKS[name]()
    raise SystemExit(main())
