"""What the scripts may use: old servers and clusters must run them."""

from __future__ import annotations

import re

import pytest

from gateway.store.evidence_scripts import FLUSH, LEASE
from gateway.store.fleet_words import ANNOUNCE
from gateway.store.keys import (
    audit_key,
    deliveries_key,
    lease_key,
    outbox_key,
    rollout_keys,
    route_key,
    undelivered_key,
)
from gateway.store.notification_scripts import AGAIN, BACKLOG, CLAIM, SETTLE, TELL
from gateway.store.scripts import ORDER, OUTBOX, WRITE, Script

IN_REDIS_5 = {
    "TYPE", "HMGET", "HGET", "HSET", "HDEL", "HEXISTS", "HGETALL", "HINCRBY", "XREVRANGE", "XADD", "DEL", "EXPIRE",
    "PUBLISH", "SADD", "SCARD", "GET", "SET", "PTTL", "PEXPIRE",
    "XRANGE", "XDEL", "TIME",
}  # fmt: skip

EVERY = {
    "write": WRITE, "order": ORDER, "flush": FLUSH, "lease": LEASE,
    "backlog": BACKLOG, "claim": CLAIM, "settle": SETTLE, "tell": TELL, "again": AGAIN, "announce": ANNOUNCE,
}  # fmt: skip


@pytest.mark.parametrize("script", EVERY.values(), ids=EVERY.keys())
def test_a_script_calls_only_commands_that_old_servers_have(script: Script) -> None:
    called = set(re.findall(r"redis\.p?call\('(\w+)'", script.text))

    assert called
    assert called <= IN_REDIS_5


@pytest.mark.parametrize("script", [WRITE, ORDER], ids=["write", "order"])
def test_nothing_is_changed_before_the_audit_entry(script: Script) -> None:
    first_change = re.search(r"redis\.call\('(XADD|HSET|DEL)'|\btell\(", script.text.replace(OUTBOX, ""))

    assert first_change is not None
    assert first_change[1] == "XADD"


@pytest.mark.parametrize("script", EVERY.values(), ids=EVERY.keys())
def test_a_script_makes_up_no_key(script: Script) -> None:
    """A cluster knows where a script may run from the declared keys only."""
    assert "gateway:" not in script.text


def test_nothing_is_counted_before_everything_was_checked() -> None:
    first_change = re.search(r"redis\.call\('(HSET|HINCRBY|SADD)'", FLUSH.text)
    last_refusal = FLUSH.text.rfind("'corrupt'")

    assert first_change is not None
    assert last_refusal < first_change.start()


def test_all_keys_of_a_model_lie_in_one_slot() -> None:
    keys = [route_key("fraud"), audit_key("fraud"), lease_key("fraud"), *rollout_keys("fraud", "r-1")]
    keys += [outbox_key("fraud"), deliveries_key("fraud"), undelivered_key("fraud")]

    assert {re.sub(r"[^{]*\{(.*?)\}.*", r"\1", key) for key in keys} == {"fraud"}
    assert len(set(keys)) == len(keys)
