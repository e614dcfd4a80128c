"""Everything the library raises on purpose, so that a caller can tell "held by someone" from "nobody answers".

    LockManagerError
    +-- NotAcquired            the lock is held by others, or its turn did not come
    |   +-- AcquireTimeout     ... within the wait the caller gave
    +-- QuorumUnavailable      too few nodes answer to decide anything
    +-- LeaseLost              a lease ended before its holder released it
    +-- RequestRejected        a node refuses the request itself: a limit or bad input
    +-- ClusterMismatch        a node belongs to another cluster, or to another epoch of it
    +-- ProtocolMismatch       a node speaks another version of the session protocol
    +-- AccessDenied           the API key is missing or wrong
    +-- ConfigurationError     the cluster description cannot be read or makes no sense

Messages say what, where, which value and what to do. Each error survives pickling and copying with its
attributes. Labels of holders may be in here; tokens, session ids and API keys never.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Self

_LABELS_SHOWN: Final = 5


class LockManagerError(Exception):
    """Base of all errors of this library; `str(error)` is a whole sentence for people."""

    def __init__(self, message: str) -> None:
        super().__init__(message)

    @classmethod
    def _restore(cls, message: str, state: dict[str, Any]) -> Self:
        error = cls.__new__(cls, message)
        error.__dict__.update(state)
        return error

    def __reduce__(self) -> tuple[Any, ...]:
        # Rebuilt from the finished message: the subclasses' constructors take facts, not a text.
        return self._restore, (str(self), dict(self.__dict__))


class NotAcquired(LockManagerError):
    """The lock was not acquired because others hold it; nodes enough did answer.

    `held_by` are the labels of the holders (for people; may be empty, may repeat), `answers` what each node said.
    """

    def __init__(
        self, name: str, *, held_by: Iterable[str] = (), answers: Mapping[str, str] | None = None, why: str = ""
    ) -> None:
        self.name = name
        self.held_by = tuple(held_by)
        self.answers = dict(answers or {})
        text = f"lock {name!r} was not acquired{why}: {_holders(self.held_by)}{_per_node(self.answers)}"
        super().__init__(f"{text}; try again later, or wait longer")


class AcquireTimeout(NotAcquired):
    """The lock's turn did not come within `wait` seconds."""

    def __init__(
        self, name: str, *, wait: float, held_by: Iterable[str] = (), answers: Mapping[str, str] | None = None
    ) -> None:
        self.wait = wait
        super().__init__(name, held_by=held_by, answers=answers, why=f" within {wait:g} s")


class QuorumUnavailable(LockManagerError):
    """Too few nodes answer: whether the lock is free cannot be known.

    `causes` names what is wrong with each node that does not count, `needed` and `reachable` are numbers of nodes.
    """

    def __init__(self, name: str, *, needed: int, reachable: int, causes: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.needed = needed
        self.reachable = reachable
        self.causes = dict(causes or {})
        text = f"lock {name!r} needs {needed} nodes and {reachable} can be reached{_per_node(self.causes)}"
        super().__init__(f"{text}; check that the nodes run and that this machine reaches them")


class LeaseLost(LockManagerError):
    """The lease ended before it was released: stop using what it protects. `fence` is the lost lease's fence."""

    def __init__(self, name: str, *, fence: int, reason: str) -> None:
        self.name = name
        self.fence = fence
        self.reason = reason
        super().__init__(
            f"the lease on {name!r} (fence {fence}) is lost: {reason}; stop writing, and acquire again to go on"
        )


class RequestRejected(LockManagerError):
    """A node will not do this however often it is asked.

    `code` is the stable code of the limit or mistake, `detail` says which value and which limit.
    """

    def __init__(self, code: str, detail: str) -> None:
        self.code = code
        self.detail = detail
        super().__init__(f"the request was rejected ({code}): {detail}; change the request, or the cluster's limits")


class ClusterMismatch(LockManagerError):
    """`node` does not mean the same cluster: its node ids, replicas or epoch differ from ours."""

    def __init__(self, node: str, detail: str) -> None:
        self.node = node
        self.detail = detail
        super().__init__(
            f"node {node!r} belongs to a different cluster: {detail}; "
            "give all nodes and clients the same cluster.yaml (node ids, replicas and epoch must agree)"
        )


class ProtocolMismatch(LockManagerError):
    """`node` speaks another version of the session protocol."""

    def __init__(self, node: str, detail: str) -> None:
        self.node = node
        self.detail = detail
        super().__init__(
            f"node {node!r} speaks another protocol: {detail}; run versions of node and library that fit each other"
        )


class AccessDenied(LockManagerError):
    """`where` (a node id or a URL) refused the API key, or wants one and got none."""

    def __init__(self, where: str, detail: str) -> None:
        self.where = where
        self.detail = detail
        super().__init__(f"{where} denied access: {detail}; give an API key whose hash is in the cluster's api_keys")


class ConfigurationError(LockManagerError):
    """The description of the cluster cannot be read, or its values make no sense; the message says what to change."""


def _holders(labels: tuple[str, ...]) -> str:
    if not labels:
        return "it is held by someone else"
    shown = ", ".join(repr(label) for label in labels[:_LABELS_SHOWN])
    more = len(labels) - _LABELS_SHOWN
    return f"it is held by {shown} and {more} more" if more > 0 else f"it is held by {shown}"


def _per_node(texts: Mapping[str, str]) -> str:
    if not texts:
        return ""
    return " (" + "; ".join(f"{node}: {text}" for node, text in sorted(texts.items())) + ")"
