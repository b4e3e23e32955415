"""The table of routes that this worker serves, replaced whole and never edited.

Everything that a request needs and that can be known when a route changes is resolved here: the
version's lane, the headers of the answer, where a failure falls back to. A request takes one
``LiveRoute`` at its start and keeps it, so it sees one revision.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.core.errors import UnknownModel, VersionUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.core.rollout import Rollout
    from gateway.core.routing import Routing, Values
    from gateway.core.watching import Mark
    from gateway.ports import Metrics, VersionCells
    from gateway.serving.batching import Lane
    from gateway.serving.shadow import Tap

Headers = tuple[tuple[bytes, bytes], ...]

PINNED: Final = "pinned"
"""The rule named in the answer of a request that asked for its version."""


class Arm:
    """One way through a route: the lane that answers, what is said of it, and the arm to fall back to.

    *absent* is set where the lane stands in for a version that is not ready here: its number, and the
    cells that count it.
    """

    __slots__ = ("absent", "block", "fallback", "headers", "lane", "rule", "tap")

    def __init__(
        self,
        lane: Lane,
        rule: str,
        revision: int,
        *,
        fallback: Arm | None = None,
        stands_in_for: int | None = None,
        absent: VersionCells | None = None,
    ) -> None:
        self.lane = lane
        self.rule = rule
        self.fallback = fallback
        self.absent = absent
        self.tap: Tap | None = None
        """Copies the requests that go this way for shadows; None but for a request that was drawn for it."""
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


class LiveRoute:
    """One model's route as this worker serves it."""

    def __init__(
        self,
        routing: Routing,
        mark: Mark,
        lanes: Mapping[int, Lane],
        metrics: Metrics,
        rollout: Rollout | None = None,
    ) -> None:
        """*rollout*: the one under way, whose evidence this route's requests are."""
        self.model = routing.document.model
        self.rollout = rollout
        self.routing = routing
        self.mark = mark
        self.revision = mark.revision
        self.lanes = lanes
        self._metrics = metrics
        self._arms: dict[tuple[int, str], Arm] = {}
        self._pinned: dict[Lane, Arm] = {}
        self._decide = routing.decide

    def decide(self, values: Values, draw: int) -> Arm:
        """Return the arm that answers; *draw* is a 64-bit random integer. Raises InvalidRequest for a bad key."""
        chosen = self._decide(values, draw)
        arm = self._arms.get(chosen)
        return arm if arm is not None else self._make(*chosen)

    def pinned(self, lane: Lane) -> Arm:
        """Return the arm of a request that named the version of *lane*."""
        arm = self._pinned.get(lane)
        if arm is None:
            arm = self._pinned[lane] = Arm(lane, PINNED, self.revision)
        return arm

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
        elif baseline is None or lane is baseline or not self._can_stand_in(baseline, lane):
            arm = Arm(lane, rule, self.revision)
        else:
            behind = Arm(baseline, rule, self.revision, stands_in_for=version)
            arm = Arm(lane, rule, self.revision, fallback=behind)
        self._arms[version, rule] = arm
        return arm

    def _can_stand_in(self, baseline: Lane, lane: Lane) -> bool:
        wanted = self.routing.document.fallback == "baseline"
        return wanted and lane.version.signature.takes_the_same_inputs(baseline.version.signature)


class LiveTable:
    """All routes of this worker. Readers take a reference; the one writer swaps it."""

    def __init__(self) -> None:
        self.routes: Mapping[str, LiveRoute] = {}

    def put(self, route: LiveRoute) -> None:
        """Serve *route* from the next request on."""
        self.routes = {**self.routes, route.model: route}

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
