"""What ``gateway top`` shows: two looks at the admin API, and the rates between them."""

from __future__ import annotations

from dataclasses import dataclass
from operator import lt
from typing import TYPE_CHECKING, Any, Final

from gateway.cli.client import Refused

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from gateway.cli.client import Client

FAILED: Final = frozenset({"model_error", "timeout", "overload", "gateway_error"})
"""The outcomes for which the gateway or a model is to blame, and no caller."""

COUNTED: Final = ("requests", "errors", "rows", "cpu_seconds")
"""What is counted of a version since it was loaded, and shown per second."""

Totals = dict[tuple[str, str], tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class Look:
    """One look. *view* is ``GET /api/v1/models``; *figures* and *rollouts* are by model, a rollout where one is shown.

    at_seconds: on a clock that only rises.
    """

    at_seconds: float
    view: Mapping[str, Any]
    figures: Mapping[str, Mapping[str, Any]]
    rollouts: Mapping[str, Mapping[str, Any]]

    def totals(self) -> Totals:
        """Return (model, version) → COUNTED since the version was loaded."""
        return {
            (model, version): (
                sum(each["requests"].values()),
                sum(each["requests"].get(kind, 0) for kind in FAILED),
                each["usage"]["rows"],
                each["usage"]["cpu_seconds"],
            )
            for model, versions in self.figures.items()
            for version, each in versions.items()
        }


def look(client: Client, only: Collection[str], at_seconds: float) -> Look:
    """Ask for everything, or for the models in *only*. Raises CommandFailed, Refused for a model that is not known."""
    answer = client.get().data
    known = {model["name"] for model in answer["models"]}
    for name in only:
        if name not in known:
            client.get(name)  # the gateway's own words for a model that it does not know
    models = [model for model in answer["models"] if not only or model["name"] in only]
    figures = {model["name"]: client.get(model["name"], "figures").data["versions"] for model in models}
    rollouts = {}
    for model in models:
        if model["rollout"]:
            try:
                rollouts[model["name"]] = client.get(model["name"], "rollouts", "current").data
            except Refused as exc:
                if exc.status < 500 and exc.status != 404:
                    raise
    return Look(at_seconds, {**answer, "models": models}, figures, rollouts)


def compare(before: Look, now: Look) -> dict[str, Any]:
    """Return what is shown, as JSON values. A rate is null where there was no earlier look at the same counters."""
    seconds = now.at_seconds - before.at_seconds
    old, new = before.totals(), now.totals()
    models = [
        {
            "name": model["name"],
            "ready": model["ready"],
            "revision": model["revision"],
            "versions": [
                {
                    "version": version["version"],
                    "state": version["state"],
                    "memory_bytes": version["memory_bytes"],
                    "share": now.figures[model["name"]].get(version["version"], {}).get("share", 0.0),
                    **_rates(old.get((model["name"], version["version"])),
                             new.get((model["name"], version["version"])), seconds),
                    "latency_seconds": now.figures[model["name"]].get(version["version"], {}).get(
                        "latency_seconds", {}),
                }
                for version in model["versions"]
            ],
            "rollout": _rollout(now.rollouts.get(model["name"])),
        }
        for model in now.view["models"]
    ]  # fmt: skip
    return {"store": now.view["store"], "seconds": seconds, "models": models}


def _rates(old: tuple[float, ...] | None, new: tuple[float, ...] | None, seconds: float) -> dict[str, float | None]:
    """Return COUNTED per second; a count that fell was begun anew, by a version that was loaded again."""
    names = [f"{name}_per_second" for name in COUNTED]
    if old is None or new is None or seconds <= 0 or any(map(lt, new, old)):
        return dict.fromkeys(names)
    return {name: (later - earlier) / seconds for name, earlier, later in zip(names, old, new, strict=True)}


def _rollout(data: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if data is None:
        return None
    members = (
        "phase", "origin", "step", "steps", "candidate", "candidates", "baseline", "gate", "must_choose", "reason",
        "is_over", "seconds_left",
    )  # fmt: skip
    return {name: data[name] for name in members} | {
        "verdict": data["verdict"]["kind"],
        "guards": {
            version: {
                guard: {"e_value": value, "threshold": each["thresholds"].get(guard)}
                for guard, value in each["e_values"].items()
            }
            for version, each in data["verdicts"].items()
        },
    }
