"""Faults of nodes: processes, machines and disks that die, stand still, or are slow."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tests.simulation.clockwork import MICROSECONDS
from tests.simulation.disk import FAST
from tests.simulation.kinds import NOTICED, fault

if TYPE_CHECKING:
    from tests.simulation.network import Connection
    from tests.simulation.node import SimNode
    from tests.simulation.world import World


def _down_for(world: World, node: SimNode) -> None:
    """Let it be started again after a while, and let every way to it be trouble until then."""
    after = world.chance.choice([1_000, 100_000, world.ttl // 2, 2 * world.ttl])
    world.trouble(None, node.name, world.now + after + NOTICED)
    world.scheduler.after(after, partial(world.restart, node))


def _reset_sessions(world: World, node: SimNode, connections: list[Connection], *, silent: bool) -> None:
    """Let the clients of a dead process learn of it: soon by a reset, or late when its machine is gone too."""
    for connection in connections:
        after = world.duration() if silent else world.chance.randrange(5_000)
        world.trouble(connection.client, node.name, world.now + after + NOTICED)
        world.scheduler.after(after, connection.client_notices)


def _kill(world: World, node: SimNode, *, silent: bool = False) -> None:
    connections = list(node.connections)
    node.kill()
    _reset_sessions(world, node, connections, silent=silent)
    _down_for(world, node)


def _kill_one(world: World, nodes: list[SimNode]) -> bool:
    """Kill one of these that may die; returns whether one did."""
    node = world.chance.choice(nodes) if nodes else None
    if node is None or not world.memory.may_crash(node):
        return False
    _kill(world, node)
    return True


@fault
def node_crash_with_journal(world: World) -> bool:
    node = world.some_mortal_node()
    if node is None:
        return False
    _kill(world, node)
    return True


@fault
def node_crash_without_journal(world: World) -> bool:
    node = world.some_live_node(journal=False)
    if node is None or not world.memory.may_forget(node):
        return False
    _kill(world, node)
    return True


@fault
def node_crash_amid_a_commit(world: World) -> bool:
    return _kill_one(world, [node for node in world.nodes.values() if node.up and node.commits_now])


@fault
def every_node_crashes(world: World) -> bool:
    if not all(node.disk is not None and world.memory.may_crash(node) for node in world.nodes.values()):
        return False
    for node in world.nodes.values():
        if node.up:
            _kill(world, node)
    return True


@fault
def machine_reboots(world: World) -> bool:
    node = world.some_mortal_node()
    if node is None:
        return False
    connections = list(node.connections)
    node.lose_power()
    _reset_sessions(world, node, connections, silent=True)
    _down_for(world, node)
    return True


@fault
def unsynced_tail_lost(world: World) -> bool:
    nodes = [one for one in world.nodes.values() if one.up and one.disk and one.disk.synced < len(one.disk.batches)]
    node = world.chance.choice(nodes) if nodes else None
    if node is None or not world.memory.may_crash(node):
        return False
    connections = list(node.connections)
    lost = node.lose_power()
    assert node.disk is not None
    lost += len(node.disk.batches) - node.disk.synced
    del node.disk.batches[node.disk.synced :]
    _reset_sessions(world, node, connections, silent=True)
    _down_for(world, node)
    return lost > 0  # what was being committed may have saved all before it


@fault
def disk_lost(world: World) -> bool:
    node = world.some_live_node(journal=True)
    if node is None or not world.memory.may_forget(node):
        return False
    connections = list(node.connections)
    node.lose_disk()
    _reset_sessions(world, node, connections, silent=False)
    _down_for(world, node)
    return True


@fault
def rejoin_interrupted(world: World) -> bool:
    return _kill_one(world, [node for node in world.nodes.values() if node.up and node.table.silent])


@fault
def node_restarted_in_good_order(world: World) -> bool:
    node = world.some_mortal_node()
    if node is None:
        return False
    connections = list(node.connections)
    _reset_sessions(world, node, connections, silent=False)
    node.stop(partial(_down_for, world, node))
    world.trouble(None, node.name, world.now + 3 * world.ttl + NOTICED)
    return True


@fault
def node_down_for_ever(world: World) -> bool:
    node = world.some_live_node(journal=True)
    if node is None or not world.memory.may_be_given_up(node):
        return False
    connections = list(node.connections)
    node.kill()
    _reset_sessions(world, node, connections, silent=world.chance.random() < 0.5)
    world.trouble(None, node.name, world.end_of_time)
    return True


@fault
def node_paused(world: World) -> bool:
    node = world.some_live_node()
    if node is None:
        return False
    until = world.duration()
    node.process.pause(until)
    world.trouble(None, node.name, world.now + until + NOTICED)
    return True


@fault
def commits_slow(world: World) -> bool:
    """Let commits take up to half a second for a while; counted with the first of them."""
    node = world.some_live_node(journal=True)
    if node is None or node.disk is None:
        return False
    disk, until = node.disk, world.duration()
    disk.slow = world.chance.choice([50_000, 500_000])
    disk.awaits("commits slow")
    world.trouble(None, node.name, world.now + until + NOTICED)
    world.scheduler.after(until, lambda: setattr(disk, "slow", FAST))
    return False


@fault
def disk_full(world: World) -> bool:
    """Let commits fail, until the node that gave up is started again; counted with the first of them."""
    node = world.some_mortal_node()
    if node is None or node.disk is None:
        return False
    disk = node.disk
    disk.fails = True
    disk.awaits("disk full")
    world.trouble(None, node.name, world.now + 4 * world.ttl + NOTICED)

    def freed() -> None:
        disk.fails = False
        world.restart(node)

    world.scheduler.after(world.chance.choice([world.ttl, 3 * world.ttl]), freed)
    return False


@fault
def disk_hangs(world: World) -> bool:
    """Let a commit never end: the node gives up after half a minute, and is started again; counted with the commit."""
    node = world.some_mortal_node()
    if node is None or node.disk is None:
        return False
    disk = node.disk
    disk.hangs = True
    disk.awaits("disk hangs")
    world.trouble(None, node.name, world.now + 60 * MICROSECONDS)

    def works_again() -> None:
        disk.hangs = False
        if node.up and node.commits_now:
            _kill(world, node)
        world.restart(node)

    world.scheduler.after(world.chance.choice([world.ttl, 35 * MICROSECONDS]), works_again)
    return False
