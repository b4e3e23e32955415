"""Versions come, get traffic and go beside an open-loop load that loses nothing; the memory they took comes back."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING, Final

import pytest

from load_tests import proc
from tests.engine import graphs
from tests.flows import metrics
from tests.flows.conftest import seeded
from tests.flows.gateway_process import eventually
from tests.flows.load import Load
from tests.flows.models import MODEL, publish, request
from tests.verification import hurtful

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.flows.gateway_process import Gateway

ROUTE: Final = 'split: {"1": 1}\nassign: {by: random}\nbaseline: "1"'
BUDGET: Final = ("--model-memory", "400m")
MEGABYTES: Final = 32
PATIENCE_SECONDS: Final = 10.0
STALL_SECONDS: Final = 1.0
"""The longest that one request may wait beside all this, on a machine that does other work: 20 ms where it does not."""


def workers(gateway: Gateway, state: str, version: int, *, model: str = MODEL) -> bool:
    """Say whether *version* is in *state*, and READY on all workers or none."""
    answer = gateway.ask_admin("GET", f"/api/v1/models/{model}/versions").json().get("versions", [])
    found = next((each for each in answer if each["version"] == str(version)), None)
    if found is None or found["state"] != state:
        return False
    return bool(found["workers"]["ready"] == (found["workers"]["total"] if state == "READY" else 0))


def reason(gateway: Gateway, version: int) -> str:
    """Return why a version of the heavy model rests, as one worker says; empty where it does not."""
    found = gateway.index().get(("heavy", str(version)), {}).get("reason", "")
    return found if found.startswith("resting") else ""


async def reach(gateway: Gateway, state: str, version: int, *, model: str = MODEL) -> None:
    await asyncio.to_thread(
        eventually,
        lambda: workers(gateway, state, version, model=model),
        PATIENCE_SECONDS,
        f"{model}/{version} is {state}",
    )


async def probes(gateway: Gateway, there: bool) -> None:
    """Wait until the process that probes files is there, as it is while somebody asks it, or is not."""
    wanted = "there" if there else "gone, since nobody asks"
    await asyncio.to_thread(
        eventually, lambda: bool(gateway.verifier_pids()) is there, PATIENCE_SECONDS, f"the verifier is {wanted}"
    )


async def order(gateway: Gateway, verb: str, version: int, *, model: str = MODEL) -> None:
    answer = await asyncio.to_thread(gateway.ask_admin, "POST", f"/api/v1/models/{model}/versions/{version}/{verb}")
    assert answer.status == 202, answer.body


async def shift(gateway: Gateway, **weights: int) -> None:
    answer = await asyncio.to_thread(
        gateway.set_weights, MODEL, {name.removeprefix("v"): weight for name, weight in weights.items()}
    )
    assert answer.status == 200, answer.body


def of_workers(gateway: Gateway) -> float:
    """Return the proportional memory of the workers, in megabytes."""
    return proc.pss_bytes(set(gateway.worker_pids())) / 2**20


async def test_versions_come_and_go_beside_a_load_that_loses_nothing(begin: Callable[..., Gateway]) -> None:
    gateway = begin(route=ROUTE, versions=(1,), flags=BUDGET)
    pids = gateway.worker_pids()

    async with Load(gateway.port, rate=150.0) as load:
        await load.answered(50)
        await probes(gateway, False)
        publish(gateway.models, 2)
        await probes(gateway, True)
        for pid in gateway.verifier_pids():
            os.kill(pid, signal.SIGKILL)  # the launcher starts another one
        publish(gateway.models, 3, hurtful.crashing_at_load())
        await reach(gateway, "READY", 2)
        await shift(gateway, v1=1, v2=1)
        await load.answered(150)
        await reach(gateway, "FAILED", 3)
        await shift(gateway, v1=1)
        await order(gateway, "unload", 2)
        await reach(gateway, "UNAVAILABLE", 2)
        async with Load(gateway.port, rate=50.0, path=f"/v2/models/{MODEL}/versions/1/infer") as pinned:
            await pinned.answered(20)
        async with Load(gateway.port, rate=50.0, path=f"/v2/models/{MODEL}/versions/2/infer") as control:
            await control.answered(5)

    assert load.faults == []
    assert pinned.faults == []
    assert len(control.faults) == len(control.outcomes)  # the load does see it where a version is missing
    assert set(load.by_model()) == {"1", "2"}
    assert max(outcome.latency for outcome in load.outcomes) < STALL_SECONDS
    assert gateway.worker_pids() == pids
    assert "SIGFPE" in gateway.index()[MODEL, "3"]["reason"]
    assert load.by_header() == load.by_model()


@pytest.mark.long
async def test_workers_are_replaced_while_nobody_probes_files(begin: Callable[..., Gateway]) -> None:
    gateway = begin(route=ROUTE, versions=(1,))
    before = gateway.worker_pids()
    await probes(gateway, False)

    os.kill(gateway.pid, signal.SIGHUP)

    await asyncio.to_thread(
        eventually,
        lambda: len(gateway.worker_pids()) == len(before) and not set(before) & set(gateway.worker_pids()),
        PATIENCE_SECONDS,
        "the workers are replaced",
    )


@pytest.mark.long
async def test_memory_is_shown_bounded_and_given_back(begin: Callable[..., Gateway]) -> None:
    gateway = begin(route=ROUTE, versions=(1,), flags=("--model-memory", f"{4 * MEGABYTES}m"))
    publish(gateway.models, 1, graphs.heavy(1), model="heavy")
    await reach(gateway, "READY", 1, model="heavy")
    eventually(lambda: seeded(gateway), PATIENCE_SECONDS, "the heavy model has its route")
    before = of_workers(gateway)

    publish(gateway.models, 2, graphs.heavy(MEGABYTES), model="heavy")
    await reach(gateway, "READY", 2, model="heavy")
    loaded = of_workers(gateway)
    publish(gateway.models, 3, graphs.heavy(MEGABYTES + 1), model="heavy")
    await asyncio.to_thread(eventually, lambda: reason(gateway, 3), PATIENCE_SECONDS, "version 3 rests")
    resting = reason(gateway, 3)
    took = metrics.gauge(gateway, "gateway_version_memory_bytes", model="heavy", version="2")
    await order(gateway, "unload", 2, model="heavy")
    await reach(gateway, "UNAVAILABLE", 2, model="heavy")
    after = of_workers(gateway)

    print(
        f"PSS of two workers: {before:.0f} MB before, {loaded:.0f} MB with, {after:.0f} MB after two of {MEGABYTES} MB"
    )
    assert took is not None
    assert 0.9 * MEGABYTES < took / 2**20 < 1.5 * MEGABYTES
    assert loaded - before > 0.8 * 2 * MEGABYTES
    assert after - before < 0.2 * 2 * MEGABYTES
    assert "64.0 MiB that --model-memory leaves each worker" in resting
    path = "/v2/models/heavy/versions/3/infer"
    asked = gateway.ask("POST", path, request([1, 2]))
    assert asked.status == 503
    assert asked.headers["retry-after"] == "1"
    is_back = lambda: gateway.ask("POST", path, request([1, 2])).status == 400  # noqa: E731 - a question, asked once
    await asyncio.to_thread(eventually, is_back, PATIENCE_SECONDS, "the version that rested is there")
