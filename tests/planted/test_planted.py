"""The planted bugs fit the code, and ten of them, from all over the protocol, are caught within seconds each."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.planted.catalogue import PATCHES, Bug, catalogue
from tests.planted.planting import Check, Copy, Outcome, Verdict, changed_files, copied

BUGS = {bug.patch: bug for bug in catalogue()}
MOST_LINES = 8
QUICK = (
    "majority-off-by-one",
    "bound-from-receive-time",
    "grant-id-ignored-when-inquired",
    "yield-while-held",
    "no-raise",
    "inquire-once-per-grant",
    "late-yield-unanswered",
    "renew-shortens-a-lease",
    "reply-before-sync",
    "no-second-reading",
)


@pytest.fixture(scope="module")
def copy() -> Iterator[Copy]:
    with copied() as copy:
        yield copy


def named(end: str) -> Bug:
    """Return the bug whose patch has this name, whatever its number."""
    (bug,) = [bug for name, bug in BUGS.items() if name.split("-", 1)[1] == end]
    return bug


def test_every_patch_is_in_the_catalogue_and_has_a_name_and_a_number_of_its_own() -> None:
    assert [bug.patch for bug in catalogue()] == sorted(file.stem for file in PATCHES.glob("*.patch"))
    numbers = Counter(name.split("-", 1)[0] for name in BUGS)
    assert list(numbers) == [f"{number:02}" for number in range(1, len(BUGS) + 1)]
    assert len({bug.bug for bug in BUGS.values()}) == len(BUGS) >= 40


@pytest.mark.parametrize("name", BUGS)
def test_the_patch_applies(name: str, copy: Copy) -> None:
    copy.apply(BUGS[name].file, dry=True)


@pytest.mark.parametrize("name", BUGS)
def test_the_patch_is_a_small_change_of_one_room_of_the_product(name: str) -> None:
    file = BUGS[name].file
    changed = [line for line in file.read_text().splitlines() if re.match(r"[+-](?![+-]{2} )", line)]
    assert 1 <= len(changed) <= MOST_LINES
    (room,) = changed_files(file)
    assert room.startswith(("coordinator/lockmanager/", "node/lockmanager_node/"))


@pytest.mark.parametrize("name", BUGS)
def test_the_checks_that_must_catch_it_exist_where_it_is_planted(name: str, copy: Copy) -> None:
    checks = BUGS[name].checks()
    assert checks
    for test in (test for check in checks if check.is_pytest for test in check.arguments):
        path, _, function = test.partition("::")
        text = (copy.root / path).read_text()
        assert not function or f"def {function}(" in text


@pytest.mark.parametrize("name", QUICK)
def test_it_is_caught(name: str) -> None:
    bug = named(name)
    with copied() as copy:
        copy.apply(bug.file)
        outcome = copy.run(Check("unit", bug.unit[:1]))
    assert outcome.verdict is Verdict.CAUGHT, outcome.detail


def test_the_same_checks_find_nothing_in_the_code_as_it_is(copy: Copy) -> None:
    outcome = copy.run(Check("unit", tuple(named(name).unit[0] for name in QUICK)))
    assert outcome == Outcome(Verdict.SURVIVED, outcome.seconds), outcome.detail
