"""The table of routes that this worker serves, replaced whole and never edited.

Everything that a request needs and that can be known when a route changes is resolved here: the
version's lane, the headers of the answer, where a failure falls back to. A request takes one
``LiveRoute`` at its start and keeps it, so it sees one revision.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.core.aliases import resolve
from gateway.core.errors import UnknownModel, VersionUnavailable
from gateway.serving.watched import Watched

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.core.keeping import Keeping
    from gateway.core.rollout import Rollout
    from gateway.core.routing import Routing, Values
    from gateway.core.watching import Mark
    from gateway.ports.engine import Tensor
    from gateway.ports.metrics import Metrics, VersionCells
    from gateway.serving.batching import Lane
    from gateway.serving.recording import RecordingTap
    from gateway.serving.shadow import Tap
    from gateway.serving.trials import Trial

Headers = tuple[tuple[bytes, bytes], ...]

PINNED: Final = "pinned"
"""The rule named in the answer of a request that asked for its version."""

FALLBACK: Final = "fallback"
"""The segment of answers in place of a version that failed or is not there."""


class Arm:
    """One way through a route: the lane that answers, what is said of it, and the arm to fall back to.

    *absent* is set where the lane stands in for a version that is not ready here: its number, and the
    cells that count it. *is_trusted*: where its version and the runtime refuse a value, the input is at fault.
    That is so for the baseline, and for a version that the caller named, which is compared with nothing. *watched* is
    set where the requests are evidence of a rollout. *order*: where in the tensors of the arm before, which this one
    falls back from, each of its own inputs is; None where both have them in one order. *is_narrower*: the arm before
    takes requests that this one cannot run.
    """

    __slots__ = (
        "absent", "block", "fallback", "headers", "is_narrower", "is_plain", "is_trusted", "keeping", "lane", "order",
        "revision", "rule", "segment", "tap", "watched",
    )  # fmt: skip

    def __init__(
        self,
        lane: Lane,
        rule: str,
        revision: int,
        *,
        fallback: Arm | None = None,
        stands_in_for: int | None = None,
        absent: VersionCells | None = None,
        is_trusted: bool = True,
        order: tuple[int, ...] | None = None,
        is_narrower: bool = False,
    ) -> None:
        self.lane = lane
        self.is_narrower = is_narrower
        self.is_trusted = is_trusted
        self.order = order
        self.rule = rule
        self.segment = rule if stands_in_for is None else FALLBACK
        """What labels count this arm's answers under."""
        self.revision = revision
        self.fallback = fallback
        self.absent = absent
        self.is_plain = fallback is None and absent is None
        """Whether nothing is to be weighed: the lane's answer, or its error, is the request's. Not where *watched*, and
        not where there is *keeping*."""
        self.keeping: Keeping | None = None
        """Which inputs of the requests that go this way are kept, if any are."""
        self.watched: Watched | None = None
        self.tap: Tap | RecordingTap | None = None
        """Copies or records the requests that go this way; None but for a request that was drawn for it."""
        headers = [
            (b"x-gateway-version", str(lane.version.version).encode()),
            (b"x-gateway-revision", str(revision).encode()),
            (b"x-gateway-rule", rule.encode()),
        ]
        if stands_in_for is not None:
            headers.append((b"x-gateway-fallback-from", str(stands_in_for).encode()))
        self.headers: Headers = tuple(headers)
        self.block = b"".join(b"%s: %s\r\n" % header for header in headers)
        """The headers as they go over the wire."""

    def reordered(self, feeds: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return the tensors of the arm before in the order of this one's inputs."""
        return feeds if self.order is None else tuple(feeds[place] for place in self.order)

    def can_stand_in(self, feeds: tuple[Tensor, ...]) -> bool:
        """Say whether this arm can run the tensors of the arm before, which that one took."""
        if not self.is_narrower:
            return True
        return self.lane.version.signature.fits([each.shape for each in self.reordered(feeds)])


class LiveRoute:
    """One model's route as this worker serves it."""

    def __init__(
        self,
        routing: Routing,
        mark: Mark,
        lanes: Mapping[int, Lane],
        metrics: Metrics,
        trial: Trial | None = None,
    ) -> None:
        """*trial*: of the rollout under way, whose evidence this route's requests are."""
        self.model = routing.document.model
        self.rollout: Rollout | None = trial.rollout if trial is not None else None
        self._trial = trial
        self.routing = routing
        self.mark = mark
        self.revision = mark.revision
        self.lanes = lanes
        self._metrics = metrics
        self._arms: dict[tuple[int, str], Arm] = {}
        self._pinned: dict[Lane, Arm] = {}
        self._decide = routing.decide
        self.point_of: Callable[[Values], int | None] | None = (
            routing.point if trial is not None and routing.source is not None else None
        )
        """How a request's key becomes its point, where evidence is counted by key: then ``decide`` is told it."""

    def decide(self, values: Values, draw: int, point: int | None = None) -> Arm:
        """Return the arm that answers; *draw* is a 64-bit random integer. Raises InvalidRequest for a bad key.

        *point*: what ``point_of``, where there is one, says of this request.
        """
        chosen = self._decide(values, draw, point)
        arm = self._arms.get(chosen)
        return arm if arm is not None else self._make(*chosen)

    def pinned(self, lane: Lane) -> Arm:
        """Return the arm of a request that named the version of *lane*."""
        arm = self._pinned.get(lane)
        if arm is None:
            arm = self._pinned[lane] = Arm(lane, PINNED, self.revision)
        return arm

    def labelled(self, label: str) -> int:
        """Return the version that *label* points to under this route. Raises UnknownAlias."""
        candidates = self.rollout.live if self.rollout is not None else ()
        return resolve(self.routing.document, label, candidates)

    def paired(self, version: int, differs: bool) -> None:
        """Count, for the rollout under way, a copy's answer by *version* that was compared with the baseline's."""
        if self._trial is not None:
            self._trial.paired(self.revision, version, differs=differs)

    def _make(self, version: int, rule: str) -> Arm:
        """Build the arm of *version*: its own lane, or the baseline's where it is not ready on this worker."""
        baseline = self.lanes.get(self.routing.document.baseline)
        lane = self.lanes.get(version)
        if lane is None:
            if self.routing.document.fallback == "none":
                raise VersionUnavailable(self.model, version, "not ready", "and its route has no fallback")
            if baseline is None:
                raise VersionUnavailable(self.model, version, "not ready", "nor is the baseline")
            cells = self._metrics.version(self.model, str(version))
            arm = Arm(baseline, rule, self.revision, stands_in_for=version, absent=cells)
        elif baseline is None or lane is baseline or self.routing.document.fallback != "baseline":
            arm = Arm(lane, rule, self.revision, is_trusted=lane is baseline)
        else:
            behind = self._behind(baseline, lane, rule)
            arm = Arm(lane, rule, self.revision, fallback=behind, is_trusted=False)
        self._watch(arm, version)
        if (keeping := self.routing.document.feedback) is not None:
            arm.keeping, arm.is_plain = keeping, False
        self._arms[version, rule] = arm
        return arm

    def _watch(self, arm: Arm, version: int) -> None:
        """Let the requests through *arm* be evidence, where they are: the split's, of the versions compared.

        A request that a rule, or the lack of a key, sends to a version says nothing: its kind may fail more often.
        """
        trial, baseline = self._trial, self.lanes.get(self.routing.document.baseline)
        if trial is None or arm.rule != "split" or arm.absent is not None:
            return
        if version == trial.rollout.baseline:
            again: Arm | None = arm
        elif version in trial.rollout.live:
            again = self._behind(baseline, arm.lane, arm.rule) if baseline is not None else None
        else:
            return
        arm.is_plain = False
        arm.watched = Watched(trial, version, self.routing.document.fallback, arm.fallback or again)

    def _behind(self, baseline: Lane, lane: Lane, rule: str) -> Arm:
        """Return the arm of the *baseline* that answers where *lane*, which takes all that it takes, fails."""
        mine, before = baseline.version.signature, lane.version.signature
        theirs = [spec.name for spec in before.inputs]
        order = tuple(theirs.index(spec.name) for spec in mine.inputs)
        return Arm(
            baseline,
            rule,
            self.revision,
            stands_in_for=lane.version.version,
            order=None if order == tuple(range(len(order))) else order,
            is_narrower=not mine.takes_all_of(before),
        )


class LiveTable:
    """All routes of this worker. Readers take a reference; the one writer swaps it."""

    def __init__(self) -> None:
        self.routes: Mapping[str, LiveRoute] = {}

    def put(self, route: LiveRoute) -> None:
        """Serve *route* from the next request on."""
        self.routes = {**self.routes, route.model: route}

    def drop(self, model: str) -> None:
        """Serve no route of *model* any more; requests that hold one keep it."""
        self.routes = {name: route for name, route in self.routes.items() if name != model}

    def route(self, model: str) -> LiveRoute:
        """Return the route of *model*. Raises UnknownModel."""
        route = self.routes.get(model)
        if route is None:
            raise UnknownModel(model)
        return route

    def pinned(self, model: str, lane: Lane) -> Arm:
        """Return the arm of a request that named its version: no statistics, no fallback."""
        route = self.routes.get(model)
        return Arm(lane, PINNED, 0) if route is None else route.pinned(lane)
