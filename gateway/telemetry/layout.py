"""Where each number lies in a slab, the shared file in which one worker counts.

A slab is a header page and then fixed blocks, one per incarnation of a version in that worker;
every cell is a native double. A double is exact for counts up to 2**53, and an aligned
one is stored whole, so a reader never sees half a number. Readers and writers compare
``Layout.fingerprint``, so a file of another release is refused instead of misread.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from gateway.core.outcomes import OUTCOMES
from gateway.ports.observing import RECORDING_OUTCOMES

CELL_BYTES: Final = 8
HEADER_BYTES: Final = 4096
BLOCK_CELLS: Final = 256
BLOCK_BYTES: Final = BLOCK_CELLS * CELL_BYTES
BLOCKS: Final = 4096
FILE_BYTES: Final = HEADER_BYTES + BLOCKS * BLOCK_BYTES
"""Sparse: a block costs memory and disk from its first use on."""

MAGIC: Final = b"gw-slab\x01"
FINGERPRINT_OFFSET: Final = len(MAGIC)

GAUGES: Final = (
    "pid", "started_at", "heartbeat", "loop_lag_seconds", "store_up", "store_answered_at", "in_flight",
    "open_connections", "last_request_at", "deaths",
)  # fmt: skip
"""What a worker says of itself now, in the order of the cells; every time is in monotonic seconds. *deaths*, of those
before it in this slab, is what no successor resets."""

FIRST_GAUGE: Final = 2
USED_BLOCKS: Final = FIRST_GAUGE + len(GAUGES)
FIRST_REFUSAL: Final = USED_BLOCKS + 1

REFUSALS: Final = (
    "digest_mismatch", "too_large", "not_json", "newer_schema", "invalid", "wrong_type", "missing_field", "bad_field",
    "absent", "rewritten", "other",
)  # fmt: skip
"""Why a stored route was not adopted: label values of ``gateway_route_documents_refused_total{reason}``."""

FIRST_TOLD: Final = FIRST_REFUSAL + len(REFUSALS)

TOLD_SIGNALS: Final = ("spans", "access_log")
"""Label values of ``gateway_telemetry_records_total{signal}``."""

TOLD_OUTCOMES: Final = ("sent", "dropped", "failed")
"""Label values of ``gateway_telemetry_records_total{outcome}``."""

TOLD: Final = tuple((signal, outcome) for signal in TOLD_SIGNALS for outcome in TOLD_OUTCOMES)
"""What is counted of single requests that were told of, in the order of the cells. Each has one thread that counts."""

KEY_BYTES: Final = 160
ACTIVATED_AT: Final = KEY_BYTES // CELL_BYTES
"""Cell of a block: when its version was loaded, 0 while the block holds none."""
RETIRED_AT: Final = ACTIVATED_AT + 1
"""Cell of a block: when its version was unloaded, 0 while it is there."""
FIRST_COUNT: Final = RETIRED_AT + 1

FALLBACKS: Final = ("error", "timeout", "invalid", "overload", "unavailable", "breaker", "other")
"""Label values of ``gateway_fallbacks_total{reason}``; a reason that is not listed counts as other."""

EVENTS: Final = (
    "crashed", "stopped", "stuck", "quarantined", "nonfinite_in", "nonfinite_out", "cache_hit", "cache_miss",
    "cache_shared",
)  # fmt: skip
"""Label values of ``gateway_version_events_total{event}``."""

COPY_OUTCOMES: Final = ("ok", "error", "invalid", "timeout", "other")
"""Label values of ``gateway_shadow_requests_total{outcome}``; one that is not listed counts as other."""

COPY_DROPS: Final = ("busy", "full", "inputs", "unavailable", "other")
"""Label values of ``gateway_shadow_dropped_total{reason}``; one that is not listed counts as other."""

PAIRS: Final = ("agree", "differ")
"""What is counted of the pairs of an answer and its copy, in the order of the cells."""

DURATION_EDGES: Final = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
"""Upper edges of the duration buckets, seconds. The client library's begin at 5 ms: a small model answers in one."""

ROW_EDGES: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0)

DIFFERENCE_EDGES: Final = (0.0, 1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.1, 1.0, 10.0, 100.0)
"""Upper edges of the buckets of absolute differences; the first holds what is equal."""

MOST_EDGES: Final = 20

_SCHEMA: Final = (
    HEADER_BYTES, BLOCK_BYTES, GAUGES, REFUSALS, OUTCOMES, FALLBACKS, EVENTS, ROW_EDGES, KEY_BYTES, COPY_OUTCOMES,
    COPY_DROPS, PAIRS, DIFFERENCE_EDGES, RECORDING_OUTCOMES, "cpu_seconds",
    TOLD,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Layout:
    """The cells of a block's counters, which depend on how finely durations are told apart.

    duration_edges: 1 to 20 rising positive seconds. A histogram lies as one cell per bucket
    (not cumulative), one for what is over the last edge, and one for the sum.
    Slices are relative to the first counter.
    """

    duration_edges: tuple[float, ...] = DURATION_EDGES

    def __post_init__(self) -> None:
        edges = self.duration_edges
        if not 1 <= len(edges) <= MOST_EDGES:
            raise ValueError(f"a histogram takes 1 to {MOST_EDGES} duration edges, not {len(edges)}")
        if edges[0] <= 0 or not all(low < high < math.inf for low, high in pairwise((0.0, *edges))):
            raise ValueError(f"duration edges must be positive, finite and rising: {edges}")

    @property
    def fingerprint(self) -> bytes:
        """Eight bytes that differ between any two layouts."""
        return hashlib.blake2b(repr((_SCHEMA, self.duration_edges)).encode(), digest_size=8).digest()

    @property
    def outcomes(self) -> slice:
        return slice(0, len(OUTCOMES))

    @property
    def request(self) -> slice:
        return self._histogram(0)

    @property
    def inference(self) -> slice:
        return self._histogram(1)

    @property
    def queue(self) -> slice:
        return self._histogram(2)

    @property
    def rows(self) -> slice:
        start = self.queue.stop
        return slice(start, start + len(ROW_EDGES) + 2)

    @property
    def fallbacks(self) -> slice:
        start = self.rows.stop
        return slice(start, start + len(FALLBACKS))

    @property
    def events(self) -> slice:
        return _after(self.fallbacks, len(EVENTS))

    @property
    def copies(self) -> slice:
        return _after(self.events, len(COPY_OUTCOMES))

    @property
    def copies_dropped(self) -> slice:
        return _after(self.copies, len(COPY_DROPS))

    @property
    def pairs(self) -> slice:
        return _after(self.copies_dropped, len(PAIRS))

    @property
    def copy_seconds(self) -> slice:
        return _after(self.pairs, len(self.duration_edges) + 2)

    @property
    def mean_difference(self) -> slice:
        return _after(self.copy_seconds, len(DIFFERENCE_EDGES) + 2)

    @property
    def max_difference(self) -> slice:
        return _after(self.mean_difference, len(DIFFERENCE_EDGES) + 2)

    @property
    def recordings(self) -> slice:
        return _after(self.max_difference, len(RECORDING_OUTCOMES))

    @property
    def cpu_seconds(self) -> slice:
        return _after(self.recordings, 1)

    @property
    def counters(self) -> int:
        """How many counters a block has."""
        return int(self.cpu_seconds.stop)

    def _histogram(self, which: int) -> slice:
        width = len(self.duration_edges) + 2
        start = len(OUTCOMES) + which * width
        return slice(start, start + width)


def _after(where: slice, cells: int) -> slice:
    return slice(where.stop, where.stop + cells)
