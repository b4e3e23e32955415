"""How much of a text is known: cut as the model cuts, in bins of tenths, within bounds whatever the text."""

from __future__ import annotations

import time

import pytest

from gateway.core.reference import NO_TOKENS
from gateway.core.vocabulary import (
    MOST_LETTERS,
    MOST_WORDS,
    SKLEARN_TOKENS,
    TEXT_CHARACTERS,
    UnusableVocabulary,
    Vocabulary,
)

WORDS = frozenset(("open", "file", "thread"))


def bin_of(text: str, vocabulary: Vocabulary) -> int:
    (found,) = vocabulary.counts([text])
    return found


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("open file thread", 9),
        ("open the file", 6),
        ("open the old file", 5),
        ("la casa verde", 0),
        ("", NO_TOKENS),
        ("?! ...", NO_TOKENS),
    ],
)
def test_a_text_falls_into_the_tenth_of_its_tokens_that_is_known(text: str, number: int) -> None:
    assert bin_of(text, Vocabulary(WORDS)) == number


def test_case_is_what_the_model_makes_of_it() -> None:
    assert bin_of("OPEN File", Vocabulary(WORDS)) == 0
    assert bin_of("OPEN File", Vocabulary(WORDS, case="lower")) == 9
    assert bin_of("open File", Vocabulary(frozenset({"OPEN", "FILE"}), case="upper")) == 9


def test_tokens_shorter_than_the_model_takes_are_none() -> None:
    assert bin_of("a b open", Vocabulary(WORDS, "[a-z]+", shortest=2)) == 9
    assert bin_of("a b open", Vocabulary(WORDS, "[a-z]+")) == 3


def test_a_runtime_cuts_by_ascii_and_scikit_learn_by_every_letter() -> None:
    words = frozenset({"größe"})

    assert bin_of("größe", Vocabulary(words, SKLEARN_TOKENS)) == 9
    assert bin_of("größe", Vocabulary(words, r"\w+")) == 0


@pytest.mark.parametrize(
    "expression", ["[a-zA-Z0-9]+", r"\w+", r"(?u)\b\w\w+\b", r"\b\w+\b", "[a-z][a-z0-9_]+", r"[^\s]+", r"\S+", "[a-z]"]
)
def test_expressions_that_take_as_long_as_the_text_is_long_are_taken(expression: str) -> None:
    tokens_of = Vocabulary(WORDS, expression)._compiled().findall
    began = time.process_time()
    for text in ("a" * 200_000 + "!", "a!" * 100_000, "a-" * 100_000, " " * 200_000):
        tokens_of(text)

    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    "expression", ["(a+)+$", "[a-z]*[a-z]*!", r"[ab]+\b", "a|b", ".", "(?i)[a-z]+", "[a-z]+[a-z]+!", "", "[z-a]+"]
)
def test_other_expressions_are_refused(expression: str) -> None:
    with pytest.raises(UnusableVocabulary, match="token"):
        Vocabulary(WORDS, expression)


def test_a_vocabulary_without_words_or_with_too_many_is_refused() -> None:
    with pytest.raises(UnusableVocabulary, match="no single words"):
        Vocabulary(frozenset())
    with pytest.raises(UnusableVocabulary, match="not kept"):
        Vocabulary(frozenset(map(str, range(MOST_WORDS + 1))))
    with pytest.raises(UnusableVocabulary, match="not kept"):
        Vocabulary(frozenset({"x" * (MOST_LETTERS + 1)}))


def test_only_the_beginning_of_a_text_is_looked_at() -> None:
    assert bin_of("open " * TEXT_CHARACTERS + "unknown " * 10_000, Vocabulary(WORDS)) == 9


def test_once_enough_characters_were_looked_at_no_further_text_is_counted() -> None:
    texts = ["open file"] * 10

    assert Vocabulary(WORDS).counts(texts, characters=27) == {9: 3}
    assert Vocabulary(WORDS).counts(texts) == {9: 10}
