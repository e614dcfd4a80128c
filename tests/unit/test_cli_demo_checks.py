"""The demonstration's judge can fail: every broken promise gives its own verdict, and silence is no proof."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lockmanager.cli.demo.checks import BACK_IN_LINE, IN_LINE, Row, check
from lockmanager.cli.demo.events import (
    Ended,
    Event,
    Held,
    Lost,
    NodeKilled,
    NodeStarted,
    Paused,
    Resumed,
    Wrote,
    from_line,
    to_line,
)
from lockmanager.cli.demo.resource import Resource

SECOND = 1_000_000
WORKERS = ("A1", "A2", "B1")

EVERYONE = "every worker got the lock"
ONE_HOLDER = "one holder at a time"
FENCES = "fences strictly rising"
STALE = "stale writes refused"
TOLD = "the late worker was told of its loss"
ORDER = "order kept by ticket"
OUTAGE = "went on without a killed node"


@dataclass
class Story:
    """What the processes recorded; begins as a run in which every promise was kept."""

    events: list[Event] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)

    def hold(self, worker: str, begin: int, end: int, *, asked: int | None = None, fence: int | None = None) -> None:
        """Record a hold with its write; the time asked is the ticket, and the time of the grant is the fence."""
        asked = begin - SECOND if asked is None else asked
        fence = begin if fence is None else fence
        self.events += [
            Held(begin, worker, worker[0], asked, fence, asked),
            Wrote(end - 1, worker, fence, accepted=True, planted=False),
            Ended(end, worker, fence),
        ]
        self.rows.append((fence, worker))

    def broken(self) -> list[str]:
        """Return the promises that were not kept."""
        return [verdict.promise for verdict in check(self.events, self.rows, WORKERS) if not verdict.kept]

    def detail(self, promise: str) -> str:
        return next(verdict.detail for verdict in check(self.events, self.rows, WORKERS) if verdict.promise == promise)

    def replace(self, kind: type[Event], *others: Event) -> None:
        """Put other events in the place of all of one kind."""
        self.events = [event for event in self.events if not isinstance(event, kind)] + list(others)


@pytest.fixture
def story() -> Story:
    story = Story()
    story.hold("A1", 10 * SECOND, 11 * SECOND)
    story.events.append(NodeKilled(12 * SECOND, "node2"))
    story.hold("B1", 13 * SECOND, 14 * SECOND)
    story.events.append(NodeStarted(15 * SECOND, "node2"))
    story.hold("A2", 16 * SECOND, 17 * SECOND, asked=12 * SECOND)
    story.events += [
        Held(20 * SECOND, "B1", "B", 19 * SECOND, 20 * SECOND, 19 * SECOND),
        Paused(21 * SECOND, "B1", "B", 20 * SECOND),
    ]
    story.hold("A1", 22 * SECOND, 23 * SECOND)
    story.events += [
        Resumed(24 * SECOND, "B"),
        Wrote(24 * SECOND, "B1", 20 * SECOND, accepted=False, planted=True),
        Lost(24 * SECOND, "B1", 20 * SECOND),
    ]
    return story


def test_a_run_in_which_every_promise_was_kept_passes(story: Story) -> None:
    assert story.broken() == []


def test_no_records_prove_nothing() -> None:
    assert Story().broken() == [EVERYONE, ONE_HOLDER, FENCES, STALE, TOLD, ORDER, OUTAGE]


def test_a_worker_that_never_got_the_lock_is_named(story: Story) -> None:
    story.events = [event for event in story.events if not (isinstance(event, Held) and event.worker == "A2")]
    assert EVERYONE in story.broken()
    assert "A2" in story.detail(EVERYONE)


def test_two_holders_at_a_time_are_seen(story: Story) -> None:
    story.hold("A2", 22 * SECOND + 1, 23 * SECOND)
    assert story.broken() == [ONE_HOLDER]


def test_a_hold_whose_end_nobody_told_lasts_for_ever(story: Story) -> None:
    story.replace(Ended)
    assert ONE_HOLDER in story.broken()


def test_a_fence_that_is_granted_twice_is_seen(story: Story) -> None:
    story.hold("A2", 25 * SECOND, 26 * SECOND, fence=22 * SECOND)
    assert story.broken() == [FENCES]
    assert "as granted" in story.detail(FENCES)


def test_a_table_in_which_a_fence_went_back_is_seen(story: Story) -> None:
    story.rows[0], story.rows[1] = story.rows[1], story.rows[0]
    assert story.broken() == [FENCES]
    assert "in the table" in story.detail(FENCES)


def test_a_write_that_nobody_told_of_is_seen(story: Story) -> None:
    story.rows.append((99 * SECOND, "C1"))
    assert story.broken() == [FENCES]


def test_a_write_that_did_not_arrive_is_seen(story: Story) -> None:
    story.rows.pop()
    assert story.broken() == [FENCES]


def test_a_stale_write_that_was_accepted_is_seen(story: Story) -> None:
    story.replace(Wrote, *(event for event in story.events if isinstance(event, Wrote) and not event.planted))
    story.events.append(Wrote(24 * SECOND, "B1", 20 * SECOND, accepted=True, planted=True))
    story.rows.append((20 * SECOND, "B1"))
    assert STALE in story.broken()


def test_a_stale_write_that_says_it_was_refused_and_stands_in_the_table_is_seen(story: Story) -> None:
    story.rows.insert(3, (20 * SECOND, "B1"))
    assert STALE in story.broken()


def test_a_run_without_a_planted_stale_write_proves_nothing(story: Story) -> None:
    story.replace(Wrote, *(event for event in story.events if isinstance(event, Wrote) and not event.planted))
    assert story.broken() == [STALE]


def test_an_honest_write_that_was_refused_is_seen(story: Story) -> None:
    story.events.append(Wrote(25 * SECOND, "A2", 16 * SECOND, accepted=False, planted=False))
    assert story.broken() == [STALE]
    assert "A2" in story.detail(STALE)


def test_a_late_worker_that_was_never_told_is_seen(story: Story) -> None:
    story.replace(Lost)
    assert TOLD in story.broken()


def test_a_lease_that_somebody_else_lost_is_seen(story: Story) -> None:
    story.events.append(Lost(23 * SECOND, "A1", 22 * SECOND))
    assert story.broken() == [TOLD]


def test_somebody_who_stood_in_line_and_was_overtaken_is_seen(story: Story) -> None:
    story.hold("A2", 30 * SECOND, 31 * SECOND, asked=12 * SECOND)
    assert story.broken() == [ORDER]
    assert "A2" in story.detail(ORDER)


@pytest.mark.parametrize(("sooner", "overtaken"), [(0, False), (1, True)])
def test_only_who_certainly_stood_in_line_can_have_been_overtaken(story: Story, sooner: int, overtaken: bool) -> None:
    story.hold("A2", 30 * SECOND, 31 * SECOND, asked=29 * SECOND)
    story.events.append(Held(32 * SECOND, "A1", "A", 1, 32 * SECOND, 30 * SECOND - IN_LINE - sooner))
    assert (ORDER in story.broken()) is overtaken


@pytest.mark.parametrize(
    ("granted", "overtaken"), [(23 * SECOND, False), (24 * SECOND + BACK_IN_LINE, False), (26 * SECOND, True)]
)
def test_who_stood_still_is_in_line_again_a_while_after_it_goes_on(story: Story, granted: int, overtaken: bool) -> None:
    story.events.append(Held(granted, "A1", "A", 19 * SECOND, granted, 19 * SECOND))
    story.events.append(Held(30 * SECOND, "B1", "B", 18 * SECOND, 30 * SECOND, 20 * SECOND))
    story.events = [event for event in story.events if not (isinstance(event, Held) and event.at == 22 * SECOND)]
    assert (ORDER in story.broken()) is overtaken


def test_holders_that_never_waited_together_prove_no_order() -> None:
    story = Story()
    story.hold("A1", 10 * SECOND, 11 * SECOND, asked=10 * SECOND)
    story.hold("A2", 12 * SECOND, 13 * SECOND, asked=12 * SECOND)
    assert ORDER in story.broken()


def test_a_node_that_was_not_started_again_is_seen(story: Story) -> None:
    story.replace(NodeStarted)
    assert story.broken() == [OUTAGE]


def test_a_lock_that_stood_still_while_a_node_was_down_is_seen(story: Story) -> None:
    story.replace(NodeStarted, NodeStarted(12 * SECOND + 1, "node2"))
    assert story.broken() == [OUTAGE]


def test_a_lock_that_nobody_got_after_the_node_s_return_is_seen(story: Story) -> None:
    story.replace(NodeStarted, NodeStarted(25 * SECOND, "node2"))
    assert story.broken() == [OUTAGE]


def test_events_read_back_as_they_were_told(story: Story) -> None:
    assert [from_line(to_line(event)) for event in story.events] == story.events


@pytest.fixture
def resource(tmp_path: Path) -> Resource:
    return Resource(tmp_path / "table.sqlite")


def test_the_table_takes_rising_fences(resource: Resource) -> None:
    assert [resource.write(fence, "A1") for fence in (1, 5, 6)] == [True, True, True]
    assert resource.rows() == [(1, "A1"), (5, "A1"), (6, "A1")]
    resource.close()


@pytest.mark.parametrize("stale", [4, 5])
def test_the_table_refuses_a_fence_that_is_not_larger(resource: Resource, stale: int) -> None:
    resource.write(5, "A1")
    assert resource.write(stale, "B1") is False
    assert resource.rows() == [(5, "A1")]
    resource.close()


def test_the_table_refuses_what_is_stale_through_another_connection(tmp_path: Path, resource: Resource) -> None:
    other = Resource(tmp_path / "table.sqlite")
    other.write(5, "A1")
    assert resource.write(4, "B1") is False
    other.close()
    resource.close()
