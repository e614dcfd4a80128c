"""What a table tells whoever listens to the changes of its leases."""

from __future__ import annotations

import logging

import pytest

from lockmanager.wire import Acquire, Granted, Mode, Release, Space, Token, Yield
from lockmanager_node.lock import Event, Lease
from lockmanager_node.service import log_event
from lockmanager_node.table import Table

SECOND = 1_000_000
A, B = Token("a" * 32), Token("b" * 32)


def _acquire(token: Token, ticket: int) -> Acquire:
    return Acquire(token, Space.QUORUM, "x", ticket, 10 * SECOND, Mode.EXCLUSIVE, True, "label")


def test_each_change_of_a_lease_is_told_once_and_in_order() -> None:
    told: list[tuple[Event, int]] = []
    table = Table(1, tell=lambda event, lease: told.append((event, lease.waiter.ticket)))
    grant = table.handle("s", _acquire(B, 20), now=0, wall=0)[0][1]
    assert isinstance(grant, Granted)
    table.handle("s", _acquire(A, 10), now=0, wall=0)
    table.handle("s", Yield(B, grant.grant_id), now=0, wall=0)
    table.handle("s", Release(A), now=0, wall=0)
    table.expire(now=10 * SECOND)
    table.handle("s", _acquire(A, 30), now=10 * SECOND, wall=0)
    table.revoke((Space.QUORUM, "x"), now=10 * SECOND, force=True)
    assert told == [
        (Event.GRANTED, 20),
        (Event.YIELDED, 20),
        (Event.GRANTED, 10),
        (Event.RELEASED, 10),
        (Event.GRANTED, 20),
        (Event.EXPIRED, 20),
        (Event.GRANTED, 30),
        (Event.REVOKED, 30),
    ]


def test_the_log_line_of_a_change_has_its_fields_and_no_token(caplog: pytest.LogCaptureFixture) -> None:
    def tell(event: Event, lease: Lease) -> None:
        log_event(event, lease)

    with caplog.at_level(logging.INFO, logger="lockmanager_node"):
        Table(1, tell=tell).handle("s", _acquire(A, 20), now=0, wall=0)
    assert caplog.messages == ["lease_granted space=quorum name='x' fence=20 ttl=10 label='label'"]
