"""Recordings over the admin API: who may see how much there is, who may take it away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

from gateway.control.admin import create_admin
from gateway.core.errors import InvalidDocument
from gateway.core.signature import Signature, TensorSpec
from gateway.recordings.files import RecordingFiles
from tests.control.fakes import READY, FakeDoor, House, no_metrics

if TYPE_CHECKING:
    from pathlib import Path

LINES = [b'{"n":%d}\n' % number for number in range(100_000)]
FEW_FLOATS = Signature((TensorSpec("X", "FP32", (-1, 2)),), ())
PATH = "/api/v1/models/fraud/recordings"


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
def files(tmp_path: Path) -> RecordingFiles:
    made = RecordingFiles(tmp_path / "recordings")
    made.append("fraud", [b"".join(LINES)], keep_seconds=3600, max_bytes=1 << 30)
    made.append("gone", LINES[:1], keep_seconds=3600, max_bytes=1 << 30)
    return made


@pytest.fixture
def client(files: RecordingFiles) -> TestClient:
    house = House(FakeDoor())
    app = create_admin(house.operations, house.workers, house.door, no_metrics, {}, recordings=files)
    return TestClient(app, base_url="http://127.0.0.1:9090")


def ask(client: TestClient, method: str, path: str, token: str = "operator") -> Any:
    return client.request(method, path, headers={"authorization": f"Bearer {token}"})


def test_a_viewer_sees_how_much_there_is_and_nothing_of_what(client: TestClient) -> None:
    listed = ask(client, "GET", "/api/v1/recordings", "viewer").json()["recordings"]

    assert [(each["model"], each["requests"]) for each in listed] == [("fraud", len(LINES)), ("gone", 1)]
    assert ask(client, "GET", PATH, "viewer").status_code == 403


def test_an_export_is_what_was_written_in_its_order(client: TestClient) -> None:
    answer = ask(client, "GET", PATH)

    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.content == b"".join(LINES)


def test_what_is_deleted_is_gone_and_the_rest_stays(client: TestClient, files: RecordingFiles) -> None:
    answer = ask(client, "DELETE", PATH)

    assert answer.json() == {"model": "fraud", "deleted_bytes": len(b"".join(LINES))}
    assert [each.model for each in files.recordings()] == ["gone"]


def test_the_recording_of_a_model_that_is_gone_can_be_deleted(client: TestClient, files: RecordingFiles) -> None:
    assert ask(client, "DELETE", "/api/v1/models/gone/recordings").status_code == 200
    assert ask(client, "DELETE", "/api/v1/models/gone/recordings").status_code == 404
    assert [each.model for each in files.recordings()] == ["fraud"]


@pytest.mark.parametrize("model", ["ghost", "hash-key"])
def test_a_model_that_is_nowhere_is_404(client: TestClient, model: str) -> None:
    assert ask(client, "GET", f"/api/v1/models/{model}/recordings").status_code == 404


async def test_hiding_what_the_baseline_does_not_have_is_refused_once(house: House) -> None:
    with pytest.raises(InvalidDocument) as refused:
        await house.route({"1": 1}, record={"percent": 1, "redact": {"X[3]": "hash", "email": "drop"}})
    assert refused.value.field == "record.redact.email"

    await house.route({"1": 1}, record={"percent": 1, "redact": {"X[3]": "hash"}})
    house.workers.say("fraud", 1, READY, signature=FEW_FLOATS)
    assert await house.route({"1": 1, "2": 0}, record={"percent": 1, "redact": {"X[3]": "hash"}}) == 2


@pytest.mark.parametrize(
    ("feedback", "field"),
    [
        ({"inputs": ["email"], "redact": {}}, "feedback.inputs"),
        ({"inputs": "all", "redact": {"X[3]": "hash", "email": "drop"}}, "feedback.redact.email"),
    ],
)
async def test_keeping_what_the_baseline_is_not_asked_is_refused_once(
    house: House, feedback: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidDocument) as refused:
        await house.route({"1": 1}, feedback=feedback)
    assert refused.value.field == field

    kept = {"inputs": ["X"], "redact": {"X[3]": "hash"}}
    await house.route({"1": 1}, feedback=kept)
    house.workers.say("fraud", 1, READY, signature=FEW_FLOATS)
    assert await house.route({"1": 1, "2": 0}, feedback=kept) == 2


def test_a_disk_that_fails_is_503_in_words(tmp_path: Path) -> None:
    (tmp_path / "recordings").mkdir()
    (tmp_path / "recordings" / "fraud").mkdir()
    (tmp_path / "recordings" / "fraud" / "1790000000000-99999999.jsonl").mkdir()
    house = House(FakeDoor())
    files = RecordingFiles(tmp_path / "recordings")
    app = create_admin(house.operations, house.workers, house.door, no_metrics, {}, recordings=files)

    answer = ask(TestClient(app, base_url="http://127.0.0.1:9090"), "GET", "/api/v1/recordings")

    assert answer.status_code == 503
    assert answer.json()["type"].endswith("recordings-unreadable")
