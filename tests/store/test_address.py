"""What a store's URL may say, and what is said about one that cannot be used."""

from __future__ import annotations

import pytest
from redis.asyncio import SSLConnection, UnixDomainSocketConnection

from gateway.core.errors import InvalidSettings
from gateway.store.address import Address


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("redis://cache", "cache:6379"),
        ("redis://cache:7000/3", "cache:7000, database 3"),
        ("redis://ada:hunter2@cache", "cache:6379"),
        ("redis://[::1]:7000", "::1:7000"),
        ("rediss://:hunter2@cache?ssl_cert_reqs=none", "cache:6379"),
        (
            "redis+sentinel://ada:hunter2@a,b:7000/main/3?sentinel_password=hunter3",
            "main of the Sentinels at a:26379,b:7000",
        ),
        ("rediss+cluster://ada:hunter2@a,b:7000", "cluster at a:6379,b:7000"),
        ("unix:///run/r.sock?db=2&password=hunter2", "unix socket /run/r.sock"),
        ("unix:///run/with%20space", "unix socket /run/with space"),
    ],
)
def test_a_place_says_where_and_never_who(url: str, place: str) -> None:
    assert Address.parse(url, 0.4).place == place


@pytest.mark.parametrize(
    "url",
    [
        "",
        "cache:6379",
        "http://:hunter2@cache",
        "redis://:hun/ter2@cache",
        "redis://:hunter2@cache:port",
        "redis://:hunter2@cache:70000",
        "redis://:hunter2@cache/name",
        "redis://:hunter2@cache?db=two",
        "redis://:hunter2@cache?socket_timeout=60",
        "redis://:hunter2@cache?decode_responses=true",
        "redis://:hunter2@cache?ssl_cert_reqs=none",
        "rediss://:hunter2@cache?ssl_cert_reqs=sometimes",
        "rediss://:hunter2@cache?ssl_nonsense=1",
        "redis://:hunter2@cache?sentinel_password=hunter2",
        "redis+sentinel://:hunter2@cache",
        "redis+sentinel://:hunter2@cache/main/name",
        "redis+sentinel://:hunter2@a,,b/main",
        "redis+cluster://:hunter2@cache/1",
        "redis+cluster://:hunter2@",
        "redis+magic://:hunter2@cache",
        "unix://",
        "redis://[::1",
    ],
)
def test_what_cannot_be_used_is_refused_without_repeating_a_password(url: str) -> None:
    with pytest.raises(InvalidSettings) as refused:
        Address.parse(url, 0.4)

    assert "--redis-url" in str(refused.value)
    assert "hun" not in str(refused.value)
    assert "ter2" not in str(refused.value)


def test_the_scheme_picks_the_connection() -> None:
    assert isinstance(Address.parse("rediss://cache", 0.4).connection(), SSLConnection)
    assert isinstance(Address.parse("unix:///run/r.sock", 0.4).connection(), UnixDomainSocketConnection)


def test_our_timeouts_are_those_of_the_connection() -> None:
    connection = Address.parse("redis://cache", 0.25).connection()

    assert (connection.socket_timeout, connection.socket_connect_timeout) == (0.25, 0.25)
    assert connection.retry.get_retries() == 0


def test_the_servers_users_are_not_those_of_the_sentinels() -> None:
    url = "rediss+sentinel://ada:one@a,b/main?sentinel_username=eve&sentinel_password=two&ssl_ca_certs=/ca.pem"

    address = Address.parse(url, 0.4)

    assert (address.parsed["username"], address.parsed["password"]) == ("ada", "one")
    assert [(node["username"], node["password"], node["ssl_ca_certs"]) for node in address.nodes] == [
        ("eve", "two", "/ca.pem")
    ] * 2
    assert "sentinel_password" not in address.options(retries=0)
