"""The disk below the state directory is full: requests are answered, changes are refused, and nothing is lost."""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
from typing import TYPE_CHECKING, Final

import pytest

from gateway.serving.snapshot import Snapshot
from tests.faults import inside, thresholds
from tests.faults.test_store import EVENTUALLY_SECONDS, ROUTE, go_through
from tests.flows import metrics
from tests.flows.gateway_process import eventually
from tests.flows.models import MODEL, request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.faults.table import Table
    from tests.flows.gateway_process import Gateway

pytestmark = pytest.mark.fault

SIZE: Final = "4m"
CHUNK_BYTES: Final = 4096
INFER: Final = f"/v2/models/{MODEL}/infer"
FULL: Final = b"No space left on device"
SNAPSHOT: Final = "the last good routes could not be written"
REPORT: Final = "the report of this worker cannot be written"
TRACEBACK: Final = "Traceback"


class Disk:
    """A file system of its own at *root*, small enough to be filled."""

    def __init__(self, root: Path) -> None:
        self._ballast = root / "ballast"

    def fill(self) -> None:
        """Leave no room, not for a byte; whoever replaces a file meanwhile makes some, which the next call fills."""
        with self._ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"x" * CHUNK_BYTES)

    def free(self) -> None:
        """Give the room back."""
        self._ballast.unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """The disk on which the gateway that begins later has its state directory."""
    root = tmp_path / "gateway" / "state"
    root.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=0700", "tmpfs", str(root)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("only root, where it may mount, can make a disk that is full for one gateway only")
    yield Disk(root)
    subprocess.run(["umount", "-l", str(root)], check=True)


def revision(gateway: Gateway) -> int:
    """Return the revision that is written in the store."""
    return int(gateway.ask_admin("GET", f"/api/v1/models/{MODEL}/route").headers["etag"].strip('"'))


def strike(gateway: Gateway, disk: Disk) -> None:
    """Fill the disk, and change the route until that is refused: the first change finds out for the store."""
    weights = itertools.count(20)  # another one each time: what changes nothing is not written

    def is_refused() -> bool:
        disk.fill()
        return gateway.set_weights(MODEL, {"1": 80, "2": next(weights)}).status == 503

    eventually(is_refused, EVENTUALLY_SECONDS, "the store notices that its disk is full")


def is_told_of_reports(gateway: Gateway, disk: Disk) -> bool:
    """Say whether the log says that a report could not be written to a disk that is full now."""
    disk.fill()
    return REPORT in gateway.stderr()


def names_the_disk(gateway: Gateway) -> bool:
    """Say whether a change is refused with the reason, and the snapshot holds what was taken last, or the log says that
    it could not be written."""
    answer = gateway.set_weights(MODEL, {"1": 1, "2": 1})
    is_held = Snapshot(gateway.state).read()[MODEL].revision == revision(gateway)
    return answer.status == 503 and FULL in answer.body and (is_held or SNAPSHOT in gateway.stderr())


async def test_a_full_disk_costs_no_request_and_no_change_that_was_accepted(
    disk: Disk, begin: Callable[..., Gateway], table: Table, fault_seconds: float
) -> None:
    gateway = begin(route=ROUTE)
    named: list[bool] = []

    def break_it() -> None:
        strike(gateway, disk)
        eventually(lambda: is_told_of_reports(gateway, disk), EVENTUALLY_SECONDS, "a report cannot be written")

    def mend() -> None:
        named.append(names_the_disk(gateway))
        disk.free()

    seen = await go_through(gateway, break_it, mend, fault_seconds, reaches=True)
    allowed = range(seen.before[-1].revision, revision(gateway))
    disk.fill()
    code = gateway.stop()
    log = gateway.stderr()
    disk.free()
    gateway.close()
    gateway.start()
    eventually(lambda: metrics.adopted(gateway) is not None, EVENTUALLY_SECONDS, "its routes are followed")
    answers = [gateway.ask("POST", INFER, request([1, 2])) for _ in range(20)]

    with table.promise("R27", f"the disk of STATE_DIR full ({SIZE}), then not, then full at a stop") as found:
        found("requests not answered with 200", seen.failed, thresholds.NONE)
        found(
            "answers off the accepted revisions", sum(o.revision not in allowed for o in seen.during), thresholds.NONE
        )
        found("probes not ready", seen.unready, thresholds.NONE)
        found("changes not refused with 503", sum(status != 503 for status in seen.refused), thresholds.NONE)
        found("refusals that do not name the disk", named.count(False), thresholds.NONE)
        found("until the next change is taken", seen.back, thresholds.BACK)
        found("tracebacks in the log", log.count(TRACEBACK), thresholds.NONE)
        found("exit code of a stop meanwhile", code, thresholds.NONE)
        found("answers off the last accepted revision after a start",
              sum(int(a.headers["x-gateway-revision"]) != allowed.stop for a in answers), thresholds.NONE)  # fmt: skip


async def test_control_a_worker_that_trusts_in_its_disk_leaves_tracebacks(
    disk: Disk, begin: Callable[..., Gateway], table: Table
) -> None:
    gateway = begin(route=ROUTE, command=inside.command("trust-the-disk"))

    strike(gateway, disk)
    with contextlib.suppress(AssertionError):
        eventually(lambda: TRACEBACK in gateway.stderr(), EVENTUALLY_SECONDS, "somebody stumbles")
    disk.free()

    with table.control("R27", "reports are written without looking at errors, and the disk is full") as found:
        found("tracebacks in the log", gateway.stderr().count(TRACEBACK), thresholds.NONE)
