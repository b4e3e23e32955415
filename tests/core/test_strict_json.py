"""JSON that can only be read in one way."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import InvalidDocument
from gateway.core.strict_json import MAX_BYTES, MAX_DEPTH, strict_json

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
TREES = st.recursive(LEAVES, lambda node: st.lists(node) | st.dictionaries(st.text(), node), max_leaves=20)


@given(TREES)
def test_json_is_read_as_the_standard_reader_does(tree: object) -> None:
    text = json.dumps(tree, ensure_ascii=False).encode()

    assert strict_json(text) == tree


@given(st.binary(max_size=64))
def test_any_bytes_are_read_or_refused_as_a_document(text: bytes) -> None:
    with suppress(InvalidDocument):
        strict_json(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b'{"weights": {"1": 5, "1": 7}}', "'1' is written twice"),
        (b'[{"a": {"b": 1, "c": 2, "b": 1}}]', "'b' is written twice"),
        (b'{"a": 1, "\\u0061": 2}', "'a' is written twice"),
        (b'{"weight": NaN}', "'NaN' is no number"),
        (b"[Infinity]", "'Infinity' is no number"),
        (b"[-Infinity]", "'-Infinity' is no number"),
        (b"[1e999]", "'1e999' is no number"),
        (b'"\\ud800"', "half a surrogate pair"),
        (b'{"\\udc00": 1}', "half a surrogate pair"),
        (b'"\xff"', "byte 1 is not UTF-8"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b"", "not JSON"),
        (b"{} {}", "not JSON"),
        (b"{'a': 1}", "not JSON"),
        (b"9" * 5000, "not JSON"),
        (b"[" * 100_000, "levels are nested"),
        (b"[" * 200 + b"]" * 200, "levels are nested"),
        (b'{"a":' * 100_000, "levels are nested"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_what_parsers_read_differently_is_refused(text: bytes, reason: str) -> None:
    with pytest.raises(InvalidDocument, match=reason):
        strict_json(text)


def test_a_whole_surrogate_pair_is_one_character() -> None:
    assert strict_json(b'"\\ud83d\\ude00"') == "😀"


def test_the_limits_of_depth_and_size_are_the_last_that_fit() -> None:
    deepest = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    longest = b'"' + b"x" * (MAX_BYTES - 2) + b'"'

    strict_json(deepest)
    strict_json(longest)

    with pytest.raises(InvalidDocument, match="levels"):
        strict_json(b"[" + deepest + b"]")
    with pytest.raises(InvalidDocument, match="bytes are more"):
        strict_json(longest + b" ")


def test_a_door_can_read_less_than_the_most() -> None:
    with pytest.raises(InvalidDocument, match="3 bytes are more than the 2"):
        strict_json(b"[1]", limit=2)
