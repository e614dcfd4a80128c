"""What is locked, as lists that can be paged: nothing here shows a token. Pure; `now` is an argument.

Pages are sorted by name, then by space. The cursor holds the last (name, space) shown, so locks that come and go
between two pages never make a third one appear twice or vanish.
"""

from __future__ import annotations

import base64
import binascii
import heapq
from collections.abc import Iterator

import msgspec

from lockmanager.durations import seconds
from lockmanager.wire import Space, short_hash

from ..line import Key
from ..lock import Lease, Lock
from ..table import Table

Place = tuple[str, Space]
"""Where a lock stands in the list."""


class BadCursor(ValueError):
    """A cursor that no page gave."""


class HolderItem(msgspec.Struct, frozen=True):
    """One holder; `remaining` in seconds."""

    label: str
    token_hash: str
    mode: str
    fence: int
    remaining: float


class LockItem(msgspec.Struct, frozen=True):
    """One lock that is held or waited for; `mode` is the holders', None while nobody holds it."""

    name: str
    space: str
    mode: str | None
    holders: list[HolderItem]
    waiting: int
    last_fence: int


class Page(msgspec.Struct, frozen=True):
    """One page; `next` is the `after` of the following one, None on the last."""

    locks: list[LockItem]
    next: str | None


def page(table: Table, now: int, *, prefix: str, after: str, space: Space | None, limit: int) -> Page:
    """Return up to `limit` locks whose names begin with `prefix`, after the cursor; raises BadCursor."""
    start = _read_cursor(after) if after else None
    found = heapq.nsmallest(limit + 1, _places(table, prefix, start, space))
    items = [_item(table.locks[_key(place)], now) for place in found[:limit]]
    return Page(items, _cursor(found[limit - 1]) if len(found) > limit else None)


def named(table: Table, now: int, name: str) -> list[LockItem]:
    """Return the locks of this name that are held or waited for, at most one per space."""
    locks = [table.locks.get((space, name)) for space in Space]
    return [_item(lock, now) for lock in locks if lock is not None and not lock.idle]


def held(table: Table, now: int) -> Iterator[tuple[str, float]]:
    """Give name and longest remaining seconds of every lock that is held, in any space, sorted by name."""
    for key in sorted(table.locks, key=lambda key: (key[1], key[0])):
        leases = table.locks[key].all_leases
        if leases:
            yield key[1], max(_remaining(lease, now) for lease in leases)


def _places(table: Table, prefix: str, start: Place | None, space: Space | None) -> Iterator[Place]:
    for (its_space, name), lock in table.locks.items():
        if lock.idle or not name.startswith(prefix) or space not in (None, its_space):
            continue
        if start is None or (name, its_space) > start:
            yield name, its_space


def _key(place: Place) -> Key:
    return place[1], place[0]


def _item(lock: Lock, now: int) -> LockItem:
    space, name = lock.key
    holders = [_holder(lease, now) for lease in lock.all_leases]
    mode = holders[0].mode if holders else None
    return LockItem(name, space.name.lower(), mode, holders, lock.waiting, lock.last_fence)


def _holder(lease: Lease, now: int) -> HolderItem:
    waiter = lease.waiter
    mode = waiter.mode.name.lower()
    return HolderItem(waiter.label, short_hash(lease.digest), mode, lease.fence, _remaining(lease, now))


def _remaining(lease: Lease, now: int) -> float:
    return seconds(max(0, lease.deadline - now))


def _cursor(place: Place) -> str:
    name, space = place
    return base64.urlsafe_b64encode(f"{space.value}{name}".encode()).decode().rstrip("=")


def _read_cursor(text: str) -> Place:
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        plain = base64.b64decode(padded, altchars=b"-_", validate=True).decode()
        return plain[1:], Space(int(plain[:1]))
    except (ValueError, binascii.Error):
        raise BadCursor("after is the next of an earlier page, unchanged") from None
