"""How a node takes up its earlier life: it opens its journal and lets the table know what that knew."""

from __future__ import annotations

import logging
from typing import Final

from lockmanager.topology import Cluster

from .config import NodeConfig
from .journal import DiskJournal, GroupJournal
from .recovery import Past
from .store import REPLACE, JournalRefused
from .table import Table

log = logging.getLogger("lockmanager_node")

SERVED_KEY: Final = "served"
"""The journal's first-boot mark: this node has been allowed to grant."""

BOOT_KEY: Final = "boot"
"""The boot of the machine that the journal's deadlines belong to."""

ASKS_AS_KEY: Final = "asks as"
"""The incarnation under which a node asks its peers: that of its first start on this disk."""

PAST_KEY: Final = "first incarnation of "
"""The journal's notes about peers that asked begin so."""


def open_journal(config: NodeConfig) -> DiskJournal | None:
    """Open the journal of the data directory, or say that there is none; raises JournalRefused. Blocks."""
    if config.data_dir is None:
        log.warning(
            "node_in_memory node=%s hint=%s", config.node_id, "it forgets its leases when it stops; see --data-dir"
        )
        return None
    return DiskJournal(config.data_dir, owner(config.cluster, config.node_id))


def owner(cluster: Cluster, node_id: str) -> dict[str, str]:
    """Return what a journal says of whom it belongs to: another node's or another cluster's is refused."""
    return {"node": node_id, "cluster": cluster.fingerprint}


def take_up(journal: GroupJournal, table: Table, past: Past, now: int, *, boot: str) -> bool:
    """Restore what the journal knew; returns whether the node was ever allowed to grant.

    `boot` is this boot of the machine; an empty one is the same as no other.
    """
    for key in journal.about:
        if key.startswith(PAST_KEY):
            past.note(key.removeprefix(PAST_KEY), _incarnation(journal, key))
    same_boot = bool(boot) and journal.about.get(BOOT_KEY) == boot
    kept = journal.take_kept()
    if SERVED_KEY not in journal.about:
        table.begin_anew(kept)
        return False
    table.restore(kept, now, same_boot=same_boot)
    log.info("journal_read leases=%d fence_floor=%d same_boot=%s", table.lease_count, kept.fence_floor, same_boot)
    return True


def asks_as(journal: GroupJournal | None, incarnation: int) -> int:
    """Return under which incarnation a node asks its peers that was never allowed to grant.

    Its starts so far were one first start, interrupted: nothing was granted in between. Whoever loses the disk loses
    this with it, and has a past.
    """
    return incarnation if journal is None or ASKS_AS_KEY not in journal.about else _incarnation(journal, ASKS_AS_KEY)


def _incarnation(journal: GroupJournal, key: str) -> int:
    """Read a note that is an incarnation; raises JournalRefused when it is none."""
    text = journal.about[key]
    if text.isascii() and text.isdigit():
        return int(text)
    raise JournalRefused(
        f"the journal {journal.path} is damaged ({key!r} is {text[:40]!r} and not a whole number); {REPLACE}"
    )
