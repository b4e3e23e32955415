"""The rota: what happens to the gateway while its callers go on. Each fault says beforehand what it may break."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import redis

from tests.engine import graphs
from tests.flows import metrics
from tests.flows.gateway_process import eventually
from tests.flows.models import MODEL, publish
from tests.flows.test_rollouts import store_url
from tests.soak.ledger import BROKEN
from tests.soak.thresholds import KILLED_SECONDS, MENDED_SECONDS, UNWRITTEN_SECONDS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from tests.flows.gateway_process import Gateway
    from tests.soak.ledger import Ledger

CALLERS: Final = ("json", "binary", "grpc", "v1", "feedback", "bad")
PATIENCE_SECONDS: Final = 30.0
HEAVY: Final = "heavy"
HEAVY_MEGABYTES: Final = 64
BAD_CANARY: Final = 3
CORRUPT: Final = 9
PLAN: Final = {"candidate": str(BAD_CANARY), "steps": [{"weight": 5, "for": "60s"}]}
UNKNOWN: Final = "feedback 404"
ROLLOUTS: Final = f"/api/v1/models/{MODEL}/rollouts"


class Rota:
    """What breaks one gateway; ``FAULTS`` names all of it."""

    def __init__(self, gateway: Gateway, ledger: Ledger, seed: int) -> None:
        self._gateway = gateway
        self._ledger = ledger
        self._random = random.Random(seed)
        self._retries = False

    async def kill_worker(self) -> None:
        before = self._gateway.worker_pids()
        self._ledger.excuse("worker killed", CALLERS, (BROKEN,), KILLED_SECONDS)
        self._ledger.excuse("worker killed with what it had served", ("feedback",), (UNKNOWN,), 0.0, UNWRITTEN_SECONDS)
        os.kill(self._random.choice(before), signal.SIGKILL)
        await self._until(lambda: self._replaced(before, 1), "the worker is replaced")

    async def roll(self) -> None:
        before = self._gateway.worker_pids()
        self._gateway.signal(signal.SIGHUP)
        await self._until(lambda: self._replaced(before, len(before)), "all workers are replaced")

    async def flip_weights(self) -> None:
        for turn in range(10):
            weights = {"1": 1 + turn % 3, "2": 1}
            answer = await asyncio.to_thread(self._gateway.set_weights, MODEL, weights)
            assert answer.status == 200, answer.body
            await asyncio.sleep(1.0)

    async def freeze_store(self) -> None:
        pid = self._gateway.store_pid()
        os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(5.0)
        os.kill(pid, signal.SIGCONT)
        await self._until(self._store_is_up, "the store is followed again")

    async def kill_store(self) -> None:
        before = self._gateway.store_pid()
        with self._without_labels("store killed"):
            os.kill(before, signal.SIGKILL)
            await self._until(lambda: self._has_another_store(before), "there is another store")
            await self._until(self._store_is_up, "it is followed")

    async def wipe_store(self) -> None:
        with self._without_labels("store wiped"), redis.Redis.from_url(store_url(self._gateway)) as client:
            await asyncio.to_thread(client.flushall)
        await asyncio.sleep(5.0)  # requests are answered by the routes of before, as long as nobody acts
        for model in (MODEL, HEAVY):  # an operator does, for nobody else can know that it was a mishap
            path = f"/api/v1/models/{model}/route/restore"
            answer = await asyncio.to_thread(
                self._gateway.ask_admin, "POST", path, {"reason": "the store was wiped"}, if_match="*"
            )
            assert answer.status == 200, answer.body

    async def reload_heavy(self) -> None:
        path = f"/api/v1/models/{HEAVY}/versions/2"
        for verb, state in (("unload", "UNAVAILABLE"), ("load", "READY")):
            answer = await asyncio.to_thread(self._gateway.ask_admin, "POST", f"{path}/{verb}")
            assert answer.status == 202, answer.body
            await self.heavy_is(2, state)

    async def roll_back(self) -> None:
        path, body = (f"{ROLLOUTS}/current/retry", {}) if self._retries else (ROLLOUTS, PLAN)
        self._retries = True
        answer = await asyncio.to_thread(self._gateway.ask_admin, "POST", path, body, if_match="*")
        assert answer.status in {200, 201}, answer.body
        await self._until(lambda: self._phase() == "rolled_back", "the bad canary is rolled back")

    async def corrupt(self) -> None:
        file = publish(self._gateway.models, CORRUPT, graphs.identity()[:-40])
        await self._until(lambda: self._state(MODEL, CORRUPT) == "FAILED", "the corrupt version is refused")
        file.unlink()
        file.parent.rmdir()

    # ---- what they look at

    @contextlib.contextmanager
    def _without_labels(self, fault: str) -> Iterator[None]:
        """Until it is over, and a little longer, answers that were written down are forgotten: labels are unknown."""
        excuse = self._ledger.excuse(fault, ("feedback",), (UNKNOWN,), PATIENCE_SECONDS * 3)
        try:
            yield
        finally:
            excuse.end(MENDED_SECONDS)

    async def heavy_is(self, version: int, state: str) -> None:
        """Return when a version of the large model is in *state*."""
        await self._until(lambda: self._state(HEAVY, version) == state, f"{HEAVY}/{version} is {state}")

    def _replaced(self, before: list[int], count: int) -> bool:
        now = self._gateway.worker_pids()
        return len(now) == len(before) and len(set(before) - set(now)) >= count and self._gateway.is_ready()

    def _has_another_store(self, before: int) -> bool:
        try:
            return self._gateway.store_pid() != before
        except ValueError:  # none, for a moment
            return False

    def _store_is_up(self) -> bool:
        return metrics.gauge(self._gateway, "gateway_store_up") == 1

    def _state(self, model: str, version: int) -> str:
        """Return a version's state; READY only where all workers are."""
        rows = self._gateway.ask_admin("GET", f"/api/v1/models/{model}/versions").json().get("versions", [])
        found: dict[str, Any] = next((row for row in rows if row["version"] == str(version)), {})
        workers = found.get("workers", {})
        some = found.get("state") == "READY" and workers["ready"] != workers["total"]
        return "LOADING" if some else str(found.get("state", ""))

    def _phase(self) -> str:
        answer = self._gateway.ask_admin("GET", f"{ROLLOUTS}/current")
        return str(answer.json().get("phase", "")) if answer.status == 200 else ""

    async def _until(self, holds: Callable[[], object], what: str) -> None:
        await asyncio.to_thread(eventually, holds, PATIENCE_SECONDS, what)


class Fault(NamedTuple):
    """What is done to a gateway, in words; *replaces*: a worker is another process afterwards."""

    says: str
    act: Callable[[Rota], Awaitable[None]]
    replaces: bool = False


FAULTS: Final = {
    "kill": Fault("a worker is killed", Rota.kill_worker, replaces=True),
    "roll": Fault("the workers are rolled", Rota.roll, replaces=True),
    "weights": Fault("weights change each second", Rota.flip_weights),
    "freeze": Fault("the store is frozen for 5 s", Rota.freeze_store),
    "reload": Fault(f"{HEAVY_MEGABYTES} MiB are unloaded and loaded", Rota.reload_heavy),
    "rollback": Fault("a bad canary is rolled back", Rota.roll_back),
    "restart": Fault("the store is killed", Rota.kill_store),
    "corrupt": Fault("a corrupt version appears", Rota.corrupt),
    "wipe": Fault("the store is wiped", Rota.wipe_store),
}
"""By the name that ``--faults`` takes. The store outlives none of its own; every other process outlives what does not
replace it."""
