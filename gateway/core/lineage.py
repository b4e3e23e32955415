"""What a version was made from, and what was made from it, across all models.

Pure: the caller brings what each version's metadata says. A graph that is read may have holes and even rings, since
files are deleted and edited by hand: it is shown as it is. Only a new version is held to the rules, by `check_new`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from gateway.core.names import is_model_name, version_number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

RELATIONS: Final = (
    "trained-from", "fine-tuned-from", "quantised-from", "adapted-from", "optimised-from", "pruned-from",
)  # fmt: skip
"""How a version may come from its parent; a parent without one is just named."""


class InvalidLineage(ValueError):
    """A parent cannot be written like this, is not there, or would come from its own child."""


@dataclass(frozen=True, slots=True, order=True)
class VersionName:
    """A version of some model; as text ``fraud/3``."""

    model: str
    version: int

    def __str__(self) -> str:
        return f"{self.model}/{self.version}"


@dataclass(frozen=True, slots=True)
class Parent:
    """One version that another one was made from. *relation* is one of RELATIONS, or empty where nobody said."""

    name: VersionName
    relation: str = ""


def read_name(text: str) -> VersionName:
    """Return the version that *text* names, ``NAME/VERSION``. Raises InvalidLineage."""
    model, _, number = text.partition("/")
    version = version_number(number)
    if version is None or not is_model_name(model):
        raise InvalidLineage(f"{text!r} names no version; write NAME/VERSION, such as fraud/3")
    return VersionName(model, version)


def read_parent(text: str) -> Parent:
    """Return the parent that *text* writes: ``NAME/VERSION``, or ``NAME/VERSION:RELATION``. Raises InvalidLineage."""
    name, colon, relation = text.partition(":")
    if colon and relation not in RELATIONS:
        raise InvalidLineage(f"{text!r} has an unknown relation; write one of {', '.join(RELATIONS)} behind the colon")
    return Parent(read_name(name), relation)


@dataclass(frozen=True, slots=True)
class Lineage:
    """Every version that is there, with its parents, which need not be there any more.

    *unread* holds, per version, what its metadata names as a parent and is no name of a version, such as a run's id.
    """

    parents: Mapping[VersionName, Sequence[Parent]]
    unread: Mapping[VersionName, Sequence[str]] = field(default_factory=dict)

    def ancestors(self, of: Iterable[VersionName]) -> list[VersionName]:
        """Return what *of* were made from, there or not, the nearest first; *of* themselves only where in a ring."""
        return _reached(of, lambda name: [parent.name for parent in self.parents.get(name, ())])

    def descendants(self, of: Iterable[VersionName]) -> list[VersionName]:
        """Return what was made from *of*, the nearest first."""
        children: dict[VersionName, list[VersionName]] = {}
        for child, parents in self.parents.items():
            for parent in parents:
                children.setdefault(parent.name, []).append(child)
        return _reached(of, lambda name: children.get(name, []))

    def check_new(self, name: VersionName, parents: Sequence[Parent]) -> None:
        """Refuse *parents* for the version *name*, which is about to be added: unknown ones, and its own children.

        A version that is not there yet can have children where somebody wrote its name into theirs, or deleted it.
        Raises InvalidLineage.
        """
        for parent in parents:
            if parent.name not in self.parents:
                raise InvalidLineage(f"the parent {parent.name} is not there; name a version that is")
            if name in self.ancestors([parent.name]):
                raise InvalidLineage(
                    f"{name} cannot come from {parent.name}, which comes from {name} by its own metadata; "
                    f"correct `parents` there, or name another parent"
                )


def _reached(of: Iterable[VersionName], following: Callable[[VersionName], Iterable[VersionName]]) -> list[VersionName]:
    """Return what is reached from *of* by *following*, once each, breadth first."""
    found: dict[VersionName, None] = {}
    waiting = deque(of)
    while waiting:
        for name in following(waiting.popleft()):
            if name not in found:
                found[name] = None
                waiting.append(name)
    return list(found)
