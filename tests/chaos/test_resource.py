"""The resource with the check refuses what comes too late, the one without takes everything, and both can tell."""

from __future__ import annotations

import pytest

from tests.chaos.resource import Counter, Resource


@pytest.fixture
def counter() -> Counter:
    return Counter(checked=True)


def test_an_update_under_an_older_fence_is_refused_and_changes_nothing(counter: Counter) -> None:
    assert counter.write(1, fence=7)
    assert not counter.write(5, fence=6)
    assert (counter.value, counter.accepted, counter.refused, counter.lost) == (1, 1, 1, 0)


def test_a_holder_may_come_again_with_the_fence_it_has(counter: Counter) -> None:
    assert counter.read(7) == 0
    assert counter.write(1, fence=7)
    assert counter.write(2, fence=7)


def test_a_read_shows_the_fence_already_so_that_older_holders_cannot_write_any_more(counter: Counter) -> None:
    assert counter.read(5) == 0
    assert counter.read(6) == 0
    assert not counter.write(1, fence=5)
    assert counter.write(1, fence=6)
    assert counter.lost == 0


def test_readers_need_not_exceed_each_other_but_the_writers_before_them(counter: Counter) -> None:
    assert counter.read(9, shared=True) == 0
    assert counter.read(8, shared=True) == 0
    assert counter.write(1, fence=10)
    assert counter.read(9, shared=True) is None
    assert counter.read(11, shared=True) == 1


def test_a_writer_must_exceed_the_readers_before_it(counter: Counter) -> None:
    assert counter.read(9, shared=True) == 0
    assert not counter.write(1, fence=8)
    assert counter.write(1, fence=10)


def test_without_the_check_a_stale_write_is_taken_and_counts_as_lost_updates() -> None:
    counter = Counter(checked=False)
    assert counter.read(5) == 0
    for fence in (6, 7, 8):
        seen = counter.read(fence)
        assert seen is not None
        assert counter.write(seen + 1, fence)
    assert counter.write(1, fence=5)
    assert (counter.value, counter.accepted, counter.lost, counter.refused) == (1, 4, 3, 0)


def test_one_request_goes_to_both_resources_and_the_report_tells_them_apart() -> None:
    resource = Resource()
    for fence in (5, 6):
        resource.answer({"do": "read", "lock": "a", "fence": fence, "shared": False})
    resource.answer({"do": "write", "lock": "a", "fence": 6, "values": {"checked": 1, "unchecked": 1}})
    stale = {"do": "write", "lock": "a", "fence": 5, "values": {"checked": 1, "unchecked": 1}}
    assert resource.answer(stale) == {"checked": False, "unchecked": True}
    report = resource.answer({"do": "report"})
    assert report["checked"]._asdict() == {"accepted": 1, "refused": 1, "lost": 0, "values": {"a": 1}}
    assert report["unchecked"]._asdict() == {"accepted": 2, "refused": 0, "lost": 1, "values": {"a": 1}}


def test_a_request_nobody_understands_is_an_error() -> None:
    with pytest.raises(ValueError, match="it was asked"):
        Resource().answer({"do": "dance"})
