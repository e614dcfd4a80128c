"""What holds of a lock table at any time, whatever it was asked: for those who ask it nonsense."""

from __future__ import annotations

from lockmanager.wire import Mode, Token
from lockmanager_node.limits import LARGEST_FENCE
from lockmanager_node.line import Key
from lockmanager_node.lock import Event, Lease, Lock
from lockmanager_node.table import Table


class Account:
    """Watches a table from its first grant on (`Table(tell=account.note)`), and says when a promise is broken.

    Adopted leases are what other nodes told: they may stand beside each other, but nothing is granted beside them.
    """

    def __init__(self) -> None:
        self.writers: dict[Key, int] = {}
        self.readers: dict[Key, int] = {}
        self.yields = 0

    def note(self, event: Event, lease: Lease) -> None:
        if event is Event.YIELDED:
            self.yields += 1
        if event is not Event.GRANTED:
            return
        waiter = lease.waiter
        before = max(self.writers.get(waiter.key, 0), self.readers.get(waiter.key, 0))
        known = before if waiter.mode is Mode.EXCLUSIVE else self.writers.get(waiter.key, 0)
        assert lease.fence > known, f"fence {lease.fence} of {waiter!r} is not above {known}"
        assert lease.fence >= waiter.ticket
        self._note_fence(lease)

    def _note_fence(self, lease: Lease) -> None:
        marks = self.writers if lease.waiter.mode is Mode.EXCLUSIVE else self.readers
        marks[lease.waiter.key] = max(marks.get(lease.waiter.key, 0), lease.fence)

    def check(self, table: Table, now: int) -> None:
        """Raise AssertionError for the first promise that is broken."""
        for lock in table.locks.values():
            self._check_lock(lock, table, now)
        self._check_counts(table)

    def _check_lock(self, lock: Lock, table: Table, now: int) -> None:
        given = list(lock.leases.values())
        modes = [lease.waiter.mode for lease in given]
        assert len(modes) <= 1 or set(modes) == {Mode.SHARED}, f"{lock.key} is held {modes}"
        for lease in given:
            self._check_lease(lease, table, now)
            others = [one.waiter.mode for digest, one in lock.adopted.items() if digest != lease.digest]
            assert all(Mode.EXCLUSIVE not in (mode, lease.waiter.mode) for mode in others), (
                f"beside adopted: {lock.key}"
            )
            self._note_fence(lease)
        places = [waiter.place for waiter in (lock.line if lock.waiting else ())]
        assert places == sorted(set(places)), f"the line of {lock.key} is not in order"
        assert table.silent or lock.next_to_grant() is None, f"the head of {lock.key} waits for nothing"
        assert lock.waiting <= table.limits.waiters + self.yields

    def _check_lease(self, lease: Lease, table: Table, now: int) -> None:
        assert now < lease.deadline <= now + lease.full_ttl, f"{lease!r} ends at {lease.deadline}, now is {now}"
        assert table.limits.min_ttl <= lease.waiter.ttl <= lease.full_ttl <= table.limits.max_ttl
        assert 1 <= lease.fence <= LARGEST_FENCE
        assert lease.fence <= table.largest_fence <= table.largest_ticket

    def _check_counts(self, table: Table) -> None:
        leases = {token: lease for lock in table.locks.values() for token, lease in lock.leases.items()}
        adopted = [lease for lock in table.locks.values() for lease in lock.adopted.values()]
        waiters = [waiter for lock in table.locks.values() if lock.waiting for waiter in lock.line]
        assert table.lease_count == len(leases) + len(adopted)
        assert all(table.lease(token) is lease for token, lease in leases.items())
        assert table.waiter_count == len({waiter.token for waiter in waiters}) == len(waiters)
        assert len(leases) + len(waiters) <= table.limits.leases
        assert not leases.keys() & {waiter.token for waiter in waiters}
        assert _by_owner(table) == {waiter.token: waiter.owner for waiter in waiters}
        assert all(key == lock.key for key, lock in table.locks.items())


def _by_owner(table: Table) -> dict[Token, str]:
    return {waiter.token: owner for owner, waiting in table._waiting.items() for waiter in waiting}


def check_nothing_is_left(table: Table) -> None:
    """Raise AssertionError unless the table has forgotten everything but its fences."""
    assert (table.lease_count, table.waiter_count) == (0, 0)
    assert (table.locks, table._revoked, table._waiting, table.next_deadline()) == ({}, {}, {}, None)
