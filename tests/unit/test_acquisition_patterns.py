"""Every pattern of what the nodes of one lock can say, and the verdict that follows, as early as it can be known.

The verdicts are worked out here from the words of the design, not with the code under test.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import product

import pytest

from lockmanager.actions import Action, Apart, Failed, Failure, Held
from lockmanager.durations import seconds
from lockmanager.wire import Release
from tests.support.acquisition_cases import KINDS, NODE_TIMEOUT, NOW, TICKET, Case, Kind, each_kind, news, sent

GRANTED, REFUSED, SILENT, QUEUED = "granted", "refused", "silent", "queued"
Pattern = tuple[str, ...]
WAIT = 2.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is decided, after how many answers (None: by time alone), and when."""

    news: Action
    answers: int | None
    at: int


def patterns(*said: str, size: int) -> list[Pattern]:
    return list(product(said, repeat=size))


def verdict_of_a_try(pattern: Pattern, majority: int, *, one_holder: bool) -> Verdict:
    """Work out what a try must come to when the nodes answer in order, at once."""
    answers = [said for said in pattern if said != SILENT]
    for heard in range(1, len(answers) + 1):
        so_far = Counter(answers[:heard])
        if so_far[GRANTED] == majority:
            return Verdict(Held(TICKET), heard, NOW)
        if len(pattern) - so_far[REFUSED] < majority:
            held_by_one = one_holder and so_far[REFUSED] >= majority
            return Verdict(Failed(Failure.HELD) if held_by_one else Apart(split=True), heard, NOW)
    cause = Failure.HELD if len(answers) >= majority else Failure.UNREACHABLE
    return Verdict(Failed(cause), None, NOW + NODE_TIMEOUT)


def play_a_try(case: Case, pattern: Pattern, *, one_holder: bool) -> Verdict:
    """Let the nodes answer in order, at once, and then time pass."""
    heard = 0
    for node, said in zip(case.nodes, pattern, strict=True):
        if said == SILENT:
            continue
        heard += 1
        actions = case.grant(node) if said == GRANTED else case.refuse(node, "bob" if one_holder else f"bob at {node}")
        if news(actions):
            return Verdict(news(actions)[0], heard, case.now)
    while not (told := news(case.wait_until(_next(case)))):
        assert case.now < NOW + 10 * NODE_TIMEOUT, f"no verdict on {pattern}"
    return Verdict(told[0], None, case.now)


def _next(case: Case) -> int:
    wakeup = case.wakeup()
    assert wakeup is not None, "nothing would ever be decided"
    return wakeup


@pytest.mark.parametrize("one_holder", [True, False], ids=["one holder", "split"])
@each_kind
def test_a_try_comes_to_the_right_verdict_at_once_in_every_pattern_of_answers(kind: Kind, one_holder: bool) -> None:
    run = 0
    for pattern in patterns(GRANTED, REFUSED, SILENT, size=kind.size):
        case = Case.trial(kind)
        expected = verdict_of_a_try(pattern, kind.majority, one_holder=one_holder)
        assert play_a_try(case, pattern, one_holder=one_holder) == expected, pattern
        run += 1
    assert run == {3: 27, 5: 243}[kind.size]


@each_kind
def test_every_verdict_but_held_releases_on_every_node(kind: Kind) -> None:
    released = 0
    for pattern in patterns(GRANTED, REFUSED, SILENT, size=kind.size):
        case = Case.trial(kind)
        actions = [case.grant(n) if said == GRANTED else case.refuse(n, "bob") for n, said in _speaking(case, pattern)]
        actions.append(case.wait(seconds(NODE_TIMEOUT)))
        flat = [action for some in actions for action in some]
        expected = set() if pattern.count(GRANTED) >= kind.majority else set(case.nodes)
        assert set(sent(flat, Release)) == expected, pattern
        released += bool(expected)
    assert released == {3: 20, 5: 192}[kind.size]


def _speaking(case: Case, pattern: Pattern) -> list[tuple[str, str]]:
    return [(node, said) for node, said in zip(case.nodes, pattern, strict=True) if said != SILENT]


@each_kind
def test_one_who_waits_is_told_at_the_deadline_whether_enough_nodes_answered(kind: Kind) -> None:
    run = 0
    for pattern in patterns(GRANTED, QUEUED, SILENT, size=kind.size):
        case = Case.waiting(kind, deadline=WAIT)
        early = [case.grant(n) if said == GRANTED else case.queue(n, "bob") for n, said in _speaking(case, pattern)]
        at_the_end = news(case.wait(WAIT))
        if pattern.count(GRANTED) >= kind.majority:
            assert [news(some) for some in early if some] == [[Held(TICKET)]], pattern
            assert at_the_end == [], pattern
        else:
            reached = len(pattern) - pattern.count(SILENT) >= kind.majority
            assert not any(early), pattern
            assert at_the_end == [Failed(Failure.TIMEOUT if reached else Failure.UNREACHABLE)], pattern
        run += 1
    assert run == {3: 27, 5: 243}[kind.size]


@each_kind
def test_one_who_waits_is_not_ended_by_silence_before_the_deadline(kind: Kind) -> None:
    case = Case.waiting(kind, deadline=WAIT)
    assert case.wait(WAIT - 0.001) == []
    assert case.wakeup() == NOW + 2_000_000


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.size == 5], ids=str)
def test_nodes_that_are_down_decide_a_try_at_once(kind: Kind) -> None:
    for down in range(kind.size + 1):
        case = Case(kind, wait=False, patient=False, live=kind.nodes[down:])
        told = news(case.start())
        assert told == ([Failed(Failure.UNREACHABLE)] if down >= kind.majority else []), down
