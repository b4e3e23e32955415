"""What a caller says was right, and what a prediction is worth by it. Counts and sums, no judgement.

A prediction holds, per row, a class, or a number, or neither. A label says per row which class or number it should have
been; a reward says how good the whole answer was. Every counter here is added to one hash of the store, so that equal
feedback gives equal quality, whichever worker received it.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import Any, Final

from gateway.core.errors import InvalidDocument
from gateway.core.members import at, members_of, shown, text_of

ITEMS_MOST: Final = 1_000
"""The most items of one body."""

ROWS_MOST: Final = 100
"""The most rows of a prediction that is remembered."""

MAGNITUDE: Final = 1e100
"""Numbers from here on are refused: sums of their squares must stay finite."""

LEAST_CHANCE: Final = 1e-15
"""What a probability of zero counts as in the log loss."""

BINS: Final = 10
"""Equal parts of the confidence, for the calibration."""

SPLIT: Final = "split"
"""The rule of an answer whose version the route's split chose: those alone compare versions fairly."""

MEMBERS: Final = ("id", "label", "value", "reward")


@dataclass(frozen=True, slots=True)
class Prediction:
    """What *version* served under *revision* by *rule*: one of *classes* or *values* per row, or neither.

    *chances*: per row the probability of each class, whose names are 0, 1, …; empty where that is not known.
    *rollout* is set where the request is evidence of one, *point* where its route is sticky.
    """

    version: int
    revision: int
    rule: str
    classes: tuple[str, ...] = ()
    values: tuple[float, ...] = ()
    chances: tuple[tuple[float, ...], ...] = ()
    rollout: str = ""
    point: int | None = None

    def encoded(self) -> bytes:
        """Return the text that ``read_prediction`` reads, without what is empty."""
        kept = {name: value for name, value in asdict(self).items() if value not in ((), "", None)}
        return json.dumps(kept, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that is said of the answer *id*. *kind* is ``label`` or ``reward``; *given* has one text per row.

    *is_value*: a label that was said as ``value``.
    """

    id: str
    kind: str
    given: tuple[str, ...]
    is_value: bool = False

    @property
    def text(self) -> str:
        """The fact as the store keeps it: two that say the same have the same text."""
        return json.dumps(self.given)


def read_prediction(text: bytes) -> Prediction:
    """Return what ``Prediction.encoded`` wrote. Raises InvalidDocument for anything else."""
    try:
        held: dict[str, Any] = json.loads(text)
        for name in ("classes", "values"):
            held[name] = tuple(held.get(name, ()))
        held["chances"] = tuple(tuple(row) for row in held.get("chances", ()))
        return Prediction(**held)
    except (ValueError, TypeError, AttributeError) as exc:
        raise InvalidDocument("", f"what was remembered cannot be read: {exc}; delete its key in the store") from exc


def read_facts(data: object) -> tuple[Fact, ...]:
    """Return what a body of feedback says: one item, or a list of them in ``feedback``. Raises InvalidDocument."""
    if not isinstance(data, dict) or "feedback" not in data:
        return (_fact(data),)
    items = members_of(data, ("feedback",), what="body of feedback")["feedback"]
    if not isinstance(items, list) or not 1 <= len(items) <= ITEMS_MOST:
        raise InvalidDocument("feedback", f"is no list of 1 to {ITEMS_MOST} items; send more in several requests")
    facts = []
    for index, item in enumerate(items):
        with at(f"feedback[{index}]"):
            facts.append(_fact(item))
    return tuple(facts)


def _fact(item: object) -> Fact:
    found = members_of(item, MEMBERS, needed=("id",), what="feedback")
    with at("id"):
        name = text_of(found["id"])
    said = [each for each in MEMBERS[1:] if each in found]
    if len(said) != 1:
        raise InvalidDocument(
            "", "write one of label, value and reward beside the id; send others as items of their own"
        )
    (kind,) = said
    with at(kind):
        given = found[kind]
        texts = tuple(map(_text, given if isinstance(given, list) and kind != "reward" else [given]))
        if not 1 <= len(texts) <= ROWS_MOST:
            raise InvalidDocument(
                "", f"has {len(texts)} rows; write one for each row of the answer, at most {ROWS_MOST}"
            )
        if kind != "label":
            for text in texts:
                _number(text)
    return Fact(name, "reward" if kind == "reward" else "label", texts, kind == "value")


def _text(value: object) -> str:
    """Return a class or a number as it is compared: 1, 1.0 and true are the class "1"."""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float) and math.isfinite(value):
        return class_of(value)
    if isinstance(value, int) and abs(value) < 1 << 64:
        return str(value)
    return text_of(value)


def class_of(value: float) -> str:
    """Return the class that a number names."""
    return str(int(value)) if value.is_integer() else repr(value)


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not abs(number) < MAGNITUDE:
        raise InvalidDocument("", f"{shown(text)} is no number below {MAGNITUDE:g}; write one")
    return number


def score(prediction: Prediction, fact: Fact) -> dict[str, float]:
    """Return kind of counter → what *fact* adds to it, for the version that served *prediction*.

    Kinds whose last word begins with ``sum_`` are sums of numbers, all others whole counts. ``cell|["a", "b"]`` counts
    rows that were predicted as a and labelled b; ``bin|3|…`` rows, those that were right, and the confidence, of the
    rows whose largest probability lies in the fourth of BINS parts. Raises InvalidDocument where the fact does not
    fit what was served.

    Source: log loss and Brier score of the label's class as in Gneiting and Raftery, "Strictly Proper Scoring Rules,
    Prediction, and Estimation", JASA 102, 2007, doi:10.1198/016214506000001437.
    """
    if fact.kind == "reward":
        reward = _number(fact.given[0])
        return {"rewarded": 1, "sum_reward": reward, "bounded": int(0 <= reward <= 1)}
    served: tuple[object, ...] = prediction.classes or prediction.values
    if not served:
        raise InvalidDocument("label", "the answer held neither a class nor a number; send a reward instead")
    if len(served) != len(fact.given):
        raise InvalidDocument("label", f"has {len(fact.given)} rows, the answer had {len(served)}; write one for each")
    counts: dict[str, float] = {"labelled": len(served), "covered": 1}
    if prediction.classes:
        _score_classes(prediction, fact, counts)
    else:
        with at("label"):
            errors = [each - _number(text) for each, text in zip(prediction.values, fact.given, strict=True)]
        counts |= {
            "valued": len(errors),
            "sum_absolute": sum(map(abs, errors)),
            "sum_squared": sum(each * each for each in errors),
        }
    return counts


def fields_of(prediction: Prediction, fact: Fact, age_seconds: float) -> dict[str, float]:
    """Return field of the store's hash → what *fact*, said *age_seconds* after the answer, adds to it, zeros left out.

    ``in|RULE|…`` repeats for the rule that chose the version what ``score`` counts, without cells and bins. Raises
    InvalidDocument as that does.
    """
    counts = score(prediction, fact)
    if fact.kind == "label":
        counts["sum_delay"] = age_seconds
    segment = {f"in|{prediction.rule}|{kind}": many for kind, many in counts.items() if "|" not in kind}
    return {f"{prediction.version}|{kind}": many for kind, many in (counts | segment).items() if many}


def _score_classes(prediction: Prediction, fact: Fact, counts: dict[str, float]) -> None:
    counts["classed"] = len(prediction.classes)
    counts["correct"] = 0
    for predicted, label in zip(prediction.classes, fact.given, strict=True):
        counts["correct"] += predicted == label
        cell = f"cell|{json.dumps([predicted, label])}"
        counts[cell] = counts.get(cell, 0) + 1
    for predicted, chances, label in zip(prediction.classes, prediction.chances, fact.given, strict=False):
        place = int(label) if label.isdecimal() and label.isascii() and len(label) < 6 else len(chances)
        if place < len(chances):
            counts["scored"] = counts.get("scored", 0) + 1
            loss = -math.log(min(1.0, max(chances[place], LEAST_CHANCE)))
            counts["sum_log_loss"] = counts.get("sum_log_loss", 0.0) + loss
            squares = sum((chance - (index == place)) ** 2 for index, chance in enumerate(chances))
            counts["sum_brier"] = counts.get("sum_brier", 0.0) + squares
            _calibrate(counts, max(chances), is_right=predicted == label)


def _calibrate(counts: dict[str, float], confidence: float, *, is_right: bool) -> None:
    """Add one row to the bin of its *confidence*, at least 0; over 1 it counts as 1."""
    sure = min(1.0, confidence)
    name = f"bin|{min(int(sure * BINS), BINS - 1)}"
    for kind, many in (("rows", 1), ("right", is_right), ("sum_confidence", sure)):
        counts[f"{name}|{kind}"] = counts.get(f"{name}|{kind}", 0) + many


def is_wrong(prediction: Prediction, fact: Fact) -> bool | None:
    """Say whether a label calls a row of *prediction* wrong; None for a fact that says no such thing."""
    if fact.kind != "label" or not prediction.classes:
        return None
    return prediction.classes != fact.given
