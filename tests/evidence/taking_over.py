"""Take over what a report says and the store does not know: evidence goes on in another checkout of the same files."""

from __future__ import annotations

from pathlib import Path

import msgspec

from tests.evidence.parts import Part
from tests.evidence.record import Record
from tests.evidence.store import Entry, Machine, Store
from tests.evidence.trees import State


class _Told(msgspec.Struct, frozen=True):
    """One part as the report for machines has it."""

    part: str
    state: str
    commits: list[str]
    slices_before_their_commit: int
    seeds: list[int]
    days: list[str]
    machines: list[Machine]
    record: Record


class _Report(msgspec.Struct, frozen=True):
    parts: list[_Told]


def take_over(report: Path, store: Store, part: Part, state: State) -> int:
    """Add to the store, as one entry, what the report tells of a part in this state; returns how many slices that is.

    Nothing is taken over when the store has one of these slices: then it has them all, or counts would be doubled.
    Raises RuntimeError for a file that is no report.
    """
    told = _told(report).get(part.name)
    if told is None or told.state != state.key or not told.seeds or told.slices_before_their_commit:
        return 0
    known = {seed for entry in store.entries(part.name) if entry.state == state.key for seed in entry.all_seeds}
    if known & set(told.seeds):
        return 0
    *others, newest = sorted(told.seeds)
    store.add(
        part.name,
        Entry(
            state=told.state,
            commit=told.commits[-1],
            committed=True,
            seed=newest,
            other_seeds=tuple(others),
            ended=f"{told.days[-1]} 00:00",
            machine=told.machines[0],
            record=told.record,
        ),
    )
    return len(told.seeds)


def _told(report: Path) -> dict[str, _Told]:
    if not report.exists():
        return {}
    try:
        return {told.part: told for told in msgspec.json.decode(report.read_bytes(), type=_Report).parts}
    except msgspec.MsgspecError as error:
        raise RuntimeError(f"{report} is not a report of the evidence ({error}): restore it, or remove it") from None
