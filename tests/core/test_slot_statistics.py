"""What the hash promises over many keys. The keys are fixed, so each number is the same in every run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from statistics import NormalDist
from typing import TYPE_CHECKING

import pytest

from gateway.core.slots import SLOTS, owners, point, reseat, seat, slot_of

if TYPE_CHECKING:
    from collections.abc import Callable

N = 50_000
INTEGERS = [b"%d" % i for i in range(N)]


def uuid(i: int) -> bytes:
    text = f"{i * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128:032x}"
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}".encode()


KEYS: dict[str, Callable[[int], bytes]] = {
    "integers": b"%d".__mod__,
    "uuids": uuid,
    "e-mails": b"user.%d@example.com".__mod__,
}


def slots(salt: str) -> list[int]:
    return [slot_of(point(salt, key)) for key in INTEGERS]


@pytest.mark.parametrize("weight", [1, 100, 1000, 5000])
def test_a_weight_gets_its_share_of_the_keys(weight: int) -> None:
    versions, table = owners(reseat(seat({1: 1}), {1: SLOTS - weight, 2: weight}), "fraud")
    share = weight / SLOTS
    deviation = (N * share * (1 - share)) ** 0.5

    got = sum(versions[table[slot]] == 2 for slot in slots("fraud"))

    assert abs(got - N * share) < 4 * deviation


@pytest.mark.parametrize("kind", KEYS)
def test_keys_of_every_kind_spread_evenly_over_the_slots(kind: str) -> None:
    buckets = 1000
    counts = Counter(slot_of(point("fraud", KEYS[kind](i))) * buckets // SLOTS for i in range(N))
    chi_square = sum((counts[bucket] - N / buckets) ** 2 / (N / buckets) for bucket in range(buckets))
    # Wilson and Hilferty 1931: the cube root of chi-square over its degrees of freedom is close to normal.
    freedom = buckets - 1
    z = ((chi_square / freedom) ** (1 / 3) - (1 - 2 / (9 * freedom))) / (2 / (9 * freedom)) ** 0.5

    p = 1 - NormalDist().cdf(z)

    assert 1e-4 < p < 1 - 1e-4


def test_two_salts_pick_their_canary_users_independently() -> None:
    picks = []
    for salt in ("fraud", "iris"):
        versions, table = owners(reseat(seat({1: 1}), {1: 90, 2: 10}), salt)
        picks.append([versions[table[slot]] == 2 for slot in slots(salt)])
    both = sum(a and b for a, b in zip(*picks, strict=True)) / N
    one, other = sum(picks[0]) / N, sum(picks[1]) / N

    phi = (both - one * other) / (one * (1 - one) * other * (1 - other)) ** 0.5

    assert abs(phi) < 0.01


def test_nobody_leaves_a_canary_that_grows() -> None:
    stacks, before = seat({1: 100}), set[int]()
    for weight in (1, 5, 10, 25, 50, 95, 100):
        stacks = reseat(stacks, {1: 100 - weight, 2: weight})
        versions, table = owners(stacks, "fraud")
        now = {i for i, slot in enumerate(slots("fraud")) if versions[table[slot]] == 2}

        assert before < now
        before = now


def test_another_process_with_another_hash_seed_gives_the_same_answers() -> None:
    program = """
import json
from gateway.core.document import parse
from gateway.core.routing import compile_route
from gateway.core.seating import reseat_route, seat_route
from gateway.core.stored import Held, digest, encode

rules = [{"when": {"query:b": ["x", "y", "z*"], "cookie:a": "1"}, "split": {"3": 1, "2": 1}}]
old = parse({"split": {"1": 1}, "assign": {"by": "header:u"}, "rules": rules}, model="fraud")
new = old.with_split({1: 90, 2: 7, 10: 3})
seating = reseat_route(old, seat_route(old), new)
routing = compile_route(new, seating)
answers = [routing.decide(lambda kind, name: [b"user-%d" % i], 0)[0] for i in range(2000)]
print(json.dumps([digest(encode(Held(new, seating))), answers]))
"""
    printed = [
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "4242")
    ]

    assert printed[0] == printed[1]
    assert set(json.loads(printed[0])[1]) == {1, 2, 10}
