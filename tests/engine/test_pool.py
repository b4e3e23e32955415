"""The threads that the runtime keeps for a session, and the CPU time that they take."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np

from gateway.engine import pool
from gateway.engine.onnx import OnnxEngine, OnnxSession

DIGITS = Path(__file__).parents[2] / "models" / "digits" / "2" / "model.onnx"
ROWS = np.zeros((4096, 64), np.float32)


def session(threads: int) -> OnnxSession:
    return OnnxEngine().load(DIGITS, model="digits", version=2, threads=threads)


def test_a_session_on_the_callers_thread_has_no_pool() -> None:
    alone = session(1)

    alone.run({"input": ROWS})

    assert alone.pool_seconds() == 0.0


def test_the_threads_of_a_session_are_counted_with_the_callers_thread_to_what_the_process_took() -> None:
    several = session(3)
    process, caller = time.process_time(), time.thread_time()

    for _ in range(100):
        several.run({"input": ROWS})

    caller, process = time.thread_time() - caller, time.process_time() - process
    assert several.pool_seconds() > 0
    assert abs(caller + several.pool_seconds() - process) < 0.2 * process


def test_a_thread_that_python_started_meanwhile_is_nobodys_pool() -> None:
    over = threading.Event()
    other = threading.Thread(target=over.wait)

    _, clocks = pool.with_pool(other.start, 1)
    over.set()
    other.join()

    assert clocks == ()


def test_where_other_threads_appear_than_were_asked_for_none_is_counted() -> None:
    built, clocks = pool.with_pool(lambda: session(3), 1)

    assert clocks == ()
    for _ in range(100):
        built.run({"input": ROWS})
    assert built.pool_seconds() > 0


def test_the_clock_of_a_task_counts_what_its_thread_computes() -> None:
    mine = pool.clock_of(threading.get_native_id())

    assert abs(time.clock_gettime(mine) - time.thread_time()) < 0.1
