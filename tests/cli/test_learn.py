"""``gateway learn``, as an operator types it: what it says of itself, what it is told, and why it does not start."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

from gateway.cli import learn
from gateway.cli.client import Answer, Client
from gateway.cli.learning_admin import ClientAdmin
from gateway.cli.main import main
from gateway.control.admin import create_admin
from gateway.core.drift_counts import Sample
from gateway.core.phases import Phase
from gateway.learning.admin import GatewayAway, RolloutRefused, Seen
from gateway.learning.folder import PAUSED, RESET, Folder
from gateway.store.embedded import EmbeddedServer, embedded_url
from gateway.store.server_binary import find_server
from tests.control.fakes import no_metrics
from tests.control.rollout_house import RolloutHouse
from tests.control.test_anomalies import DIGEST, REFERENCE, WatchedHouse
from tests.learning.world import PLAN, World

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.cli.conftest import Terminal

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "routing_configs" / "learners" / "breast-cancer.yaml"
MODEL = "breast-cancer"


@pytest.fixture
def house() -> RolloutHouse:
    return RolloutHouse()


def learned(state: Path, **members: Any) -> World:
    """Return a world whose learner ran below the state directory *state*, as the one of the model points."""
    world = World(state, **members)
    world.folder = Folder(state / "learning" / "points")
    world.folder._make()
    world.label(100)
    asyncio.run(_once(world))
    return world


async def _once(world: World) -> None:
    await world.learn()


def test_the_status_says_what_was_learned_and_how_it_compares(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    learned(tmp_path)

    assert main(["learn", "points", "status", "--state-dir", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert main(["learn", "points", "status", "--state-dir", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)

    assert (found["answers"], found["running"], found["paused"], found["serving"]) == (100, False, False, "1")
    assert "stopped" in shown
    assert "learner less serving" in shown


def test_pause_resume_and_reset_leave_a_word_that_the_learner_finds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = learned(tmp_path).folder

    assert main(["learn", "points", "pause", "--state-dir", str(tmp_path)]) == 0
    assert folder.has(PAUSED)
    assert "paused" in capsys.readouterr().out
    assert main(["learn", "points", "resume", "--state-dir", str(tmp_path), "--dry-run"]) == 0
    assert folder.has(PAUSED), "nothing is written on trial"
    assert main(["learn", "points", "resume", "--state-dir", str(tmp_path)]) == 0
    assert not folder.has(PAUSED)
    assert main(["learn", "points", "reset", "--state-dir", str(tmp_path)]) == 0
    assert folder.has(RESET)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("points", "status"), 1, "no learner has run with"),
        (("../x", "status"), 2, "cannot name a model"),
        ((MODEL,), 2, "run needs --learner FILE"),
        (("points", "--learner", str(EXAMPLE)), 2, "is for the model 'breast-cancer', and not for 'points'"),
        ((MODEL, "--learner", str(EXAMPLE)), 1, "no gateway with a store of its own runs on"),
        ((MODEL, "--learner", "nowhere.yaml"), 1, "nowhere.yaml cannot be read"),
        ((MODEL, "--learner", str(EXAMPLE), "--models", "s3://b/m"), 2, "--models must be a directory"),
    ],
)
def test_a_command_that_cannot_be_meant_is_answered_with_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: int, said: str
) -> None:
    assert main(["learn", *words, "--state-dir", str(tmp_path)]) == code

    assert said in capsys.readouterr().err


# ---- what it asks of the gateway


def test_the_admin_api_says_what_serves_and_what_became_of_a_rollout(terminal: Terminal, house: RolloutHouse) -> None:
    asyncio.run(house.route({"1": 90, "3": 10}))
    admin = ClientAdmin(Client(terminal.url), "fraud")

    before = admin.look()
    admin.start(2, PLAN, "learned")
    under_way = admin.look()

    assert before == Seen(1, None)
    assert under_way.serving == 1
    assert under_way.rollout is not None
    assert (under_way.rollout.phase, under_way.rollout.candidates) == (Phase.PENDING, (2,))
    assert not under_way.rollout.is_over


def test_a_rollout_that_the_gateway_refuses_is_told_from_a_gateway_that_is_away(
    terminal: Terminal, house: RolloutHouse
) -> None:
    asyncio.run(house.route({"1": 100}))

    with pytest.raises(RolloutRefused, match="99"):
        ClientAdmin(Client(terminal.url), "fraud").start(99, PLAN, "learned")
    with pytest.raises(GatewayAway, match="nothing answers"):
        ClientAdmin(Client("http://127.0.0.1:9"), "fraud").look()
    with pytest.raises(GatewayAway, match="nothing answers"):
        ClientAdmin(Client("http://127.0.0.1:9"), "fraud").start(2, PLAN, "learned")
    with pytest.raises(GatewayAway, match=r"unknown|not known"):
        ClientAdmin(Client(terminal.url), "ghost").look()


class InProcess(Client):
    """A client of an admin API in this process."""

    def __init__(self, app: TestClient) -> None:
        super().__init__("http://127.0.0.1:9090")
        self._app = app

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        return Answer(self._app.request(method, path, content=body, headers=headers).json())


def test_the_admin_api_says_what_has_drifted_of_one_version() -> None:
    house = WatchedHouse()
    shifted = Sample(1, DIGEST, REFERENCE.id, 1_000, {"amount": {3: 1_000}})
    usual = Sample(2, DIGEST, REFERENCE.id, 1_000, {"amount": {1: 900, 2: 100}})
    for each in (shifted, usual):
        asyncio.run(house.store.sampled("fraud", each.encoded()))
    asyncio.run(house.boards.tick())
    app = create_admin(house.operations, house.workers, house.door, no_metrics, {}, drift=house.boards)

    with TestClient(app, base_url="http://127.0.0.1:9090", client=("127.0.0.1", 5)) as client:
        admin = ClientAdmin(InProcess(client), "fraud")
        found = [admin.drifted(version) for version in (1, 2, 9)]

    assert [each.partition(":")[0] for each in found[0]] == ["amount"]
    assert found[1:] == [(), ()]
    with pytest.raises(GatewayAway, match="nothing answers"):
        ClientAdmin(Client("http://127.0.0.1:9"), "fraud").drifted(1)


# ---- starting, over a real store and a repository


class Serving:
    """A gateway that serves version 1 of everything."""

    def __init__(self, *_: object) -> None: ...

    def look(self) -> Seen:
        return Seen(1, None)


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What to type for a learner over a real store, an own repository and a gateway that is made up."""
    shutil.copytree(ROOT / "models" / MODEL / "1", tmp_path / "models" / MODEL / "1")
    monkeypatch.setattr("gateway.cli.learning_admin.ClientAdmin", Serving)
    server = EmbeddedServer(tmp_path, find_server(None))
    server.start()
    yield ["learn", MODEL, "--state-dir", str(tmp_path), "--models", str(tmp_path / "models")]
    server.stop()
    assert embedded_url(tmp_path) is None, "a store that was stopped has no address"


def test_a_dry_run_checks_everything_and_writes_no_state(
    started: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*started, "--learner", str(EXAMPLE), "--dry-run"]) == 0

    assert "would begin with 0 rows learned" in capsys.readouterr().out
    assert Folder(tmp_path / "learning" / MODEL).load() is None


def test_a_signal_ends_a_learner_with_nothing_wrong(
    started: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    threading.Timer(1.5, signal.raise_signal, [signal.SIGTERM]).start()

    assert main([*started, "--learner", str(EXAMPLE), "--json"]) == 0

    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (last["running"], last["answers"], last["serving"]) == (False, 0, "1")


@pytest.mark.parametrize(
    ("line", "instead", "said"),
    [
        ("classes: [0, 1] ", "classes: [0, 2] ", "classes: the serving version tells apart 0, 1"),
        ("scale: x", "parameters: {alpha: -1}", "parameters: sgd cannot learn with them"),
        ("scale: x", "parameters: {beta: 1}", "parameters: SGDClassifier takes none of that kind"),
        ("scale: x", "start: gone.skops", "gone.skops cannot be read"),
    ],
)
def test_what_does_not_fit_the_serving_version_is_said_before_anything_is_learned(
    started: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, instead: str, said: str
) -> None:
    text = EXAMPLE.read_text().replace(line, instead)
    path = tmp_path / "learner.yaml"
    path.write_text(text if instead in text else f"{text}{instead}\n")

    assert main([*started, "--learner", str(path)]) == 1

    assert said in capsys.readouterr().err


def test_a_repository_without_the_serving_version_is_not_the_gateways(
    started: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*started, "--learner", str(EXAMPLE), "--models", str(tmp_path)]) == 1

    assert "name the gateway's own repository with --models" in capsys.readouterr().err


def test_every_verb_is_in_the_help() -> None:
    assert all(f"  {verb}" in learn.DESCRIPTION for verb in learn.VERBS if verb != "run")
