"""A process that stood still past its lease, and goes on as if nothing had happened, learns it when its block ends."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from lockmanager import Coordinator, LeaseLost
from lockmanager.clock import SystemClock
from lockmanager.durations import MICROSECONDS
from lockmanager.testing import LocalCluster


class SkippingClock(SystemClock):
    """The machine's clock, which a test lets jump as if this process had not run meanwhile."""

    def __init__(self) -> None:
        self.skipped = 0

    def now(self) -> int:
        return super().now() + self.skipped


@pytest.fixture
def clock() -> SkippingClock:
    return SkippingClock()


@pytest.fixture
async def coordinator(clock: SkippingClock) -> AsyncIterator[Coordinator]:
    async with LocalCluster(3) as local, local.coordinator(clock=clock) as coordinator:
        yield coordinator


async def test_a_lease_is_not_valid_from_the_moment_its_time_is_over(
    coordinator: Coordinator, clock: SkippingClock
) -> None:
    async with coordinator.lock("outlived", ttl=1, on_lost="signal") as lease:
        lease.check()
        clock.skipped = 2 * MICROSECONDS
        assert not lease.valid
        with pytest.raises(LeaseLost, match="its validity has ended"):
            lease.check()


async def test_a_block_that_ends_after_its_lease_raises_even_if_nothing_else_ran_in_between(
    coordinator: Coordinator, clock: SkippingClock
) -> None:
    with pytest.raises(LeaseLost):
        async with coordinator.lock("outlived", ttl=1) as lease:
            clock.skipped = 2 * MICROSECONDS
    assert lease.lost.is_set()


async def test_such_a_block_s_own_error_is_not_hidden(coordinator: Coordinator, clock: SkippingClock) -> None:
    async def block() -> None:
        async with coordinator.lock("outlived", ttl=1):
            clock.skipped = 2 * MICROSECONDS
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await block()


async def test_a_signalled_block_learns_it_by_the_event_alone(coordinator: Coordinator, clock: SkippingClock) -> None:
    async with coordinator.lock("outlived", ttl=1, on_lost="signal") as lease:
        clock.skipped = 2 * MICROSECONDS
    assert lease.lost.is_set()


async def test_a_later_lease_has_the_larger_ticket(coordinator: Coordinator) -> None:
    async with coordinator.lock("first") as first, coordinator.lock("second") as second:
        assert 0 < first.ticket < second.ticket
