"""What a link offers, of which notifications, and when that is over."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.core.errors import InvalidDocument
from gateway.core.links import Act, Offer, offers_of, read_offer
from gateway.core.notification import Kind, Notification
from gateway.core.phases import Event, Phase
from gateway.core.plan import read_plan
from gateway.core.rollout import Rollout, move, start

VIEW = {"id": "r1", "candidate": "2", "candidates": ["2"], "baseline": "1", "phase": "paused", "step": 2, "steps": 3,
        "gate": True}  # fmt: skip
OFFER = Offer("fraud", "r1", "2", "paused", 1, Act.APPROVE, "on-call")


def offers(kind: Kind, **changes: Any) -> list[Offer]:
    told = Notification(kind, "fraud", 9, "gateway", "why", {}, {1: 1}, rollout=VIEW | changes)
    return list(offers_of(told, "on-call"))


def paused() -> Rollout:
    plan = read_plan({"steps": [{"weight": 5, "for": "1m"}], "holdback": {"weight": 95, "for": "1m"}})
    begun = start("r1", candidates=(2,), baseline=1, plan=plan, before={1: 100}, baseline_rate=0.0, now=0.0)
    for event, gate in ((Event.DONE, False), (Event.DONE, False), (Event.PAUSE, True)):
        begun = move(begun, event, now=1.0, revision=1, reason="", gate=gate).rollout
    return begun


def test_a_gate_offers_to_open_it_and_to_give_up() -> None:
    approve, roll_back = offers(Kind.PAUSED)

    assert approve == OFFER
    assert (approve.event, roll_back.event) == (Event.RESUME, Event.ABORT)
    assert "go on to what follows step 2" in approve.words
    assert "return to the split from before" in roll_back.words


def test_a_hold_offers_to_promote_all_the_same() -> None:
    approve, roll_back = offers(Kind.HELD, phase="hold", gate=False)

    assert (approve.event, roll_back.event) == (Event.PROMOTE, Event.ABORT)
    assert "although it is held" in approve.words


def test_nobody_approves_by_link_where_one_of_several_has_to_be_chosen() -> None:
    assert [each.act for each in offers(Kind.PAUSED, candidates=["2", "3"], candidate=None)] == [Act.ROLL_BACK]


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind not in {Kind.HELD, Kind.PAUSED}])
def test_what_does_not_wait_offers_nothing(kind: Kind) -> None:
    assert offers(kind) == []


def test_a_pause_by_hand_offers_nothing_and_neither_does_what_is_about_no_rollout() -> None:
    assert offers(Kind.PAUSED, gate=False) == []
    assert offers_of(Notification(Kind.HELD, "fraud", 9, "gateway", "", {}, {1: 1}), "ops") == ()


def test_what_a_store_has_made_of_a_rollout_offers_at_most_to_give_up() -> None:
    assert [(each.act, each.step) for each in offers(Kind.HELD, candidates="2", step=None)] == [(Act.ROLL_BACK, 0)]


def test_an_offer_is_read_as_it_was_written() -> None:
    assert read_offer(OFFER.encoded()) == OFFER


@pytest.mark.parametrize("change", [{"act": "destroy"}, {"step": "1"}, {"step": True}, {"model": 3}, {"more": 1}])
def test_what_is_no_offer_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidDocument):
        read_offer(json.dumps(json.loads(OFFER.encoded()) | change).encode())


def test_an_offer_holds_while_the_rollout_stands_as_it_did_and_no_longer() -> None:
    rollout, offer = paused(), Offer("fraud", "r1", "2", "paused", 0, Act.APPROVE, "ops")

    def moved(event: Event) -> str:
        return offer.why_stale(move(rollout, event, now=2.0, revision=2, reason="").rollout)

    assert (rollout.phase, offer.why_stale(rollout)) == (Phase.PAUSED, "")
    assert moved(Event.RESUME) == "the rollout has moved on: it is at step 1 (step)"
    assert moved(Event.ABORT) == "the rollout has moved on: it is aborted"
    assert Offer("fraud", "r1", "2", "hold", 0, Act.APPROVE, "ops").why_stale(rollout).endswith("at step 1 (paused)")
    assert Offer("fraud", "r2", "2", "paused", 0, Act.APPROVE, "ops").why_stale(rollout).startswith("another rollout")
    assert OFFER.why_stale(None).startswith("another rollout")


def test_a_link_to_a_gate_does_not_undo_a_pause_by_hand() -> None:
    opened = move(paused(), Event.RESUME, now=2.0, revision=2, reason="").rollout
    by_hand = move(opened, Event.PAUSE, now=3.0, revision=3, reason="").rollout

    offer = Offer("fraud", "r1", "2", "paused", 0, Act.APPROVE, "ops")

    assert offer.why_stale(by_hand) == "the rollout has moved on: it is at step 1 (paused)"
