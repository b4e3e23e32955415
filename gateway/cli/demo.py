"""``gateway demo``: a gateway of its own, live traffic, and a split that moves under it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gateway.settings import environment_without_settings

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from gateway.cli.demo_traffic import Traffic

STEPS: Final = ((100, 0), (99, 1), (95, 5), (75, 25), (50, 50), (0, 100))
"""The weights of versions 1 and 2, one step after the other."""

USERS: Final = 2000
CALLERS: Final = 16
START_SECONDS: Final = 30

EXAMPLE = """example:
  gateway demo --step-seconds 5

The demo brings its own gateway on free ports and its own state, and takes both away at the end.
Exit code 0: every caller was answered, and no user who was on version 2 was taken off it."""


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add ``demo``."""
    import argparse

    parser = subparsers.add_parser(
        "demo",
        help="watch a split move under live traffic",
        description="Start a gateway, send it traffic, move the split from version 1 to version 2 and watch.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--models", default="models", help="repository with breast-cancer 1 and 2 [models]")
    parser.add_argument("--step-seconds", type=float, default=4.0, help="how long each split stays [4]")
    parser.add_argument("--rate", type=float, default=300.0, help="requests per second [300]")
    parser.add_argument("--json", action="store_true", help="print the result as JSON instead of tables")


def run(args: argparse.Namespace) -> int:
    """Play the demo; 0 when it came out as promised, 1 when not, 2 when it cannot start."""
    if not (Path(args.models) / "breast-cancer" / "2").is_dir():
        print(
            f"gateway: {args.models!r} holds no breast-cancer/2; name the shipped models with --models", file=sys.stderr
        )
        return 2
    try:
        with _own_gateway(args.models, quiet=args.json) as (inference, admin):
            result = asyncio.run(_play(inference, admin, args))
    except RuntimeError as exc:
        print(f"gateway: {exc}", file=sys.stderr)
        return 1
    came_out = not result["failures"] and not result["taken_off_the_canary"]
    if args.json:
        print(json.dumps(result, indent=2))
    else:
        print(
            f"\n{result['answers']} requests answered, {result['failures']} failed; {result['moved_to_2']} of {USERS} "
            f"users moved to version 2, {result['taken_off_the_canary']} were taken off it again"
        )
    return 0 if came_out else 1


async def _play(inference: str, admin: str, args: argparse.Namespace) -> dict[str, Any]:
    from gateway.cli.demo_traffic import Caller, Traffic

    host, port = re.fullmatch(r"http://(.+):(\d+)", inference).groups()  # type: ignore[union-attr] # our own banner
    users = [f"user-{number}" for number in range(USERS)]
    traffic, stop, steps = Traffic(), asyncio.Event(), []
    callers = [Caller(host, int(port), users[number::CALLERS], traffic) for number in range(CALLERS)]
    tasks = [asyncio.create_task(caller.run(args.rate / CALLERS, stop)) for caller in callers]
    try:
        for weights in STEPS:
            await asyncio.to_thread(_set_weights, admin, weights)
            steps.append(await _watch(traffic, weights, args))
    finally:
        stop.set()
        await asyncio.gather(*tasks)
    return {
        "answers": traffic.answers,
        "failures": traffic.failures,
        "moved_to_2": traffic.moved.get(("1", "2"), 0),
        "taken_off_the_canary": traffic.moved.get(("2", "1"), 0),
        "steps": steps,
    }


async def _watch(traffic: Traffic, weights: tuple[int, int], args: argparse.Namespace) -> dict[str, Any]:
    """Show one step while it lasts, and return what was seen in it."""
    live = sys.stdout.isatty() and not args.json
    traffic.take()
    total: dict[str, list[float]] = {}
    until = time.monotonic() + args.step_seconds
    shown = 0
    while time.monotonic() < until:
        await asyncio.sleep(min(0.5, max(0.0, until - time.monotonic())))
        for version, seen in traffic.take().items():
            total.setdefault(version, []).extend(seen.milliseconds)
        if live:
            shown = _redraw(_table(weights, total), shown)
    if not live and not args.json:
        print("\n".join(_table(weights, total)), flush=True)
    count = sum(map(len, total.values()))
    return {
        "weights": {"1": weights[0], "2": weights[1]},
        "shares": {version: round(len(times) / count, 4) for version, times in sorted(total.items())},
        "p50_ms": {version: _quantile(times, 0.5) for version, times in sorted(total.items())},
    }


def _table(weights: tuple[int, int], total: dict[str, list[float]]) -> list[str]:
    count = max(1, sum(map(len, total.values())))
    lines = [f"split 1={weights[0]} 2={weights[1]}", "  version  asked   seen   requests   p50 ms   p95 ms"]
    for number, weight in enumerate(weights, 1):
        times = total.get(str(number), [])
        lines.append(
            f"  {number:>7}  {weight:>4} %  {len(times) / count:>5.1%} {len(times):>9}"
            f"  {_quantile(times, 0.5):>7.2f}  {_quantile(times, 0.95):>7.2f}"
        )
    return lines


def _redraw(lines: list[str], shown: int) -> int:
    print((f"\x1b[{shown}A" if shown else "") + "\n".join(f"\x1b[2K{line}" for line in lines), flush=True)
    return len(lines)


def _quantile(times: list[float], q: float) -> float:
    return round(sorted(times)[int(q * (len(times) - 1))], 3) if times else 0.0


def _set_weights(admin: str, weights: tuple[int, int]) -> None:
    import urllib.request

    body = json.dumps({"weights": {"1": weights[0], "2": weights[1]}, "reason": "the demo's next step"}).encode()
    request = urllib.request.Request(  # noqa: S310 - the address is our own gateway's
        f"{admin}/api/v1/models/breast-cancer/route/weights",
        body,
        {"content-type": "application/json", "if-match": "*"},
        method="PATCH",
    )
    with urllib.request.urlopen(request, timeout=5):  # noqa: S310 - as above
        pass


@contextlib.contextmanager
def _own_gateway(models: str, *, quiet: bool) -> Iterator[tuple[str, str]]:
    """Run a gateway on free ports with a state of its own; yield the addresses of both ports."""
    with tempfile.TemporaryDirectory(prefix="gateway-demo-") as home:
        routes = Path(home) / "routes"
        routes.mkdir()
        (routes / "breast-cancer.yaml").write_text(
            'model: breast-cancer\nsplit: {"1": 100, "2": 0}\nassign: {by: "header:x-user-id"}\nbaseline: "1"\n'
        )
        command = [
            sys.executable,
            "-m",
            "gateway",
            "serve",
            "--port",
            "0",
            "--admin-port",
            "0",
            "--grpc-port",
            "0",
            "--workers",
            "2",
        ]
        command += ["--models", models, "--routes", str(routes), "--state-dir", f"{home}/state"]
        command += ["--log-level", "error", "--drain-delay", "0"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment_without_settings())
        try:
            yield _addresses(process, quiet=quiet)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)


def _addresses(process: subprocess.Popen[str], *, quiet: bool) -> tuple[str, str]:
    if not quiet:
        print("starting a gateway …", flush=True)
    assert process.stdout is not None
    found: dict[str, str] = {}
    for line in process.stdout:
        match = re.match(r"  (inference|admin) +(http://\S+)", line)
        if match:
            found[match[1]] = match[2]
        if len(found) == 2:
            return found["inference"], found["admin"]
    raise RuntimeError(f"the demo's gateway ended with exit code {process.wait(START_SECONDS)}; see above")
