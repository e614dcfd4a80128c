"""Checks a whole history in one pass per rule: leases that exclude each other, fences that rise, a resource they guard.

All rules compare what certainly came first with what certainly came later, so that each violation is one, whatever
else happened; what is ambiguous is never held against anybody. It sorts, and is linear otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter
from typing import Final

from tests.chaos.checking.counter import accesses
from tests.chaos.checking.operations import Lease, LockHistory, Operation, by_lock
from tests.chaos.checking.verdict import Verdict
from tests.chaos.history import History

MOST_TOLD: Final = 100
"""So many violations of one lock are told, and all are counted."""


def check(history: History) -> Verdict:
    """Judge all locks of a history; BrokenHistory when its events contradict each other."""
    verdict = Verdict(counts={"torn": history.torn, "files": history.files}, violations=[])
    for lock in by_lock(history):
        verdict += check_lock(lock)
    return verdict


def check_lock(lock: LockHistory) -> Verdict:
    """Judge one lock and the resource it guards."""
    found = [*exclusion(lock), *order(lock), *repetition(lock), *ownership(lock), *accesses(lock)]
    told = [f"lock {lock.lock!r}: {sentence}" for sentence in found[:MOST_TOLD]]
    return Verdict(counts=_counts(lock) | {"violations": len(found)}, violations=told)


def _counts(lock: LockHistory) -> dict[str, int]:
    operations = [access.operation for access in lock.accesses]
    accepted = [operation.kind for operation in operations if operation.outcome == "ok"]
    return {
        "locks": 1,
        "operations": lock.operations,
        "leases": len(lock.leases),
        "pairs": sum(1 for _ in _neighbours(lock)),
        "fences": sum(lease.acquire.fence > 0 for lease in lock.leases),
        "reads": accepted.count("read"),
        "writes": accepted.count("write"),
        "last looks": _last_looks(operations),
        "refused": sum(operation.outcome == "fail" for operation in operations),
        "ambiguous/acquire": len(lock.ambiguous),
        "ambiguous/write": sum(one.outcome == "ambiguous" and one.kind == "write" for one in operations),
    }


def _last_looks(accesses: list[Operation]) -> int:
    """Count the reads that nobody wrote after: without one, nobody saw whether the last update was kept."""
    last = max((access.begin for access in accesses if access.kind == "write"), default=-1)
    return sum(access.kind == "read" and access.outcome == "ok" and access.begin > last for access in accesses)


def exclusion(lock: LockHistory) -> Iterator[str]:
    """Tell of leases held at the same instant, one of them exclusive."""
    for before, lease in _neighbours(lock):
        if before.end > lease.start:
            yield f"{before} and {lease} were held at the same time"


def _neighbours(lock: LockHistory) -> Iterator[tuple[Lease, Lease]]:
    """Pair each lease with the one before it that ends last of those it excludes: if that one is over, all are."""
    last: Lease | None = None
    last_exclusive: Lease | None = None
    held = [lease for lease in lock.leases if lease.held]
    for lease in sorted(held, key=attrgetter("start")):
        before = last if lease.exclusive else last_exclusive
        if before:
            yield before, lease
        if last is None or lease.end > last.end:
            last = lease
        if lease.exclusive and (last_exclusive is None or lease.end > last_exclusive.end):
            last_exclusive = lease


def order(lock: LockHistory) -> Iterator[str]:
    """Tell of fences that do not rise: an exclusive one above all before it, a shared one above the exclusive ones."""
    granted = sorted(lock.leases, key=attrgetter("start"))
    largest: Lease | None = None
    largest_exclusive: Lease | None = None
    number = 0
    for lease in sorted(lock.leases, key=_earliest):
        while number < len(granted) and granted[number].start < _earliest(lease):
            before = granted[number]
            number += 1
            largest = _larger(largest, before)
            largest_exclusive = _larger(largest_exclusive, before) if before.exclusive else largest_exclusive
        rival = largest if lease.exclusive else largest_exclusive
        if rival and rival.acquire.fence >= lease.acquire.fence:
            yield f"the fence of {lease} does not exceed that of {rival} before it"


def _earliest(lease: Lease) -> int:
    """Return an instant such that all leases that were known of earlier were granted before this one.

    That is when it was known of: had another one been granted after it, it would have been over by then. Of one that
    was over when it was known of, only its begin is such an instant.
    """
    return lease.start if lease.held else lease.acquire.begin


def _larger(one: Lease | None, other: Lease) -> Lease:
    return other if one is None or other.acquire.fence > one.acquire.fence else one


def repetition(lock: LockHistory) -> Iterator[str]:
    """Tell of leases without a fence, and of those that share the fence of an exclusive one."""
    exclusive: dict[int, Lease] = {}
    for lease in sorted(lock.leases, key=lambda lease: not lease.exclusive):
        other = exclusive.get(lease.acquire.fence)
        if lease.acquire.fence <= 0:
            yield f"{lease} has no fence"
        elif other:
            yield f"{lease} has the same fence as {other}"
        elif lease.exclusive:
            exclusive[lease.acquire.fence] = lease


def ownership(lock: LockHistory) -> Iterator[str]:
    """Tell of releases that succeeded although their client never had such a lease."""
    for release in lock.unowned:
        if release.outcome == "ok":
            yield f"{release} succeeded; that client never acquired a lease with this fence"
