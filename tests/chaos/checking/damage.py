"""The ways in which a history can be wrong: each makes a valid history certainly wrong, or finds no place for it.

`LOCK_DAMAGES` are wrong by what the lock did, so both checkers must refuse them; `RESOURCE_DAMAGES` only show at the
resource, of which the exhaustive checker knows nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Final, TypeAlias

from tests.chaos.checking.operations import Access, Lease, Operation
from tests.chaos.checking.sites import INTRUDER, Site, either, end_of, intrusion, of, of_lease, releases_of
from tests.chaos.history import Event, History, Mode

Damage: TypeAlias = Callable[[Site], Iterator[list[Event]]]
"""Yields damaged events, for each suitable place once."""


def damaged(history: History, kind: str, seed: int) -> History | None:
    """Damage a history in one place that the seed chooses; None when it has no place for this damage."""
    site = Site(history, Random(seed))
    events = next(DAMAGES[kind](site), None)
    return None if events is None else History(events=events)


# Who holds


def second_holder(site: Site) -> Iterator[list[Event]]:
    yield from _beside(site, "exclusive", "exclusive")


def reader_beside_writer(site: Site) -> Iterator[list[Event]]:
    yield from _beside(site, "exclusive", "shared")


def writer_beside_reader(site: Site) -> Iterator[list[Event]]:
    yield from _beside(site, "shared", "exclusive")


def _beside(site: Site, holder: Mode, intruder: Mode) -> Iterator[list[Event]]:
    """Let somebody hold the lock for a moment while another one does."""
    for lease in site.held(holder):
        fence = lease.acquire.fence + 1
        if site.unused(lease.acquire.lock, fence):
            begin, end = lease.start + 1, lease.end
            middle = (begin + end) // 2
            yield site.inserted(*intrusion("acquire", lease, begin, middle, mode=intruder, fence=fence, until=end))


def granted_before_release(site: Site) -> Iterator[list[Event]]:
    """Let a waiter hold the lock just before its holder gives it back."""
    for before, after in site.successions():
        at = before.end - 1
        if before.releases and before.end == before.releases[0].begin and after.acquire.begin < at:
            yield site.edited(end_of(after.acquire), at=at)


def granted_before_the_end(site: Site) -> Iterator[list[Event]]:
    """Forget that a lease was given back, so that another one was granted before it had run out."""
    for before, after in site.successions():
        if before.acquire.until > after.start and not site.lost(before):
            yield site.without(releases_of(before))


def revived_after_its_end(site: Site) -> Iterator[list[Event]]:
    """Let a holder rely on a lease that had run out, beside the one who was granted the lock then."""
    for before, after in site.successions():
        if not before.releases and not site.lost(before):
            middle = (after.start + after.end) // 2
            fence, mode, client = before.acquire.fence, before.acquire.mode, before.acquire.client
            fields = {"client": client, "op": -1, "mode": mode, "fence": fence}
            yield site.inserted(*intrusion("release", before, middle, middle + 1, until=middle + 2, **fields))


def released_by_another(site: Site) -> Iterator[list[Event]]:
    for lease in site.held():
        fence, mode = lease.acquire.fence, lease.acquire.mode
        yield site.inserted(*intrusion("release", lease, lease.start + 1, lease.start + 2, fence=fence, mode=mode))


# Fences


def fence_repeated(site: Site) -> Iterator[list[Event]]:
    for before, after in site.successions("exclusive", "exclusive"):
        yield _with_fence(site, after, before.acquire.fence)


def fence_back(site: Site) -> Iterator[list[Event]]:
    for before, after in site.successions("exclusive", "exclusive"):
        fence = before.acquire.fence - 1
        if site.unused(before.acquire.lock, fence):
            yield _with_fence(site, after, fence)


def shared_fence_below_exclusive(site: Site) -> Iterator[list[Event]]:
    for before, after in site.successions("exclusive", "shared"):
        yield _with_fence(site, after, before.acquire.fence - site.chance.randint(0, 1))


def exclusive_fence_below_shared(site: Site) -> Iterator[list[Event]]:
    for before, after in site.successions("shared", "exclusive"):
        yield _with_fence(site, after, before.acquire.fence - site.chance.randint(0, 1))


def fence_missing(site: Site) -> Iterator[list[Event]]:
    for lease in site.held():
        yield _with_fence(site, lease, 0)


def _with_fence(site: Site, lease: Lease, fence: int) -> list[Event]:
    return site.edited(of_lease(lease), fence=fence)


# The resource


def stale_access_accepted(site: Site) -> Iterator[list[Event]]:
    """Let the resource take a fence that it refused, since it certainly had seen a larger one."""
    for lock in site.locks():
        for stale in lock.accesses:
            if stale.operation.outcome == "fail" and any(_outdates(other, stale) for other in lock.accesses):
                yield site.edited(end_of(stale.operation), phase="ok")


def _outdates(other: Access, stale: Access) -> bool:
    one, late = other.operation, stale.operation
    excluding = "exclusive" in (one.mode, late.mode)
    return one.outcome == "ok" and excluding and one.end < late.begin and one.fence > late.fence


def update_lost(site: Site) -> Iterator[list[Event]]:
    """Let a client read what was there before the last update, and so write over it."""
    for write in site.accepted("write"):
        operation = write.operation
        read = _read_before(site, write)
        if read and read.value and [one.outcome for one in site.writers(operation.lock, read.value)] == ["ok"]:
            shifted = Site(History(events=site.shifted(operation.lock, read.value, -1)), site.chance)
            yield shifted.edited(end_of(read), value=read.value - 1)


def _read_before(site: Site, write: Access) -> Operation | None:
    """Return the read that a write builds on."""
    reads = [read for read in site.accepted("read") if read.lease is write.lease]
    building = [read.operation for read in reads if read.operation.value == write.operation.value - 1]
    return building[0] if building else None


def update_forgotten(site: Site) -> Iterator[list[Event]]:
    """Let a read miss an update that was over."""
    for read in _looks(site):
        writers = site.writers(read.lock, read.value)
        if read.value and any(one.outcome == "ok" and one.end < read.begin for one in writers):
            yield site.edited(end_of(read), value=read.value - 1)


def value_from_nowhere(site: Site) -> Iterator[list[Event]]:
    """Let the counter end with a value that nobody wrote."""
    for read in _looks(site):
        if not site.writers(read.lock, read.value + 1):
            yield site.edited(end_of(read), value=read.value + 1)


def _looks(site: Site) -> Iterator[Operation]:
    """Yield the reads of those who hold nothing."""
    for read in site.accepted("read"):
        if read.operation.fence == 0:
            yield read.operation


def value_from_the_future(site: Site) -> Iterator[list[Event]]:
    """Let a read see what was written only after it."""
    for write in site.accepted("write"):
        later = write.operation
        for read in site.accepted("read"):
            early = read.operation
            if early.lock == later.lock and early.end < later.begin and len(site.writers(later.lock, later.value)) == 1:
                yield site.edited(end_of(early), value=later.value)


def counted_by_two(site: Site) -> Iterator[list[Event]]:
    """Let a client add two, which tells of an update that nobody made."""
    for write in site.accepted("write"):
        operation = write.operation
        if len(site.writers(operation.lock, operation.value)) == 1:
            yield site.shifted(operation.lock, operation.value - 1, +1)


def written_with_a_fence_of_another(site: Site) -> Iterator[list[Event]]:
    for write in site.accepted("write"):
        yield site.edited(of(write.operation), client=INTRUDER)


def written_without_a_fence(site: Site) -> Iterator[list[Event]]:
    for write in site.accepted("write"):
        yield site.edited(of(write.operation), fence=0)


def written_as_a_reader(site: Site) -> Iterator[list[Event]]:
    for write in site.accepted("write"):
        if write.lease:
            yield site.edited(either(of_lease(write.lease), of(write.lease.acquire)), mode="shared")


LOCK_DAMAGES: Final[dict[str, Damage]] = {
    damage.__name__: damage
    for damage in (
        second_holder,
        reader_beside_writer,
        writer_beside_reader,
        granted_before_release,
        granted_before_the_end,
        revived_after_its_end,
        released_by_another,
        fence_repeated,
        fence_back,
        shared_fence_below_exclusive,
        exclusive_fence_below_shared,
        fence_missing,
    )
}
RESOURCE_DAMAGES: Final[dict[str, Damage]] = {
    damage.__name__: damage
    for damage in (
        stale_access_accepted,
        update_lost,
        update_forgotten,
        value_from_nowhere,
        value_from_the_future,
        counted_by_two,
        written_with_a_fence_of_another,
        written_without_a_fence,
        written_as_a_reader,
    )
}
DAMAGES: Final = LOCK_DAMAGES | RESOURCE_DAMAGES
