"""One answer with its inputs and what was said of it, as the store hands it to whoever learns from it.

What is in the store is untrusted: an entry that cannot be read whole is no example, and is never half of one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.core.feedback import Fact, Prediction

KINDS: Final = ("label", "value", "reward")
FIELDS: Final = ("id", "version", "kind", "said", "predicted", "at", "inputs")
"""Of an entry, each as text: *said*, *predicted* and *inputs* are JSON, *at* is in milliseconds since the epoch."""

Words = tuple[str, ...] | tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Labelled:
    """*said* of the answer *id* by *version*, to requests with *inputs*; counted once, at *at_ms* since the epoch.

    *entry* is what it is acknowledged by. *kind* is one of KINDS, the member by which it was said. *said* has one class
    or number per row, of a reward one number; *predicted* one class or number per row, none where the answer held
    neither. Classes are texts. *inputs* maps the name of an input to its ``datatype``, ``shape`` and ``data``, as in a
    JSON tensor of the Open Inference Protocol, after redaction; the data lie in a row.
    """

    entry: str
    id: str
    version: int
    kind: str
    said: Words
    predicted: Words
    at_ms: int
    inputs: Mapping[str, Mapping[str, Any]]


def example_of(prediction: Prediction, fact: Fact) -> dict[str, str]:
    """Return the fields of the entry that *fact* makes of *prediction*, but for the time and the inputs.

    What was said has the kind of what was predicted: classes as texts, numbers as numbers. The fact must fit the
    prediction, see ``feedback.score``.
    """
    is_class = fact.kind == "label" and bool(prediction.classes)
    said = fact.given if is_class else tuple(map(float, fact.given))
    return {
        "id": fact.id,
        "version": str(prediction.version),
        "kind": "value" if fact.is_value else fact.kind,
        "said": json.dumps(said),
        "predicted": json.dumps(prediction.classes or prediction.values),
    }


def read_labelled(entry: str, fields: Mapping[str, str]) -> Labelled | None:
    """Return what the *fields* of an entry hold, None where they are no whole example."""
    try:
        kind, inputs = fields["kind"], json.loads(fields["inputs"])
        found = Labelled(
            entry, fields["id"], int(fields["version"]), kind,
            _words(json.loads(fields["said"])), _words(json.loads(fields["predicted"])), int(fields["at"]), inputs,
        )  # fmt: skip
    except (KeyError, ValueError, TypeError, RecursionError):
        return None
    is_whole = kind in KINDS and isinstance(inputs, dict) and all(map(_is_tensor, inputs.values()))
    return found if is_whole else None


def _words(data: object) -> Words:
    """Return a list of texts, or of numbers, as a tuple. Raises TypeError for anything else."""
    if isinstance(data, list) and all(isinstance(each, str) for each in data):
        return tuple(data)
    if isinstance(data, list) and all(isinstance(each, int | float) for each in data):
        return tuple(map(float, data))
    raise TypeError


def _is_tensor(data: object) -> bool:
    return isinstance(data, dict) and data.keys() == {"datatype", "shape", "data"}
