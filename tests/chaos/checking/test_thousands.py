"""A thousand valid histories pass, a thousand broken ones are refused by those who must, and a long one is checked."""

from __future__ import annotations

import os
from collections import Counter
from functools import cache

import pytest

from tests.chaos.checking import exhaustive, fences
from tests.chaos.checking.damage import DAMAGES, LOCK_DAMAGES, damaged
from tests.chaos.checking.generate import Shape, valid_history
from tests.chaos.checking.operations import by_lock
from tests.chaos.history import FOREVER, History

_MANY = 1_000
_PER_DAMAGE = _MANY // len(DAMAGES) + 1
_OPERATIONS = int(os.environ.get("LOCKMANAGER_CHECKER_OPERATIONS", "100000"))


_LONG = pytest.mark.timeout(max(300, _OPERATIONS // 1_000))
"""A million operations are half a minute of work for a processor, which may have other work."""


def _history(seed: int) -> History:
    """Make a small history; seeds next to each other give very different ones."""
    shape = Shape(
        clients=2 + seed % 5,
        locks=1 + seed % 2,
        rounds=2 + seed % 7,
        shared=(0.0, 0.3, 0.7)[seed % 3],
        trouble=(0.0, 0.06, 0.06, 0.2)[seed % 4],
    )
    return valid_history(seed, shape)


def test_a_thousand_valid_histories_pass_both_checkers() -> None:
    counts: Counter[str] = Counter()
    for seed in range(_MANY):
        history = _history(seed)
        one_pass, searched = fences.check(history), exhaustive.check(history)
        assert one_pass.violations == [], f"seed {seed}"
        assert searched.violations == [], f"seed {seed}"
        counts.update(one_pass.counts)
        counts.update({f"exhaustive/{name}": count for name, count in searched.counts.items()})
    assert counts["exhaustive/searched"] == counts["exhaustive/operations"] > 10_000
    for name in ("pairs", "reads", "writes", "refused", "ambiguous/acquire", "ambiguous/write", "last looks"):
        assert counts[name] > 200, f"{name}: {counts}"


def test_valid_histories_have_every_kind_of_luck() -> None:
    leases = [lease for seed in range(100) for lock in by_lock(_history(seed)) for lease in lock.leases]
    kinds = {
        "shared": sum(not lease.exclusive for lease in leases),
        "renewed": sum(lease.until > lease.acquire.until for lease in leases),
        "over when known of": sum(not lease.held for lease in leases),
        "told of a loss": sum(lease.lost < FOREVER for lease in leases),
        "never given back": sum(not lease.releases for lease in leases),
        "perhaps given back": sum(one.outcome == "ambiguous" for lease in leases for one in lease.releases),
        "given back too late": sum(one.begin > lease.until for lease in leases for one in lease.releases),
    }
    assert min(kinds.values()) > 10, kinds


@pytest.mark.parametrize("kind", DAMAGES)
def test_every_damage_is_refused_by_those_who_must(kind: str) -> None:
    broken = 0
    for seed in range(100 * _PER_DAMAGE):
        history = damaged(_history(seed), kind, seed)
        if history is None:
            continue
        broken += 1
        assert not fences.check(history).holds, f"seed {seed}"
        assert exhaustive.check(history).holds is (kind not in LOCK_DAMAGES), f"seed {seed}"
        if broken == _PER_DAMAGE:
            return
    pytest.fail(f"only {broken} histories have a place for it")


@cache
def _long_history(operations: int) -> History:
    """Make a history of at least so many operations."""
    return valid_history(1, Shape(clients=12, locks=6, rounds=operations // 46, shared=0.3, trouble=0.002))


@_LONG
def test_a_long_history_is_checked_whole_in_one_pass() -> None:
    verdict = fences.check(_long_history(_OPERATIONS))
    assert verdict.violations == []
    assert verdict.counts["operations"] > _OPERATIONS


@_LONG
def test_nearly_all_of_a_long_history_can_be_searched() -> None:
    verdict = exhaustive.check(_long_history(_OPERATIONS))
    assert verdict.violations == []
    assert verdict.counts["undecided"] == 0
    assert verdict.counts["searched"] > 0.95 * verdict.counts["operations"]


def test_a_single_damage_in_a_long_history_is_found_by_both() -> None:
    history = damaged(_long_history(10_000), "second_holder", 1)
    assert history is not None
    for verdict in (fences.check(history), exhaustive.check(history)):
        (sentence,) = verdict.violations
        assert "client intruder" in sentence
