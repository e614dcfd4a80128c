"""Wall clocks that are wrong: by up to a day they cost nothing but places in line; beyond, a clear error."""

from __future__ import annotations

import pytest

from lockmanager import RequestRejected
from lockmanager.wire import Acquire, Mode, Space, Token
from tests.support.memory_network import MemoryNetwork

HOUR = 3_600 * 1_000_000
DAY = 24 * HOUR


@pytest.mark.parametrize("skew", [-365 * DAY, -23 * HOUR, 23 * HOUR])
async def test_a_client_whose_wall_clock_is_wrong_holds_locks_with_rising_fences(skew: int) -> None:
    network = MemoryNetwork(3)
    fences = []
    async with network.coordinator() as right, network.coordinator(skew=skew) as wrong:
        for coordinator in (right, wrong, right, wrong):
            async with coordinator.lock("a", ttl=1) as lease:
                fences.append(lease.fence)
    assert fences == sorted(set(fences))


async def test_a_client_more_than_a_day_ahead_is_told_to_set_its_clock() -> None:
    network = MemoryNetwork(3)
    async with network.coordinator(skew=25 * HOUR) as ahead:
        with pytest.raises(RequestRejected, match="set the clocks") as caught:
            await ahead.acquire("a")
    assert caught.value.code == "ticket"
    assert network.is_empty()


async def test_one_node_whose_clock_is_a_week_ahead_does_not_spoil_the_tickets_of_all() -> None:
    network = MemoryNetwork(3)
    ahead = network.nodes["node1"]
    ahead.crash()
    ahead.skew = 7 * DAY
    ahead.start()
    ticket = ahead.service.next_ticket()
    ahead.service.handle(
        "http", Acquire(Token("t" * 32), Space.NODE, "b", ticket, 10_000_000, Mode.EXCLUSIVE, False, "curl")
    )
    async with network.coordinator() as coordinator:
        for _ in range(3):
            async with coordinator.lock("a", ttl=1, wait=1) as lease:
                assert lease.fence < ticket
