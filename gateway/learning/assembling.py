"""A learner from its document: everything is checked against the serving version before anything is learned."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from gateway.convert.checking import interface
from gateway.learning import centres, estimators
from gateway.learning.document import read_file
from gateway.learning.errors import CannotLearn
from gateway.learning.estimators import CLUSTERING
from gateway.learning.learner import Learner
from gateway.learning.publishing import Repository
from gateway.learning.releasing import Releases
from gateway.learning.rows import columns_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from gateway.core.signature import Signature
    from gateway.learning.admin import Admin
    from gateway.learning.document import LearnerDocument
    from gateway.learning.folder import Folder
    from gateway.learning.rows import Columns
    from gateway.ports.labels import LabelledStream


def build(
    file: Path, models: Path, where: Folder, stream: LabelledStream, admin: Admin, *,
    clock: Callable[[], float], tell: Callable[[Mapping[str, Any]], None],
) -> Learner:  # fmt: skip
    """Return the learner that the document in *file* describes, over the repository *models*. Writes nothing.

    Raises CannotLearn, StateUnreadable, CannotConvert where the serving version cannot be read, and GatewayAway.
    """
    document = read_file(file)
    repository = Repository(models, document.model)
    version = admin.look().serving
    serving = repository.file_of(version)
    if not serving.is_file():
        raise CannotLearn(f"the serving version is not at {serving}; name the gateway's own repository with --models")
    signature, classes = interface(serving)
    _check_kind(document, signature, classes)
    columns = columns_of(signature)
    if document.task != CLUSTERING:
        estimators.try_out(document, columns.width)

    def first() -> Any:
        return _first(document, file.parent, columns)

    first()  # an unreadable start is said now, and not after a rollback
    served = None
    if document.task == CLUSTERING:
        served = centres.ServedCentres(repository, columns, where.kept, first)
        if reason := served.why_not(version):
            raise CannotLearn(f"start: {reason}")
    releases = Releases(document, columns, where, repository, admin, first)
    return Learner(
        document, columns, frame_of(document, columns), where, stream, admin, releases, first, clock, tell, served
    )  # fmt: skip


def _check_kind(document: LearnerDocument, signature: Signature, classes: Sequence[str]) -> None:
    """Raise CannotLearn where the serving version answers something else than *document* would have it learn."""
    outputs = {spec.name for spec in signature.outputs}
    if document.task == CLUSTERING and (classes or outputs != centres.OUTPUTS):
        raise CannotLearn(
            f"task: the serving version is no clustering: it answers {', '.join(sorted(outputs))}, and one of clusters "
            f"answers label and scores, the distances; write the task that it does"
        )
    if classes and set(classes) != set(map(str, document.classes)):
        raise CannotLearn(f"classes: the serving version tells apart {', '.join(classes)}; write the same ones")


def frame_of(document: LearnerDocument, columns: Columns) -> str:
    """Return what a state depends on, as one line of JSON: with another one its rows or pipeline would not fit."""
    return json.dumps({
        "task": document.task, "classes": list(document.classes), "learner": document.learner,
        "parameters": dict(document.parameters), "scale": document.scale, "strategy": document.strategy,
        "inputs": list(columns.names) or columns.width,
    }, sort_keys=True)  # fmt: skip


def _first(document: LearnerDocument, beside: Path, columns: Columns) -> Any:
    """Return the pipeline to begin with: that of ``start``, else a fresh one. Raises CannotLearn, StateUnreadable."""
    if not document.start:
        return estimators.fresh(document)
    path = beside / document.start
    try:
        pipeline = estimators.read(path.read_bytes(), str(path))
    except OSError as exc:
        raise CannotLearn(f"start: {path} cannot be read: {exc.strerror}") from exc
    last = pipeline.steps[-1][1]
    if document.strategy == "incremental" and not hasattr(last, "partial_fit"):
        raise CannotLearn(f"start: {type(last).__name__} cannot learn row by row; write strategy: batch")
    known = getattr(last, "classes_", None)
    if document.classes and known is not None and list(known) != list(document.classes):
        raise CannotLearn(f"start: it knows the classes {list(known)}, and classes says {list(document.classes)}")
    if getattr(pipeline, "n_features_in_", columns.width) != columns.width:
        raise CannotLearn(f"start: it reads {pipeline.n_features_in_} columns, the serving version {columns.width}")
    if document.task == CLUSTERING:
        centres.settle(pipeline)
    return pipeline
