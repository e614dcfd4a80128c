"""The state of the code: it follows the covered files and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.evidence.fake import FAKE, Scene
from tests.evidence.trees import State, state_of


def state(scene: Scene) -> State:
    return state_of(scene.root, FAKE.pathspec)


def test_a_commit_that_touches_no_covered_file_leaves_the_state(scene: Scene) -> None:
    before = state(scene)
    scene.write("README", "more")
    scene.commit()
    assert state(scene).key == before.key
    assert state(scene).commit != before.commit


def test_a_change_of_the_command_line_counts_only_where_the_evidence_speaks_of_it(scene: Scene) -> None:
    covers = replace(FAKE, command_line=True).pathspec
    before, with_it = state(scene), state_of(scene.root, covers)
    scene.write("coordinator/lockmanager/cli/run.py", "more")
    assert state(scene) == before
    assert state_of(scene.root, covers).key != with_it.key


@pytest.mark.parametrize("name", ["node/rules", "tests/fake/part", "tests/fake/new", "coordinator/new"])
def test_a_changed_or_new_file_is_another_state_and_is_named(scene: Scene, name: str) -> None:
    before = state(scene)
    scene.write(name, "more")
    assert state(scene).key != before.key
    assert state(scene).changed == (name,)


def test_a_file_that_is_gone_is_another_state_and_is_named(scene: Scene) -> None:
    before = state(scene)
    (scene.root / "node/rules").unlink()
    assert state(scene).key != before.key
    assert state(scene).changed == ("node/rules",)


def test_committing_a_change_leaves_the_state(scene: Scene) -> None:
    scene.write("node/rules", "more")
    before = state(scene)
    scene.commit()
    assert state(scene).key == before.key
    assert state(scene).changed == ()


def test_a_change_that_was_taken_back_is_the_old_state(scene: Scene) -> None:
    before = state(scene)
    scene.write("node/rules", "more")
    scene.commit()
    scene.write("node/rules", "as it was")
    scene.commit()
    assert state(scene).key == before.key


def test_a_directory_that_is_no_checkout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="git"):
        state_of(tmp_path, FAKE.pathspec)
