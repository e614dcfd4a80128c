"""Asks the peers of a node that rejoins, over HTTP, until it may serve. Decides nothing: see `recovery`."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, Self

import aiohttp
import msgspec

from lockmanager.clock import Clock
from lockmanager.durations import MICROSECONDS, seconds
from lockmanager.topology import Cluster

from .limits import Limits
from .recovery import SILENCE, Readiness, Rejoin, Report, Verdict, answers_needed, implausible

log = logging.getLogger("lockmanager_node")

ASK_DEADLINE: Final = 2.0
"""Seconds one question may take."""

READ_DEADLINE: Final = 60.0
"""Seconds all pages of one peer's report may take."""

FIRST_PAUSE: Final = 0.02
LONGEST_PAUSE: Final = 0.5
"""Seconds between two rounds of questions: doubled from the first to the longest."""

LARGEST_PAGE: Final = 64 << 20
"""Bytes of one page: several times what 5,000 leases with the longest names and labels take in JSON."""

_NO_LEASES: Final = 10**18 - 1
"""Asks for what comes after this number: an answer without leases, while they are of no use yet."""

_UNNOTICED: Final = 1.0
"""Seconds of silence the log does not speak of: the first start of a cluster takes less."""

_REMINDER: Final = 30.0
"""Seconds between two lines in the log that say why the node is still silent."""

Ask = Callable[[str, Mapping[str, str]], Awaitable[tuple[int, bytes]]]
"""Asks (URL, query) and returns status and body; raises OSError, aiohttp.ClientError or TimeoutError."""

Asking = Callable[[Mapping[str, str]], AbstractAsyncContextManager[Ask]]
"""Gives the way to ask under these headers, for as long as it is open: a seam for tests."""

_report = msgspec.json.Decoder(Report)


@asynccontextmanager
async def http_asking(headers: Mapping[str, str]) -> AsyncIterator[Ask]:
    """Ask over HTTP, each question where the peer is by now.

    Containers change their addresses: a connection that is kept, or an address that is remembered, may lead to another
    node from then on, and each answer of that would keep it in use.
    """
    timeout = aiohttp.ClientTimeout(total=ASK_DEADLINE)
    connector = aiohttp.TCPConnector(force_close=True, use_dns_cache=False)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout, connector=connector) as http:

        async def ask(url: str, query: Mapping[str, str]) -> tuple[int, bytes]:
            async with http.get(url, params=query, allow_redirects=False) as response:
                return response.status, await _whole(response)

        yield ask


async def _whole(response: aiohttp.ClientResponse) -> bytes:
    """Read the body; raises ClientPayloadError for one that no lock node would send."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > LARGEST_PAGE:
            raise aiohttp.ClientPayloadError(f"a report of more than {LARGEST_PAGE} bytes")
    return bytes(body)


class Rejoiner:
    """The questions of one node."""

    def __init__(
        self,
        rejoin: Rejoin,
        clock: Clock,
        *,
        node: str,
        incarnation: int,
        urls: Mapping[str, str],
        fingerprint: str,
        key: str | None,
        limits: Limits | None = None,
        asking: Asking = http_asking,
    ) -> None:
        self._limits = limits or Limits()
        self._asking = asking
        self._rejoin = rejoin
        self._clock = clock
        self._urls = urls
        self._fingerprint = fingerprint
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.incarnation = incarnation
        self._question = {"node": node, "incarnation": str(incarnation)}
        self._asked = asyncio.Event()
        self._silence_was_told = False

    @classmethod
    def of(
        cls,
        cluster: Cluster,
        node: str,
        incarnation: int,
        clock: Clock,
        *,
        key: str | None,
        new_cluster: bool = False,
        asking: Asking = http_asking,
    ) -> Self:
        """Return the questions of one node of a cluster, which begins its silence now."""
        urls = {peer: cluster.url(peer, "internal") for peer in cluster.node_ids if peer != node}
        rejoin = Rejoin(urls, answers_needed(cluster), clock.now(), SILENCE, new_cluster)
        return cls(
            rejoin,
            clock,
            node=node,
            incarnation=incarnation,
            urls=urls,
            fingerprint=cluster.fingerprint,
            key=key,
            limits=Limits.of(cluster.limits),
            asking=asking,
        )

    def on_asked(self, node: str) -> None:
        """Take note that a peer asked this node; what was waited for may be complete now."""
        self._rejoin.on_asked(node)
        self._asked.set()

    def readiness(self) -> Readiness:
        """Say why the node is silent, and for how long."""
        return self._rejoin.readiness(self._clock.now())

    def verdict(self) -> Verdict | None:
        """Say whether the silence may end now."""
        return self._rejoin.verdict(self._clock.now(), self._clock.wall())

    async def run(self) -> Verdict:
        """Ask round after round until there is a verdict."""
        pause, remind_at = FIRST_PAUSE, self._seconds() + _UNNOTICED
        async with self._asking(self._headers) as ask:
            while (verdict := self.verdict()) is None:
                await asyncio.gather(*(self._ask(ask, peer) for peer in self._rejoin.to_ask()))
                if self.verdict() is None:
                    remind_at = self._remind(remind_at)
                    await self._rest(pause)
                    pause = min(2 * pause, LONGEST_PAUSE)
        return verdict

    def _remind(self, at: float) -> float:
        """Say in the log why the node is silent, if it is time to; returns when to say it again."""
        if self._seconds() < at:
            return at
        self._silence_was_told = True
        readiness = self.readiness()
        log.warning("node_recovering remaining=%.1f reason=%s", seconds(readiness.remaining), readiness.reason)
        return self._seconds() + _REMINDER

    def _seconds(self) -> float:
        return self._clock.now() / MICROSECONDS

    def log_verdict(self, verdict: Verdict) -> None:
        """Say in the log how the silence ended, as loudly as that there was one."""
        told = log.warning if self._silence_was_told or not verdict.new_cluster else log.info
        reason = "the cluster is new" if verdict.new_cluster else "rejoined"
        told("node_serves reason=%s adopted=%d fence_floor=%d", reason, len(verdict.adoptions), verdict.fence_floor)

    async def _rest(self, pause: float) -> None:
        self._asked.clear()
        remaining = self.readiness().remaining / MICROSECONDS
        try:
            async with asyncio.timeout(min(pause, remaining) if remaining else pause):
                await self._asked.wait()
        except TimeoutError:
            return

    async def _ask(self, ask: Ask, peer: str) -> None:
        asked_at = self._clock.now()
        try:
            since = self._rejoin.known_upto(peer) if asked_at >= self._rejoin.silence_ends else _NO_LEASES
            async with asyncio.timeout(READ_DEADLINE):
                report, read_at = await self._read(ask, peer, since)
        except TimeoutError:
            self._rejoin.on_no_report(peer, f"what it tells did not end within {READ_DEADLINE:g} s")
        except (msgspec.MsgspecError, UnicodeDecodeError):
            self._rejoin.on_no_report(peer, "it answers, but not as a lock node does")
        except (aiohttp.ClientError, OSError, UnicodeError) as error:  # the last: a host name no address can be
            self._rejoin.on_no_report(peer, _words(error))
        except _Unusable as error:
            self._rejoin.on_no_report(peer, str(error))
        else:
            self._rejoin.on_report(report, asked_at, self._clock.now(), since=since, read_at=read_at)

    async def _read(self, ask: Ask, peer: str, after: int) -> tuple[Report, int]:
        """Read all pages of a peer's report, from the one after `after`; returns also when the last was asked for."""
        read_at = self._clock.now()
        first = page = await self._page(ask, peer, after=after)
        leases = list(page.leases)
        while page.after is not None:
            if page.after <= after:
                raise _Unusable("it tells the same leases again and again")
            read_at, after = self._clock.now(), page.after
            page = await self._page(ask, peer, after=after)
            if page.incarnation != first.incarnation:
                raise _Unusable("it was restarted while it told its leases")
            leases += page.leases
        recovering = first.recovering or page.recovering
        whole = msgspec.structs.replace(page, never=first.never, recovering=recovering, leases=leases, after=None)
        return whole, read_at

    async def _page(self, ask: Ask, peer: str, after: int) -> Report:
        query = self._question | {"after": str(after)}
        try:
            status, body = await ask(f"{self._urls[peer]}/v1/recovery", query)
        except TimeoutError:
            raise _Unusable(f"no answer within {ASK_DEADLINE:g} s") from None
        if status != 200:
            raise _Unusable(f"it answers {status}")
        report = _report.decode(body)
        if report.node != peer:
            raise _Unusable(f"the node at its address says it is {report.node[:64]!r}")
        if report.fingerprint != self._fingerprint:
            raise _Unusable("it belongs to another cluster: node ids, replicas or epoch differ")
        if (reason := implausible(report, self._limits, self._clock.wall())) is not None:
            raise _Unusable(reason)
        return report


class _Unusable(Exception):
    """An answer that cannot be used; the text says why."""


def _words(error: Exception) -> str:
    inner = getattr(error, "os_error", error)
    if isinstance(inner, OSError) and inner.errno is not None and inner.errno > 0:
        return os.strerror(inner.errno).lower()
    return type(error).__name__
