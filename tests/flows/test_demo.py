"""``gateway demo`` as a newcomer runs it."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.flows.gateway_process import ROOT

LIMIT_SECONDS = 110


def test_the_story_comes_out_and_no_caller_notices() -> None:
    command = [sys.executable, "-m", "gateway", "demo", "--json", "--rate", "600", "--step-seconds", "1"]

    played = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False)

    told = json.loads(played.stdout)
    good, bad = told["chapters"]
    assert (played.returncode, told["came_out"], told["callers_who_noticed"]) == (0, True, 0), told
    assert (good["ended"], bad["ended"]) == ("succeeded", "rolled_back")
    assert bad["reason"].startswith("invalid: ")
    assert bad["rescued"] > 0
    assert set(bad["answers"]) == {"2"}
