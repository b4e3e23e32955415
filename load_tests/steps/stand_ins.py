"""What stands where a step has nothing yet: each does as little as lets the gateway's own classes around it go on."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from gateway.core import outcomes
from gateway.rest.json_codec import JsonCodec
from gateway.rest.shortcut import Fast
from gateway.serving.batching import Lane
from gateway.serving.jobs import Job
from gateway.serving.live import Arm, LiveRoute
from load_tests.reference import ANSWER

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.core.routing import Values
    from gateway.ports.engine import Tensor
    from gateway.rest.exchange import Answer
    from gateway.rest.known_heads import KnownHead
    from gateway.rest.shortcut import ShortCut
    from gateway.serving.jobs import Result, Ticket


class Unasked(Fast):
    """A request of which nothing is looked at: what a connection costs by itself."""

    __slots__ = ()

    constant: ClassVar[Answer]

    def __init__(self, protocol: ShortCut, known: KnownHead) -> None:
        """Leave out all that an exchange begins with."""
        self.known = known
        head, _, self.keep_alive = known
        if not head.is_read:  # it says how long the body is, without which no head is known again
            head.read()
        self.response_complete = self.disconnected = False
        self._form = None
        self._reply = protocol.answered

    def admit(self) -> bool:
        return True

    def take(self, piece: bytes) -> bool:  # noqa: ARG002 - the exchange's parameter
        return True

    def run(self) -> None:
        """Answer the constant."""
        reply = self._reply
        assert reply is not None
        reply(self.constant)

    def gone(self) -> None:
        """Nobody waits for anything."""


class Unread(Fast):
    """A request that is admitted, taken and ended in its tick, and whose body nobody reads."""

    __slots__ = ()

    constant: ClassVar[Answer]

    def run(self) -> None:
        """Answer the constant when the lane has told everybody of this tick."""
        self._arm = arm = self.constant.arm
        assert arm is not None
        self._attempt = arm.lane.submit((), 1, self._deadline, self._told)

    def _told(self, result: Result) -> None:  # noqa: ARG002 - what a lane tells
        self._end(outcomes.OK, self.constant)


class ConstantCodec(JsonCodec):
    """Reads what was sent, and writes the constant."""

    def write(
        self,
        outputs: Sequence[Tensor],  # noqa: ARG002 - the codec's parameters
        wanted: Sequence[int],  # noqa: ARG002
        request_id: str,  # noqa: ARG002
        behind: Mapping[int, bytes | memoryview] | None = None,  # noqa: ARG002
    ) -> bytes:
        return ANSWER


class Unrun(Lane):
    """Tells what came in one tick together that it is done, with nothing; looks at no limit, deadline or clock.

    Answers that are written as each request comes cost more: the loop then turns for each few of them.
    """

    def submit(
        self,
        feeds: tuple[Tensor, ...],
        rows: int,
        deadline: float,
        settle: Callable[[Result], None],
        priority: int = 0,
    ) -> Ticket:
        jobs = self.queue.jobs
        if not jobs:
            self._loop.call_soon(self._flush)
        job = Job(feeds, rows, deadline, settle, priority)
        jobs.append(job)
        return job

    def _flush(self) -> None:
        jobs, self.queue.jobs = self.queue.jobs, []
        most, outbox = self.queue.max_rows, self._outbox
        for start in range(0, len(jobs), most):
            batch = jobs[start : start + most]
            results = self._results(batch)
            outbox.held = []
            for job, result in zip(batch, results, strict=True):
                job.settle(result)
            outbox.send()

    def _results(self, batch: Sequence[Job]) -> Sequence[Result]:
        return [[]] * len(batch)


class Joined(Unrun):
    """Runs what came in one tick together, with the runner of every lane."""

    def _results(self, batch: Sequence[Job]) -> Sequence[Result]:
        self.queue.batches += 1
        self.queue.batch_rows += len(batch)
        return self._runner.execute(batch).results


class OneWay(LiveRoute):
    """Takes every request one way, whatever it brings."""

    def decide(self, values: Values, draw: int, point: int | None = None) -> Arm:  # noqa: ARG002 - the route's parameters
        return self.arm

    @cached_property
    def arm(self) -> Arm:
        """The way."""
        [lane] = self.lanes.values()
        return Arm(lane, "split", self.revision)


class Uncounted:
    """Implements ``ports.Metrics`` and ``ports.VersionCells``, and counts nothing."""

    def version(self, model: str, version: str) -> Uncounted:  # noqa: ARG002 - the ports' parameters, here and below
        return self

    def retire(self, model: str, version: str) -> None: ...

    def answered(self, outcome: int, seconds: float) -> None: ...

    def ran(self, rows: int, seconds: float) -> None: ...

    def computed(self, cpu_seconds: float) -> None: ...

    def waited(self, seconds: Sequence[float]) -> None: ...

    def fell_back(self, reason: str) -> None: ...

    def happened(self, event: str, times: int = 1) -> None: ...

    def copied(self, outcome: str, seconds: float) -> None: ...

    def copy_dropped(self, reason: str) -> None: ...

    def compared(self, agrees: bool, mean: float | None, most: float | None) -> None: ...

    def recorded(self, outcome: str) -> None: ...
