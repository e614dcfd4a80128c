"""One picture of the cluster's locks from what every node says."""

from __future__ import annotations

from lockmanager.cli.asking import Holder, Lock, NodeView
from lockmanager.cli.locks import Holding, LockView, merged
from lockmanager.topology import Cluster, NodeAddress

CLUSTER = Cluster(name="c", nodes=tuple(NodeAddress(f"node{n}", f"http://127.0.0.1:{n}") for n in (1, 2, 3)))


def holder(token_hash: str, fence: int = 5, remaining: float = 1.0) -> Holder:
    return Holder(f"label of {token_hash}", token_hash, "exclusive", fence, remaining)


def lock(*holders: Holder, name: str = "a", space: str = "quorum", waiting: int = 0) -> Lock:
    return Lock(name, space, list(holders), waiting)


def seen(*nodes: list[Lock]) -> list[LockView]:
    views = [NodeView(f"node{n}", "", locks=locks) for n, locks in enumerate(nodes, 1)]
    return merged(CLUSTER, views)


def test_a_holder_on_several_nodes_is_one_holder_with_its_best_numbers() -> None:
    found = seen([lock(holder("x", fence=5, remaining=1.0))], [lock(holder("x", fence=9, remaining=0.5))])
    assert found == [LockView("a", "quorum", None, 3, 0, (Holding("label of x", "exclusive", 9, 2, 1.0),))]


def test_the_holder_on_most_nodes_comes_first() -> None:
    (found,) = seen([lock(holder("x"))], [lock(holder("y"))], [lock(holder("y"))])
    assert [(one.label, one.nodes) for one in found.holders] == [("label of y", 2), ("label of x", 1)]


def test_two_holders_with_the_same_label_are_two() -> None:
    one, other = Holder("same", "x", "shared", 5, 1.0), Holder("same", "y", "shared", 5, 1.0)
    (found,) = seen([lock(one, other)])
    assert len(found.holders) == 2


def test_the_longest_line_is_shown() -> None:
    (found,) = seen([lock(waiting=2)], [lock(waiting=3)])
    assert (found.waiting, found.holders) == (3, ())


def test_locks_of_the_same_name_in_other_spaces_stay_apart() -> None:
    found = seen([lock(space="quorum"), lock(space="efficiency")])
    assert [(one.space, one.of) for one in found] == [("efficiency", 1), ("quorum", 3)]


def test_a_single_node_s_own_locks_are_not_merged_with_another_s() -> None:
    found = seen([lock(holder("x"), space="node")], [lock(holder("y"), space="node")])
    assert [(one.node, one.of) for one in found] == [("node1", 1), ("node2", 1)]


def test_locks_come_in_the_order_of_their_names() -> None:
    assert [one.name for one in seen([lock(name="b")], [lock(name="a"), lock(name="c")])] == ["a", "b", "c"]
