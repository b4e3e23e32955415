"""Where a route's keys are found in a request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gateway.rest.lookup import HttpValues
from gateway.rest.request_head import RequestHead

if TYPE_CHECKING:
    from collections.abc import Sequence

    Pairs = Sequence[tuple[bytes, bytes]]


def found(kind: str, name: str, *, headers: Pairs = (), query: bytes = b"", parameters: Any = None) -> list[bytes]:
    return list(HttpValues(RequestHead(headers, dict(headers), query), parameters)(kind, name))


def test_every_value_of_a_repeated_header_is_found_in_order() -> None:
    headers = [(b"x-user", b"ann"), (b"other", b"x"), (b"x-user", b"bob")]

    assert found("header", "x-user", headers=headers) == [b"ann", b"bob"]


def test_a_header_is_found_by_its_whole_name_only() -> None:
    headers = [(b"x-user-id", b"1"), (b"x-use", b"2")]

    assert found("header", "x-user", headers=headers) == []


def test_bytes_that_are_not_utf8_are_left_as_they_came() -> None:
    assert found("header", "x-user", headers=[(b"x-user", b"\xff\xfe")]) == [b"\xff\xfe"]


@pytest.mark.parametrize(
    ("jars", "values"),
    [
        ([b"user=ann"], [b"ann"]),
        ([b"a=1; user=ann; b=2"], [b"ann"]),
        ([b"a=1;user=ann"], [b"ann"]),
        ([b"user=ann", b"user=bob"], [b"ann", b"bob"]),
        ([b"user=ann; user=bob"], [b"ann", b"bob"]),
        ([b"user=a=b"], [b"a=b"]),
        ([b"user="], [b""]),
        ([b"user"], []),
        ([b"xuser=ann; User=bob"], []),
        ([b"user=a%20b"], [b"a%20b"]),
        ([], []),
    ],
)
def test_cookies_are_found_in_every_jar_and_never_decoded(jars: list[bytes], values: list[bytes]) -> None:
    assert found("cookie", "user", headers=[(b"cookie", jar) for jar in jars]) == values


@pytest.mark.parametrize(
    ("query", "values"),
    [
        (b"user=ann", [b"ann"]),
        (b"a=1&user=ann&b=2", [b"ann"]),
        (b"user=a%20b", [b"a b"]),
        (b"user=a+b", [b"a b"]),
        (b"user=a%2Bb", [b"a+b"]),
        (b"u%73er=ann", [b"ann"]),
        (b"user=%ff", [b"\xff"]),
        (b"user=%zz", [b"%zz"]),
        (b"user=a=b", [b"a=b"]),
        (b"user=", [b""]),
        (b"user", []),
        (b"user=ann&user=bob", [b"ann", b"bob"]),
        (b"", []),
        (b"&&", []),
    ],
)
def test_query_values_are_percent_decoded(query: bytes, values: list[bytes]) -> None:
    assert found("query", "user", query=query) == values


@pytest.mark.parametrize(
    ("value", "values"),
    [
        ("ann", [b"ann"]),
        ("ä", [b"\xc3\xa4"]),
        ("", [b""]),
        (17, [b"17"]),
        (-1, [b"-1"]),
        (0, [b"0"]),
        (2**70, [str(2**70).encode()]),
        (True, []),
        (1.0, []),
        (None, []),
    ],
)
def test_texts_and_integers_are_keys_and_no_other_parameter_is(value: Any, values: list[bytes]) -> None:
    assert found("parameter", "user", parameters={"user": value}) == values


def test_a_request_without_parameters_has_no_such_key() -> None:
    assert found("parameter", "user") == []


def test_an_integer_and_its_text_are_the_same_key() -> None:
    assert found("parameter", "user", parameters={"user": 7}) == found("parameter", "user", parameters={"user": "7"})
