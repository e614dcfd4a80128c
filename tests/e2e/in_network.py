"""What a client inside the cluster's network does: try one quorum lock and print, as JSON, what came of it.

Run in a one-off container of the nodes' image: `python - NAME`. The service names in cluster.yaml lead to the nodes.
"""

from __future__ import annotations

import asyncio
import json
import sys

from lockmanager import Coordinator, NotAcquired


async def outcome(name: str) -> dict[str, object]:
    async with (
        asyncio.timeout(30),
        Coordinator.from_config("/etc/lockmanager/cluster.yaml", network="internal") as coordinator,
    ):
        try:
            async with coordinator.lock(name, ttl=5, wait=2, label="in the network") as lease:
                return {"fence": lease.fence}
        except NotAcquired as error:
            return {"held_by": list(error.held_by)}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(outcome(sys.argv[1]))))
