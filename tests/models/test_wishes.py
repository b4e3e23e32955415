"""Which versions ought to be loaded: a route beats an order, an order beats the default."""

from __future__ import annotations

import pytest

from gateway.core.versions import WHOLE_MODEL
from gateway.models.entry import Entry
from gateway.models.wishes import Wishes

FRAUD_1 = Entry("fraud", 1)


@pytest.mark.parametrize(
    ("loads_all", "routed", "order", "wanted"),
    [
        (True, False, "", True),
        (True, False, "load", True),
        (True, False, "unload", False),
        (True, True, "", True),
        (True, True, "load", True),
        (True, True, "unload", True),
        (False, False, "", False),
        (False, False, "load", True),
        (False, False, "unload", False),
        (False, True, "", True),
        (False, True, "load", True),
        (False, True, "unload", True),
    ],
)
def test_every_case_of_what_is_wanted(loads_all: bool, routed: bool, order: str, wanted: bool) -> None:
    wishes = Wishes(loads_all, {"fraud": {1}} if routed else {}, {"fraud": {1: order}} if order else {})

    assert wishes.is_wanted(FRAUD_1) is wanted


def test_wishes_for_one_model_say_nothing_of_another() -> None:
    wishes = Wishes(False, {"iris": {1}}, {"iris": {1: "load"}, "fraud": {2: "load"}})

    assert not wishes.is_wanted(FRAUD_1)


def test_the_reason_tells_an_order_from_a_route_that_went_elsewhere() -> None:
    assert Wishes(True, {}, {"fraud": {1: "unload"}}).why_unwanted(FRAUD_1) == "unloaded by operator"
    assert Wishes(False).why_unwanted(FRAUD_1) == "not routed"


@pytest.mark.parametrize("order", ["", "load", "unload"])
@pytest.mark.parametrize("loads_all", [True, False])
def test_nothing_of_a_model_that_is_out_of_service_is_wanted(loads_all: bool, order: str) -> None:
    orders = {WHOLE_MODEL: "unload", **({1: order} if order else {})}
    wishes = Wishes(loads_all, {"fraud": {1}}, {"fraud": orders})

    assert not wishes.is_wanted(FRAUD_1)
    assert not wishes.is_routed(FRAUD_1)
    assert wishes.why_unwanted(FRAUD_1) == "unloaded by operator"


def test_a_model_that_is_back_in_service_is_as_it_was() -> None:
    wishes = Wishes(False, {"fraud": {1}}, {"fraud": {WHOLE_MODEL: "load"}})

    assert wishes.is_wanted(FRAUD_1)
