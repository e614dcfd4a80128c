"""The public surface: exactly these names, each of which loads; whatever else is added must be listed here."""

from __future__ import annotations

import subprocess
import sys
from importlib import resources
from unittest.mock import MagicMock

import pytest

import lockmanager
import lockmanager.testing

PUBLIC = [
    "AccessDenied",
    "AcquireTimeout",
    "Cluster",
    "ClusterMismatch",
    "ConfigurationError",
    "Coordinator",
    "HolderReport",
    "Lease",
    "LeaseLost",
    "LockContext",
    "LockManagerError",
    "LockReport",
    "NotAcquired",
    "ProtocolMismatch",
    "QuorumUnavailable",
    "RequestRejected",
]
COORDINATOR = ["acquire", "close", "discover", "efficiency_lock", "engine", "from_config", "inspect", "lock"]
LEASE = [
    "call_when_lost",
    "check",
    "fence",
    "loss",
    "lost",
    "name",
    "notice_the_time",
    "release",
    "release_soon",
    "remaining",
    "renew",
    "ticket",
    "ttl",
    "valid",
]


def public_attributes(thing: object) -> list[str]:
    return [name for name in dir(thing) if not name.startswith("_")]


def test_the_library_offers_exactly_these_names_in_order() -> None:
    assert lockmanager.__all__ == PUBLIC == sorted(PUBLIC)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_loads_and_says_what_it_is(name: str) -> None:
    thing = getattr(lockmanager, name)
    assert thing.__name__ == name
    assert thing.__doc__
    assert thing.__module__.startswith("lockmanager.")


def test_a_star_import_brings_the_public_names() -> None:
    space: dict[str, object] = {}
    exec("from lockmanager import *", space)  # noqa: S102 - a star import is only allowed at the top of a module
    assert set(PUBLIC) <= set(space)


def test_a_name_that_is_not_public_is_an_attribute_error_naming_it() -> None:
    with pytest.raises(AttributeError, match="no attribute 'NoSuchThing'"):
        lockmanager.__getattr__("NoSuchThing")


def test_the_library_is_typed() -> None:
    assert resources.files("lockmanager").joinpath("py.typed").is_file()


def test_the_protocol_is_read_without_loading_the_client() -> None:
    code = "import lockmanager.wire, sys; print('aiohttp' in sys.modules, 'asyncio' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert shown.stdout.split() == ["False", "False"]


def test_the_testing_helpers_are_exactly_these() -> None:
    assert lockmanager.testing.__all__ == ["LocalCluster"]
    assert all(hasattr(lockmanager.testing, name) for name in lockmanager.testing.__all__)


def test_a_coordinator_offers_exactly_these_names() -> None:
    assert public_attributes(lockmanager.Coordinator) == COORDINATOR
    assert public_attributes(lockmanager.Coordinator.discover("http://127.0.0.1:1")) == COORDINATOR


def test_a_lease_offers_exactly_these_names() -> None:
    run = MagicMock(name="a run that is over")
    given = [name for name in vars(lockmanager.Lease(run)) if not name.startswith("_")]
    assert sorted(public_attributes(lockmanager.Lease) + given) == LEASE


def test_a_lock_context_offers_nothing_but_async_with() -> None:
    assert public_attributes(lockmanager.LockContext) == []
    assert hasattr(lockmanager.LockContext, "__aenter__")
