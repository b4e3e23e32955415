"""Each command, as an operator types it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from gateway.core.feedback import Fact, Prediction, fields_of
from gateway.ports.labels import Served
from tests.control.fakes import FAILED, FIVE_FLOATS, LOADING, READY, UNAVAILABLE, House

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from gateway.core.versions import VersionState
    from tests.cli.conftest import Terminal


def test_the_models_are_listed_for_people_and_for_scripts(routed: Terminal) -> None:
    people, scripts = routed.run("models", "list"), routed.run("models", "list", "--json")

    assert people.out.splitlines()[0].split() == ["MODEL", "READY", "REVISION", "SPLIT", "VERSIONS"]
    assert "1=95 2=5" in people.out
    assert json.loads(scripts.out)["models"][0]["name"] == "fraud"


def test_a_list_says_when_the_store_is_away(routed: Terminal, house: House) -> None:
    house.store.stop()

    result = routed.run("models", "list")

    assert (result.code, "served last" in result.err) == (0, True)


def test_versions_are_listed_with_their_reasons(routed: Terminal, house: House) -> None:
    house.workers.say("fraud", 3, FAILED, "sha256 differs")

    result = routed.run("versions", "list", "fraud")

    assert "sha256 differs" in result.out
    assert result.out.splitlines()[1].split()[:4] == ["1", "READY", "95", "2/2"]


def test_one_version_is_shown_with_its_signature(terminal: Terminal) -> None:
    assert "X FP32 [-1, 4]" in terminal.run("versions", "show", "fraud", "1").out


def test_hostile_text_cannot_steer_the_terminal(terminal: Terminal, house: House) -> None:
    house.workers.say("fraud", 3, FAILED, "\x1b[2J\nREADY")

    result = terminal.run("versions", "list", "fraud")

    assert "\x1b" not in result.out
    assert "\\x1b[2J\\x0aREADY" in result.out


def test_weights_are_set_and_answered_with_the_revision(routed: Terminal) -> None:
    result = routed.run("weights", "set", "fraud", "1=90", "2=10", "--reason", "more")

    assert (result.code, result.out) == (0, "fraud is at revision 2: 1=90 2=10\n")
    assert "more" in routed.run("routes", "history", "fraud").out


def test_weights_can_be_bound_to_a_revision(routed: Terminal) -> None:
    stale = routed.run("weights", "set", "fraud", "1=1", "--if-match", "7")
    current = routed.run("weights", "set", "fraud", "1=1", "--if-match", "1")

    assert (stale.code, current.code) == (1, 0)
    assert "revision 1" in stale.err


def test_a_refusal_is_one_sentence_on_stderr(routed: Terminal, house: House) -> None:
    house.workers.say("fraud", 3, READY, signature=FIVE_FLOATS)

    result = routed.run("weights", "set", "fraud", "1=1", "3=1")

    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("gateway: split.3: version 3 cannot share a route with")
    assert len(result.err.splitlines()) == 1


def test_a_route_is_shown_as_a_file_that_can_be_applied(routed: Terminal, tmp_path: Path) -> None:
    shown = routed.run("routes", "show", "fraud").out
    (tmp_path / "again.yaml").write_text(shown, encoding="utf-8")

    result = routed.run("routes", "apply", "-f", str(tmp_path / "again.yaml"))

    assert shown.startswith("# revision 1\nmodel: fraud\n")
    assert (result.code, result.err) == (0, "nothing differs\n")


def test_routes_are_listed(routed: Terminal) -> None:
    people, scripts = routed.run("routes", "list"), routed.run("routes", "list", "--json")

    assert people.out.splitlines()[1].split() == ["fraud", "1", "1=95", "2=5", "random", "0", "1"]
    assert json.loads(scripts.out)[0]["route"]["split"] == {"1": 95, "2": 5}


def test_the_history_is_a_table_newest_first(routed: Terminal) -> None:
    routed.run("weights", "set", "fraud", "1=1")

    lines = routed.run("routes", "history", "fraud").out.splitlines()

    assert [line.split()[0] for line in lines] == ["REVISION", "2", "1"]


def test_an_explanation_takes_what_else_the_request_holds(terminal: Terminal, tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(
        'model: fraud\nsplit: {"1": 1}\nrules: [{when: {"header:x-tenant": acme}, split: {"3": 1}}]\n', encoding="utf-8"
    )
    terminal.run("routes", "apply", "-f", str(path))

    result = terminal.run("routes", "explain", "fraud", "ann", "--with", "header:x-tenant=acme", "--json")

    assert json.loads(result.out)["version"] == "3"


def test_an_explanation_names_the_shadows_and_their_percent(terminal: Terminal, tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text('model: fraud\nsplit: {"1": 1}\nshadow: {"2": 20, "3": 100}\n', encoding="utf-8")
    terminal.run("routes", "apply", "-f", str(path))

    lines = terminal.run("routes", "explain", "fraud", "ann").out.splitlines()
    shown = terminal.run("routes", "show", "fraud").out

    assert ["copied", "2=20%", "3=100%"] in [line.split() for line in lines]
    assert "shadow" in shown


def test_a_revision_is_restored(routed: Terminal) -> None:
    routed.run("weights", "set", "fraud", "2=1")

    result = routed.run("routes", "restore", "fraud", "1")

    assert (result.code, result.out) == (0, "fraud is restored, now at revision 3: 1=95 2=5\n")


def test_a_wiped_store_is_restored_without_a_revision(terminal: Terminal, house: House) -> None:
    house.snapshot.keep("fraud", {"1": 90, "2": 10})

    assert terminal.run("routes", "restore", "fraud").out.endswith("revision 1: 1=90 2=10\n")


def test_a_restore_with_nothing_before_is_refused(routed: Terminal) -> None:
    assert routed.run("routes", "restore", "fraud").code == 1


def test_applying_a_directory_changes_what_differs(routed: Terminal, tmp_path: Path, house: House) -> None:
    house.on_disk["digits"] = {1}
    routes = tmp_path / "routes"
    routes.mkdir()
    (routes / "fraud.yaml").write_text('model: fraud\nsplit: {"1": 90, "2": 10}\n', encoding="utf-8")
    (routes / "digits.yaml").write_text("model: digits\nsplit: {1: 1}\n", encoding="utf-8")

    result = routed.run("routes", "apply", "-f", str(routes), "--reason", "from git")

    assert result.code == 0
    assert "-  '1': 95\n" in result.out
    assert "+  '1': 90\n" in result.out
    assert sorted(result.err.splitlines()) == ["digits is at revision 1", "fraud is at revision 2"]


def test_a_dry_run_shows_the_difference_and_changes_nothing(routed: Terminal, tmp_path: Path) -> None:
    path = tmp_path / "fraud.yaml"
    path.write_text('model: fraud\nsplit: {"1": 90, "2": 10}\n', encoding="utf-8")

    result = routed.run("routes", "apply", "-f", str(path), "--dry-run")

    assert (result.code, "+  '1': 90" in result.out) == (0, True)
    assert routed.run("routes", "show", "fraud").out.startswith("# revision 1\n")


def test_a_dry_run_says_what_would_be_refused_and_why(routed: Terminal, house: House, tmp_path: Path) -> None:
    house.workers.say("fraud", 3, READY, signature=FIVE_FLOATS)
    path = tmp_path / "fraud.yaml"
    path.write_text('model: fraud\nsplit: {"1": 90, "3": 10}\n', encoding="utf-8")

    told = routed.run("routes", "apply", "-f", str(path), "--dry-run")
    scripted = routed.run("routes", "apply", "-f", str(path), "--dry-run", "--json")

    assert told.code == scripted.code == 1
    assert "+  '1': 90" in told.out
    assert "1 of 1 routes would be refused: fraud: split.3: version 3 cannot share a route" in told.err
    assert "publish it with" in json.loads(scripted.out)[0]["refused"]
    assert routed.run("routes", "show", "fraud").out.startswith("# revision 1\n")


def test_an_alias_is_shown_as_a_difference_and_goes_there_and_back(routed: Terminal, tmp_path: Path) -> None:
    path = tmp_path / "fraud.yaml"
    path.write_text('model: fraud\nsplit: {"1": 95, "2": 5}\naliases: {on: "2", "10": 1}\n', encoding="utf-8")

    applied = routed.run("routes", "apply", "-f", str(path))
    path.write_text(routed.run("routes", "show", "fraud").out, encoding="utf-8")

    assert "+  'on': '2'\n" in applied.out
    assert routed.run("routes", "diff", "-f", str(path), "--exit-code").code == 0


def test_a_broken_file_stops_the_whole_apply(routed: Terminal, tmp_path: Path) -> None:
    routes = tmp_path / "routes"
    routes.mkdir()
    (routes / "a.yaml").write_text('model: fraud\nsplit: {"1": 1}\n', encoding="utf-8")
    (routes / "b.yaml").write_text('model: digits\nsplit: {"1": 1, "1": 2}\n', encoding="utf-8")

    result = routed.run("routes", "apply", "-f", str(routes))

    assert (result.code, "b.yaml" in result.err) == (1, True)
    assert routed.run("routes", "show", "fraud").out.startswith("# revision 1\n")


def test_a_route_that_is_refused_does_not_stop_the_others(routed: Terminal, tmp_path: Path, house: House) -> None:
    house.on_disk["digits"] = {1}
    routes = tmp_path / "routes"
    routes.mkdir()
    (routes / "a.yaml").write_text("model: digits\nsplit: {1: 1, 9: 1}\n", encoding="utf-8")
    (routes / "b.yaml").write_text('model: fraud\nsplit: {"1": 1}\n', encoding="utf-8")

    result = routed.run("routes", "apply", "-f", str(routes))

    assert (result.code, "1 of 2 routes were refused: digits" in result.err) == (1, True)
    assert routed.run("routes", "show", "fraud").out.startswith("# revision 2\n")


def test_garbage_in_the_store_is_replaced_by_what_a_file_says(routed: Terminal, tmp_path: Path, house: House) -> None:
    house.store._hashes["fraud"]["revision"] = b"garbage"
    path = tmp_path / "fraud.yaml"
    path.write_text('model: fraud\nsplit: {"1": 1}\n', encoding="utf-8")

    result = routed.run("routes", "apply", "-f", str(path))

    assert (result.code, routed.run("routes", "show", "fraud").code) == (0, 0)


def meanwhile(monkeypatch: pytest.MonkeyPatch, house: House, state: VersionState, reason: str = "") -> None:
    """While the command waits for its next look, all workers come to report *state* of version 3."""

    def passes(_seconds: float) -> None:
        house.workers.say("fraud", 3, state, reason)

    monkeypatch.setattr("gateway.cli.versions.sleep", passes)


def test_loading_waits_until_the_version_is_ready(
    terminal: Terminal, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.workers.say("fraud", 3, LOADING)
    meanwhile(monkeypatch, house, READY)

    result = terminal.run("versions", "load", "fraud", "3")

    assert (result.code, result.out) == (0, "version 3 of fraud is READY on 2/2 workers\n")
    assert "LOADING" in result.err


def test_loading_ends_with_the_reason_of_a_failure(
    terminal: Terminal, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.workers.say("fraud", 3, LOADING)
    meanwhile(monkeypatch, house, FAILED, "sha256 differs")

    result = terminal.run("versions", "load", "fraud", "3")

    assert (result.code, "sha256 differs" in result.err) == (1, True)


def test_an_old_failure_is_not_taken_for_the_answer_to_a_new_order(
    terminal: Terminal, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.workers.say("fraud", 3, FAILED, "sha256 differs")
    meanwhile(monkeypatch, house, READY)

    assert terminal.run("versions", "load", "fraud", "3").code == 0


def test_loading_gives_up_after_its_timeout(terminal: Terminal, house: House) -> None:
    house.workers.say("fraud", 3, UNAVAILABLE, "unloaded by operator")

    result = terminal.run("versions", "load", "fraud", "3", "--timeout", "0.1")

    assert (result.code, "still UNAVAILABLE" in result.err) == (1, True)


def test_unloading_what_is_needed_is_refused(routed: Terminal) -> None:
    refused, taken = routed.run("versions", "unload", "fraud", "2"), routed.run("versions", "unload", "fraud", "3")

    assert (refused.code, "weight 5" in refused.err, taken.code) == (1, True, 0)


def test_a_name_with_a_slash_is_asked_for_as_one_name(terminal: Terminal) -> None:
    result = terminal.run("routes", "show", "../../../metrics")

    assert (result.code, "Not Found" in result.err) == (1, True)


def test_a_command_finds_the_gateway_by_its_flags(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_URL", "http://127.0.0.1:1")

    assert terminal.run("models", "list", "--url", terminal.url).code == 0


def test_the_quality_of_a_model_is_shown_for_people_and_for_scripts(routed: Terminal, house: House) -> None:
    none = routed.run("models", "quality", "fraud")

    async def label() -> None:
        await house.store.remember("fraud", [Served("a", 1, b"p")], ttl_seconds=60)
        await house.store.label("fraud", "a", "label", "1", {"1|labelled": 1, "1|classed": 1, "1|correct": 1})

    asyncio.run(label())

    people, scripts = routed.run("models", "quality", "fraud"), routed.run("models", "quality", "fraud", "--json")

    assert "/v2/models/fraud/feedback" in none.err
    assert people.out.splitlines()[1].split()[:3] == ["1", "1", "1.0000"]
    assert "of fewer than 100 labels, too few to be trusted: version 1" in people.err
    assert json.loads(scripts.out)["versions"][0]["windows"]["all"]["accuracy"] == 1.0


def test_a_version_with_enough_labels_is_not_called_too_little_known(routed: Terminal, house: House) -> None:
    asyncio.run(house.store.remember("fraud", [Served("a", 1, b"p")], ttl_seconds=60))
    asyncio.run(house.store.label("fraud", "a", "label", "1", {"1|labelled": 100, "1|classed": 100}))

    shown = routed.run("models", "quality", "fraud")

    assert (shown.err, shown.out.splitlines()[1].split()[:3]) == ("", ["1", "100", "0.0000"])


def test_quality_is_shown_by_rule_by_class_and_by_confidence(routed: Terminal, house: House) -> None:
    said = Prediction(2, 1, "rule-1", classes=("0",), chances=((0.75, 0.25),))

    async def label() -> None:
        await house.store.remember("fraud", [Served("a", 2, said.encoded())], ttl_seconds=60)
        await house.store.label("fraud", "a", "label", "0", fields_of(said, Fact("a", "label", ("0",)), 1.5))

    asyncio.run(label())

    shown = {part: routed.run("models", "quality", "fraud", "--by", part) for part in ("rule", "class", "confidence")}
    by = {part: result.out for part, result in shown.items()}

    assert by["rule"].splitlines()[1].split() == ["2", "rule-1", "1", "1.0000", "0.2877", "0.1250", "-", "-", "1.5000"]
    assert "too few to be trusted: version 2 by rule-1" in shown["rule"].err
    assert by["class"].splitlines()[1].split() == ["2", "0", "1", "1.0000", "1.0000", "1.0000"]
    assert by["confidence"].splitlines()[1].split() == ["2", "0.7500", "1", "1.0000"]
