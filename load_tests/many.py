"""Requests per second of one model, with 200 models of three versions loaded beside it and alone.

    python -m load_tests.many [--models 200] [--versions 3] [--changes 20] [--seconds 3] [--rounds 3]

Two gateways with one worker take turns on the first core, and only one of them runs at a time, since an idle one
with many models would be charged to the other. The load comes from the last core, as do the changes of weights, each
of another model's route, through the admin API. The launcher, the control process and the store share the worker's
core, so what a change costs them is in the ratio too.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from load_tests import servers, work
from load_tests.measure import Load, median, paired_ratio
from load_tests.plan import two_cores

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from load_tests.measure import Measurement

CONNECTIONS: Final = 64
WARM_UP_SECONDS: Final = 2
QUIET_SECONDS: Final = 3.0
LOAD_TIMEOUT_SECONDS: Final = 120.0
ADMIN_TIMEOUT_SECONDS: Final = 10.0
WEIGHTS: Final = ({"1": 90, "2": 10}, {"1": 80, "2": 20})


@dataclass(slots=True)
class Changes:
    """What became of the changes of weights: how many were made, what each took, and what went wrong."""

    seconds: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Found:
    """Everything that was measured, the loads in the order of the rounds."""

    alone: list[Measurement] = field(default_factory=list)
    beside: list[Measurement] = field(default_factory=list)
    changing: list[Measurement] = field(default_factory=list)
    idle_shares: list[float] = field(default_factory=list)
    """Of a core: what the gateway with many models takes while nobody asks."""
    pss_alone: int = 0
    pss_beside: int = 0
    changes: Changes = field(default_factory=Changes)

    def lines(self, versions: int) -> list[str]:
        """Return what is printed; *versions*: how many were loaded beside the one."""
        rows = []
        many = {"many": self.beside} | ({"many, routes move": self.changing} if self.changing else {})
        for title, measured in {"one model": self.alone, **many}.items():
            values = [median(measured, member) for member in ("requests_per_second", "cpu_us", "p50_ms", "p99_ms")]
            rows.append("{:18} {:8.0f} req/s {:7.1f} µs CPU  p50 {:6.2f} ms  p99 {:6.2f} ms".format(title, *values))
        for title, measured in many.items():
            rows.append(f"{title} : one model, req/s {paired_ratio(measured, self.alone, 'requests_per_second'):.3f}")
        grown = (self.pss_beside - self.pss_alone) / versions / 1024
        rows.append(f"memory (PSS of the tree): {grown:.0f} KiB for each of {versions} more versions")
        rows.append(f"idle with many: {100 * max(self.idle_shares):.1f} % of a core")
        taken = sorted(self.changes.seconds) or [0.0]
        rows.append(f"{len(self.changes.seconds)} changes, p50 {taken[len(taken) // 2] * 1e3:.1f} ms each")
        return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return 1 where a request or a change failed, or nothing could be measured."""
    chosen = _parse(arguments)
    found = Found()
    with tempfile.TemporaryDirectory(prefix="many-") as directory:
        try:
            measure(Path(directory), found, **vars(chosen))
        except work.NotMeasurable as exc:
            print(exc, file=sys.stderr)
            return 1
    print("\n".join(found.lines(chosen.models * chosen.versions)))
    for fault in found.changes.faults[:5]:
        print(fault, file=sys.stderr)
    failed = sum(one.errors for one in (*found.alone, *found.beside, *found.changing))
    return 1 if failed or found.changes.faults else 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m load_tests.many", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--models", type=int, default=200, help="models beside the one (default: %(default)s)")
    parser.add_argument("--versions", type=int, default=3, help="versions of each, 2 or more (default: %(default)s)")
    parser.add_argument(
        "--changes", type=float, default=20.0, help="changes of weights a second, 0 for none (default: %(default)s)"
    )
    parser.add_argument("--seconds", type=int, default=3, help="length of one load (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="loads of each kind (default: %(default)s)")
    chosen = parser.parse_args(arguments)
    if chosen.models < 1 or chosen.changes < 0 or chosen.versions < len(WEIGHTS):
        parser.error("one model or more, and two versions of each or more, are moved between; changes are 0 or more")
    return chosen


def measure(
    directory: Path, found: Found, *, models: int, versions: int, changes: float, seconds: int, rounds: int
) -> None:
    """Make the loads that the arguments of the same names ask for, with what they need below *directory*.

    Raises NotMeasurable.
    """
    server_core, load_core = two_cores()
    body = directory / "body.json"
    body.write_bytes(work.items()[0].body)
    load = Load.of(body, (load_core,))
    one = repository(directory / "one", 0, 0)
    many = repository(directory / "many", models, versions)
    for number in range(1, rounds + 1):
        print(f"many models: round {number} of {rounds}", file=sys.stderr)
        with _gateway(one, server_core, directory / "state-one", 1) as (server, _):
            load.on(server, CONNECTIONS, WARM_UP_SECONDS)
            found.alone.append(load.on(server, CONNECTIONS, seconds))
            found.pss_alone = server.pss_bytes()
        loaded = 1 + models * versions
        with _gateway(many, server_core, directory / "state-many", loaded) as (server, admin):
            load.on(server, CONNECTIONS, WARM_UP_SECONDS)
            found.beside.append(load.on(server, CONNECTIONS, seconds))
            found.pss_beside = server.pss_bytes()
            found.idle_shares.append(_idle_share(server))
            if not changes:
                continue
            with moving(admin, models, changes, found.changes):
                found.changing.append(load.on(server, CONNECTIONS, seconds))


def repository(directory: Path, models: int, versions: int) -> Path:
    """Make a repository of the benchmark's model in its first version, and *models* more with *versions* of it each."""
    content = (work.MODELS / work.MODEL / "1" / "model.onnx").read_bytes()
    named = [(work.MODEL, 1), *((beside(at), number + 1) for at in range(models) for number in range(versions))]
    for model, version in named:
        place = directory / model / str(version)
        place.mkdir(parents=True)
        (place / "model.onnx").write_bytes(content)
    return directory


def beside(number: int) -> str:
    """Return the name of one of the many."""
    return f"beside-{number:03d}"


@contextmanager
def _gateway(models: Path, core: int, state: Path, loaded: int) -> Iterator[tuple[servers.Server, int]]:
    """Run a gateway with one worker until so many versions are loaded and it rests; yield it with its admin port."""
    port = servers.free_port()
    command = servers.gateway_command(port, 1, state, models=models)
    admin = int(command[command.index("--admin-port") + 1])
    with servers.running("gateway", command, port, [core], state.with_suffix(".log")) as server:
        until = time.monotonic() + LOAD_TIMEOUT_SECONDS
        while _ready_versions(admin) < loaded:
            if time.monotonic() > until:
                raise work.NotMeasurable(f"{_ready_versions(admin)} of {loaded} versions are ready; see the log")
            time.sleep(0.2)
        work.check(port)
        time.sleep(servers.SETTLED_SECONDS)
        yield server, admin


def _ready_versions(admin: int) -> int:
    """Return how many versions are ready; none where the admin port, which comes after the workers, does not listen."""
    try:
        models = json.loads(_asked(admin, "GET", "/api/v1/models"))
    except ConnectionRefusedError:
        return 0
    listed = models["models"] if isinstance(models, dict) else models
    return sum(version["state"] == "READY" for model in listed for version in model["versions"])


def _idle_share(server: servers.Server) -> float:
    before = server.cpu_seconds()
    time.sleep(QUIET_SECONDS)
    return (server.cpu_seconds() - before) / QUIET_SECONDS


@contextmanager
def moving(admin: int, models: int, rate: float, changes: Changes) -> Iterator[None]:
    """Change the weights of one of *models* after the other, *rate* times a second, until the block ends."""
    ended = threading.Event()
    thread = threading.Thread(target=_move, args=(admin, models, rate, changes, ended))
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _move(admin: int, models: int, rate: float, changes: Changes, ended: threading.Event) -> None:
    began = time.monotonic()
    for number in itertools.count():
        turn, model = divmod(number, models)
        weights = WEIGHTS[turn % len(WEIGHTS)]
        if ended.wait(max(0.0, began + number / rate - time.monotonic())):
            return
        asked = time.perf_counter()
        try:
            path = f"/api/v1/models/{beside(model)}/route/weights"
            _asked(admin, "PATCH", path, {"weights": weights, "reason": "load test"})
        except (OSError, work.NotMeasurable) as exc:
            changes.faults.append(f"a change failed: {exc}")
        else:
            changes.seconds.append(time.perf_counter() - asked)


def _asked(admin: int, verb: str, path: str, document: object = None) -> bytes:
    """Return what the admin API answers. Raises NotMeasurable where that is no success."""
    connection = http.client.HTTPConnection("127.0.0.1", admin, timeout=ADMIN_TIMEOUT_SECONDS)
    headers = {"content-type": "application/json", "if-match": "*"}
    try:
        connection.request(verb, path, None if document is None else json.dumps(document), headers)
        answer = connection.getresponse()
        text = answer.read()
    finally:
        connection.close()
    if answer.status != http.HTTPStatus.OK:
        raise work.NotMeasurable(f"{verb} {path} answers {answer.status}: {text[:300]!r}")
    return text


if __name__ == "__main__":
    sys.exit(main())
