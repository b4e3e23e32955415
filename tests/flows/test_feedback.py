"""Labels close the loop: what one worker served another one counts, exactly, and the store may be away."""

from __future__ import annotations

import os
import signal
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from tests.flows import metrics
from tests.flows.gateway_process import eventually
from tests.flows.models import request

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.flows.gateway_process import Gateway

REQUESTS: Final = 1_000
METRICS_SECONDS: Final = 3.0
FEEDBACK: Final = "/v2/models/echo/feedback"


def quality(gateway: Gateway, name: str) -> dict[str, float]:
    """Return version → value of a quality metric."""
    samples = metrics.scrape(gateway).get(f"gateway_quality_{name}", {})
    return {dict(labels)["version"]: value for labels, value in samples.items()}


def predict(gateway: Gateway, name: str) -> str:
    """Ask under the id *name*, and return the version that answered: it is the class as well."""
    answer = gateway.ask("POST", "/v2/models/echo/infer", {"id": name, **request([1.0, 2.0])})
    assert answer.status == 200
    return answer.headers["x-gateway-version"]


def test_a_thousand_labels_make_the_accuracy_of_each_version_exact_within_three_seconds(
    begin: Callable[..., Gateway],
) -> None:
    gateway = begin(route='split: {"1": 70, "2": 30}')
    served = {f"r-{n}": predict(gateway, f"r-{n}") for n in range(REQUESTS)}
    right = {name: n % 10 != 0 if served[name] == "1" else n % 4 != 0 for n, name in enumerate(served)}

    items: list[dict[str, Any]] = [
        {"id": name, "label": int(version) if right[name] else "other"} for name, version in served.items()
    ]
    half = [gateway.ask("POST", FEEDBACK, item) for item in items[:500]]
    rest = gateway.ask("POST", FEEDBACK, {"feedback": items[500:]})
    again = gateway.ask("POST", FEEDBACK, {"feedback": items})

    assert {answer.status for answer in half} == {202}
    assert (rest.status, again.status) == (202, 202)
    assert {each["status"] for each in rest.json()["feedback"]} == {"counted"}
    assert {each["status"] for each in again.json()["feedback"]} == {"duplicate"}
    labels = Counter(served.values())
    correct = Counter(served[name] for name in served if right[name])
    wanted = {version: correct[version] / many for version, many in labels.items()}
    eventually(lambda: quality(gateway, "labels_total") == labels, METRICS_SECONDS, "every label is in /metrics")
    assert quality(gateway, "accuracy_ratio") == wanted
    assert quality(gateway, "coverage_ratio") == {"1": 1.0, "2": 1.0}
    shown = gateway.ask_admin("GET", "/api/v1/models/echo/quality").json()["versions"]
    assert {each["version"]: each["windows"]["1h"]["accuracy"] for each in shown} == wanted
    assert len({answer.headers["x-request-id"].partition("-")[0] for answer in half}) == 2, "both workers took some"


def test_an_unknown_id_a_conflict_and_nonsense_are_told_apart(begin: Callable[..., Gateway]) -> None:
    gateway = begin(flags=["--feedback-ttl", "1s"])
    predict(gateway, "a")

    def status(body: object) -> tuple[int, str]:
        answer = gateway.ask("POST", FEEDBACK, body)
        return answer.status, answer.json().get("code", answer.json().get("status"))

    said = [status(body) for body in ({"id": "a", "label": 1}, {"id": "a", "label": 1.0}, {"id": "a", "label": 2})]

    assert said == [(202, "counted"), (202, "duplicate"), (409, "conflicting_label")]
    assert status({"id": "ghost", "label": 1}) == (404, "unknown_id")
    assert status({"id": "a"}) == (400, "invalid_feedback")
    eventually(lambda: status({"id": "a", "reward": 1}) == (404, "expired_id"), 2, "it is too late")


def test_feedback_that_is_off_says_so_and_remembers_nothing(begin: Callable[..., Gateway]) -> None:
    gateway = begin(flags=["--feedback-ttl", "0"])
    predict(gateway, "a")

    answer = gateway.ask("POST", FEEDBACK, {"id": "a", "label": 1})

    assert (answer.status, answer.json()["code"]) == (403, "forbidden")
    assert "--feedback-ttl" in answer.json()["error"]
    assert quality(gateway, "remembered_total") == {}


def test_without_the_store_requests_are_answered_and_what_was_served_is_counted_when_it_is_back(
    begin: Callable[..., Gateway],
) -> None:
    gateway = begin()
    os.kill(gateway.store_pid(), signal.SIGSTOP)
    try:
        served = [predict(gateway, f"r-{n}") for n in range(50)]
        away = gateway.ask("POST", FEEDBACK, {"id": "r-0", "label": served[0]})
    finally:
        os.kill(gateway.store_pid(), signal.SIGCONT)

    assert (away.status, away.json()["code"]) == (503, "store_unavailable")
    assert away.seconds < 2
    eventually(
        lambda: gateway.ask("POST", FEEDBACK, {"id": "r-49", "label": served[49]}).status == 202, 5, "it is remembered"
    )
    eventually(lambda: sum(quality(gateway, "remembered_total").values()) == 50, METRICS_SECONDS, "all are remembered")
