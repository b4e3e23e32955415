"""Sticky users who send real, unseen rows and notice when they are moved to another version.

    locust -f load_tests/locustfile.py --headless -u 50 -r 50 -t 20s --host http://127.0.0.1:8080

Exits 1 when too many requests fail or the p95 is too high: LOCUST_MAX_ERROR_RATIO (0) and
LOCUST_MAX_P95_MS (100). LOCUST_SEED makes the rows and users of a run the same again.
"""

from __future__ import annotations

import json
import logging
import os
import random
from typing import TYPE_CHECKING, Any, ClassVar

from locust import FastHttpUser, constant_throughput, events, task

from load_tests.promises import Assignment, Limits
from tools.training import data

if TYPE_CHECKING:
    from locust.env import Environment

MODEL = "breast-cancer"
PATH = f"/v2/models/{MODEL}/infer"

logger = logging.getLogger(__name__)
draw = random.Random(os.environ.get("LOCUST_SEED"))
limits = Limits.read(os.environ)


class StickyUser(FastHttpUser):
    """One user of the model: a name that stays, ten requests a second, a random held-out row in each."""

    wait_time = constant_throughput(10)
    rows: ClassVar[list[list[float]]] = data.held_out(MODEL)[0].tolist()

    def on_start(self) -> None:
        """Take a name; users of every run and every process of a distributed run differ."""
        self.name = f"user-{draw.getrandbits(64):016x}"
        self.assignment = Assignment()

    @task
    def infer(self) -> None:
        """Ask for one prediction; an answer without a label, or from a version of another user, is a failure."""
        row = draw.choice(self.rows)
        tensor = {"name": "input", "shape": [1, len(row)], "datatype": "FP32", "data": row}
        headers = {"content-type": "application/json", "x-user-id": self.name}
        with self.client.post(
            PATH, data=json.dumps({"inputs": [tensor]}), headers=headers, catch_response=True
        ) as answer:
            if answer.status_code != 200:
                answer.failure(f"status {answer.status_code}: {(answer.text or '')[:200]}")
            elif fault := _without_label(answer.text) or self.assignment.fault(answer.headers):
                answer.failure(fault)


def _without_label(text: str | None) -> str:
    try:
        names = {output["name"] for output in json.loads(text or "")["outputs"]}
    except (ValueError, LookupError, TypeError):
        return f"no inference answer: {(text or '')[:200]}"
    return "" if "label" in names else f"outputs {sorted(names)} hold no label"


def judge(environment: Environment, **_: Any) -> None:
    """Turn the limits into the exit status."""
    total = environment.stats.total
    p95_ms = total.get_response_time_percentile(0.95) or 0
    broken = limits.exceeded(total.num_requests, total.fail_ratio, p95_ms)
    for reason in broken:
        logger.error("load test failed: %s", reason)
    environment.process_exit_code = 1 if broken else 0


events.quitting.add_listener(judge)  # type: ignore[no-untyped-call]  # locust annotates it in part
