"""Which exit status stands for what: scripts rely on these numbers."""

from __future__ import annotations

import pytest

from lockmanager import errors
from lockmanager.cli.exits import Exit, child_status, status_of

CASES: list[tuple[errors.LockManagerError, int]] = [
    (errors.NotAcquired("n"), 75),
    (errors.AcquireTimeout("n", wait=1), 75),
    (errors.QuorumUnavailable("n", needed=2, reachable=1), 69),
    (errors.LeaseLost("n", fence=1, reason="r"), 79),
    (errors.RequestRejected("ttl", "too long"), 64),
    (errors.AccessDenied("node1", "no key"), 77),
    (errors.ClusterMismatch("node1", "epoch"), 78),
    (errors.ProtocolMismatch("node1", "2"), 78),
    (errors.ConfigurationError("unreadable"), 78),
    (errors.LockManagerError("of a later version"), 1),
]


@pytest.mark.parametrize(("error", "status"), CASES, ids=lambda case: type(case).__name__)
def test_each_error_has_its_status(error: errors.LockManagerError, status: int) -> None:
    assert status_of(error) == status


def test_every_error_of_the_library_is_among_the_cases() -> None:
    known = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)}
    assert {type(error) for error, _ in CASES} == known


def test_a_command_s_own_status_is_passed_on() -> None:
    assert child_status(7 << 8) == 7


def test_a_killed_command_gives_128_and_the_signal() -> None:
    assert child_status(9) == 137


def test_a_killed_command_that_dumped_its_core_gives_the_same() -> None:
    assert child_status(11 | 0x80) == 139


def test_the_statuses_for_commands_are_those_of_shells() -> None:
    assert (Exit.NOT_EXECUTABLE, Exit.NOT_FOUND) == (126, 127)
