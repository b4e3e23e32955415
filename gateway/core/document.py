"""The route document: how a model's traffic is split, as a value that cannot be built wrong.

Files, the store and the admin API share it. Every refusal is an InvalidDocument with the path of the culprit and what
to write instead; nothing is corrected in silence. Whether the versions exist is not known here.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from gateway.core.errors import InvalidDocument
from gateway.core.names import is_model_name, version_number

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

MAX_BYTES: Final = 1 << 20
MAX_DEPTH: Final = 32
MAX_VERSIONS: Final = 255
MAX_WEIGHT: Final = 1_000_000_000
MAX_RULES: Final = 100
MAX_VALUES: Final = 5_000
"""Values in all rules together. With MAX_RULES it bounds the search for rules that can never match."""
MAX_TEXT: Final = 256
"""UTF-8 bytes of a salt, of a source's name and of a rule's value."""

MEMBERS: Final = ("model", "split", "assign", "rules", "baseline", "fallback", "schema")
NOT_OFFERED: Final = frozenset({"shadow", "rollout"})
KINDS: Final = ("header", "cookie", "query", "parameter")
MISSING: Final = ("random", "baseline")
FALLBACKS: Final = ("baseline", "none")

TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
"""The name of a header or a cookie. Source: RFC 9110 section 5.6.2, RFC 6265 section 4.1.1."""
STEP: Final = re.compile(r"[\w:.-]{1,64}", re.ASCII)
CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
EXPRESSION: Final = re.compile(r"[\^$|()\[\]{}\\]|\*(?!\Z)")
"""What only a regular expression would hold. A ``*`` at the end makes a prefix and is none of it."""

NEVER_READ: Final = frozenset({
    "authorization", "proxy-authorization", "proxy-authenticate", "www-authenticate", "cookie", "set-cookie", "host",
    "content-length", "connection", "proxy-connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade",
    "expect",
})  # fmt: skip
"""Headers that hold credentials or belong to the connection. Source: RFC 9110 sections 7.6.1 and 11."""


@dataclass(frozen=True, slots=True, order=True)
class Source:
    """Where a value of a request is found: *kind* is one of KINDS; a header's *name* is lower-case."""

    kind: str
    name: str

    def __post_init__(self) -> None:
        _check_choice(self.kind, KINDS)
        _text(self.name)
        if self.kind in {"header", "cookie"} and not TOKEN.fullmatch(self.name):
            raise InvalidDocument(
                "", f"{shown(self.name)} is no name of a {self.kind}; use letters, digits and hyphens"
            )
        if self.kind == "header" and self.name != self.name.lower():
            raise InvalidDocument("", f"a header's name is kept in lower case; write {self.name.lower()}")
        if self.kind == "header" and self.name in NEVER_READ:
            raise InvalidDocument(
                "", f"{self.name} holds a credential or belongs to the connection; use another header"
            )

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"


@dataclass(frozen=True, slots=True)
class Assign:
    """What the unit is. *by* None is random: every request by itself; *missing*: what a request without a key gets."""

    by: Source | None
    salt: str
    missing: str = "random"

    def __post_init__(self) -> None:
        with at("salt"):
            _text(self.salt)
        with at("missing"):
            _check_choice(self.missing, MISSING)

    def as_dict(self) -> dict[str, Any]:
        return {"by": str(self.by or "random"), "salt": self.salt, "missing": self.missing}


@dataclass(frozen=True, slots=True)
class Match:
    """One entry of a rule's ``when``: a value of *source* is one of *values*, or begins with one that ends in ``*``.

    *values* are kept sorted and once each, so that the same match has one form.
    """

    source: Source
    values: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise InvalidDocument("", "holds no value; name at least one")
        for value in self.values:
            if EXPRESSION.search(_text(value)):
                reason = "reads like a regular expression; write literals, or prefixes that end in *"
                raise InvalidDocument("", f"{shown(value)} {reason}")
            if value != value.strip(" "):
                raise InvalidDocument("", f"{shown(value)} can never match, blanks are dropped; write it without")
        object.__setattr__(self, "values", tuple(sorted(set(self.values))))

    def literals(self) -> frozenset[str]:
        return frozenset(value for value in self.values if not value.endswith("*"))

    def prefixes(self) -> tuple[str, ...]:
        return tuple(value[:-1] for value in self.values if value.endswith("*"))

    def covers(self, later: Match) -> bool:
        """Say whether this match holds wherever *later*, of the same source, does."""
        literals, prefixes = self.literals(), self.prefixes()
        return all(value in literals or value.removesuffix("*").startswith(prefixes) for value in later.values)


@dataclass(frozen=True, slots=True)
class Rule:
    """A split for the requests for which every match of *when* holds. *when* is sorted, one match per source."""

    when: tuple[Match, ...]
    split: Mapping[int, int]

    def __post_init__(self) -> None:
        if not self.when:
            raise InvalidDocument("when", "is empty, so the rule takes everything; change the route's split instead")
        if len({match.source for match in self.when}) < len(self.when):
            raise InvalidDocument("when", "names one source twice; write all its values into one list")
        object.__setattr__(self, "when", tuple(sorted(self.when, key=lambda match: match.source)))
        with at("split"):
            object.__setattr__(self, "split", _weights(self.split))

    @property
    def key(self) -> str:
        """The canonical text of *when*, by which a rule is recognised when a route changes."""
        return json.dumps(self._when(), ensure_ascii=False, separators=(",", ":"))

    def covers(self, later: Rule) -> bool:
        """Say whether this rule matches every request that *later* matches."""
        theirs = {match.source: match for match in later.when}
        return all(match.source in theirs and match.covers(theirs[match.source]) for match in self.when)

    def as_dict(self) -> dict[str, Any]:
        return {"when": self._when(), "split": _written(self.split)}

    def _when(self) -> dict[str, list[str]]:
        return {str(match.source): list(match.values) for match in self.when}


@dataclass(frozen=True, slots=True)
class RouteDocument:
    """How one model's traffic is split. Splits map version → weight, ascend by version and cannot be changed."""

    model: str
    split: Mapping[int, int]
    assign: Assign
    rules: tuple[Rule, ...]
    baseline: int
    fallback: str = "baseline"

    def __post_init__(self) -> None:
        if not is_model_name(self.model):
            reason = (
                "is no model name; use up to 63 letters, digits, dots, hyphens and underscores, a letter or digit first"
            )
            raise InvalidDocument("model", f"{shown(self.model)} {reason}")
        with at("split"):
            object.__setattr__(self, "split", _weights(self.split))
        with at("rules"):
            _check_rules(self.rules)
        with at("baseline"):
            _version(self.baseline)
        with at("fallback"):
            _check_choice(self.fallback, FALLBACKS)

    def versions(self) -> frozenset[int]:
        """Return every version that is named anywhere, at whatever weight."""
        return frozenset({self.baseline}).union(self.split, *(rule.split for rule in self.rules))

    def with_split(self, split: Mapping[int, int]) -> RouteDocument:
        """Return this document with another *split* for what no rule takes; the baseline stays."""
        return replace(self, split=split)

    def as_dict(self) -> dict[str, Any]:
        """Return the document in its own form, every member spelled out: ``parse`` reads the same value from it."""
        return {
            "model": self.model,
            "split": _written(self.split),
            "assign": self.assign.as_dict(),
            "rules": [rule.as_dict() for rule in self.rules],
            "baseline": str(self.baseline),
            "fallback": self.fallback,
        }


def parse(data: object, *, model: str | None = None) -> RouteDocument:
    """Return the document that *data*, read from JSON or YAML, describes. Raises InvalidDocument.

    *model* is the name under which it is put: the document may leave its own out and may not give another.
    """
    members = _members(data, MEMBERS, needed=("split",) if model is not None else ("model", "split"), what="route")
    schema = members.get("schema", 1)
    if type(schema) is not int or schema != 1:
        raise InvalidDocument("schema", f"{shown(schema)} is not read by this release; write 1 or leave it out")
    with at("model"):
        name = _text(members.get("model", model))
    if model is not None and name != model:
        raise InvalidDocument("model", f"{shown(name)} is not {shown(model)}, whose route this is; leave it out")
    with at("split"):
        split = _weights(members["split"])
    with at("baseline"):
        heaviest = max(split, key=lambda version: (split[version], -version))
        baseline = _version(members.get("baseline", heaviest))
    with at("assign"):
        assign = _assign(members.get("assign", {}), salt=name)
    with at("rules"):
        rules = _rules(members.get("rules", []))
    return RouteDocument(name, split, assign, rules, baseline, members.get("fallback", "baseline"))


def parse_json(text: bytes, *, model: str | None = None) -> RouteDocument:
    """Return the document that the JSON *text* describes, read by ``strict_json``. Raises InvalidDocument."""
    return parse(strict_json(text), model=model)


def parse_weights(data: object) -> dict[int, int]:
    """Return version → weight, ascending, from what a change of weights brings, under the rules of a split."""
    with at("weights"):
        return dict(_weights(data))


def strict_json(text: bytes, *, limit: int = MAX_BYTES) -> object:
    """Return what *text* says, where it can only say one thing. Raises InvalidDocument.

    Refuses what parsers let pass or read differently: a member written twice, NaN and Infinity, numbers beyond a
    double, halves of surrogate pairs; and more than *limit* bytes or MAX_DEPTH levels.
    """
    if len(text) > limit:
        raise InvalidDocument("", f"{len(text)} bytes are more than the {limit} that may be sent; write less")
    try:
        value: object = json.loads(text.decode(), object_pairs_hook=_once, parse_constant=_finite, parse_float=_finite)
    except RecursionError as exc:
        raise InvalidDocument("", f"more than {MAX_DEPTH} levels are nested; write fewer") from exc
    except UnicodeDecodeError as exc:
        raise InvalidDocument("", f"byte {exc.start} is not UTF-8; save the text as UTF-8") from exc
    except ValueError as exc:
        raise InvalidDocument("", f"this is not JSON: {exc}") from exc
    _check_tree(value)
    return value


@contextmanager
def at(step: str) -> Iterator[None]:
    """Put *step* in front of the path of every refusal inside."""
    try:
        yield
    except InvalidDocument as refused:
        joint = "." if refused.field and not refused.field.startswith("[") else ""
        raise InvalidDocument(f"{step}{joint}{refused.field}", refused.reason) from refused.__cause__


def shown(value: object) -> str:
    """Return *value* as a message may show it: short and printable, whatever it is."""
    if isinstance(value, str):
        return repr(value if len(value) <= 64 else value[:63] + "…")
    if value is None or isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < 10**18):
        return json.dumps(value)
    return f"this {type(value).__name__}"


def _text(value: object) -> str:
    """Return *value* if it is text of 1 to MAX_TEXT bytes without control characters."""
    if not isinstance(value, str):
        raise InvalidDocument("", f"{shown(value)} is no text; put it in quotes")
    size = len(_utf8(value))
    if not 1 <= size <= MAX_TEXT:
        raise InvalidDocument("", f"{size} bytes are too {'many' if size else 'few'}; write 1 to {MAX_TEXT}")
    if CONTROL.search(value):
        raise InvalidDocument("", f"{shown(value)} holds a control character; write it without")
    return value


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as exc:
        raise InvalidDocument("", f"{shown(text)} holds half a surrogate pair; write the whole character") from exc


def _check_choice(value: object, choices: Collection[str]) -> None:
    if value not in choices:
        raise InvalidDocument("", f"{shown(value)} is not known; write one of {', '.join(choices)}")


def _members(data: object, allowed: Collection[str], *, needed: Collection[str] = (), what: str) -> Mapping[Any, Any]:
    """Return *data* if it is a mapping that has all members of *needed* and none beside *allowed*."""
    if not isinstance(data, Mapping):
        raise InvalidDocument("", f"{shown(data)} is no {what}; write a mapping with {', '.join(allowed)}")
    for name in data:
        if allowed is MEMBERS and name in NOT_OFFERED:
            raise InvalidDocument(name, "this release does not offer it; leave it out")
        if name not in allowed:
            raise InvalidDocument(_step(name), f"is no member of a {what}; allowed are {', '.join(allowed)}")
    for name in needed:
        if name not in data:
            raise InvalidDocument(name, f"is missing; every {what} needs one")
    return data


def _step(key: object) -> str:
    """Return *key*, whatever it is, as one step of a path."""
    return key if isinstance(key, str) and STEP.fullmatch(key) else shown(key)


def _version(data: object) -> int:
    text = shown(data) if type(data) is int else data
    number = version_number(text) if isinstance(text, str) else None
    if number is None:
        raise InvalidDocument("", f"{shown(data)} is no version; write a number from 1 without leading zeros")
    return number


def _weights(data: object) -> Mapping[int, int]:
    """Return *data* as an immutable mapping version → weight, ascending by version."""
    if not isinstance(data, Mapping):
        raise InvalidDocument("", f'{shown(data)} maps no versions to weights; write such as {{"1": 95, "2": 5}}')
    if len(data) > MAX_VERSIONS:
        raise InvalidDocument("", f"{len(data)} versions are too many; name at most {MAX_VERSIONS}")
    weights: dict[int, int] = {}
    for key, weight in data.items():
        with at(_step(key)):
            version = _version(key)
            if version in weights:
                raise InvalidDocument("", "is written twice; write each version once")
            if type(weight) is not int or not 0 <= weight <= MAX_WEIGHT:
                raise InvalidDocument("", f"{shown(weight)} is no weight; write a whole number from 0 to {MAX_WEIGHT}")
            weights[version] = weight
    if not any(weights.values()):
        raise InvalidDocument("", "nobody is left to answer; give at least one version a weight above 0")
    return MappingProxyType(dict(sorted(weights.items())))


def _written(split: Mapping[int, int]) -> dict[str, int]:
    return {str(version): weight for version, weight in split.items()}


def _assign(data: object, *, salt: str) -> Assign:
    members = _members(data, ("by", "salt", "missing"), what="assign")
    by = members.get("by", "random")
    with at("by"):
        source = None if by == "random" else _source(by)
    return Assign(source, members.get("salt", salt), members.get("missing", "random"))


def _source(data: object) -> Source:
    kind, _, name = data.partition(":") if isinstance(data, str) else ("", "", "")
    if kind not in KINDS:
        reason = "is no source; write header:NAME, cookie:NAME, query:NAME or parameter:NAME (assign also takes random)"
        raise InvalidDocument("", f"{shown(data)} {reason}")
    return Source(kind, name.lower() if kind == "header" else name)


def _rules(data: object) -> tuple[Rule, ...]:
    if not isinstance(data, list):
        raise InvalidDocument("", f"{shown(data)} is no list; write a list of rules, or leave it out")
    rules = []
    for index, entry in enumerate(data):
        with at(f"[{index}]"):
            members = _members(entry, ("when", "split"), needed=("when", "split"), what="rule")
            with at("when"):
                when = _when(members["when"])
            rules.append(Rule(when, members["split"]))
    return tuple(rules)


def _when(data: object) -> tuple[Match, ...]:
    if not isinstance(data, Mapping):
        raise InvalidDocument(
            "", f'{shown(data)} maps no source to values; write such as {{"header:x-tenant": [acme]}}'
        )
    when = []
    for key, values in data.items():
        with at(_step(key)):
            when.append(Match(_source(key), tuple(values) if isinstance(values, list) else (values,)))
    return tuple(when)


def _check_rules(rules: tuple[Rule, ...]) -> None:
    """Refuse too many rules, and a rule that never matches because an earlier one takes all that it would."""
    if len(rules) > MAX_RULES:
        raise InvalidDocument("", f"{len(rules)} rules are too many; write at most {MAX_RULES}")
    values = sum(len(match.values) for rule in rules for match in rule.when)
    if values > MAX_VALUES:
        raise InvalidDocument("", f"{values} values in all rules are too many; write at most {MAX_VALUES}, or prefixes")
    for index, later in enumerate(rules):
        for number, earlier in enumerate(rules[:index], start=1):
            if earlier.covers(later):
                reason = (
                    f"can never match: rule {number} comes first and takes all of it; put this one before, or drop it"
                )
                raise InvalidDocument(f"[{index}]", reason)


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members: dict[str, object] = {}
    for name, value in pairs:
        if name in members:
            raise InvalidDocument("", f"member {shown(name)} is written twice; write it once")
        members[name] = value
    return members


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise InvalidDocument("", f"{shown(text)} is no number that JSON can carry; write a finite one")
    return number


def _check_tree(value: object) -> None:
    """Refuse what is nested too deeply, or holds text that is none."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        for text in level:
            if isinstance(text, str):
                _utf8(text)
        nodes = [node for node in level if isinstance(node, list | dict)]
        if not nodes:
            return
        level = [child for node in nodes for child in (node if isinstance(node, list) else [*node, *node.values()])]
    raise InvalidDocument("", f"more than {MAX_DEPTH} levels are nested; write fewer")
