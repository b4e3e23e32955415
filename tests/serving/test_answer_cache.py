"""Which inputs are the same, and what is forgotten first."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import pytest

from gateway.serving.answer_cache import ENTRY_BYTES, AnswerCache, canonical, size_of
from tests.serving.fakes import pairs

if TYPE_CHECKING:
    from gateway.ports.engine import Tensor

DIFFERENT: list[tuple[Tensor, ...]] = [
    (np.array([[1.0, 2.0]], np.float32),),
    (np.array([[2.0, 1.0]], np.float32),),
    (np.array([[1.0], [2.0]], np.float32),),
    (np.array([1.0, 2.0], np.float32),),
    (np.array([[1.0, 2.0]], np.float64),),
    (np.array([[0.0, 2.0]], np.float32),),
    (np.array([[-0.0, 2.0]], np.float32),),
    (np.array([["a", "bc"]], object),),
    (np.array([["ab", "c"]], object),),
    (np.array([[b"ab", b"\xff"]], object),),
    (np.array([["a", "bc"]], object), np.array([["", ""]], object)),
    (np.zeros((0, 2), np.float32),),
    (np.zeros((0, 3), np.float32),),
]


def test_different_inputs_have_different_keys() -> None:
    keys = [canonical(feeds) for feeds in DIFFERENT]

    assert all(one != other for one, other in itertools.combinations(keys, 2))


def test_the_same_input_has_the_same_key_however_it_lies_in_memory() -> None:
    wide = np.arange(12, dtype=np.float32).reshape(3, 4)

    assert canonical((wide[:, ::2],)) == canonical((wide[:, ::2].copy(),))


def test_text_as_text_and_as_its_bytes_is_the_same() -> None:
    assert canonical((np.array([["ä"]], object),)) == canonical((np.array([["ä".encode()]], object),))


def test_texts_count_with_their_length() -> None:
    assert size_of([np.array(["x" * 1000], object)]) > 1000


def test_the_least_recently_asked_for_goes_first_and_the_bound_holds() -> None:
    cache = AnswerCache(16 * (ENTRY_BYTES + 100))
    for number in range(16):
        cache.keep(bytes([number]), [pairs(number)])
    assert cache.find(bytes([0])) is not None

    for number in range(16, 26):
        cache.keep(bytes([number]), [pairs(number)])
        assert cache.bytes <= 16 * (ENTRY_BYTES + 100)

    assert cache.find(bytes([0])) is not None
    assert cache.find(bytes([1])) is None


def test_what_would_push_out_all_others_is_not_kept() -> None:
    cache = AnswerCache(10_000)

    cache.keep(b"k", [np.zeros(1000, np.float64)])

    assert cache.find(b"k") is None
    assert cache.bytes == 0
    assert not cache.takes((np.zeros(1000, np.float64),))


def test_an_answer_that_is_kept_twice_counts_once() -> None:
    cache = AnswerCache(100_000)
    cache.keep(b"k", [pairs(1)])
    once = cache.bytes

    cache.keep(b"k", [pairs(2)])

    assert cache.bytes == once
    assert (cache.find(b"k") or [])[0][0, 0] == 2


def test_what_is_kept_is_a_copy_that_nobody_can_write_to() -> None:
    cache = AnswerCache(100_000)
    batch = pairs(1, 2, 3)
    cache.keep(b"k", [batch[1:2]])
    batch[:] = 0

    [kept] = cache.find(b"k") or []

    assert kept.base is None
    assert kept[0, 0] == 2
    with pytest.raises(ValueError, match="read-only"):
        kept[0, 0] = 5
