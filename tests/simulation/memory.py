"""Which nodes forgot what they granted, or are gone for good: a minority at a time, or no progress can be demanded."""

from __future__ import annotations

from tests.simulation.node import SimNode


class Memory:
    """Says which nodes may be robbed of what they know. A node that forgot counts until it remembers again."""

    def __init__(self, nodes: dict[str, SimNode], may_fail: int) -> None:
        self.may_fail = may_fail
        self.given_up: set[str] = set()
        self._nodes = nodes
        self._forgot: set[str] = set()

    @property
    def forgetful(self) -> set[str]:
        """The nodes that forgot, and do not remember again so far."""
        self._forgot = {name for name in self._forgot if not self._nodes[name].remembers}
        return self._forgot

    def may_crash(self, node: SimNode) -> bool:
        """Say whether a node may die: one that does not remember yet forgets by that, as if it lost its disk."""
        return node.remembers or self.may_forget(node)

    def may_forget(self, node: SimNode) -> bool:
        """Say whether a node may lose all it knew, and note that it does."""
        if not self._may_fail(node):
            return False
        self._forgot.add(node.name)
        return True

    def may_be_given_up(self, node: SimNode) -> bool:
        """Say whether a node may be down for ever, and note that it is."""
        if not self._may_fail(node):
            return False
        self.given_up.add(node.name)
        return True

    def _may_fail(self, node: SimNode) -> bool:
        return len(self.forgetful | self.given_up | {node.name}) <= self.may_fail
