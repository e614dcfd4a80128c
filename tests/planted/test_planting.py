"""What counts as a planted bug that was caught, and what does not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.evidence.store import SEEDS_PER_SLICE
from tests.planted.catalogue import Bug
from tests.planted.evidence import portion
from tests.planted.hunting import Find, together
from tests.planted.planting import Check, Copy, NotApplied, Outcome, Verdict, copied, judge

QUICK = Check("unit", ("tests/unit/test_ballot.py::test_a_majority_is_more_than_half",))
CODE = Path("/copy/code")
IMPORTED = ["package\tlockmanager\t/copy/code/a.py", "package\tlockmanager_node\t/copy/code/b.py"]
BUG = Bug(patch="00-nothing", bug="Nothing is left out.", harm="None.")


@pytest.fixture
def copy(tmp_path: Path) -> Iterator[Copy]:
    with copied(tmp_path) as copy:
        yield copy


def replace(copy: Copy, before: str, after: str) -> None:
    """Change the ballot of a copy by hand."""
    file = copy.root / "coordinator/lockmanager/ballot.py"
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after))


def test_a_change_of_behaviour_is_caught_by_the_test_that_fails(copy: Copy) -> None:
    replace(copy, "len(self.votes) // 2 + 1", "len(self.votes) // 2")
    outcome = copy.run(QUICK)
    assert (outcome.verdict, outcome.by) == (Verdict.CAUGHT, f"{QUICK.arguments[0]}[1-1]")
    assert outcome.detail.startswith("AssertionError")
    assert outcome.seconds > 0


def test_a_change_that_makes_no_difference_survives(copy: Copy) -> None:
    replace(copy, "len(self.votes) // 2 + 1", "1 + len(self.votes) // 2")
    assert copy.run(QUICK).verdict is Verdict.SURVIVED


def test_code_that_cannot_be_imported_is_not_caught(copy: Copy) -> None:
    replace(copy, "from .durations import bound", "from .durations import bounds")
    outcome = copy.run(QUICK)
    assert outcome.verdict is Verdict.BROKEN
    assert "ImportError" in outcome.detail


def test_a_name_nobody_defined_is_not_caught(copy: Copy) -> None:
    replace(copy, "len(self.votes) // 2 + 1", "length(self.votes) // 2 + 1")
    assert copy.run(QUICK).verdict is Verdict.BROKEN


def test_a_test_that_does_not_exist_catches_nothing(copy: Copy) -> None:
    replace(copy, "len(self.votes) // 2 + 1", "len(self.votes) // 2")
    assert copy.run(Check("unit", ("tests/unit/test_ballot.py::test_nothing",))).verdict is Verdict.BROKEN


def test_a_patch_that_does_not_fit_is_no_patch(copy: Copy) -> None:
    patch = copy.scratch / "bad.patch"
    file = "coordinator/lockmanager/durations.py"
    patch.write_text(f"--- a/{file}\n+++ b/{file}\n@@ -1,1 +1,1 @@\n-what was there once\n+what would be there\n")
    with pytest.raises(NotApplied, match=r"bad\.patch does not apply: .*durations\.py"):
        copy.apply(patch)


def test_code_from_elsewhere_proves_nothing() -> None:
    elsewhere = ["package\tlockmanager\t/somewhere/a.py", IMPORTED[1], "failed\ttest_x\tAssertionError\t"]
    outcome = judge(1, elsewhere, "", CODE)
    assert outcome.verdict is Verdict.BROKEN
    assert "/somewhere/a.py was imported" in outcome.detail


def test_a_child_that_imported_nothing_proves_nothing() -> None:
    assert judge(0, [], "", CODE).verdict is Verdict.BROKEN


@pytest.mark.parametrize(("status", "report"), [(None, []), (1, ["failed\ttest_x\tFailed\tTimeout (>120.0s)"])])
def test_running_out_of_time_is_not_being_caught(status: int | None, report: list[str]) -> None:
    assert judge(status, IMPORTED + report, "", CODE).verdict is Verdict.HUNG


def test_a_violation_is_caught_by_its_seed() -> None:
    outcome = judge(1, IMPORTED, "seed 137 at 2.5 s: exclusion: two holders\n 138  seeds\n", CODE)
    assert (outcome.verdict, outcome.by) == (Verdict.CAUGHT, "seed 137")
    assert outcome.detail == "seed 137 at 2.5 s: exclusion: two holders"


def test_a_violation_that_came_by_a_log_is_caught_by_the_seed_it_is_repeated_with() -> None:
    said = "nothing unexpected: logged: ['no yield while held']; again with: python -m tests.simulation --seeds 39"
    outcome = judge(1, IMPORTED, f"{said}\n 40  seeds\n", CODE)
    assert (outcome.verdict, outcome.by) == (Verdict.CAUGHT, "seed 39")


@pytest.mark.parametrize(
    ("status", "report", "output"),
    [
        (1, [], "no word of what was found"),
        (2, [], "seed 137"),
        (70, ["crashed\tValueError()"], "seed 137"),
        (1, [], "seed 137 at 2.5 s: nothing unexpected: NameError: name 'x' is not defined"),
    ],
)
def test_a_simulation_that_cannot_run_catches_nothing(status: int, report: list[str], output: str) -> None:
    assert judge(status, IMPORTED + report, output, CODE).verdict is Verdict.BROKEN


def test_a_bug_that_every_check_misses_is_a_complaint() -> None:
    find = Find(BUG, {"unit": Outcome(Verdict.SURVIVED), "simulation": Outcome(Verdict.HUNG)})
    (complaint,) = find.complaints()
    assert complaint.startswith("00-nothing is caught by nothing (unit: survived; simulation: hung)")


def test_a_patch_that_no_longer_applies_is_a_complaint() -> None:
    find = Find(BUG, {"unit": Outcome(Verdict.NOT_APPLIED, detail="it does not fit")})
    assert "not applied it does not fit" in find.complaints()[0]


def test_a_bug_without_a_check_is_a_complaint() -> None:
    assert "no check is named" in Find(BUG).complaints()[0]


def test_a_check_that_is_broken_is_a_complaint_although_another_caught_the_bug() -> None:
    find = Find(BUG, {"unit": Outcome(Verdict.CAUGHT, 2.0, "test_x"), "random": Outcome(Verdict.BROKEN)})
    assert len(find.complaints()) == 1
    assert find.how() == "by unit: test_x in 2 s"


def test_a_bug_that_one_kind_of_check_catches_is_no_complaint() -> None:
    assert not Find(BUG, {"unit": Outcome(Verdict.CAUGHT), "simulation": Outcome(Verdict.SURVIVED)}).complaints()


def test_checks_are_run_once_each_on_the_code_as_it_is() -> None:
    seeds = Check("simulation", ("tests.simulation", "--seeds", "0-9"))
    one, two = Check("unit", ("a.py::x", "a.py::y"), 10.0), Check("unit", ("a.py::y", "a.py::z"), 10.0)
    assert together([one, seeds, two, seeds]) == [Check("unit", ("a.py::x", "a.py::y", "a.py::z"), 20.0), seeds]


def test_slices_that_follow_each_other_hunt_every_bug() -> None:
    bugs = [Bug(patch=f"{number:02}", bug="", harm="") for number in range(10)]
    hunted = [bug for n in range(4) for bug in portion(bugs, 60.0, n * SEEDS_PER_SLICE)]
    assert hunted == [*bugs, *bugs[:2]]
