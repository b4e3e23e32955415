"""Negative controls of what one request, one version, one document or one rollout may do: a gateway broken on purpose.

Each function breaks one thing in the process that calls it; ``inside.py`` names them, and starts the gateway.
"""

from __future__ import annotations

import asyncio
import json
import math
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from gateway.control import operations
from gateway.control.rollouts import Rollouts
from gateway.core import routing, slots, stored
from gateway.core.watching import Step, judge
from gateway.models import loader
from gateway.models.catalog import Catalog
from gateway.models.loader import Loader
from gateway.models.wishes import Wishes
from gateway.serving import running, snapshot, watcher
from gateway.serving.batching import Lane
from gateway.serving.evidence import Correspondence
from gateway.serving.exchange import Exchange
from gateway.store import records
from gateway.store.redis_evidence import RedisEvidence
from gateway.telemetry import views
from gateway.telemetry.slab import SlabDirectory
from gateway.telemetry.views import Reading
from tests.faults.replacing import replace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.core.rollout import Rollout
    from gateway.core.routing import Values
    from gateway.core.slots import Stacks
    from gateway.core.stored import Held
    from gateway.core.watching import Doubt, Mark
    from gateway.models.entry import Entry
    from gateway.ports.engine import Tensor
    from gateway.serving.jobs import Job, Result
    from gateway.serving.live import Arm

LATE_SECONDS: Final = 3.0
OVERLAP_SECONDS: Final = 1.2
"""Longer than controllers wait between two looks."""
OFF_BY: Final = 100
"""Slots of 10,000: one point of a split."""

PLANTED: Final = "/srv/models/planted/model.onnx"


# ---- requests


def answer_late() -> None:
    """Deadlines that are looked at LATE_SECONDS after they passed."""
    enqueue = Lane.enqueue

    def late(
        self: Lane, feeds: tuple[Tensor, ...], rows: int, deadline: float, settle: Callable[[Result], None], *more: int
    ) -> Job:
        return enqueue(self, feeds, rows, deadline + LATE_SECONDS, settle, *more)

    replace(Lane, "submit", late)


def serve_those_who_left() -> None:
    """A request whose caller hung up keeps its place until it is answered."""

    def staying(self: Exchange[Any]) -> None:
        pass

    replace(Exchange, "gone", staying)


def name_what_was_decided() -> None:
    """Answers that name the version which the route chose, whoever answered in its place."""

    def naming(self: Exchange[Any], arm: Arm, result: Result) -> None:
        self._ran(result)

    replace(Exchange, "_settled", naming)


def stumble() -> None:
    """A fault of ours that callers can bring about, with a path in its text."""

    def stumbling(self: Exchange[Any], values: Values) -> Arm:
        raise RuntimeError(f"cannot open {PLANTED}")

    replace(Exchange, "_routed", stumbling)
    replace(Exchange, "_pinned", stumbling)


def quarantine_nothing() -> None:
    """Workers that run an input however many of them it killed."""
    replace(running, "CRASHES", math.inf)


# ---- assignment


def hash_as_python_does() -> None:
    """Users are seated by the hash of the language, which differs between processes that were started apart."""
    replace(routing, "hash_point", lambda key: hash(key) & 2**64 - 1)


def split_off_by_a_point() -> None:
    """The second version of a split has one point more than its weight says."""
    owners = slots.owners

    def generous(stacks: Stacks, salt: str) -> tuple[tuple[int, ...], bytes]:
        versions, table = owners(stacks, salt)
        if len(versions) < 2:
            return versions, table
        taken = bytearray(table)
        for slot in [slot for slot, owner in enumerate(table) if owner == 0][:OFF_BY]:
            taken[slot] = 1
        return versions, bytes(taken)

    replace(routing, "owners", generous)


# ---- versions


def unload_what_is_needed() -> None:
    """Orders to unload are followed, whatever needs the version."""
    is_wanted = Wishes.is_wanted

    def obeying(self: Wishes, entry: Entry) -> bool:
        return self.order(entry) != "unload" and is_wanted(self, entry)

    replace(operations, "check_unload", lambda *_given, **_named: None)
    replace(Wishes, "is_wanted", obeying)


def trust_every_file() -> None:
    """Models are loaded as they come, by the process that serves."""

    def trusting(self: Loader, *_given: object) -> int:
        return 0

    replace(Loader, "_verify", trusting)


def load_on_the_loop() -> None:
    """Loading takes the event loop that answers."""

    async def blocking(self: Catalog, work: Callable[[], Any]) -> Any:
        return work()

    replace(Catalog, "_on_load_thread", blocking)


def keep_freed_memory() -> None:
    """Workers that leave to glibc what it does with the memory of a version that is gone."""
    replace(loader, "give_memory_back", lambda: None)


# ---- documents


def believe_the_snapshot() -> None:
    """What lies on the disk is served as it lies there."""

    def believing(content: bytes) -> dict[str, Any]:
        return {model: snapshot._stored(entry) for model, entry in json.loads(content.partition(b"\n")[2]).items()}

    replace(snapshot, "_parse", believing)


class Whatever(str):
    """A digest that is equal to every other one."""

    __slots__ = ()

    def __ne__(self, other: object) -> bool:
        return False


def believe_the_store() -> None:
    """A document is served whether or not it is the one that was written."""
    decode = stored.decode
    replace(records, "digest_of", lambda payload: Whatever(sha256(payload).hexdigest()))

    def believing(model: str, payload: bytes, digest: str) -> Held:
        return decode(model, payload, sha256(payload).hexdigest())

    replace(stored, "decode", believing)


def compare_revisions_alone() -> None:
    """A store whose revision is not higher has nothing new to say."""

    def comparing(held: Mark | None, seen: Mark | None, doubt: Doubt | None, now: float) -> tuple[Step, Doubt | None]:
        if held is not None and seen is not None and seen.revision <= held.revision:
            return Step.KEEP, None
        return judge(held, seen, doubt, now)

    replace(watcher, "judge", comparing)


def take_slabs_for_whole() -> None:
    """A scrape reads every file of counters, and has no answer where one is not whole."""

    def trusting(self: SlabDirectory) -> Reading:
        return Reading(tuple(views._read_file(path, self.layout) for path in views.slab_files(self.path)), ())

    replace(SlabDirectory, "read", trusting)


# ---- rollouts


def tell_of_failures_late() -> None:
    """Workers that bring what they counted to the store LATE_SECONDS after they did, and do nothing by themselves."""
    go_on = Correspondence.go_on

    async def leisurely(self: Correspondence) -> None:
        self.is_busy = True
        await asyncio.sleep(LATE_SECONDS)
        await go_on(self)

    replace(Correspondence, "go_on", leisurely)
    replace(Correspondence, "look", lambda _self: None)


def let_everybody_lead() -> None:
    """Controllers that all hold the lease, and write so late that the others have looked before."""

    async def granted(*_given: object) -> bool:
        return True

    apply = Rollouts.apply

    async def late(self: Rollouts, *given: Any, **named: Any) -> tuple[Rollout, int]:
        await asyncio.sleep(OVERLAP_SECONDS)
        return await apply(self, *given, **named)

    replace(RedisEvidence, "lease", granted)
    replace(Rollouts, "apply", late)


def write_whatever_the_revision() -> None:
    """Controllers whose steps are not bound to the revision that they were decided for."""
    apply = Rollouts.apply

    async def unfenced(self: Rollouts, *given: Any, **named: Any) -> tuple[Rollout, int]:
        return await apply(self, *given, **{**named, "expected": None})

    replace(Rollouts, "apply", unfenced)


BREAKS: Final[Mapping[str, Callable[[], None]]] = {
    "answer-late": answer_late,
    "serve-those-who-left": serve_those_who_left,
    "name-what-was-decided": name_what_was_decided,
    "stumble": stumble,
    "no-quarantine": quarantine_nothing,
    "python-hash": hash_as_python_does,
    "off-by-a-point": split_off_by_a_point,
    "unload-what-is-needed": unload_what_is_needed,
    "trust-every-file": trust_every_file,
    "load-on-the-loop": load_on_the_loop,
    "keep-memory": keep_freed_memory,
    "believe-the-snapshot": believe_the_snapshot,
    "believe-the-store": believe_the_store,
    "compare-revisions": compare_revisions_alone,
    "slabs-are-whole": take_slabs_for_whole,
    "tell-late": tell_of_failures_late,
    "both-lead": let_everybody_lead,
    "unfenced": write_whatever_the_revision,
}
