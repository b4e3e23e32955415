"""What an adapter declares: how requests of an older interface become a version's own, and its answers theirs.

A declaration alone; what it makes of a version's signature is computed by ``core.adaptation``. Callers' names are the
keys throughout, so that both directions read alike: what callers call a tensor, what they call its datatype.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.core.signature import TensorSpec

Scalar = bool | int | float | str
"""One element of a tensor; text for BYTES."""


class InvalidAdapter(ValueError):
    """A declaration cannot be read, or does not fit its version; *place* is the path of the member that is wrong."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"adapter.{place}: {reason}" if place else f"adapter: {reason}")
        self.place = place
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns of the last axis are taken, in which order, of how many that are there."""

    picked: tuple[int, ...]
    of: int

    def __post_init__(self) -> None:
        if not self.picked or not all(0 <= each < self.of for each in self.picked):
            raise ValueError(f"must list columns from 0 to {self.of - 1}, at least one")


@dataclass(frozen=True, slots=True)
class Steps:
    """What is done with the tensors that callers and the version both have, by the callers' name of each.

    The values are those of the callers' interface: in ``rename`` the version's name, in ``cast`` and ``reshape`` the
    datatype and the shape that callers know. ``default`` stands for NaN and for empty text as they arrive, ``map``
    turns categories as they arrive, written as text, into others, and ``columns`` are counted in the version's rank.
    """

    rename: Mapping[str, str] = field(default_factory=dict)
    default: Mapping[str, Scalar] = field(default_factory=dict)
    map: Mapping[str, Mapping[str, Scalar]] = field(default_factory=dict)
    cast: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[str, Columns] = field(default_factory=dict)
    reshape: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def own_name(self, name: str) -> str:
        """Return what the version calls the tensor that callers call *name*."""
        return self.rename.get(name, name)


@dataclass(frozen=True, slots=True)
class Constant:
    """A tensor that nobody sends or computes: *values* holds one element, or all of a row in their order."""

    spec: TensorSpec
    values: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class Adapter:
    """A whole declaration.

    *ignored*: what callers send and the version does not take. *filled*: inputs of the version that callers do not
    send → the elements they get. *hidden*: outputs of the version that callers do not see. *added*: outputs that
    callers expect and the version does not have.
    """

    requests: Steps = field(default_factory=Steps)
    responses: Steps = field(default_factory=Steps)
    ignored: tuple[TensorSpec, ...] = ()
    filled: Mapping[str, tuple[Scalar, ...]] = field(default_factory=dict)
    hidden: tuple[str, ...] = ()
    added: tuple[Constant, ...] = ()
