"""What the store holds is read whole or refused with one word."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.document import parse
from gateway.core.errors import CorruptRoute, InvalidDocument
from gateway.core.plan import read_plan
from gateway.core.rollout import start
from gateway.core.seating import Seating, reseat_route, seat_route
from gateway.core.stored import MAX_QUARANTINED, Held, Quarantined, decode, digest, encode
from gateway.core.strict_json import MAX_BYTES

RULES = [{"when": {"header:x-tenant": ["Zoë", "acme*"]}, "split": {"3": 1}}]
OLD = parse({"split": {"1": 100}, "assign": {"by": "header:x-user-id", "salt": "ü"}, "rules": RULES}, model="fraud")
ROUTE = OLD.with_split({1: 95, 2: 5})
SEATING = reseat_route(OLD, seat_route(OLD), ROUTE)
PAYLOAD = encode(Held(ROUTE, SEATING))


def refused(payload: bytes, *, model: str = "fraud", sha256: str | None = None) -> CorruptRoute:
    with pytest.raises(CorruptRoute) as caught:
        decode(model, payload, digest(payload) if sha256 is None else sha256)
    return caught.value


def changed(**members: Any) -> bytes:
    return json.dumps(json.loads(PAYLOAD) | members).encode()


def test_what_was_written_is_read() -> None:
    assert decode("fraud", PAYLOAD, digest(PAYLOAD)) == Held(ROUTE, SEATING)


def test_the_payload_is_pinned() -> None:
    plain = parse({"split": {"1": 95, "2": 5}}, model="iris")

    assert encode(Held(plain, seat_route(plain))) == (
        b'{"schema":1,"route":{"model":"iris","split":{"1":95,"2":5},'
        b'"assign":{"by":"random","salt":"iris","missing":"random"},"rules":[],"baseline":"1","fallback":"baseline"},'
        b'"seating":{"split":{"1":[[0,9499]],"2":[[9500,9999]]},"rules":{}}}'
    )


def test_a_rollout_and_what_was_taken_back_are_read_as_written() -> None:
    plan = read_plan({"steps": [{"weight": 5, "for": "1m"}]})
    rollout = start("r1", candidates=(2,), baseline=1, plan=plan, before={1: 100}, baseline_rate=0.0, now=1.5)
    held = Held(ROUTE, SEATING, rollout, (Quarantined("0" * 64, 2, "errors: too many"),))

    payload = encode(held)

    assert decode("fraud", payload, digest(payload)) == held


def test_only_so_many_quarantined_files_are_remembered_and_the_newest_of_them() -> None:
    many = tuple(Quarantined(f"{number:064x}", 2, "") for number in range(MAX_QUARANTINED + 5))

    payload = encode(Held(ROUTE, SEATING, None, many))

    assert decode("fraud", payload, digest(payload)).quarantine == many[5:]


def test_equal_routes_give_equal_bytes_however_they_were_written() -> None:
    one = parse({"split": {"2": 5, "1": 95}, "rules": [{"when": {"query:a": ["y", "x"]}, "split": {2: 1}}]}, model="m")
    other = parse({"rules": [{"split": {"2": 1}, "when": {"query:a": ["x", "y"]}}], "split": {1: 95, 2: 5}}, model="m")

    assert encode(Held(one, seat_route(one))) == encode(Held(other, seat_route(other)))


def test_one_byte_that_changed_is_noticed() -> None:
    flipped = PAYLOAD.replace(b"95", b"94")

    assert refused(flipped, sha256=digest(PAYLOAD)).reason == "digest_mismatch"
    assert refused(PAYLOAD, sha256="").reason == "digest_mismatch"


def test_what_is_too_large_is_not_even_hashed() -> None:
    assert refused(b" " * (MAX_BYTES + 1), sha256="").reason == "too_large"


@pytest.mark.parametrize(
    "payload", [b"", b"\xff", b"{", PAYLOAD[:-1], b'{"schema":1,"schema":1}', b"[" * 10_000, b"NaN"]
)
def test_what_is_not_json_is_refused(payload: bytes) -> None:
    assert refused(payload).reason == "not_json"


def test_a_newer_schema_is_told_from_a_broken_route() -> None:
    error = refused(changed(schema=2, something={"new": True}))

    assert error.reason == "newer_schema"
    assert "upgrade" in str(error)


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        (b"[]", "schema"),
        (b"{}", "schema"),
        (changed(schema=True), "schema"),
        (changed(schema=0), "schema"),
        (changed(schema="2"), "schema"),
        (changed(more=1), "more"),
        (b'{"schema":1}', "route: is missing"),
        (changed(rollout=None), "rollout: "),
        (changed(rollout={"id": "r"}), "rollout."),
        (changed(quarantine={}), "quarantine: "),
        (changed(quarantine=[1]), "quarantine[0]"),
        (changed(quarantine=[{"digest": "0" * 63, "version": "2", "reason": ""}]), "quarantine[0]"),
        (changed(quarantine=[{"digest": "0" * 64, "version": "2", "reason": 1}]), "quarantine[0]"),
        (changed(quarantine=[{"digest": "0" * 64, "version": "0", "reason": ""}]), "quarantine[0]"),
        (changed(route={"model": "fraud", "split": {"1": -1}}), "route.split.1"),
        (changed(route=[]), "route: "),
        (changed(seating={}), "seating: "),
        (changed(seating={"split": {"1": [[0, 9999]], "2": []}, "rules": {}}), "seating.rules"),
    ],
    ids=str,
)
def test_an_invalid_route_is_refused_with_the_field(payload: bytes, field: str) -> None:
    error = refused(payload)

    assert error.reason == "invalid"
    assert field in str(error)


def test_a_route_under_the_key_of_another_model_is_refused() -> None:
    error = refused(PAYLOAD, model="iris")

    assert error.reason == "invalid"
    assert "route.model" in str(error)


@given(st.binary(max_size=40) | st.text().map(str.encode))
def test_whatever_the_store_holds_is_read_or_refused_as_a_corrupt_route(payload: bytes) -> None:
    with suppress(CorruptRoute):
        decode("fraud", payload, digest(payload))


@given(st.data())
def test_a_payload_cut_or_spliced_anywhere_is_read_or_refused_as_a_corrupt_route(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(PAYLOAD)))
    until = data.draw(st.integers(at, min(len(PAYLOAD), at + 20)))
    spliced = (
        PAYLOAD[:at] + data.draw(st.sampled_from([b"", b"0", b'"', b"{}", b"[]", b"null", b"1,"])) + PAYLOAD[until:]
    )

    with suppress(CorruptRoute):
        decode("fraud", spliced, digest(spliced))


def test_a_payload_that_nobody_could_read_back_is_not_written() -> None:
    # Every second position to another version: the most runs that a table can have.
    torn = {1: tuple((p, p) for p in range(0, 10_000, 2)), 2: tuple((p, p) for p in range(1, 10_000, 2))}
    rules = [{"when": {"query:a": f"v{i}"}, "split": {"1": 1, "2": 1}} for i in range(12)]
    document = parse({"split": {"1": 1, "2": 1}, "rules": rules}, model="m")

    with pytest.raises(InvalidDocument, match="another salt"):
        encode(Held(document, Seating(torn, {rule.key: torn for rule in document.rules})))
