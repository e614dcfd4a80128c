"""One HTTP request as a recipient of answers: acquire with a bounded wait, renew, release.

A request that is given up (its client left, its wait ran out) leaves every line at once, and a lease granted to a
client that is no longer there is released.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count

from lockmanager.wire import Acquire, Answer, Granted, Holder, Queued, Refused, Release, Renew

from .line import Owner
from .service import Service
from .sessions import GIVING

_numbers = count(1)


_NOT_DURABLE = "the journal of this node failed or does not keep up: ask another node"


class Stopping(Exception):
    """The node stops; ask another one."""


class _Call:
    """Keeps the deciding answer; `queued` is not one."""

    def __init__(self) -> None:
        self.answer: Answer | None = None
        self.holders: list[Holder] = []
        self.stopping = ""
        self._decided = asyncio.Event()

    def deliver(self, answer: Answer) -> None:
        if isinstance(answer, Queued):
            self.holders = answer.holders
        elif self.answer is None:
            self.answer = answer
            self._decided.set()

    def close(self, reason: str) -> None:
        self.stopping = reason
        self._decided.set()

    async def decided(self, timeout: float) -> None:
        """Wait for the deciding answer for at most `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._decided.wait()
        except TimeoutError:
            return


async def acquire(service: Service, request: Acquire, wait: float, *, gone: Callable[[], bool]) -> Answer:
    """Acquire for an HTTP client within `wait` seconds: Granted, Refused, Revoked or Rejected.

    Raises Stopping when the node stops meanwhile. Cancelled (the client left), it leaves nothing behind; nor does it
    when `gone` says after a grant that nobody will read the answer.
    """
    call, owner = _Call(), _owner()
    service.register(owner, call)
    try:
        service.handle(owner, request)
        if call.answer is None and not call.stopping:
            await call.decided(wait)
        durable = not isinstance(call.answer, Granted) or await service.durable()
        if gone() or not durable:
            _give_back(service, owner, call.answer)
    except asyncio.CancelledError:
        _give_back(service, owner, call.answer)
        raise
    finally:
        service.unregister(owner)
    if not durable:
        raise Stopping(_NOT_DURABLE)
    if call.answer is not None:
        return call.answer
    if call.stopping:
        raise Stopping(call.stopping)
    return Refused(request.token, call.holders)


def _give_back(service: Service, owner: Owner, answer: Answer | None) -> None:
    """Release what was granted to this very call, unless a later call with the same token has taken it over."""
    if not isinstance(answer, Granted) or answer.resent:
        return
    lease = service.table.lease(answer.token)
    if lease is not None and lease.waiter.owner == owner:
        tell(service, Release(answer.token))


def tell(service: Service, request: Renew | Release) -> Answer | None:
    """Apply a request that is answered at once; None when the token only waits (renew)."""
    call, owner = _Call(), _owner()
    service.register(owner, call)
    try:
        service.handle(owner, request)
    finally:
        service.unregister(owner)
    return call.answer


async def renew(service: Service, request: Renew) -> Answer | None:
    """Renew for an HTTP client; None when the token only waits. Raises Stopping when the journal does not keep up."""
    answer = tell(service, request)
    if isinstance(answer, GIVING):
        await require_durable(service)
    return answer


async def require_durable(service: Service) -> None:
    """Wait until everything decided so far is durable; raises Stopping when that takes too long."""
    if not await service.durable():
        raise Stopping(_NOT_DURABLE)


def _owner() -> Owner:
    return f"http-{next(_numbers)}"
