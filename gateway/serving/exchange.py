"""One inference request from its decision to its count, whatever protocol its bytes were in.

A door subclasses ``Exchange``: it reads the request, asks here for the arm, starts the run and says
how an answer and a refusal look. Finding, deciding, running, falling back and counting are the same
behind every door, and so is the order: one request looks at the table once and sees one revision.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import time
from random import getrandbits
from typing import TYPE_CHECKING, ClassVar, Final, Generic, TypeVar

from gateway.core import outcomes
from gateway.core.callers import callers_within
from gateway.core.errors import GatewayError, Overloaded, RequestTooLarge
from gateway.core.limits import DEFAULT, Limits
from gateway.core.trace_context import TRACEPARENT, TRACESTATE, read_trace
from gateway.ports.labels import AskedInputs
from gateway.ports.observing import Seen
from gateway.serving.bodies import Bodies
from gateway.serving.dispatch import Attempt, blamed
from gateway.serving.parameters import microseconds, urgency
from gateway.serving.retries import RetryBudget
from gateway.serving.watched import start_watched
from gateway.serving.witnessing import FAILURES, FailureLog, fallback_from, run_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from gateway.core.routing import Values
    from gateway.core.trace_context import TraceContext
    from gateway.models.loaded import LoadedVersion
    from gateway.ports.engine import Tensor
    from gateway.ports.labels import PredictionMemory
    from gateway.ports.metrics import Metrics, VersionCells
    from gateway.ports.observing import Witness
    from gateway.serving.batching import Lane
    from gateway.serving.jobs import Result, Ticket
    from gateway.serving.lanes import Lanes
    from gateway.serving.live import Arm, LiveTable
    from gateway.serving.parameters import Parameter

PRINTABLE: Final = re.compile(rb"[\x20-\x7e]{1,128}")

AnswerT = TypeVar("AnswerT")
CodecT = TypeVar("CodecT")


class Codecs(dict["Lane", CodecT]):
    """One codec per lane, made when its version is first asked through a door.

    A dictionary, so that *of* is its look-up and no call of ours.
    """

    def __init__(self, make: Callable[[LoadedVersion], CodecT]) -> None:
        super().__init__()
        self._make = make
        self.of: Callable[[Lane], CodecT] = self.__getitem__
        """Returns the codec of a lane's version."""

    def __missing__(self, lane: Lane) -> CodecT:
        for each in [each for each in self if each.is_closed]:
            del self[each]
        codec = self[lane] = self._make(lane.version)
        return codec


class Traffic:
    """What all requests of this worker share, through whichever door they come."""

    def __init__(
        self,
        table: LiveTable,
        lanes: Lanes,
        metrics: Metrics,
        *,
        timeout: float,
        max_body: int,
        limits: Limits = DEFAULT,
    ) -> None:
        """*timeout* (seconds) holds for requests that bring none; *max_body* is in bytes."""
        self.table = table
        self.lanes = lanes
        self.timeout = timeout
        self.max_body = max_body
        self.limits = limits
        self.bodies = Bodies(limits.held_bytes)
        self.clock = asyncio.get_running_loop().time
        self.in_flight = 0
        self.retries = RetryBudget(lambda: self.in_flight)
        self.last_started = 0.0
        """When the last request began, on ``time.perf_counter``; 0 before any."""
        self.ids: Iterator[str] = map((os.urandom(6).hex() + "-{:x}").format, itertools.count(1))
        """New request ids."""
        self.memory: PredictionMemory | None = None
        """Where answers are remembered for labels that come later; None where they are not."""
        self.witnesses: tuple[Witness, ...] = ()
        """Who is told of requests one by one."""
        self.callers = callers_within(limits)
        """Who asks what now, None where nothing bounds that; looked at when the doors are made (``bounded.py``)."""
        self.failures = FailureLog(self.clock)
        self._metrics = metrics
        self._unrouted: dict[str, VersionCells] = {}

    def request_id(self, given: bytes | None) -> str:
        """Return the caller's request id where it is printable and short, else a new one."""
        return given.decode() if given and PRINTABLE.fullmatch(given) else next(self.ids)

    def unrouted(self, model: str) -> VersionCells:
        """Return where a request is counted that never reached a version; invented names share one series."""
        known = model if model in self.table.routes else "_unknown"
        cells = self._unrouted.get(known)
        if cells is None:
            cells = self._unrouted[known] = self._metrics.version(known, "_none")
        return cells

    def find(self, model: str, version: int | None) -> None:
        """Refuse an unknown model or version. Raises UnknownModel, UnknownVersion, VersionUnavailable."""
        if version is not None:
            self.lanes.asked(model, version)
        elif model not in self.table.routes:
            self.lanes.without_route(model)

    def too_large(self) -> RequestTooLarge:
        """Return the refusal of a body over the limit."""
        return RequestTooLarge(f"the body is over {self.max_body} bytes; the operator can raise --max-body")


class Exchange(Generic[AnswerT]):
    """One request; its reply is called once, unless it is ``gone`` before. Doors subclass it.

    *_id* is what the answer is called; *_deadline* is on the event loop's clock, seconds.
    """

    __slots__ = (
        "_arm", "_asked", "_attempt", "_deadline", "_held", "_id", "_inference", "_model", "_point", "_reply",
        "_request_id", "_started", "_version",
    )  # fmt: skip

    DOOR: ClassVar[str]
    """What the door is called in access logs and traces."""

    def __init__(self, inference: Traffic, model: str, version: int | None, reply: Callable[[AnswerT], None]) -> None:
        """*version* is set where the caller names one."""
        self._started = inference.last_started = time.perf_counter()
        self._inference = inference
        self._model = model
        self._version = version
        self._reply: Callable[[AnswerT], None] | None = reply
        self._request_id = ""
        self._id = ""
        self._deadline = 0.0
        self._arm: Arm | None = None
        self._attempt: Ticket | None = None
        self._point: int | None = None
        self._asked: AskedInputs | None = None
        self._held = 0
        """What the body has of ``Bodies``; a door that counts elsewhere, or a small body, leaves it."""
        inference.in_flight += 1

    def refuse(self, error: Exception) -> None:
        """Answer with an error; one that is not the gateway's own is said to be no more than that. Log a failure."""
        outcome, answer = self._refusal(error if isinstance(error, GatewayError) else None)
        if outcome in FAILURES:
            self._inference.failures.say(error, self._described(self._arm))
        self._end(outcome, answer, error)

    def gone(self) -> None:
        """The caller hung up: free the place, and answer nobody."""
        if self._attempt is not None:
            self._attempt.cancel()
        self._end(outcomes.CANCELLED, None)

    # ---- what a door says

    def _answer(self, arm: Arm, outputs: Sequence[Tensor]) -> AnswerT:
        """Return the answer that holds *outputs*, all that the version has, in its signature's order."""
        raise NotImplementedError

    def _refusal(self, error: GatewayError | None) -> tuple[int, AnswerT]:
        """Return how a request that ended with *error* is counted, and its answer; None is a fault of the gateway."""
        raise NotImplementedError

    def _status(self, answer: AnswerT) -> int:
        """Return the status of *answer* in the protocol's own numbers."""
        raise NotImplementedError

    def _heard(self, name: str) -> Sequence[bytes]:
        """Return every value of a header of the request, in their order; *name* is lower-case."""
        raise NotImplementedError

    # ---- what every door uses

    def _trace(self) -> TraceContext | None:
        """Return the trace that the caller's request belongs to, None where it names none."""
        parents = self._heard(TRACEPARENT)
        return read_trace(parents, self._heard(TRACESTATE)) if parents else None

    def _routed(self, values: Values) -> Arm:
        """Take the arm that the route chooses for what the caller sent."""
        table = self._inference.table
        route = table.routes.get(self._model) or table.route(self._model)
        if route.point_of is not None:
            self._point = route.point_of(values)
        self._arm = arm = route.decide(values, getrandbits(64), self._point)
        return arm

    def _pinned(self, version: int) -> Arm:
        """Take the arm of the version that the caller named."""
        inference = self._inference
        self._arm = arm = inference.table.pinned(self._model, inference.lanes.asked(self._model, version))
        return arm

    def _start(
        self, arm: Arm, feeds: tuple[Tensor, ...], rows: int, parameters: Mapping[str, Parameter] | None
    ) -> None:
        """Run the request; its *parameters* may shorten the deadline, and say how urgent it is.

        On an arm without anything to weigh, by far the most, the exchange waits for the lane itself.
        """
        priority = 0
        if parameters:
            if "timeout" in parameters:
                timeout = microseconds(parameters["timeout"])
                self._deadline = min(self._deadline, self._inference.clock() + timeout)
            priority = urgency(parameters.get("priority", 0))
        tap = arm.tap
        if arm.is_plain and tap is None:
            self._attempt = arm.lane.submit(feeds, rows, self._deadline, self._ran, priority)
            return
        if arm.keeping is not None and arm.keeping.takes(getrandbits(64)):
            self._asked = AskedInputs(arm.keeping, self._model, arm.lane.version.signature, feeds)
        settled = self._settled
        done = settled if tap is None else tap.behind(settled, feeds, rows, self._id or self._request_id)
        retries, watched = self._inference.retries, arm.watched
        if watched is None:
            self._attempt = Attempt(arm, feeds, rows, self._deadline, done, retries, priority)
        else:
            self._attempt = start_watched(
                arm, watched, feeds, rows, self._deadline, done, retries, self._point, priority
            )

    def _settled(self, arm: Arm, result: Result) -> None:
        """Take the result of the arm that ended the request."""
        chosen, attempt = self._arm, self._attempt
        self._arm = arm
        self._ran(result)
        if arm is not chosen and isinstance(attempt, Attempt) and not isinstance(result, Exception):
            self._tell_of_fallback(chosen, arm, attempt.failure)

    def _tell_of_fallback(self, chosen: Arm | None, arm: Arm, failure: Exception | None) -> None:
        """Log the *failure* of the *chosen* arm in whose place *arm* answered; an open breaker is none."""
        if failure is None or isinstance(failure, Overloaded):
            return
        described = {**self._described(chosen), "answered_by": arm.lane.version.version}
        self._inference.failures.say(failure, described)

    def _ran(self, result: Result) -> None:
        """Take the result of the arm that was chosen last."""
        arm = self._arm
        assert arm is not None
        try:
            if isinstance(result, Exception):
                self.refuse(blamed(arm, result))
                return
            self._end(outcomes.OK, self._answer(arm, result))
            memory = self._inference.memory
            if memory is None:
                return
            if memory.room > 0:
                self._remember(memory, arm, result)
            else:
                memory.skipped[arm.lane.key] += 1
        except Exception as exc:  # the outermost door of a callback: the rest of the batch must get its answers
            self.refuse(exc)

    def _remember(self, memory: PredictionMemory, arm: Arm, outputs: Sequence[Tensor]) -> None:
        """Leave what was served to whoever counts labels; the caller has the answer already."""
        version, watched = arm.lane.version, arm.watched
        evidence = ("", None) if watched is None else (watched.trial.rollout.id, watched.unit(self._point))
        name = self._id or self._request_id
        memory.served(
            name, version.model, version.version, version.signature, outputs, arm.segment, arm.revision, *evidence,
            self._asked,
        )  # fmt: skip

    def _end(self, outcome: int, answer: AnswerT | None, error: Exception | None = None) -> None:
        reply, self._reply = self._reply, None
        if reply is None:
            return
        inference, arm = self._inference, self._arm
        self._attempt = None  # it knows us: a request leaves no cycle behind
        inference.in_flight -= 1
        if self._held:
            self._let_go()
        cells = arm.lane.cells if arm is not None else inference.unrouted(self._model)
        ended = time.perf_counter()
        cells.answered(outcome, ended - self._started)
        if answer is not None:
            reply(answer)
        if inference.witnesses:
            self._tell(inference.witnesses, outcome, answer, error, ended)

    def _let_go(self) -> None:
        """Give back the room of the body, which is read no more."""
        self._inference.bodies.change(self._held, 0)
        self._held = 0

    def _tell(
        self,
        witnesses: Sequence[Witness],
        outcome: int,
        answer: AnswerT | None,
        error: Exception | None,
        ended: float,
    ) -> None:
        """Tell those *witnesses* how the request ended who want to see it; the caller has the answer already."""
        trace = self._trace()
        takers = [each for each in witnesses if each.takes(trace)]
        if not takers:
            return
        arm = self._arm
        seen = Seen(
            request_id=self._request_id,
            trace=trace,
            door=self.DOOR,
            status=None if answer is None else self._status(answer),
            model=self._model,
            pinned=self._version,
            version=None if arm is None else arm.lane.version.version,
            revision=None if arm is None else arm.revision,
            rule="" if arm is None else arm.rule,
            fallback_from=None if arm is None else fallback_from(arm),
            outcome=outcomes.OUTCOMES[outcome],
            error="" if error is None else type(error).__name__,
            cause=str(error) if isinstance(error, GatewayError) else "",
            started=self._started,
            ended=ended,
            at=time.time(),
            run=None if arm is None else run_of(arm.lane),
        )
        for each in takers:
            each.see(seen)

    def _described(self, arm: Arm | None) -> dict[str, str | int]:
        """Return what a log's line says of the request, which was tried on *arm*."""
        trace = self._trace()
        described: dict[str, str | int] = {"request_id": self._request_id, "model": self._model}
        if trace is not None:
            described["trace_id"] = trace.trace_id
        if arm is not None:
            described |= {"version": arm.lane.version.version, "rule": arm.rule, "revision": arm.revision}
        return described
