"""The names under which a model's state lies in Redis, and the bounds of what lies there.

The braces are part of the key: they make the model its hash tag, so that all keys of one
script live in one slot.
"""

from __future__ import annotations

from typing import Final

from gateway.core.evidence import RUN_KINDS
from gateway.ports.labels import QUALITY_BUCKETS

CHANGES: Final = "gateway:changes"
"""The one channel on which every change is published. A message only says "look again"; its content is never used."""

REPLICAS: Final = "gateway:replicas"
"""The hash in which every replica says what it has; read and written whole, by one script with this one key."""

AUDIT_ENTRIES: Final = 10_000
"""About how many audit entries a model keeps; the server trims whole blocks."""

HISTORY_LIMIT: Final = 1_000
"""The most audit entries that one call returns, so that an answer stays within the store's deadline."""

PAYLOAD_BYTES: Final = 1 << 20
"""The largest route that is written, and the largest that is read."""


EVIDENCE_SECONDS: Final = 30 * 24 * 3600
"""How long what a rollout counted is kept after its end."""

SEEN_KINDS: Final = (*RUN_KINDS, "assigned", "wrong", "pair_lost", "pair_won")
"""What is counted once per key of a sticky route. Each kind has a key of its own in the store, and all are named when
they are to expire: a script may touch declared keys only."""

SEEN_POINTS: Final = 10_000
"""The most keys of one kind that a rollout marks; what comes later is not counted."""


def route_key(model: str) -> str:
    """Return the key of the hash that holds the route of *model* and its orders."""
    return f"gateway:{{{model}}}:route"


def audit_key(model: str) -> str:
    """Return the key of the stream that holds the history of *model*."""
    return f"gateway:{{{model}}}:audit"


def evidence_key(model: str, rollout: str) -> str:
    """Return the key of the hash that holds the totals of *rollout*."""
    return f"gateway:{{{model}}}:evidence:{rollout}"


def seen_key(model: str, rollout: str, kind: str) -> str:
    """Return the key of the set of points that were counted for *kind*, one of SEEN_KINDS, in *rollout*."""
    return f"gateway:{{{model}}}:seen:{rollout}:{kind}"


def rollout_keys(model: str, rollout: str) -> tuple[str, ...]:
    """Return every key that holds what *rollout* counted."""
    return (evidence_key(model, rollout), *(seen_key(model, rollout, kind) for kind in SEEN_KINDS))


def lease_key(model: str) -> str:
    """Return the key of the lease on the rollouts of *model*."""
    return f"gateway:{{{model}}}:lease"


QUALITY_FIELDS: Final = 2_000
"""With so many fields a hash of quality takes no new cell of predicted and labelled class."""

ASSIGNED_FIELDS: Final = 2_000
"""So many revisions and versions are counted apart; answers under later revisions count for no sample ratio."""

WIDEST: Final = QUALITY_BUCKETS[-1][0]
"""Buckets of this width have the keys that they had when there was one width."""


def served_key(model: str, served: str) -> str:
    """Return the key of the hash that holds what was answered under the id *served*, and what was said of it."""
    return f"gateway:{{{model}}}:served:{served}"


def copied_key(model: str, served: str) -> str:
    """Return the key of the hash that holds what each shadow, by version, predicted for the request of *served*."""
    return f"gateway:{{{model}}}:copied:{served}"


def quality_key(model: str) -> str:
    """Return the key of the hash that counts labels by version, of all time."""
    return f"gateway:{{{model}}}:quality"


def quality_keys_at(model: str, now: float) -> tuple[str, ...]:
    """Return the keys of the hashes that count a label that comes *now*, in seconds since the epoch: one per width."""
    return tuple(_bucket_key(model, width, int(now // width)) for width, _ in QUALITY_BUCKETS)


def quality_keys_since(model: str, seconds: float, now: float) -> list[str]:
    """Return the keys of the hashes that together count the last *seconds* before *now*, as far back as is kept."""
    width, kept = next((each for each in QUALITY_BUCKETS if seconds <= each[1]), QUALITY_BUCKETS[-1])
    first = int((now - min(seconds, kept)) // width)
    return [_bucket_key(model, width, bucket) for bucket in range(first, int(now // width) + 1)]


def _bucket_key(model: str, width: int, bucket: int) -> str:
    return f"{quality_key(model)}:{bucket}" if width == WIDEST else f"{quality_key(model)}:{width}s:{bucket}"


def assigned_key(model: str) -> str:
    """Return the key of the hash that counts remembered answers by the revision whose split chose the version."""
    return f"gateway:{{{model}}}:assigned"


def cohort_key(model: str, hour: int) -> str:
    """Return the key of the hash that counts labels of answers of *hour*, since the epoch, by revision and version."""
    return f"gateway:{{{model}}}:cohort:{hour}"


def outbox_key(model: str) -> str:
    """Return the key of the stream that holds what is to be told of *model*."""
    return f"gateway:{{{model}}}:outbox"


def deliveries_key(model: str) -> str:
    """Return the key of the hash that holds how far each target was told of *model*."""
    return f"gateway:{{{model}}}:deliveries"


def link_key(model: str, digest: str) -> str:
    """Return the key that holds what the link whose token has this *digest* lets somebody do."""
    return f"gateway:{{{model}}}:link:{digest}"


def used_link_key(model: str, digest: str) -> str:
    """Return the key that is there once the link was used."""
    return f"{link_key(model, digest)}:used"


def undelivered_key(model: str) -> str:
    """Return the key of the stream that holds what was given up."""
    return f"gateway:{{{model}}}:undelivered"


LABELLED_SECONDS: Final = 30 * 24 * 3600
"""How long labelled answers with their inputs are kept after the last of them came."""


def labelled_key(model: str) -> str:
    """Return the key of the stream that holds the labelled answers of *model* with their inputs."""
    return f"gateway:{{{model}}}:labelled"


REFERENCE_SECONDS: Final = 90 * 24 * 3600
"""How long a reference of live traffic is kept after it was asked for last."""


def samples_key(model: str) -> str:
    """Return the key of the stream that holds samples of what the versions of *model* are asked and answer."""
    return f"gateway:{{{model}}}:samples"


def reference_key(model: str, version: int, digest: str) -> str:
    """Return the key of what *version*, whose model file has this *digest*, was asked and answered at first."""
    return f"gateway:{{{model}}}:reference:{version}:{digest[:64]}"
