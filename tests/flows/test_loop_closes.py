"""The loop of labels: a world that changes is learned and goes out, and what wrong labels taught is taken back.

Played by ``gateway demo learning`` on real digits, over a real gateway and a real learner. What is asserted here are
the gateway's own records, not what the demo thinks of them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.flows.gateway_process import ROOT

if TYPE_CHECKING:
    from pathlib import Path

for package in ("pandas", "skl2onnx", "skops"):
    pytest.importorskip(package, reason="the learner needs the `convert` extra")

pytestmark = pytest.mark.timeout(400)
LIMIT_SECONDS = 300


def played(picture: Path, *flags: str) -> dict[str, Any]:
    """Play the demo, and return what it told."""
    command = [sys.executable, "-m", "gateway", "demo", "learning", "--json", "--picture", str(picture), *flags]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False)
    assert done.stdout, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    assert (done.returncode, told["came_out"], told["failures"]) == (0, True, 0), told
    return told


def reasons(told: dict[str, Any]) -> list[str]:
    """Return the history's reasons, oldest first."""
    return [entry["reason"] for entry in reversed(told["history"])]


def kinds(told: dict[str, Any]) -> list[str]:
    return [moment["kind"] for moment in told["moments"]]


def test_what_is_learned_of_a_changed_world_is_promoted_and_the_accuracy_recovers(tmp_path: Path) -> None:
    told = played(tmp_path / "loop.svg", "--only", "change", "--rate", "250", "--step-seconds", "1")

    (act,) = told["acts"]
    accuracy, learned = act["accuracy"], act["candidate"]
    assert accuracy["before"] >= 0.9
    assert accuracy["fallen"] <= 0.6
    assert accuracy["recovered"] >= 0.75
    assert accuracy[f"version {learned} on unseen rows"] > accuracy["version 1 on unseen rows"] + 0.5
    assert kinds(told).index("world") < kinds(told).index("drift")
    assert any("of the reference" in moment["text"] for moment in told["moments"] if moment["kind"] == "drift")
    assert {"child": f"digits/{learned}", "parent": "digits/1", "relation": "trained-from"} in told["lineage"]
    assert any(reason.startswith(f"rollout of version {learned}: learned: ") for reason in reasons(told))
    assert told["history"][0]["after"]["split"][learned] == 100
    assert sum(told["labels"].values()) >= told["answers"]
    assert (tmp_path / "loop.svg").read_text().count("<polyline") == 2


@pytest.mark.long
def test_what_wrong_labels_taught_is_held_by_the_gate_and_then_taken_back_by_right_ones(tmp_path: Path) -> None:
    told = played(tmp_path / "loop.svg", "--only", "poison", "--rate", "250", "--step-seconds", "3")

    (act,) = told["acts"]
    assert act["accuracy"][f"version {act['candidate']} on unseen rows"] < 0.6
    assert (act["ended"], act["served_at_the_end"]) == ("rolled_back", "1")
    assert kinds(told).index("gate") < kinds(told).index("rollout")
    assert reasons(told)[-1].startswith("labels: ")
    assert told["history"][0]["after"]["split"] == {"1": 100, act["candidate"]: 0}
    assert {"child": f"digits/{act['candidate']}", "parent": "digits/1", "relation": "trained-from"} in told["lineage"]


@pytest.mark.long
def test_both_one_after_the_other_over_one_gateway(tmp_path: Path) -> None:
    told = played(tmp_path / "loop.svg")

    change, poison = told["acts"]
    assert (change["ended"], poison["ended"]) == ("succeeded", "rolled_back")
    assert poison["served_at_the_end"] == change["candidate"]
    assert told["lineage"][-1]["relation"] == "fine-tuned-from"
