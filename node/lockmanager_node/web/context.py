"""What every handler is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lockmanager.clock import Clock
from lockmanager.topology import Cluster
from lockmanager.wire import Token

from ..access import Access
from ..journal import GroupJournal, MemoryJournal
from ..recovery import Past
from ..rejoining import Rejoiner
from ..service import Service


@dataclass(frozen=True, slots=True)
class NodeContext:
    """One node as its handlers see it."""

    service: Service
    cluster: Cluster
    node_id: str
    access: Access
    clock: Clock
    new_token: Callable[[], Token]
    incarnation: int
    journal: GroupJournal | MemoryJournal
    past: Past
    rejoiner: Rejoiner | None
    boot: str
