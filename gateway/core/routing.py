"""Which version answers a request.

A route is compiled once, when it changes; a decision then costs a draw, or one hash of a key, and two look-ups. Pure:
the caller brings a random draw for every request and a way to read the request's values, so that random and sticky
routes share one decision, and the answer for a key is the same on every worker, replica and release.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from gateway.core.errors import InvalidRequest
from gateway.core.slots import SLOTS, hash_point, key_prefix, order, owners, seats, slot_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.core.document import RouteDocument
    from gateway.core.rules import Match, Rule, Source
    from gateway.core.seating import Seating
    from gateway.core.slots import Stacks

    Answer = tuple[int, str]
    """The version that answers, and the name of what chose it: ``split``, ``missing`` or ``rule-1``, ``rule-2``…"""

MAX_KEY_BYTES: Final = 4096
BLANKS: Final = b" \t"


class Values(Protocol):
    """How a decision reads a request."""

    def __call__(self, kind: str, name: str) -> Sequence[bytes]:
        """Return all values of *name*, as received, none where there is none.

        *kind* is header (then *name* is lower-case), cookie, query (values percent-decoded) or parameter (text as
        UTF-8, integers in decimal, nothing else).
        """
        ...


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a key gets its version. Without a key, or on a random route, nothing is hashed and the places are None.

    *version* is None where a draw decides. *position* is the slot's place in the order in which versions own slots.
    """

    key: bytes
    by: str
    salt: str
    point: int | None
    slot: int | None
    position: int | None
    version: int | None
    rule: str

    def as_dict(self) -> dict[str, Any]:
        """Return the explanation for JSON; *key* is None where the bytes are not UTF-8."""
        return {
            "key": _as_text(self.key),
            "key_hex": self.key.hex(),
            "by": self.by,
            "salt": self.salt,
            "point": None if self.point is None else f"{self.point:016x}",
            "slot": self.slot,
            "position": self.position,
            "version": None if self.version is None else str(self.version),
            "rule": self.rule,
        }


@dataclass(frozen=True, slots=True)
class Table:
    """A split made flat: *owners* holds for each slot an index into *answers*. Whoever is alone is at index 0."""

    answers: tuple[Answer, ...]
    owners: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Condition:
    """A match of a rule over bytes: a value is one of *literals* or begins with one of *prefixes*.

    *source* is the kind and the name of where the request's values are.
    """

    source: tuple[str, str]
    literals: frozenset[bytes]
    prefixes: tuple[bytes, ...]

    def holds(self, found: Sequence[bytes]) -> bool:
        """Say whether one of the values *found* at the source, which are bare of blanks, matches."""
        return any(value in self.literals or value.startswith(self.prefixes) for value in found)


@dataclass(frozen=True, slots=True)
class Routing:
    """A compiled route. ``compile_route`` builds it; it is swapped whole and never changed.

    *needs_parameters* says whether a request's parameters have to be read before a decision. *rules* are tried in
    order. *missing* is what a request without a key gets where the split leaves a choice; None is a random seat.
    """

    document: RouteDocument
    needs_parameters: bool
    table: Table
    rules: tuple[tuple[tuple[Condition, ...], Table], ...]
    source: Source | None
    prefix: bytes
    missing: Answer | None

    def decide(self, values: Values, draw: int, point: int | None = None) -> Answer:
        """Return the version that answers a request, and what chose it.

        draw: integer in [0, 2**64), uniform. Used by random routes, and by sticky ones for a request without a key.
        point: what ``point`` says of this request, for a caller that needs it too: a key is then hashed once. Raises
        InvalidRequest for a key that is ambiguous or too long, whatever the weights are: a caller's mistake must not
        turn into an error only when a canary starts.
        """
        table = self._table(values) if self.rules else self.table
        if self.source is None:
            return table.answers[table.owners[draw * SLOTS >> 64]]
        if point is not None:  # a lone version owns every slot
            return table.answers[table.owners[point * SLOTS >> 64]]
        key = read_key(values(self.source.kind, self.source.name), self.source)
        if len(table.answers) == 1:  # a lone version needs neither key nor draw
            return table.answers[0]
        return self._seated(table, key) or table.answers[table.owners[draw * SLOTS >> 64]]

    def point(self, values: Values) -> int | None:
        """Return the 64-bit point of a request's key, where the split seats it; None without a key or on random routes.

        Raises InvalidRequest like ``decide``.
        """
        key = b"" if self.source is None else read_key(values(self.source.kind, self.source.name), self.source)
        return hash_point(self.prefix + key) if key else None

    def explain(self, key: bytes, values: Values) -> Explanation:
        """Return what ``decide`` does with a request whose key is *key*, and why; rules read *values*.

        Raises InvalidRequest for a key that is too long.
        """
        table = self._table(values)
        salt = self.document.assign.salt
        answer = table.answers[0] if len(table.answers) == 1 else None
        if self.source is None:
            bare = key
        else:
            bare = read_key((key,), self.source)
            answer = answer or self._seated(table, bare)
        point = hash_point(self.prefix + bare) if bare and self.source is not None else None
        slot = None if point is None else slot_of(point)
        return Explanation(
            key=bare,
            by=str(self.source or "random"),
            salt=salt,
            point=point,
            slot=slot,
            position=None if slot is None else order(salt).index(slot),
            version=answer[0] if answer else None,
            rule=(answer or table.answers[0])[1],
        )

    def shares(self) -> dict[int, float]:
        """Return the share of the slots, a fraction of one, that each version of the route's split has."""
        return {version: count / SLOTS for version, count in seats(self.document.split).items()}

    def _table(self, values: Values) -> Table:
        """Return the table of the first rule that matches, or the split's.

        Rules mostly ask the same few sources, which are mostly empty: each is read once. Blanks around a value are
        dropped; an empty one is missing.
        """
        read: dict[tuple[str, str], Sequence[bytes]] = {}
        for conditions, table in self.rules:
            for condition in conditions:
                source = condition.source
                if source not in read:
                    read[source] = _stripped(values(*source))
                found = read[source]
                if not found or not condition.holds(found):
                    break
            else:
                return table
        return self.table

    def _seated(self, table: Table, key: bytes) -> Answer | None:
        """Return the answer for *key* among several versions, or None where a draw has to choose."""
        if key:
            return table.answers[table.owners[hash_point(self.prefix + key) * SLOTS >> 64]]
        return self.missing


def _stripped(found: Sequence[bytes]) -> Sequence[bytes]:
    """Return the values *found* without the blanks around them; what is empty then is missing."""
    return [bare for value in found if (bare := value.strip(BLANKS))] if found else found


def read_key(found: Sequence[bytes], source: Source) -> bytes:
    """Return the one key among the values *found* at *source*, bare of blanks; empty where there is none.

    The same value twice is one key. Raises InvalidRequest for two different ones, and for one that is too long.
    """
    key = b""
    if len(found) == 1:
        key = found[0].strip(BLANKS)
    elif found:
        key, *others = {*_stripped(found)} or {b""}
        if others:
            raise InvalidRequest(f"{source} holds two different keys; send one", "ambiguous_key")
    if len(key) > MAX_KEY_BYTES:
        raise InvalidRequest(
            f"the key in {source} is {len(key)} bytes long; at most {MAX_KEY_BYTES} are read", "key_too_long"
        )
    return key


def compile_route(document: RouteDocument, seating: Seating) -> Routing:
    """Return the routing of *document* as seated by *seating*, which must be its own.

    Takes about 10 ms where versions share a split under a salt that is new to this process.
    """
    salt = document.assign.salt
    rules = tuple(
        (_conditions(rule), _flat(seating.rules[rule.key], salt, f"rule-{number}"))
        for number, rule in enumerate(document.rules, start=1)
    )
    sources = [match.source for rule in document.rules for match in rule.when]
    return Routing(
        document=document,
        needs_parameters=any(
            source is not None and source.kind == "parameter" for source in (document.assign.by, *sources)
        ),
        table=_flat(seating.split, salt, "split"),
        rules=rules,
        source=document.assign.by,
        prefix=key_prefix(salt),
        missing=(document.baseline, "missing") if document.assign.missing == "baseline" else None,
    )


def _flat(stacks: Stacks, salt: str, rule: str) -> Table:
    versions, table = owners(stacks, salt)
    return Table(tuple((version, rule) for version in versions), table)


def _conditions(rule: Rule) -> tuple[Condition, ...]:
    return tuple(_condition(match) for match in rule.when)


def _condition(match: Match) -> Condition:
    literals = frozenset(value.encode() for value in match.literals())
    prefixes = tuple(value.encode() for value in match.prefixes())
    return Condition((match.source.kind, match.source.name), literals, prefixes)


def _as_text(key: bytes) -> str | None:
    try:
        return key.decode()
    except UnicodeDecodeError:
        return None
