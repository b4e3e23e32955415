"""A cluster's servers as one: each command goes to whoever holds the slot of its key.

Ours and not the client library's, for its promises (docs/decisions/0036): all nodes are asked at once for the map, so a
frozen one holds nobody up; an ASK is followed on the connection that said ASKING; a node that nobody knew is met; and
waiting for a connection is bounded. A command names one slot: its first key stands for all.
"""

from __future__ import annotations

import asyncio
import contextlib
from bisect import bisect_right
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from redis.asyncio import BlockingConnectionPool, Connection, Redis
from redis.crc import key_slot
from redis.exceptions import (
    AskError,
    AuthenticationError,
    AuthorizationError,
    ClusterDownError,
    MovedError,
    NoPermissionError,
    RedisError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    Place = tuple[str, int]
    SlotMap = tuple[tuple[int, Place], ...]
    """The first slot of each range, ascending, with the primary that holds it."""

KEYLESS: Final = frozenset({"PING", "TIME"})
"""Commands that any node answers."""

REDIRECTS: Final = 16
"""More answers of "not here" to one command are a cluster that is at odds with itself."""

TRY_AGAIN_SECONDS: Final = 0.02
"""Between tries while a slot's keys are on both sides of a move."""

REFUSALS: Final = (AuthenticationError, AuthorizationError, NoPermissionError)


class ClusterClient:
    """The commands to one cluster, with a pool of connections to each node."""

    def __init__(self, nodes: Sequence[Place], options: Mapping[str, Any], *, connections: int) -> None:
        """Begin with *nodes*; *options* are those of a connection. Connects at the first call."""
        self._seeds = tuple(nodes)
        self._options = options
        self._connections = connections
        self._clients: dict[Place, Redis] = {}
        self._slots: SlotMap = ()
        self._known = frozenset(nodes)

    async def ask(self, *words: Any) -> Any:
        """Return the reply to one command. Raises the library's errors."""
        place = await self._place_of(words)
        last: RedisError = ClusterDownError("its nodes send each other's commands around")
        for _ in range(REDIRECTS):
            try:
                client: Any = self._client(place)  # the library does not annotate what it sends
                return await client.execute_command(*words)
            except MovedError as exc:
                self._slots = ()
                place = _redirected(exc, place)
            except AskError as exc:
                reply = await self._asking(_redirected(exc, place), words)
                if not isinstance(reply, TryAgainError):
                    return reply
                last = reply
                await asyncio.sleep(TRY_AGAIN_SECONDS)
            except TryAgainError as exc:
                last = exc
                await asyncio.sleep(TRY_AGAIN_SECONDS)
            except (RedisConnectionError, ClusterDownError, OSError, asyncio.CancelledError):
                # Whoever asks next learns anew who has the slot; a frozen node ends in a cancellation.
                self._slots = ()
                raise
        raise last

    async def ask_each(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """Send *commands*, one round trip per node, and return each one's reply or the refusal of it as a value."""
        places = [await self._place_of(words) for words in commands]
        replies: list[Any] = [None] * len(commands)
        await asyncio.gather(
            *(self._ask_node(place, commands, _where(places, place), replies) for place in set(places))
        )
        for index, reply in enumerate(replies):
            if isinstance(reply, MovedError | AskError | TryAgainError):
                replies[index] = await self.ask(*commands[index])
        return replies

    async def read_each(self, keys: Sequence[str], command: str, *args: Any) -> list[Any]:
        """Ask each of *keys* the same, each key of the node that holds its slot."""
        return await self.ask_each([(command, key, *args) for key in keys])

    async def servers(self) -> list[Callable[..., Awaitable[Any]]]:
        """Return the doors of all primaries."""
        self._slots = await self._learn()
        return [self._client(place).execute_command for place in sorted({place for _, place in self._slots})]

    async def close(self) -> None:
        """Give back all connections."""
        for client in self._clients.values():
            await client.aclose()

    async def _ask_node(
        self, place: Place, commands: Sequence[Sequence[Any]], indices: Iterable[int], replies: list[Any]
    ) -> None:
        """Send those of *commands* at *indices* to one node, and put what it says at the same places of *replies*."""
        indices = list(indices)
        pipeline = self._client(place).pipeline(transaction=False)
        for index in indices:
            pipeline.execute_command(*commands[index])
        try:
            found = await pipeline.execute(raise_on_error=False)
        except (RedisConnectionError, OSError, asyncio.CancelledError):
            self._slots = ()
            raise
        for index, reply in zip(indices, found, strict=True):
            replies[index] = reply

    async def _asking(self, place: Place, words: Sequence[Any]) -> Any:
        """Return what the node says to which a slot is moving; TryAgainError as a value while keys are under way."""
        pipeline = self._client(place).pipeline(transaction=False)
        pipeline.execute_command("ASKING")
        pipeline.execute_command(*words)
        reply = (await pipeline.execute(raise_on_error=False))[1]
        if isinstance(reply, Exception) and not isinstance(reply, TryAgainError):
            raise reply
        return reply

    async def _place_of(self, words: Sequence[Any]) -> Place:
        """Return the node that holds the slot of a command's first key."""
        if not self._slots:
            self._slots = await self._learn()
            self._known = frozenset(place for _, place in self._slots)
        if words[0] in KEYLESS:
            return self._slots[0][1]
        slot = key_slot(str(words[3] if words[0] in {"EVAL", "EVALSHA"} else words[1]).encode())
        return self._slots[max(0, bisect_right(self._slots, slot, key=lambda each: each[0]) - 1)][1]

    async def _learn(self) -> SlotMap:
        """Return the map that most nodes agree on: one that was cut off may still tell of how it was.

        It is enough when more than half have answered. Raises the library's errors where none says.
        """
        asked = [asyncio.create_task(self._map_of(place)) for place in {*self._seeds, *self._known}]
        answers: list[SlotMap | Exception] = []
        with contextlib.suppress(TimeoutError):
            for each in asyncio.as_completed(asked, timeout=self._options["socket_timeout"]):
                answers.append(await each)
                if 2 * sum(isinstance(answer, tuple) for answer in answers) > len(asked):
                    break
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        maps = Counter(each for each in answers if isinstance(each, tuple) and each)
        if maps:
            return maps.most_common(1)[0][0]
        refused = next((each for each in answers if isinstance(each, REFUSALS)), None)
        raise refused or RedisConnectionError("no node of the cluster says who holds the keys")

    async def _map_of(self, place: Place) -> SlotMap | Exception:
        """Return who holds which slots by the word of one node, or why it does not say, on a connection of its own."""
        options = dict(self._options)
        connection = options.pop("connection_class", Connection)(host=place[0], port=place[1], **options)
        try:
            await connection.send_command("CLUSTER", "SLOTS")
            ranges = await connection.read_response()
        except (RedisError, OSError) as exc:
            return exc.__cause__ if isinstance(exc.__cause__, RedisError) else exc
        finally:
            await connection.disconnect(nowait=True)
        # A node that does not know its own name leaves it out: it is the one that was asked.
        return tuple(
            sorted((int(each[0]), ((each[2][0] or b"").decode() or place[0], int(each[2][1]))) for each in ranges)
        )

    def _client(self, place: Place) -> Redis:
        """Return the client of one node."""
        if place not in self._clients:
            pool = BlockingConnectionPool(
                host=place[0],
                port=place[1],
                max_connections=self._connections,
                timeout=self._options["socket_timeout"],
                **self._options,
            )
            self._clients[place] = Redis.from_pool(pool)
        return self._clients[place]


def _where(places: Sequence[Place], place: Place) -> list[int]:
    return [index for index, each in enumerate(places) if each == place]


def _redirected(exc: AskError, asked: Place) -> Place:
    """Return where a redirection points: a node that leaves its name out means the host that was asked."""
    return exc.host or asked[0], int(exc.port)
