"""How often a caller may make us work for nothing."""

from __future__ import annotations

from gateway.rpc.budget import Budget


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def spent(budget: Budget) -> int:
    count = 0
    while budget.spend():
        count += 1
    return count


def test_a_budget_fills_with_time_and_with_what_was_earned_and_never_over_the_brim() -> None:
    clock = Clock()
    budget = Budget(10, 2, clock)

    assert spent(budget) == 10
    clock.now = 2.0
    assert spent(budget) == 4
    budget.earn()
    assert spent(budget) == 1
    clock.now = 1000.0
    assert spent(budget) == 10
