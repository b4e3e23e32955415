"""What one caller may take of a worker, where an operator may want it otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ipaddress import IPv4Network, IPv6Network


@dataclass(frozen=True, slots=True)
class Limits:
    """Counts, bytes and seconds; each deadline is total, so that a caller who drips bytes gains nothing by it.

    The body's largest size is a setting of its own (``--max-body``), and so are the rows that a version takes
    (``serving.max_rows`` in its metadata).
    """

    head_seconds: float = 10.0
    """From the connection, or a request's first byte on a kept one, to the end of its headers."""
    body_seconds: float = 60.0
    """From the end of the headers to the end of the body."""
    write_seconds: float = 30.0
    """How long an answer may wait for a caller that does not read it."""
    idle_seconds: float = 75.0
    """How long a connection is kept between requests; longer than the 60 s of common load balancers, so that the
    balancer, not we, ends it."""
    connections: int = 4096
    """Open at once, per worker; each costs about 20 KiB and a file descriptor."""
    pipelined: int = 64
    """Requests that wait behind the one under way; browsers do not pipeline, load generators send some dozens."""
    streams: int = 256
    """Calls under way on one connection of gRPC; each may hold 256 KiB of a message that is not whole."""
    headers: int = 100
    head_bytes: int = 32 * 1024
    """Names and values of all headers; twice what common proxies pass on."""
    url_bytes: int = 8 * 1024
    chunks: int = 65_536
    """Pieces of one body: 64 MiB in pieces of 1 KiB. Smaller ones cost us more than they bring."""
    json_bytes: int = 8 * 1024 * 1024
    """The part of a body that is JSON: an image of 224 × 224 pixels as numbers in full length twice. More belongs
    into the binary extension, which holds up a worker for a hundredth of the time."""
    json_depth: int = 32
    json_members: int = 65_536
    parameters: int = 64
    """Of one request."""
    outputs: int = 1024
    """That one request may name."""
    elements: int = 16 * 1024 * 1024
    """Of one tensor of a request."""
    output_bytes: int = 256 * 1024 * 1024
    """Of all outputs of one answer together, as tensors: their JSON is several times as long."""
    held_bytes: int = 256 * 1024 * 1024
    """Of the bodies of all requests that a worker holds at once: four of the largest. Beyond that a body of more than
    64 KiB is refused before it is read."""
    feedback: int = 10
    """Answers that each worker remembers per second for labels, beyond 5,000 at once; each takes about 450 bytes of
    the store for twice --feedback-ttl."""
    caller_in_flight: int = 0
    """Requests of one caller under way in a worker; 0 bounds nothing."""
    caller_rate: int = 0
    """Requests of one caller per second in a worker, as many of them at once; 0 bounds nothing."""
    caller_header: str = ""
    """Where a proxy says for whom it asks, lower-case; empty where every address is its own caller."""
    caller_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    """Whose word in that header is believed."""


DEFAULT = Limits()
