"""Whatever one node of three says, its coordinator raises nothing, believes no minority, and works with the others."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import strategies as st

from lockmanager import Coordinator, Lease, LockManagerError
from lockmanager.transport import Connection
from tests.support.memory_network import MemoryNetwork, time_passes

from .hostile_node import NODE, Act, HostileNode, scripts
from .loops import Stage, virtual_time
from .properties import holds

PROMPTLY = 1.0
"""Virtual seconds within which two nodes that are well give a lock nobody holds."""


Wish = tuple[float, str, dict[str, Any], float]
"""After how many seconds a lock is asked for, its name, how, and for how many seconds it is held."""


class Scene:
    """Three nodes, the first of which is hostile, and one coordinator."""

    def __init__(self, scripts: list[list[Act]]) -> None:
        self.hostile = HostileNode(scripts)
        self.network = MemoryNetwork(3, delay=0.005)

    def coordinator(self) -> Coordinator:
        honest = self.network._connect

        async def connect(client: str, node: str) -> Connection:
            return self.hostile.connect() if node == NODE else await honest(client, node)

        self.network._connect = connect  # type: ignore[method-assign]
        return self.network.coordinator("client")

    def check(self, lease: Lease) -> None:
        """A lease that is valid stands on two nodes; of the hostile one it is enough that it ever said so."""
        if not lease.valid:
            return
        token = lease._run.acquisition.token
        honest = [node.table.lease(token) for name, node in self.network.nodes.items() if name != NODE]
        standing = sum(one is not None for one in honest) + (token in self.hostile.granted)
        assert standing >= 2, f"held with {standing} grants"
        fences = [one.fence for one in honest if one is not None]
        assert max(fences) >= lease.fence, f"fence {lease.fence} stands on no honest node, there are {fences}"

    async def hold(self, lease: Lease, seconds: float) -> None:
        for _ in range(4):
            self.check(lease)
            await time_passes(seconds / 4)
        self.check(lease)
        await lease.release()

    async def grant(self, coordinator: Coordinator, wish: Wish) -> None:
        """Let a wish come true, or fail for a reason callers know."""
        later, name, how, seconds = wish
        await time_passes(later)
        try:
            lease = await coordinator.acquire(name, **how)
        except LockManagerError:
            return
        await self.hold(lease, seconds)

    async def until_the_hostile_is_gone(self) -> None:
        async with asyncio.timeout(600):
            while not self.hostile.gone:
                await time_passes(0.5)


wishes = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.01, 0.5]),
        st.sampled_from(["a", "b"]),
        st.fixed_dictionaries(
            {"ttl": st.sampled_from([1.0, 3.0, 60.0]), "wait": st.sampled_from([0, 1.0, 5.0]), "shared": st.booleans()}
        ),
        st.sampled_from([0.0, 1.0, 4.0]),
    ),
    min_size=1,
    max_size=4,
)


async def _play(scripts: list[list[Act]], wishes: list[Wish], *, alone: bool) -> None:
    scene = Scene(scripts)
    if alone:
        scene.network.nodes["node3"].crash()
    async with scene.coordinator() as coordinator:
        await time_passes(0.05)
        await asyncio.gather(*(scene.grant(coordinator, wish) for wish in wishes))
        await scene.until_the_hostile_is_gone()
        if alone:
            scene.network.nodes["node3"].start()
            await time_passes(PROMPTLY)
        async with asyncio.timeout(PROMPTLY):
            lease = await coordinator.acquire("another", ttl=1.0)
        await scene.hold(lease, 2.0)
        assert await _is_granted_by_efficiency(coordinator)
    await time_passes(70)
    assert all(node.is_empty() for name, node in scene.network.nodes.items() if name != NODE)


async def _is_granted_by_efficiency(coordinator: Coordinator) -> bool:
    async with coordinator.efficiency_lock("cheap", wait=PROMPTLY) as lease:
        return lease.valid


@holds("coordinator", virtual_time, examples=25, scripts=scripts, wishes=wishes, alone=st.booleans())
def test_no_answers_of_one_node_mislead_a_coordinator(
    stage: Stage, scripts: list[list[Act]], wishes: list[Wish], alone: bool
) -> None:
    stage.run(_play(scripts, wishes, alone=alone))
