"""Quorum locks with fencing tokens and a fair line, for programs on many machines.

async with Coordinator.from_config("cluster.yaml") as coordinator:
    async with coordinator.lock("orders/42", ttl=10, wait=5) as lease:
        await write(row, fence=lease.fence)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .coordinator import Coordinator
    from .errors import (
        AccessDenied,
        AcquireTimeout,
        ClusterMismatch,
        ConfigurationError,
        LeaseLost,
        LockManagerError,
        NotAcquired,
        ProtocolMismatch,
        QuorumUnavailable,
        RequestRejected,
    )
    from .inspection import HolderReport, LockReport
    from .lease import Lease, LockContext
    from .topology import Cluster

__all__ = [
    "AccessDenied",
    "AcquireTimeout",
    "Cluster",
    "ClusterMismatch",
    "ConfigurationError",
    "Coordinator",
    "HolderReport",
    "Lease",
    "LeaseLost",
    "LockContext",
    "LockManagerError",
    "LockReport",
    "NotAcquired",
    "ProtocolMismatch",
    "QuorumUnavailable",
    "RequestRejected",
]

_HOMES = {
    "Cluster": "topology",
    "Coordinator": "coordinator",
    "HolderReport": "inspection",
    "Lease": "lease",
    "LockContext": "lease",
    "LockReport": "inspection",
}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used: a node reads the protocol without loading the client."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES.get(name, 'errors')}", __name__), name)
