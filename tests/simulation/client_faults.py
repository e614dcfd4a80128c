"""Faults of clients and their clocks, and what operators do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockmanager.wire import Space
from tests.simulation.clockwork import MICROSECONDS
from tests.simulation.kinds import NOTICED, fault

if TYPE_CHECKING:
    from tests.simulation.client import SimClient
    from tests.simulation.node import SimNode
    from tests.simulation.world import World


@fault
def client_paused(world: World) -> bool:
    client, until = world.some_client(), world.duration()
    client.process.pause(until)
    world.trouble(client.name, None, world.now + until + NOTICED)
    return True


@fault
def client_suspended(world: World) -> bool:
    """Its machine sleeps: one clock goes on, the timers of its loop do not."""
    client, until = world.some_client(), world.duration()
    client.process.suspend(until)
    world.trouble(client.name, None, world.now + until + NOTICED)
    return True


@fault
def client_paused_between_majority_and_return(world: World) -> bool:
    client = world.some_client()
    world.pause_when_held[client.name] = world.duration()
    return False  # counted when it happens


@fault
def client_killed(world: World) -> bool:
    client = world.some_client()
    if not client.process.alive:
        return False
    connections = list(client.connections.values())
    client.kill()
    for connection in connections:
        if connection.open:
            connection.break_off(0, world.chance.choice([1_000, world.duration()]))
    world.trouble(client.name, None, world.now + NOTICED)
    world.scheduler.after(world.chance.choice([1_000, world.ttl]), client.start)
    return True


@fault
def coordinator_closed(world: World) -> bool:
    client = world.some_client()
    if client.engine is None:
        return False
    client.close()
    world.trouble(client.name, None, world.now + NOTICED)
    return True


def _cancel(world: World, *, holding: bool) -> bool:
    clients = [client for client in world.clients if client.operations]
    if not clients:
        return False
    client: SimClient = world.chance.choice(clients)
    held = any(one.client is client and one.relied_on() for one in world.holders.followed())
    if held is not holding:
        return False
    task = world.chance.choice(client.operations)
    client.process.post(task.cancel)
    return True


@fault
def cancelled_while_waiting(world: World) -> bool:
    return _cancel(world, holding=False)


@fault
def cancelled_while_holding(world: World) -> bool:
    return _cancel(world, holding=True)


@fault
def cancelled_at_some_turn(world: World) -> bool:
    """Cancel an operation right after some turn of its loop to come, whatever it is at then."""
    client = world.some_client()
    world.cancel_in_turns[client.name] = world.chance.randint(1, 40)
    return False  # counted when it happens


@fault
def wall_clock_jumps(world: World) -> bool:
    clock = world.chance.choice(world.clocks())
    clock.wall_ahead += world.chance.choice([-1, 1]) * world.chance.choice([1_000_000, 60_000_000, 3_600_000_000])
    return True


@fault
def wall_clock_drifts(world: World) -> bool:
    clock = world.chance.choice(world.clocks())
    clock.wall_drift = world.chance.uniform(-0.1, 0.1)
    return True


def _revoke(world: World, *, force: bool) -> bool:
    name = world.chance.choice(world.habits.names)
    if force:
        world.holders.outlaw(name, world.now + 2 * world.longest_ttl + 40 * MICROSECONDS)
    for node in world.nodes.values():
        if node.up:
            node.process.post(_revoke_at, world, node, name, force)
    return True


def _revoke_at(world: World, node: SimNode, name: str, force: bool) -> None:
    if force:
        world.rules.of(node.name).forced.add(name)
    node.life.context.service.revoke((Space.QUORUM, name), force=force)


@fault
def revoked(world: World) -> bool:
    return _revoke(world, force=False)


@fault
def revoked_by_force(world: World) -> bool:
    return _revoke(world, force=True)
