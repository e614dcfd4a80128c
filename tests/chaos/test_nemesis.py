"""The nemesis deals every kind in its turn, the same for the same seed, and tells of nodes that do not come back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise
from random import Random

import pytest

from tests.chaos.nemesis import Nemesis
from tests.chaos.scene import Kind, Lane

pytestmark = pytest.mark.looptime


class _Board:
    """Faults that take their time and do nothing but tell when they began and how the dice fell."""

    def __init__(self) -> None:
        self.struck: list[tuple[str, float, float]] = []
        self.violations: list[str] = []

    def kind(self, name: str, *, lane: Lane = "nodes", takes: float = 2.0, seconds: float = 8.0) -> Kind:
        async def strike(chance: Random) -> None:
            self.struck.append((name, asyncio.get_running_loop().time(), chance.random()))
            await asyncio.sleep(takes)

        return Kind(name, lane, strike, seconds)

    async def runs(self, *kinds: Kind, seconds: float, seed: int = 1, all_kinds: bool = False) -> list[str]:
        """Let the nemesis strike; returns the names in the order in which they came."""
        await Nemesis(kinds, seed, self.violations.append, all_kinds=all_kinds).strike(seconds)
        return [name for name, _, _ in self.struck]


@pytest.fixture
def board() -> _Board:
    return _Board()


def _failing(error: Exception) -> Callable[[Random], Awaitable[None]]:
    async def strike(chance: Random) -> None:
        raise error

    return strike


async def test_no_kind_comes_again_before_all_of_its_lane_have_come(board: _Board) -> None:
    names = await board.runs(*map(board.kind, "abcd"), seconds=60.0)
    rounds = [set(names[first : first + 4]) for first in range(0, len(names) - 3, 4)]
    assert len(rounds) >= 4
    assert all(each == set("abcd") for each in rounds)


async def test_the_same_seed_deals_the_same_and_another_one_does_not(board: _Board) -> None:
    kinds = [*map(board.kind, "abcd"), board.kind("e", lane="clients"), board.kind("f", lane="clients")]
    runs = []
    for seed in (7, 7, 8):
        board.struck.clear()
        await board.runs(*kinds, seconds=40.0, seed=seed)
        runs.append([(name, chance) for name, _, chance in board.struck])
    assert runs[0] == runs[1] != runs[2]


async def test_faults_of_one_lane_come_one_after_the_other_and_meet_those_of_others(board: _Board) -> None:
    await board.runs(board.kind("a"), board.kind("b"), board.kind("c", lane="clients"), seconds=60.0)
    nodes = [at for name, at, _ in board.struck if name in "ab"]
    clients = [at for name, at, _ in board.struck if name == "c"]
    assert all(after - before >= 2.0 for before, after in pairwise(nodes))
    assert any(at < other < at + 2.0 for at in nodes for other in clients)


async def test_it_ends_in_time_and_begins_nothing_that_would_take_longer(board: _Board) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    names = await board.runs(board.kind("short"), board.kind("long", takes=50.0, seconds=50.0), seconds=30.0)
    assert set(names) == {"short"}
    assert loop.time() - began <= 30.0
    assert max(at for _, at, _ in board.struck) - began <= 22.0


async def test_where_all_kinds_are_wanted_it_goes_on_until_each_has_come(board: _Board) -> None:
    kinds = [board.kind(name, takes=20.0) for name in "abcd"]
    assert sorted(await board.runs(*kinds, seconds=5.0, all_kinds=True)) == list("abcd")


async def test_a_node_that_does_not_come_up_is_told_and_the_others_go_on(board: _Board) -> None:
    broken = Kind("sigkill_node", "nodes", _failing(RuntimeError("node2 did not come up")))
    names = await board.runs(broken, board.kind("a"), seconds=30.0)
    assert names.count("a") > 1
    assert board.violations[0] == "sigkill_node: node2 did not come up"


async def test_an_error_nobody_expects_ends_the_run(board: _Board) -> None:
    with pytest.raises(ExceptionGroup) as raised:
        await board.runs(Kind("a", "nodes", _failing(ZeroDivisionError())), board.kind("b", lane="disks"), seconds=30.0)
    assert raised.group_contains(ZeroDivisionError)
