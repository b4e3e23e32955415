"""Who may ask once more."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.callers import Caller, Callers, callers_within, named
from gateway.core.errors import TooManyRequests
from gateway.core.limits import DEFAULT, Limits

PROXIES = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


def let_in(callers: Callers, name: str, now: float) -> Caller | None:
    try:
        return callers.enter(name, now)
    except TooManyRequests:
        return None


def test_without_a_bound_nobody_is_counted() -> None:
    assert callers_within(DEFAULT) is None


@pytest.mark.parametrize("limits", [Limits(caller_in_flight=1), Limits(caller_rate=1)])
def test_either_bound_is_enough_to_count(limits: Limits) -> None:
    callers = callers_within(limits)

    assert callers is not None
    assert [let_in(callers, "a", 0.0) is None for _ in range(2)] == [False, True]


def test_a_caller_has_so_many_requests_under_way_and_others_have_as_many() -> None:
    callers = Callers(2, 0)
    held = [callers.enter("greedy", 0.0) for _ in range(2)]

    with pytest.raises(TooManyRequests, match=r"has 2 requests under way in this worker, as many as it may; wait"):
        callers.enter("greedy", 0.0)
    assert let_in(callers, "modest", 0.0)
    callers.leave(held[0])
    assert let_in(callers, "greedy", 0.0)


def test_a_caller_may_spend_one_second_at_once_and_then_asks_at_its_rate() -> None:
    callers = Callers(0, 10)

    assert sum(let_in(callers, "a", 5.0) is not None for _ in range(50)) == 10
    with pytest.raises(TooManyRequests, match="more than the 10 requests a second"):
        callers.enter("a", 5.05)
    assert let_in(callers, "a", 5.11)
    assert not let_in(callers, "a", 5.11)
    assert sum(let_in(callers, "a", 500.0) is not None for _ in range(50)) == 10


def test_a_request_that_has_no_place_takes_no_token() -> None:
    callers = Callers(1, 2)
    first = callers.enter("a", 0.0)
    assert not let_in(callers, "a", 0.0)
    callers.leave(first)

    assert let_in(callers, "a", 0.0)


def test_who_was_longest_away_is_forgotten_first_and_who_has_a_request_under_way_never() -> None:
    callers = Callers(1, 1, max_idle=2)
    callers.enter("busy", 0.0)
    for name in ("a", "b", "a", "c"):
        caller = let_in(callers, name, 0.0)
        if caller is not None:
            callers.leave(caller)

    assert len(callers) == 3  # busy, a and c
    assert not let_in(callers, "busy", 9.0)
    assert not let_in(callers, "a", 0.0)
    assert let_in(callers, "b", 0.0)


def test_a_caller_who_is_refused_by_its_rate_is_still_known() -> None:
    callers = Callers(0, 1, max_idle=2)
    callers.leave(callers.enter("a", 0.0))
    assert not let_in(callers, "a", 0.5)

    assert not let_in(callers, "a", 0.9)
    assert len(callers) == 1


@given(
    st.lists(st.tuples(st.floats(0, 0.5), st.sampled_from("ab"), st.booleans()), max_size=80),
    st.integers(1, 4),
    st.integers(1, 6),
)
def test_no_caller_is_ever_over_a_bound(steps: list[tuple[float, str, bool]], most: int, rate: int) -> None:
    callers, now = Callers(most, rate), 0.0
    held: dict[str, list[Caller]] = {"a": [], "b": []}
    begun: dict[str, list[float]] = {"a": [], "b": []}

    for wait, name, leaves in steps:
        now += wait
        if leaves and held[name]:
            callers.leave(held[name].pop())
        elif (caller := let_in(callers, name, now)) is not None:
            held[name].append(caller)
            begun[name].append(now)
        assert len(held[name]) <= most

    for times in begun.values():
        for at, since in enumerate(times):
            for until in range(at, len(times)):
                assert until - at + 1 <= rate + (times[until] - since) * rate + 1e-6


@pytest.mark.parametrize(
    ("address", "header", "name"),
    [
        ("192.0.2.7", None, "192.0.2.7"),
        ("192.0.2.7", b"ann", "192.0.2.7"),
        ("::ffff:192.0.2.7", None, "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", None, "2001:db8:1:2::"),
        ("2001:db8:1:2:ffff::", b"ann", "2001:db8:1:2::"),
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", b"ann", "=ann"),
        ("::ffff:10.0.0.1", b"ann", "=ann"),
        ("fd00::1", b" ann, of Ohio ", "=ann, of Ohio"),
        ("10.0.0.1", b" ", "10.0.0.1"),
        ("10.0.0.1", b"192.0.2.7", "192.0.2.7"),
        ("10.0.0.1", b"10.9.9.9, 192.0.2.7", "192.0.2.7"),
        ("10.0.0.1", b"x" * 9000 + b", 2001:db8:1:2::9", "2001:db8:1:2::"),
        ("10.0.0.1", b"x" * 9000, "10.0.0.1"),
        ("10.0.0.1", b"=192.0.2.7", "==192.0.2.7"),
        ("", b"ann", ""),
    ],
)
def test_a_caller_is_its_address_or_whom_a_proxy_names(address: str, header: bytes | None, name: str) -> None:
    assert named(address, header, PROXIES) == name


def test_without_proxies_no_header_is_believed() -> None:
    assert named("10.0.0.1", b"ann", ()) == "10.0.0.1"
