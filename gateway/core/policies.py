"""Ready plans: the name of a policy and at most four numbers, in place of a plan's steps and holdback.

A policy is a shorthand. It is expanded when a plan is read; what is stored, shown and walked are ordinary steps and an
ordinary holdback, so nothing beyond this file knows that there are policies.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from gateway.core.errors import InvalidDocument
from gateway.core.members import at, check_choice, members_of, shown
from gateway.core.quantities import seconds_of, slots_of, written_seconds, written_slots
from gateway.core.slots import SLOTS

POLICIES: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "all_at_once": {"bake": "30m"},
        "blue_green": {"holdback": 5, "bake": "30m"},
        "canary": {"size": 10, "wait": "10m", "holdback": 5, "bake": "30m"},
        "linear": {"size": 20, "wait": "5m", "holdback": 5, "bake": "30m"},
    }
)
"""Policy → what it can be told, and what that is where it is left out. Sizes and holdbacks are percent of the split."""

PARAMETERS: Final = ("size", "wait", "holdback", "bake")
REPLACED: Final = ("steps", "holdback")
"""The members of a plan that a policy stands for."""

MOST_STEPS: Final = 100
MOST_HELD_BACK: Final = SLOTS // 2
MOVE: Final = "1m"
"""How long the one step of a single move lasts at least: it ends with the certificate, and then the bake counts.

So long that usual traffic has certified the canary by then: a step that ends before it is held, which alarms people.
"""


def expanded(data: object) -> object:
    """Return *data*, a plan read from JSON or YAML, with the steps and the holdback that its ``policy`` stands for.

    What names no policy is returned as it is. Raises InvalidDocument with the culprit's path.
    """
    if not isinstance(data, Mapping) or "policy" not in data:
        return data
    for member in REPLACED:
        if member in data:
            raise InvalidDocument(member, "is what the policy stands for; write either of them")
    with at("policy"):
        steps, holdback = _steps(data["policy"])
    rest = {member: value for member, value in data.items() if member != "policy"}
    return rest | {"steps": steps, "holdback": holdback}


def _steps(policy: object) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the steps and the holdback that *policy* stands for, each as a plan writes them."""
    name, given = _named(policy)
    parameters = {**POLICIES[name], **given}
    held_back = _held_back(parameters.get("holdback", 0))
    most = SLOTS - held_back
    with at("bake"):
        holdback = _step(most, parameters["bake"])
    if "size" not in parameters:
        return [_step(most, MOVE)], holdback
    size = _size(parameters["size"], most)
    weights = [size] if name == "canary" else list(range(size, most, size))
    if len(weights) > MOST_STEPS:
        raise InvalidDocument("size", f"makes {len(weights)} steps; write more, for at most {MOST_STEPS}")
    with at("wait"):
        return [_step(slots, parameters["wait"]) for slots in weights], holdback


def _named(policy: object) -> tuple[str, Mapping[str, Any]]:
    """Return the name of *policy* and what it is told; a bare name is told nothing."""
    if isinstance(policy, str):
        check_choice(policy, POLICIES)
        return policy, {}
    members = members_of(policy, ("name", *PARAMETERS), needed=("name",), what="policy")
    with at("name"):
        name = members["name"]
        if not isinstance(name, str):
            raise InvalidDocument("", f"{shown(name)} is no name of a policy; write one of {', '.join(POLICIES)}")
        check_choice(name, POLICIES)
    given = members_of(members, ("name", *POLICIES[name]), what=f"policy {name}")
    return name, {member: value for member, value in given.items() if member != "name"}


def _step(slots: int, seconds: object) -> dict[str, Any]:
    return {"weight": written_slots(slots), "for": written_seconds(seconds_of(seconds))}


def _held_back(value: object) -> int:
    """Return how many slots the old version keeps during the bake; 0 is allowed here, as for no step."""
    with at("holdback"):
        slots = 0 if value in (0, "0", "0%") and not isinstance(value, bool) else slots_of(value)
        if slots > MOST_HELD_BACK:
            raise InvalidDocument("", f"{shown(value)} is more than the canary would have; write 0 to 50 percent")
        return slots


def _size(value: object, most: int) -> int:
    with at("size"):
        slots = slots_of(value)
        if slots >= most:
            raise InvalidDocument(
                "", f"{shown(value)} is all that there is to move; write less than {written_slots(most)}, "
                "or the policy blue_green",
            )  # fmt: skip
        return slots
