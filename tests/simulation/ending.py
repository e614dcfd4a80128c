"""The end of a run: a majority is healed and no more, everybody must get every lock, and nothing may be left behind."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from lockmanager.ballot import Link
from tests.simulation.clockwork import MICROSECONDS, NEVER
from tests.simulation.disk import FAST

if TYPE_CHECKING:
    from tests.simulation.client import SimClient
    from tests.simulation.node import SimNode
    from tests.simulation.world import World

_SILENCE: Final = 30 * MICROSECONDS
_REST: Final = 3 * MICROSECONDS
_IDLE_RUNS: Final = 0.4
"""How many runs end with a long time in which nothing happens."""

_IDLE: Final = 65 * MICROSECONDS
"""A name that nobody used for a minute is forgotten."""


class Ending:
    """Heals, demands, and looks at what is left."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._left_out = self._draw_left_out()
        self._missing: set[tuple[str, str]] = set()

    def _draw_left_out(self) -> set[str]:
        """Return which nodes stay away: as many as may, those that forgot before others, or only those that must."""
        world, memory = self._world, self._world.memory
        left_out = set(memory.given_up)
        if world.faultless:
            return left_out
        if world.chance.random() < 0.5:
            forgetful = sorted(memory.forgetful)
            others = [node for node in world.nodes if node not in forgetful]
            world.chance.shuffle(others)
            for node in [*forgetful, *others]:
                if len(left_out) < memory.may_fail:
                    left_out.add(node)
        return left_out

    def run(self) -> None:
        """Run to the end."""
        world = self._world
        self._heal()
        names = [(client, name) for client in world.clients for name in world.habits.names]
        self._missing = {(client.name, name) for client, name in names}
        world.scheduler.after(MICROSECONDS, partial(self._demand, names))
        limit = self._calm_at() + self._patience()
        world.scheduler.run(limit, done=lambda: not self._missing and not self._busy())
        late = [*map(str, sorted(self._missing)), *(client.name for client in self._busy())]
        world.findings.check(
            "progress after healing", not late, "nothing for", late, "with", sorted(self._left_out), "left out"
        )
        world.scheduler.run(self._calm_at() + _REST * self._slowness)
        for client in world.clients:
            self._look_for_leaks(client)
            self._look_for_traces(client)
        if world.chance.random() < _IDLE_RUNS:
            self._stay_idle()

    def _stay_idle(self) -> None:
        """Let so much time pass that every lease, release and mark of the run is over."""
        world = self._world
        idle = _SILENCE + _IDLE + 2 * world.longest_ttl
        world.scheduler.run(self._calm_at() + idle * self._slowness)
        for client in world.clients:
            self._look_at_releases(client)
        for node in world.nodes.values():
            if node.name not in self._left_out:
                self._look_at_baseline(node)

    def _calm_at(self) -> int:
        """Return when the last of the processes that stand still goes on, and what is under way has arrived."""
        world = self._world
        return max(world.now, world.network.quiet_at, *(process.paused_until for process in world.processes()))

    def _patience(self) -> int:
        """Return how long everybody may wait: leases of the dead end, silences end, and the line is served."""
        world = self._world
        workers = 4 * len(world.clients)
        rejoins = 3 * _SILENCE + 60 * MICROSECONDS
        return self._slowness * (rejoins + 6 * world.longest_ttl + workers * (5 * MICROSECONDS + world.ttl))

    @property
    def _slowness(self) -> int:
        """How much longer everything may take when clocks run slower than they may."""
        return 1 if self._world.trusted else 3

    def _busy(self) -> list[SimClient]:
        return [client for client in self._world.clients if client.operations or self._runs(client)]

    @staticmethod
    def _runs(client: SimClient) -> bool:
        return client.engine is not None and bool(client.engine._alive)

    # Healing

    def _heal(self) -> None:
        world = self._world
        world.pause_when_held.clear()
        world.cancel_in_turns.clear()
        well = [name for name in world.nodes if name not in self._left_out]
        places = [*well, *(client.name for client in world.clients)]
        for source in places:
            for target in places:
                world.network.way(source, target).spike = 0
                world.network.open(source, target)
        for name in self._left_out:
            world.trouble(None, name, NEVER)
            for place in [*world.nodes, *(client.name for client in world.clients)]:
                world.network.block(name, place)
                world.network.block(place, name)
        for name in well:
            node = world.nodes[name]
            if node.disk is not None:
                node.disk.slow, node.disk.fails = FAST, False
            world.restart(node)
        world.end_of_time = world.now
        for client in world.clients:
            client.works = False

    def _demand(self, names: list[tuple[SimClient, str]]) -> None:
        for client, name in names:
            client.demand(name, partial(self._missing.discard, (client.name, name)))

    # What is left

    def _look_for_leaks(self, client: SimClient) -> None:
        findings, engine = self._world.findings, client.engine
        if engine is None:
            findings.break_("no leak", client.name, "has no coordinator")
            return
        left = [*engine._alive, *engine._runs, *engine.confirmations._waiting]
        findings.check("no leak", not left and not len(engine.renewals), client.name, "keeps", left)
        expected = 1 + client.workers + len(engine._channels)
        findings.check("no leak", client.tasks() <= expected, client.name, "has", client.tasks(), "tasks")
        timers, own = client.process.loop.timers(), len(engine._channels) + 2  # connecting; renewals; confirmations
        findings.check("no leak", timers <= own, client.name, "has", timers, "timers")

    def _look_for_traces(self, client: SimClient) -> None:
        """No node it talks to keeps a lease of it, or a place in a line, now that it wants nothing.

        What a node remembers from an earlier life may have been released: that is not synced, and ends by its ttl. So
        does what a node granted late, when the request had been given up for longer than its ttl.
        """
        for name, channel in client.engine._channels.items() if client.engine else ():
            node = self._world.nodes[name]
            if name in self._left_out or channel.link is not Link.LIVE or not node.grants:
                continue
            if not self._world.no_trace_of_trouble(client.name, name):
                continue
            locks = node.table.locks.values()
            leases = [one for lock in locks for one in lock.leases.values() if one.incarnation == node.incarnation]
            known = [*(lease.waiter for lease in leases), *(waiter for lock in locks for waiter in lock.line)]
            found = [one for one in known if one.token in client.tokens]
            self._world.findings.check("no leak", not found, name, "keeps", found, "of", client.name)

    def _look_at_releases(self, client: SimClient) -> None:
        assert client.engine is not None
        for node, channel in client.engine._channels.items():
            if node not in self._left_out:
                kept = len(channel._releases)
                self._world.findings.check("no leak", kept == 0, client.name, "still releases at", node)

    def _look_at_baseline(self, node: SimNode) -> None:
        table, findings = node.table, self._world.findings
        findings.check("memory back to baseline", node.grants, node.name, "does not serve")
        left = (table.lease_count, table.waiter_count, len(table.locks), len(table._waiting), len(table._revoked))
        words = (node.name, "keeps leases, waiters, locks, tokens of who waits and of revoked:", left)
        findings.check("memory back to baseline", not any(left), *words)
        findings.check("memory back to baseline", table.next_deadline() is None, node.name, "has a deadline left")
