"""What a run of the evidence does with its parts: it adds up, goes on, leaves alone and loses nothing complete."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import replace

import pytest

from tests.evidence.fake import FAKE, OTHER, RUNS, Scene, always, found, wants
from tests.evidence.record import Record
from tests.evidence.slices import Slice, SliceFailed, SliceStopped
from tests.evidence.store import SEEDS_PER_SLICE


def fails(one: Slice) -> Record:
    raise SliceFailed("the part is broken")


async def test_slices_are_run_until_the_figure_is_reached(scene: Scene) -> None:
    report = await scene.run()
    assert scene.ran == [("fake", number * SEEDS_PER_SLICE) for number in range(3)]
    assert scene.runs() == 3 * RUNS
    assert (report.problems, report.missed) == ([], [])


async def test_a_second_run_goes_on_where_the_first_ended_with_seeds_of_its_own(scene: Scene) -> None:
    await scene.run(minutes=0)
    assert scene.ran == []
    scene.figures = (wants(RUNS),)
    await scene.run()
    scene.figures = (wants(3 * RUNS),)
    await scene.run()
    assert [seed for _, seed in scene.ran] == [number * SEEDS_PER_SLICE for number in range(3)]


async def test_a_part_that_has_reached_its_figures_is_not_run_again(scene: Scene) -> None:
    await scene.run()
    scene.ran.clear()
    await scene.run()
    assert scene.ran == []


async def test_another_state_of_the_covered_files_adds_nothing_and_repeats_no_seed(scene: Scene) -> None:
    await scene.run()
    scene.write("node/rules", "as it is now")
    scene.commit()
    assert scene.runs() == 0
    await scene.run()
    assert scene.runs() == 3 * RUNS
    assert len({seed for _, seed in scene.ran}) == 6


async def test_a_commit_of_other_files_throws_nothing_away(scene: Scene) -> None:
    await scene.run()
    scene.write("README", "better")
    scene.write("tests/other/part", "better")
    scene.commit()
    assert scene.runs() == 3 * RUNS


async def test_a_change_that_is_not_committed_is_refused_unless_asked_for_and_said(scene: Scene) -> None:
    scene.write("tests/fake/part", "half done")
    with pytest.raises(RuntimeError, match="tests/fake/part"):
        await scene.run()
    report = await scene.run(uncommitted=True)
    assert report.problems == ["fake: uncommitted changes: tests/fake/part"]


async def test_what_ran_before_its_commit_counts_after_it_and_says_so(scene: Scene) -> None:
    scene.write("tests/fake/part", "done")
    await scene.run(uncommitted=True)
    scene.commit()
    report = scene.report()
    assert scene.runs() == 3 * RUNS
    assert report.problems == []
    assert "3 ran before the files were committed" in report.markdown()


async def test_the_part_that_is_furthest_from_its_figures_goes_next(scene: Scene) -> None:
    scene.figures = (wants(2 * RUNS), wants(4 * RUNS, OTHER))
    await scene.run(parts=(FAKE, OTHER))
    assert [name for name, _ in scene.ran] == ["fake", "other", "other", "fake", "other", "other"]


async def test_as_many_slices_run_at_once_as_were_asked_for(scene: Scene) -> None:
    running, most = 0, 0
    several = asyncio.Event()

    async def run_slice(one: Slice, stop: asyncio.Event) -> Record:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 2:
            several.set()
        await several.wait()
        running -= 1
        return found()

    scene.figures = (wants(RUNS), wants(RUNS, OTHER))
    await scene.run(run_slice=run_slice, jobs=3, parts=(FAKE, OTHER))
    assert most == 2


async def test_slices_of_one_part_run_at_once_when_it_wants_them_all(scene: Scene) -> None:
    running: list[int] = []

    async def run_slice(one: Slice, stop: asyncio.Event) -> Record:
        running.append(one.seed)
        at_once.append(len(running))
        await asyncio.sleep(0)
        running.remove(one.seed)
        return found()

    at_once: list[int] = []
    scene.figures = (wants(5 * RUNS),)
    await scene.run(run_slice=run_slice, jobs=2)
    assert at_once == [1, 1, 2, 1, 2]
    assert scene.runs() == 5 * RUNS


async def test_a_part_whose_slices_are_in_each_other_s_way_runs_one_at_a_time(scene: Scene) -> None:
    alone = replace(FAKE, side_by_side=False)
    running = 0

    async def run_slice(one: Slice, stop: asyncio.Event) -> Record:
        nonlocal running
        running += 1
        assert running == 1
        await asyncio.sleep(0)
        running -= 1
        return found()

    await scene.run(run_slice=run_slice, jobs=3, parts=(alone,))
    assert scene.runs() == 3 * RUNS


async def test_a_failed_slice_is_said_and_repeated_before_anything_new(scene: Scene) -> None:
    failures = ["the first one breaks"]

    def fails_once(one: Slice) -> Record:
        if failures:
            raise SliceFailed(failures.pop())
        return found()

    report = await scene.run(fails_once)
    assert [seed // SEEDS_PER_SLICE for _, seed in scene.ran] == [0, 0, 1, 2]
    assert report.problems == []
    assert "failed, and passed when it was repeated: the first one breaks" in report.markdown()


async def test_a_part_that_fails_again_and_again_is_left_alone_and_keeps_no_other_waiting(scene: Scene) -> None:
    scene.figures = (wants(2 * RUNS), wants(RUNS, OTHER))
    report = await scene.run(lambda one: fails(one) if one.part == FAKE else found(), parts=(FAKE, OTHER))
    assert [name for name, _ in scene.ran].count("fake") == 3
    assert "fake: the slice with seed 0 failed: the part is broken" in report.problems
    assert "fake: it never ran to its end" in report.problems
    assert scene.runs(OTHER) == RUNS


async def test_a_violation_is_said_at_once_and_the_part_goes_on_to_its_figures(scene: Scene) -> None:
    report = await scene.run(always(violations=["two holders, seed 7"]))
    assert "fake: VIOLATION: two holders, seed 7" in scene.said
    assert scene.runs() == 3 * RUNS
    assert set(report.problems) == {"fake: two holders, seed 7"}


async def test_a_part_with_very_many_violations_is_left_alone(scene: Scene) -> None:
    await scene.run(always(violations=[f"two holders, seed {seed}" for seed in range(20)]))
    assert len(scene.ran) == 1
    assert scene.said[-1] == "fake: left alone: 20 violations and more"


async def test_a_part_that_gets_no_further_is_left_alone(scene: Scene) -> None:
    report = await scene.run(always(counts={"other": 1}))
    assert len(scene.ran) == 4
    assert report.missed == ["fake: runs: 0 of 30"]


async def test_a_slice_during_which_the_covered_files_change_does_not_count(scene: Scene) -> None:
    def changes(one: Slice) -> Record:
        scene.write("node/rules", "changed on the way")
        return found()

    await scene.run(changes)
    assert len(scene.ran) == 1
    assert scene.store.entries("fake") == []
    assert "changed while it ran" in scene.said[-1]


async def test_a_stopped_run_keeps_what_is_complete_and_goes_on_later(scene: Scene) -> None:
    async def stopped_at_the_second(one: Slice, stop: asyncio.Event) -> Record:
        if one.seed == 0:
            return found()
        os.kill(os.getpid(), signal.SIGTERM)
        await stop.wait()
        raise SliceStopped("stopped")

    await scene.run(run_slice=stopped_at_the_second)
    assert scene.runs() == RUNS
    await scene.run()
    assert [seed // SEEDS_PER_SLICE for _, seed in scene.ran] == [1, 2]
    assert scene.runs() == 3 * RUNS


async def test_a_slice_that_was_complete_when_the_stop_came_counts(scene: Scene) -> None:
    async def complete_when_stopped(one: Slice, stop: asyncio.Event) -> Record:
        os.kill(os.getpid(), signal.SIGINT)
        await stop.wait()
        return found()

    await scene.run(run_slice=complete_when_stopped)
    assert scene.runs() == RUNS


async def test_two_runs_do_not_write_to_one_store(scene: Scene) -> None:
    with scene.store.alone(), pytest.raises(RuntimeError, match="another run"):
        await scene.run()
