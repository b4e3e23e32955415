"""Bugs that other servers had, as rules for a real gateway; ``docs/testing.md`` lists them all with their tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.flows import metrics
from tests.flows.gateway_process import eventually
from tests.flows.models import MODEL, request

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.flows.gateway_process import Gateway

CALLS = 200


@pytest.mark.parametrize("by", ["random", "header:x-user-id"])
def test_a_version_just_set_to_0_receives_nothing_and_can_be_called_by_its_number(
    begin: Callable[..., Gateway], by: str
) -> None:
    """seldon-core#4067: 100:0 became 50:50; #5181, #1658, traefik#8157: 0 still got some; kserve#1672: not callable."""
    gateway = begin(route=f'split: {{"1": 50, "2": 50}}\nassign: {{by: "{by}"}}\nbaseline: "1"')
    assert gateway.set_weights(MODEL, {"1": 100, "2": 0}).status == 200
    eventually(lambda: metrics.adopted(gateway) == 2, 3, "every worker follows")

    answered = {
        gateway.ask("POST", f"/v2/models/{MODEL}/infer", request([1, 2]), {"x-user-id": f"user-{number}"}).headers[
            "x-gateway-version"
        ]
        for number in range(CALLS)
    }
    pinned = gateway.ask("POST", f"/v2/models/{MODEL}/versions/2/infer", request([1, 2]))

    assert answered == {"1"}
    assert pinned.json()["model_version"] == "2"
