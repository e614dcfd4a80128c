"""A node's service without a network: its clock, the far ends of its sessions, and a journal that tests let go on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from lockmanager.wire import DownFrame, UpFrame, UpMessage, decode_down
from lockmanager_node.records import Changes
from lockmanager_node.service import Service
from lockmanager_node.sessions import Peer
from tests.support.table_cases import NOW, WALL


class StillClock:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> int:
        return self.at

    def wall(self) -> int:
        return WALL + self.at - NOW


class Far:
    """The far end of one session: what it sends, and the frames it was sent."""

    def __init__(self, service: Service, who: str, *, key_id: str | None = None) -> None:
        self.frames: list[DownFrame] = []
        self.sizes: list[int] = []
        self.closed: list[str] = []
        self.service = service
        self.session = service.connect(Peer(f"session {who}", who, key_id, self._take, self.closed.append), sent=0)

    def _take(self, data: bytes) -> None:
        self.sizes.append(len(data))
        self.frames.append(decode_down(data))

    def send(self, *messages: UpMessage, sent: int = 1) -> None:
        self.session.receive(UpFrame(sent, list(messages)))

    async def told(self) -> list[object]:
        """Return what this session is told at the end of this tick."""
        self.frames.clear()
        await tick()
        return [message for frame in self.frames for message in frame.messages]


async def tick() -> None:
    await asyncio.sleep(0)


class SlowJournal:
    """Keeps what is to be said until a test lets its commits end."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []
        self.written: list[Changes] = []
        self.notes: dict[str, str] = {}

    @property
    def busy(self) -> bool:
        return bool(self.waiting)

    def write(self, changes: Changes) -> None:
        self.written.append(changes)

    def note(self, key: str, value: str) -> None:
        self.notes[key] = value

    def sync(self, then: Callable[[], None]) -> None:
        self.waiting.append(then)

    def go_on(self) -> None:
        """Let everything written so far be durable."""
        waiting, self.waiting = self.waiting, []
        for then in waiting:
            then()
