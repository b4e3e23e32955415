"""How much of a text a model knows: the share of its tokens that are words of the model's vocabulary.

A model that counts words sees nothing of the others, so texts in another language, or on another topic, look to it like
texts of few words. Pure; where a vocabulary comes from is ``engine.vocabulary``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Final

from gateway.core.reference import NO_TOKENS, VOCABULARY_BINS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MOST_WORDS: Final = 30_000
MOST_LETTERS: Final = 1_000_000
"""A larger vocabulary is not kept, words and their characters together: in Python sets these are 4 MB."""

TEXT_CHARACTERS: Final = 2_048
"""So much of the beginning of a text is looked at."""
ROUND_CHARACTERS: Final = 16_384
"""And, beside requests, so many characters of all texts counted at once, about 1 ms; texts beyond are left out."""

SKLEARN_TOKENS: Final = r"(?u)\b\w\w+\b"
"""How scikit-learn cuts where nobody says otherwise."""

_CLASS: Final = r"(?:\[\^?(?:[^\[\]\\]|\\[wdsWDS.\-])+\]|\\[wdS])"
_SAFE: Final = re.compile(rf"(?:\(\?u\))?(?:(?:\\b)?{_CLASS}{{1,4}}\+?|\\b(?:\\w){{1,4}}\+\\b)")
"""A few classes of characters of which only the last repeats, and nothing behind it that could still fail: each
character is looked at a few times at most, whatever the text."""


class UnusableVocabulary(ValueError):
    """The tokens of this model cannot be counted beside the requests; the message says why."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The *words* a model knows and how it cuts texts: *case*, "lower", "upper" or "", is applied, then each match of
    *expression* with at least *shortest* characters is a token.

    Raises UnusableVocabulary for no words, for more than MOST_WORDS, and for an expression that might take longer than
    the text is long.
    """

    words: frozenset[str]
    expression: str = SKLEARN_TOKENS
    case: str = ""
    shortest: int = 1

    def __post_init__(self) -> None:
        if not self.words:
            raise UnusableVocabulary("it knows no single words, only groups of them")
        if len(self.words) > MOST_WORDS or sum(map(len, self.words)) > MOST_LETTERS:
            raise UnusableVocabulary(f"more than {MOST_WORDS} words, or {MOST_LETTERS} characters, are not kept")
        if not _SAFE.fullmatch(self.expression):
            raise UnusableVocabulary(f"tokens are not cut by {self.expression[:80]!r} beside the requests")
        try:
            self._compiled()
        except re.error as exc:
            raise UnusableVocabulary(f"{self.expression[:80]!r} is no expression for tokens ({exc})") from exc

    def counts(self, texts: Iterable[str], *, characters: float = inf) -> dict[int, int]:
        """Return bin → how many of *texts*: ten of the share that is known, and NO_TOKENS.

        Of each text its first TEXT_CHARACTERS are looked at; once *characters* were, no further text is counted.
        """
        tokens_of, found, left = self._compiled().findall, dict[int, int](), characters
        for text in texts:
            if left <= 0:
                break
            begun = text[:TEXT_CHARACTERS]
            left -= len(begun)
            number = self._bin(tokens_of(self._cased(begun)))
            found[number] = found.get(number, 0) + 1
        return found

    def _bin(self, tokens: list[str]) -> int:
        if self.shortest > 1:
            tokens = [each for each in tokens if len(each) >= self.shortest]
        if not tokens:
            return NO_TOKENS
        known = sum(map(self.words.__contains__, tokens))
        return min(10 * known // len(tokens), VOCABULARY_BINS - 2)

    def _cased(self, text: str) -> str:
        return text.lower() if self.case == "lower" else text.upper() if self.case == "upper" else text

    def _compiled(self) -> re.Pattern[str]:
        """Return the expression; ``re`` remembers it. Without ``(?u)`` its classes are those of the runtime: ASCII."""
        return re.compile(self.expression, 0 if self.expression.startswith("(?u)") else re.ASCII)


@dataclass(frozen=True, slots=True)
class KnownWords:
    """What a model knows of its text inputs. *vocabularies*: input → its words. *refused*: input → why its words are
    not counted; an input of which the model knows no words is in neither."""

    vocabularies: Mapping[str, Vocabulary]
    refused: Mapping[str, str]
