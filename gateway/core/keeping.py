"""Which inputs are kept beside what was answered, for whoever learns from labels, and what is hidden in them before.

Read from the member ``feedback`` of a route document; it hides as ``record`` does. Pure: the caller brings the draw.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from gateway.core.errors import InvalidDocument
from gateway.core.members import at, members_of, shown, text_of
from gateway.core.recording import points_of, read_redactions
from gateway.core.signature import Signature

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.core.recording import Redaction

MEMBERS: Final = ("inputs", "percent", "redact", "stream")
ALL: Final = "all"
STREAM: Final = 100_000
STREAM_MOST: Final = 10_000_000
NAMES_MOST: Final = 1_000


@dataclass(frozen=True, slots=True)
class Keeping:
    """*inputs* are kept of *percent* of the answers that the route gave; 0 keeps none.

    *inputs* None: all of them. *stream*: about how many labelled answers stay for whoever learns from them.
    """

    redact: tuple[Redaction, ...]
    inputs: tuple[str, ...] | None = None
    percent: float = 100
    stream: int = STREAM
    _limit: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        with at("percent"):
            object.__setattr__(self, "_limit", points_of(self.percent))
        with at("inputs"):
            self._check_inputs()
        with at("stream"):
            if type(self.stream) is not int or not 1 <= self.stream <= STREAM_MOST:
                raise InvalidDocument("", f"{shown(self.stream)} is out of range; write 1 to {STREAM_MOST}")
        with at("redact"):
            for each in self.redact:
                if self.inputs is not None and each.tensor not in self.inputs:
                    raise InvalidDocument("", f"hides {shown(each.tensor)}, of which nothing is kept; leave it out")

    def _check_inputs(self) -> None:
        if self.inputs is None:
            return
        for name in self.inputs:
            text_of(name)
        if not 1 <= len(set(self.inputs)) == len(self.inputs) <= NAMES_MOST:
            raise InvalidDocument("", f"names none, or one twice; write 1 to {NAMES_MOST} names, each once, or {ALL}")

    def takes(self, draw: int) -> bool:
        """Say whether the inputs of the answer that drew *draw*, an integer in [0, 2**64), are kept.

        The draw must not be the one that chose the version.
        """
        return draw < self._limit

    def kept(self, names: Iterable[str]) -> frozenset[str]:
        """Return those of *names*, a version's inputs, that are kept."""
        return frozenset(names) if self.inputs is None else frozenset(names).intersection(self.inputs)

    def why_not(self, signature: Signature) -> tuple[str, str] | None:
        """Return the member that asks for what a version with *signature* does not have, and why; None if none does."""
        missing = sorted(set(self.inputs or ()).difference(spec.name for spec in signature.inputs))
        if missing:
            return "inputs", f"no input is called {shown(missing[0])}"
        alone = Signature(signature.inputs, ())
        hidden = ((f"redact.{each.name}", each.why_not(alone)) for each in self.redact)
        return next(((member, why) for member, why in hidden if why), None)

    def as_dict(self) -> dict[str, Any]:
        return {
            "inputs": ALL if self.inputs is None else list(self.inputs),
            "percent": self.percent,
            "redact": {each.name: each.as_dict() for each in self.redact},
            "stream": self.stream,
        }


def read_keeping(data: object) -> Keeping:
    """Return what the member ``feedback`` says. Raises InvalidDocument.

    ``inputs`` and ``redact`` have to be there: that nothing needs to be hidden is written down as ``{}``.
    """
    members = members_of(data, MEMBERS, needed=("inputs", "redact"), what="feedback")
    named = members["inputs"]
    if named != ALL and not isinstance(named, list):
        raise InvalidDocument("inputs", f"{shown(named)} names no inputs; write {ALL}, or a list of names")
    with at("redact"):
        redact = read_redactions(members["redact"])
    return Keeping(
        redact, None if named == ALL else tuple(named), members.get("percent", 100), members.get("stream", STREAM)
    )
