"""Brings what waits in the outboxes to its targets: each notification at least once, those of a model in their order.

It keeps nothing that matters: what was told whom stands in the store, so one that is killed is followed by the next,
and of several gateways on one store whichever claims a notification brings it. The same id every time lets a receiver
drop what comes twice. A slow target holds up itself only.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
import time
from typing import TYPE_CHECKING, Any, Final

from gateway.core.errors import InvalidDocument, StoreUnavailable
from gateway.core.notification import read_notification
from gateway.notifications.formats import body_of
from gateway.notifications.post import POST_SECONDS, PostFailed, post
from gateway.notifications.signing import signed
from gateway.ports.notifications import NOTIFICATION_OUTCOMES, TargetFigures

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

    from gateway.core.notification import Notification
    from gateway.notifications.links import LinkMaker
    from gateway.notifications.post import Reply
    from gateway.notifications.targets import Target
    from gateway.ports.notifications import Backlog, Claimed, NotificationStore, Undelivered

    Post = Callable[[str, Mapping[str, str], bytes], Awaitable[Reply]]

log = logging.getLogger(__name__)

ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
"""What may stand in a header, and in what is signed."""

CLAIM_SECONDS: Final = POST_SECONDS + 5.0
"""How long a courier that was killed keeps the others from what it held."""
AT_ONCE: Final = 4
"""To one target about so many models at the same time."""

FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 3_600.0
GIVE_UP_SECONDS: Final = 24 * 3_600.0
"""What failed and has waited for so long is given up."""

NEVER: Final = frozenset({400, 410, 413, 422})
"""Answers that no repetition changes: the receiver can do nothing with this very message, or is gone for good."""


class Courier:
    """Implements ``ports.NotificationDesk``; somebody calls ``tick`` once a second, and ``close`` at the end."""

    def __init__(
        self,
        store: NotificationStore,
        models: Callable[[], Collection[str]],
        targets: Sequence[Target],
        links: LinkMaker | None = None,
        *,
        deliver: Post = post,
        chance: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._models = models
        self._targets = {target.name: target for target in targets}
        self._links = links
        self._deliver = deliver
        self._chance = chance
        self._clock = clock
        self._room = {name: asyncio.Semaphore(AT_ONCE) for name in self._targets}
        self._rounds: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._outcomes = {name: dict.fromkeys(NOTIFICATION_OUTCOMES, 0) for name in self._targets}
        self._backlogs: Mapping[tuple[str, str], Backlog] = {}

    async def tick(self) -> None:
        """Look at every outbox and send somebody where something is due. Does nothing while the store is away."""
        self._rounds = {key: task for key, task in self._rounds.items() if not task.done()}
        try:
            self._backlogs = await self._store.backlogs(self._wanted())
        except StoreUnavailable as exc:
            log.debug("notifications wait until the store answers: %s", exc)
            return
        for key, backlog in self._backlogs.items():
            if backlog.is_due and key not in self._rounds:
                self._rounds[key] = asyncio.create_task(self._go_round(*key))

    def _wanted(self) -> Mapping[str, Sequence[str]]:
        """Return model → the targets that are told of it: one that is not has no place to be kept from."""
        if not self._targets:
            return {}  # without a look at the models, of which there may be thousands
        told = {
            model: [name for name, target in self._targets.items() if target.wants_model(model)]
            for model in self._models()
        }
        return {model: names for model, names in told.items() if names}

    async def close(self) -> None:
        """End what is under way; whoever comes next goes on with it."""
        for task in self._rounds.values():
            task.cancel()
        await asyncio.gather(*self._rounds.values(), return_exceptions=True)

    def figures(self) -> Mapping[str, TargetFigures]:
        """Return target → what became of its notifications here, and what waits for it."""
        found = {}
        for name, outcomes in self._outcomes.items():
            own = [backlog for (_, target), backlog in self._backlogs.items() if target == name]
            oldest = max((backlog.oldest_seconds for backlog in own), default=0.0)
            found[name] = TargetFigures(dict(outcomes), sum(backlog.waiting for backlog in own), oldest)
        return found

    def describe(self) -> Sequence[Mapping[str, Any]]:
        """Return what may be shown of each target."""
        return [target.describe() for target in self._targets.values()]

    async def given_up(self) -> Mapping[str, Sequence[Undelivered]]:
        """Return model → what was given up, models without any left out."""
        found = {model: await self._store.undelivered(model) for model in sorted(self._models())}
        return {model: given_up for model, given_up in found.items() if given_up}

    async def again(self, model: str, key: str) -> bool:
        """Put what was given up back into the outbox; False where it is not there."""
        return await self._store.again(model, key)

    async def _go_round(self, model: str, name: str) -> None:
        """Bring one target what waits about *model*, one after the other, until nothing is due or something fails."""
        target = self._targets[name]
        try:
            async with self._room[name]:
                while (claimed := await self._store.claim(model, name, seconds=CLAIM_SECONDS)) is not None:
                    self._count_lost(model, target, claimed)
                    if not await self._bring(model, target, claimed):
                        return
        except StoreUnavailable as exc:
            log.debug("a notification of %r stays claimed until the store answers: %s", model, exc)
        except Exception:  # the outermost door of a task: the claim runs out, and the next round tries again
            log.exception("the courier of %r failed on model %r and tries again", name, model)

    async def _bring(self, model: str, target: Target, claimed: Claimed) -> bool:
        """Deliver one notification and settle its claim; return whether the next may follow at once."""
        if claimed.addressee not in {"", target.name}:
            return await self._store.settle(model, target.name, claimed)
        try:
            notification = read_notification(claimed.payload)
            is_wanted = bool(claimed.addressee) or target.wants(notification)
            links = await self._links.links(notification, target.name) if self._links and is_wanted else {}
            headers, body = self._letter(target, notification, claimed, links)
        except (InvalidDocument, ValueError, OverflowError) as exc:
            return await self._give_up(model, target, claimed, f"it cannot be read: {exc}")
        if not is_wanted:
            return await self._store.settle(model, target.name, claimed)
        try:
            reply = await self._deliver(target.url, headers, body)
        except PostFailed as exc:
            return await self._fail(model, target, claimed, str(exc))
        if 200 <= reply.status < 300:
            self._outcomes[target.name]["delivered"] += 1
            return await self._store.settle(model, target.name, claimed)
        why = f"answered {reply.status}" + (f": {reply.said}" if reply.said else "")
        if reply.status in NEVER:
            return await self._give_up(model, target, claimed, why)
        return await self._fail(model, target, claimed, why, reply.retry_after_seconds)

    def _letter(
        self, target: Target, notification: Notification, claimed: Claimed, links: Mapping[str, str]
    ) -> tuple[Mapping[str, str], bytes]:
        """Return headers and body. Raises ValueError or OverflowError for an id or a time that nobody could have."""
        if ID.fullmatch(claimed.id) is None:
            raise ValueError("its id is none")
        body = body_of(target.format, notification, claimed.id, claimed.at_ms, links)
        return (signed(claimed.id, int(self._clock()), body, target.secrets) if target.secrets else {}), body

    async def _fail(self, model: str, target: Target, claimed: Claimed, why: str, at_least: float = 0.0) -> bool:
        """Try it again later, unless it has waited for too long."""
        self._outcomes[target.name]["failed"] += 1
        if claimed.waited_seconds >= GIVE_UP_SECONDS:
            return await self._give_up(model, target, claimed, f"attempt {claimed.attempts + 1} after a day: {why}")
        pause = min(max(pause_seconds(claimed.attempts, self._chance()), at_least), LONGEST_PAUSE_SECONDS)
        level = logging.WARNING if not claimed.attempts else logging.DEBUG
        log.log(
            level, "%r was not told of model %r (%s) and is told again in %.0f s; what follows waits",
            target.name, model, why, pause,
        )  # fmt: skip
        await self._store.settle(model, target.name, claimed, again_seconds=pause)
        return False

    async def _give_up(self, model: str, target: Target, claimed: Claimed, why: str) -> bool:
        self._outcomes[target.name]["given_up"] += 1
        log.error(
            "%r is not told of model %r any more: %s; when it is mended, `gateway notifications retry %s` tries again",
            target.name, model, why, model,
        )  # fmt: skip
        return await self._store.settle(model, target.name, claimed, given_up=why)

    def _count_lost(self, model: str, target: Target, claimed: Claimed) -> None:
        if claimed.lost:
            self._outcomes[target.name]["lost"] += claimed.lost
            log.error(
                "%d notifications of model %r fell out of the full outbox before %r was told; `gateway routes history "
                "%s` has what happened", claimed.lost, model, target.name, model,
            )  # fmt: skip


def pause_seconds(attempts: int, chance: float) -> float:
    """Return how long to wait after so many failed *attempts* and one more: twice as long each time, at most an hour.

    chance: drawn evenly from [0, 1); a pause is between a half and the whole, so that many couriers spread.
    """
    whole = min(FIRST_PAUSE_SECONDS * 2.0 ** min(attempts, 16), LONGEST_PAUSE_SECONDS)
    return whole * (0.5 + chance / 2)
