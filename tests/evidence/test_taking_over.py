"""What a report tells is taken over in a checkout that does not have its slices, once and only for the same files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.evidence.fake import FAKE, RUNS, Scene, always, wants
from tests.evidence.report import gather
from tests.evidence.running import run
from tests.evidence.store import SEEDS_PER_SLICE, Store
from tests.evidence.summary import summarize
from tests.evidence.trees import state_of


async def _told(scene: Scene) -> Path:
    """Let three slices run, and return the report; the store is gone."""
    await run(scene.plan(always()))
    report = scene.root / "EVIDENCE.json"
    report.write_bytes(gather(scene.root, scene.store, (FAKE,), "short", scene.figures).json())
    scene.store._path("fake").rename(scene.root / "elsewhere")
    scene.ran.clear()
    return report


async def test_what_a_report_tells_counts_where_its_slices_are_not_known(scene: Scene) -> None:
    report = await _told(scene)
    await run(scene.plan(always(), report=report, figures=(wants(5 * RUNS),)))
    assert scene.ran == [("fake", 3 * SEEDS_PER_SLICE), ("fake", 4 * SEEDS_PER_SLICE)]
    summary = summarize(scene.store, FAKE, state_of(scene.root, FAKE.pathspec))
    assert (summary.slices, summary.record.counts["runs"]) == (5, 5 * RUNS)
    assert summary.seeds == [number * SEEDS_PER_SLICE for number in range(5)]


async def test_what_was_taken_over_is_not_taken_over_again(scene: Scene) -> None:
    report = await _told(scene)
    for _ in range(2):
        await run(scene.plan(always(), report=report))
    assert scene.ran == []
    assert len(scene.store.entries("fake")) == 1


async def test_slices_that_are_known_are_not_counted_twice(scene: Scene) -> None:
    report = await _told(scene)
    (scene.root / "elsewhere").rename(scene.store._path("fake"))
    await run(scene.plan(always(), report=report))
    assert len(scene.store.entries("fake")) == 3


async def test_nothing_is_taken_over_for_other_files(scene: Scene) -> None:
    report = await _told(scene)
    scene.write("tests/fake/part", "changed")
    scene.commit()
    await run(scene.plan(always(), report=report))
    assert len(scene.ran) == 3


async def test_a_file_that_is_no_report_is_refused(scene: Scene, tmp_path: Path) -> None:
    report = tmp_path / "EVIDENCE.json"
    report.write_text("{}", encoding="utf-8")
    with pytest.raises(RuntimeError, match="is not a report of the evidence"):
        await run(scene.plan(always(), report=report))
    assert Store(scene.root / ".evidence").entries("fake") == []
