"""The shipped text models: texts of another language or topic are found by the words they do not know, others not."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pytest

from gateway.core.drift import State, VersionDrift
from gateway.core.signature import FREE, Signature, TensorSpec
from gateway.engine.vocabulary import vocabularies_in
from gateway.evaluation.reference import reference_of
from gateway.models.counting import Counting, places_of
from tools.training import corpus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.core.drift import ColumnFinding
    from gateway.core.reference import Reference

MODELS: Final = Path(__file__).parents[2] / "models" / "text-topics"
COLUMN: Final = "text vocabulary"
SIGNATURE: Final = Signature((TensorSpec("text", "BYTES", (FREE, 1)),), ())

SPANISH: Final = (
    "El perro corre por la playa mientras los niños juegan con una pelota de colores.",
    "Mañana compraremos pan, queso y aceitunas en el mercado del pueblo.",
    "Nunca había visto una tormenta tan fuerte en las montañas del norte.",
    "La biblioteca cierra temprano los domingos durante el verano.",
)
COOKING: Final = (
    "Simmer the onions in butter until golden, then stir in garlic, flour and warm milk.",
    "Roast two ripe tomatoes with olive oil, thyme and coarse salt for forty minutes.",
    "Whisk egg yolks with sugar, fold in melted chocolate and chill overnight.",
    "Serve the grilled salmon over rice with lemon, dill and steamed asparagus.",
)


def batches(texts: Sequence[str]) -> list[Any]:
    column = np.array([text.encode() for text in texts], object).reshape(-1, 1)
    return [column[start : start + 50] for start in range(0, len(column), 50)]


@pytest.fixture(params=["1", "2"])
def version(request: pytest.FixtureRequest) -> tuple[Counting, Reference, list[str]]:
    """Return how rows are counted, the reference of every second text, and the other texts."""
    known = vocabularies_in(MODELS / request.param / "model.onnx").vocabularies
    words = {0: known["text"]}
    texts, _ = corpus.read()
    reference = reference_of(SIGNATURE, [np.concatenate(batches(texts[::2]))], {}, words)
    return Counting(places_of(SIGNATURE), reference, words), reference, texts[1::2]


def seen(version: tuple[Counting, Reference, list[str]], texts: Sequence[str]) -> ColumnFinding:
    counting, reference, _ = version
    drift = VersionDrift(reference)
    sizes = {column.name: len(column.counts) for column in reference.columns}
    for batch in batches(texts):
        found = counting.counts([batch])
        drift.look({n: [each.get(bin_, 0) for bin_ in range(sizes[n])] for n, each in found.items()}, len(batch))
    return next(each for each in drift.findings() if each.column == COLUMN)


@pytest.mark.parametrize("strange", [SPANISH, COOKING], ids=["language", "topic"])
def test_texts_of_another_language_or_topic_are_found_within_a_hundred(
    version: tuple[Counting, Reference, list[str]], strange: Sequence[str]
) -> None:
    found = seen(version, [*itertools.islice(itertools.cycle(strange), 100)])

    assert found.state is State.DRIFTED
    assert "of the tokens of the last 100 rows are known, usually " in found.text


def test_other_texts_of_the_same_topics_are_not(version: tuple[Counting, Reference, list[str]]) -> None:
    found = seen(version, [*itertools.islice(itertools.cycle(version[2]), 3_000)])

    assert found.state is State.STABLE
    assert found.log_e < found.log_limit / 2
