"""Two replicas of one worker on one store behind haproxy, each of them of this release or of an older one."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from load_tests.servers import free_port
from tests.faults.balancer import Balancer
from tests.faults.store_server import StoreServer
from tests.flows import metrics
from tests.flows.conftest import close_all
from tests.flows.gateway_process import Gateway, eventually
from tests.flows.models import MODEL, repository, request, route_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

HERE: Final = None
"""In place of the source of an older release: the code that is tested."""

ROUTE: Final = 'split: {"1": 50, "2": 50}\nassign: {by: "header:x-user-id", missing: random, salt: echo}\nbaseline: "1"'
ROLLOUTS: Final = f"/api/v1/models/{MODEL}/rollouts"
HISTORY: Final = f"/api/v1/models/{MODEL}/history"
LENIENT: Final = {"tolerate": "20%", "certify": "30%"}
"""A run that takes far longer than the baseline's is a failure, which on a machine with other work some are."""

DRAIN: Final = "2s"
FOLLOW_SECONDS: Final = 5.0
ROLLED_OUT_SECONDS: Final = 60.0


class Pair:
    """Replicas ``a`` and ``b``. Each keeps its ports and its state directory when it is replaced."""

    def __init__(self, root: Path, source: Path | None) -> None:
        """*source*: where the package of the release is of which both are at first."""
        port = free_port()
        self.store_url = f"redis://127.0.0.1:{port}/0"
        self._store = StoreServer("--port", str(port))
        repository(root / "models", (1, 2))
        route_file(root / "routes", ROUTE)
        self.a, self.b = (
            Gateway(
                root / name, root / "models", root / "routes", workers=1,
                flags=("--redis-url", self.store_url, "--port", str(free_port()), "--drain-delay", DRAIN),
                prefix=started_from(source),
            )
            for name in ("a", "b")
        )  # fmt: skip
        self.balancer = Balancer(root, [int(each.flags[3]) for each in (self.a, self.b)])

    def __enter__(self) -> Pair:
        try:
            self._store.start()
            for replica in (self.a, self.b):
                replica.start()
            self.balancer.__enter__()
            eventually(self._is_balanced, FOLLOW_SECONDS, "the balancer has a replica that is ready")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(AssertionError):
            self.balancer.__exit__(None, None, None)
        try:
            close_all([self.a, self.b])
        finally:
            self._store.close()

    def replace(self, replica: Gateway, source: Path | None) -> None:
        """Stop a replica as an operator does, and start it of another release; return when it serves."""
        code = replica.stop()
        assert code == 0, replica.stderr()
        replica.close()
        replica.prefix = started_from(source)
        replica.start()

    def weigh(self, by: Gateway, weights: Mapping[str, int]) -> int:
        """Change the split through the admin port of a replica, and return the revision that both follow then."""
        answer = by.set_weights(MODEL, weights)
        assert answer.status == 200, answer.body
        revision = int(answer.headers["etag"].strip('"'))
        self.follow(revision)
        return revision

    def follow(self, revision: int) -> None:
        """Return when both replicas serve *revision*, or a newer one."""
        both = (self.a, self.b)
        followed = lambda: all((metrics.adopted(each) or 0) >= revision for each in both)  # noqa: E731
        eventually(followed, FOLLOW_SECONDS, f"both replicas follow revision {revision}")

    def torn(self, users: Iterable[int]) -> list[int]:
        """Return those users who have another version on one replica than on the other."""
        return [user for user in users if version_of(self.a, user) != version_of(self.b, user)]

    def begin_rollout(self, by: Gateway, candidate: str) -> None:
        """Start a rollout in one step of half the traffic through a replica; return when both serve that step."""
        plan = {
            "candidate": candidate,
            "steps": [{"weight": 50, "for": "3s"}],
            "holdback": {"weight": 95, "for": "1s"},
            "guards": {"errors": LENIENT},
        }
        answer = by.ask_admin("POST", ROLLOUTS, plan, if_match="*")
        assert answer.status == 201, answer.body
        eventually(lambda: rollout(by)["phase"] == "step", ROLLED_OUT_SECONDS, "the rollout is at its step")
        self.follow(rollout(by)["revision"])

    def end_rollout(self, by: Gateway) -> None:
        """Return when a replica says that the rollout has succeeded."""
        eventually(lambda: rollout(by)["phase"] == "succeeded", ROLLED_OUT_SECONDS, "the rollout has succeeded")

    def _is_balanced(self) -> bool:
        try:
            entrance = f"http://127.0.0.1:{self.balancer.port}"
            return self.a.ask("GET", "/v2/health/ready", base=entrance).status == 200
        except OSError:
            return False


def started_from(source: Path | None) -> tuple[str, ...]:
    """Return what a command line begins with to run the package at *source*."""
    return () if source is None else ("env", "-C", str(source), f"PYTHONPATH={source}")


def version_of(replica: Gateway, user: int) -> str:
    """Return the version that answers *user* on a replica."""
    headers = {"x-user-id": f"user-{user}"}
    answer = replica.ask("POST", f"/v2/models/{MODEL}/infer", request([1.0, 2.0]), headers)
    assert answer.status == 200, answer.body
    return answer.headers["x-gateway-version"]


def label(served_by: Gateway, told: Gateway, name: str) -> None:
    """Have one replica answer under an id, say to the other what was right, and return when that is counted."""
    answer = served_by.ask("POST", f"/v2/models/{MODEL}/infer", {"id": name, **request([1.0, 2.0])})
    said = {"id": name, "label": int(answer.headers["x-gateway-version"])}

    def is_counted() -> bool:
        answer = told.ask("POST", f"/v2/models/{MODEL}/feedback", said)
        return answer.status == 202 and answer.json()["status"] in {"counted", "duplicate"}

    eventually(is_counted, FOLLOW_SECONDS, f"the label of {name} is counted")


def rollout(replica: Gateway) -> dict[str, Any]:
    """Return what a replica says of the last rollout."""
    found: dict[str, Any] = replica.ask_admin("GET", f"{ROLLOUTS}/current").json()
    return found


def entries(replica: Gateway) -> list[dict[str, Any]]:
    """Return the whole history as a replica shows it, the newest entry first."""
    found: list[dict[str, Any]] = replica.ask_admin("GET", f"{HISTORY}?limit=100").json()
    return found
