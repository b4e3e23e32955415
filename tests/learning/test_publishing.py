"""A pipeline becomes a child of the serving version: really converted, proven and compared; once per attempt."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gateway.convert.checking import interface
from gateway.convert.errors import CannotConvert
from gateway.learning.publishing import Candidate, Repository
from gateway.learning.rows import Columns, columns_of
from gateway.models.metadata import read_metadata
from gateway.models.repository import METADATA_FILE

if TYPE_CHECKING:
    from numpy.typing import NDArray

MODELS: Final = Path(__file__).parents[2] / "models"
MODEL: Final = "breast-cancer"


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A repository with one version."""
    shutil.copytree(MODELS / MODEL / "1", tmp_path / "models" / MODEL / "1")
    return tmp_path / "models"


def data() -> tuple[NDArray[Any], NDArray[Any]]:
    rows, labels = load_breast_cancer(return_X_y=True)
    return rows.astype(np.float32).astype(np.float64), labels


def candidate(columns: Columns, **other: Any) -> Candidate:
    rows, labels = data()
    made = make_pipeline(StandardScaler(), SGDClassifier(loss="log_loss", random_state=0)).fit(rows, labels)
    given: dict[str, Any] = {"attempt": "learner-1-1", "pipeline": made, "sample": rows, "columns": columns,
                             "serving": 1, "relation": "trained-from"}  # fmt: skip
    known = {"training_data": {"name": "labelled answers", "digest": "sha256:ab", "rows": 569}}
    return Candidate(**(given | {"known": known, "notes": "better"} | other))


def test_what_is_published_is_a_proven_child_that_says_what_it_learned_from(models: Path) -> None:
    repository = Repository(models, MODEL)
    columns = columns_of(interface(repository.file_of(1))[0])

    done = repository.publish(candidate(columns))
    again = repository.publish(candidate(columns))

    assert (done.version, done.failed) == (2, "")
    assert again == done, "an attempt makes one version"
    assert sorted(each.name for each in (models / MODEL).iterdir() if each.name.isdecimal()) == ["1", "2"]
    metadata = read_metadata(models / MODEL / "2" / METADATA_FILE)
    assert metadata.parents == (f"{MODEL}/1:trained-from",)
    assert (metadata.training_data.digest, metadata.training_data.rows) == ("sha256:ab", 569)
    assert metadata.extra["parity"]["holds"] is True
    assert metadata.extra["learning_attempt"] == "learner-1-1"
    assert metadata.classes == ("0", "1")
    assert interface(repository.file_of(2))[0] == interface(repository.file_of(1))[0]


def test_what_callers_of_the_serving_version_would_notice_is_not_published(models: Path) -> None:
    repository = Repository(models, MODEL)
    rows, labels = data()
    hinge = make_pipeline(StandardScaler(), SGDClassifier(loss="hinge", random_state=0)).fit(rows, labels)

    with pytest.raises(CannotConvert, match=r"callers of version 1 would notice .*probabilities"):
        repository.publish(candidate(Columns((), 30), pipeline=hinge))

    assert not (models / MODEL / "2").exists()


def test_named_columns_keep_their_names(models: Path) -> None:
    from gateway.convert.conversion import Wish, convert

    rows, labels = data()
    names = ("a column", 'a "quoted", one')
    fitted = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows[:, :2], labels)
    first = candidate(Columns(names, 2), pipeline=fitted, sample=rows[:, :2])
    place = models.parent / "first"
    place.mkdir()
    import skops.io

    from gateway.learning.publishing import _sample

    skops.io.dump(fitted, place / "first.skops")
    convert(Wish(place / "first.skops", "named", models, _sample(place, first)))
    repository = Repository(models, "named")
    columns = columns_of(interface(repository.file_of(1))[0])

    done = repository.publish(candidate(columns, pipeline=fitted, sample=rows[:, :2]))

    assert columns.names == names
    assert (done.version, done.failed) == (2, "")
