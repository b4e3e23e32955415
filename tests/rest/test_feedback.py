"""Feedback over HTTP: what is read, and how what came of it is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.core import errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.core.feedback import Fact
    from tests.rest.door import FakeDoor

PATH = "/v2/models/fraud/feedback"


class FakeFeedback:
    """Implements ``ports.Feedback``: what is said of ``good`` is counted, of anything else there is no answer."""

    def __init__(self) -> None:
        self.facts: list[Fact] = []

    async def take(self, model: str, facts: Sequence[Fact]) -> Sequence[str | errors.GatewayError]:
        self.facts += facts
        return ["counted" if fact.id == "good" else errors.UnknownPrediction(model, fact.id) for fact in facts]


@pytest.fixture
def feedback(door: FakeDoor) -> FakeFeedback:
    desk = FakeFeedback()
    door.feedback = desk
    return desk


async def test_a_label_is_accepted_under_the_id_of_its_answer(door: FakeDoor, feedback: FakeFeedback) -> None:
    reply = await door.ask("POST", PATH, b'{"id":"good","label":1}')

    assert (reply.status, reply.json) == (202, {"model": "fraud", "id": "good", "status": "counted"})
    assert [(fact.id, fact.given) for fact in feedback.facts] == [("good", ("1",))]


async def test_one_item_that_is_refused_is_an_error(door: FakeDoor, feedback: FakeFeedback) -> None:
    reply = await door.ask("POST", PATH, b'{"id":"ghost","label":1}')

    assert (reply.status, reply.json["code"]) == (404, "unknown_id")
    assert len(feedback.facts) == 1


async def test_of_many_items_each_has_its_own_fate(door: FakeDoor, feedback: FakeFeedback) -> None:
    reply = await door.ask("POST", PATH, b'{"feedback":[{"id":"ghost","reward":1},{"id":"good","value":2}]}')

    refused, counted = reply.json["feedback"]
    assert reply.status == 202
    assert counted == {"id": "good", "status": "counted"}
    assert (refused["status"], refused["code"]) == ("refused", "unknown_id")
    assert "ghost" in refused["error"]
    assert len(feedback.facts) == 2


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        (PATH, b"", 400, "invalid_feedback"),
        (PATH, b"[", 400, "invalid_json"),
        (PATH, b'{"id":"good"}', 400, "invalid_feedback"),
        (PATH, b'{"feedback":[{"id":"good","label":1},{}]}', 400, "invalid_feedback"),
        ("/v2/models/ghost/feedback", b'{"id":"good","label":1}', 404, "unknown_model"),
    ],
)
async def test_a_body_that_is_no_feedback_counts_nothing(
    door: FakeDoor, feedback: FakeFeedback, path: str, body: bytes, status: int, code: str
) -> None:
    reply = await door.ask("POST", path, body)

    assert (reply.status, reply.json["code"]) == (status, code)
    assert feedback.facts == []


async def test_where_feedback_is_off_nobody_is_let_believe_otherwise(door: FakeDoor) -> None:
    reply = await door.ask("POST", PATH, b'{"id":"good","label":1}')

    assert (reply.status, reply.json["code"]) == (403, "forbidden")
    assert "--feedback-ttl" in reply.json["error"]
