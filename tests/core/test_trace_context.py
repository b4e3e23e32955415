"""What of a caller's trace is believed, by the W3C recommendation."""

from __future__ import annotations

import pytest

from gateway.core.trace_context import TraceContext, read_trace

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{PARENT}-01".encode()


@pytest.mark.parametrize(
    ("given", "is_sampled"),
    [
        (GOOD, True),
        (GOOD[:-1] + b"0", False),
        (GOOD[:-2] + b"03", True),  # the flag of a random trace id
        (GOOD[:-2] + b"fe", False),
        (b"01" + GOOD[2:], True),
        (b"cc" + GOOD[2:] + b"-what the future brings", True),
    ],
)
def test_a_readable_traceparent_is_read(given: bytes, is_sampled: bool) -> None:
    assert read_trace([given], ()) == TraceContext(TRACE, PARENT, is_sampled)


@pytest.mark.parametrize(
    "given",
    [
        b"",
        GOOD[:-1],
        GOOD.upper(),
        b"ff" + GOOD[2:],
        GOOD + b"-more",
        b"cc" + GOOD[2:] + b".more",
        b"cc" + GOOD[2:] + b"0",
        GOOD + b"\n",
        b" " + GOOD,
        GOOD.replace(TRACE.encode(), b"0" * 32),
        GOOD.replace(PARENT.encode(), b"0" * 16),
        GOOD.replace(b"-", b"_"),
        b"0x" + GOOD[2:],
    ],
)
def test_a_wrong_traceparent_is_as_if_it_had_not_been_sent(given: bytes) -> None:
    assert read_trace([given], [b"a=1"]) is None


@pytest.mark.parametrize("given", [[], [GOOD, GOOD]])
def test_a_request_names_one_trace_or_none(given: list[bytes]) -> None:
    assert read_trace(given, ()) is None


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ([b"congo=t61rcWkgMzE"], "congo=t61rcWkgMzE"),
        ([b"rojo=1, congo=2"], "rojo=1,congo=2"),
        ([b"rojo=1", b"congo=2"], "rojo=1,congo=2"),
        ([b" ,rojo=1,\t,"], "rojo=1"),
        ([b"fw529a3039@dt=FfTe=".replace(b"Te=", b"Te")], "fw529a3039@dt=FfTe"),
        ([b"0tenant@sys=1"], "0tenant@sys=1"),
        ([b"a=with blank"], "a=with blank"),
        ([b",".join(b"k%d=1" % n for n in range(32))], ",".join(f"k{n}=1" for n in range(32))),
        ([b""], ""),
    ],
)
def test_a_readable_tracestate_is_kept_in_its_order(given: list[bytes], kept: str) -> None:
    assert read_trace([GOOD], given) == TraceContext(TRACE, PARENT, True, kept)


@pytest.mark.parametrize(
    "given",
    [
        b"a",
        b"a=",
        b"=1",
        b"A=1",
        b"0a=1",
        b"a=1,a=2",
        b"a=1=2",
        b"a=\xc3\xa4",
        b"a=1\x00",
        b"a b=1",
        b"a@1b=1",
        b"k" * 257 + b"=1",
        b"a=" + b"v" * 257,
        b",".join(b"k%d=1" % n for n in range(33)),
    ],
)
def test_a_wrong_tracestate_is_dropped_and_its_trace_stays(given: bytes) -> None:
    assert read_trace([GOOD], [given]) == TraceContext(TRACE, PARENT, True)
