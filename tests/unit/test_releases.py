"""Which releases are sent again, until when, and how many at once."""

from __future__ import annotations

from lockmanager.releases import PORTION, Releases
from lockmanager.wire import Token

A, B = Token("a" * 32), Token("b" * 32)


def _released(*tokens: Token, until: int = 100) -> Releases:
    releases = Releases()
    for token in tokens:
        releases.ask(token)
        assert releases.release(token, until, now=0)
    return releases


def test_a_release_of_what_the_node_never_heard_of_is_not_kept() -> None:
    releases = Releases()
    assert not releases.release(A, until=100, now=0)
    releases.reconnected(now=1)
    assert releases.next_portion() == []


def test_what_is_unconfirmed_is_sent_again_after_each_reconnect_in_order() -> None:
    releases = _released(A, B)
    for _ in range(2):
        releases.reconnected(now=1)
        assert releases.next_portion() == [A, B]
        assert releases.next_portion() == []


def test_what_was_confirmed_is_not_sent_again() -> None:
    releases = _released(A, B)
    releases.confirm(A)
    releases.reconnected(now=1)
    releases.confirm(B)
    assert releases.next_portion() == []
    assert len(releases) == 0


def test_nothing_is_sent_again_once_its_ttl_has_passed() -> None:
    releases = _released(A)
    releases.reconnected(now=100)
    assert releases.next_portion() == []


def test_a_long_list_is_handed_out_in_portions() -> None:
    tokens = [Token(f"{number:032}") for number in range(PORTION + 1)]
    releases = _released(*tokens)
    releases.reconnected(now=1)
    assert [len(releases.next_portion()) for _ in range(3)] == [PORTION, 1, 0]


def test_what_is_never_confirmed_does_not_grow_for_ever() -> None:
    releases = Releases()
    for number in range(10_000):
        token = Token(f"{number:032}")
        releases.ask(token)
        releases.release(token, until=number + 10, now=number)
    assert len(releases) < 2_000
