"""A journal cut or zeroed at any byte of its last page is refused, or is what it was after some commit; never less."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lockmanager_node.store import FILE_NAME, JournalRefused, Store
from tests.support.journal_cases import OWNER, WAL, Contents, after, as_left, contents, ends, grants, opened
from tests.support.journal_driver import STEPS

REPOSITORY = Path(__file__).parents[2]
PAGE = 4096
FRAME = 24 + PAGE
"""A page in the WAL, with what leads it."""

each_step = pytest.mark.parametrize("step", [20, pytest.param(1, marks=pytest.mark.slow)])
"""Bytes between two tears of a page. Whatever stands in it is longer than the larger one."""

COMMITS = [
    *(grants(*range(first, first + 20)) for first in range(1, 160, 20)),
    *(ends(*range(first, first + 4)) for first in range(1, 160, 40)),
]
"""So many leases that they stand on several pages."""


@pytest.fixture(scope="module")
def fast() -> Iterator[Path]:
    """A directory in memory where there is one: thousands of copies are made, and their disk is not the question."""
    memory = Path("/dev/shm")  # noqa: S108 - its contents are nobody's secret
    within = str(memory) if os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="lockmanager-", dir=within) as name:
        yield Path(name)


@pytest.fixture(scope="module")
def closed(fast: Path) -> Path:
    """A journal that was closed."""
    directory = fast / "closed"
    journal = Store(directory, OWNER)
    for batch in COMMITS:
        journal.commit(batch)
    journal.close()
    return directory


@pytest.fixture(scope="module")
def killed(fast: Path) -> Path:
    """A journal as a killed process leaves it, with everything in the WAL."""
    with opened(fast / "open") as journal:
        for batch in COMMITS:
            journal.commit(batch)
        return as_left(fast / "open", fast / "killed")


@pytest.fixture(scope="module")
def begun_anew(fast: Path) -> Path:
    """As `killed`; but some of it is in the database, and what is left of that in the WAL is being overwritten."""
    with opened(fast / "tidied") as journal:
        for batch in COMMITS[:-4]:
            journal.commit(batch)
        journal._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        for batch in COMMITS[-4:]:
            journal.commit(batch)
        return as_left(fast / "tidied", fast / "begun anew")


STATES = [after(COMMITS[:count]) for count in range(len(COMMITS) + 1)]


def cut(data: bytes, at: int, _end: int) -> bytes:
    return data[:at]


def zeroed(data: bytes, at: int, end: int) -> bytes:
    return data[:at] + bytes(end - at) + data[end:]


Tear = Callable[[bytes, int, int], bytes]
each_tear = pytest.mark.parametrize("tear", [cut, zeroed], ids=["cut", "zeroed"])


def torn(source: Path, name: str, tear: Tear, span: range) -> Counter[int | str]:
    """Tear a copy of one of a journal's files at the bytes of a span; count after which commit each copy stands.

    A state that never was fails the test, and names the byte.
    """
    whole = (source / name).read_bytes()
    copy = source.parent / "copy"
    outcomes: Counter[int | str] = Counter()
    for at in span:
        shutil.copytree(source, copy)
        (copy / name).write_bytes(tear(whole, at, span.stop))
        outcomes[_outcome(copy, f"{name} torn at byte {at} of {len(whole)}")] += 1
        shutil.rmtree(copy)
    assert outcomes.total() == len(span)
    return outcomes


def _outcome(copy: Path, what: str) -> int | str:
    try:
        found: Contents = contents(copy)
    except JournalRefused:
        return "refused"
    assert found in STATES, f"{what}: {len(found.numbers)} leases and fence {found.fence_floor} never stood together"
    return STATES.index(found)


def last_page(source: Path, step: int) -> range:
    size = (source / FILE_NAME).stat().st_size
    assert size >= 4 * PAGE
    return range(size - PAGE, size, step)


def frames(source: Path) -> int:
    return ((source / WAL).stat().st_size - 32) // FRAME


def frame(number: int, step: int) -> range:
    """Return every `step`-th byte of one frame of a WAL; frames are counted from 0."""
    return range(32 + number * FRAME, 32 + (number + 1) * FRAME, step)


@each_step
@each_tear
def test_a_closed_journal_torn_in_its_last_page_is_refused_or_whole(closed: Path, tear: Tear, step: int) -> None:
    outcomes = torn(closed, FILE_NAME, tear, last_page(closed, step))
    assert set(outcomes) <= {"refused", len(COMMITS)}
    assert outcomes["refused"] > PAGE // step // 2


@each_step
@pytest.mark.parametrize("page", range(3))
def test_a_closed_journal_torn_in_an_early_page_is_refused_or_whole(closed: Path, page: int, step: int) -> None:
    outcomes = torn(closed, FILE_NAME, zeroed, range(page * PAGE, (page + 1) * PAGE, 5 * step))
    assert set(outcomes) <= {"refused", len(COMMITS)}


@each_step
@each_tear
def test_a_wal_torn_in_its_last_page_says_what_it_said_before_the_last_commit(
    killed: Path, tear: Tear, step: int
) -> None:
    outcomes = torn(killed, WAL, tear, frame(frames(killed) - 1, step))
    assert set(outcomes) <= {len(COMMITS) - 1, len(COMMITS)}
    assert outcomes[len(COMMITS) - 1] > PAGE // step // 2


@each_tear
def test_a_wal_torn_anywhere_says_what_it_said_after_some_commit(killed: Path, tear: Tear) -> None:
    size = (killed / WAL).stat().st_size
    outcomes = torn(killed, WAL, tear, range(0, size, 509))
    assert "refused" not in outcomes
    assert len(outcomes) == len(COMMITS)  # any state but the last


@each_step
@each_tear
def test_a_wal_that_begins_anew_torn_anywhere_keeps_what_is_in_the_database(
    begun_anew: Path, tear: Tear, step: int
) -> None:
    outcomes = torn(begun_anew, WAL, tear, range(0, 8 * FRAME, 61 * step))
    assert set(outcomes) <= set(range(len(COMMITS) - 4, len(COMMITS) + 1))
    assert len(outcomes) > 4


def test_what_a_killed_process_leaves_is_everything(tmp_path: Path) -> None:
    driver = [sys.executable, "-m", "tests.support.journal_driver", str(tmp_path / "data"), "kill"]
    process = subprocess.run(driver, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, timeout=60, check=False)
    assert (process.returncode, process.stdout.split()[-1]) == (-signal.SIGKILL, str(len(STEPS)))
    assert (tmp_path / "data" / WAL).stat().st_size > FRAME
    assert contents(tmp_path / "data") == after(STEPS)
