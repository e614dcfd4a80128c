"""A journal on disk whose thread a test holds up, for those who ask for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from lockmanager_node.journal import DiskJournal
from tests.support.journal_cases import OWNER
from tests.support.journal_thread import Gate, Told, gated


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    with gated(monkeypatch) as gate:
        yield gate


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[DiskJournal]:
    opened = DiskJournal(tmp_path, OWNER)
    opened.attach(asyncio.get_running_loop())
    yield opened
    await opened.abandon()


@pytest.fixture
def told() -> Told:
    return Told()
