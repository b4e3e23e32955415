"""Where a request's values are found, and the rules that match them before the split."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.core.errors import InvalidDocument
from gateway.core.members import at, check_choice, members_of, shown, step_of, text_of
from gateway.core.splits import weights_of, written

MAX_RULES: Final = 100
MAX_VALUES: Final = 5_000
"""Values in all rules together. With MAX_RULES it bounds the search for rules that can never match."""

KINDS: Final = ("header", "cookie", "query", "parameter")

TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
"""The name of a header or a cookie. Source: RFC 9110 section 5.6.2, RFC 6265 section 4.1.1."""
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
        check_choice(self.kind, KINDS)
        text_of(self.name)
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
            if EXPRESSION.search(text_of(value)):
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
            object.__setattr__(self, "split", weights_of(self.split))

    @property
    def key(self) -> str:
        """The canonical text of *when*, by which a rule is recognised when a route changes."""
        return json.dumps(self._when(), ensure_ascii=False, separators=(",", ":"))

    def covers(self, later: Rule) -> bool:
        """Say whether this rule matches every request that *later* matches."""
        theirs = {match.source: match for match in later.when}
        return all(match.source in theirs and match.covers(theirs[match.source]) for match in self.when)

    def as_dict(self) -> dict[str, Any]:
        return {"when": self._when(), "split": written(self.split)}

    def _when(self) -> dict[str, list[str]]:
        return {str(match.source): list(match.values) for match in self.when}


def source_of(data: object) -> Source:
    kind, _, name = data.partition(":") if isinstance(data, str) else ("", "", "")
    if kind not in KINDS:
        reason = "is no source; write header:NAME, cookie:NAME, query:NAME or parameter:NAME (assign also takes random)"
        raise InvalidDocument("", f"{shown(data)} {reason}")
    return Source(kind, name.lower() if kind == "header" else name)


def rules_of(data: object) -> tuple[Rule, ...]:
    if not isinstance(data, list):
        raise InvalidDocument("", f"{shown(data)} is no list; write a list of rules, or leave it out")
    rules = []
    for index, entry in enumerate(data):
        with at(f"[{index}]"):
            members = members_of(entry, ("when", "split"), needed=("when", "split"), what="rule")
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
        with at(step_of(key)):
            when.append(Match(source_of(key), tuple(values) if isinstance(values, list) else (values,)))
    return tuple(when)


def check_rules(rules: tuple[Rule, ...]) -> None:
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
