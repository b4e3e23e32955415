"""What a whole store is, and its smaller parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from gateway.ports.evidence import EvidenceStore
from gateway.ports.labels import FeedbackStore, LabelledStore
from gateway.ports.notifications import LinkStore, NotificationStore
from gateway.ports.routes import RouteStore

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


REPLICA_SECONDS: Final = 10.0
"""How long a replica that says nothing counts as there: a control process that is replaced speaks again before that."""


REPLICA_BYTES: Final = 1 << 20


class FleetStore(Protocol):
    """What the replicas that share the store tell each other. Every call answers within a second or raises
    StoreUnavailable."""

    async def announce(self, replica: str, words: str, *, seconds: float = REPLICA_SECONDS) -> Mapping[str, str]:
        """Say *words* for *replica* for so many *seconds*, and return what every replica says now, this one included.

        One that has not spoken for the time that it asked for is gone. At most REPLICA_BYTES of words. Raises
        ValueError for a name or words that no replica has.
        """
        ...


class DriftStore(Protocol):
    """Samples of what versions are asked and answer, as counts, on their way from the workers to whoever compares them.

    Every call answers within a second or raises StoreUnavailable. Nothing here is exact: a sample whose call failed is
    not sent again, and the oldest fall out.
    """

    async def sampled(self, model: str, payload: bytes) -> None:
        """Append *payload* (``core.drift_counts.Sample.encoded``) to the samples of *model*."""
        ...

    async def samples(self, after: Mapping[str, str]) -> Mapping[str, Sequence[tuple[str, bytes]]]:
        """Return the samples of each model that came after the named one, in one round trip, oldest first.

        *after*: model → the name of the last sample that is known, empty for all that is kept. Each sample comes with
        its name; at most SAMPLES_AT_ONCE of a model, and models without any are left out.
        """
        ...

    async def keep_reference(self, model: str, version: int, digest: str, payload: bytes) -> bytes:
        """Keep *payload* as the reference of a version whose model file has this *digest*, unless there is one.

        Returns what is kept then; empty where *payload* is and nothing was kept.
        """
        ...


SAMPLES_AT_ONCE: Final = 200


SAMPLES_KEPT: Final = 1_000


SAMPLES_SECONDS: Final = 3600.0
"""A model keeps so many samples, and none when it had no request for so long."""


class Store(
    RouteStore, EvidenceStore, FeedbackStore, LabelledStore, NotificationStore, LinkStore, FleetStore, DriftStore,
    Protocol,
):  # fmt: skip
    """All of it in one."""
