"""Heads that a worker has read before, so that the parser need not read them again.

Who keeps a connection open mostly sends one head again and again: same path, same headers, a body of the same
length. What is in a head follows from its bytes alone, so where they are the same, what was found in them and what
the guard said of it are too. Nothing is kept of a head that came once, nor of what an answer depends on beside the
head: routes, limits of time and the body are looked at for every request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.rest.request_head import RequestHead

    KnownHead = tuple[RequestHead, tuple[str, int | None], bool]
    """The head, the model that it names, and maybe a version, and whether the connection stays behind it."""

HEAD_END: Final = b"\r\n\r\n"

MAX_HEAD_BYTES: Final = 2048
"""A longer head is left to the parser."""

MAX_KNOWN: Final = 2048
"""Heads that are known at once: of one caller there are as many as its bodies have lengths, and of callers who name
their users as many as those. About 2 KiB each for the usual ones."""

MAX_SEEN: Final = 8 * MAX_KNOWN
"""Heads of which it is remembered that they came once."""


class KnownHeads:
    """The heads of the inference requests of one worker. A head is known from its second time on."""

    def __init__(self) -> None:
        self._known: dict[bytes, KnownHead] = {}
        self._seen: set[int] = set()
        self.get: Callable[[bytes], KnownHead | None] = self._known.get
        """Returns what the head of these bytes says, None where it is not known; no call of ours."""

    def came(self, head: bytes, known: KnownHead) -> None:
        """Know *head* where it came before, else remember that it came.

        Where there is no room all others are forgotten, which are soon known again.
        """
        seen, mark = self._seen, hash(head)
        if mark not in seen:
            if len(seen) >= MAX_SEEN:
                seen.clear()
            seen.add(mark)
            return
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        self._known[head] = known
