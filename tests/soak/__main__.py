"""Runs the soak, prints what happens, and ends with 0 only where everything promised held."""

from __future__ import annotations

import argparse
import asyncio
import itertools
import math
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from load_tests.servers import free_port
from tests.engine import graphs
from tests.flows.conftest import prepare, seeded
from tests.flows.gateway_process import eventually
from tests.flows.models import crashing, publish
from tests.machine import load_average
from tests.soak.faults import BAD_CANARY, FAULTS, HEAVY, HEAVY_MEGABYTES, PATIENCE_SECONDS, Rota
from tests.soak.ledger import Ledger
from tests.soak.series import SeriesBook
from tests.soak.traffic import Callers, send_forever
from tests.soak.verdict import Phases, Seen, judge
from tests.soak.watch import look

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.flows.gateway_process import Gateway
    from tests.soak.faults import Fault
    from tests.soak.watch import Sample

ROUTE = 'split: {"1": 1, "2": 1}\nassign: {by: random}\nbaseline: "1"'
REMEMBERS_ALL = ("--limits", "feedback=1000")
"""Each worker remembers every answer for labels; the default is ten per second on."""

SAMPLE_SECONDS = 10.0
PAUSE_SECONDS = 4.0
"""Between two faults."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run for as long as asked, and say what held."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--json", type=Path, default=Path("build/soak.json"), help="where all figures are written")
    parser.add_argument("--faults", type=_faults, default=list(FAULTS.values()), help=f"which of {','.join(FAULTS)}")
    parser.add_argument("--seed", type=int, default=1, help="of which worker is killed and when callers leave")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as directory:
        port = free_port()
        gateway = prepare(Path(directory), route=ROUTE, flags=("--grpc-port", str(port), *REMEMBERS_ALL))
        publish(gateway.models, BAD_CANARY, crashing(BAD_CANARY))
        publish(gateway.models, 1, graphs.heavy(1), model=HEAVY)
        gateway.start()
        try:
            return asyncio.run(soak(gateway, port, given.minutes * 60.0, given.faults, given.json, given.seed))
        finally:
            gateway.close()


def _faults(names: str) -> list[Fault]:
    """Return the faults that a list of names with commas between them means."""
    try:
        return [FAULTS[name] for name in names.split(",") if name]
    except KeyError as exc:
        raise argparse.ArgumentTypeError(f"no fault is named {exc}; there are {', '.join(FAULTS)}") from exc


async def soak(gateway: Gateway, grpc_port: int, seconds: float, faults: list[Fault], into: Path, seed: int) -> int:
    """Send, break, look, and judge."""
    await asyncio.to_thread(eventually, lambda: seeded(gateway), PATIENCE_SECONDS, "every route is in the store")
    publish(gateway.models, 2, graphs.heavy(HEAVY_MEGABYTES), model=HEAVY)
    ledger = Ledger()
    rota = Rota(gateway, ledger, seed)
    await rota.heavy_is(2, "READY")
    ledger.begin()
    callers = Callers(gateway.port, grpc_port, ledger, seed)
    senders = [
        asyncio.create_task(send_forever(name, rate, send, ledger)) for name, (rate, send) in callers.senders().items()
    ]
    samples: list[Sample] = []
    series = SeriesBook()
    looking = asyncio.create_task(look_forever(gateway, ledger, samples, series))
    phases = Phases(seconds / 2, seconds * 2 / 3)
    load_before = load_average()
    try:
        over = await break_until(ledger.began + phases.half, faults, rota, ledger)
        next_one = len(over) % max(len(faults), 1)
        lasting = [fault for fault in faults[next_one:] + faults[:next_one] if not fault.replaces]
        over += await break_until(ledger.began + seconds, lasting, rota, ledger)
    finally:
        for task in (*senders, looking):
            task.cancel()
        await asyncio.gather(*senders, looking, return_exceptions=True)
        await callers.aclose()
    return judge(Seen(ledger, samples, series, phases, turned(faults, over), seed), load_before, into)


def turned(faults: list[Fault], over: list[tuple[Fault, float]]) -> float:
    """Return when the last of *faults* had been over once; *over*: which was, and when, in seconds from the beginning.

    Infinite where one of them never was.
    """
    first: dict[str, float] = {}
    for fault, at in over:
        first.setdefault(fault.says, at)
    return max((first.get(fault.says, math.inf) for fault in faults), default=0.0)


async def break_until(end: float, faults: list[Fault], rota: Rota, ledger: Ledger) -> list[tuple[Fault, float]]:
    """Take the faults in turn, or only wait where there is none; return each that was over, and when."""
    over: list[tuple[Fault, float]] = []
    for fault in itertools.cycle(faults):
        if time.monotonic() >= end:
            return over
        print(f"{time.monotonic() - ledger.began:7.0f} s  {fault.says}", flush=True)
        try:
            await fault.act(rota)
        except AssertionError as exc:
            ledger.missed(fault.says, str(exc))
        await asyncio.sleep(PAUSE_SECONDS)
        over.append((fault, time.monotonic() - ledger.began))
    await asyncio.sleep(end - time.monotonic())
    return over


async def look_forever(gateway: Gateway, ledger: Ledger, samples: list[Sample], series: SeriesBook) -> None:
    """Print a line per sample."""
    while True:
        await asyncio.sleep(SAMPLE_SECONDS)
        at = time.monotonic() - ledger.began
        try:
            sample = await asyncio.to_thread(look, gateway, at, series)
        except (OSError, ValueError, AssertionError) as exc:  # the store is away, or the control process is late
            print(f"{at:7.0f} s  cannot look: {exc!r}", flush=True)
            continue
        samples.append(sample)
        window = ledger.close_window()
        workers = sorted(each.anonymous for each in sample.held.values() if "worker" in each.name)
        print(
            f"{at:7.0f} s  {sum(ledger.sent.values()):8} requests  {len(ledger.unexplained)} unexplained  "
            f"{ledger.explained.total()} explained  p50 {window.p50_ms:.1f} p99 {window.p99_ms:.0f} ms  "
            f"lag {sample.loop_lag * 1000:.0f} ms  workers {'/'.join(f'{each:.0f}' for each in workers)} MiB  "
            f"PSS {sample.pss:.0f}  descriptors {sum(each.descriptors for each in sample.held.values())}  "
            f"threads {sum(each.threads for each in sample.held.values())}  series {sample.series}",
            flush=True,
        )


if __name__ == "__main__":
    raise SystemExit(main())
