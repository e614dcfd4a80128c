"""A node that says what it likes: one connection after another, each goes through a script of frames and pauses."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from lockmanager.durations import MICROSECONDS
from lockmanager.transport import Connection, ConnectionLost
from lockmanager.wire import Acquire, DownFrame, Granted, Release, Renewed, State, Token, Welcome, decode_up, encode

from .frames import down_messages, nearly_down_frames, wild_greetings
from .nonsense import long_lists, weighted, wild_integers

NODE: Final = "node1"
WALL: Final = 1_700_000_000_000_000
"""When the virtual wall clock begins."""

_MENTIONED: Final = [Token(f"mentioned {place}") for place in range(3)]
"""Stand for the tokens the node was asked under, the newest first."""

tokens: SearchStrategy[Any] = weighted((6, st.sampled_from(_MENTIONED)), (1, st.just(Token("t" * 32))))
grant_ids = st.tuples(st.just(1), st.integers(1, 4))
fences = weighted((4, st.integers(WALL, WALL + 10 * MICROSECONDS)), (1, wild_integers))
ttls = weighted((4, st.sampled_from([MICROSECONDS, 2 * MICROSECONDS, 30 * MICROSECONDS])), (1, wild_integers))
answers = down_messages(tokens, grant_ids, fences, ttls)
_yes = st.builds(Granted, st.sampled_from(_MENTIONED), grant_ids, fences, ttls, resent=st.booleans()) | st.builds(
    Renewed, st.sampled_from(_MENTIONED), ttls
)


@dataclass(frozen=True)
class Frame:
    """Answers with an echo so far from what was heard last."""

    off: int
    ticket: int
    messages: list[Any]


@dataclass(frozen=True)
class Listen:
    """Say nothing until something is asked, for so many seconds at most."""

    seconds: float


Act = Frame | bytes | Listen
"""What a node does next."""

_offs = weighted((6, st.just(0)), (1, st.sampled_from([-MICROSECONDS, MICROSECONDS, 10**12])), (1, wild_integers))
_largest = weighted((4, st.just(0)), (1, st.integers(WALL, WALL + 10**10)), (1, wild_integers))
_welcome = Frame(0, 0, [Welcome(NODE, 1, State.SERVING)])

acts: SearchStrategy[Act] = weighted(
    (10, st.builds(Frame, _offs, _largest, st.lists(answers, max_size=4))),
    (10, st.builds(Frame, _offs, st.just(0), st.lists(_yes, min_size=1, max_size=4))),
    (1, nearly_down_frames),
    (1, st.builds(Frame, _offs, _largest, st.lists(wild_greetings, max_size=2))),
)
_openings: SearchStrategy[list[Act]] = weighted(
    (16, st.just([_welcome])), (1, st.just([])), (1, st.lists(acts, max_size=2))
)
_exchanges = st.builds(
    lambda wait, said: [Listen(wait), *said],
    weighted((1, st.just(0.01)), (3, st.just(1.5))),
    st.lists(acts, min_size=1, max_size=3),
)
scripts = st.lists(
    st.builds(lambda opening, exchanges: sum(exchanges, opening), _openings, long_lists(_exchanges)), max_size=3
)


@dataclass
class HostileConnection(Connection):
    """The coordinator's end of a connection to such a node."""

    node: HostileNode
    script: list[Act]
    inbox: asyncio.Queue[bytes | None] = field(default_factory=asyncio.Queue)
    task: asyncio.Task[None] | None = None
    heard: int = 0
    spoken_to: asyncio.Event = field(default_factory=asyncio.Event)

    def send(self, data: bytes) -> None:
        frame = decode_up(data)
        self.heard = frame.sent
        self.node.hear(frame.messages)
        if frame.messages:
            self.spoken_to.set()
        if self.task is None:
            self.task = asyncio.create_task(self._go_through_the_script())

    async def _go_through_the_script(self) -> None:
        for act in self.script:
            match act:
                case Listen():
                    await self._listen(act.seconds)
                case bytes():
                    self.inbox.put_nowait(act)
                case _:
                    self.inbox.put_nowait(self.node.encoded(act, self.heard))
            await asyncio.sleep(0.001)
        self.inbox.put_nowait(None)

    async def _listen(self, seconds: float) -> None:
        self.spoken_to.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.spoken_to.wait()

    async def receive(self) -> bytes:
        data = await self.inbox.get()
        if data is None:
            raise ConnectionLost("the hostile node left")
        return data

    def abort(self) -> None:
        self.inbox.put_nowait(None)

    async def close(self) -> None:
        if self.task is not None:
            self.task.cancel()
        self.abort()


class HostileNode:
    """What was asked of the node, and what it said yes to."""

    def __init__(self, scripts: Iterable[list[Act]]) -> None:
        self._scripts = iter(scripts)
        self._asked: list[Token] = []
        self.granted: set[Token] = set()
        self.gone = False

    def connect(self) -> HostileConnection:
        """Begin the next script; raises ConnectionLost when there is none any more."""
        script = next(self._scripts, None)
        if script is None:
            self.gone = True
            raise ConnectionLost("connection refused")
        return HostileConnection(self, script)

    def hear(self, messages: Iterable[object]) -> None:
        for message in messages:
            if isinstance(message, Acquire | Release) and message.token not in self._asked:
                self._asked.insert(0, message.token)

    def encoded(self, frame: Frame, heard: int) -> bytes:
        said = [self._addressed(message) for message in frame.messages]
        self.granted.update(message.token for message in said if isinstance(message, Granted))
        echo = max(-(1 << 63), min(heard + frame.off, (1 << 64) - 1))
        return encode(DownFrame(echo, frame.ticket, said))

    def _addressed(self, message: Any) -> Any:
        """Let a message be about a token the coordinator mentioned."""
        if getattr(message, "token", None) not in _MENTIONED:
            return message
        place = _MENTIONED.index(message.token)
        token = self._asked[place % len(self._asked)] if self._asked else Token("t" * 32)
        return msgspec.structs.replace(message, token=token)
