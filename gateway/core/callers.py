"""Who may ask once more: the requests that each caller has under way in one worker, and how often it asks.

Pure: the caller's name and the time come in. Nothing is known of a caller but these two counts, and of callers
who have nothing under way only the last seen are known. Who is forgotten begins anew, with a full bucket.
"""

from __future__ import annotations

import ipaddress
import math
from collections import OrderedDict
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from gateway.core.errors import TooManyRequests

if TYPE_CHECKING:
    from gateway.core.limits import Limits

    Address = ipaddress.IPv4Address | ipaddress.IPv6Address
    Networks = tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]

MAX_IDLE: Final = 4096
"""Callers without a request under way that are known; about 300 bytes each."""

PREFIX_BITS: Final = 64
"""Of an IPv6 address: the usual least that one customer is given (RFC 6177), within which it takes any it likes."""

MAX_NAME_BYTES: Final = 256
"""Of a name in a header; of a longer list of addresses the end is read."""


class Caller:
    """What one caller has taken. *tokens* were left *at* that time; a request takes one."""

    __slots__ = ("at", "in_flight", "name", "tokens")

    def __init__(self, name: str, tokens: float, at: float) -> None:
        self.name = name
        self.in_flight = 0
        self.tokens = tokens
        self.at = at


class Callers:
    """The callers of one worker, each within the same bounds."""

    def __init__(self, in_flight: int, per_second: int, max_idle: int = MAX_IDLE) -> None:
        """*in_flight*: the most requests under way; *per_second*: with a burst of one second. 0 bounds nothing."""
        self._in_flight = in_flight or math.inf
        self._per_second = per_second
        self._max_idle = max_idle
        self._busy: dict[str, Caller] = {}
        self._idle: OrderedDict[str, Caller] = OrderedDict()
        """The least recently seen first."""

    def __len__(self) -> int:
        return len(self._busy) + len(self._idle)

    def enter(self, name: str, now: float) -> Caller:
        """Let a request of the caller *name* in; ``leave`` gives its place back. *now*: monotonic, seconds.

        Raises TooManyRequests, with which nothing was taken.
        """
        caller = self._busy.get(name) or self._idle.pop(name, None) or Caller(name, self._per_second, now)
        try:
            self._take(caller, now)
        finally:
            self._keep(caller)
        return caller

    def leave(self, caller: Caller) -> None:
        """Give a request's place back."""
        caller.in_flight -= 1
        if not caller.in_flight:
            del self._busy[caller.name]
            self._keep(caller)

    def _take(self, caller: Caller, now: float) -> None:
        if caller.in_flight >= self._in_flight:
            raise TooManyRequests(f"has {caller.in_flight} requests under way in this worker, as many as it may")
        rate = self._per_second
        if rate:
            caller.tokens = tokens = min(rate, caller.tokens + (now - caller.at) * rate)
            caller.at = now
            if tokens < 1:
                raise TooManyRequests(f"asks this worker for more than the {rate} requests a second that it may")
            caller.tokens = tokens - 1
        caller.in_flight += 1

    def _keep(self, caller: Caller) -> None:
        """Know *caller* among those it belongs to, and forget who was longest away where there are too many."""
        if caller.in_flight:
            self._busy[caller.name] = caller
            return
        self._idle[caller.name] = caller
        if len(self._idle) > self._max_idle:
            self._idle.popitem(last=False)


def callers_within(limits: Limits) -> Callers | None:
    """Return who counts the callers of a worker; None where nothing bounds them."""
    if not (limits.caller_in_flight or limits.caller_rate):
        return None
    return Callers(limits.caller_in_flight, limits.caller_rate)


def named(address: str, header: bytes | None, proxies: Networks) -> str:
    """Return the name of the caller at *address*, which sent *header* under the operator's name (None: it did not).

    One of *proxies* says for whom it asks. Of everybody else, and of a proxy that says nothing usable, the address
    is the caller: an IPv4 one, or the network of an IPv6 one.
    """
    if header is None or not proxies:
        return _at(address, ())[0]
    name, is_believed = _at(address, proxies)
    return _said(header) or name if is_believed else name


@lru_cache(MAX_IDLE)
def _at(address: str, proxies: Networks) -> tuple[str, bool]:
    """Return the name of *address*, and whether it is within one of *proxies*. A local socket has a text of its own."""
    try:
        peer = _plain(address)
    except ValueError:
        return address, False
    return _network(peer), any(peer in network for network in proxies)


def _said(header: bytes) -> str:
    """Return whom a header names, empty where that is unusable.

    Of a list of addresses the last: a proxy puts the one that it saw behind those that its caller claimed. A name that
    is no address gets a mark, so that it is never taken for one.
    """
    last = header[-MAX_NAME_BYTES:].rpartition(b",")[2].decode("latin-1").strip()
    try:
        return _network(_plain(last))
    except ValueError:
        name = header.decode("latin-1").strip() if len(header) <= MAX_NAME_BYTES else ""
        return f"={name}" if name else ""


def _plain(text: str) -> Address:
    """Return an address, of an IPv4 one that is written as IPv6 the former. Raises ValueError."""
    address = ipaddress.ip_address(text)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return address if mapped is None else mapped


def _network(address: Address) -> str:
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return str(ipaddress.IPv6Address(int(address) >> PREFIX_BITS << PREFIX_BITS))
