"""Acquire and release in the node's own space, for both HTTP APIs. Leases of other spaces are never touched here."""

from __future__ import annotations

from aiohttp import web

from lockmanager.wire import Acquire, Answer, Holder, Release, Renew, Space, Token

from .. import calls
from ..line import Key
from ..table import Table
from .checks import stopping
from .context import NodeContext


async def acquire(context: NodeContext, request: web.Request, wanted: Acquire, wait: float) -> Answer:
    """Acquire within `wait` seconds for the client of `request`; a client that has gone holds nothing.

    Raises Problem when the node stops meanwhile.
    """

    def gone() -> bool:
        return request.transport is None or request.transport.is_closing()

    try:
        return await calls.acquire(context.service, wanted, wait, gone=gone)
    except calls.Stopping as error:
        raise stopping(str(error)) from None


async def renew(context: NodeContext, request: Renew) -> Answer | None:
    """Renew; None when the token only waits. Raises Problem when the node stops meanwhile."""
    try:
        return await calls.renew(context.service, request)
    except calls.Stopping as error:
        raise stopping(str(error)) from None


async def revoke(context: NodeContext, key: Key, *, force: bool) -> int:
    """End the leases of a lock in any space, and return how many there were when that is durable."""
    count = context.service.revoke(key, force=force)
    try:
        await calls.require_durable(context.service)
    except calls.Stopping as error:
        raise stopping(str(error)) from None
    return count


def release(context: NodeContext, token: Token) -> None:
    """End what the token stands for in the node's own space; anything else is left alone."""
    if owned_key(context, token) is not None:
        calls.tell(context.service, Release(token))


def owned_key(context: NodeContext, token: Token) -> Key | None:
    """Return which lock of the node's own space the token holds or waits for, overdue leases excepted."""
    context.service.expire()
    key = context.service.table.key_of(token)
    return key if key is not None and key[0] is Space.NODE else None


def holders(table: Table, name: str) -> list[Holder]:
    """Return who holds the lock of this name in the node's own space, fit to be shown."""
    lock = table.locks.get((Space.NODE, name))
    return [] if lock is None else lock.holders()
