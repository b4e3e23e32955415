"""Slots: pinned values that must never change, and the fewest units moved."""

from __future__ import annotations

from collections import Counter
from hashlib import sha256
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.slots import SLOTS, order, owners, point, positions, reseat, seat, seats, slot_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.core.slots import Stacks

RAMP = ({1: 95, 2: 5}, {1: 75, 2: 25}, {1: 50, 2: 50})

# A change of any of these numbers moves users: salt, key, point, slot, position in order, version at each step of RAMP.
GOLDEN = [
    ("breast-cancer", b"user-1", 0x731314EF292DFFF3, 4495, 8766, (1, 2, 2)),
    ("breast-cancer", b"user-5", 0x6DE112D4EAC64BBF, 4292, 9904, (2, 2, 2)),
    ("breast-cancer", b"user-9", 0x9F86ED5EC599FF60, 6231, 9711, (2, 2, 2)),
    ("breast-cancer", b"user-42", 0xCF79A5BF54531DA5, 8104, 5620, (1, 1, 2)),
    ("breast-cancer", b"alice@example.com", 0x8420CEB760F0F934, 5161, 2948, (1, 1, 1)),
    ("breast-cancer", b"0", 0xA7F6D16D65357429, 6561, 8912, (1, 2, 2)),
    ("breast-cancer", b"550e8400-e29b-41d4-a716-446655440000", 0xD4C7BE789E149D5F, 8311, 343, (1, 1, 1)),
    ("breast-cancer", b"Zo\xc3\xab", 0x90C68627331D2B90, 5655, 738, (1, 1, 1)),
    ("fraud", b"user-1", 0x25F7CCB502960CD2, 1483, 3007, (1, 1, 1)),
    ("fraud", b"a\x1fb", 0x0C5D989EED0B07E5, 483, 4809, (1, 1, 1)),
    ("iris", b"10.0.0.7", 0x05B6409EC69922B0, 223, 5734, (1, 1, 2)),
    ("iris", b"x" * 300, 0xC1AB7F852F842282, 7565, 2953, (1, 1, 1)),
]

WEIGHTS = st.integers(0, 1_000_000_000)
SPLITS = st.dictionaries(st.integers(1, 30), WEIGHTS, min_size=1, max_size=8).filter(lambda split: any(split.values()))


def held(stacks: Stacks) -> dict[int, set[int]]:
    return {version: set(positions(runs)) for version, runs in stacks.items()}


def moved(before: Stacks, after: Stacks) -> int:
    """Return how many positions have another owner."""
    was = {position: version for version, own in held(before).items() for position in own}
    return sum(was[position] != version for version, own in held(after).items() for position in own)


def fewest(before: Mapping[int, int], after: Mapping[int, int]) -> int:
    old, new = seats(before), seats(after)
    return sum(abs(old.get(version, 0) - new.get(version, 0)) for version in old.keys() | new.keys()) // 2


def plainly(stacks: dict[int, list[int]], split: dict[int, int]) -> dict[int, list[int]]:
    """Reassign one position at a time, as the rule is told: what ``reseat`` does with whole runs."""
    wanted, queue = seats(split), list[int]()
    after = {version: list(stacks.get(version, [])) for version in sorted(stacks.keys() | wanted.keys())}
    for version, own in after.items():
        while len(own) > wanted.get(version, 0):
            queue.append(own.pop())
    for version, want in wanted.items():
        while len(after[version]) < want:
            after[version].append(queue.pop(0))
    return {version: after[version] for version in wanted}


def between(cuts: list[int]) -> list[int]:
    return [last - first for first, last in pairwise(cuts)]


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: f"{golden[0]}-{golden[2]:016x}")
def test_a_key_keeps_its_place_in_every_release(golden: tuple[str, bytes, int, int, int, tuple[int, ...]]) -> None:
    salt, key, at, slot, position, versions = golden
    stacks, answers = seat({1: 100}), []
    for split in RAMP:
        stacks = reseat(stacks, split)
        named, table = owners(stacks, salt)
        answers.append(named[table[slot]])

    assert point(salt, key) == at
    assert slot_of(at) == slot
    assert order(salt).index(slot) == position
    assert tuple(answers) == versions


@pytest.mark.parametrize(
    ("salt", "digest"),
    [("breast-cancer", "5c7eb93602ade25b"), ("fraud", "accd65086cb64070"), ("iris", "f928e97a917e2efe")],
)
def test_the_order_of_a_salt_is_pinned(salt: str, digest: str) -> None:
    shuffled = order(salt)

    assert sorted(shuffled) == list(range(SLOTS))
    assert sha256(",".join(map(str, shuffled)).encode()).hexdigest().startswith(digest)


def test_the_order_of_breast_cancer_begins_and_ends_as_published() -> None:
    assert order("breast-cancer")[:4] == (5124, 1920, 1443, 6213)
    assert order("breast-cancer")[-2:] == (8909, 4425)


def test_the_range_of_points_is_cut_into_equal_slots() -> None:
    assert slot_of(0) == 0
    assert slot_of(2**63) == 5000
    assert slot_of(2**64 - 1) == 9999


def test_no_two_pairs_of_salt_and_key_hash_the_same_bytes() -> None:
    assert point("a", b"bc") != point("ab", b"c")


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        ({1: 1, 2: 1, 3: 1}, {1: 3334, 2: 3333, 3: 3333}),
        ({1: 999_999, 2: 1}, {1: 9999, 2: 1}),
        ({1: 1, 2: 999_999}, {1: 1, 2: 9999}),
        ({1: 95, 2: 5}, {1: 9500, 2: 500}),
        ({1: 0, 2: 7}, {1: 0, 2: 10_000}),
        ({10: 1, 9: 1, 2: 1}, {2: 3334, 9: 3333, 10: 3333}),
        ({1: 10**9, 2: 10**9, 3: 1, 4: 1}, {1: 4999, 2: 4999, 3: 1, 4: 1}),
        ({1: 10**9, 2: 10**9, 3: 1}, {1: 4999, 2: 5000, 3: 1}),
    ],
    ids=str,
)
def test_seats_follow_the_largest_remainder(split: dict[int, int], expected: dict[int, int]) -> None:
    assert seats(split) == expected
    assert list(seats(split)) == sorted(expected)


@given(SPLITS)
def test_all_seats_are_given_and_only_to_those_with_weight(split: dict[int, int]) -> None:
    got = seats(split)

    assert sum(got.values()) == SLOTS
    assert got.keys() == split.keys()
    assert all((got[version] > 0) == (weight > 0) for version, weight in split.items())


@given(SPLITS)
def test_seats_are_within_one_of_the_quota_where_nobody_starves(split: dict[int, int]) -> None:
    total = sum(split.values())
    starving = any(0 < weight * SLOTS < total for weight in split.values())

    assert starving or all(abs(seats(split)[v] * total - weight * SLOTS) < total for v, weight in split.items())


def test_a_canary_takes_positions_from_the_end_and_gives_them_back_in_reverse() -> None:
    whole = seat({1: 100})
    five = reseat(whole, {1: 95, 2: 5})
    quarter = reseat(five, {1: 75, 2: 25})

    assert whole == {1: ((0, 9999),)}
    assert five == {1: ((0, 9499),), 2: ((9999, 9500),)}
    assert quarter == {1: ((0, 7499),), 2: ((9999, 7500),)}
    assert reseat(quarter, {1: 95, 2: 5}) == five
    assert reseat(quarter, {1: 100, 2: 0}) == {1: ((0, 9999),), 2: ()}
    assert reseat(quarter, {1: 100}) == whole


def test_versions_take_new_seats_in_ascending_order() -> None:
    assert seat({10: 1, 9: 2, 2: 1, 1: 0}) == {1: (), 2: ((0, 2499),), 9: ((2500, 7499),), 10: ((7500, 9999),)}


@pytest.mark.parametrize(
    ("before", "after", "percent"),
    [
        ((95, 5), (75, 25), 20),
        ((50, 30, 20), (60, 30, 10), 10),
        ((50, 30, 20), (40, 40, 20), 10),
        ((70, 10, 10, 10), (70, 0, 15, 15), 10),
        ((25, 25, 25, 25), (40, 20, 20, 20), 15),
    ],
)
def test_the_users_moved_are_the_published_minimum(
    before: tuple[int, ...], after: tuple[int, ...], percent: int
) -> None:
    old = dict(enumerate(before, start=1))
    new = dict(enumerate(after, start=1))

    assert moved(seat(old), reseat(seat(old), new)) == percent * SLOTS // 100 == fewest(old, new)


@given(st.lists(SPLITS, min_size=2, max_size=5))
def test_every_change_moves_the_minimum_and_keeps_every_seat_owned(splits: list[dict[int, int]]) -> None:
    stacks = seat(splits[0])

    for before, after in pairwise(splits):
        changed = reseat(stacks, after)

        assert sorted(position for own in held(changed).values() for position in own) == list(range(SLOTS))
        assert {version: len(own) for version, own in held(changed).items()} == seats(after)
        assert moved(stacks, changed) == fewest(before, after)
        stacks = changed


@given(st.lists(SPLITS, min_size=2, max_size=6))
def test_reassigning_runs_is_reassigning_positions_one_by_one(splits: list[dict[int, int]]) -> None:
    stacks = seat(splits[0])
    plain = {version: positions(runs) for version, runs in stacks.items()}

    for after in splits[1:]:
        stacks, plain = reseat(stacks, after), plainly(plain, after)

        assert {version: positions(runs) for version, runs in stacks.items()} == plain


@given(st.lists(SPLITS, min_size=2, max_size=4))
def test_whoever_grows_keeps_all_it_has_and_whoever_stays_is_not_touched(splits: list[dict[int, int]]) -> None:
    stacks = seat(splits[0])

    for before, after in pairwise(splits):
        changed, old, new = reseat(stacks, after), seats(before), seats(after)

        for version in old.keys() & new.keys():
            if new[version] >= old[version]:
                assert held(stacks)[version] <= held(changed)[version]
            else:
                assert held(stacks)[version] > held(changed)[version]
        stacks = changed


PERCENTS = st.lists(st.integers(1, 100), min_size=1, max_size=4).map(
    lambda cuts: dict(enumerate(between(sorted({0, *cuts, 100})), start=1))
)


@given(PERCENTS, st.data())
def test_weight_lent_from_one_version_to_another_comes_back_to_the_same_users(
    split: dict[int, int], data: st.DataObject
) -> None:
    lender = data.draw(st.sampled_from(sorted(split)))
    borrower = data.draw(st.sampled_from([v for v in (*sorted(split), 9) if v != lender]))
    stacks = previous = reseat(seat({1: 100}), split)
    for lent in sorted(data.draw(st.sets(st.integers(0, split[lender]), min_size=1, max_size=4))):
        stacks = reseat(stacks, split | {lender: split[lender] - lent, borrower: split.get(borrower, 0) + lent})

    returned = reseat(stacks, split)

    assert returned == previous


def test_the_next_canary_after_a_promotion_meets_other_users_and_a_retry_the_same() -> None:
    first = reseat(seat({1: 100}), {1: 95, 2: 5})
    retried = reseat(reseat(first, {1: 100, 2: 0}), {1: 95, 2: 5})
    promoted = reseat(first, {1: 0, 2: 100})
    after = reseat(promoted, {1: 0, 2: 95, 3: 5})

    assert held(retried)[2] == held(first)[2]
    assert not held(after)[3] & held(first)[2]


def test_one_version_alone_owns_every_slot_without_a_permutation() -> None:
    order.cache_clear()

    versions, table = owners(seat({3: 1, 4: 0}), "a salt that nobody else uses")

    assert versions == (3,)
    assert table == bytes(SLOTS)
    assert order.cache_info().misses == 0


@given(SPLITS, st.sampled_from(["a", "b"]))
def test_the_table_gives_each_version_its_number_of_slots(split: dict[int, int], salt: str) -> None:
    versions, table = owners(seat(split), salt)

    counted = {versions[index]: count for index, count in Counter(table).items()}

    assert counted == {version: count for version, count in seats(split).items() if count}


def test_255_versions_fit_into_the_table() -> None:
    versions, table = owners(seat(dict.fromkeys(range(1, 256), 1)), "m")

    assert len(versions) == 255
    assert max(table) == 254
