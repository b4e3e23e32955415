"""Many operators change one route at once, and some die before they hear of it: no edit is lost or made twice."""

from __future__ import annotations

import json
import random
import socket
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import pytest

from tests.faults import thresholds
from tests.faults.store_server import needs_redis, network, store, url
from tests.flows.models import MODEL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tests.faults.table import Table
    from tests.flows.gateway_process import Gateway
    from tests.flows.proxy import Network

__all__ = ["network", "store"]
pytestmark = [pytest.mark.fault, needs_redis]

ROUTE: Final = 'split: {"1": 1000, "2": 1}\nassign: {by: random}\nbaseline: "1"'
ROUTE_PATH: Final = f"/api/v1/models/{MODEL}/route"
HISTORY: Final = f"/api/v1/models/{MODEL}/history"
OPERATORS: Final = 10
EDITS: Final = 10
DIES_EVERY: Final = 3
"""Of an operator's edits, one in so many is sent by a client that dies before it reads the answer."""
PATIENCE_SECONDS: Final = 60.0
BACK_OFF_SECONDS: Final = 0.05


@dataclass(slots=True)
class Operator:
    """Raises the weight of version 2 by one, EDITS times; *match* is what If-Match says, where empty what was read."""

    name: str
    gateway: Gateway
    match: str = ""
    answers: Counter[int] = field(default_factory=Counter)

    def work(self) -> None:
        """Make every edit, each tried until it is made."""
        draw = random.Random(self.name)
        deadline = time.monotonic() + PATIENCE_SECONDS
        for number in range(EDITS):
            while not self._edit(f"{self.name}, edit {number}", dies=number % DIES_EVERY == 0 and not self.match):
                assert time.monotonic() < deadline, f"{self.name} never got edit {number} in: {self.answers}"
                time.sleep(draw.uniform(0, BACK_OFF_SECONDS))

    def _edit(self, reason: str, *, dies: bool) -> bool:
        """Read the route, raise the weight, and say whether that is in the store now."""
        route = self.gateway.ask_admin("GET", ROUTE_PATH)
        split = route.json()["split"]
        change = {"weights": {**split, "2": split["2"] + 1}, "reason": reason}
        match = self.match or route.headers["etag"]
        if dies:
            send_and_die(self.gateway, change, match)
        status = self.gateway.ask_admin("PATCH", f"{ROUTE_PATH}/weights", change, if_match=match).status
        self.answers[status] += 1
        return status == 200 or (dies and reason in reasons(self.gateway))


def send_and_die(gateway: Gateway, change: Mapping[str, object], match: str) -> None:
    """Send a change and close without reading: all that a server sees of a client that is killed then."""
    admin = urlsplit(gateway.admin)
    body = json.dumps(change)
    head = (
        f"PATCH {ROUTE_PATH}/weights HTTP/1.1\r\nhost: {admin.netloc}\r\nif-match: {match}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection((admin.hostname, admin.port), 5) as line:
        line.sendall(f"{head}{body}".encode())


def reasons(gateway: Gateway) -> Sequence[str]:
    """Return the reason of every edit that the history holds."""
    entries = gateway.ask_admin("GET", f"{HISTORY}?limit=1000").json()
    return [entry["reason"] for entry in entries if ", edit " in entry["reason"]]


def edit_all_at_once(replicas: Sequence[Gateway], match: str = "") -> Counter[int]:
    """Let all operators work, each at one of the replicas; return how often each status was answered."""
    operators = [Operator(f"operator {n}", replicas[n % len(replicas)], match) for n in range(OPERATORS)]
    with ThreadPoolExecutor(OPERATORS) as pool:
        for done in [pool.submit(operator.work) for operator in operators]:
            done.result()
    return sum((operator.answers for operator in operators), Counter())


def counted(gateway: Gateway) -> tuple[int, int]:
    """Return how many revisions were made since the first, and how many edits the route holds."""
    route = gateway.ask_admin("GET", ROUTE_PATH)
    return int(route.headers["etag"].strip('"')) - 1, route.json()["split"]["2"] - 1


def two_replicas(begin: Callable[..., Gateway], network: Network) -> Sequence[Gateway]:
    """Start two replicas that share the store; what answers requests is not asked here."""
    return [begin(name, route=ROUTE, workers=1, flags=("--redis-url", url(network))) for name in ("one", "other")]


def test_no_edit_of_many_operators_is_lost_or_made_twice_though_clients_die_and_retry(
    begin: Callable[..., Gateway], network: Network, table: Table
) -> None:
    replicas = two_replicas(begin, network)

    answers = edit_all_at_once(replicas)

    revisions, held = counted(replicas[1])
    entries = reasons(replicas[0])
    chain = replicas[0].ask_admin("GET", f"{HISTORY}/chain").json()
    asked = OPERATORS * EDITS
    with table.promise(
        "R9", f"{OPERATORS} operators x {EDITS} edits, one in {DIES_EVERY} of a client that dies"
    ) as found:
        found("edits that the route does not hold", asked - held, thresholds.NONE)
        found("revisions beyond one an edit", abs(revisions - asked), thresholds.NONE)
        found("edits that the history does not hold", asked - len(set(entries)), thresholds.NONE)
        found("edits that it holds twice", len(entries) - len(set(entries)), thresholds.NONE)
        found("entries that do not hold the digest of the one before", len(chain["breaks"]), thresholds.NONE)
        found("losers told 412", answers.pop(412, 0), thresholds.SOME)
        found("answers other than 200 and 412", answers.total() - answers[200], thresholds.NONE)


def test_control_without_a_revision_in_if_match_edits_are_lost(
    begin: Callable[..., Gateway], network: Network, table: Table
) -> None:
    replicas = two_replicas(begin, network)

    edit_all_at_once(replicas, match="*")

    with table.control("R9", "read, then written with If-Match: *") as found:
        found("edits that the route does not hold", OPERATORS * EDITS - counted(replicas[0])[1], thresholds.NONE)
