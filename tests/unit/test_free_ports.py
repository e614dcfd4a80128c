"""Clusters on one machine do not get each other's ports."""

from __future__ import annotations

import pytest

from lockmanager.testing import local_cluster
from lockmanager.testing.local_cluster import free_ports


@pytest.fixture(autouse=True)
def few_ports(monkeypatch: pytest.MonkeyPatch) -> range:
    ports = range(31_900, 31_940)
    monkeypatch.setattr(local_cluster, "_PORTS", ports)
    monkeypatch.setattr(local_cluster, "_given", set())
    monkeypatch.setattr(local_cluster, "_is_free", lambda port: port != ports[0])
    return ports


def test_no_port_is_given_twice_while_most_are_left() -> None:
    given = [port for _ in range(10) for port in free_ports(3)]
    assert len(set(given)) == 30


def test_ports_are_given_again_when_they_run_out(few_ports: range) -> None:
    given = {port for _ in range(200) for port in free_ports(3)}
    assert given == set(few_ports[1:])


def test_enough_are_found_when_few_are_left_that_were_never_given(few_ports: range) -> None:
    for _ in range(31):
        free_ports(1)
    assert len(set(free_ports(30))) == 30


def test_too_few_ports_are_an_error_that_says_where(few_ports: range) -> None:
    with pytest.raises(RuntimeError, match="fewer than 40 free ports from 31900 to 31939"):
        free_ports(len(few_ports))
