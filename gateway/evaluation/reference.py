"""What the rows of an evaluation, and the answers to them, look like: the reference that traffic is compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.core.outputs import BINS
from gateway.core.reference import PREDICTION, Column, Reference
from gateway.models.answers import binned, form_of
from gateway.models.counting import column_of_numbers, column_of_vocabulary, columns_of_texts, places_of, values_of

import numpy as np  # isort: skip - after gateway.convert, which sets what its libraries read

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from gateway.core.signature import Signature
    from gateway.core.vocabulary import Vocabulary

    Array = NDArray[Any]


def reference_of(
    signature: Signature,
    asked: Sequence[Array],
    answers: Mapping[str, Array],
    vocabularies: Mapping[int, Vocabulary],
) -> Reference:
    """Return the reference that *asked*, inputs in the order of *signature*, and *answers*, by output, make.

    Both over all rows. *vocabularies*: place of an input → the words that the model knows of its texts.
    Outputs that are neither classes nor numbers make no column.
    """
    columns: list[Column] = []
    for place in places_of(signature):
        values = values_of(place, asked)
        if place.is_text:
            columns += columns_of_texts(place.name, values)
            if (vocabulary := vocabularies.get(place.tensor)) is not None:
                columns.append(column_of_vocabulary(place.name, values, vocabulary))
        else:
            columns.append(column_of_numbers(place.name, values.astype(np.float64)))
    form = form_of(signature)
    if columns and form is not None:
        columns.append(_prediction(form.kind, answers[signature.outputs[form.place].name]))
    return Reference(tuple(columns), len(asked[0]), "")


def _prediction(kind: str, answers: Array) -> Column:
    if kind == "numbers":
        return column_of_numbers(PREDICTION, answers.reshape(-1).astype(np.float64))
    counts = binned(kind, [answers], np.empty(0)).tolist()
    return Column(PREDICTION, "hashed", (*counts, *[0] * (BINS - len(counts))))
