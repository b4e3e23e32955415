"""The inputs of one answered request as JSON, for whoever learns from labels: hidden as a recording hides them.

``{"name": {"datatype", "shape", "data"}}``, each as in a JSON tensor of the Open Inference Protocol. null is what is no
finite number. Nothing is written here: where the text goes is the caller's.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import orjson

from gateway.core.errors import RecordingsUnreadable
from gateway.recordings.line import datatypes, plain, tensor_bytes
from gateway.recordings.redaction import Redactor, Unhidden

if TYPE_CHECKING:
    from gateway.ports.labels import AskedInputs
    from gateway.recordings.files import RecordingFiles

log = logging.getLogger(__name__)

TEXT_BYTES: Final = 32 << 10
"""Of the inputs of one answer, as JSON: each lies in the store as long as labels may come."""


class InputWriter:
    """Implements ``ports.InputWriter``."""

    def __init__(self, files: RecordingFiles) -> None:
        """*files* has the key of the hashes: one per machine, for recordings and for this."""
        self._files = files
        self._redactor: Redactor | None = None
        self._complaint = ""

    def size(self, asked: AskedInputs) -> int:
        """Return the bytes of all tensors of the request: one that is kept may hold the memory of all."""
        return sum(map(tensor_bytes, asked.feeds))

    def text(self, asked: AskedInputs) -> bytes | str:
        """Return what is kept, as JSON, or one of ``core.quality.DROPS`` that says why it cannot be."""
        kinds = datatypes(asked.signature, "inputs")
        kept = asked.keeping.kept(kinds)
        inputs = {name: each for name, each in zip(kinds, asked.feeds, strict=True) if name in kept}
        try:
            if asked.keeping.redact:
                inputs, _ = self._redact_with().hidden(asked.keeping.redact, inputs, {})
        except Unhidden as exc:
            self._complain(f"inputs of {asked.model!r} are not kept: {str(exc)!r}, which its route hides, is not in "
                           f"all of them, or cannot be hidden so; correct feedback.redact")  # fmt: skip
            return "inputs_unhidden"
        except RecordingsUnreadable as exc:
            self._complain(str(exc))
            return "inputs_failed"
        tensors = {each.pop("name"): each for each in plain(inputs, kinds)}
        text = orjson.dumps(tensors, option=orjson.OPT_SERIALIZE_NUMPY)
        return text if len(text) <= TEXT_BYTES else "inputs_large"

    def _redact_with(self) -> Redactor:
        if self._redactor is None:
            self._redactor = Redactor(self._files.secret())
        return self._redactor

    def _complain(self, complaint: str) -> None:
        if complaint != self._complaint:
            self._complaint = complaint
            log.warning("%s", complaint)
