"""Asks the alarms of the rollouts that this process leads, in the background, and remembers what was answered.

A look never waits: it starts the questions that are due and returns what is known. One question of an alarm is under
way at a time, so a monitoring that is slow is asked less often and holds up no rollout. What an answer means is in
``core.alarms``; what was heard before a restart is not known after it, and until all is asked nothing is raised.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from gateway.core.alarms import Silence, Watched

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from gateway.core.alarms import Standing
    from gateway.core.rollout import Rollout
    from gateway.ports.evidence import Monitoring

    Ask = Callable[[Watched], Awaitable[Watched]]
    """An alarm as it is known → as it is known after one more question."""

MOST_AT_ONCE: Final = 8
"""Questions under way, of all rollouts together."""

NOBODY: Final = Silence("this gateway has nobody to ask; start it with --prometheus-url")


class Alarms:
    """The alarms of all models. *monitoring* None: nobody can be asked. *clock*: seconds, monotonic."""

    def __init__(self, monitoring: Monitoring | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._monitoring = monitoring
        self._clock = clock
        self._turns = asyncio.Semaphore(MOST_AT_ONCE)
        self._rounds: dict[str, _Round] = {}

    @property
    def can_ask(self) -> bool:
        """Whether there is a monitoring to ask."""
        return self._monitoring is not None

    def look(self, model: str, rollout: Rollout) -> Sequence[Standing]:
        """Return where the alarms of *rollout*, which this process leads, stand; ask those whose turn it is."""
        known = self._rounds.get(model)
        if known is None or known.rollout != rollout.id:
            self.forget(model)
            known = self._rounds[model] = _Round(rollout, self._clock())
        known.ask_when_due(self._ask, self._clock())
        return known.standings(self._clock())

    def of(self, model: str, rollout: Rollout) -> Sequence[Standing]:
        """Return where the alarms of *rollout* stand, without asking; nothing where another process leads it."""
        known = self._rounds.get(model)
        return known.standings(self._clock()) if known is not None and known.rollout == rollout.id else ()

    def standings(self) -> Mapping[str, Sequence[Standing]]:
        now = self._clock()
        return {model: known.standings(now) for model, known in self._rounds.items()}

    def keep(self, models: Iterable[str]) -> None:
        """Forget the alarms of all other models: their rollouts are over."""
        for model in self._rounds.keys() - set(models):
            self.forget(model)

    def forget(self, model: str) -> None:
        """Drop what is known of *model* and the questions under way: its rollout is over, or another process leads."""
        known = self._rounds.pop(model, None)
        if known is not None:
            known.stop()

    async def _ask(self, watched: Watched) -> Watched:
        async with self._turns:
            reply = NOBODY if self._monitoring is None else await self._monitoring.ask(watched.alarm.query)
        return watched.after(reply, self._clock())


class _Round:
    """What is known of the alarms of one rollout, and the questions that are under way."""

    def __init__(self, rollout: Rollout, now: float) -> None:
        self.rollout = rollout.id
        self._watched = {alarm.name: Watched(alarm, now) for alarm in rollout.plan.alarms}
        self._due = dict.fromkeys(self._watched, now)
        self._questions: dict[str, asyncio.Task[None]] = {}

    def standings(self, now: float) -> tuple[Standing, ...]:
        return tuple(watched.standing(now) for watched in self._watched.values())

    def ask_when_due(self, ask: Ask, now: float) -> None:
        """Start the questions whose time has come and of which the one before is answered."""
        for name, watched in self._watched.items():
            if now >= self._due[name] and name not in self._questions:
                self._due[name] = now + watched.alarm.seconds_between
                self._questions[name] = asyncio.create_task(self._question(name, ask))

    def stop(self) -> None:
        for question in self._questions.values():
            question.cancel()

    async def _question(self, name: str, ask: Ask) -> None:
        try:
            self._watched[name] = await ask(self._watched[name])
        finally:
            del self._questions[name]
