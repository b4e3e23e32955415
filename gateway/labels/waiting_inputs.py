"""The inputs of what this worker served, from the answer to the store: bounded in bytes, and read in a thread.

A request leaves references to its tensors, which hold its whole body. So what waits is counted: first as tensors, then
as the text that they become, until that is in the store. What does not fit is left out, and its answer is remembered
without it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.ports.labels import AskedInputs, InputWriter

REQUEST_BYTES: Final = 1 << 20
MOST_BYTES: Final = 16 << 20


class WaitingInputs:
    """The inputs that wait on this worker."""

    def __init__(self, writer: InputWriter) -> None:
        self._writer = writer
        self._bytes = 0

    def take(self, asked: AskedInputs) -> str:
        """Let *asked* wait, or return which of ``core.quality.DROPS`` it is; empty where it waits."""
        size = self._writer.size(asked)
        if size > REQUEST_BYTES:
            return "inputs_large"
        if self._bytes + size > MOST_BYTES:
            return "inputs_full"
        self._bytes += size
        return ""

    async def read(self, waiting: Sequence[AskedInputs | None]) -> Sequence[bytes | str]:
        """Return each one's text, which waits on, or why there is none; no bytes for None.

        On a thread: hashes of many values would hold up requests.
        """
        if not any(waiting):
            return [b""] * len(waiting)
        texts = await asyncio.to_thread(self._texts, waiting)
        for asked, text in zip(waiting, texts, strict=True):
            if asked is not None:
                self._bytes -= self._writer.size(asked)
                self._bytes += len(text) if isinstance(text, bytes) else 0
        return texts

    def _texts(self, waiting: Sequence[AskedInputs | None]) -> list[bytes | str]:
        return [b"" if each is None else self._writer.text(each) for each in waiting]

    def gone(self, text: bytes) -> None:
        """Stop counting *text*: it is in the store, or nowhere."""
        self._bytes -= len(text)
