"""Builds those who tell of a worker's requests one by one: the access log and the spans. By default there are none."""

from __future__ import annotations

import os
import sys
import time
from functools import partial
from random import getrandbits
from typing import TYPE_CHECKING, Any

from gateway.core.sampling import Sampling
from gateway.telemetry.access_log import AccessLog, LineWriter
from gateway.telemetry.outbox import Outbox
from gateway.telemetry.spans import SpanSender, SpanWitness

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.ports.observing import Witness
    from gateway.settings import Settings
    from gateway.telemetry.slab import WorkerSlab

draw = partial(getrandbits, 64)


def witnesses_of(settings: Settings, slab: WorkerSlab) -> tuple[tuple[Witness, ...], Sequence[Outbox[Any]]]:
    """Return who is told of each request, and what is to be closed when the worker ends."""
    witnesses: list[Witness] = []
    outboxes: list[Outbox[Any]] = []
    if settings.access_log != Sampling():
        writer = LineWriter(sys.stderr.buffer, os.getpid())
        outboxes.append(Outbox("lines of the access log", writer, partial(slab.told, "access_log")))
        witnesses.append(AccessLog(settings.access_log, outboxes[-1], time.monotonic, draw))
    if settings.otlp_endpoint:
        sender = SpanSender(settings.otlp_endpoint, getrandbits)
        outboxes.append(Outbox("spans", sender, partial(slab.told, "spans"), stop=sender.stop))
        witnesses.append(SpanWitness(settings.trace_sampling, outboxes[-1], draw))
    return tuple(witnesses), outboxes
