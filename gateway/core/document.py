"""The route document: how a model's traffic is split, as a value that cannot be built wrong.

Files, the store and the admin API share it. Every refusal is an InvalidDocument with the path of the culprit and what
to write instead; nothing is corrected in silence. Whether the versions exist is not known here.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from gateway.core.aliases import aliases_of
from gateway.core.drift_plan import read_drift
from gateway.core.errors import InvalidDocument
from gateway.core.keeping import read_keeping
from gateway.core.members import at, check_choice, members_of, shown, text_of
from gateway.core.names import is_model_name, why_no_model_name
from gateway.core.optimize import read_optimize
from gateway.core.plan import read_plan
from gateway.core.recording import read_record
from gateway.core.rules import check_rules, rules_of, source_of
from gateway.core.splits import percents_of, version_of, weights_of, written
from gateway.core.strict_json import strict_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.core.drift_plan import DriftPlan
    from gateway.core.keeping import Keeping
    from gateway.core.optimize import Optimize
    from gateway.core.plan import Plan
    from gateway.core.recording import Record
    from gateway.core.rules import Rule, Source

MEMBERS: Final = (
    "model", "split", "assign", "rules", "shadow", "baseline", "fallback", "aliases", "rollout", "record", "feedback",
    "drift", "optimize",
    "schema",
)  # fmt: skip
MISSING: Final = ("random", "baseline")
FALLBACKS: Final = ("baseline", "none")


@dataclass(frozen=True, slots=True)
class Assign:
    """What the unit is. *by* None is random: every request by itself; *missing*: what a request without a key gets."""

    by: Source | None
    salt: str
    missing: str = "random"

    def __post_init__(self) -> None:
        with at("salt"):
            text_of(self.salt)
        with at("missing"):
            check_choice(self.missing, MISSING)

    def as_dict(self) -> dict[str, Any]:
        return {"by": str(self.by or "random"), "salt": self.salt, "missing": self.missing}


@dataclass(frozen=True, slots=True)
class RouteDocument:
    """How one model's traffic is split. Splits map version → weight, ascend by version and cannot be changed.

    *aliases* map a name to the version that it pins; they ascend by name and cannot be changed either.
    *shadow* maps a version to the percent of the requests that it gets copies of, and answers none of. *rollout* is the
    plan of the rollouts that are started without one; it starts none by itself. *record* says what of the traffic is
    recorded; None: nothing is. *feedback* says which inputs are kept for labels to come; None: none are. *drift* says
    what is made of drift; None: it is shown. *optimize* lets labels move the split; None: only people and rollouts do.
    """

    model: str
    split: Mapping[int, int]
    assign: Assign
    rules: tuple[Rule, ...]
    baseline: int
    fallback: str = "baseline"
    aliases: Mapping[str, int] = field(default_factory=dict)
    shadow: Mapping[int, int] = field(default_factory=dict)
    rollout: Plan | None = None
    record: Record | None = None
    feedback: Keeping | None = None
    drift: DriftPlan | None = None
    optimize: Optimize | None = None

    def __post_init__(self) -> None:
        if not is_model_name(self.model):
            raise InvalidDocument("model", f"{shown(self.model)} {why_no_model_name(self.model)}")
        with at("split"):
            object.__setattr__(self, "split", weights_of(self.split))
        with at("rules"):
            check_rules(self.rules)
        with at("baseline"):
            version_of(self.baseline)
        with at("fallback"):
            check_choice(self.fallback, FALLBACKS)
        with at("aliases"):
            object.__setattr__(self, "aliases", aliases_of(self.aliases))
        with at("shadow"):
            object.__setattr__(self, "shadow", percents_of(self.shadow))
        if self.optimize is not None:
            with at("optimize"):
                self.optimize.check(self.split)

    def versions(self) -> frozenset[int]:
        """Return every version that is named anywhere, at whatever weight."""
        return self.answering().union(self.shadow)

    def answering(self) -> frozenset[int]:
        """Return every version that is named, at whatever weight, as one that answers: all but mere shadows."""
        return frozenset({self.baseline}).union(self.split, *(rule.split for rule in self.rules))

    def weighted(self) -> frozenset[int]:
        """Return every version that gets requests: the baseline, and those with a weight in the split or in a rule."""
        splits = [self.split, *(rule.split for rule in self.rules)]
        return frozenset({self.baseline}).union(*({v for v, weight in split.items() if weight} for split in splits))

    def needed(self) -> frozenset[int]:
        """Return every version that is to be loaded: those of ``versions``, and those that only an alias names."""
        return self.versions().union(self.aliases.values())

    def with_split(self, split: Mapping[int, int]) -> RouteDocument:
        """Return this document with another *split* for what no rule takes; the baseline stays."""
        return replace(self, split=split)

    def as_dict(self) -> dict[str, Any]:
        """Return the document in its own form: ``parse`` reads the same value from it.

        Every member is spelled out but *shadow*, *aliases*, *rollout*, *record*, *feedback*, *drift* and *optimize*
        where there is none: releases that do not know them can still read such a route.
        """
        optional = {
            "aliases": {name: str(version) for name, version in self.aliases.items()},
            "shadow": written(self.shadow),
            "rollout": self.rollout.as_dict() if self.rollout is not None else None,
            "record": self.record.as_dict() if self.record is not None else None,
            "feedback": self.feedback.as_dict() if self.feedback is not None else None,
            "drift": self.drift.as_dict() if self.drift is not None else None,
            "optimize": self.optimize.as_dict() if self.optimize is not None else None,
        }
        return {
            "model": self.model,
            "split": written(self.split),
            "assign": self.assign.as_dict(),
            "rules": [rule.as_dict() for rule in self.rules],
            "baseline": str(self.baseline),
            "fallback": self.fallback,
        } | {name: value for name, value in optional.items() if value}


def parse(data: object, *, model: str | None = None) -> RouteDocument:
    """Return the document that *data*, read from JSON or YAML, describes. Raises InvalidDocument.

    *model* is the name under which it is put: the document may leave its own out and may not give another.
    """
    members = members_of(
        data,
        MEMBERS,
        needed=("split",) if model is not None else ("model", "split"),
        what="route",
    )
    schema = members.get("schema", 1)
    if type(schema) is not int or schema != 1:
        raise InvalidDocument("schema", f"{shown(schema)} is not read by this release; write 1 or leave it out")
    with at("model"):
        name = text_of(members.get("model", model))
    if model is not None and name != model:
        raise InvalidDocument("model", f"{shown(name)} is not {shown(model)}, whose route this is; leave it out")
    with at("split"):
        split = weights_of(members["split"])
    with at("baseline"):
        heaviest = max(split, key=lambda version: (split[version], -version))
        baseline = version_of(members.get("baseline", heaviest))
    with at("assign"):
        assign = _assign(members.get("assign", {}), salt=name)
    with at("rules"):
        rules = rules_of(members.get("rules", []))
    with at("rollout"):
        plan = read_plan(members["rollout"]) if "rollout" in members else None
    with at("record"):
        record = read_record(members["record"]) if "record" in members else None
    with at("feedback"):
        feedback = read_keeping(members["feedback"]) if "feedback" in members else None
    with at("drift"):
        drift = read_drift(members["drift"]) if "drift" in members else None
    with at("optimize"):
        optimize = read_optimize(members["optimize"]) if "optimize" in members else None
    return RouteDocument(
        name,
        split,
        assign,
        rules,
        baseline,
        members.get("fallback", "baseline"),
        members.get("aliases", {}),
        members.get("shadow", {}),
        plan,
        record,
        feedback,
        drift,
        optimize,
    )


def parse_json(text: bytes, *, model: str | None = None) -> RouteDocument:
    """Return the document that the JSON *text* describes, read by ``strict_json``. Raises InvalidDocument."""
    return parse(strict_json(text), model=model)


def _assign(data: object, *, salt: str) -> Assign:
    members = members_of(data, ("by", "salt", "missing"), what="assign")
    by = members.get("by", "random")
    with at("by"):
        source = None if by == "random" else source_of(by)
    return Assign(source, members.get("salt", salt), members.get("missing", "random"))
