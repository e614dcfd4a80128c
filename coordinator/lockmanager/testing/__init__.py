"""A cluster of lock nodes on this machine, for tests and for trying things out.

    async with LocalCluster(3) as local, local.coordinator() as coordinator:
        async with coordinator.lock("orders/42", ttl=2) as lease:
            await local.kill("node1")
            ...

Each node listens on a free loopback port of its own and keeps it when it is started again. By default the nodes are
threads of this process; with `processes=True` they are child processes, and `kill` and `pause` are SIGKILL and
SIGSTOP. Either way the calls and what they mean are the same.
"""

from .local_cluster import LocalCluster

__all__ = ["LocalCluster"]
