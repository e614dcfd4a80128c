"""Records on disk: whole lines only, each seed once, unseen by git."""

from __future__ import annotations

from pathlib import Path

from tests.evidence.fake import Scene, found
from tests.evidence.store import SEEDS_PER_SLICE, Entry, Machine, Store

MACHINE = Machine(2, 8, "3.11", "Linux 6")


def entry(seed: int, state: str = "now") -> Entry:
    return Entry(
        state=state, commit="c", committed=True, seed=seed, ended="2000-01-01 00:00", machine=MACHINE, record=found()
    )


def test_what_was_added_is_read_back(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.add("fake", entry(0))
    store.add("fake", entry(1, "then"))
    assert Store(tmp_path).entries("fake") == [entry(0), entry(1, "then")]
    assert Store(tmp_path).entries("other") == []


def test_a_line_that_was_cut_off_is_left_out_and_spoils_no_later_one(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.add("fake", entry(0))
    path = tmp_path / "fake.jsonl"
    path.write_bytes(path.read_bytes() + path.read_bytes()[:40])
    assert store.entries("fake") == [entry(0)]
    store.add("fake", entry(1))
    assert store.entries("fake") == [entry(0), entry(1)]


def test_the_next_seed_was_given_to_no_slice_in_any_state(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.next_seed("fake") == 0
    store.add("fake", entry(2 * SEEDS_PER_SLICE, "then"))
    store.add("fake", entry(SEEDS_PER_SLICE))
    assert store.next_seed("fake") == 3 * SEEDS_PER_SLICE
    assert store.next_seed("other") == 0


def test_git_does_not_see_the_store(scene: Scene) -> None:
    scene.store.add("fake", entry(0))
    scene.git("add", "--all")
    scene.git("diff", "--cached", "--quiet")
