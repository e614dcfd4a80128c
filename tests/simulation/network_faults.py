"""Faults of the network: sessions that break, and ways that delay or lead nowhere."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tests.simulation.clockwork import MICROSECONDS
from tests.simulation.kinds import NOTICED, fault

if TYPE_CHECKING:
    from tests.simulation.network import Connection, Way
    from tests.simulation.world import World


def _open_connection(world: World) -> Connection | None:
    found = [one for client in world.clients for one in client.connections.values() if one.open]
    return world.chance.choice(found) if found else None


def _connection(world: World, client: str, node: str, until: int) -> None:
    world.trouble(client, node, until + NOTICED)


def _break(world: World, client_after: int, node_after: int) -> bool:
    connection = _open_connection(world)
    if connection is None:
        return False
    _connection(world, connection.client, connection.node.name, world.now + max(client_after, node_after))
    connection.break_off(client_after, node_after)
    return True


@fault
def session_breaks(world: World) -> bool:
    return _break(world, world.chance.randrange(5_000), world.chance.randrange(5_000))


@fault
def session_break_noticed_late_by_client(world: World) -> bool:
    return _break(world, world.duration(), world.chance.randrange(5_000))


@fault
def session_break_noticed_late_by_node(world: World) -> bool:
    return _break(world, world.chance.randrange(5_000), world.duration())


def _lose(world: World, *, up: bool) -> bool:
    """Let the next frame be lost, and the session break later; counted when there is a frame to lose."""
    connection = _open_connection(world)
    if connection is None:
        return False
    late = world.duration()
    if up:
        connection.lose_next_up = True
    else:
        connection.lose_next_down = True
    _connection(world, connection.client, connection.node.name, world.now + 2 * late)

    def notice() -> None:
        connection.break_off(0, world.chance.randrange(late + 1))

    world.scheduler.after(late, notice)
    return False


@fault
def request_lost(world: World) -> bool:
    return _lose(world, up=True)


@fault
def reply_lost(world: World) -> bool:
    return _lose(world, up=False)


@fault
def message_delayed(world: World) -> bool:
    """Let the next frame come late; counted when there is one."""
    client, node = world.some_client(), world.some_node()
    ways = [(client.name, node.name), (node.name, client.name)]
    source, target = world.chance.choice(ways)
    spike = world.duration()
    world.network.way(source, target).spike = spike
    world.trouble(client.name, node.name, world.now + 2 * spike + NOTICED)
    return False


@fault
def way_slow(world: World) -> bool:
    client, node = world.some_client(), world.some_node()
    until = world.duration()
    extra = world.chance.choice([5_000, 50_000, world.ttl // 4])
    for way in (world.network.way(client.name, node.name), world.network.way(node.name, client.name)):
        way.jitter += extra
        world.scheduler.after(until, partial(_faster, way, extra))
    world.trouble(client.name, node.name, world.now + until + 2 * extra)
    return True


def _faster(way: Way, extra: int) -> None:
    way.jitter -= extra


def _partition(world: World, ways: list[tuple[str, str]], until: int) -> bool:
    for source, target in ways:
        world.block(source, target, until)
    return bool(ways)


def _both_ways(one: str, other: str) -> list[tuple[str, str]]:
    return [(one, other), (other, one)]


@fault
def partition_symmetric(world: World) -> bool:
    client, node = world.some_client(), world.some_node()
    return _partition(world, _both_ways(client.name, node.name), world.duration())


@fault
def partition_of_requests_only(world: World) -> bool:
    return _partition(world, [(world.some_client().name, world.some_node().name)], world.duration())


@fault
def partition_of_replies_only(world: World) -> bool:
    return _partition(world, [(world.some_node().name, world.some_client().name)], world.duration())


@fault
def partition_partial(world: World) -> bool:
    """Some clients are cut off from some nodes, each from others."""
    until = world.duration()
    ways = [
        way
        for client in world.clients
        for node in world.nodes.values()
        if world.chance.random() < 0.4
        for way in _both_ways(client.name, node.name)
    ]
    return _partition(world, ways, until)


@fault
def client_reaches_a_minority_only(world: World) -> bool:
    client = world.some_client()
    nodes = list(world.nodes)
    cut = world.chance.sample(nodes, len(nodes) // 2 + 1)
    return _partition(world, [way for node in cut for way in _both_ways(client.name, node)], world.duration())


@fault
def node_isolated(world: World) -> bool:
    node = world.some_node()
    everybody = [*(client.name for client in world.clients), *(one for one in world.nodes if one != node.name)]
    return _partition(world, [way for one in everybody for way in _both_ways(one, node.name)], world.duration())


@fault
def nodes_cut_off_from_each_other(world: World) -> bool:
    if len(world.nodes) < 2:
        return False
    one, other = world.chance.sample(list(world.nodes), 2)
    return _partition(world, _both_ways(one, other), world.duration())


@fault
def way_flaps(world: World) -> bool:
    client, node = world.some_client(), world.some_node()
    period = world.chance.choice([20_000, 200_000, MICROSECONDS])
    for turn in range(world.chance.randint(3, 8)):
        planned = partial(_partition, world, _both_ways(client.name, node.name), period // 2)
        world.scheduler.after(turn * period, lambda planned=planned: planned() and None)  # type: ignore[misc]
    return True
