"""The route document: what it may say, and how it refuses the rest."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.document import MEMBERS, Assign, RouteDocument, parse, parse_json
from gateway.core.errors import InvalidDocument
from gateway.core.members import MAX_TEXT, shown
from gateway.core.plan import read_plan
from gateway.core.rules import KINDS, Source
from gateway.core.splits import MAX_VERSIONS, MAX_WEIGHT, parse_weights

FULL: dict[str, Any] = {
    "model": "breast-cancer",
    "split": {"1": 95, "2": 5},
    "assign": {"by": "header:x-user-id", "salt": "salty", "missing": "baseline"},
    "rules": [{"when": {"header:x-tenant": ["acme", "globex"]}, "split": {"2": 100}}],
    "baseline": "1",
    "fallback": "none",
    "aliases": {"champion": "2"},
    "shadow": {"3": 20},
    "rollout": read_plan({"steps": [{"weight": 5, "for": "1m"}]}).as_dict(),
    "record": {"percent": 1, "redact": {"email": "drop"}, "keep": "1h", "max_bytes": "8m"},
    "optimize": {"by": "accuracy", "floor": "5%", "step": "10%", "every": "1m", "min_labels": 100},
}

HUGE = pytest.param(10**5000, id="a number that cannot be printed")

NAMES = st.from_regex(r"u[a-z-]{0,8}", fullmatch=True)
SOURCES = st.builds("{}:{}".format, st.sampled_from(KINDS), NAMES)
SPLITS = st.dictionaries(
    st.integers(1, 10**18 - 1).map(str) | st.integers(1, 20), st.integers(1, MAX_WEIGHT), min_size=1, max_size=5
).filter(lambda split: len({str(version) for version in split}) == len(split))
VALUES = st.from_regex(r"[a-z0-9.@+é-]{1,10}\*?", fullmatch=True)
WHENS = st.dictionaries(SOURCES, VALUES | st.lists(VALUES, min_size=1), max_size=2)
RULES = st.lists(st.tuples(WHENS, SPLITS), max_size=3).map(
    # A source of its own keeps each rule from taking everything from a later one.
    lambda rules: [{"when": when | {f"query:own-{i}": "x"}, "split": split} for i, (when, split) in enumerate(rules)]
)
ASSIGNS = st.fixed_dictionaries(
    {},
    optional={
        "by": st.just("random") | SOURCES,
        "salt": st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20),
        "missing": st.sampled_from(["random", "baseline"]),
    },
)
DOCUMENTS = st.fixed_dictionaries(
    {"split": SPLITS},
    optional={
        "assign": ASSIGNS,
        "rules": RULES,
        "baseline": st.integers(1, 9) | st.integers(1, 9).map(str),
        "fallback": st.sampled_from(["baseline", "none"]),
        "aliases": st.dictionaries(st.from_regex(r"a[A-Z_0-9]{0,5}", fullmatch=True), st.integers(1, 9), max_size=3),
        "schema": st.just(1),
        "model": st.just("fraud"),
        "shadow": st.dictionaries(st.integers(1, 20).map(str), st.integers(0, 100), max_size=3),
        "rollout": st.just({"steps": [{"weight": 5, "for": "1m"}]}),
        "record": st.just({"percent": 0.5, "redact": {"x[3]": {"constant": 0}, "y": "hash"}}),
    },
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | VALUES
KEYS = st.sampled_from(["1", "by", "when", "split", "header:a"]) | st.text()
JSON = st.recursive(
    LEAVES, lambda node: st.lists(node, max_size=3) | st.dictionaries(KEYS, node, max_size=3), max_leaves=8
)


def refused(data: object, *, model: str | None = "fraud") -> InvalidDocument:
    with pytest.raises(InvalidDocument) as caught:
        parse(data, model=model)
    return caught.value


@given(DOCUMENTS)
def test_a_document_spelled_out_is_the_same_document(data: dict[str, Any]) -> None:
    document = parse(data, model="fraud")

    spelled = document.as_dict()

    assert parse(spelled) == document
    assert parse_json(json.dumps(spelled).encode()) == document
    assert parse(spelled).as_dict() == spelled


@given(st.dictionaries(st.sampled_from(MEMBERS), JSON))
def test_whatever_a_document_holds_it_is_read_or_refused_as_a_document(data: dict[str, Any]) -> None:
    with suppress(InvalidDocument):
        parse({"split": {"1": 1}} | data, model="fraud")


def test_a_document_of_every_member_is_read_as_it_is_written() -> None:
    document = parse(FULL)

    assert document.as_dict() == FULL
    assert document.assign == Assign(Source("header", "x-user-id"), "salty", "baseline")
    assert document.versions() == {1, 2, 3}


def test_what_is_left_out_has_a_default_that_is_spelled_out() -> None:
    assert parse({"split": {2: 5, 10: 5, 1: 0}}, model="iris").as_dict() == {
        "model": "iris",
        "split": {"1": 0, "2": 5, "10": 5},
        "assign": {"by": "random", "salt": "iris", "missing": "random"},
        "rules": [],
        "baseline": "2",
        "fallback": "baseline",
    }


def test_a_split_ascends_by_version_number_and_cannot_be_changed() -> None:
    document = parse({"split": {"10": 1, "9": 1}}, model="iris")

    assert list(document.split) == [9, 10]
    with pytest.raises(TypeError):
        document.split[9] = 0  # type: ignore[index]  # that it does not even type is the point
    with pytest.raises(FrozenInstanceError):
        document.baseline = 10  # type: ignore[misc]  # the same


def test_every_version_named_anywhere_is_named() -> None:
    rules = [{"when": {"query:v": "x"}, "split": {"3": 1, "4": 0}}]

    assert parse({"split": {"1": 1, "2": 0}, "rules": rules, "baseline": "5"}, model="m").versions() == {1, 2, 3, 4, 5}


def test_versions_with_a_weight_anywhere_and_the_baseline_get_requests() -> None:
    rules = [{"when": {"query:a": "b"}, "split": {"3": 1, "4": 0}}]
    document = parse({"split": {"1": 1, "2": 0}, "rules": rules, "baseline": "5", "shadow": {"6": 10}}, model="m")

    assert document.weighted() == {1, 3, 5}


def test_another_split_keeps_everything_else() -> None:
    document = parse(FULL)

    moved = document.with_split({2: 30, 1: 70})

    assert moved.as_dict() == FULL | {"split": {"1": 70, "2": 30}}


def test_another_split_is_checked_like_the_first() -> None:
    with pytest.raises(InvalidDocument, match=r"split: nobody is left"):
        parse(FULL).with_split({1: 0})


def test_the_name_in_the_url_stands_in_for_the_documents_own() -> None:
    assert parse({"split": {"1": 1}}, model="iris").model == "iris"
    assert parse({"split": {"1": 1}, "model": "iris"}, model="iris").model == "iris"
    assert refused({"split": {"1": 1}, "model": "fraud"}, model="iris").field == "model"
    assert refused({"split": {"1": 1}}, model=None).field == "model"


@pytest.mark.parametrize(
    "name", ["..", "a/b", "a\\b", "a\0b", "a\r\nb", "<script>", "x" * 64, "stats", "", 7, None, "\ud800"]
)
def test_a_name_that_is_none_is_refused(name: object) -> None:
    assert refused(FULL | {"model": name}, model=None).field == "model"


def test_a_name_in_the_url_that_is_none_is_refused() -> None:
    assert refused({"split": {"1": 1}}, model="..").field == "model"


@pytest.mark.parametrize("weight", [-1, "50", 1e308, 2.0, 2.5, True, None, float("nan"), MAX_WEIGHT + 1, HUGE, [1]])
def test_a_weight_is_a_whole_number(weight: object) -> None:
    error = refused({"split": {"1": 1, "2": weight}})

    assert error.field == "split.2"
    assert "whole number" in error.reason


@pytest.mark.parametrize(
    "key", ["01", "0", "-1", "", "1.0", "v1", " 1", 0, -1, True, 1.0, None, 10**18, HUGE, "٣", "1" * 5000]
)
def test_a_version_has_one_spelling(key: object) -> None:
    error = refused({"split": {"1000": 1, key: 1}})

    assert error.field.startswith("split.")
    assert "no version" in error.reason


def test_a_version_written_twice_is_refused() -> None:
    assert refused({"split": {"1": 5, 1: 7}}).reason == "is written twice; write each version once"
    assert refused({"split": {"1": 5, "01": 7}}).field == "split.01"
    with pytest.raises(InvalidDocument, match="'1' is written twice"):
        parse_json(b'{"split": {"1": 5, "1": 7}}', model="m")


@pytest.mark.parametrize("split", [{}, {"1": 0}, {"1": 0, "2": 0}])
def test_a_split_that_leaves_nobody_to_answer_is_refused(split: object) -> None:
    assert "above 0" in refused({"split": split}).reason


@pytest.mark.parametrize("split", [[], "1=5", 7, None])
def test_a_split_is_a_mapping(split: object) -> None:
    assert refused({"split": split}).field == "split"


def test_at_most_255_versions_share_a_split() -> None:
    most = {str(version): 1 for version in range(1, MAX_VERSIONS + 1)}

    assert len(parse({"split": most}, model="m").split) == MAX_VERSIONS
    assert "256 versions" in refused({"split": most | {"256": 0}}).reason


def test_any_positive_sum_is_a_split() -> None:
    assert parse_weights({"1": 7}) == {1: 7}
    assert parse_weights({"2": 150, "1": 100}) == {1: 100, 2: 150}
    assert parse_weights({"1": MAX_WEIGHT, 2: 0}) == {1: MAX_WEIGHT, 2: 0}


def test_weights_alone_are_refused_under_their_own_name() -> None:
    with pytest.raises(InvalidDocument) as caught:
        parse_weights({"1": True})

    assert caught.value.field == "weights.1"


@pytest.mark.parametrize(
    ("change", "field", "said"),
    [
        ({"shaddow": {}}, "shaddow", "allowed are model, split, assign"),
        ({"shadow": {"3": 101}}, "shadow.3", "from 0 to 100"),
        ({"shadow": {"3": 2.5}}, "shadow.3", "no percent"),
        ({"shadow": [3]}, "shadow", "maps no versions"),
        ({"rollout": {}}, "rollout.steps", "is missing"),
        ({"rollout": {"steps": []}}, "rollout.steps", "0 steps"),
        ({"rollout": None}, "rollout", "no rollout"),
        ({7: 1}, "7", "no member"),
        ({"a b": 1}, "'a b'", "no member"),
        ({"schema": 2}, "schema", "write 1"),
        ({"schema": True}, "schema", "write 1"),
        ({"schema": "1"}, "schema", "write 1"),
        ({"baseline": "01"}, "baseline", "no version"),
        ({"baseline": None}, "baseline", "no version"),
        ({"fallback": "2"}, "fallback", "baseline, none"),
        ({"fallback": []}, "fallback", "baseline, none"),
        ({"assign": "random"}, "assign", "mapping with by, salt, missing"),
        ({"assign": {"buckets": 0}}, "assign.buckets", "allowed are by, salt, missing"),
        ({"assign": {"shadow": 0}}, "assign.shadow", "no member"),
        ({"assign": {"salt": ""}}, "assign.salt", "0 bytes are too few"),
        ({"assign": {"salt": "x" * 2**20}}, "assign.salt", "too many"),
        ({"assign": {"salt": "é" * (MAX_TEXT // 2 + 1)}}, "assign.salt", "258 bytes"),
        ({"assign": {"salt": "a\x1fb"}}, "assign.salt", "control character"),
        ({"assign": {"salt": 7}}, "assign.salt", "in quotes"),
        ({"assign": {"salt": "\udc00"}}, "assign.salt", "surrogate"),
        ({"assign": {"missing": "none"}}, "assign.missing", "random, baseline"),
        ({"assign": {"by": "uid"}}, "assign.by", "header:NAME"),
        ({"assign": {"by": "ip:x"}}, "assign.by", "header:NAME"),
        ({"assign": {"by": None}}, "assign.by", "header:NAME"),
        ({"assign": {"by": "header:"}}, "assign.by", "too few"),
        ({"assign": {"by": "header:a b"}}, "assign.by", "no name of a header"),
        ({"assign": {"by": "cookie:a=b"}}, "assign.by", "no name of a cookie"),
        ({"assign": {"by": "query:a\nb"}}, "assign.by", "control character"),
    ],
    ids=str,
)
def test_a_refusal_names_the_culprit_and_what_to_write(change: dict[Any, Any], field: str, said: str) -> None:
    error = refused({"split": {"1": 1}} | change)

    assert error.field == field
    assert said in error.reason


@pytest.mark.parametrize("data", [None, [], "split", 7])
def test_a_document_is_a_mapping(data: object) -> None:
    assert "mapping with model, split" in refused(data).reason


def test_a_document_without_split_is_refused() -> None:
    assert refused({}).field == "split"


@pytest.mark.parametrize(
    "name", ["Connection", "AUTHORIZATION", "cookie", "host", "content-length", "te", "Proxy-Authorization"]
)
def test_a_header_of_the_connection_or_with_a_credential_is_never_read(name: str) -> None:
    assert "use another header" in refused({"split": {"1": 1}, "assign": {"by": f"header:{name}"}}).reason


def test_a_headers_name_is_kept_in_lower_case_and_no_other_name_is() -> None:
    def read(by: str) -> Source | None:
        return parse({"split": {"1": 1}, "assign": {"by": by}}, model="m").assign.by

    assert read("header:X-User-ID") == Source("header", "x-user-id")
    assert read("cookie:Sid") == Source("cookie", "Sid")
    assert read("query:a:B") == Source("query", "a:B")
    assert read("parameter:User") == Source("parameter", "User")


@pytest.mark.parametrize(
    ("kind", "name"), [("header", "X-User"), ("ip", "x"), ("header", "host"), ("cookie", "é"), ("query", "")]
)
def test_a_source_cannot_be_built_wrong(kind: str, name: str) -> None:
    with pytest.raises(InvalidDocument):
        Source(kind, name)


@pytest.mark.parametrize(
    "change", [{"model": ".."}, {"split": {1: -1}}, {"split": {}}, {"baseline": 0}, {"fallback": "1"}], ids=str
)
def test_a_document_cannot_be_built_wrong(change: dict[str, Any]) -> None:
    members: dict[str, Any] = {"model": "m", "split": {1: 1}, "assign": Assign(None, "m"), "rules": (), "baseline": 1}

    assert RouteDocument(**members) == parse({"split": {"1": 1}}, model="m")
    with pytest.raises(InvalidDocument):
        RouteDocument(**members | change)


def test_what_is_shown_of_a_strange_value_is_short_and_printable() -> None:
    endless: list[object] = []
    endless.append(endless)

    texts = [shown(value) for value in ("x" * 1000, "\ud800\r\n\x1b", endless, 10**5000, 1e400, None, True, 10**17)]

    assert all(len(text) < 80 and text.isprintable() and text.isascii() for text in texts[1:])
    assert len(texts[0]) == 66
