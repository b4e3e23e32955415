"""What the two versions of a rollout answer, as counts by bin: a sample of it, read beside the requests.

A request leaves a reference to one output. Several times a second what was left is joined and counted at once, so it
costs a request a fraction of a microsecond. Which answers are taken depends on when they came and on nothing else, for
both versions alike. Nothing here judges: ``core.outputs`` and ``models.answers`` have the bins, ``core.analysis`` the
verdict.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from gateway.core.outputs import OUT_KINDS, VALUE_EDGES, VALUE_KINDS
from gateway.models.answers import binned, form_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.core.signature import Signature
    from gateway.models.answers import Form
    from gateway.ports.engine import Tensor

ROOM: Final = 4_096
"""Elements that are taken between two readings, and what an answer takes beside its own: at most 256 answers."""
ANSWER: Final = 16

ROWS: Final = 64
"""Of one answer so many rows are counted: one large request must not speak for all."""

_VALUE_EDGES: Final = np.array(VALUE_EDGES)


def forms_of(baseline: Signature, canary: Signature) -> tuple[Form, Form] | None:
    """Return the forms of both, where their bins mean the same."""
    ours, theirs = form_of(baseline), form_of(canary)
    if ours is None or theirs is None or (ours.kind == "numbers") != (theirs.kind == "numbers"):
        return None
    return ours, theirs


class OutputSample:
    """The answers of one version under one revision that were not read yet."""

    __slots__ = ("_edges", "_form", "_held", "_kinds", "_room")

    def __init__(self, form: Form, deciles: Sequence[float]) -> None:
        """*deciles*: the edges of the bins of numbers; without any, numbers are counted in the fine histogram."""
        self._form = form
        self._edges = np.array(deciles) if deciles else _VALUE_EDGES
        self._kinds = OUT_KINDS if deciles or form.kind != "numbers" else VALUE_KINDS
        self._held: list[Tensor] = []
        self._room = ROOM

    def take(self, outputs: Sequence[Tensor]) -> None:
        """Take one answer, *outputs* in the order of the signature, if there is room."""
        if self._room > 0:
            tensor = outputs[self._form.place]
            self._room -= ANSWER + tensor.size
            self._held.append(tensor)

    def read(self) -> Mapping[str, int]:
        """Return how often each kind was answered since the last call."""
        if not self._held:
            return {}
        held, self._held, self._room = self._held, [], ROOM
        bins = self._bins(held)
        return {self._kinds[number]: int(bins[number]) for number in np.flatnonzero(bins)}

    def _bins(self, held: Sequence[Tensor]) -> Tensor:
        return binned(self._form.kind, [each[:ROWS] for each in held], self._edges)
