"""Split votes end by inquire and yield: without a timeout, without a retry, whatever order the nodes were asked in."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import combinations_with_replacement, permutations, product

import pytest

from lockmanager.acquisition import Acquisition
from lockmanager.actions import Action, Held, Phase, Request, Send
from lockmanager.ballot import Link
from lockmanager.wire import Mode, Space, Token
from lockmanager_node.table import Request as TableRequest
from lockmanager_node.table import Table

CONTENDERS = ("A", "B", "C")
NODES = ("n1", "n2", "n3", "n4", "n5")


class Round:
    """Contenders and nodes as pure rules; every way between them is first in, first out; time stands still.

    With no clock moving, no timer can help: whoever is not served by messages alone is stuck.
    """

    def __init__(self, mode: Mode) -> None:
        self.tables = {node: Table(incarnation=number) for number, node in enumerate(NODES, 1)}
        self.contenders: dict[str, Acquisition] = {}
        self.ways: deque[tuple[str, str, object]] = deque()
        self.held: list[tuple[str, int]] = []
        self.messages = 0
        for ticket, name in enumerate(CONTENDERS, 1):
            request = Request(Space.QUORUM, "x", mode, 10_000_000, ticket, name, NODES, wait=True, deadline=None)
            links = dict.fromkeys(NODES, (Link.LIVE, ""))
            self.contenders[name] = Acquisition(request, links, now=0)

    def start(self) -> dict[tuple[str, str], TableRequest]:
        """Let everybody ask; returns the first messages, undelivered."""
        first = {}
        for name, contender in self.contenders.items():
            for action in contender.start(Token(name * 32), now=0):
                assert isinstance(action, Send)
                first[name, action.node] = action.message
        return first

    def to_node(self, name: str, node: str, message: TableRequest) -> None:
        for owner, answer in self.tables[node].handle(name, message, now=0, wall=10):
            self.ways.append((node, owner, answer))

    def run(self) -> None:
        """Deliver everything, oldest first; whoever holds releases at once."""
        while self.ways:
            sender, receiver, message = self.ways.popleft()
            self.messages += 1
            if receiver in self.tables:
                self.to_node(sender, receiver, message)  # type: ignore[arg-type]  # ways to nodes carry requests
            else:
                contender = self.contenders[receiver]
                actions = contender.on_answer(sender, 0, message, now=0)  # type: ignore[arg-type]  # and back, answers
                self._act(receiver, contender, actions)

    def _act(self, name: str, contender: Acquisition, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Send():
                    self.ways.append((name, action.node, action.message))
                case Held():
                    self.held.append((name, action.fence))
                case _:
                    pytest.fail(f"{name} did not get the lock by messages alone: {action}")
        if contender.phase is Phase.HELD:
            self._act(name, contender, contender.release())


Orders = list[tuple[tuple[str, ...], ...]]
"""What each of the five nodes hears, in which order; many times."""


def two_of_each_choice() -> Orders:
    """Each choice of what the five hear, in two of its orders: nodes differ by their places only."""
    choices = list(combinations_with_replacement(permutations(CONTENDERS), len(NODES)))
    return [*choices, *(choice[::-1] for choice in choices)]


def every_order() -> Orders:
    return list(product(permutations(CONTENDERS), repeat=len(NODES)))


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize(
    ("draw", "how_many"), [(two_of_each_choice, 2 * 252), pytest.param(every_order, 6**5, marks=pytest.mark.slow)]
)
def test_all_three_contenders_are_served_whatever_order_five_nodes_hear_them_in(
    mode: Mode, draw: Callable[[], Orders], how_many: int, capsys: pytest.CaptureFixture[str]
) -> None:
    orders = draw()
    most = 0
    for order in orders:
        game = Round(mode)
        first = game.start()
        for place in range(len(CONTENDERS)):
            for node, heard in zip(NODES, order, strict=True):
                game.to_node(heard[place], node, first[heard[place], node])
        game.run()
        assert sorted(name for name, _ in game.held) == list(CONTENDERS), f"stuck after {order}"
        if mode is Mode.EXCLUSIVE:
            fences = [fence for _, fence in game.held]
            assert fences == sorted(set(fences)), f"fences {fences} after {order}"
        assert all(table.lease_count + table.waiter_count == 0 for table in game.tables.values())
        most = max(most, game.messages)
    assert len(orders) == how_many
    with capsys.disabled():
        print(f"\n{len(orders)} delivery orders, {mode.name.lower()}: all served, at most {most} messages after asking")
