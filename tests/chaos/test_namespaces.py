"""Parties of a network reach each other until a way is blocked, and then in the other direction only."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from tests.chaos import namespaces
from tests.chaos.namespaces import CommandFailed, Network, connect, missing_namespaces, run
from tests.chaos.undertaker import Undertaker

_PARTIES = ("node1", "node2", "client1")
_SHORT = 0.3
"""Seconds for a connection that is expected to fail: silence has no other sign."""


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    if (reason := missing_namespaces()) is not None:
        pytest.skip(reason)
    with Undertaker() as undertaker:
        network = Network(undertaker)
        for party in _PARTIES:
            network.add(party)
        yield network


@contextmanager
def _listening(network: Network, party: str) -> Iterator[tuple[str, int]]:
    """Listen as a party; the listener is made in a thread that has entered the namespace."""

    def listen() -> socket.socket:
        namespaces.enter(network.namespace(party))
        return socket.create_server((network.address(party), 0))

    with ThreadPoolExecutor(1) as thread:
        listener = thread.submit(listen).result()
    with listener:
        yield listener.getsockname()


def _reaches(network: Network, party: str, address: tuple[str, int], within: float = 5.0) -> bool:
    try:
        connect(network.namespace(party), address, within).close()
    except TimeoutError:
        return False
    return True


def test_parties_reach_each_other_and_nobody_outside_reaches_them(network: Network) -> None:
    with _listening(network, "node1") as address:
        assert _reaches(network, "node2", address)
        assert _reaches(network, "client1", address)
        with pytest.raises(OSError):
            connect(None, address, _SHORT)


def test_a_blocked_way_is_silent_and_other_ways_are_open(network: Network) -> None:
    with _listening(network, "node1") as address:
        network.block([("node2", "node1")])
        assert not _reaches(network, "node2", address, _SHORT)
        assert _reaches(network, "client1", address)
        network.open([("node2", "node1")])
        assert _reaches(network, "node2", address)
    assert network.rules("node1") == []


def test_a_way_can_be_blocked_in_one_direction_only(network: Network) -> None:
    network.block([("node2", "node1")])
    assert (len(network.rules("node1")), network.rules("node2")) == (1, [])
    network.open([("node2", "node1")])


def test_a_way_blocked_twice_opens_when_both_blocks_are_gone(network: Network) -> None:
    with _listening(network, "node1") as address:
        for _ in range(2):
            network.block([("node2", "node1"), ("client1", "node1")])
        network.open([("node2", "node1"), ("client1", "node1")])
        assert not _reaches(network, "node2", address, _SHORT)
        network.open([("node2", "node1"), ("client1", "node1")])
        assert _reaches(network, "node2", address)


def test_a_party_still_reaches_itself_when_everybody_is_blocked(network: Network) -> None:
    ways = [("node2", "node1"), ("client1", "node1"), ("switch", "node1")]
    with _listening(network, "node1") as address:
        network.block(ways)
        assert _reaches(network, "node1", address)
        network.open(ways)


def test_a_party_whose_plug_is_pulled_is_off_the_network_until_it_is_plugged_in(network: Network) -> None:
    with _listening(network, "node1") as address:
        network.pull_plug("node1")
        assert not _reaches(network, "node2", address, _SHORT)
        network.plug_in("node1")
        assert _reaches(network, "node2", address)


def test_nothing_is_added_to_the_namespace_the_run_is_in(network: Network) -> None:
    assert "bridge0" not in run("ip", "link")
    assert network.address("node1") not in run("ip", "address")


def test_a_command_that_fails_says_which_and_why(network: Network) -> None:
    with pytest.raises(CommandFailed, match=r"ip netns add .*: exit \d+: .*File exists"):
        run("ip", "netns", "add", network.namespace("node1"))
