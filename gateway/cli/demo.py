"""``gateway demo``: a gateway of its own, live traffic, a version that proves itself and one that is caught."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from gateway.cli.demo_gateway import DemoGateway
    from gateway.cli.demo_traffic import Traffic

MODEL: Final = "breast-cancer"
USERS: Final = 2000
CALLERS: Final = 16
LOOK_SECONDS: Final = 0.1
PATIENCE_SECONDS: Final = 120.0
"""A chapter that has not ended by then has not come out."""

ENDED: Final = frozenset({"succeeded", "rolled_back", "aborted", "superseded"})

STORIES: Final = ("rollouts", "learning")
RATES: Final = {"rollouts": 400.0, "learning": 120.0}

EXAMPLE = """example:
  gateway demo
  gateway demo --rate 600 --json
  gateway demo learning --only change

STORY is rollouts (without one), or learning. A demo brings its own gateway on free ports, its own state and a copy of
the models, and takes all of it away at the end.
  rollouts  version 2 is walked to all traffic by its evidence; version 3, which answers NaN, is taken back
  learning  labels come back, the world changes and the accuracy falls; a learner makes a version that reads it, and
            labels promote it. Then the labels are wrong for a while, and what was learned of them is taken back. About
            two minutes; needs the extra `convert`, and leaves a picture in the working directory
Exit code 0: everything came out so, and every caller got an answer; in rollouts from a version that was well."""


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add ``demo``."""
    import argparse

    parser = subparsers.add_parser(
        "demo",
        help="watch one version being promoted and a bad one taken back, under live traffic",
        description="Start a gateway, send it traffic, roll out a healthy version and then one that fails; or learn.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("story", metavar="STORY", nargs="?", choices=STORIES, default="rollouts", help="[rollouts]")
    parser.add_argument("--models", default="models", help="repository with the shipped models [models]")
    parser.add_argument("--step-seconds", type=int, default=3, help="least time of each step [3]")
    parser.add_argument("--rate", type=float, help="requests per second [400; of learning 120]")
    parser.add_argument("--only", choices=("change", "poison"), help="of learning: this act instead of both")
    parser.add_argument(
        "--picture", type=Path, default=Path("demo-learning.svg"), metavar="FILE",
        help="of learning: where its picture is left [demo-learning.svg]",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the result as JSON instead of the story")


def run(args: argparse.Namespace) -> int:
    """Play the demo; 0 when it came out as promised, 1 when not, 2 when it cannot start."""
    from gateway.cli.demo_gateway import demo_gateway
    from gateway.cli.demo_learning import play

    signal.signal(signal.SIGTERM, _end)
    args.rate = args.rate or RATES[args.story]
    if args.story == "learning":
        return play(args)
    models = Path(args.models)
    if not all((models / MODEL / version).is_dir() for version in ("1", "2")):
        print(
            f"gateway: {args.models!r} holds no {MODEL}/1 and {MODEL}/2; name the shipped models with --models",
            file=sys.stderr,
        )
        return 2
    say: Callable[[str], None] = (lambda _line: None) if args.json else (lambda line: print(line, flush=True))
    say("starting a gateway …")
    try:
        with demo_gateway(models, MODEL) as gateway:
            story = asyncio.run(_play(gateway, args, say))
    except RuntimeError as exc:
        print(f"gateway: {exc}", file=sys.stderr)
        return 1
    told = story.result()
    if args.json:
        print(json.dumps(told, indent=2))
    else:
        print("\n" + _ending(told))
    return 0 if told["came_out"] else 1


def _end(*_: object) -> NoReturn:
    """End as after Ctrl-C, so that the demo's processes are ended too."""
    raise SystemExit(128 + signal.SIGTERM)


@dataclass
class Chapter:
    """One rollout: how it ended, why, when, and what callers saw of it."""

    version: str
    ended: str
    reason: str
    seconds: float
    answers: dict[str, int]
    rescued: int

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON. *rescued*: answers that the baseline gave in place of the canary."""
        return {
            "version": self.version, "ended": self.ended, "reason": self.reason, "seconds": round(self.seconds, 2),
            "answers": self.answers, "rescued": self.rescued,
        }  # fmt: skip


@dataclass
class Story:
    """The chapters, and what all callers saw."""

    traffic: Traffic
    chapters: list[Chapter] = field(default_factory=list)
    baseline: str = ""

    def result(self) -> dict[str, Any]:
        """Return what is to be told."""
        endings = [chapter.ended for chapter in self.chapters]
        noticed = self.traffic.failures + self.traffic.bad_answers
        came_out = endings == ["succeeded", "rolled_back"] and not noticed and self.baseline == "2"
        return {
            "came_out": came_out,
            "answers": self.traffic.answers,
            "callers_who_noticed": noticed,
            "served_at_the_end": self.baseline,
            "chapters": [chapter.as_dict() for chapter in self.chapters],
        }


def _ending(told: dict[str, Any]) -> str:
    good, bad = (*told["chapters"], None, None)[:2]
    lines = [f"{told['answers']} requests answered; callers who noticed anything: {told['callers_who_noticed']}"]
    if good is not None:
        lines.append(f"version {good['version']}: {good['ended']} after {good['seconds']} s")
    if bad is not None:
        lines.append(
            f"version {bad['version']}: {bad['ended']} after {bad['seconds']} s; the baseline answered its "
            f"{bad['rescued']} requests"
        )
    lines.append("It came out as promised." if told["came_out"] else "It did NOT come out as promised.")
    return "\n".join(lines)


async def _play(gateway: DemoGateway, args: argparse.Namespace, say: Callable[[str], None]) -> Story:
    from gateway.cli.demo_traffic import Caller, Traffic

    host, port = gateway.door
    users = [f"user-{number}" for number in range(USERS)]
    traffic, stop = Traffic(), asyncio.Event()
    callers = [Caller(host, port, users[number::CALLERS], traffic) for number in range(CALLERS)]
    tasks = [asyncio.create_task(caller.run(args.rate / CALLERS, stop)) for caller in callers]
    story = Story(traffic)
    try:
        await asyncio.sleep(1.0)
        say(f"traffic: {args.rate:g} requests per second of {USERS} users, all answered by version 1")
        for title, version in (
            ("version 2, boosted trees: healthy", "2"),
            ("version 3, features not scaled: answers NaN for every real patient", "3"),
        ):
            say(f"\n{title}")
            story.chapters.append(await _rollout(gateway, traffic, version, args.step_seconds, say))
        story.baseline = (await asyncio.to_thread(gateway.ask, f"/api/v1/models/{MODEL}/route"))["baseline"]
    finally:
        stop.set()
        await asyncio.gather(*tasks)
    return story


def plan(version: str, step_seconds: int) -> dict[str, Any]:
    """Return what is asked of the admin API: two steps, then a bake with a holdback."""
    each = f"{step_seconds}s"
    return {
        "candidate": version,
        "steps": [{"weight": 10, "for": each}, {"weight": 50, "for": each}],
        "holdback": {"weight": 95, "for": each},
        "guards": {"errors": {"enforce": "rollback"}, "invalid": {"enforce": "rollback"}},
        "reason": "the demo",
    }


async def _rollout(
    gateway: DemoGateway, traffic: Traffic, version: str, step_seconds: int, say: Callable[[str], None]
) -> Chapter:
    """Start a rollout of *version*, tell each change of it, and return how it ended."""
    rollouts = f"/api/v1/models/{MODEL}/rollouts"
    traffic.take()
    before = traffic.rescued
    await asyncio.to_thread(gateway.ask, rollouts, plan(version, step_seconds))
    began = time.monotonic()
    exposed = began
    seen = ""
    while True:
        now = await asyncio.to_thread(gateway.ask, f"{rollouts}/current")
        after = time.monotonic() - began
        where = _where(now)
        if where != seen:
            seen = where
            say(f"  {after:6.1f} s  {where:<24} {now['reason']}")
            if now["phase"] == "step" and now["step"] == 1:
                exposed = time.monotonic()
        if now["phase"] in ENDED or after > PATIENCE_SECONDS:
            break
        await asyncio.sleep(LOOK_SECONDS)
    ended = time.monotonic()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(0.5)  # what was under way when it ended
    answers = {version: len(times.milliseconds) for version, times in sorted(traffic.take().items())}
    since = began if now["phase"] == "succeeded" else exposed
    return Chapter(version, now["phase"], now["reason"], ended - since, answers, traffic.rescued - before)


def _where(now: dict[str, Any]) -> str:
    """Return a phase in words, with the split that goes with it."""
    split = " ".join(f"{version}={weight}" for version, weight in now["split"].items())
    step = f" {now['step']}" if now["phase"] == "step" else ""
    return f"{now['phase']}{step}, {split}"
