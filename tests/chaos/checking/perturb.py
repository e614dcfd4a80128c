"""Changes a history at random, so that it may be wrong afterwards or not."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final, TypeAlias

from msgspec.structs import replace

from tests.chaos.checking.generate import TTL
from tests.chaos.checking.sites import in_order
from tests.chaos.history import Event, History

_Change: TypeAlias = Callable[[list[Event], Event, Random], list[Event]]


def perturbed(history: History, seed: int) -> History:
    """Make one to three changes."""
    chance = Random(seed)
    events = history.events
    for _ in range(chance.randint(1, 3)):
        events = in_order(chance.choice(_CHANGES)(events, chance.choice(events), chance))
    return History(events=events)


def _moved(events: list[Event], chosen: Event, chance: Random) -> list[Event]:
    by = chance.randint(-TTL, TTL)
    return [replace(event, at=event.at + by) if event is chosen else event for event in events]


def _with_another_fence(events: list[Event], chosen: Event, chance: Random) -> list[Event]:
    by = chance.choice([-2000, -1000, -1, 1, 1000, 2000])
    return [replace(event, fence=event.fence + by) if _same_lease(event, chosen) else event for event in events]


def _unreleased(events: list[Event], chosen: Event, chance: Random) -> list[Event]:
    return [event for event in events if event.kind != "release" or not _same_lease(event, chosen)]


def _longer(events: list[Event], chosen: Event, chance: Random) -> list[Event]:
    return [
        replace(event, until=event.until + TTL) if event.until and _same_lease(event, chosen) else event
        for event in events
    ]


def _exclusive(events: list[Event], chosen: Event, chance: Random) -> list[Event]:
    return [replace(event, mode="exclusive") if event.client == chosen.client else event for event in events]


def _same_lease(event: Event, chosen: Event) -> bool:
    return chosen.fence > 0 and (event.client, event.lock, event.fence) == (chosen.client, chosen.lock, chosen.fence)


_CHANGES: Final[list[_Change]] = [_moved, _with_another_fence, _unreleased, _longer, _exclusive]
