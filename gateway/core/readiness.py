"""Whether canaries may get their first traffic: what each replica says of it, and what that means taken together.

Every replica that shares the store says it once a second, in a few words that the others read strictly, because
what is in the store is untrusted. A replica that says nothing any more is gone and holds nothing up.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from gateway.core.errors import InvalidDocument
from gateway.core.members import at, members_of, shown
from gateway.core.splits import version_of
from gateway.core.strict_json import strict_json

if TYPE_CHECKING:
    from collections.abc import Mapping

MEMBERS: Final = ("rollout", "revision", "lacks", "failed")
MAX_REASON: Final = 300
"""Characters of a reason that one replica tells the others."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """What is known of canaries before their first step, for the *rollout* of this id, at the route's *revision*.

    lacks: what is still to come, empty for nothing. failed: canary → what it did not pass and never will.
    """

    rollout: str
    revision: int
    lacks: str = ""
    failed: Mapping[int, str] = field(default_factory=dict)

    @property
    def is_ready(self) -> bool:
        """Nothing is missing and nothing failed."""
        return not self.lacks and not self.failed

    def as_dict(self) -> dict[str, Any]:
        return {
            "rollout": self.rollout,
            "revision": self.revision,
            "lacks": self.lacks[:MAX_REASON],
            "failed": {str(version): reason[:MAX_REASON] for version, reason in self.failed.items()},
        }


def written_words(readiness: Mapping[str, Readiness]) -> str:
    """Return what a replica says of the models in *readiness*: ``read_words`` reads the same from it."""
    return json.dumps(
        {model: each.as_dict() for model, each in readiness.items()}, separators=(",", ":"), ensure_ascii=False
    )


def read_words(text: str) -> Mapping[str, Readiness]:
    """Return model → readiness as the words of a replica have it. Raises InvalidDocument with the culprit's path."""
    body = strict_json(text.encode())
    if not isinstance(body, dict):
        raise InvalidDocument("", f"{shown(body)} are no words of a replica")
    return {model: _readiness(model, data) for model, data in body.items()}


def together(model: str, own: Readiness, words: Mapping[str, str]) -> Readiness:
    """Return what *own* and the *words* of the other replicas, by their names, mean for the fleet.

    A failure anywhere is a failure of that canary; then whatever the first replica, by name, lacks. One that speaks of
    another rollout, or of an older revision, has not looked yet.
    """
    said = {name: _said(model, text, own) for name, text in sorted(words.items())}
    failed = dict(own.failed)
    for name, each in said.items():
        for version, reason in each.failed.items():
            failed.setdefault(version, f"on replica {name}: {reason}")
    lacks = own.lacks or next((f"replica {name} {each.lacks}" for name, each in said.items() if each.lacks), "")
    return Readiness(own.rollout, own.revision, lacks, failed)


def _said(model: str, text: str, own: Readiness) -> Readiness:
    """Return what one other replica says of *model*, as far as it is about the rollout of *own*."""
    try:
        found = read_words(text).get(model)
    except InvalidDocument as exc:
        lacks = f"cannot be understood ({exc}); is it of another release?"
        return Readiness(own.rollout, own.revision, lacks)
    if found is None or found.rollout != own.rollout or found.revision < own.revision:
        return Readiness(
            own.rollout, own.revision, f"has not looked at revision {own.revision} yet, or has no model {model}"
        )
    return found if not found.lacks else Readiness(found.rollout, found.revision, f"lacks it: {found.lacks}")


def _readiness(model: str, data: object) -> Readiness:
    with at(model):
        members = members_of(data, MEMBERS, needed=MEMBERS, what="word of a replica")
        for name in ("rollout", "lacks"):
            if not isinstance(members[name], str):
                raise InvalidDocument(name, f"{shown(members[name])} is no text")
        if type(members["revision"]) is not int:
            raise InvalidDocument("revision", f"{shown(members['revision'])} is no revision")
        with at("failed"):
            failed = _failures(members["failed"])
        return Readiness(members["rollout"], members["revision"], members["lacks"], failed)


def _failures(data: object) -> Mapping[int, str]:
    if not isinstance(data, dict) or not all(isinstance(reason, str) for reason in data.values()):
        raise InvalidDocument("", f"{shown(data)} says of no canary what it failed")
    return {version_of(version): reason for version, reason in data.items()}
