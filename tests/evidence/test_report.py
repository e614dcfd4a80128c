"""The report: it says what was reached and what was not, and what refutes the evidence fails the check."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.evidence import __main__ as command
from tests.evidence.fake import FAKE, OTHER, Scene, always, wants
from tests.evidence.report import NOT_COVERED


@pytest.fixture
def check(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the command line speak of the scene; `Path` is the report without its suffix."""
    for name, value in {"ROOT": scene.root, "PARTS": (FAKE,), "FIGURES": scene.figures}.items():
        monkeypatch.setattr(command, name, value)
    return scene.root / "REPORT"


def status(scene: Scene, into: Path) -> int:
    return command.main(["report", "--check", *where(scene, into)])


def where(scene: Scene, into: Path) -> list[str]:
    return ["--size", "short", "--store", str(scene.store.directory), "--into", str(into)]


def test_the_command_runs_slices_and_writes_the_report(scene: Scene, check: Path) -> None:
    assert command.main(["run", "--jobs", "1", *where(scene, check)]) == 0
    assert "| fake | runs | 30 | 30 | reached |" in check.with_suffix(".md").read_text(encoding="utf-8")
    assert command.main(["run", "--part", "nobody", *where(scene, check)]) == 2


async def test_a_figure_that_was_reached_is_said_to_be(scene: Scene, check: Path) -> None:
    await scene.run()
    assert status(scene, check) == 0
    assert "| fake | runs | 30 | 30 | reached |" in check.with_suffix(".md").read_text(encoding="utf-8")


async def test_a_figure_that_was_missed_is_not_reached_and_fails(
    scene: Scene, check: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scene.figures = (wants(4),)
    await scene.run(always(counts={"runs": 4}))
    scene.figures = (wants(10_000),)
    assert "| fake | runs | 10,000 | 4 | **not reached** |" in scene.report().markdown()
    assert scene.report().missed == ["fake: runs: 4 of 10,000"]
    assert status(scene, check) == 1
    assert "not reached: fake: runs: 4 of 30" in capsys.readouterr().err


async def test_a_violation_fails_and_is_on_top(scene: Scene, check: Path) -> None:
    await scene.run(always(counts={"runs": 30}, violations=["two holders, seed 7"]))
    assert status(scene, check) == 1
    top = check.with_suffix(".md").read_text(encoding="utf-8").partition("## What ran")[0]
    assert "- fake: two holders, seed 7" in top
    assert "No violation" not in top


async def test_an_invariant_that_was_never_checked_fails(scene: Scene, check: Path) -> None:
    await scene.run(always(counts={"runs": 10, "checks/exclusion": 1, "checks/fences": 0}))
    assert scene.report().problems == ["fake: the invariant fences was never checked"]
    assert status(scene, check) == 1


async def test_a_part_that_did_not_run_fails_and_says_so(scene: Scene) -> None:
    await scene.run()
    report = scene.report(FAKE, OTHER)
    assert report.problems == ["other: it never ran to its end"]
    assert "## Another fake\n\nIt did not run." in report.markdown()


async def test_nothing_is_written_over_a_report_when_nothing_ran(scene: Scene, check: Path) -> None:
    check.with_suffix(".md").write_text("what was", encoding="utf-8")
    assert status(scene, check) == 2
    assert check.with_suffix(".md").read_text(encoding="utf-8") == "what was"


async def test_counts_facts_and_single_checks_stand_in_tables(scene: Scene) -> None:
    counts = {"runs": 1_500, "faults/partition": 7, "faults/crash": 9}
    await scene.run(always(counts=counts, facts={"bound": "3 nodes | 2 clients"}, passed={"late yield": "seed 4"}))
    text = scene.report().markdown()
    assert "| counted | times |\n| --- | --- |\n| runs | 1,500 |" in text
    assert "| faults | times |\n| --- | --- |\n| crash | 9 |\n| partition | 7 |" in text
    assert "| bound | 3 nodes \\| 2 clients |" in text
    assert "| late yield | seed 4 |" in text


async def test_the_report_names_the_commits_and_what_is_not_covered(scene: Scene) -> None:
    await scene.run()
    (summary,) = scene.report().summaries
    text = scene.report().markdown()
    assert f"`{summary.commits[0][:10]}`" in text
    assert text.endswith(NOT_COVERED.read_text(encoding="utf-8"))


async def test_the_report_for_machines_has_the_same_numbers(scene: Scene, check: Path) -> None:
    await scene.run(always(counts={"runs": 30}, violations=["two holders"]))
    status(scene, check)
    document = msgspec.json.decode(check.with_suffix(".json").read_bytes())
    assert document["figures"] == [{"part": "fake", "what": "runs", "wanted": 30, "found": 30}]
    assert document["problems"] == ["fake: two holders"]
    assert document["parts"][0]["record"]["counts"]["runs"] == 30
    assert document["parts"][0]["seeds"] == [0]


@pytest.mark.parametrize(
    ("said", "reported"),
    [
        ('File "/some/where/p/node/lockmanager_node/web/session.py"', 'File "node/lockmanager_node/web/session.py"'),
        ("/a.b/c-d/coordinator/lockmanager/run.py:9: late", "coordinator/lockmanager/run.py:9: late"),
        ("see /x/tests/unit/test_a.py and tests/unit/test_b.py", "see tests/unit/test_a.py and tests/unit/test_b.py"),
        ("GET /v1/cluster of http://node1:8000/v1/tests/", "GET /v1/cluster of http://node1:8000/v1/tests/"),
    ],
)
async def test_where_the_tree_lay_when_a_check_ran_is_not_told(scene: Scene, said: str, reported: str) -> None:
    await scene.run(always(counts={"runs": 30}, passed={"a bug": said}, violations=[said]))
    record = scene.report().summaries[0].record
    assert record.passed == {"a bug": reported}
    assert set(record.violations) == {reported}
