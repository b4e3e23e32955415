"""The two acts of the learning demo: a world that changes and is learned, and wrong labels that do not get through."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gateway.cli.demo_labelled import mean
from gateway.cli.demo_stage import LAST, NotSoon
from gateway.cli.demo_world import MODEL, PIXELS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from gateway.cli.demo_stage import Look, Stage

SETTLE: Final = 8 * LAST
"""Labelled answers before anything happens: a fifth of them is held out, and knows how the world was."""
WELL: Final = 0.9
FALLEN: Final = 0.6
RECOVERED: Final = 0.75
"""Accuracies before, in the changed world with what served before, and once it was learned."""
ENDED: Final = frozenset({"succeeded", "rolled_back", "aborted", "superseded"})


@dataclass
class Act:
    """How an act came out. *accuracy* by the name of the moment; *why_not* is empty where all came out as promised."""

    name: str
    accuracy: dict[str, float]
    served: str = ""
    candidate: str = ""
    ended: str = ""
    why_not: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "name": self.name, "came_out": not self.why_not, "why_not": self.why_not, "candidate": self.candidate,
            "ended": self.ended, "served_at_the_end": self.served,
            "accuracy": {name: round(value, 4) for name, value in self.accuracy.items()},
        }  # fmt: skip


async def change(stage: Stage) -> Act:
    """Turn all pictures by a quarter, and wait until what serves reads them. Raises NotSoon."""
    act = Act("change", {})
    began = await stage.answers(SETTLE)
    act.accuracy["before"] = began.accuracy or 0.0
    stage.world.is_on_its_side = True
    stage.note("world", "the scanner was put on its side")
    turned = stage.traffic.seconds
    await stage.until(lambda look: look.drift, "drift is reported")
    look = await stage.until(lambda look: _is_new(look, began), "a rollout of what was learned")
    act.candidate = look.candidate
    act.accuracy["fallen"] = _right(stage, turned, began.baseline)
    act.ended = (await stage.until(lambda look: look.phase in ENDED, "the end of that rollout")).phase
    goal = len(stage.traffic.answered) + 2 * LAST
    look = await stage.until(
        lambda look: look.answers >= goal and (look.accuracy or 0.0) >= RECOVERED, f"an accuracy of {RECOVERED:.0%}"
    )
    act.served, act.accuracy["recovered"] = look.baseline, look.accuracy or 0.0
    for version in (began.baseline, act.candidate):
        act.accuracy[f"version {version} on unseen rows"] = await _unseen(stage, version)
    act.why_not = _why_not({
        "the version was well before": act.accuracy["before"] >= WELL,
        "its accuracy fell": act.accuracy["fallen"] <= FALLEN,
        "what was learned was promoted": (act.ended, act.served) == ("succeeded", act.candidate),
        "it recovered on rows that nobody labelled": act.accuracy[f"version {act.candidate} on unseen rows"]
        >= RECOVERED,
    })  # fmt: skip
    return act


async def poison(stage: Stage) -> Act:
    """Say wrong labels until what was learned of them is a canary, and wait until it is taken back. Raises NotSoon."""
    act = Act("poison", {})
    began = await stage.answers(SETTLE)
    act.accuracy["before"] = began.accuracy or 0.0
    stage.world.has_wrong_labels = True
    stage.note("world", "every label says the next digit")
    look = await stage.until(lambda look: _is_new(look, began) and look.phase == "step", "the canary of wrong labels")
    stage.world.has_wrong_labels = False
    stage.note("world", "the labels are right again")
    act.candidate = look.candidate
    act.ended = (await stage.until(lambda look: look.phase in ENDED, "the end of that rollout")).phase
    look = await stage.answers(2 * LAST)
    act.served, act.accuracy["after"] = look.baseline, look.accuracy or 0.0
    act.accuracy[f"version {act.candidate} on unseen rows"] = await _unseen(stage, act.candidate)
    act.why_not = _why_not({
        "the version was well before": act.accuracy["before"] >= RECOVERED,
        "what was learned was bad": act.accuracy[f"version {act.candidate} on unseen rows"] <= FALLEN,
        "it was taken back by labels": act.ended == "rolled_back" and look.reason.startswith("labels"),
        "the same version serves": act.served == began.baseline,
        "callers are well": act.accuracy["after"] >= RECOVERED,
    })  # fmt: skip
    return act


ACTS: Final[Mapping[str, Callable[[Stage], Awaitable[Act]]]] = {"change": change, "poison": poison}
"""In the order in which they are played."""


async def played(stage: Stage, name: str) -> Act:
    """Play one act; what did not come in time is why it did not come out."""
    try:
        return await ACTS[name](stage)
    except NotSoon as exc:
        return Act(name, {}, why_not=str(exc))


def _is_new(look: Look, before: Look) -> bool:
    """Say whether a rollout is under way, or over, that was not there *before*."""
    return bool(look.candidate) and look.candidate != before.candidate


def _right(stage: Stage, since: float, version: str) -> float:
    """Return the share of *version*'s labelled answers *since* then that were right; 1.0 without any."""
    return mean(
        [each.right for each in stage.traffic.answered if each.at > since and each.version == version] or [True]
    )


async def _unseen(stage: Stage, version: str) -> float:
    """Return the accuracy of *version* on rows that no caller ever sent, as the world is now."""
    rows = stage.world.scanned(stage.world.unseen)
    tensor = {"name": "input", "shape": [len(rows), PIXELS], "datatype": "FP32", "data": rows.ravel().tolist()}
    answer = await stage.traffic.address.ask(f"/v2/models/{MODEL}/versions/{version}/infer", {"inputs": [tensor]})
    labels = next(each["data"] for each in answer["outputs"] if each["name"] == "label")
    return mean([int(said) == digit for said, digit in zip(labels, stage.world.unseen_digits.tolist(), strict=True)])


def _why_not(promises: Mapping[str, bool]) -> str:
    return "; ".join(f"not so: {what}" for what, holds in promises.items() if not holds)
