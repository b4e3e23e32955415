"""The commands that make and change versions, against a repository in S3 (moto's, on a port of this machine)."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("s3fs", reason="object stores need the `s3` extra")
pytest.importorskip("moto", reason="S3 is played by moto, of the `test` extra")
pytest.importorskip("onnx", reason="ONNX files are built with the `convert` extra")
pytest.importorskip("sklearn", reason="the rows are scikit-learn's")

from sklearn import datasets

from gateway.cli.main import main
from gateway.models.evaluations import has_passed
from gateway.models.golden import golden_of
from gateway.models.metadata import read_metadata
from gateway.models.mirror import Mirror
from gateway.models.objects import ObjectStore
from gateway.models.shared import FILES, publish_shared
from gateway.models.tags import read_tags
from gateway.models.working_copy import ChangedMeanwhile, Fetched
from tests.engine import interfaces
from tests.models.buckets import bucket

if TYPE_CHECKING:
    from collections.abc import Iterator

SHIPPED = Path(__file__).parents[2] / "models"
ROW = json.dumps({"inputs": [{"name": "input", "shape": [1, 30], "datatype": "FP32", "data": [1.0] * 30}]})

pytestmark = pytest.mark.timeout(300)  # versions are asked in processes of their own


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    with bucket() as address:
        yield address


class Town:
    """A repository in a store, and one who runs commands on it."""

    def __init__(self, url: str, here: Path, captured: pytest.CaptureFixture[str]) -> None:
        self.url = url
        self.store = ObjectStore(url)
        self._here = here
        self._captured = captured

    def add(self, model: str, place: Path) -> None:
        publish_shared(
            self.store, model, {each: (place / each).read_bytes() for each in FILES if (place / each).exists()}
        )

    def run(self, *words: str) -> tuple[int, Any]:
        """Return how a command ended, and the JSON it printed."""
        code = main([*words, "--models", self.url, "--json"])
        said = self._captured.readouterr()
        return code, json.loads(said.out) if said.out else said.err

    def place(self, model: str, version: int) -> Path:
        """Return the directory of a version as every gateway has it."""
        root = self._here / "mirror"
        Mirror(self.store, root).refresh()
        return root / model / str(version)


@pytest.fixture
def town(
    s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Town]:
    monkeypatch.chdir(tmp_path)
    built = Town(f"{s3}/{uuid.uuid4().hex}", tmp_path, capsys)
    for version in ("1", "2"):
        built.add("breast-cancer", SHIPPED / "breast-cancer" / version)
    yield built
    assert {each.name for each in tmp_path.iterdir()} <= {"mirror", ".gateway", "rows.csv", "one.jsonl", "gates.yaml"}


def test_a_converted_version_gets_its_number_from_the_store(town: Town) -> None:
    file = SHIPPED / "breast-cancer" / "1" / "model.onnx"

    code, said = town.run(
        "models", "convert", str(file), "--name", "breast-cancer", "--parent", "breast-cancer/2:fine-tuned-from"
    )

    assert (code, said["version"], said["path"]) == (0, "3", f"{town.url}/breast-cancer/3")
    assert read_metadata(town.place("breast-cancer", 3) / "metadata.yaml").parents == (
        "breast-cancer/2:fine-tuned-from",
    )
    assert (town.place("breast-cancer", 3) / "model.onnx").read_bytes() == file.read_bytes()


def test_a_parent_that_is_not_in_the_store_is_refused(town: Town) -> None:
    file = SHIPPED / "breast-cancer" / "1" / "model.onnx"

    code, said = town.run("models", "convert", str(file), "--name", "breast-cancer", "--parent", "breast-cancer/9")

    assert (code, "breast-cancer/9" in said) == (1, True)


def test_golden_requests_are_kept_in_the_store(town: Town) -> None:
    Path("one.jsonl").write_text(ROW)

    code, said = town.run("models", "golden", "breast-cancer", "1", "--from", "one.jsonl")

    assert (code, said["path"]) == (0, f"{town.url}/breast-cancer/1/golden.jsonl")
    assert len(golden_of(town.place("breast-cancer", 1))) == 1


def test_an_evaluation_is_kept_in_the_store_and_every_gateway_finds_it(town: Town) -> None:
    datasets.load_breast_cancer(as_frame=True).frame[:60].to_csv("rows.csv", index=False)
    Path("gates.yaml").write_text("gates: [accuracy >= 80 %]")

    code, _ = town.run(
        "models", "evaluate", "breast-cancer", "--versions", "2", "--data", "rows.csv", "--gates", "gates.yaml"
    )

    place = town.place("breast-cancer", 2)
    assert code == 0
    assert has_passed(place, read_metadata(place / "metadata.yaml").sha256) == (True, "")


def test_an_optimised_child_is_published_in_the_store(town: Town) -> None:
    town.add("digits", SHIPPED / "digits" / "2")
    datasets.load_digits(as_frame=True).frame[:300].to_csv("rows.csv", index=False)

    code, said = town.run(
        "models", "optimize", "digits", "2", "--data", "rows.csv", "--target", "target", "--dynamic-int8"
    )
    missing, why = code, said
    code, said = town.run(
        "models", "optimize", "digits", "1", "--data", "rows.csv", "--target", "target", "--dynamic-int8"
    )

    assert (missing, f"no version 2 of digits in {town.url}" in why) == (2, True)
    assert (code, [each["version"] for each in said["children"]]) == (0, ["2"])
    assert read_metadata(town.place("digits", 2) / "metadata.yaml").parents == ("digits/1:quantised-from",)


def test_an_adapted_child_is_published_in_the_store(town: Town) -> None:
    for content in (interfaces.old(), interfaces.new(shuffled=False)):
        publish_shared(town.store, "risk", {"model.onnx": content})

    code, said = town.run("models", "adapt", "risk", "2", "--to", "1", "--write")

    assert (code, said["published"]) == (0, "3")
    assert read_metadata(town.place("risk", 3) / "metadata.yaml").adapter is not None


def test_versions_in_the_store_are_compared(town: Town) -> None:
    assert town.run("models", "check", "breast-cancer/1", "breast-cancer/2")[0] == 0
    assert town.run("models", "check", "breast-cancer/1", "breast-cancer/7")[0] == 2


def test_tags_are_kept_in_the_store(town: Town) -> None:
    town.run("versions", "tag", "breast-cancer", "2", "stage=production", "owner=risk")
    town.run("versions", "tag", "breast-cancer", "2", "--remove", "owner")

    assert town.run("versions", "tag", "breast-cancer", "2")[1]["tags"] == {"stage": "production"}
    assert read_tags(town.place("breast-cancer", 2)) == {"stage": "production"}
    assert town.run("versions", "tag", "breast-cancer", "9", "a=b")[0] == 2


def test_of_two_who_tag_at_once_none_is_lost(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    send, others = Fetched.send, [b'{"first": "1"}']

    def late(self: Fetched, model: str, version: int, files: list[str]) -> None:
        if others:  # somebody writes between our look and our writing
            assert town.store.create(f"{model}/{version}/tags.json", others.pop())
        send(self, model, version, files)

    monkeypatch.setattr(Fetched, "send", late)

    assert town.run("versions", "tag", "breast-cancer", "1", "second=2")[1]["tags"] == {"first": "1", "second": "2"}


def test_who_never_gets_a_turn_to_tag_is_told(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(self: Fetched, model: str, version: int, files: list[str]) -> None:
        raise ChangedMeanwhile(self.name, model, version, files[0])

    monkeypatch.setattr(Fetched, "send", never)

    code, said = town.run("versions", "tag", "breast-cancer", "1", "a=b")

    assert (code, "run the command again" in said) == (1, True)


def test_old_versions_leave_the_store(town: Town) -> None:
    town.add("breast-cancer", SHIPPED / "breast-cancer" / "2")

    code, said = town.run("models", "prune", "breast-cancer", "--keep", "1", "--offline")

    kept = {key.split("/")[1] for key in town.store.keys()} - {".files"}  # noqa: SIM118 - it is no mapping
    assert (code, {*said["removed"], *said["kept"]}) == (0, {"1", "2", "3"})
    assert kept == set(said["kept"])


def test_a_store_that_is_away_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("ENDPOINT_URL", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.setenv(f"AWS_{name}", "http://127.0.0.1:1")

    assert main(["versions", "tag", "fraud", "1", "a=b", "--models", f"s3://{uuid.uuid4().hex}/models"]) == 1
    assert "does not answer as it should" in capsys.readouterr().err
