"""One life of a node: it rejoins where it must, then serves, and stops when its journal fails.

Knows neither sockets nor HTTP: whoever listens for the node runs it through this.
"""

from __future__ import annotations

import asyncio
import logging
import secrets

from lockmanager.clock import Clock, SystemClock
from lockmanager.topology import Cluster
from lockmanager.wire import Token, token_from

from ..access import Access
from ..boot import boot_id
from ..journal import GroupJournal, MemoryJournal
from ..limits import Limits
from ..recovery import Past, Verdict
from ..rejoining import Asking, Rejoiner, http_asking
from ..service import Service, log_event
from ..table import Table
from ..waking import ASKS_AS_KEY, BOOT_KEY, SERVED_KEY, asks_as, take_up
from .context import NodeContext

log = logging.getLogger("lockmanager_node")


def new_token() -> Token:
    """Return a token from the operating system's random source."""
    return token_from(secrets.token_bytes(64))


def create_context(
    cluster: Cluster,
    node_id: str,
    clock: Clock | None = None,
    *,
    journal: GroupJournal | None = None,
    new_cluster: bool = False,
    incarnation: int | None = None,
    boot: str | None = None,
    asking: Asking = http_asking,
) -> NodeContext:
    """Make one node; its incarnation is random, so that no earlier life's grant is mistaken for its own.

    With a journal it knows what it knew. Without one, or with an empty one, it is silent until its peers told it what
    is held; `new_cluster` is the operator's word that nothing can be. `clock`, `incarnation`, `boot` and `asking` are
    seams for tests.
    """
    clock = clock or SystemClock()
    incarnation = secrets.randbits(53) if incarnation is None else incarnation
    boot = boot_id() if boot is None else boot
    table = Table(incarnation, Limits.of(cluster.limits), tell=log_event, journaled=journal is not None)
    service = Service(table, clock, journal=journal)
    access = Access(cluster)
    past, rejoiner = Past(), None
    has_past = journal is not None and take_up(journal, table, past, clock.now(), boot=boot)
    if has_past and new_cluster:
        log.warning("new_cluster_ignored reason=%s", "the journal of this node knows better; take the option away")
    if not has_past:
        asker = asks_as(journal, incarnation)
        key = access.peer_key
        rejoiner = Rejoiner.of(cluster, node_id, asker, clock, key=key, new_cluster=new_cluster, asking=asking)
        service.be_silent(rejoiner.readiness)
    kept = journal or MemoryJournal()
    return NodeContext(service, cluster, node_id, access, clock, new_token, incarnation, kept, past, rejoiner, boot)


class Life:
    """A node at work. `failed` is set, with the reason in `failure`, when its journal fails or its rejoin does."""

    def __init__(self, context: NodeContext) -> None:
        self.context = context
        self.failed = asyncio.Event()
        self.failure = ""
        self._rejoining: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Serve; a node that must ask its peers first does so in the background."""
        journal, rejoiner = self.context.journal, self.context.rejoiner
        if isinstance(journal, GroupJournal):
            journal.attach(asyncio.get_running_loop())
            journal.on_failure = self._journal_failed
        if rejoiner is None:
            self._serve(None)
        elif (verdict := rejoiner.verdict()) is not None:
            self._serve(verdict)
        else:
            self._rejoining = asyncio.create_task(self._rejoin(rejoiner), name="lockmanager rejoin")
            self._rejoining.add_done_callback(self._rejoin_ended)

    async def _rejoin(self, rejoiner: Rejoiner) -> None:
        """Ask under an incarnation that the next start will ask under too, should this one be interrupted."""
        journal, noted = self.context.journal, asyncio.Event()
        journal.note(ASKS_AS_KEY, str(rejoiner.incarnation))
        journal.sync(noted.set)
        await noted.wait()  # no deadline: a journal that fails stops the node
        self._serve(await rejoiner.run())

    def _rejoin_ended(self, task: asyncio.Task[None]) -> None:
        """Stop a node that a fault of ours would leave silent for ever."""
        if not task.cancelled() and (error := task.exception()) is not None:
            log.critical("rejoin_failed", exc_info=error)
            self._fail(f"its rejoin ended with {type(error).__name__}: {error}")

    def _serve(self, verdict: Verdict | None) -> None:
        """Grant from now on. The journal's marks are in one commit with what a new boot or the peers changed, and that
        is synced before the first answer: a node that dies before it begins anew.
        """
        service, journal, rejoiner = self.context.service, self.context.journal, self.context.rejoiner
        journal.note(BOOT_KEY, self.context.boot)
        journal.note(SERVED_KEY, "yes")
        if rejoiner is None or verdict is None:
            service.start()
        else:
            service.serve(verdict.adoptions, verdict.fence_floor)
            rejoiner.log_verdict(verdict)

    def _journal_failed(self, reason: str) -> None:
        log.critical("journal_failed reason=%s hint=%s", reason, "this node stops; what it did not answer is not given")
        self._fail(reason)

    def _fail(self, reason: str) -> None:
        self.failure = reason
        self.context.service.fail(reason)
        self.failed.set()

    async def end(self, *, abruptly: bool) -> None:
        """Ask no more; abruptly, what the journal was not handed is lost, as in a crash."""
        if self._rejoining is not None:
            self._rejoining.cancel()
            await asyncio.wait([self._rejoining], timeout=1)
        if abruptly:
            self.context.service.fail("this node crashed")
            if isinstance(self.context.journal, GroupJournal):
                await self.context.journal.abandon()
