"""Real tables and real acquisitions under random schedules: what the protocol promises, and bugs it was shown to catch.

Each planted bug leaves one rule out; it must be found within the seeds given, or the model would prove nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from lockmanager.acquisition import Acquisition
from lockmanager.actions import Held, Phase, Send
from lockmanager.ballot import Ballot, Grant
from lockmanager.wire import Release
from lockmanager_node.lock import Lock
from lockmanager_node.table import Table
from tests.support.model_nodes import Node
from tests.support.model_parts import TTL, Wire
from tests.support.model_run import LATE, MIXED, SHAKY, Broken, World

MANY = 90
"""Runs per number of nodes of the long version; each is a few thousand steps."""


@pytest.fixture(autouse=True)
def _(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let longer ttls be lifted in the time of this model, in which a node without its disk is silent for `TTL`."""
    monkeypatch.setattr("lockmanager.acquisition.FIRST_TTL", TTL)


@pytest.mark.parametrize(
    ("nodes", "schedules"),
    [(3, 30), (5, 25), *(pytest.param(nodes, MANY, marks=pytest.mark.slow) for nodes in (3, 5))],
)
def test_no_schedule_breaks_exclusion_order_or_progress(nodes: int, schedules: int) -> None:
    seen: Counter[str] = Counter()
    promised = 0
    for seed in range(schedules):
        world = World(seed, nodes=nodes, clients=2 + seed % 4)
        promised += world.promised
        seen += world.run()
    print(f"\n{nodes} nodes, {schedules} schedules: {dict(seen)}")
    assert seen["promises kept"] == promised >= 5 * schedules
    assert min(seen[what] for what in ("lost", "apart", "split", "cancelled", "failed", "readers together")) >= (
        5 if schedules >= MANY else 1
    )


Plant = Callable[[pytest.MonkeyPatch], None]


def late_yields_are_not_answered(patch: pytest.MonkeyPatch) -> None:
    original: Any = Table._yield

    def deaf(table: Table, owner: str, request: Any, *rest: Any) -> None:
        if table.lease(request.token) is not None:
            original(table, owner, request, *rest)

    patch.setattr(Table, "_yield", deaf)


def the_echo_is_taken_when_the_frame_leaves(patch: pytest.MonkeyPatch) -> None:
    original = Node.send

    def late(node: Node, wire: Wire) -> None:
        wire.decided[0].echo = wire.newest_sent
        original(node, wire)

    patch.setattr(Node, "send", late)


def a_raise_leaves_the_exclusive_mark(patch: pytest.MonkeyPatch) -> None:
    original: Any = Table._raise

    def forgetful(table: Table, owner: str, request: Any, *rest: Any) -> None:
        marks = {key: lock.last_exclusive_fence for key, lock in table.locks.items()}
        original(table, owner, request, *rest)
        for key, mark in marks.items():
            table.locks[key].last_exclusive_fence = mark

    patch.setattr(Table, "_raise", forgetful)


def a_grant_is_inquired_once_for_all(patch: pytest.MonkeyPatch) -> None:
    original = Lock._inquire
    patch.setattr(Lock, "_inquire", lambda lock, head, lease: not lease.inquired_for and original(lock, head, lease))
    patch.setattr(Lock, "inquires_again", lambda *_: False)


def nobody_is_raised(patch: pytest.MonkeyPatch) -> None:
    def content(one: Acquisition, now: int, actions: list[Any]) -> bool:
        counted = one.ballot.counted(now)
        if len(counted) >= one.ballot.majority:
            one.phase, one.fence = Phase.HELD, max(grant.fence for grant in counted)
            actions.append(Held(one.fence))
        return one.phase is Phase.HELD

    patch.setattr(Acquisition, "_decide_won", content)


def only_granted_nodes_are_released(patch: pytest.MonkeyPatch) -> None:
    def sparing(one: Acquisition) -> list[Send]:
        if one.phase is Phase.APART:
            return []
        return [Send(vote.node, Release(one.token)) for vote in one.ballot if vote.grant is not None]

    patch.setattr(Acquisition, "_release_everywhere", sparing)


def grants_count_without_a_bound_ahead(patch: pytest.MonkeyPatch) -> None:
    def trusting(ballot: Ballot, now: int) -> list[Grant]:
        return [vote.grant for vote in ballot if vote.grant is not None]

    loss_at = vars(Acquisition)["loss_at"]

    def trusting_too(acquisition: Acquisition) -> int:
        told: int = loss_at.fget(acquisition)
        return told if acquisition.phase is Phase.HELD else 1 << 62

    patch.setattr(Ballot, "counted", trusting)
    patch.setattr(Ballot, "fresh", lambda ballot, _, now: trusting(ballot, now))
    patch.setattr(Acquisition, "loss_at", property(trusting_too))


def nobody_yields(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Acquisition, "_inquired", lambda *_: None)


@pytest.mark.parametrize(
    ("plant", "trouble", "shared", "found"),
    [
        (late_yields_are_not_answered, MIXED, 0.0, "wait for ever"),
        (the_echo_is_taken_when_the_frame_leaves, LATE, 0.0, "two holders at once|a fence went back"),
        (a_raise_leaves_the_exclusive_mark, SHAKY, 0.5, "a fence went back"),
        (a_grant_is_inquired_once_for_all, SHAKY, 0.0, "wait for ever"),
        (nobody_is_raised, SHAKY, 0.0, "a fence went back"),
        (only_granted_nodes_are_released, SHAKY, 0.0, "keeps what was released"),
        (grants_count_without_a_bound_ahead, LATE, 0.0, "two holders at once|a fence went back"),
        (nobody_yields, SHAKY, 0.0, "wait for ever"),
    ],
    ids=lambda value: value.__name__ if callable(value) else None,
)
def test_a_planted_bug_is_found(
    plant: Plant, trouble: tuple[str, ...], shared: float, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    with pytest.raises(Broken, match=found):
        run_many(trouble, shared, 380 if plant is a_grant_is_inquired_once_for_all else 0)


def run_many(trouble: tuple[str, ...], shared: float, first: int) -> None:
    for seed in range(first, 400):
        World(seed, nodes=3, clients=4, trouble=trouble, shared=shared).run()
