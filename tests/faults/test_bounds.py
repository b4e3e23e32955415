"""What callers can make a gateway hold is bounded by its settings: under the reckoned limit the kernel kills nobody."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.faults import crowd, thresholds
from tests.faults.memory_limit import MemoryLimit, limited
from tests.faults.test_workers import ROUTE
from tests.flows import metrics
from tests.flows.doors import free_port
from tests.flows.load import Load
from tests.flows.models import MODEL
from tests.flows.reconcile import assert_counts_agree

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from tests.faults.table import Table
    from tests.flows.gateway_process import Gateway

__all__ = ["limited"]
pytestmark = pytest.mark.fault

BODY_BYTES: Final = 32 << 20
HELD_BYTES: Final = 96 << 20
LIMIT_BYTES: Final = 700 << 20
"""300 MiB of a gateway at rest; for each of two workers HELD_BYTES, two bodies more that are read into tensors, and
1,000 silent connections of 20 KiB; and half as much again. A hundred bodies together have 3,200 MiB."""
SILENT: Final = 2000
UNBOUNDED: Final = 1 << 36


def started(begin: Callable[..., Gateway], limited: MemoryLimit, held_bytes: int) -> tuple[Gateway, int]:
    """Return a gateway under the limit, and its gRPC port."""
    grpc_port = free_port()
    limits = f"body=5s,held-bytes={held_bytes}"
    flags = ("--max-body", str(BODY_BYTES + 4096), "--limits", limits, "--grpc-port", str(grpc_port))
    return begin(route=ROUTE, flags=flags, prefix=limited.prefix), grpc_port


def largest_mib(gateway: Gateway) -> float:
    """Return what the largest worker ever held, MiB."""
    held = []
    for pid in gateway.worker_pids():
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        held += [int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")]
    return max(held)


def overloaded(gateway: Gateway) -> int:
    """Return how many requests were refused for want of room, by the metrics."""
    counted = [metrics.requests(gateway, "overload", model=model) for model in (MODEL, "_unknown")]
    return sum(each.total() for each in counted)


@pytest.mark.parametrize("limited", [LIMIT_BYTES], indirect=True)
async def test_callers_cannot_make_a_gateway_hold_more_than_its_settings_say(
    limited: MemoryLimit, begin: Callable[..., Gateway], table: Table
) -> None:
    gateway, grpc_port = started(begin, limited, HELD_BYTES)
    before, rest = metrics.requests(gateway), largest_mib(gateway)

    async with crowd.silent(gateway.port, SILENT), Load(gateway.port) as load:
        await load.answered(50)
        came, promised = await asyncio.gather(
            crowd.storm(gateway.port, grpc_port, BODY_BYTES), crowd.promise_too_much(gateway.port)
        )
        after = await crowd.send_large(gateway.port, BODY_BYTES, is_chunked=False, is_whole=True)
        await load.answered(50)

    with table.promise(
        "R19", f"100 bodies of 32 MiB, {SILENT} silent, shapes of 10⁹, {LIMIT_BYTES >> 20} MiB"
    ) as found:
        found("processes that the kernel killed", limited.kills, thresholds.NONE)
        found("requests of L lost", len(load.faults), thresholds.NONE)
        found("the largest worker grew by", largest_mib(gateway) - rest, thresholds.HELD)
        found("bodies refused for want of room", came[503], thresholds.SOME)
        found("bodies with another end than no room, refused or late", unexpected(came), thresholds.NONE)
        found("refusals that no metric counts", abs(overloaded(gateway) - came[503]), thresholds.NONE)
        found("shapes not refused", promised.total() - promised[400], thresholds.NONE)
        found("a body without room after the storm", after == 503, thresholds.NONE)
    assert_counts_agree(gateway, [load], before)


def unexpected(came: Counter[int]) -> int:
    """Return how many of the bodies ended as none should: 503 is no room, 400 too many rows, 408 never whole."""
    return came.total() - came[503] - came[400] - came[408]


@pytest.mark.parametrize("limited", [LIMIT_BYTES], indirect=True)
async def test_control_a_gateway_that_holds_whatever_comes_outgrows_the_limit(
    limited: MemoryLimit, begin: Callable[..., Gateway], table: Table
) -> None:
    gateway, grpc_port = started(begin, limited, UNBOUNDED)

    await crowd.storm(gateway.port, grpc_port, BODY_BYTES)

    with table.control(
        "R19", f"100 bodies of 32 MiB under {LIMIT_BYTES >> 20} MiB, and no bound of their sum"
    ) as found:
        found("processes that the kernel killed", limited.kills, thresholds.NONE)
