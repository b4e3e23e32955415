"""What a probe shows of a file that is sound, and of files that would hurt a worker."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from gateway.core.errors import InvalidModel
from gateway.models.metadata import Metadata, Serving, WarmUpInput, read_wishes, wishes_text
from gateway.ports.engine import Finding
from gateway.verification.probe import YIELDING
from tests.engine import graphs
from tests.verification import hurtful
from tests.verification.conftest import MEGABYTE
from tests.verification.hurtful import candidate

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.verification.asking import RemoteVerifier
    from tests.verification.conftest import Verifying


def probed(directory: Path) -> int:
    path = directory / "probed"
    return len(path.read_text().splitlines()) if path.exists() else 0


def test_a_sound_file_may_be_loaded_and_what_it_takes_is_known(patient: RemoteVerifier, tmp_path: Path) -> None:
    small = patient.verify(candidate(tmp_path, graphs.plus(1.0)))
    large = patient.verify(candidate(tmp_path, graphs.heavy(64)))

    assert (small.code, large.code) == ("", "")
    assert 0 < small.memory_bytes < 8 * MEGABYTE
    assert 0.9 * 64 < (large.memory_bytes - small.memory_bytes) / MEGABYTE < 1.5 * 64


def test_a_probe_leaves_the_processor_to_the_workers(verifying: Verifying, tmp_path: Path) -> None:
    with verifying() as verifier:
        verifier.verify(candidate(tmp_path, graphs.plus(1.0)))

    assert (tmp_path / "probed").read_text().endswith(f" at niceness {os.nice(0) + YIELDING}\n")


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (hurtful.crashing_at_load(), "bad_model", "SIGFPE while it was loaded"),
        (hurtful.crashing_in_warm_up(), "warm_up", "SIGFPE on harmless inputs"),
        (graphs.logarithm(), "warm_up", "NaN"),
        (b"no model", "bad_model", ""),
    ],
    ids=["crash at load", "crash in warm-up", "NaN", "no model"],
)
def test_what_would_have_ended_or_misled_a_worker_is_refused(
    patient: RemoteVerifier, tmp_path: Path, content: bytes, code: str, words: str
) -> None:
    found = patient.verify(candidate(tmp_path, content))

    assert found.code == code
    assert words in found.reason
    assert str(tmp_path) not in found.reason


def test_a_file_that_is_not_loaded_in_time_is_given_up(verifying: Verifying, tmp_path: Path) -> None:
    with verifying(build_seconds=0.4) as verifier:
        began = time.monotonic()
        found = verifier.verify(candidate(tmp_path, hurtful.slow_to_load()))

    assert found.code == "timeout"
    assert time.monotonic() - began < 10


def test_a_warm_up_without_end_is_stopped_and_says_so(verifying: Verifying, tmp_path: Path) -> None:
    with verifying(prove_seconds=0.3) as verifier:
        found = verifier.verify(candidate(tmp_path, hurtful.endless_in_warm_up()))

    assert found.code == "warm_up"
    assert "does it have a loop?" in found.reason


def test_a_warm_up_that_cannot_be_stopped_is_ended_with_its_process(verifying: Verifying, tmp_path: Path) -> None:
    with verifying(prove_seconds=0.2, memory_bytes=4096 * MEGABYTE) as verifier:
        found = verifier.verify(candidate(tmp_path, hurtful.unstoppable_in_warm_up()))

    assert found.code == "warm_up"
    assert "could not be stopped" in found.reason


def test_what_takes_more_memory_than_there_may_be_is_refused(verifying: Verifying, tmp_path: Path) -> None:
    with verifying(memory_bytes=64 * MEGABYTE) as verifier:
        found = verifier.verify(candidate(tmp_path, hurtful.hungry(8)))
        after = verifier.verify(candidate(tmp_path, graphs.plus(1.0)))

    assert found.code in {"warm_up", "no_memory"}
    assert after.code == ""


def test_what_was_probed_is_not_probed_again_by_whoever_asks(verifying: Verifying, tmp_path: Path) -> None:
    sound = candidate(tmp_path, graphs.plus(1.0))
    bad = candidate(tmp_path, hurtful.crashing_at_load())
    with verifying() as verifier:
        first = [verifier.verify(each) for each in (sound, bad, sound, bad)]
    with verifying() as verifier:
        second = [verifier.verify(each) for each in (sound, bad)]

    assert probed(tmp_path) == 2
    assert first[:2] == first[2:] == second


@pytest.mark.parametrize("changed", ["metadata", "threads", "runtime"])
def test_what_is_loaded_otherwise_is_probed_again(verifying: Verifying, tmp_path: Path, changed: str) -> None:
    content = graphs.plus(1.0)
    with verifying() as verifier:
        verifier.verify(candidate(tmp_path, content))
    serving = Serving(max_rows=7) if changed == "metadata" else Serving()

    with verifying(runtime="another" if changed == "runtime" else "onnxruntime") as verifier:
        verifier.verify(candidate(tmp_path, content, serving=serving, threads=2 if changed == "threads" else 1))

    assert probed(tmp_path) == 2


def test_a_refusal_holds_ten_minutes_and_a_permission_holds(verifying: Verifying, tmp_path: Path) -> None:
    asked = [candidate(tmp_path, graphs.plus(1.0)), candidate(tmp_path, hurtful.crashing_at_load())]
    with verifying() as verifier:
        for each in asked:
            verifier.verify(each)
    for path in (tmp_path / "findings").iterdir():
        os.utime(path, (time.time() - 601, time.time() - 601))

    with verifying() as verifier:
        for each in asked:
            verifier.verify(each)

    assert probed(tmp_path) == 3


def test_a_finding_that_cannot_be_read_is_found_anew(verifying: Verifying, tmp_path: Path) -> None:
    sound = candidate(tmp_path, graphs.plus(1.0))
    with verifying() as verifier:
        before = verifier.verify(sound)
        for path in (tmp_path / "findings").iterdir():
            path.write_bytes(b'{"code": ')
        after = verifier.verify(sound)

    assert (before.code, after.code) == ("", "")
    assert probed(tmp_path) == 2


def test_a_directory_that_takes_no_findings_stops_nothing(verifying: Verifying, tmp_path: Path) -> None:
    (tmp_path / "findings").write_bytes(b"")

    with verifying() as verifier:
        found = verifier.verify(candidate(tmp_path, graphs.plus(1.0)))

    assert found.code == ""


def test_serving_wishes_come_back_from_their_text() -> None:
    wishes = Serving(max_rows=9, nonfinite="null", warm_up={"x": WarmUpInput((1, 3), (0.5, 0.7)), "y": WarmUpInput()})

    metadata = Metadata(serving=wishes, adapter={"requests": {"rename": {"a": "x"}}})

    assert read_wishes(wishes_text(metadata)) == metadata
    with pytest.raises(InvalidModel):
        read_wishes('{"serving": {"max_rows": 0}, "adapter": null}')


def test_a_version_behind_an_adapter_is_tried_as_callers_see_it(verifying: Verifying, tmp_path: Path) -> None:
    serving = Serving(warm_up={"a": WarmUpInput((1, 3), (0.5, 0.7))})
    wishes = wishes_text(Metadata(serving=serving, adapter={"requests": {"rename": {"a": "x"}}}))

    with verifying() as verifier:
        found = verifier.verify(replace(candidate(tmp_path, graphs.plus(1.0)), serving=wishes))
        bare = verifier.verify(candidate(tmp_path, graphs.plus(1.0), serving=serving))

    assert (found.code, bare.code) == ("", "bad_metadata")


def test_a_finding_is_what_lets_a_file_be_loaded() -> None:
    assert Finding() == Finding("", "", 0)


def test_a_device_is_asked_for_in_the_probe_and_not_only_in_the_worker(verifying: Verifying, tmp_path: Path) -> None:
    wanted = replace(candidate(tmp_path, graphs.plus(1.0)), providers=("coreml", "cpu"))  # on no Linux
    with verifying() as verifier:
        found = verifier.verify(wanted)
        other = verifier.verify(replace(wanted, providers=("cpu",)))

    assert found.code == "unsupported"
    assert "the provider coreml" in found.reason
    assert other.code == ""


@pytest.mark.parametrize("providers", ["cpu", "cuda"])
def test_no_bound_of_address_space_is_set_where_a_driver_reserves_it_all(providers: str) -> None:
    in_a_process_of_its_own = (
        "import resource, sys; from gateway.verification.probe import Bounds, _limit;"
        "_limit(Bounds(memory_bytes=1 << 30), address_space=sys.argv[1] == 'cpu');"
        "print(resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY)"
    )

    said = subprocess.run([sys.executable, "-c", in_a_process_of_its_own, providers], capture_output=True, check=True)

    assert said.stdout.strip() == (b"True" if providers == "cpu" else b"False")
