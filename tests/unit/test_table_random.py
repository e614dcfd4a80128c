"""Whatever people ask in whatever order, the table's promises hold after every step."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from lockmanager.durations import MICROSECONDS
from lockmanager.wire import (
    Answer,
    Granted,
    Inquire,
    Lost,
    Mode,
    Queued,
    Raise,
    Raised,
    Refused,
    Rejected,
    Release,
    Released,
    Renew,
    Renewed,
    Revoked,
    Space,
    Token,
    Yield,
)
from lockmanager_node.limits import Limits
from lockmanager_node.line import Key, Owner
from lockmanager_node.lock import Lease, Lock
from lockmanager_node.table import Outbox, Request, Table
from tests.support.table_cases import INCARNATION, NOW, WALL, acquire, token_of

PEOPLE = [f"p{n}" for n in range(7)]
OWNERS = ["session1", "session2", "session3"]
KEYS: list[Key] = [(Space.QUORUM, "a"), (Space.QUORUM, "b"), (Space.EFFICIENCY, "a"), (Space.NODE, "a")]
TTLS = [MICROSECONDS // 10, MICROSECONDS, 10 * MICROSECONDS, 90 * MICROSECONDS]
PAUSES = [
    0,
    1,
    MICROSECONDS // 20,
    MICROSECONDS // 10,
    MICROSECONDS,
    MICROSECONDS,
    10 * MICROSECONDS,
    61 * MICROSECONDS,
]

PROMISED: dict[type[Request], tuple[type[Answer], ...]] = {
    Release: (Released,),
    Renew: (Renewed, Lost, Revoked, Rejected),
    Raise: (Raised, Lost, Revoked, Rejected),
    Yield: (Granted, Lost, Revoked),
}
"""What the token named in a request may be answered. Renew, raise and yield of a waiter are not answered."""

people = st.sampled_from(PEOPLE)
picks = st.integers(0, 11)
owners = st.sampled_from(OWNERS)
keys = st.sampled_from(KEYS)
ttls = st.sampled_from(TTLS)


class RandomRequests(RuleBasedStateMachine):
    """Random requests to one table, and a plain account of what it said."""

    def __init__(self) -> None:
        super().__init__()
        self.table = Table(INCARNATION, Limits(leases=12, waiters=4))
        self.now = NOW
        self.writers: dict[Key, int] = {}
        self.readers: dict[Key, int] = {}
        self.numbers: set[tuple[int, int]] = set()
        self.asked: set[tuple[Token, tuple[int, int], Token]] = set()
        self.deadlines: dict[tuple[int, int], int] = {}
        self.fences: dict[tuple[int, int], int] = {}

    # Requests

    @rule(
        who=people,
        owner=owners,
        key=keys,
        mode=st.sampled_from(list(Mode)),
        ticket=st.integers(1, 40),
        ttl=ttls,
        wait=st.booleans(),
    )
    def acquires(self, who: str, owner: Owner, key: Key, mode: Mode, ticket: int, ttl: int, wait: bool) -> None:
        request = acquire(who, ticket=ticket, ttl=ttl, mode=mode, space=key[0], name=key[1], wait=wait)
        outbox = self.ask(owner, request)
        answers = [answer for to, answer in outbox if answer.token == request.token and to == owner]
        expected = (Granted, Queued, Rejected, Revoked) if wait else (Granted, Refused, Rejected, Revoked)
        assert any(isinstance(answer, expected) for answer in answers)
        if any(isinstance(answer, Refused) for answer in answers):
            assert self.table.key_of(request.token) is None

    @rule(whos=st.permutations(PEOPLE), owner=owners, ttl=ttls, readers=st.integers(0, len(PEOPLE)))
    def a_crowd_comes(self, whos: list[str], owner: Owner, ttl: int, readers: int) -> None:
        """Most of what matters happens in a line: fill one."""
        for n, who in enumerate(whos):
            mode = Mode.SHARED if n < readers else Mode.EXCLUSIVE
            self.acquires(who, owner, KEYS[0], mode, 50 - n, ttl, wait=True)

    @rule(pick=picks, owner=owners)
    def releases(self, pick: int, owner: Owner) -> None:
        token = self.pick(pick)
        self.ask_about(owner, Release(token))
        assert self.table.key_of(token) is None

    @rule(pick=picks, owner=owners, ttl=st.sampled_from([*TTLS, 0]))
    def renews(self, pick: int, owner: Owner, ttl: int) -> None:
        self.ask_about(owner, Renew(self.pick(pick), ttl))

    @rule(pick=picks, owner=owners, more=st.integers(-5, 20))
    def raises(self, pick: int, owner: Owner, more: int) -> None:
        token = self.pick(pick)
        lease = self.table.lease(token)
        self.ask_about(owner, Raise(token, (lease.fence if lease else 10) + more))

    @rule(pick=picks, owner=owners, stale=st.booleans())
    def gives_back(self, pick: int, owner: Owner, stale: bool) -> None:
        token = self.pick(pick)
        lease = self.table.lease(token)
        number = lease.grant_id[1] if lease else 1
        before = lease and (lease.grant_id, lease.deadline, lease.revoked)
        self.ask_about(owner, Yield(token, (INCARNATION, number - stale)))
        after = self.table.lease(token)
        if before and after and stale:
            assert before[0] == after.grant_id
        if before and not stale and before[1] > self.now and not before[2]:
            assert after is None or after.grant_id > before[0]

    @rule(key=keys, force=st.booleans())
    def revokes(self, key: Key, force: bool) -> None:
        self.account(self.table.expire(self.now))
        before = set(self.table.locks[key].leases) if key in self.table.locks else set[Token]()
        if force and before:
            self.note_fence(key, Mode.EXCLUSIVE, self.readers.get(key, 0))
        count, outbox = self.table.revoke(key, self.now, force=force)
        self.account(outbox)
        assert count == len(before)
        assert all((self.table.lease(token) is None) is force for token in before)

    @rule(owner=owners)
    def ends(self, owner: Owner) -> None:
        outbox = self.table.end_session(owner, self.now)
        self.account(outbox)
        assert self.table.shortest_waiting_ttl(owner) is None
        assert not any(to == owner and isinstance(answer, Granted) for to, answer in outbox)

    @rule(pause=st.sampled_from(PAUSES))
    def time_passes(self, pause: int) -> None:
        self.now += pause
        self.account(self.table.expire(self.now))

    @rule(pause=st.sampled_from(PAUSES))
    def time_passes_unnoticed(self, pause: int) -> None:
        self.now += pause

    @precondition(lambda self: self.table.next_deadline() is not None)
    @rule()
    def time_passes_to_the_next_deadline(self) -> None:
        at = self.table.next_deadline()
        assert at is not None
        self.now = max(self.now, at)
        self.account(self.table.expire(self.now))

    # The account

    def pick(self, pick: int) -> Token:
        """Return a token that holds or waits if there is one, or now and then a stranger's."""
        known = sorted([*self.table._leases, *self.table._waiters])
        return known[pick % len(known)] if known and pick < 11 else token_of("stranger")

    def ask(self, owner: Owner, request: Request) -> Outbox:
        outbox = self.table.handle(owner, request, self.now, WALL)
        self.account(outbox)
        return outbox

    def ask_about(self, owner: Owner, request: Request) -> None:
        """Ask, and check that the token is answered what the protocol promises, and never out of thin air."""
        token = request.token
        outbox = self.ask(owner, request)
        answers = [answer for to, answer in outbox if answer.token == token]
        others = (Granted, Inquire)
        assert all(isinstance(answer, PROMISED[type(request)] + others) for answer in answers)
        known = self.table.key_of(token) is not None
        assert not known or not any(isinstance(answer, Lost) for answer in answers)
        if not known and not isinstance(request, Release):
            assert any(to == owner and isinstance(answer, Lost | Revoked | Rejected) for to, answer in outbox)
        if isinstance(request, Release):
            assert outbox[-1] == (owner, Released(token))

    def account(self, outbox: Outbox) -> None:
        for _, answer in outbox:
            assert answer.token not in repr(answer)
            if isinstance(answer, Granted) and answer.resent:
                self.asked = {pair for pair in self.asked if pair[0] != answer.token}
            elif isinstance(answer, Granted):
                self.note_grant(answer)
            elif isinstance(answer, Raised):
                self.note_raise(answer)
            elif isinstance(answer, Inquire):
                self.note_inquiry(answer)

    def note_grant(self, granted: Granted) -> None:
        """A fence exceeds those of all who came before, as far as the holder must come after them."""
        assert granted.grant_id not in self.numbers
        self.numbers.add(granted.grant_id)
        lease = self.table.lease(granted.token)
        if lease is None or lease.grant_id != granted.grant_id:
            return
        waiter = lease.waiter
        assert granted.fence >= waiter.ticket
        assert granted.fence > self.writers.get(waiter.key, 0)
        if waiter.mode is Mode.EXCLUSIVE:
            assert granted.fence > self.readers.get(waiter.key, 0)
        self.note_fence(waiter.key, waiter.mode, granted.fence)

    def note_raise(self, raised: Raised) -> None:
        lease = self.lease(raised.token)
        assert lease.fence == raised.fence
        self.note_fence(lease.waiter.key, lease.waiter.mode, raised.fence)

    def note_fence(self, key: Key, mode: Mode, fence: int) -> None:
        marks = self.writers if mode is Mode.EXCLUSIVE else self.readers
        marks[key] = max(marks.get(key, 0), fence)

    def note_inquiry(self, inquire: Inquire) -> None:
        """Only the current grant is inquired, in a space with push, and once per pair."""
        lease = self.table.lease(inquire.token)
        if lease is None or lease.grant_id != inquire.grant_id:
            return
        assert lease.waiter.key[0] is not Space.NODE
        head = self.table.locks[lease.waiter.key].line.head
        if head is not None:
            pair = (inquire.token, inquire.grant_id, head.token)
            assert pair not in self.asked
            self.asked.add(pair)

    def lease(self, token: Token) -> Lease:
        lease = self.table.lease(token)
        assert lease is not None
        return lease

    # What holds after every step

    @invariant()
    def nobody_stands_beside_a_writer(self) -> None:
        for lock in self.table.locks.values():
            modes = [lease.waiter.mode for lease in lock.leases.values()]
            assert len(modes) <= 1 or set(modes) == {Mode.SHARED}

    @invariant()
    def lines_are_in_order_and_nobody_waits_for_nothing(self) -> None:
        for lock in self.table.locks.values():
            places = [(waiter.ticket, waiter.token) for waiter in lock.line]
            assert places == sorted(set(places))
            assert lock.next_to_grant() is None
            assert lock.leases or not places

    @invariant()
    def every_holder_in_the_way_of_an_earlier_head_was_inquired(self) -> None:
        for lock in self.table.locks.values():
            for head, lease in self._in_the_way(lock):
                assert (lease.waiter.token, lease.grant_id, head) in self.asked

    def _in_the_way(self, lock: Lock) -> list[tuple[Token, Lease]]:
        head = lock.line.head
        if head is None or lock.key[0] is Space.NODE:
            return []
        before = [lease for lease in lock.leases.values() if head.place < lease.waiter.place]
        return [(head.token, lease) for lease in before if Mode.EXCLUSIVE in (head.mode, lease.waiter.mode)]

    @invariant()
    def a_deadline_never_moves_towards_now(self) -> None:
        deadlines = {lease.grant_id: lease.deadline for lease in self.table._leases.values()}
        assert all(deadlines.get(number, at) >= at for number, at in self.deadlines.items())
        self.deadlines = deadlines

    @invariant()
    def a_fence_never_goes_down(self) -> None:
        fences = {lease.grant_id: lease.fence for lease in self.table._leases.values()}
        assert all(fences.get(number, fence) >= fence for number, fence in self.fences.items())
        self.fences = fences

    @invariant()
    def the_table_knows_the_largest_ticket(self) -> None:
        fences = [lease.fence for lease in self.table._leases.values()]
        tickets = [waiter.ticket for waiter in self.table._waiters.values()]
        assert self.table.largest_ticket >= max([self.table.fence_floor, *fences, *tickets])

    @invariant()
    def all_indexes_agree(self) -> None:
        table = self.table
        leases = {token: lease for lock in table.locks.values() for token, lease in lock.leases.items()}
        waiters = {waiter.token: waiter for lock in table.locks.values() for waiter in lock.line}
        assert table._leases == leases
        assert table._waiters == waiters
        assert not leases.keys() & waiters.keys()
        assert {waiter.token: owner for owner, all_of in table._waiting.items() for waiter in all_of} == {
            token: waiter.owner for token, waiter in waiters.items()
        }
        assert all(table._waiting.values())
        assert all(lease.waiter.token == token for token, lease in leases.items())
        for key, lock in table.locks.items():
            assert key == lock.key
            assert all(one.key == key for one in [*lock.line, *(lease.waiter for lease in lock.leases.values())])

    @invariant()
    def everything_with_an_end_has_its_deadline_in_the_queue(self) -> None:
        deadlines = self.table._deadlines._deadlines
        assert all(deadlines[lease] == lease.deadline for lease in self.table._leases.values())
        assert all(lock in deadlines for lock in self.table.locks.values() if lock.idle)
        assert all(revocation in deadlines for revocation in self.table._revoked.values())
        ends = {*self.table._leases.values(), *self.table.locks.values(), *self.table._revoked.values()}
        assert deadlines.keys() <= ends

    def teardown(self) -> None:
        """When everybody has gone, nothing is left behind."""
        for owner in OWNERS:
            self.table.end_session(owner, self.now)
        self.table.expire(self.now + 200 * MICROSECONDS)
        self.table.expire(self.now + 300 * MICROSECONDS)
        assert (self.table.locks, self.table._revoked, self.table.next_deadline()) == ({}, {}, None)


TestRandomRequests = RandomRequests.TestCase
TestRandomRequests.settings = settings(
    max_examples=150,
    stateful_step_count=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
