"""The script of the demonstration: what happens when, by what was seen to happen and not by the clock."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..local import running
from .checks import Verdict, check
from .events import Event, Held, Lost, NodeKilled, NodeStarted, Paused, Wrote
from .resource import Resource
from .screen import Screen
from .troupe import PROCESSES, WORKERS_EACH, Record, Troupe, now, performing

if TYPE_CHECKING:
    from ...testing import LocalCluster

_DEADLINE: Final = 25.0
_VICTIM: Final = "node2"
_SLEEPER: Final = "B"


async def perform(broken: str | None) -> int:
    """Show the demonstration; returns 0 if every promise was kept, else 1."""
    from ...testing import LocalCluster

    screen = Screen()
    record = Record(screen.show)
    with tempfile.TemporaryDirectory(prefix="lockmanager-demo-") as directory:
        resource = Resource(Path(directory) / "ledger.sqlite")
        try:
            await _play(LocalCluster(3, processes=True), Path(directory) / "ledger.sqlite", record, screen, broken)
            if broken == "fences":
                resource.swap_last_fences()
            events = _with_overtaking(record.events) if broken == "order" else record.events
            verdicts = check(events, resource.rows(), _workers())
        except (TimeoutError, RuntimeError) as error:
            verdicts = [Verdict("the script was played to its end", kept=False, detail=str(error) or "too slow")]
        finally:
            resource.close()
    screen.summary(record.events, verdicts)
    return 0 if all(verdict.kept for verdict in verdicts) else 1


async def _play(local: LocalCluster, database: Path, record: Record, screen: Screen, broken: str | None) -> None:
    screen.say("starting three nodes and eight workers in two processes")
    guarded = broken != "guard"
    async with (
        asyncio.timeout(_DEADLINE),
        running(local),
        performing(local.config_path, database, record, guarded=guarded) as troupe,
    ):
        await record.more_acquisitions(12)
        await _kill_and_restart(local, record)
        await _oversleep(troupe, record)
        await record.more_acquisitions(16)
        await troupe.finish()


async def _kill_and_restart(local: LocalCluster, record: Record) -> None:
    await local.kill(_VICTIM)
    record.add(NodeKilled(now(), _VICTIM))
    await record.more_acquisitions(12)
    await local.start(_VICTIM)
    record.add(NodeStarted(now(), _VICTIM))
    await record.more_acquisitions(12)


async def _oversleep(troupe: Troupe, record: Record) -> None:
    """Stop a process whose worker holds the lock, until another holder has written; then let it write."""
    troupe.order_oversleep(_SLEEPER)
    await record.until(lambda: any(isinstance(event, Paused) for event in record.events))
    paused = next(event for event in record.events if isinstance(event, Paused))
    await record.until(lambda: any(isinstance(one, Wrote) and one.fence > paused.fence for one in record.events))
    troupe.wake(_SLEEPER)
    await record.until(lambda: any(isinstance(event, Lost) for event in record.events))


def _workers() -> list[str]:
    return [f"{process}{number}" for process in PROCESSES for number in range(1, WORKERS_EACH + 1)]


def _with_overtaking(events: list[Event]) -> list[Event]:
    """Falsify the record: have the last holder asked first."""
    held = [event for event in events if isinstance(event, Held)]
    first, last = held[0], held[-1]
    claimed = Held(last.at, last.worker, last.process, first.ticket - 1, last.fence, first.asked - 1)
    return [claimed if event is last else event for event in events]
