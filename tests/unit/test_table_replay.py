"""Whatever people ask in whatever order: what the journal's file gives back is what the table knew."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from lockmanager_node.limits import Limits
from lockmanager_node.store import Batch, Store
from lockmanager_node.table import Table
from tests.support.table_cases import INCARNATION
from tests.unit.test_table_random import RandomRequests

LIMITS = Limits(leases=12, waiters=4)
ABOUT = {"node": "node1", "cluster": "a fingerprint"}
Known = dict[str, tuple[object, ...]]


def leases_of(table: Table) -> Known:
    """Return all that matters of every lease: who holds what, at which fence, until when."""
    return {
        token: (
            *(lease.grant_id, lease.fence, lease.deadline, lease.full_ttl, lease.revoked),
            *(lease.waiter.key, lease.waiter.mode, lease.waiter.place, lease.waiter.ttl, lease.waiter.label),
        )
        for token, lease in table._leases.items()
    }


def revoked_of(table: Table) -> Known:
    return {digest: (one.deadline, one.full_ttl) for digest, one in table._revoked.items()}


class ReplayedRequests(RandomRequests):
    """The random requests to a table, with a journal's file that is committed, closed, killed and read again."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="lockmanager-replay-"))
        self.store = Store(self.directory, ABOUT)
        self.table = Table(INCARNATION, LIMITS, journaled=True)
        self.committed: tuple[Known, Known] = ({}, {})

    @rule()
    def commits(self) -> None:
        changes = self.table.take_changes()
        self.store.commit(Batch(dict(changes.records), {}, changes.fence_floor))
        self.committed = leases_of(self.table), revoked_of(self.table)

    @rule(killed=st.booleans(), same_boot=st.booleans())
    def restarts(self, killed: bool, same_boot: bool) -> None:
        """Begin a new life; one that is killed loses what was not committed, as nobody was told of it."""
        if not killed:
            self.commits()
        leases, revoked = self.committed
        largest = self.store.fence_floor if killed else self.table.largest_fence
        (self.store.abandon if killed else self.store.close)()
        self.store = Store(self.directory, ABOUT)
        self.table = Table(INCARNATION, LIMITS, journaled=True)
        self.table.restore(self.store.take_kept(), self.now, same_boot=same_boot)
        if not same_boot:
            leases, revoked = self._with_full_ttls(leases, 2, 3), self._with_full_ttls(revoked, 0, 1)
        assert (leases_of(self.table), revoked_of(self.table)) == (leases, revoked)
        assert self.table.largest_fence >= largest
        self._forget_what_was_lost()
        self.commits()  # a node notes the boot it lives in when the deadlines of that boot are written

    def _with_full_ttls(self, known: Known, deadline: int, full_ttl: int) -> Known:
        """Return what is known with every deadline a full ttl from now."""

        def renewed(fields: tuple[Any, ...]) -> tuple[object, ...]:
            return (*fields[:deadline], self.now + fields[full_ttl], *fields[deadline + 1 :])

        return {name: renewed(fields) for name, fields in known.items()}

    def _forget_what_was_lost(self) -> None:
        """Let the account of the random requests know only of grants that were committed."""
        self.deadlines, self.fences = {}, {}
        self.writers = dict.fromkeys(self.writers, 0)
        self.readers = dict.fromkeys(self.readers, 0)
        self.numbers = {lease.grant_id for lease in self.table._leases.values()}
        self.asked = set()

    @invariant()
    def the_journal_is_told_of_every_lease_that_is_not_as_it_was_committed(self) -> None:
        noted = set(self.table._changed)
        leases, _ = self.committed
        now = leases_of(self.table)
        assert {self._number(now[token]) for token in now if leases.get(token) != now[token]} <= noted
        assert {self._number(leases[token]) for token in leases.keys() - now.keys()} <= noted

    def _number(self, lease: tuple[Any, ...]) -> int:
        number: int = lease[0][1]
        return number

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.directory)
        super().teardown()


TestReplayedRequests = ReplayedRequests.TestCase
TestReplayedRequests.settings = settings(
    max_examples=120,
    stateful_step_count=50,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
