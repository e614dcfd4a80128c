"""A channel keeps its session alive, whatever goes wrong with it."""

from __future__ import annotations

import asyncio
import logging

import pytest

from lockmanager.wire import Acquire, Mode, Space, Token
from tests.support.memory_network import MemoryNetwork, time_passes

pytestmark = pytest.mark.looptime


async def test_a_fault_while_answers_are_applied_ends_the_session_and_not_the_channel(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = MemoryNetwork(1)
    async with network.coordinator() as coordinator:
        engine = coordinator.engine
        with monkeypatch.context() as fault, caplog.at_level(logging.ERROR):
            fault.setattr(engine, "on_answers", lambda *_: 1 // 0)
            with pytest.raises(asyncio.TimeoutError):
                async with asyncio.timeout(0.5):
                    await coordinator.acquire("a")
        assert "session_failed node=node1" in caplog.text
        async with coordinator.lock("a", wait=2):
            pass


async def test_frames_that_are_no_frames_end_the_session_which_comes_back() -> None:
    network = MemoryNetwork(1)
    async with network.coordinator() as coordinator:
        async with coordinator.lock("a", wait=2):
            pass
        network.nodes["node1"].connections[0].inbox.put_nowait(b"\xc1 garbage")
        await time_passes(0.001)
        (_, cause) = coordinator.engine.links(["node1"])["node1"]
        assert "not a frame of protocol 1" in cause
        async with coordinator.lock("a", wait=2):
            pass


async def test_an_idle_coordinator_sends_nothing() -> None:
    network = MemoryNetwork(3)
    async with network.coordinator() as coordinator:
        async with coordinator.lock("a"):
            pass
        before = network.frames
        await time_passes(60)
        assert network.frames == before


@pytest.mark.parametrize(("ttl", "beats"), [(10.0, 1.0), (2.0, 0.4), (0.5, 0.1)])
async def test_a_session_that_waits_beats_once_a_second_or_five_times_a_ttl(ttl: float, beats: float) -> None:
    network = MemoryNetwork(1)
    async with network.coordinator() as holder, network.coordinator() as waiting:
        lease = await holder.acquire("a", ttl=30)
        task = asyncio.create_task(waiting.acquire("a", ttl=ttl))
        await time_passes(0.05)
        before = network.frames
        await time_passes(20 * beats)
        sent_and_answered = network.frames - before
        holders_share = 2 * (20 * beats) * 1.1 + 4
        assert 2 * 20 - 4 <= sent_and_answered <= 2 * 20 + holders_share + 4
        await lease.release()
        await (await task).release()


async def test_a_grant_nobody_asked_for_any_more_is_given_back() -> None:
    network = MemoryNetwork(1)
    node = network.nodes["node1"]
    async with network.coordinator() as coordinator:
        async with coordinator.lock("a"):
            pass
        session = node.connections[0].session
        assert session is not None
        late = Acquire(Token("L" * 32), Space.QUORUM, "late", 1, 10_000_000, Mode.EXCLUSIVE, True, "late")
        node.service.handle(session.peer.owner, late)
        assert not network.is_empty()
        await time_passes(3 * network.delay)
        assert network.is_empty()
