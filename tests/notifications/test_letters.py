"""What a receiver gets: a signature that it can check, and bodies in which what people wrote is text and no more."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest

from gateway.core.notification import Kind, Notification
from gateway.notifications.formats import HEADER_CHARACTERS, TITLES, body_of, title_of
from gateway.notifications.signing import signed

ROLLOUT = {
    "id": "r1", "candidate": "2", "candidates": ["2"], "baseline": "1", "phase": "step", "step": 2, "steps": 3,
    "gate": False,
}  # fmt: skip
SEVERAL = ROLLOUT | {"candidate": None, "candidates": ["2", "3"]}
AT_MS = 1_763_000_000_123


def news(kind: Kind = Kind.ROLLED_BACK, **changes: Any) -> Notification:
    given: dict[str, Any] = {
        "reason": "errors: E 300 of 100", "before": {1: 95, 2: 5}, "after": {1: 100, 2: 0}, "rollout": ROLLOUT,
        "version": 2,
    }  # fmt: skip
    return Notification(kind, "fraud", 9, "gateway", **(given | changes))


def body(kind: str, notification: Notification) -> Any:
    return json.loads(body_of(kind, notification, "id-1", AT_MS))


def test_a_signature_is_that_of_the_standard() -> None:
    """The vector of Standard Webhooks' reference libraries."""
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")

    headers = signed("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}', [secret])

    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_while_one_secret_replaces_another_both_sign() -> None:
    old, new = b"o" * 24, b"n" * 24

    signatures = signed("id-1", 7, b"{}", [old, new])["webhook-signature"].split(" ")

    expected = [hmac.digest(secret, b"id-1.7.{}", hashlib.sha256) for secret in (old, new)]
    assert [base64.b64decode(each.removeprefix("v1,")) for each in signatures] == expected


def test_plain_json_holds_all_that_is_known() -> None:
    assert body("generic", news()) == {
        "type": "rollout.rolled_back",
        "id": "id-1",
        "timestamp": "2025-11-13T02:13:20.123Z",
        "data": {
            "title": "fraud: version 2 was rolled back",
            "model": "fraud",
            "revision": 9,
            "actor": "gateway",
            "reason": "errors: E 300 of 100",
            "weights": {"before": {"1": 95, "2": 5}, "after": {"1": 100, "2": 0}},
            "rollout": ROLLOUT,
            "version": "2",
        },
    }


def test_slack_gets_a_header_and_the_facts() -> None:
    message = body("slack", news())

    header, facts = message["blocks"]
    assert message["text"] == header["text"]["text"] == "fraud: version 2 was rolled back"
    assert facts["text"]["text"].splitlines() == [
        "*Reason:* errors: E 300 of 100",
        "*By:* gateway",
        "*Weights:* 1=95 2=5 → 1=100 2=0",
        "*At:* 2025-11-13T02:13:20.123Z",
    ]


def test_nobody_is_mentioned_and_nothing_linked_by_what_somebody_wrote() -> None:
    hostile = news(reason="<!channel> <https://evil.example|click> & [x](https://evil.example)\n*By:* root")

    slack = body("slack", hostile)["blocks"][1]["text"]
    runs = [run for block in body("teams", hostile)["attachments"][0]["content"]["body"] for run in block["inlines"]]

    assert "<" not in slack["text"]
    assert ">" not in slack["text"]
    assert slack["verbatim"] is True
    assert len(slack["text"].splitlines()) == 4
    assert {run["type"] for run in runs} == {"TextRun"}


def test_teams_gets_a_card_in_a_message() -> None:
    message = body("teams", news())

    (attachment,) = message["attachments"]
    card = attachment["content"]
    lines = ["".join(run["text"] for run in block["inlines"]) for block in card["body"]]
    assert (message["type"], attachment["contentType"]) == ("message", "application/vnd.microsoft.card.adaptive")
    assert (card["type"], card["version"]) == ("AdaptiveCard", "1.4")
    assert lines[:3] == ["fraud: version 2 was rolled back", "Reason: errors: E 300 of 100", "By: gateway"]


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("format_", ["generic", "slack", "teams"])
def test_every_kind_has_its_words_in_every_format(kind: Kind, format_: str) -> None:
    assert kind in TITLES
    assert body(format_, news(kind))
    assert body(format_, news(kind, rollout=None, version=None, before={}, after={}, reason=""))


@pytest.mark.parametrize(
    ("changes", "title"),
    [
        ({}, "fraud: version 2 went on to step 2 of 3"),
        ({"rollout": ROLLOUT | {"phase": "bake", "step": None}}, "fraud: version 2 went on to bake"),
        ({"rollout": SEVERAL, "version": None}, "fraud: version 2, 3 went on to step 2 of 3"),
        ({"rollout": SEVERAL | {"candidates": 7}, "version": None}, "fraud: version  went on to step 2 of 3"),
    ],
)
def test_a_title_says_where_a_rollout_went(changes: dict[str, Any], title: str) -> None:
    assert title_of(news(Kind.ADVANCED, **changes)) == title


def test_what_did_not_move_is_shown_once_and_what_came_from_nothing_says_so() -> None:
    same = body("slack", news(before={1: 100}, after={1: 100}))["blocks"][1]["text"]["text"]
    fresh = body("slack", news(before={}, after={1: 100}))["blocks"][1]["text"]["text"]

    assert "*Weights:* 1=100\n" in same
    assert "*Weights:* none → 1=100\n" in fresh.replace("&gt;", ">")


def test_a_header_is_as_short_as_slack_wants_it() -> None:
    long = Notification(Kind.CHANGED, "m" * 200, 1, "ann", "", {}, {1: 1})

    assert len(body("slack", long)["blocks"][0]["text"]["text"]) == HEADER_CHARACTERS


def test_a_section_is_as_short_as_slack_wants_it_whatever_is_in_it() -> None:
    many = dict.fromkeys(range(1, 256), 1_000_000_000)
    longest = Notification(Kind.CHANGED, "fraud", 1, "&" * 64, "&" * 1_000, many, {**many, 255: 1})

    assert len(body("slack", longest)["blocks"][1]["text"]["text"]) <= 3_000


LINKS = {"approve": "https://gw/links/fraud/a?x&y", "roll_back": "https://gw/links/fraud/b"}


def test_links_are_where_each_format_has_them_and_nowhere_without() -> None:
    letters = {kind: json.loads(body_of(kind, news(), "id-1", AT_MS, LINKS)) for kind in ("generic", "slack", "teams")}

    assert letters["generic"]["data"]["links"] == LINKS
    assert letters["slack"]["blocks"][1]["text"]["text"].endswith(
        "\n<https://gw/links/fraud/a?x&amp;y|Approve …>  <https://gw/links/fraud/b|Roll back …>"
    )
    assert letters["teams"]["attachments"][0]["content"]["actions"] == [
        {"type": "Action.OpenUrl", "title": "Approve …", "url": LINKS["approve"]},
        {"type": "Action.OpenUrl", "title": "Roll back …", "url": LINKS["roll_back"]},
    ]
    assert "links" not in body("generic", news())["data"]
    assert "actions" not in body("teams", news())["attachments"][0]["content"]
