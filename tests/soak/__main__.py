"""Runs the soak, prints what happens, and ends with 0 only where everything promised held."""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from load_tests.servers import free_port
from tests.engine import graphs
from tests.flows.conftest import prepare, seeded
from tests.flows.gateway_process import eventually
from tests.flows.models import crashing, publish
from tests.soak import thresholds
from tests.soak.faults import BAD_CANARY, HEAVY, HEAVY_MEGABYTES, PATIENCE_SECONDS, Rota
from tests.soak.ledger import Ledger
from tests.soak.traffic import Callers, send_forever
from tests.soak.watch import growths, look

if TYPE_CHECKING:
    from tests.flows.gateway_process import Gateway
    from tests.soak.faults import Fault
    from tests.soak.watch import Sample

ROUTE = 'split: {"1": 1, "2": 1}\nassign: {by: random}\nbaseline: "1"'
REMEMBERS_ALL = ("--limits", "feedback=1000")
"""Each worker remembers every answer for labels; the default is ten per second on."""

SAMPLE_SECONDS = 10.0
PAUSE_SECONDS = 4.0
"""Between two faults."""


def main() -> int:
    """Run for as long as asked, and say what held."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--json", type=Path, help="write all figures there")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        port = free_port()
        gateway = prepare(Path(directory), route=ROUTE, flags=("--grpc-port", str(port), *REMEMBERS_ALL))
        publish(gateway.models, BAD_CANARY, crashing(BAD_CANARY))
        publish(gateway.models, 1, graphs.heavy(1), model=HEAVY)
        gateway.start()
        try:
            return asyncio.run(soak(gateway, port, given.minutes * 60.0, given.json))
        finally:
            gateway.close()


async def soak(gateway: Gateway, grpc_port: int, seconds: float, into: Path | None) -> int:
    """Send, break, look, and judge."""
    await asyncio.to_thread(eventually, lambda: seeded(gateway), PATIENCE_SECONDS, "every route is in the store")
    publish(gateway.models, 2, graphs.heavy(HEAVY_MEGABYTES), model=HEAVY)
    ledger = Ledger()
    rota = Rota(gateway, ledger)
    callers = Callers(gateway.port, grpc_port)
    senders = [
        asyncio.create_task(send_forever(name, rate, send, ledger)) for name, (rate, send) in callers.senders().items()
    ]
    samples: list[Sample] = []
    looking = asyncio.create_task(look_forever(gateway, ledger, samples))
    half, last_third = (ledger.began + seconds * part for part in (1 / 2, 2 / 3))
    try:
        await break_until(half, {**rota.lasting(), **rota.replacing()}, ledger)
        await break_until(last_third, rota.lasting(), ledger)  # a new worker fills its arenas for some minutes
        settled = len(samples)
        await break_until(ledger.began + seconds, rota.lasting(), ledger)
    finally:
        for task in (*senders, looking):
            task.cancel()
        await asyncio.gather(*senders, looking, return_exceptions=True)
        await callers.aclose()
    return verdict(ledger, samples[settled + 1 :], into)


async def break_until(end: float, faults: dict[str, Fault], ledger: Ledger) -> None:
    """Take the faults in turn."""
    for name, fault in itertools.cycle(faults.items()):
        if time.monotonic() >= end:
            return
        print(f"{time.monotonic() - ledger.began:7.0f} s  {name}", flush=True)
        try:
            await fault()
        except AssertionError as exc:
            ledger.missed(name, str(exc))
        await asyncio.sleep(PAUSE_SECONDS)


async def look_forever(gateway: Gateway, ledger: Ledger, samples: list[Sample]) -> None:
    """Print a line per sample."""
    while True:
        await asyncio.sleep(SAMPLE_SECONDS)
        at = time.monotonic() - ledger.began
        try:
            sample = await asyncio.to_thread(look, gateway, at)
        except (OSError, ValueError, AssertionError) as exc:  # the store is away, or the control process is late
            print(f"{at:7.0f} s  cannot look: {exc!r}", flush=True)
            continue
        samples.append(sample)
        p50, p99 = ledger.latencies_ms()
        workers = sorted(each.rss for each in sample.held.values() if "worker" in each.name)
        print(
            f"{at:7.0f} s  {sum(ledger.sent.values()):8} requests  {len(ledger.unexplained)} unexplained  "
            f"{ledger.explained.total()} explained  p50 {p50:.1f} p99 {p99:.0f} ms  "
            f"lag {sample.loop_lag * 1000:.0f} ms  workers {'/'.join(f'{each:.0f}' for each in workers)} MiB  "
            f"PSS {sample.pss:.0f}  descriptors {sum(each.descriptors for each in sample.held.values())}  "
            f"threads {sum(each.threads for each in sample.held.values())}  series {sample.series}",
            flush=True,
        )


def verdict(ledger: Ledger, samples: list[Sample], into: Path | None) -> int:
    """Print what was promised and what came of it; return the exit code."""
    print("\nsent", dict(ledger.sent))
    print("explained", dict(ledger.explained))
    for failure in ledger.unexplained[:20]:
        print(f"UNEXPLAINED at {failure.at:.1f} s, {failure.stream}: {failure.text}")
    memory, threads, descriptors, series = growths(samples)
    rows: list[tuple[str, float, float]] = [
        ("unexplained failures", len(ledger.unexplained), thresholds.UNEXPLAINED_FAILURES),
        *((f"MiB more: {each.what}", each.amount, thresholds.GROWTH_MIB) for each in memory),
        *((f"threads more: {each.what}", each.amount, thresholds.THREADS) for each in threads),
        ("descriptors more", descriptors.amount, thresholds.DESCRIPTORS),
        ("series more", series.amount, thresholds.SERIES),
    ]
    held = True
    for what, value, most in rows:
        held = held and value <= most
        print(f"{what:44} {value:8.2f}  promised at most {most:g}: {'kept' if value <= most else 'MISSED'}")
    if into is not None:
        into.write_text(json.dumps(_figures(ledger, samples, rows), indent=1))
    return 0 if held else 1


def _figures(ledger: Ledger, samples: list[Sample], rows: list[tuple[str, float, float]]) -> dict[str, Any]:
    return {
        "sent": ledger.sent,
        "explained": ledger.explained,
        "unexplained": [asdict(each) for each in ledger.unexplained],
        "promises": [{"what": what, "value": value, "most": most} for what, value, most in rows],
        "samples": [asdict(each) for each in samples],
    }


if __name__ == "__main__":
    raise SystemExit(main())
