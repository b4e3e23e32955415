"""``gateway experiments``: the report for people, for scripts, as a page and as a picture."""

from __future__ import annotations

import asyncio
import json
import re
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import pytest

from gateway.cli.experiment_tables import duration, optimized
from tests.control.test_experiments import serve

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Terminal
    from tests.control.fakes import House


@pytest.fixture
def played(routed: Terminal, house: House) -> Terminal:
    """Version 1 is right in 27 of 30 answers, version 2 in 6 of 10."""

    async def play() -> None:
        await serve(house, 1, 27, 3, revision=1)
        await serve(house, 2, 6, 4, revision=1)

    asyncio.run(play())
    return routed


REPORT = ("experiments", "report", "fraud", "--versions", "1", "2")


def test_a_report_has_rates_and_differences_with_their_intervals(played: Terminal) -> None:
    shown = played.run(*REPORT)

    _, rates, second, _, _, apart = shown.out.splitlines()
    assert re.split(r"\s{2,}", rates)[:4] == ["accuracy", "1", "30", "0.9000"]
    assert re.split(r"\s{2,}", second)[5:] == ["1.0000", "2.0 s"]
    assert re.split(r"\s{2,}", apart)[:2] == ["accuracy", "-0.3000"]
    assert "however often you look" in shown.err


def test_a_report_for_scripts_is_the_answer_of_the_api(played: Terminal) -> None:
    shown = json.loads(played.run(*REPORT, "--apart", "5%", "--json").out)

    assert shown["apart"] == 0.05
    assert shown["metrics"]["accuracy"]["trials"] == [30, 10]


def test_a_page_and_a_picture_load_nothing_and_are_whole(played: Terminal, tmp_path: Path) -> None:
    html, svg = tmp_path / "report.html", tmp_path / "report.svg"

    assert played.run(*REPORT, "--html", str(html), "--plot", str(svg)).code == 0

    picture = ET.fromstring(svg.read_text())
    assert len(picture.findall("{http://www.w3.org/2000/svg}circle")) == 3
    text = html.read_text()
    assert "default-src 'none'" in text
    assert {"Rates", "How far apart", "Assigned by the split"} <= set(re.findall("<h2>(.*?)</h2>", text))
    assert not re.search(r"<(?:script|link|img|iframe)\b|href=|url\(", text)


def test_without_labels_a_report_says_where_to_send_them(routed: Terminal, tmp_path: Path) -> None:
    shown = routed.run(*REPORT, "--html", str(tmp_path / "empty.html"))

    assert (shown.code, shown.out) == (0, "")
    assert "/v2/models/fraud/feedback" in shown.err
    assert "no labels or rewards" in (tmp_path / "empty.html").read_text()


def test_a_split_that_loses_answers_is_called_out(routed: Terminal, house: House) -> None:
    asyncio.run(serve(house, 2, 300, 0, revision=1))
    asyncio.run(serve(house, 1, 100, 0, revision=1))

    assert "not in the proportion of the split" in routed.run(*REPORT).err


def test_what_did_not_assign_by_chance_is_said_to(played: Terminal) -> None:
    shown = played.run(*REPORT, "--rule", "rule-1")

    assert "did not assign by chance" in shown.err
    assert "labels came by: split" in shown.err


def test_a_file_that_cannot_be_written_is_an_error_with_its_name(played: Terminal, tmp_path: Path) -> None:
    refused = played.run(*REPORT, "--plot", str(tmp_path / "no" / "x.svg"))

    assert refused.code == 1
    assert "x.svg" in refused.err


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "-"), (0.0, "0.0 s"), (90, "1.5 min"), (5400, "1.5 h"), (180_000, "2.1 d")]
)
def test_a_time_is_said_in_the_largest_unit_of_which_there_is_one(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_weights_that_follow_labels_are_told_with_their_chances_and_what_is_next() -> None:
    versions = [
        {"version": "1", "share": 0.4, "chance_best": 0.02},
        {"version": "2", "share": 0.6, "chance_best": None},
    ]
    told = {"by": "reward", "every": "1m", "moves": True, "reason": "because", "versions": versions}

    assert optimized(told) == (
        "weights follow reward every 1m: 1 40 % (best with 0.020), 2 60 %; they move with the next look: because"
    )
