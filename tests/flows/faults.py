"""One fault for every alert, staged on a real gateway: what breaks, how it is mended, and whom the alert names.

Each fault has models of its own, so that what one breaks does not fire the alert of another.
"""

from __future__ import annotations

import concurrent.futures
import http.client
import itertools
import os
import shutil
import signal
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from redis import Redis

from gateway.cli.main import main
from gateway.core.anomalies import LEAST_HISTORY, NEWEST, WINDOW_SECONDS
from gateway.store.keys import route_key
from tests.engine import killers
from tests.flows.gateway_process import ROOT, eventually
from tests.flows.models import busy, crashing, publish, repository, request, route_file, tagged
from tests.flows.test_killers import SMALLEST, integers
from tests.flows.test_rollouts import store_url

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from tests.flows.gateway_process import Gateway
    from tests.flows.prometheus import Webhook

CANCER: Final = "breast-cancer"
STARTED_SECONDS: Final = 15.0
GOOD: Final = request([0, 0])
BAD: Final = request([5, 5])
"""What ``crashing`` fails over."""

HALVES: Final = 'split: {"1": 50, "2": 50}\nassign: {by: random}\nbaseline: "1"'
ON_1: Final = 'split: {"1": 100}\nbaseline: "1"'
PLAN: Final[dict[str, Any]] = {
    "candidate": "2", "steps": [{"weight": 50, "for": "10m"}],
    "guards": {"errors": {"certify": "0.5%"}, "invalid": {}},
}  # fmt: skip
MAX_QUEUE: Final = 4


@dataclass(slots=True)
class Stage:
    """The gateway that is to break. *notified*: whom it tells of its decisions; *frozen*: the process of its store."""

    gateway: Gateway
    notified: Webhook
    rows: Iterator[Sequence[float]]
    frozen: int = 0
    started: float = field(default_factory=time.monotonic)

    def ask(self, model: str, body: object = GOOD, version: str = "", **headers: str) -> int:
        """Ask one model once and return the status, 0 where the worker died over it."""
        pinned = f"/versions/{version}" if version else ""
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        try:
            return self.gateway.ask("POST", f"/v2/models/{model}{pinned}/infer", body, named).status
        except (OSError, http.client.HTTPException):
            return 0

    def roll_out(self, model: str) -> None:
        """Start a rollout of version 2 and wait for its first step."""
        rollouts = f"/api/v1/models/{model}/rollouts"
        answer = self.gateway.ask_admin("POST", rollouts, PLAN, if_match="*")
        assert answer.status == 201, answer.body

        def phase() -> str:
            return str(self.gateway.ask_admin("GET", f"{rollouts}/current").json()["phase"])

        eventually(lambda: phase() == "step", STARTED_SECONDS, f"the rollout of {model} has its first step")


def _nothing(_: Stage) -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True)
class Fault:
    """*wait* returns when it is time for it; *begin* breaks something; *go_on* is done again and again.

    *alerts*: name → labels; *mend* is called when all were told. *within*: seconds that this may take.
    """

    what: str
    alerts: Mapping[str, Mapping[str, str]]
    wait: Callable[[Stage], None] = _nothing
    begin: Callable[[Stage], None] = _nothing
    go_on: Callable[[Stage], None] = _nothing
    mend: Callable[[Stage], None] = _nothing
    within: float = 90.0


CONTENTS: Final[Mapping[str, Callable[[], Sequence[bytes]]]] = {
    "fails": lambda: [killers.divided()],
    "falls": lambda: [tagged(1), crashing(2)],
    "canary": lambda: [tagged(1), crashing(2)],
    "paused": lambda: [tagged(1), tagged(2)],
    "silent": lambda: [tagged(1), tagged(2)],
    "told": lambda: [tagged(1), tagged(2)],
    "refused": lambda: [tagged(1)],
    "shadowed": lambda: [tagged(1), crashing(2)],
    "unusual": lambda: [tagged(1)],
    "slow": lambda: [busy(1, 20_000)],
    "divide": lambda: [killers.divided()],
    "huge": lambda: [killers.unstoppable()],
}
"""Model → its versions."""
ROUTES: Final = {
    "canary": ON_1, "paused": ON_1, "silent": ON_1, "told": ON_1, "refused": ON_1, "falls": HALVES,
    "shadowed": f'{ON_1}\nshadow: {{"2": 100}}',
}  # fmt: skip


def lay_out(directory: Path, wanted: Collection[str]) -> tuple[Path, Path]:
    """Return a repository and a directory of routes with the *wanted* of CONTENTS, and the echo model.

    Version 1 of the echo model has a latency target, which it keeps, so that what is drawn of that is drawn.
    """
    models, routes = repository(directory / "models", [1, 2]), directory / "routes"
    (models / "echo" / "1" / "metadata.yaml").write_text("serving: {latency_target_ms: 10000}\n")
    for model in wanted:
        for version, content in enumerate(CONTENTS[model](), start=1):
            publish(models, version, content, model=model)
        if model in ROUTES:
            route_file(routes, ROUTES[model], model=model)
    return models, routes


def lay_out_reference(models: Path, directory: Path) -> list[list[float]]:
    """Put a shipped model into *models*, with the reference that its evaluation writes; return the rows of that."""
    from sklearn import datasets

    shutil.copytree(ROOT / "models" / CANCER, models / CANCER)
    frame = datasets.load_breast_cancer(as_frame=True).frame.sample(frac=1.0, random_state=7)
    frame.to_csv(directory / "rows.csv", index=False)
    command = ["models", "evaluate", CANCER, "--versions", "1", "--models", str(models), "--target", "target"]
    assert main([*command, "--data", str(directory / "rows.csv")]) == 0
    return [row[:30] for row in frame.to_numpy().tolist()]


def _fail(stage: Stage) -> None:
    assert stage.ask("fails", integers(1, 0)) == 500


def _overload(stage: Stage) -> None:
    many = 8 * MAX_QUEUE * stage.gateway.workers
    with concurrent.futures.ThreadPoolExecutor(many) as pool:
        list(pool.map(lambda _: stage.ask("slow"), range(many)))


def _fall_back(stage: Stage) -> None:
    assert stage.ask("falls", BAD) == 200


def _roll_back(stage: Stage) -> None:
    assert stage.ask("canary", BAD) == 200


def _pause(stage: Stage) -> None:
    stage.roll_out("paused")
    current = "/api/v1/models/paused/rollouts/current"
    assert stage.gateway.ask_admin("POST", f"{current}/pause", {"reason": "lunch"}, if_match="*").status == 200


def _refuse_notifications(stage: Stage) -> None:
    stage.notified.status = 410
    assert stage.gateway.set_weights("told", {"1": 100, "2": 1}).status == 200


def _ask_otherwise(stage: Stage) -> None:
    for row in itertools.islice(stage.rows, 40):
        tensor = {"name": "input", "shape": [1, 30], "datatype": "FP32", "data": [1.6 * each for each in row]}
        assert stage.ask(CANCER, {"inputs": [tensor]}, version="1") == 200


def _write_nonsense(stage: Stage) -> None:
    with Redis.from_url(store_url(stage.gateway)) as store:
        store.hset(route_key("refused"), mapping={"revision": 9, "document": "{"})


def _publish_nonsense(stage: Stage) -> None:
    publish(stage.gateway.models, 2, b"no model", model="missing")
    publish(stage.gateway.models, 1, model="missing")


def _crash(stage: Stage) -> None:
    assert stage.ask("divide", integers(SMALLEST, -1)) == 0


def _kill_a_worker(stage: Stage) -> None:
    gateway, victim = stage.gateway, stage.gateway.worker_pids()[0]
    os.kill(victim, signal.SIGKILL)
    is_replaced = lambda: len({*gateway.worker_pids()} - {victim}) == gateway.workers  # noqa: E731 - asked once
    eventually(is_replaced, STARTED_SECONDS, "it is replaced")


def _hang(stage: Stage) -> None:
    """Ask for ever larger matrices: the first runs that take too long are moved to a thread, where one can be stuck."""
    for width in (400, 2500, 3500, 4500):
        stage.ask("huge", killers.width_request(width), x_request_timeout_ms="400" if width == 4500 else "9000")


def _throttle(stage: Stage) -> None:
    """Let a worker run for a moment now and then, as a machine does that is far too busy."""
    victim = stage.gateway.worker_pids()[0]
    os.kill(victim, signal.SIGSTOP)
    time.sleep(0.6)
    os.kill(victim, signal.SIGCONT)
    time.sleep(0.05)


def _freeze_store(stage: Stage) -> None:
    stage.frozen = stage.gateway.store_pid()
    os.kill(stage.frozen, signal.SIGSTOP)


def _thaw_store(stage: Stage) -> None:
    if stage.frozen:
        os.kill(stage.frozen, signal.SIGCONT)
        stage.frozen = 0


def _wait_for_a_past(stage: Stage) -> None:
    """Return when the version that nobody asks has been watched for long enough to have something ordinary."""
    past = (LEAST_HISTORY + NEWEST + 2) * WINDOW_SECONDS
    time.sleep(max(0.0, stage.started + STARTED_SECONDS + past - time.monotonic()))


def _flood(stage: Stage) -> None:
    for _ in range(10):
        assert stage.ask("unusual") == 200
    time.sleep(0.2)


def _of(model: str, version: str = "1", **others: str) -> dict[str, str]:
    return {"model": model, "version": version, **others}


FAULTS: Final = (
    Fault(
        "a version fails over its input",
        {"GatewayVersionFailsFast": _of("fails"), "GatewayVersionFailsSlowly": _of("fails")},
        go_on=_fail,
    ),
    Fault("a canary fails and the baseline answers", {"GatewayVersionFallsBack": _of("falls", "2")}, go_on=_fall_back),
    Fault(
        "a canary in a rollout fails",
        {"GatewayRolledBack": {"model": "canary", "reason": "errors"}},
        begin=lambda stage: stage.roll_out("canary"),
        go_on=_roll_back,
    ),
    Fault("somebody pauses a rollout", {"GatewayRolloutWaits": {"model": "paused", "phase": "paused"}}, begin=_pause),
    Fault(
        "a rollout whose model nobody asks",
        {"GatewayEvidenceStalls": {"model": "silent"}},
        begin=lambda stage: stage.roll_out("silent"),
    ),
    Fault(
        "a target refuses notifications for good",
        {"GatewayNotificationsWait": {"target": "ops"}},
        begin=_refuse_notifications,
    ),
    Fault("rows come in other units", {"GatewayDrifted": _of(CANCER)}, go_on=_ask_otherwise),
    Fault(
        "somebody writes nonsense into the store",
        {"GatewayRouteRefused": {"reason": "digest_mismatch"}},
        begin=_write_nonsense,
    ),
    Fault(
        "a version is published that is no model",
        {"GatewayVersionMissing": _of("missing", "2")},
        begin=_publish_nonsense,
    ),
    Fault("an input kills a worker", {"GatewayWorkerCrashes": _of("divide")}, begin=_crash),
    Fault("workers are killed in a loop", {"GatewayWorkersDie": {}}, go_on=_kill_a_worker),
    Fault("more requests than a queue holds", {"GatewayOverloaded": _of("slow")}, go_on=_overload),
    Fault("a run that cannot be stopped", {"GatewayVersionStuck": _of("huge")}, go_on=_hang, within=120),
    Fault("a worker gets no processor", {"GatewayWorkerLags": {}}, go_on=_throttle),
    Fault(
        "the store is frozen",
        {"GatewayStoreDown": {}, "GatewayRoutesStale": {}},
        begin=_freeze_store,
        mend=_thaw_store,
        within=120,
    ),
    Fault(
        "traffic that never was",
        {"GatewayVersionUnusual": _of("unusual", series="traffic")},
        wait=_wait_for_a_past,
        go_on=_flood,
    ),
    Fault("all gateways are down", {"GatewayGone": {}}, begin=lambda stage: stage.gateway.close()),
)
"""In the order in which they are staged: those that hurt the whole gateway last."""
