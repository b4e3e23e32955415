"""What a fleet leaves on the machine: nothing, also where the process that made it was killed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.fleet.network import why_not
from tests.flows.gateway_process import eventually

GONE_SECONDS = 10.0

MAKE_AND_WAIT = """
import subprocess, time
from tests.fleet.network import Network
network = Network(["a"])
network.build()
sleeper = subprocess.Popen([*network.inside("a"), "sleep", "60"])
print(sleeper.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(bool(reason := why_not()), reason=reason or "there can be a fleet")
def test_a_network_whose_maker_was_killed_is_removed_with_what_ran_in_it() -> None:
    maker = subprocess.Popen([sys.executable, "-c", MAKE_AND_WAIT], stdout=subprocess.PIPE, text=True)
    assert maker.stdout is not None
    sleeper = int(maker.stdout.readline())
    made = [each for each in spaces() if each.startswith(f"gw{maker.pid}-")]

    with maker:
        maker.kill()

    eventually(lambda: not set(made) & set(spaces()), GONE_SECONDS, "the guard removes the namespaces")
    assert len(made) == 2
    assert not lives(sleeper)


def spaces() -> list[str]:
    """Return the names of all namespaces."""
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True)
    return [line.split()[0] for line in listed.stdout.splitlines() if line]


def lives(pid: int) -> bool:
    """Say whether a process runs; one that ended and that nobody has waited for does not."""
    shown = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return bool(shown.stdout.strip()) and not shown.stdout.startswith("Z")
