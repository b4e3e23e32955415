"""What the learning demo plays on: a gateway, a learner beside it, callers with labels, and what is seen of them.

Everything that is seen comes from where an operator sees it: the admin API, and the status that the learner writes.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.cli.demo_gateway import STOP_SECONDS, running
from gateway.cli.demo_labelled import Address, LabelledTraffic
from gateway.cli.demo_world import CLASSES, MODEL, write_table
from gateway.cli.output import weights
from gateway.settings import environment_without_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from gateway.cli.demo_gateway import DemoGateway
    from gateway.cli.demo_world import World

LOOK_SECONDS: Final = 0.25
PATIENCE_SECONDS: Final = 90.0
"""What has not come by then does not come."""
LAST: Final = 100
"""Answers over which the accuracy is told."""

ROUTE: Final = f"""model: {MODEL}
split: {{"1": 100}}
baseline: "1"
feedback: {{inputs: all, redact: {{}}}}
"""

LEARNER: Final = """model: {model}
task: classification
classes: [{classes}]
learner: sgd
parameters: {{alpha: 0.001}}
mini_batch: 16
publish: {{labels: 40}}
gate: {{by: 10%, least: 500}}
hold_out: {{share: 20%, rows: 320, least: 40}}
backoff: {{first: 10m}}
rollout:
  steps: [{{weight: 20, for: {seconds}s}}, {{weight: 50, for: {seconds}s}}]
  holdback: {{weight: 95, for: {seconds}s}}
  guards: {{errors: {{certify: 5%}}, labels: {{least: 40}}}}
"""
"""Small, so that it ends soon: what is learned is compared after 600 answers, and held-out rows reach back 1,600."""


FLAGS: Final = ("--workers", "1", "--limits", "feedback=1000")
"""One worker remembers every answer for its label: by itself it would remember 10 per second."""


class NotSoon(Exception):
    """What an act waits for has not come in time."""


@dataclass(frozen=True, slots=True)
class Look:
    """What is known at one moment. *phase* is of the last rollout, empty where there was none; *candidate* is its
    version and *reason* why it stands there. *drift*: which columns of any version drifted, in words. *learner* is
    what it decided last."""

    at: float
    answers: int
    accuracy: float | None
    split: dict[str, int]
    baseline: str
    phase: str
    candidate: str
    reason: str
    drift: tuple[str, ...]
    learner: str

    @property
    def gate_holds(self) -> bool:
        """Say whether the learner was better on what it learned from, and its gate kept it back."""
        return self.learner.startswith("not published") and "but on " in self.learner


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened, for the picture and the story. *kind*: world, drift, gate, rollout or learner."""

    at: float
    kind: str
    text: str


@dataclass
class Stage:
    """The parts, and what was seen so far."""

    gateway: DemoGateway
    learner: Path
    """The status that the learner writes."""
    traffic: LabelledTraffic
    world: World
    tell: Callable[[Look | Moment], None]
    looks: list[Look] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)

    def note(self, kind: str, text: str) -> None:
        """Keep a moment and tell it."""
        self.moments.append(Moment(round(self.traffic.seconds, 2), kind, text))
        self.tell(self.moments[-1])

    async def until(self, holds: Callable[[Look], object], what: str) -> Look:
        """Look until *holds*, and return that look. Raises NotSoon."""
        until = self.traffic.seconds + PATIENCE_SECONDS
        while True:
            look = await asyncio.to_thread(self.look)
            self._compare(look)
            self.looks.append(look)
            self.tell(look)
            if holds(look):
                return look
            if self.traffic.seconds > until:
                raise NotSoon(f"after {PATIENCE_SECONDS:.0f} s still not: {what}; the learner says: {look.learner}")
            await asyncio.sleep(LOOK_SECONDS)

    async def answers(self, more: int) -> Look:
        """Wait until *more* answers were labelled."""
        goal = len(self.traffic.answered) + more
        return await self.until(lambda look: look.answers >= goal, f"{more} labelled answers")

    def look(self) -> Look:
        """Ask the gateway and the learner. Blocks. Raises RuntimeError where the gateway does not answer."""
        from gateway.learning.folder import Folder

        found = self.gateway.ask(f"/api/v1/models/{MODEL}")
        drift = self.gateway.ask(f"/api/v1/models/{MODEL}/drift")["versions"]
        rollout = found["rollout"] or {}
        baseline = found["route"]["baseline"]
        said = Folder(self.learner).said() or {}
        return Look(
            round(self.traffic.seconds, 2), len(self.traffic.answered), self.traffic.right(LAST),
            found["route"]["split"], baseline, rollout.get("phase", ""),
            str(rollout["candidates"][0]["version"]) if rollout else "", rollout.get("reason", ""),
            tuple(f"version {each['version']}: {text}" for each in drift for text in each["reasons"]),
            said.get("decision", ""),
        )  # fmt: skip

    def _compare(self, look: Look) -> None:
        """Note what is new since the last look."""
        before = self.looks[-1] if self.looks else None
        if look.drift and not (before and before.drift):
            self.note("drift", look.drift[0])
        if look.gate_holds and not (before and before.gate_holds):
            self.note("gate", look.learner)
        if look.phase and (before is None or (look.phase, look.split) != (before.phase, before.split)):
            self.note("rollout", f"version {look.candidate} {look.phase}, {weights(look.split)}: {look.reason}")


@contextlib.asynccontextmanager
async def staged(
    models: Path, world: World, *, rate: float, delay: float, step_seconds: int, tell: Callable[[Look | Moment], None]
) -> AsyncIterator[Stage]:
    """Start all parts and take them away again. Raises RuntimeError where one does not start, or failed meanwhile."""
    with tempfile.TemporaryDirectory(prefix="gateway-demo-") as home:
        await asyncio.to_thread(_furnish, Path(home), models, world, step_seconds)
        with running(Path(home), *FLAGS) as gateway, _learner(Path(home), gateway) as learner:
            stage = Stage(gateway, learner, LabelledTraffic(Address(*gateway.door), world, rate, delay), world, tell)
            async with _callers(stage.traffic):
                yield stage


def _furnish(home: Path, models: Path, world: World, step_seconds: int) -> None:
    shutil.copytree(models / MODEL / "1", home / "models" / MODEL / "1")
    (home / "routes").mkdir()
    (home / "routes" / f"{MODEL}.yaml").write_text(ROUTE)
    classes = ", ".join(map(str, range(CLASSES)))
    (home / "learner.yaml").write_text(LEARNER.format(model=MODEL, classes=classes, seconds=step_seconds))
    write_table(world, home / "rows.csv")
    evaluate = ["models", "evaluate", MODEL, "--versions", "1", "--target", "target"]
    places = ["--models", f"{home}/models", "--data", f"{home}/rows.csv"]
    done = subprocess.run(
        [sys.executable, "-m", "gateway", *evaluate, *places],
        env=environment_without_settings(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"version 1 could not be evaluated: {done.stderr[-1000:]}")


@contextlib.contextmanager
def _learner(home: Path, gateway: DemoGateway) -> Iterator[Path]:
    """Run the learner; yield its directory. Raises RuntimeError where it ended before it was told to."""
    words = [MODEL, "--learner", f"{home}/learner.yaml", "--models", f"{home}/models"]
    places = ["--state-dir", f"{home}/state", "--url", gateway.admin]
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway", "learn", *words, *places],
        env=environment_without_settings(), stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield home / "state" / "learning" / MODEL
    finally:
        ended = process.poll()
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=STOP_SECONDS)[1]
    if ended is not None:
        raise RuntimeError(f"the learner ended with {ended}: {said[-1000:]}")


@contextlib.asynccontextmanager
async def _callers(traffic: LabelledTraffic) -> AsyncIterator[None]:
    stop = asyncio.Event()
    tasks = [asyncio.create_task(traffic.ask(stop)), asyncio.create_task(traffic.label(stop))]
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*tasks)
