"""A user stays with a version while a canary grows: on every worker, after every restart, as the core says."""

from __future__ import annotations

import http.client
import json
from functools import partial
from typing import TYPE_CHECKING, Final

from gateway.core import document, routing, seating
from tests.flows import metrics
from tests.flows.gateway_process import eventually
from tests.flows.models import MODEL, request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tests.flows.gateway_process import Gateway

USERS: Final = [f"user-{number}" for number in range(500)]
ROUTE: Final = 'split: {"1": 99, "2": 1}\nassign: {by: "header:x-user-id", salt: golden}\nbaseline: "1"'
STEPS: Final = (5, 25, 50)
BODY: Final = json.dumps(request([1, 2]))

FIRST_ON_2: Final = {1: 3, 5: 18, 25: 126, 50: 256}
"""How many of USERS are on version 2 at each weight. Pinned: a change moves users on upgrade."""

Assignment = dict[str, str]


class Lines:
    """One connection to each worker, held open, so that every user can be asked for on all of them."""

    def __init__(self, gateway: Gateway) -> None:
        self._port = gateway.port
        self._by_worker: dict[str, http.client.HTTPConnection] = {}
        eventually(lambda: self._dial() == gateway.workers, 10, "a connection to each worker")

    def assignments(self) -> list[Assignment]:
        """Return, for each worker, which version every user got; header and model must agree."""
        return [{user: _ask(line, user)[0] for user in USERS} for line in self._by_worker.values()]

    def close(self) -> None:
        for line in self._by_worker.values():
            line.close()

    def _dial(self) -> int:
        line = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        _, request_id = _ask(line, "somebody")
        if self._by_worker.setdefault(request_id.partition("-")[0], line) is not line:
            line.close()
        return len(self._by_worker)


def _ask(line: http.client.HTTPConnection, user: str) -> tuple[str, str]:
    """Return the version that answered *user*, and the id of the request."""
    line.request("POST", f"/v2/models/{MODEL}/infer", BODY, {"x-user-id": user})
    response = line.getresponse()
    content = json.loads(response.read())
    assert response.status == 200, content
    version = response.headers["x-gateway-version"]
    assert {output["name"]: output["data"] for output in content["outputs"]}["version"] == [int(version)]
    return version, response.headers["x-request-id"]


def expected(weights: Sequence[int]) -> Assignment:
    """Return what the core says after version 2 had these *weights* of 100, one after the other."""
    route = _document(weights[0])
    seats = seating.seat_route(route)
    for weight in weights[1:]:
        changed = _document(weight)
        seats = seating.reseat_route(route, seats, changed)
        route = changed
    decide = routing.compile_route(route, seats).decide
    return {user: str(decide(partial(_key, user), 0)[0]) for user in USERS}


def _key(user: str, kind: str, name: str) -> list[bytes]:
    """Return what a request of *user* holds, wherever the route looks."""
    return [user.encode()]


def _document(weight: int) -> document.RouteDocument:
    split = {"1": 100 - weight, "2": weight}
    assign = {"by": "header:x-user-id", "salt": "golden"}
    return document.parse({"model": MODEL, "split": split, "assign": assign, "baseline": "1"})


def _is_at(gateway: Gateway, revision: int) -> bool:
    return metrics.adopted(gateway) == revision


def on_2(assignment: Mapping[str, str]) -> set[str]:
    return {user for user, version in assignment.items() if version == "2"}


def test_users_only_ever_move_into_a_growing_canary_on_every_worker_and_across_a_restart(
    begin: Callable[..., Gateway],
) -> None:
    gateway = begin(route=ROUTE)
    lines = Lines(gateway)
    history = [1]
    before = expected(history)
    assert lines.assignments() == [before, before]

    for revision, weight in enumerate(STEPS, start=2):
        history.append(weight)
        assert gateway.set_weights(MODEL, {"1": 100 - weight, "2": weight}).status == 200
        eventually(partial(_is_at, gateway, revision), 3, "both workers follow")
        after = expected(history)

        assert lines.assignments() == [after, after]
        assert on_2(before) < on_2(after)
        assert len(on_2(after)) == FIRST_ON_2[weight]
        before = after
    lines.close()
    assert gateway.stop() == 0
    gateway.close()

    gateway.start()
    eventually(lambda: metrics.adopted(gateway) == len(history), 5, "both workers have the stored route")
    lines = Lines(gateway)

    assert lines.assignments() == [before, before]
    lines.close()
