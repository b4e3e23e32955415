"""What a worker was running when it died, and what follows for the same input."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from gateway.telemetry.crashes import ENTRIES, LIMIT, REFUSED_SECONDS, SUSPECTED_SECONDS, CrashTable, bury
from gateway.telemetry.runs import MOST, SEATS, RunFile, Running, read_runs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest


def worker(directory: Path) -> RunFile:
    return RunFile(directory, CrashTable(directory))


def file_of_this_process(directory: Path) -> Path:
    return directory / f"{os.getpid()}.runs"


def test_what_is_being_run_can_be_read_by_others_and_what_has_ended_cannot(tmp_path: Path) -> None:
    runs = worker(tmp_path)
    fraud, churn = runs.seat("fraud", 1), runs.seat("churn", 12)

    fraud.begin([1, -2])
    churn.begin([3])
    churn.end()

    assert read_runs(file_of_this_process(tmp_path)) == [Running("fraud", "1", (1, -2))]


def test_a_worker_that_crashed_is_blamed_on_what_it_was_running_and_every_other_sees_it(tmp_path: Path) -> None:
    seat = worker(tmp_path).seat("fraud", 1)
    seat.begin([7])

    before = seat.is_clean([7]), seat.crashes(7)
    lost = bury(tmp_path, os.getpid(), crashed=True)

    assert before == (True, 0)
    assert lost == [Running("fraud", "1", (7,))]
    assert (seat.is_clean([8, 7]), seat.is_clean([8])) == (False, True)
    assert (seat.crashes(7), seat.crashes(8)) == (1, 0)
    assert not file_of_this_process(tmp_path).exists()


def test_an_end_that_the_launcher_has_not_seen_yet_counts_against_a_suspect(tmp_path: Path) -> None:
    seat = worker(tmp_path).seat("fraud", 1)
    CrashTable(tmp_path).blame([7])
    other = worker(tmp_path / "other")
    other.seat("fraud", 1).begin([7, 8])
    left_behind = file_of_this_process(tmp_path / "other").rename(tmp_path / "4000000.runs")

    assert (seat.crashes(7), seat.crashes(8)) == (2, 0)
    left_behind.unlink()
    assert seat.crashes(7) == 1


def test_an_end_that_is_buried_while_a_suspect_is_looked_for_counts_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seat = worker(tmp_path).seat("fraud", 1)
    table = CrashTable(tmp_path)
    table.blame([7])
    looked: list[int] = []

    def buried_meanwhile(_: RunFile, print_: int) -> int:
        if not looked:
            table.blame([print_])
        looked.append(print_)
        return 0

    monkeypatch.setattr(RunFile, "unburied", buried_meanwhile)

    assert seat.crashes(7) == 2
    assert looked == [7, 7]


def test_a_table_that_is_being_written_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seat = worker(tmp_path).seat("fraud", 1)
    table = CrashTable(tmp_path)
    table.blame([7])
    table._cells[0] |= 1
    read, readings = CrashTable.read, []

    def half_written(self: CrashTable) -> object:
        readings.append(1)
        if len(readings) == 1:
            return {}
        table._cells[0] += table._cells[0] % 2
        return read(self)

    monkeypatch.setattr(CrashTable, "read", half_written)

    assert seat.crashes(7) == 1


def test_a_worker_that_was_killed_from_outside_is_blamed_on_nobody(tmp_path: Path) -> None:
    seat = worker(tmp_path).seat("fraud", 1)
    seat.begin([7])

    assert bury(tmp_path, os.getpid(), crashed=False) == ()
    assert seat.is_clean([7])


def test_a_process_without_a_file_was_running_nothing(tmp_path: Path) -> None:
    assert bury(tmp_path, 4_000_000, crashed=True) == ()


def test_one_crash_is_forgotten_after_a_minute_and_two_after_ten(
    tmp_path: Path, now: Callable[[], float], pass_seconds: Callable[[float], None]
) -> None:
    table = CrashTable(tmp_path, now)
    table.blame([1, 2])
    table.blame([2])

    pass_seconds(SUSPECTED_SECONDS + 1)
    table.blame([1])

    assert {each: crashes for each, (crashes, _) in table.read().items()} == {1: 1, 2: LIMIT}
    assert table.read()[2][1] == now() - SUSPECTED_SECONDS - 1 + REFUSED_SECONDS
    pass_seconds(REFUSED_SECONDS)
    table.blame([3])
    assert set(table.read()) == {3}


def test_a_full_table_forgets_the_oldest(
    tmp_path: Path, now: Callable[[], float], pass_seconds: Callable[[float], None]
) -> None:
    table = CrashTable(tmp_path, now)
    for number in range(ENTRIES + 10):
        pass_seconds(0.01)
        table.blame([number])

    assert set(table.read()) == set(range(10, ENTRIES + 10))


def test_a_run_of_more_requests_than_a_page_holds_writes_down_the_first_of_them(tmp_path: Path) -> None:
    worker(tmp_path).seat("fraud", 1).begin(range(MOST + 5))

    [running] = read_runs(file_of_this_process(tmp_path))

    assert running.prints == tuple(range(MOST))


def test_a_closed_lanes_page_is_given_to_the_next_and_without_room_a_lane_still_runs(tmp_path: Path) -> None:
    runs = worker(tmp_path)
    seats = [runs.seat("fraud", number) for number in range(1, SEATS + 1)]

    runs.seat("late", 1).begin([1])
    seats[5].close()
    runs.seat("next", 1).begin([2])

    assert read_runs(file_of_this_process(tmp_path)) == [Running("next", "1", (2,))]


def test_a_file_that_is_cut_holds_nothing(tmp_path: Path) -> None:
    file = tmp_path / "9.runs"
    file.write_bytes(b"x" * 100)

    assert read_runs(file) == []


def test_who_ends_in_order_leaves_no_file(tmp_path: Path) -> None:
    worker(tmp_path).close()

    assert not file_of_this_process(tmp_path).exists()
