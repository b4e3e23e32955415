"""`gateway recordings` and `gateway models replay` at the prompt."""

from __future__ import annotations

import json
import shutil
import stat
from typing import TYPE_CHECKING, Any

import pytest

from gateway.recordings.files import RecordingFiles
from tests.engine.graphs import FLOAT, graph, node, value, weights

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Terminal
    from tests.control.fakes import House

pytestmark = pytest.mark.timeout(300)  # each version is asked in a process of its own


def line(number: int, *, said: float, served: str = "1", **more: Any) -> bytes:
    """Return a recorded request of one row and the answer that it got."""
    body = {
        "id": f"r-{number}",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [number, 0.0]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 2], "data": [said, 0.0]}],
        "version": served,
        "redacted": False,
        **more,
    }
    return json.dumps(body).encode() + b"\n"


def times(factor: float) -> bytes:
    """Return a graph that multiplies what it gets."""
    return graph(
        node("Mul", ["x", "f"], ["y"]),
        inputs=[value("x", FLOAT, ["n", 2])],
        outputs=[value("y", FLOAT, ["n", 2])],
        tensors=[weights("f", [factor], [1])],
    )


@pytest.fixture
def house(house: House, tmp_path: Path) -> House:
    house.recordings = RecordingFiles(tmp_path / "recordings")
    lines = [line(number, said=2.0 * number) for number in range(10)]
    house.recordings.append("fraud", lines, keep_seconds=3600, max_bytes=8 << 20)
    return house


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory: version 1 doubles, version 2 does nearly, version 3 crashes nobody and triples."""
    for version, factor in ((1, 2.0), (2, 2.001), (3, 3.0)):
        directory = tmp_path / "models" / "fraud" / str(version)
        directory.mkdir(parents=True)
        (directory / "model.onnx").write_bytes(times(factor))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_recordings_are_listed_exported_and_deleted(terminal: Terminal, here: Path) -> None:
    listed = terminal.run("recordings", "list")
    everything = terminal.run("recordings", "export", "fraud", "--out", "all.jsonl")
    twice = terminal.run("recordings", "export", "fraud", "--out", "all.jsonl")
    deleted = terminal.run("recordings", "delete", "fraud")
    left = json.loads(terminal.run("recordings", "list", "--json").out)

    assert listed.out.splitlines()[1].split()[:2] == ["fraud", "10"]
    assert everything.err == "10 requests of fraud are in all.jsonl\n"
    assert (here / "all.jsonl").read_bytes().splitlines(keepends=True) == [
        line(number, said=2.0 * number) for number in range(10)
    ]
    assert stat.S_IMODE((here / "all.jsonl").stat().st_mode) == 0o600
    assert (twice.code, "--out" in twice.err) == (1, True)
    assert "of fraud are deleted" in deleted.out
    assert left == {"recordings": []}


def test_the_newest_can_be_exported_alone(terminal: Terminal, here: Path) -> None:
    terminal.run("recordings", "export", "fraud", "--last", "2", "--out", "two.jsonl")

    assert [json.loads(each)["id"] for each in (here / "two.jsonl").read_bytes().splitlines()] == ["r-8", "r-9"]


def test_a_model_that_is_nowhere_cannot_be_exported(terminal: Terminal) -> None:
    result = terminal.run("recordings", "export", "ghost")

    assert (result.code, result.out, "ghost" in result.err) == (1, "", True)


@pytest.mark.usefixtures("here")
def test_a_version_that_answers_as_was_recorded_passes(terminal: Terminal) -> None:
    result = terminal.run("models", "replay", "fraud", "--version", "1", "--json")

    report = json.loads(result.out)
    assert (result.code, report["passed"], report["agreed"], report["requests"]) == (0, True, 10, 10)
    assert report["outputs"] == [{"name": "y", "compared": 10, "differ": 0, "largest": 0.0}]
    assert report["served"] == [{"version": "1", "requests": 10, "differ": 0}]
    assert report["latency_ms"]["against"] is None
    assert 0 < report["latency_ms"]["version"]["p50"] <= report["latency_ms"]["version"]["p99"]


@pytest.mark.usefixtures("here")
def test_a_version_that_answers_otherwise_fails_and_says_where(terminal: Terminal) -> None:
    result = terminal.run("models", "replay", "fraud", "--version", "3")

    assert result.code == 1
    assert "1 of 10 requests agree, 10 % (100 % wanted)" in result.out, "three times nothing is twice nothing"
    assert "r-9" in result.out
    assert "output 'y' differs by 0.5 at [0, 0], 0.0001 is allowed: 18 was recorded, 27 came" in result.out


@pytest.mark.usefixtures("here")
def test_a_tolerance_and_a_share_decide_the_exit_code(terminal: Terminal) -> None:
    strict = terminal.run("models", "replay", "fraud", "--version", "2", "--against", "1")
    near = terminal.run("models", "replay", "fraud", "--version", "2", "--against", "1", "--tolerance", "0.01")
    some = terminal.run("models", "replay", "fraud", "--version", "3", "--against", "1", "--agree", "10")

    assert (strict.code, near.code, some.code) == (1, 0, 0)
    assert "version 2 of fraud against version 1" in near.out


def test_a_file_is_replayed_without_a_gateway(here: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_URL", "http://127.0.0.1:1")
    other = {"inputs": [{"name": "z", "datatype": "FP32", "shape": [1], "data": [1]}]}
    (here / "requests.jsonl").write_bytes(line(1, said=2.0) + b"\n" + json.dumps(other).encode())

    result = terminal.run("models", "replay", "fraud", "--version", "1", "--from", "requests.jsonl", "--json")

    report = json.loads(result.out)
    assert (result.code, report["agreed"], report["unanswered"]) == (1, 1, 1)
    (difference,) = report["differences"]
    assert (difference["line"], "no such input" in difference["what"]) == (3, True)


def test_recorded_answers_to_hidden_inputs_are_not_compared(here: Path, terminal: Terminal) -> None:
    (here / "requests.jsonl").write_bytes(line(1, said=9.0, redacted=True))
    words = ("models", "replay", "fraud", "--version", "1", "--from", "requests.jsonl")

    alone, beside = terminal.run(*words), terminal.run(*words, "--against", "2", "--tolerance", "0.1")

    assert (alone.code, "--against" in alone.err) == (1, True)
    assert beside.code == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "holds no requests"),
        (b"{}\n", "requests.jsonl: line 1 has no inputs"),
        (b"hello\n", "requests.jsonl: line 1 is no JSON"),
        (line(1, said=1.0, outputs=[]), "--against"),
    ],
)
def test_what_is_no_recording_is_said_in_words(here: Path, terminal: Terminal, content: bytes, said: str) -> None:
    (here / "requests.jsonl").write_bytes(content)

    result = terminal.run("models", "replay", "fraud", "--version", "1", "--from", "requests.jsonl")

    assert (result.code, result.out) == (1, "")
    assert said in result.err


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("words", [["--version", "9"], ["--version", "1", "--against", "9"], ["--version", "0"]])
def test_a_version_that_is_not_there_is_wrong_usage(terminal: Terminal, words: list[str]) -> None:
    assert terminal.run("models", "replay", "fraud", *words).code == 2


def test_a_version_that_cannot_be_loaded_is_a_sentence(here: Path, terminal: Terminal) -> None:
    shutil.rmtree(here / "models" / "fraud" / "2")
    (here / "models" / "fraud" / "2").mkdir()
    (here / "models" / "fraud" / "2" / "model.onnx").write_bytes(b"no model")

    result = terminal.run("models", "replay", "fraud", "--version", "2")

    assert (result.code, result.out) == (1, "")
    assert "version 2 of fraud: it cannot be loaded" in result.err
