"""Whose words a version's inputs know by the names of its callers, and how a text becomes a count of them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from gateway.core.errors import InvalidModel
from gateway.core.reference import NO_TOKENS, Reference, vocabulary_name
from gateway.core.signature import FREE, Signature, TensorSpec
from gateway.core.vocabulary import ROUND_CHARACTERS, KnownWords, Vocabulary
from gateway.models.counting import Counting, column_of_vocabulary, columns_of_texts, places_of
from gateway.models.vocabularies import Vocabularies, by_place
from tests.serving.fakes import FakeSession, loaded_version

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

WORDS = Vocabulary(frozenset({"open", "file"}))
NOTE = Signature((TensorSpec("age", "INT64", (FREE,)), TensorSpec("note", "BYTES", (FREE, 1))), ())


def tensors(*texts: str) -> list[Any]:
    return [np.arange(len(texts)), np.array([[text.encode()] for text in texts], object)]


def test_a_text_is_counted_by_what_is_known_of_it_also_without_a_reference() -> None:
    found = Counting(places_of(NOTE), None, {1: WORDS}).counts(tensors("open file", "la casa", ""))

    assert found["note vocabulary"] == {9: 1, 0: 1, NO_TOKENS: 1}
    assert sum(found["note (length)"].values()) == 3


def test_a_reference_without_that_column_is_compared_without_it() -> None:
    texts = tensors("open file")[1].reshape(-1)
    before = Reference(columns_of_texts("note", texts), 1, "rows.csv")
    after = Reference((*before.columns, column_of_vocabulary("note", texts, WORDS)), 1, "rows.csv")

    names = [set(Counting(places_of(NOTE), each, {1: WORDS}).counts(tensors("x"))) for each in (before, after)]

    assert names[1] - names[0] == {"note vocabulary"}


def test_a_reference_counts_every_text_and_traffic_only_so_much_at_once() -> None:
    texts = tensors(*["open file " * 100] * 100)

    live = Counting(places_of(NOTE), None, {1: WORDS}).counts(texts)["note vocabulary"]

    assert sum(live.values()) == ROUND_CHARACTERS // 1000 + 1
    assert column_of_vocabulary("note", texts[1].reshape(-1), WORDS).rows == 100


def test_an_input_that_is_called_like_such_a_column_is_told_from_it() -> None:
    taken = Signature((TensorSpec(vocabulary_name("note"), "FP32", (FREE,)),), ())

    assert [each.name for each in places_of(taken)] == ["note vocabulary (input)"]


def test_words_are_found_by_the_names_that_callers_use() -> None:
    adapter = {"requests": {"rename": {"note": "text"}}}

    assert by_place({"note": WORDS}, NOTE, None) == {1: WORDS}
    assert by_place({"text": WORDS}, NOTE, adapter) == {1: WORDS}
    assert by_place({"note": WORDS}, NOTE, adapter) == {}


def test_the_log_says_of_which_input_no_words_are_counted_and_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[Path] = []

    def reads(path: Path) -> KnownWords:
        asked.append(path)
        return KnownWords({}, {"note": "too many"})

    with caplog.at_level(logging.INFO):
        assert Vocabularies(tmp_path, reads).of(loaded_version(FakeSession(lambda _: [], NOTE))) == {}

    assert asked == [tmp_path / "fraud" / "1" / "model.onnx"]
    assert "too many" in caplog.text


def test_a_file_that_cannot_be_read_by_now_knows_no_words(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def fails(_path: Path) -> KnownWords:
        raise InvalidModel("bad_model", "torn")

    assert Vocabularies(tmp_path, fails).of(loaded_version(FakeSession(lambda _: [], NOTE))) == {}
    assert "torn" in caplog.text
