"""The simulated disk keeps what a real one would, and no more."""

from __future__ import annotations

from random import Random

from lockmanager_node.records import Kept
from lockmanager_node.store import Batch
from tests.simulation.disk import SimDisk
from tests.support.journal_cases import ends, grants, lease


def _disk() -> SimDisk:
    return SimDisk(Random(1))


def _numbers(disk: SimDisk) -> list[int]:
    _, kept = disk.read()
    return [number for number, _ in kept.records]


def test_what_was_written_is_read_again_as_the_journal_would_say_it() -> None:
    disk = _disk()
    for batch in (grants(1, 2), ends(1), Batch({2: lease(2, deadline=77)}, {"served": "yes"}, fence_floor=2_000)):
        disk.write(batch)
    assert disk.read() == ({"served": "yes"}, Kept([(2, lease(2, deadline=77))], 2_000))


def test_what_gives_is_synced_and_what_only_ends_is_not() -> None:
    disk = _disk()
    disk.write(grants(1, 2))
    disk.write(ends(1))
    assert (disk.synced, len(disk.batches)) == (1, 2)


def test_a_sync_takes_along_what_was_written_before() -> None:
    disk = _disk()
    disk.write(grants(1, 2))
    disk.write(ends(1))
    disk.write(grants(3))
    assert disk.synced == 3


def test_power_loss_never_takes_what_was_synced() -> None:
    for _ in range(50):
        disk = _disk()
        disk.write(grants(1, 2))
        disk.write(ends(1))
        disk.write(ends(2))
        disk.lose_power()
        assert _numbers(disk) in ([1, 2], [2], [])


def test_power_loss_can_take_all_that_was_not_synced() -> None:
    seen = set()
    for seed in range(50):
        disk = SimDisk(Random(seed))
        disk.write(grants(1, 2))
        disk.write(ends(1))
        disk.lose_power()
        seen.add(tuple(_numbers(disk)))
    assert seen == {(1, 2), (2,)}


def test_a_lost_disk_knows_nothing() -> None:
    disk = _disk()
    disk.write(grants(1))
    disk.lose()
    assert disk.read() == ({}, Kept([], 0))
