"""The error tree: its shape, what its messages carry, and that errors travel between processes whole."""

from __future__ import annotations

import copy
import inspect
import pickle

import pytest

from lockmanager import errors
from lockmanager.errors import (
    AccessDenied,
    AcquireTimeout,
    ClusterMismatch,
    ConfigurationError,
    LeaseLost,
    LockManagerError,
    NotAcquired,
    ProtocolMismatch,
    QuorumUnavailable,
    RequestRejected,
)

SAMPLES: list[LockManagerError] = [
    LockManagerError("something is wrong"),
    NotAcquired("orders/42", held_by=("alice",), answers={"n1": "held"}),
    AcquireTimeout("orders/42", wait=2.5, held_by=("alice", "bob"), answers={"n1": "queued"}),
    QuorumUnavailable("orders/42", needed=2, reachable=1, causes={"n2": "connection refused"}),
    LeaseLost("orders/42", fence=7, reason="validity ended"),
    RequestRejected("name_too_long", "the name has 300 bytes, the limit is 255"),
    ClusterMismatch("n3", "epoch 2 there, 1 here"),
    ProtocolMismatch("n3", "version 9 there, 1 here"),
    AccessDenied("n1", "no API key was given"),
    ConfigurationError("cluster.yaml: nodes is empty; name at least one node"),
]


def names(error: LockManagerError) -> str:
    return type(error).__name__


@pytest.mark.parametrize("error", SAMPLES, ids=names)
@pytest.mark.parametrize("protocol", [2, pickle.HIGHEST_PROTOCOL])
def test_an_error_survives_pickling_with_text_and_attributes(error: LockManagerError, protocol: int) -> None:
    again = pickle.loads(pickle.dumps(error, protocol))  # noqa: S301 - our own bytes
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert again.args == error.args
    assert again.__dict__ == error.__dict__


@pytest.mark.parametrize("error", SAMPLES, ids=names)
def test_an_error_survives_copying(error: LockManagerError) -> None:
    again = copy.copy(error)
    assert (type(again), str(again), again.__dict__) == (type(error), str(error), error.__dict__)


def test_every_error_has_a_sample_here() -> None:
    defined = {kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, LockManagerError)}
    assert defined == {type(error) for error in SAMPLES}


def test_the_tree_has_the_promised_shape() -> None:
    assert {kind.__name__: kind.__base__ for kind in map(type, SAMPLES)} == {
        "LockManagerError": Exception,
        "NotAcquired": LockManagerError,
        "AcquireTimeout": NotAcquired,
        "QuorumUnavailable": LockManagerError,
        "LeaseLost": LockManagerError,
        "RequestRejected": LockManagerError,
        "ClusterMismatch": LockManagerError,
        "ProtocolMismatch": LockManagerError,
        "AccessDenied": LockManagerError,
        "ConfigurationError": LockManagerError,
    }


def test_a_timeout_names_the_lock_the_wait_the_holders_and_each_nodes_answer() -> None:
    error = AcquireTimeout("orders/42", wait=2.5, held_by=["alice"], answers={"n2": "queued", "n1": "refused"})
    assert "'orders/42' was not acquired within 2.5 s: it is held by 'alice' (n1: refused; n2: queued)" in str(error)
    assert error.held_by == ("alice",)


def test_an_unknown_holder_is_said_to_be_someone_else() -> None:
    assert "held by someone else" in str(NotAcquired("a"))


def test_a_crowd_of_holders_is_shortened_in_the_text_but_not_in_the_attribute() -> None:
    error = NotAcquired("a", held_by=[f"r{number}" for number in range(8)])
    assert "'r4' and 3 more" in str(error)
    assert "'r5'" not in str(error)
    assert len(error.held_by) == 8


def test_an_unavailable_quorum_names_the_numbers_and_each_nodes_cause() -> None:
    error = QuorumUnavailable("a", needed=2, reachable=1, causes={"n3": "timed out", "n2": "connection refused"})
    assert "needs 2 nodes and 1 can be reached (n2: connection refused; n3: timed out)" in str(error)


def test_changing_the_mapping_afterwards_does_not_change_the_error() -> None:
    causes = {"n1": "refused"}
    error = QuorumUnavailable("a", needed=2, reachable=1, causes=causes)
    causes.clear()
    assert error.causes == {"n1": "refused"}


def test_a_lost_lease_names_its_fence_and_reason() -> None:
    assert "'a' (fence 7) is lost: validity ended" in str(LeaseLost("a", fence=7, reason="validity ended"))


def test_a_rejection_carries_the_code_and_which_limit() -> None:
    error = RequestRejected("ttl_too_long", "ttl is 99 s, the limit is 60 s")
    assert "(ttl_too_long): ttl is 99 s, the limit is 60 s" in str(error)
