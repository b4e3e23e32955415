"""The admin API as a learner asks it: what serves, what drifts, what became of the last rollout, and a new one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.cli.client import Refused
from gateway.cli.errors import CommandFailed
from gateway.core.phases import ENDED, Phase
from gateway.learning.admin import GatewayAway, LastRollout, RolloutRefused, Seen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.cli.client import Client


class ClientAdmin:
    """Implements ``learning.admin.Admin`` over the command line's client."""

    def __init__(self, client: Client, model: str) -> None:
        self._client = client
        self._model = model

    def look(self) -> Seen:
        """Return what serves, and the last rollout. Raises GatewayAway."""
        try:
            found = self._client.get(self._model).data
        except CommandFailed as exc:
            raise GatewayAway(str(exc)) from exc
        route, rollout = found["route"], found["rollout"]
        if route is None:
            raise GatewayAway(f"{self._model!r} has no route yet; a gateway gives it one when a version is READY")
        if rollout is None:
            return Seen(_heaviest(route["split"]), None)
        last = LastRollout(
            Phase(rollout["phase"]), tuple(int(each["version"]) for each in rollout["candidates"]),
            Phase(rollout["phase"]) in ENDED, rollout["reason"],
        )  # fmt: skip
        return Seen(_heaviest(route["split"]) if last.is_over else int(rollout["baseline"]), last)

    def drifted(self, version: int) -> tuple[str, ...]:
        """Return what has drifted of *version*. Raises GatewayAway."""
        try:
            found = self._client.get(self._model, "drift").data["versions"]
        except CommandFailed as exc:
            raise GatewayAway(str(exc)) from exc
        return tuple(reason for each in found if each["version"] == str(version) for reason in each["reasons"])

    def start(self, version: int, plan: Mapping[str, Any], reason: str) -> None:
        """Start a rollout of *version*. Raises RolloutRefused, GatewayAway."""
        body = {"candidate": str(version), "reason": reason, **plan}
        try:
            self._client.send("POST", self._model, "rollouts", body=body, match="*")
        except Refused as exc:
            raise RolloutRefused(str(exc)) from exc
        except CommandFailed as exc:
            raise GatewayAway(str(exc)) from exc


def _heaviest(split: Mapping[str, int]) -> int:
    """Return the version with the most weight, of equal ones the lowest."""
    return max(sorted(map(int, split)), key=lambda version: split[str(version)])
