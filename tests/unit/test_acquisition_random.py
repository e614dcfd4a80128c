"""Any sequence of answers, sessions and instants: what may never follow, whatever the nodes say."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from copy import deepcopy
from typing import ClassVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from lockmanager.actions import FIRST_TTL, Apart, Failed, Held, Lost, Send
from lockmanager.ballot import Link
from lockmanager.durations import MICROSECONDS
from lockmanager.wire import Acquire, Mode, Release, Token
from tests.support.acquisition_cases import NODE_TIMEOUT, TICKET, TTL, Actions, Case, Kind, bound

NODES = st.integers(0, 4)
FENCES = st.integers(TICKET, TICKET + 3)
TTLS = st.sampled_from([MICROSECONDS, TTL, 30 * MICROSECONDS, 90 * MICROSECONDS])
PAUSES = st.sampled_from([0, 0, 0, 1, 1_000, NODE_TIMEOUT, MICROSECONDS, 4 * MICROSECONDS, 40 * MICROSECONDS])


class AnyEvents(RuleBasedStateMachine):
    """Events at random, each followed by a look at everything that must hold."""

    seen: ClassVar[Counter[str]] = Counter()

    @initialize(
        mode=st.sampled_from(list(Mode)),
        size=st.sampled_from([1, 3, 5]),
        ttl=TTLS,
        wait=st.booleans(),
        patient=st.sampled_from([True, True, False]),
        deadline=st.sampled_from([None, None, 60.0]),
    )
    def begin(self, mode: Mode, size: int, ttl: int, wait: bool, patient: bool, deadline: float | None) -> None:
        self.case = Case(Kind(mode, size), ttl=ttl, wait=wait, patient=patient, deadline=deadline)
        self.asked: set[Token] = set()
        self.released: dict[Token, set[str]] = defaultdict(set)
        self.told: list[type] = []
        self.proved: dict[str, int] = {}
        self.look(self.case.start())

    # Events

    @rule(node=NODES, fence=FENCES, ttl=TTLS, late=PAUSES, resent=st.booleans())
    def granted(self, node: int, fence: int, ttl: int, late: int, resent: bool) -> None:
        echo = self.case.now - late
        name = self.name(node)
        if not resent:
            self.note_proof(name, echo, ttl)
        self.look(self.case.grant(name, fence=fence, ttl=ttl, echo=echo, resent=resent))

    @rule(node=NODES, fence=FENCES, ttl=TTLS)
    def a_yielded_grant_is_told_again(self, node: int, fence: int, ttl: int) -> None:
        vote = self.case.acquisition.ballot[self.name(node)]
        if vote.grant is not None:
            self.look(self.case.inquire(vote.node, vote.grant.grant_id))
        if vote.yielded is not None:
            self.seen["told again"] += 1
            self.look(self.case.grant(vote.node, fence=fence, ttl=ttl, resent=True, grant_id=vote.yielded))

    @rule(fence=FENCES, how_many=NODES)
    def granted_by_many(self, fence: int, how_many: int) -> None:
        for node in self.case.nodes[: how_many + 1]:
            self.note_proof(node, self.case.now, min(self.case.acquisition.ttl, TTL))
            self.look(self.case.grant(node, fence=fence, ttl=min(self.case.acquisition.ttl, TTL)))

    @rule(node=NODES, ttl=TTLS, late=PAUSES)
    def renewed(self, node: int, ttl: int, late: int) -> None:
        before, name = self.bounds()[self.name(node)], self.name(node)
        self.note_proof(name, self.case.now - late, ttl)
        self.look(self.case.renewed(name, ttl=ttl, echo=self.case.now - late))
        after = self.bounds()[name]
        first = bound(self.case.now - late, min(ttl, FIRST_TTL))
        assert after == before or (after is not None and after >= max(first, before or first))

    @rule(node=NODES, word=st.sampled_from(["lost", "lost", "queue", "queue", "refuse", "revoked", "reject"]))
    def said(self, node: int, word: str) -> None:
        say: Callable[[str], Actions] = getattr(self.case, word)
        self.look(say(self.name(node)))

    @rule(node=NODES, stale=st.booleans())
    def inquired(self, node: int, stale: bool) -> None:
        name = self.name(node)
        known = (7, 0) if stale or name not in self.case.grants else self.case.grants[name]
        self.look(self.case.inquire(name, known))

    @rule(node=NODES, fence=FENCES)
    def raised(self, node: int, fence: int) -> None:
        self.look(self.case.raised(self.name(node), fence))

    @rule(node=NODES, link=st.sampled_from([*[Link.LIVE] * 5, *[Link.DOWN] * 2, Link.REFUSED]))
    def session(self, node: int, link: Link) -> None:
        self.look(self.case.link(self.name(node), link))

    @rule(pause=PAUSES)
    def time_passes(self, pause: int) -> None:
        self.look(self.case.wait_until(self.case.now + pause))

    @rule()
    def sleep_until_woken(self) -> None:
        wakeup = self.case.wakeup()
        if wakeup is not None:
            self.look(self.case.wait_until(max(wakeup, self.case.now)))

    @rule(pause=PAUSES)
    def time_passes_unnoticed(self, pause: int) -> None:
        self.case.now += pause

    @rule()
    def renewal_is_due(self) -> None:
        if self.case.phase in ("WAITING", "HELD"):
            self.look(self.case.acquisition.renew())

    @rule()
    def start_again(self) -> None:
        if self.case.acquisition.wants_start():
            self.look(self.case.start())

    @rule(often=st.integers(0, 9))
    def cancelled(self, often: int) -> None:
        if often == 0:
            self.look(self.case.acquisition.release())

    # What must hold

    def note_proof(self, node: str, echo: int, ttl: int) -> None:
        self.proved[node] = max(self.proved.get(node, 0), bound(echo, ttl))

    @invariant()
    def no_bound_is_later_than_what_the_node_has_proved(self) -> None:
        for node, until in self.bounds().items():
            assert until is None or until <= self.proved[node]

    def name(self, node: int) -> str:
        return self.case.nodes[node % len(self.case.nodes)]

    def bounds(self) -> dict[str, int | None]:
        return {vote.node: vote.grant.bound if vote.grant else None for vote in self.case.acquisition.ballot}

    def look(self, actions: Actions) -> None:
        """Take note of what followed, and refuse what may not."""
        told = self.told[-1] if self.told else None
        assert told is not Failed or not actions, "something came after the end"
        assert told is not Lost or self.only_releases(actions), "more than releases came after the loss"
        for action in actions:
            if isinstance(action, Send):
                self.note_message(action)
            else:
                self.note_news(action)

    def only_releases(self, actions: Actions) -> bool:
        return all(isinstance(action, Send) and isinstance(action.message, Release) for action in actions)

    def note_message(self, send: Send) -> None:
        message = send.message
        if isinstance(message, Release):
            assert send.node not in self.released[message.token], "released twice"
            self.released[message.token].add(send.node)
            return
        assert message.token == self.case.token
        assert message.token not in self.released, "sent after the release"
        if isinstance(message, Acquire):
            self.asked.add(message.token)

    def note_news(self, action: Held | Failed | Lost | Apart) -> None:
        if isinstance(action, Held):
            assert Held not in self.told
            self.stands_on_a_majority(action.fence)
        elif isinstance(action, Lost):
            assert Held in self.told
        else:
            assert Held not in self.told
        self.told.append(type(action))
        self.seen[type(action).__name__] += 1

    def stands_on_a_majority(self, fence: int) -> None:
        grants = [vote.grant for vote in self.case.acquisition.ballot if vote.grant is not None]
        ahead = [grant for grant in grants if grant.bound is not None and grant.bound > self.case.now]
        assert sum(grant.fence == fence for grant in ahead) >= self.case.kind.majority
        assert max(grant.fence for grant in ahead) == fence

    @invariant()
    def every_token_asked_for_and_given_up_is_released_everywhere(self) -> None:
        given_up = self.asked if self.case.phase in ("APART", "OVER") else self.asked - {self.case.token}
        for token in given_up:
            assert self.released[token] == set(self.case.nodes)

    @invariant()
    def waking_up_is_never_for_nothing(self) -> None:
        wakeup = self.case.wakeup()
        if wakeup is not None and wakeup <= self.case.now:
            assert deepcopy(self.case).wait_until(self.case.now), "a wake-up in the past changed nothing: a busy loop"

    @invariant()
    def a_yielded_grant_is_not_recorded(self) -> None:
        for vote in self.case.acquisition.ballot:
            assert vote.grant is None or vote.grant.grant_id != vote.yielded


def test_no_sequence_of_events_breaks_what_must_hold() -> None:
    AnyEvents.seen.clear()
    run_state_machine_as_test(
        AnyEvents,
        settings=settings(max_examples=250, stateful_step_count=40, deadline=None, derandomize=True, database=None),
    )
    assert min(AnyEvents.seen[kind.__name__] for kind in (Held, Lost, Failed, Apart)) >= 20, AnyEvents.seen
    assert AnyEvents.seen["told again"] >= 20, AnyEvents.seen
