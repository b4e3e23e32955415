"""What changes, told to everybody who watches: one stream of server-sent events per watcher.

One task looks at the models while somebody watches: when the store nudges, and every LOOK_SECONDS for what
workers report. It tells each watcher the views that changed. A stream begins with everything, so a
watcher that comes back has missed nothing whatever its Last-Event-ID; one that reads slowly gets the
latest view of each model and not those in between, so it costs a bounded amount of memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from typing import TYPE_CHECKING, Any, Final

import orjson

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 0.5
"""How old what watchers see may be where no nudge came: states of versions and workers cause none."""
NUDGE_SECONDS: Final = 0.05
"""How long a look waits after a nudge, so that a burst of changes is one look."""
BEAT_SECONDS: Final = 10.0
"""How long a stream may be silent; then a comment shows both sides that it lives."""
STREAM_SECONDS: Final = 600.0
"""How long a stream lives: its watcher comes back by itself, and shows its token again."""
RETRY_MS: Final = 1_000
MAX_WATCHERS: Final = 64
MODEL_TOPIC: Final = "model"
"""The first word of a topic that is about one model; the second is its name."""

View = dict[str, Any]
Topics = dict[str, bytes]


class TooManyWatchers(Exception):
    """MAX_WATCHERS streams are open."""


class Events:
    """The streams of this process.

    *look* returns topic → view, where a topic is the name of an event and of what it is about
    (``model fraud``, ``fleet``); *nudges* yields when the store changed and reconnects by itself.
    """

    def __init__(
        self,
        look: Callable[[], Awaitable[Mapping[str, View]]],
        nudges: Callable[[], AsyncIterator[None]] | None = None,
        *,
        look_seconds: float = LOOK_SECONDS,
        beat_seconds: float = BEAT_SECONDS,
        stream_seconds: float = STREAM_SECONDS,
        max_watchers: int = MAX_WATCHERS,
    ) -> None:
        self._look = look
        self._nudges = nudges
        self._look_seconds = look_seconds
        self._beat_seconds = beat_seconds
        self._stream_seconds = stream_seconds
        self._max_watchers = max_watchers
        self._watchers: set[Watcher] = set()
        self._topics: Topics = {}
        self._nudged = asyncio.Event()
        self._duties: list[asyncio.Task[None]] = []
        self._is_closed = False

    def watch(self, reaches: Callable[[str], bool] = lambda _model: True) -> Watcher:
        """Return a watcher that will be told every view, of models those it *reaches*. Say ``leave`` in any case.

        Raises TooManyWatchers.
        """
        if len(self._watchers) >= self._max_watchers or self._is_closed:
            raise TooManyWatchers
        watcher = Watcher(reaches)
        self._watchers.add(watcher)
        watcher.tell(self._topics)
        if not self._duties:
            self._duties = [asyncio.create_task(self._look_forever()), asyncio.create_task(self._listen_forever())]
        return watcher

    def leave(self, watcher: Watcher) -> None:
        """Forget *watcher*, and look no more where nobody is left."""
        self._watchers.discard(watcher)
        if not self._watchers:
            for duty in self._duties:
                duty.cancel()
            self._duties = []
            self._topics = {}

    async def stream(self, watcher: Watcher) -> AsyncIterator[bytes]:
        """Yield server-sent events for *watcher*, until its time is up or the process stops."""
        numbers = itertools.count(1)
        loop = asyncio.get_running_loop()
        until = loop.time() + self._stream_seconds
        yield f"retry: {RETRY_MS}\n\n".encode()
        while loop.time() < until and not watcher.is_ended:
            told = await watcher.wait(self._beat_seconds)
            yield b"".join(_event(next(numbers), topic, view) for topic, view in told.items()) or b": beat\n\n"

    def close(self) -> None:
        """End every stream, so that the process can stop, and open none again."""
        self._is_closed = True
        for watcher in self._watchers:
            watcher.end()

    @property
    def watchers(self) -> int:
        """How many streams are open."""
        return len(self._watchers)

    async def _look_forever(self) -> None:
        while True:
            self._nudged.clear()
            try:
                self._tell({topic: orjson.dumps(view) for topic, view in (await self._look()).items()})
            except Exception:  # the outermost door of a task: its end must not leave the watchers without news
                log.exception("the look at the models failed; the next one is taken soon")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._nudged.wait(), self._look_seconds)
                await asyncio.sleep(NUDGE_SECONDS)

    async def _listen_forever(self) -> None:
        if self._nudges is not None:
            async for _ in self._nudges():
                self._nudged.set()

    def _tell(self, topics: Topics) -> None:
        changed = {topic: view for topic, view in topics.items() if self._topics.get(topic) != view}
        gone = dict.fromkeys(self._topics.keys() - topics.keys(), b"null")
        self._topics = topics
        for watcher in self._watchers:
            watcher.tell({**changed, **gone})


class Watcher:
    """What one watcher has not been told yet: the latest view of each topic."""

    def __init__(self, reaches: Callable[[str], bool]) -> None:
        self._reaches = reaches
        self._pending: Topics = {}
        self._told = asyncio.Event()
        self.is_ended = False

    def tell(self, topics: Topics) -> None:
        told = {topic: view for topic, view in topics.items() if self._may_see(topic)}
        if told:
            self._pending.update(told)
            self._told.set()

    def _may_see(self, topic: str) -> bool:
        kind, _, about = topic.partition(" ")
        return kind != MODEL_TOPIC or self._reaches(about)

    def end(self) -> None:
        self.is_ended = True
        self._told.set()

    async def wait(self, seconds: float) -> Topics:
        """Return what is new, empty after *seconds* or at the end."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._told.wait(), seconds)
        self._told.clear()
        news, self._pending = self._pending, {}
        return news


def _event(number: int, topic: str, view: bytes) -> bytes:
    """Return one event; *topic* is its name and, after a blank, what it is about, which is told as ``about``."""
    name, _, about = topic.partition(" ")
    data = b'{"about":%s,"view":%s}' % (orjson.dumps(about), view)
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (number, name.encode(), data)
