"""What the scripts may use: old servers and clusters must run them."""

from __future__ import annotations

import re

import pytest

from gateway.store.keys import audit_key, route_key
from gateway.store.scripts import ORDER, WRITE, Script

IN_REDIS_5 = {"TYPE", "HMGET", "HGET", "HSET", "XREVRANGE", "XADD", "DEL", "PUBLISH"}


@pytest.mark.parametrize("script", [WRITE, ORDER], ids=["write", "order"])
def test_a_script_calls_only_commands_that_old_servers_have(script: Script) -> None:
    called = set(re.findall(r"redis\.p?call\('(\w+)'", script.text))

    assert called
    assert called <= IN_REDIS_5


@pytest.mark.parametrize("script", [WRITE, ORDER], ids=["write", "order"])
def test_nothing_is_changed_before_the_audit_entry(script: Script) -> None:
    first_change = re.search(r"redis\.call\('(XADD|HSET|DEL)'", script.text)

    assert first_change is not None
    assert first_change[1] == "XADD"


def test_all_keys_of_a_model_lie_in_one_slot() -> None:
    tags = {re.sub(r".*\{(.*)\}.*", r"\1", key(model)) for key in (route_key, audit_key) for model in ["fraud"]}

    assert tags == {"fraud"}
