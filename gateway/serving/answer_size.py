"""Keeps the answer to one request within ``output-bytes``: before the run where its size is known, else behind it.

For most versions the rows that one request may bring settle it when the lane is made, and nothing is looked at
per request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.core.errors import RequestTooLarge
from gateway.core.output_sizes import output_sizes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.models.loaded import LoadedVersion
    from gateway.ports.engine import Tensor


class AnswerSize:
    """What the answers of one version may come to.

    *before* and *after* say whether ``check_inputs`` and ``check_outputs`` can refuse anything at all.
    """

    __slots__ = ("_limit", "_name", "_sizes", "after", "before")

    def __init__(self, version: LoadedVersion, limit: int) -> None:
        """*limit*: the most bytes of all outputs together."""
        self._limit = limit
        self._name = f"version {version.version} of model {version.model!r}"
        self._sizes = sizes = output_sizes(version.signature, has_rows=version.batchable)
        most = sizes.most_bytes(version.metadata.serving.max_rows)
        self.before = most is None or most > limit
        self.after = not sizes.is_whole

    def check_inputs(self, feeds: Sequence[Tensor]) -> None:
        """Refuse a request whose answer would be too large, before it is run. Raises RequestTooLarge."""
        size = self._sizes.bytes_of([feed.shape for feed in feeds])
        if size > self._limit:
            raise self._refusal(size, "would answer this request with")

    def check_outputs(self, outputs: Sequence[Tensor]) -> None:
        """Refuse an answer that is too large. Raises RequestTooLarge."""
        size = sum(output.nbytes for output in outputs)
        if size > self._limit:
            raise self._refusal(size, "answered this request with")

    def _refusal(self, size: int, verb: str) -> RequestTooLarge:
        return RequestTooLarge(
            f"{self._name} {verb} {size} bytes; send less at once, "
            f"or let the operator raise --limits output-bytes={self._limit}"
        )
