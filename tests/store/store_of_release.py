"""What a release writes into its store, kept for the tests of those that come later.

usage: python -m tests.store.store_of_release WORKTREE FILE

WORKTREE is a checkout of the release (``git worktree add``); its gateway is run and asked, and FILE becomes a backup of
its store. Not for use beside a gateway that serves: it is a tool of those who make a release.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.store.backup import Backups, write_document
from tests.flows.gateway_process import Gateway, eventually
from tests.flows.models import MODEL, crashing, publish, repository, request, route_file
from tests.flows.test_rollouts import CURRENT, ROLLOUTS, store_url

if TYPE_CHECKING:
    from collections.abc import Mapping

ROUTE: Final = 'split: {"1": 100}\nbaseline: "1"'
ASKED: Final = 60
WRONG_EVERY: Final = 5
SECONDS: Final = 60.0


def main() -> None:
    """Run the release and keep its store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("worktree", type=Path)
    parser.add_argument("file", type=Path)
    given = parser.parse_args()
    given.file.write_bytes(store_of(given.worktree.resolve()))


def store_of(worktree: Path) -> bytes:
    """Return a backup of what the release in *worktree* wrote: weights, labels, a rollback and a rollout under way."""
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        publish(repository(root / "models", (1, 2)), 3, crashing(3))
        routes = route_file(root / "routes", ROUTE)
        prefix = ("env", "-C", str(worktree), f"PYTHONPATH={worktree}")
        gateway = Gateway(root / "gateway", root / "models", routes, prefix=prefix)
        try:
            gateway.start()
            use(gateway)
            release = gateway.ask("GET", "/v2").json()["version"]
            models = asyncio.run(taken(store_url(gateway)))
        finally:
            gateway.close()
    return write_document(models, release=release, at="")


def use(gateway: Gateway) -> None:
    """Do one of everything that is kept for long."""
    eventually(lambda: gateway.ask_admin("GET", f"/api/v1/models/{MODEL}/history").json(), SECONDS, "the route is kept")
    weigh(gateway, {"1": 75, "2": 25})
    for number in range(ASKED):
        name = f"r-{number}"
        answer = gateway.ask("POST", f"/v2/models/{MODEL}/infer", {"id": name, **request([1.0, 2.0])})
        label = 9 if number % WRONG_EVERY == 0 else int(answer.headers["x-gateway-version"])
        gateway.ask("POST", f"/v2/models/{MODEL}/feedback", {"id": name, "label": label})
    weigh(gateway, {"1": 100})
    roll_out(gateway, "3", "rolled_back")
    roll_out(gateway, "2", "step")


def weigh(gateway: Gateway, weights: Mapping[str, int]) -> None:
    answer = gateway.set_weights(MODEL, weights)
    assert answer.status == 200, answer.body


def roll_out(gateway: Gateway, candidate: str, phase: str) -> None:
    """Start a rollout and send requests until it is in *phase* and its counts are in the store."""
    plan = {"candidate": candidate, "steps": [{"weight": 50, "for": "10m"}], "reason": f"version {candidate}"}
    answer = gateway.ask_admin("POST", ROLLOUTS, plan, if_match="*")
    assert answer.status == 201, answer.body

    def arrived() -> bool:
        for _ in range(ASKED):
            gateway.ask("POST", f"/v2/models/{MODEL}/infer", request([1.0, 2.0]))
        shown = gateway.ask_admin("GET", CURRENT).json()
        return bool(shown["phase"] == phase and (shown["verdict"] or {}).get("certificate", {}).get("requests"))

    eventually(arrived, SECONDS, f"the rollout of version {candidate} is in {phase}, with evidence")


async def taken(url: str) -> dict[str, list[dict[str, object]]]:
    backups = Backups(url)
    try:
        return await backups.take()
    finally:
        await backups.close()


if __name__ == "__main__":
    main()
