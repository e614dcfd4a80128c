"""Clients written for the original's HTTP API work unchanged against a node of the stack."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from tests.e2e.stack import Stack

pytestmark = pytest.mark.compose

NODE = "http://127.0.0.1:8001"


def _work_under_the_lock(name: str, busy: set[str], worker: str) -> tuple[str, str]:
    response = "false"
    while response == "false":
        response = requests.get(f"{NODE}/getLock/{name}", timeout=10).text
    assert not busy
    busy.add(worker)
    token = response
    busy.remove(worker)
    released = requests.get(f"{NODE}/releaseLock/{name}/{token}", timeout=10).text
    return token, released


def test_the_classic_snippet_works_unchanged(stack: Stack, name: str) -> None:
    token, released = _work_under_the_lock(name, set(), "only")
    assert re.fullmatch(r"[0-9A-Za-z]{32}", token)
    assert released == "released"


def test_the_classic_loop_waits_for_the_other_client(stack: Stack, name: str) -> None:
    busy: set[str] = set()
    with ThreadPoolExecutor(4) as pool:
        turns = list(pool.map(lambda worker: _work_under_the_lock(name, busy, worker), "abcd"))
    assert [released for _, released in turns] == ["released"] * 4
    assert len({token for token, _ in turns}) == 4


def test_a_held_lock_and_a_foreign_token_are_answered_false(stack: Stack, name: str) -> None:
    token = requests.get(f"{NODE}/getLock/{name}", timeout=10).text
    again = requests.get(f"{NODE}/getLock/{name}", timeout=10)
    foreign = requests.get(f"{NODE}/releaseLock/{name}/{'0' * 32}", timeout=10)
    own = requests.get(f"{NODE}/releaseLock/{name}/{token}", timeout=10)
    assert (again.text, foreign.text, own.text) == ("false", "false", "released")
    assert again.headers["Content-Type"].startswith("text/plain")
